"""The records of one chunk of a planned file, as blocks of columns, whatever the file's format."""

from collections.abc import Iterator

from segmentation.models.imports import ImportPlan, PlannedChunk, PlannedColumn
from segmentation.store.files import Files
from segmentation.store.reading import formats_csv, formats_jsonl, formats_parquet
from segmentation.store.reading.blocks import Block
from segmentation.store.reading.datasets import CONSTANT


def read(files: Files, plan: ImportPlan, chunk: PlannedChunk) -> Iterator[Block]:
    """Raises InvalidFile where the file changed since it was planned, or turns out to be damaged."""
    etag = plan.etag if chunk.key == plan.key else None
    columns = [column for column in plan.columns if column.position != CONSTANT]
    if plan.format.format == "parquet":
        yield from _parquet(files, plan, chunk, columns, etag)
        return
    data = files.get_range(chunk.key, chunk.start, chunk.end, etag)
    if plan.format.format == "csv":
        yield from formats_csv.blocks(data, chunk.firstRow, plan.format, columns)
    else:
        yield from formats_jsonl.blocks(data, chunk.firstRow, plan.format, columns, plan.ignoredColumns)


def _parquet(
    files: Files, plan: ImportPlan, chunk: PlannedChunk, columns: list[PlannedColumn], etag: str | None
) -> Iterator[Block]:
    with files.open_range(chunk.key, etag) as stream:
        row_groups = range(chunk.start, chunk.end)
        yield from formats_parquet.blocks(stream, plan.key, row_groups, chunk.firstRow, columns)
