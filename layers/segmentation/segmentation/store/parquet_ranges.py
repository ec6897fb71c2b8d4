"""Chosen columns of chosen row groups of a Parquet file, fetched with few ranged reads.

It knows Parquet and seekable files. It must not know what the file is about.
"""

import io
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

HOLE_BYTES = 2**20
"""Bytes between two wanted column chunks that are fetched along: cheaper than another request."""

REQUEST_BYTES = 2**25
"""No request is joined to another beyond this size."""

Range = tuple[int, int]


def read_groups(
    source: io.RawIOBase,
    metadata: pq.FileMetaData,
    groups: Sequence[int],
    columns: Sequence[str] | None,
    encoded: Collection[str],
) -> pa.Table:
    """The row groups as one table, each column one chunk; None is all columns.

    Names that the file lacks are left out. Strings named in `encoded` come as dictionaries.
    """
    schema = metadata.schema.to_arrow_schema()
    names = schema.names if columns is None else [name for name in columns if name in set(schema.names)]
    if not groups:
        empty = schema.empty_table().select(names)
        return pa.table({name: _like(empty.column(name), name in encoded) for name in names})
    pieces = _Pieces(source, _joined(_chunks(metadata, groups, names)))
    parquet = pq.ParquetFile(pieces, metadata=metadata, read_dictionary=list(encoded), pre_buffer=False)
    # A name with a dot also selects what looks like a field inside it: hence the second selection.
    return parquet.read_row_groups(list(groups), columns=names).select(names).combine_chunks()


def _like(column: pa.ChunkedArray, encoded: bool) -> pa.ChunkedArray:
    """An empty column of the type that a filled one would have."""
    return column.dictionary_encode() if encoded else column


def _chunks(metadata: pq.FileMetaData, groups: Sequence[int], names: Sequence[str]) -> list[Range]:
    """Where the column chunks lie, in the order of the file."""
    wanted = set(names)
    ranges = []
    for group in groups:
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            chunk = row_group.column(number)
            if _selects(wanted, chunk.path_in_schema):
                dictionary = chunk.dictionary_page_offset
                begin = min(chunk.data_page_offset, dictionary) if dictionary else chunk.data_page_offset
                ranges.append((begin, begin + chunk.total_compressed_size))
    return sorted(ranges)


def _selects(wanted: Collection[str], path: str) -> bool:
    """Is the column at `path` (fields inside are appended with dots) one of the wanted or inside one?"""
    parts = path.split(".")
    return any(".".join(parts[:length]) in wanted for length in range(1, len(parts) + 1))


def _joined(ranges: Sequence[Range]) -> list[Range]:
    joined: list[Range] = []
    for begin, end in ranges:
        if joined and begin - joined[-1][1] <= HOLE_BYTES and end - joined[-1][0] <= REQUEST_BYTES:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


class _Pieces(io.RawIOBase):
    """A file of which only some ranges are there, each fetched with one read when it is made; elsewhere it is empty."""

    def __init__(self, source: io.RawIOBase, ranges: Sequence[Range]) -> None:
        self._size = source.seek(0, io.SEEK_END)
        self._position = 0
        self._pieces: list[tuple[int, memoryview]] = []
        for begin, end in ranges:
            source.seek(begin)
            self._pieces.append((begin, memoryview(source.read(end - begin) or b"")))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        begin = self._position
        end = self._size if size is None or size < 0 else begin + size
        for start, piece in self._pieces:
            if start <= begin < start + len(piece):
                data = bytes(piece[begin - start : end - start])
                self._position += len(data)
                return data
        return b""
