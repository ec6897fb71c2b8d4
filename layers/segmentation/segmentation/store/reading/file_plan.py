"""One pass over a dropped file: what it is, which columns it has and of which kinds, and where it can be cut. It
checks no cells."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import pyarrow.parquet as pq

from segmentation.engine.catalogue import Kind
from segmentation.errors import FieldError, InvalidFile
from segmentation.models.imports import (
    MAX_COLUMNS,
    UTF8,
    WIDE_ENCODINGS,
    Dataset,
    FileFormat,
    ImportMapping,
    ImportPlan,
    Parsing,
    PlannedChunk,
    PlannedColumn,
)
from segmentation.store import keys
from segmentation.store.files import Files
from segmentation.store.reading import formats_csv, formats_jsonl, formats_parquet, inference
from segmentation.store.reading.chunking import CHUNK_BYTES, cut, opening
from segmentation.store.reading.datasets import CONSTANT, KIND_OF_ROLE, PREFIXES, FileColumn, Matched, match
from segmentation.store.reading.formats import (
    BLOCK_BYTES,
    GZIP_MAGIC,
    detect,
    detect_delimiter,
    gunzip,
    quoting,
    transcode,
)
from segmentation.store.reading.records import RecordScanner

SAMPLE_RECORDS = 50_000
"""Records that decide the kinds of columns that nobody has declared."""

MAX_GROUP_ROWS = 8 * 2**20
"""Rows of Parquet that cannot be divided between workers."""

CHUNK_ROWS = 1_000_000
"""Rows of Parquet in a chunk, where its row groups allow it."""


@dataclass(frozen=True)
class Source:
    """A dropped object and all that is known before it is read. `known` are kinds of the dataset's own columns by
    bare name."""

    job_id: str
    key: str
    dataset: Dataset
    mapping: ImportMapping
    known: Mapping[str, Kind]
    now: datetime


@dataclass(frozen=True)
class _Layout:
    """The columns of a file, and the kinds that the file itself or a sample of it gives them."""

    columns: Sequence[FileColumn]
    kinds: Mapping[str, Kind | None]


def plan(files: Files, source: Source, chunk_bytes: int = CHUNK_BYTES) -> ImportPlan:
    """The plan of an import. Raises NotFound for an object that is gone, InvalidFile for one that cannot be read
    at all."""
    head = files.head(source.key)
    if head.size == 0:
        raise InvalidFile(f"{source.key!r} is empty (0 bytes); upload the file again")
    raw = _blocks(files, source.key, head.etag)
    first = next(raw)
    zipped = first.startswith(GZIP_MAGIC)
    stream = chain([first], raw)
    unpacked = gunzip(stream, source.key) if zipped else stream
    start = next(unpacked, b"")
    if not start:
        raise InvalidFile(f"{source.key!r} is an archive of an empty file; upload the file again")
    file_format, skip = detect(start, source.key, zipped, source.mapping)
    if file_format.format == "parquet":
        return _plan_parquet(files, source, head.etag, file_format, chain([start], unpacked))
    text: Iterator[bytes] = chain([start[skip:]], unpacked)
    if file_format.encoding in WIDE_ENCODINGS:
        text = transcode(chain([start], unpacked), file_format.encoding)
        file_format = file_format.model_copy(update={"encoding": UTF8})
    in_place = not zipped and file_format.encoding == file_format.original
    # Other bytes cannot be read from the middle: they are stored in pieces.
    return _plan_text(files, source, head.etag, file_format, text, skip if in_place else None, chunk_bytes)


def _plan_text(
    files: Files,
    source: Source,
    etag: str,
    file_format: FileFormat,
    stream: Iterator[bytes],
    offset: int | None,
    chunk_bytes: int,
) -> ImportPlan:
    """`offset` is where the stream begins in the object, for files that are read in place; None for those stored
    in pieces."""
    key = source.key
    start = next(stream, b"")
    if file_format.format == "csv":
        file_format = file_format.model_copy(update={"delimiter": detect_delimiter(start, source.mapping)})
    begin = opening(chain([start], stream), quoting(file_format), key)
    if begin.begin == len(begin.head):
        raise InvalidFile(f"{key!r} holds nothing but blank lines")
    data_at = 0
    if file_format.format == "csv":
        record = begin.head[begin.begin : begin.end]
        names = _names(record, file_format, source.mapping, key)
        file_format = file_format.model_copy(update={"fields": len(names)})
        data_at = begin.end if file_format.header else 0
        layout = _csv_layout(names, begin.head[data_at:], file_format, source.mapping)
    else:
        layout = _jsonl_layout(begin.head, source)
    columns, ignored = _columns(source, layout)
    chunks = []
    data = chain([begin.head[data_at:]], begin.rest)
    for number, piece in enumerate(cut(data, quoting(file_format), key, offset is None, chunk_bytes), 1):
        if offset is None:
            piece_key, at, end = keys.staged_source(source.job_id, number), 0, len(piece.data)
            files.put(piece_key, piece.data)
        else:
            shift = offset + data_at
            piece_key, at, end = key, piece.start + shift, piece.end + shift
        chunks.append(
            PlannedChunk(
                chunk=number, key=piece_key, start=at, end=end, firstRow=piece.first_row, records=piece.records
            )
        )
    return _assemble(source, etag, file_format, columns, ignored, chunks)


def _plan_parquet(
    files: Files, source: Source, etag: str, file_format: FileFormat, data: Iterable[bytes]
) -> ImportPlan:
    key, condition = source.key, etag
    if file_format.gzip:
        key, condition = keys.staged_source(source.job_id, 0), ""
        with files.put_stream(key) as upload:
            for block in data:
                upload.write(block)
    with files.open_range(key, condition or None) as stream:
        file = formats_parquet.open_file(stream, source.key)
        schema, metadata = file.schema_arrow, file.metadata
    layout = _Layout([FileColumn(name, at) for at, name in enumerate(schema.names)], formats_parquet.kinds(schema))
    columns, ignored = _columns(source, layout)
    for column in columns:
        _check_parquet_kind(column, layout.kinds.get(column.source), schema)
    chunks: list[PlannedChunk] = []
    first_row = 1
    for start, end, rows in _row_group_ranges(metadata, source.key):
        chunks.append(
            PlannedChunk(chunk=len(chunks) + 1, key=key, start=start, end=end, firstRow=first_row, records=rows)
        )
        first_row += rows
    return _assemble(source, etag, file_format, columns, ignored, chunks)


def _row_group_ranges(metadata: pq.FileMetaData, key: str) -> Iterator[tuple[int, int, int]]:
    """Runs of row groups of about `CHUNK_ROWS` rows together: first, one past the last, rows."""
    start, rows = 0, 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        if metadata.row_group(group).num_rows > MAX_GROUP_ROWS:
            raise InvalidFile(
                f"{key!r} has a row group of {rows} rows; the limit is {MAX_GROUP_ROWS}: write smaller row groups"
            )
        last = group + 1 == metadata.num_row_groups
        if rows and (last or rows + metadata.row_group(group + 1).num_rows > CHUNK_ROWS):
            yield start, group + 1, rows
            start, rows = group + 1, 0


def _check_parquet_kind(column: PlannedColumn, found: Kind | None, schema: Any) -> None:
    nested = (Kind.LIST, Kind.GEO)
    if column.position != CONSTANT and (
        found is None or (found != column.kind and (found in nested or column.kind is Kind.GEO))
    ):
        raise InvalidFile(
            f"the column {column.source!r} is of type {schema.field(column.source).type}, which cannot be read as "
            f"{column.kind.value}; "
            'convert it or list it under "ignore" in the mapping'
        )


def _names(record: bytes, file_format: FileFormat, mapping: ImportMapping, key: str) -> list[str]:
    """The names of a CSV file's columns: from its header, or from the mapping where it has none."""
    if file_format.header:
        return formats_csv.read_header(record, file_format, key)
    fields = formats_csv.count_fields(record, file_format)
    if fields != len(mapping.names):
        raise InvalidFile(
            f"the mapping gives {len(mapping.names)} names, but the first row of {key!r} has {fields} fields"
        )
    return [name.strip() for name in mapping.names]


def _csv_layout(names: Sequence[str], data: bytes, file_format: FileFormat, mapping: ImportMapping) -> _Layout:
    columns = [FileColumn(name, position) for position, name in enumerate(names)]
    everything = [
        PlannedColumn(source=name, position=position, name=name, target=name, kind=Kind.STRING)
        for position, name in enumerate(names)
        if name
    ]
    ends, _ = RecordScanner(quoting(file_format)).feed(data)
    sample = data[: int(ends[min(len(ends), SAMPLE_RECORDS) - 1])] if len(ends) else data
    if not everything or not sample.strip():
        return _Layout(columns, {})
    block = next(formats_csv.blocks(sample, 1, file_format, everything), None)
    cells = block.columns if block else {}
    return _Layout(columns, {name: inference.of_text(values, mapping) for name, values in cells.items()})


def _jsonl_layout(head: bytes, source: Source) -> _Layout:
    """Columns in the order of their first occurrence. Names that the mapping or the catalogue knows may come later
    in the file."""
    values: dict[str, list[Any]] = defaultdict(list)
    for line in head.split(b"\n", SAMPLE_RECORDS)[:SAMPLE_RECORDS]:
        try:
            record = formats_jsonl.read_line(line, numbers_as_text=False)
        except formats_jsonl.Unreadable:
            continue
        for name, value in record.items():
            values[name].append(value)
        if len(values) > MAX_COLUMNS:
            raise InvalidFile(f"{source.key!r} has more than {MAX_COLUMNS} columns")
    declared = [*source.mapping.columns.values(), *source.mapping.types]
    expected = list(dict.fromkeys([*values, *declared, *source.known]))
    unread = {*source.mapping.ignore}
    kinds = {
        name: inference.of_json(name, found, source.mapping) for name, found in values.items() if name not in unread
    }
    return _Layout([FileColumn(name, position) for position, name in enumerate(expected)], kinds)


def _columns(source: Source, layout: _Layout) -> tuple[list[PlannedColumn], list[str]]:
    matched, ignored = match(source.dataset, layout.columns, source.mapping)
    names = {column.name for column in matched} | {column.source for column in layout.columns}
    unknown = [name for name in source.mapping.types if name not in names]
    if unknown:
        raise InvalidFile(
            f"the mapping gives a type to {unknown[0]!r}, but there is no such column or attribute",
            [FieldError(f"types.{name}", "no such column or attribute") for name in unknown],
        )
    columns = [
        PlannedColumn(
            source=column.source,
            position=column.position,
            name=column.name,
            target=column.target,
            kind=_kind(column, source, layout.kinds.get(column.source)),
        )
        for column in matched
    ]
    return columns, ignored


def _kind(column: Matched, source: Source, found: Kind | None) -> Kind:
    """Known columns have their kind; of others the catalogue decides, then the mapping, then the file."""
    if column.role is not None:
        return KIND_OF_ROLE[column.role]
    types = source.mapping.types
    declared = types.get(column.name, types.get(column.source))
    known = source.known.get(column.name)
    if known and declared and known != declared:
        raise InvalidFile(
            f"the mapping declares {column.name!r} as {declared.value}, but it is known as {known.value}; "
            'rename the column with "columns" or leave its type out'
        )
    return known or declared or found or Kind.STRING


def _assemble(
    source: Source,
    etag: str,
    file_format: FileFormat,
    columns: Sequence[PlannedColumn],
    ignored: Sequence[str],
    chunks: Sequence[PlannedChunk],
) -> ImportPlan:
    extras = [column for column in columns if PREFIXES[source.dataset] and column.target != column.name]
    return ImportPlan(
        jobId=source.job_id,
        key=source.key,
        dataset=source.dataset,
        etag=etag,
        now=source.now,
        format=file_format,
        parsing=Parsing(**{name: getattr(source.mapping, name) for name in Parsing.model_fields}),
        columns=tuple(columns),
        ignoredColumns=tuple(name for name in ignored if name),
        newAttributes={column.name: column.kind for column in extras if column.name not in source.known},
        chunks=tuple(chunks),
        records=sum(chunk.records for chunk in chunks),
    )


def _blocks(files: Files, key: str, etag: str) -> Iterator[bytes]:
    with files.open_range(key, etag) as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block
