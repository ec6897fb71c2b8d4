"""What a partition brings to the fit of a model: columns of its customers, and their purchase days, as Parquet."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    DateColumn,
    Frame,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.store.files import Files
from segmentation.store.snapshot_columns import single
from segmentation.store.snapshot_frame import column_of

_DAYS, _AMOUNTS, _ROWS = "purchase days", "purchase amounts", "row"
"""No attribute has a blank in its name."""


def put(files: Files, key: str, frame: Frame, columns: Mapping[str, Column], purchases: Purchases | None) -> None:
    """Keep these columns of the frame's customers, and their purchases if given. Places are not kept."""
    table = {_ROWS: pa.nulls(frame.size, pa.bool_())}
    table |= {name: _arrow(column) for name, column in columns.items()}
    if purchases is not None:
        offsets = pa.array(purchases.offsets.astype(np.int32))
        table[_DAYS] = pa.ListArray.from_arrays(offsets, pa.array(purchases.day))
        table[_AMOUNTS] = pa.ListArray.from_arrays(offsets, pa.array(purchases.amount))
    with files.put_stream(key) as sink:
        pq.write_table(pa.table(table), sink, compression="zstd", compression_level=1)


def get(files: Files, keys: Sequence[str]) -> tuple[Frame, Purchases | None]:
    """The customers of all partitions together: the columns that every one of them has, and their purchases."""
    parts = [pq.read_table(files.open_range(key)) for key in keys]
    if not parts:
        return Frame(0), None
    shared = [name for name in parts[0].column_names if all(name in part.column_names for part in parts)]
    table = pa.concat_tables([part.select(shared) for part in parts], promote_options="permissive")
    del parts
    purchases = None
    if _DAYS in shared:
        days, amounts = (single(table.column(name)) for name in (_DAYS, _AMOUNTS))
        offsets = days.offsets.to_numpy().astype(np.int64)
        purchases = Purchases(offsets, days.values.to_numpy(), amounts.values.to_numpy())
    names = [name for name in shared if name not in (_ROWS, _DAYS, _AMOUNTS)]
    return Frame(table.num_rows, {name: column_of(table.column(name)) for name in names}), purchases


def _arrow(column: Column) -> pa.Array:
    match column:
        case StringColumn():
            return _dictionary(column.codes, column.values)
        case NumberColumn():
            return pa.array(column.values)
        case DateColumn():
            return pa.array(column.values, pa.timestamp("us", tz="UTC"))
        case BooleanColumn():
            return pa.array(column.values == 1, mask=column.values < 0)
        case ListColumn():
            offsets = pa.array(column.offsets.astype(np.int32), mask=np.append(column.absent, False))
            return pa.ListArray.from_arrays(offsets, pa.array(column.values, pa.string()).take(pa.array(column.codes)))
    raise TypeError(f"a {type(column).__name__} is no feature")


def _dictionary(codes: np.ndarray[tuple[int], np.dtype[np.int32]], values: tuple[str, ...]) -> pa.Array:
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))
