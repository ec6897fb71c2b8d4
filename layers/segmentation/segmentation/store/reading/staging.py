"""Accepted rows on their way to the partitions: split, written as Parquet, put into the bucket. It knows no dataset."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segmentation.store import keys
from segmentation.store.files import Files

HELD_BYTES = 128 * 2**20
"""Rows that are gathered before they are compressed: more makes better row groups, less makes smaller workers."""

_UPLOADS = 8
_IDS = frozenset({"orderId", "eventId"})


class Stager:
    """Collects the accepted rows of one chunk. Same rows in the same order: same keys, same bytes."""

    def __init__(self, files: Files, job_id: str, chunk: int, partitions: int) -> None:
        self._files = files
        self._partitions = partitions
        self._job_id = job_id
        self._chunk = chunk
        self._tables: list[pa.Table] = []
        self._held = 0
        self._sinks: dict[int, io.BytesIO] = {}
        self._writers: dict[int, pq.ParquetWriter] = {}
        self.rows = 0
        """Rows added so far."""

    def add(self, table: pa.Table) -> None:
        """Rows with a `customerId`."""
        self.rows += table.num_rows
        if table.num_rows:
            self._tables.append(table)
            self._held += table.nbytes
        if self._held > HELD_BYTES:
            self._compress()

    def finish(self) -> tuple[int, ...]:
        """Put one file per partition and return the partitions, ascending."""
        self._compress()
        for writer in self._writers.values():
            writer.close()
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(self._put, self._sinks))
        return tuple(sorted(self._sinks))

    def _compress(self) -> None:
        if not self._tables:
            return
        table = pa.concat_tables(self._tables).combine_chunks()
        self._tables, self._held = [], 0
        for partition, part in _split(table, _partitions_of(table["customerId"], self._partitions)):
            if partition not in self._writers:
                self._sinks[partition] = io.BytesIO()
                self._writers[partition] = pq.ParquetWriter(
                    self._sinks[partition],
                    table.schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=_repeating(table.schema),
                    write_statistics=False,
                )
            self._writers[partition].write_table(part)

    def _put(self, partition: int) -> None:
        data = self._sinks[partition].getvalue()
        self._files.put(keys.staged_chunk(self._job_id, partition, self._chunk), data)


def _repeating(schema: pa.Schema) -> list[str]:
    """Columns whose values come back: a dictionary makes them small; one of order ids or amounts only costs time."""
    return [
        field.name for field in schema if pa.types.is_string(field.type) and field.name not in ("orderId", "eventId")
    ]


def _partitions_of(ids: pa.ChunkedArray, partitions: int) -> NDArray[np.uint16]:
    """The partition of every row, computed once per distinct customer."""
    encoded = ids.combine_chunks().dictionary_encode()
    of_id = [keys.partition_of(customer_id, partitions) for customer_id in encoded.dictionary.to_pylist()]
    return np.array(of_id, dtype=np.uint16)[np.asarray(encoded.indices)]


def _split(table: pa.Table, partitions: NDArray[np.uint16]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each partition, in their order."""
    order = np.argsort(partitions, kind="stable")
    table = table.take(pa.array(order))
    ordered = partitions[order]
    bounds = np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1, [len(ordered)]))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield int(ordered[begin]), table.slice(begin, end - begin)
