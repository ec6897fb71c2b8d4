"""Parquet into columns, batch by batch. Arrow has typed them already; the checks take them as they are."""

from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidFile
from segmentation.models.imports import PlannedColumn
from segmentation.store.reading.blocks import Block
from segmentation.store.reading.columns import LATITUDES, LONGITUDES, is_list, is_numeric
from segmentation.store.reading.rejects import Rejects

BATCH_ROWS = 64 * 1024
BATCH_BYTES = 64 * 2**20
_READ_BYTES = 4 * 2**20


def open_file(stream: IO[bytes] | Any, key: str) -> pq.ParquetFile:
    """Raises InvalidFile where the bytes are no Parquet file, or only half of one."""
    try:
        return pq.ParquetFile(stream, buffer_size=_READ_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise InvalidFile(f"{key!r} is a damaged Parquet file: {_first_line(error)}; upload it again") from None


def kinds(schema: pa.Schema) -> dict[str, Kind | None]:
    """The kind of every column; None for types that cannot be taken over."""
    return {field.name: _kind(field.type) for field in schema}


def blocks(
    stream: IO[bytes] | Any, key: str, row_groups: range, first_row: int, columns: Sequence[PlannedColumn]
) -> Iterator[Block]:
    """The rows of some row groups. A row group is never held whole: at most `BATCH_ROWS` rows are."""
    file = open_file(stream, key)
    names = [column.source for column in columns]
    try:
        for batch in file.iter_batches(
            _batch_rows(file.metadata, row_groups), row_groups=list(row_groups), columns=names, use_threads=False
        ):
            rows = np.arange(first_row, first_row + batch.num_rows, dtype=np.int64)
            yield Block(rows, {name: batch.column(name) for name in names}, Rejects())
            first_row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InvalidFile(f"{key!r} is damaged near row {first_row}: {_first_line(error)}; upload it again") from None


def _batch_rows(metadata: pq.FileMetaData, row_groups: range) -> int:
    """Fewer rows at a time where rows are long."""
    groups = [metadata.row_group(group) for group in row_groups]
    size: int = sum(group.total_byte_size for group in groups)
    rows: int = sum(group.num_rows for group in groups)
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(size, 1)))


def _kind(kind: pa.DataType) -> Kind | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return Kind.BOOLEAN
    if is_numeric(kind):
        return Kind.NUMBER
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Kind.DATE
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return Kind.STRING
    if is_list(kind):
        return Kind.LIST if _kind(kind.value_type) in (Kind.STRING, Kind.NUMBER, Kind.BOOLEAN) else None
    if pa.types.is_struct(kind):
        names = {field.name.lower() for field in kind}
        return Kind.GEO if names & set(LATITUDES) and names & set(LONGITUDES) else None
    return None


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
