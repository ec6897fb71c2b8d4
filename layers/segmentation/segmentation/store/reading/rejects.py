"""Rows that could not be accepted, as a CSV file that a person opens in a spreadsheet. It knows no dataset and no
format."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from segmentation.store.writers import neutralised

HEADER = b"row,field,value,reason\r\n"
"""First line of the joined reject file; the files of single chunks come without it."""

MAX_VALUE_CHARACTERS = 200


class Rejects:
    """Collects reasons by column: many rows share one field and one reason."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []

    def add(self, rows: NDArray[np.int64], field: str, values: pa.Array, reason: str) -> None:
        """`rows` are record numbers; `values[i]` is what row i holds in `field`, as text or null."""
        if len(rows) == 0:
            return
        cut = pc.utf8_slice_codeunits(values.cast(pa.string()), 0, MAX_VALUE_CHARACTERS)
        columns = [
            pa.array(rows, pa.int64()),
            _repeat(field, len(rows)),
            pc.fill_null(cut, ""),
            _repeat(reason, len(rows)),
        ]
        self._tables.append(pa.table(columns, ["row", "field", "value", "reason"]))

    def add_one(self, row: int, field: str, value: str, reason: str) -> None:
        """A single reason."""
        self.add(np.array([row], dtype=np.int64), field, pa.array([value[:MAX_VALUE_CHARACTERS]], pa.string()), reason)

    def extend(self, other: "Rejects") -> None:
        """Take over what another collection holds."""
        self._tables.extend(other._tables)

    def rows(self) -> NDArray[np.int64]:
        """Distinct record numbers, ascending."""
        if not self._tables:
            return np.zeros(0, dtype=np.int64)
        return np.unique(np.concatenate([table["row"].to_numpy() for table in self._tables]))

    def csv(self) -> bytes:
        """All reasons in the order of rows, without a header line."""
        if not self._tables:
            return b""
        table = pa.concat_tables(self._tables).combine_chunks()
        table = table.take(pa.array(np.argsort(table["row"].to_numpy(), kind="stable")))
        for position, name in ((1, "field"), (2, "value")):
            table = table.set_column(position, name, neutralised(table[name]))
        sink = io.BytesIO()
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(include_header=False, eol="\r\n"))
        return sink.getvalue()


def _repeat(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)
