"""Tables as CSV, JSON Lines or Parquet, batch by batch into a stream: memory holds one batch, whatever the file's size.

Cells are made by Arrow kernels, column by column. It knows neither where the stream goes nor what the columns mean.
"""

import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segmentation.engine.catalogue import Kind

type Stream = IO[bytes] | io.RawIOBase | gzip.GzipFile
"""Anything that bytes can be written to."""

Array = Any
"""A `pyarrow.Array` of any type; pyarrow carries no annotations."""

LIST_SEPARATOR = "|"
"""Between the entries of a list in a CSV cell; imports split there again."""

ROW_GROUP = 64 * 1024
_SLICE = 64 * 1024
"""Rows of text that are made at once: a string column of Arrow holds at most 2 GiB."""

_FORMULA = r"^(?:[\t\r\n]|\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}])"
"""How a cell begins that a spreadsheet would run; the last four are the full-width forms, which some of them fold."""
_PLAIN_NUMBER = r"^[+\-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]+)?$"
_NEEDS_QUOTES = r'[",\r\n]|^\s|\s$'
_NEEDS_ESCAPES = r'["\\\x00-\x1f]'

ARROW_TYPES: Mapping[Kind, pa.DataType] = MappingProxyType(
    {
        Kind.STRING: pa.string(),
        Kind.NUMBER: pa.float64(),
        Kind.DATE: pa.timestamp("us", "UTC"),
        Kind.BOOLEAN: pa.bool_(),
        Kind.LIST: pa.list_(pa.string()),
        Kind.GEO: pa.struct([("latitude", pa.float64()), ("longitude", pa.float64())]),
    }
)
"""The type in which a column of each kind is handed over and, in Parquet, written."""


class Format(StrEnum):
    """A file format; the value is the file name's extension."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def write(
    stream: Stream,
    batches: Iterable[pa.Table],
    kinds: Mapping[str, Kind],
    file_format: Format,
    compress: bool = False,
) -> int:
    """Write every batch and return the number of rows.

    `kinds` gives the columns and their order; every batch has exactly these, in the types of `ARROW_TYPES`. Without
    batches the file has a header or a schema, and no rows. `compress` wraps CSV and JSON Lines in gzip; Parquet is
    compressed anyway. The stream is left open.
    """
    if file_format is Format.PARQUET:
        return _write_parquet(stream, batches, kinds)
    if not compress:
        return _write_text(stream, batches, kinds, file_format)
    # Level 1 is four times as fast as the default and costs a tenth in size. No time stamp: same rows, same bytes.
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1, mtime=0) as packed:
        return _write_text(packed, batches, kinds, file_format)


def schema(kinds: Mapping[str, Kind]) -> pa.Schema:
    """Arrow's schema for columns of these kinds."""
    return pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds.items()])


def neutralised(cells: Array) -> Array:
    """Strings that no spreadsheet runs as a formula: an apostrophe leads where one would. Plain numbers stay."""
    dangerous = pc.and_not(
        pc.match_substring_regex(cells, _FORMULA),
        pc.match_substring_regex(cells, _PLAIN_NUMBER),
    )
    if not pc.any(dangerous).as_py():
        return cells
    return pc.if_else(dangerous, pc.binary_join_element_wise("'", cells, ""), cells)


def _write_parquet(stream: Stream, batches: Iterable[pa.Table], kinds: Mapping[str, Kind]) -> int:
    """Row groups of at least `ROW_GROUP` rows: small batches are gathered, so that many partitions make no crumbs."""
    rows = 0
    gathered: list[pa.Table] = []
    with pq.ParquetWriter(stream, schema(kinds), compression="zstd") as writer:
        for batch in batches:
            rows += batch.num_rows
            gathered.append(batch)
            if sum(table.num_rows for table in gathered) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(gathered))
                gathered = []
        if gathered:
            writer.write_table(pa.concat_tables(gathered))
    return rows


def _write_text(stream: Stream, batches: Iterable[pa.Table], kinds: Mapping[str, Kind], file_format: Format) -> int:
    if file_format is Format.CSV:
        write_header(stream, kinds)
    return write_rows(stream, batches, kinds, file_format)


def write_header(stream: Stream, kinds: Mapping[str, Kind]) -> None:
    """The first line of a CSV file alone: for a file whose rows come in parts."""
    header = pa.record_batch({name: pa.array([name]) for name in kinds})
    stream.write(_joined(_csv_lines(header, dict.fromkeys(kinds, Kind.STRING))))


def write_rows(stream: Stream, batches: Iterable[pa.Table], kinds: Mapping[str, Kind], file_format: Format) -> int:
    """Lines of CSV or JSON without a header, and how many: parts that follow each other are one file."""
    lines = _csv_lines if file_format is Format.CSV else _json_lines
    rows = 0
    for batch in batches:
        for part in batch.to_batches(max_chunksize=_SLICE):
            stream.write(_joined(lines(part, kinds)))
        rows += batch.num_rows
    return rows


def _csv_lines(batch: pa.RecordBatch, kinds: Mapping[str, Kind]) -> Array:
    """RFC 4180 records without their end: quotes where needed, none for a blank cell."""
    cells = [_csv_cells(batch[name], kind) for name, kind in kinds.items()]
    if len(cells) == 1:
        # A lone blank cell would be an empty line, which readers skip.
        return pc.if_else(pc.equal(cells[0], ""), pa.scalar('""'), cells[0])
    return pc.binary_join_element_wise(*cells, ",")


def _csv_cells(column: Array, kind: Kind) -> Array:
    if kind is Kind.GEO:
        return _csv_quoted(_geo(column, "", ",", ""))
    if kind is Kind.LIST:
        return _csv_quoted(neutralised(pc.binary_join(column, LIST_SEPARATOR)))
    if kind is Kind.STRING:
        return _csv_quoted(neutralised(column))
    return pc.fill_null(_plain(column, kind), "")


def _csv_quoted(cells: Array) -> Array:
    cells = pc.fill_null(cells, "")
    quoted = pc.match_substring_regex(cells, _NEEDS_QUOTES)
    if not pc.any(quoted).as_py():
        return cells
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(quoted, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _json_lines(batch: pa.RecordBatch, kinds: Mapping[str, Kind]) -> Array:
    """One object per row, without spaces; a missing value is null."""
    parts: list[Array] = []
    for position, (name, kind) in enumerate(kinds.items()):
        parts += [("," if position else "{") + json.dumps(name, ensure_ascii=False) + ":"]
        parts += [pc.fill_null(_JSON[kind](batch[name]), "null")]
    return pc.binary_join_element_wise(*parts, "}", "")


def _json_strings(values: Array) -> Array:
    """Quoted strings. Only those with something to escape leave Arrow."""
    simple = pc.binary_join_element_wise('"', values, '"', "")
    special = pc.fill_null(pc.match_substring_regex(values, _NEEDS_ESCAPES), False)
    if not pc.any(special).as_py():
        return simple
    escaped = [json.dumps(value, ensure_ascii=False) for value in values.filter(special).to_pylist()]
    return pc.replace_with_mask(simple, special, pa.array(escaped, pa.string()))


def _json_lists(lists: Array) -> Array:
    entries = _json_strings(lists.flatten())
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, entries), ",")
    return pc.if_else(
        pc.is_valid(lists), pc.binary_join_element_wise("[", joined, "]", ""), pa.scalar(None, pa.string())
    )


def _json_dates(column: Array) -> Array:
    return pc.binary_join_element_wise('"', _dates(column), '"', "")


def _json_geo(column: Array) -> Array:
    return _geo(column, '{"latitude":', ',"longitude":', "}")


def _geo(column: Array, before: str, between: str, after: str) -> Array:
    latitude, longitude = (pc.cast(pc.struct_field(column, [field]), pa.string()) for field in (0, 1))
    return pc.binary_join_element_wise(before, latitude, between, longitude, after, "")


def _plain(column: Array, kind: Kind) -> Array:
    return _dates(column) if kind is Kind.DATE else pc.cast(column, pa.string())


def _dates(column: Array) -> Array:
    """ISO 8601 in UTC, with a fraction only where there is one. Not by `strftime`, which needs a time zone database."""
    texts = pc.cast(pc.cast(column, pa.timestamp("us")), pa.string())
    shortened = pc.replace_substring_regex(pc.replace_substring(texts, " ", "T"), r"\.?0+$", "")
    return pc.binary_join_element_wise(shortened, "Z", "")


_JSON: Mapping[Kind, Callable[[Array], Array]] = {
    Kind.STRING: _json_strings,
    Kind.NUMBER: lambda column: pc.cast(column, pa.string()),
    Kind.DATE: _json_dates,
    Kind.BOOLEAN: lambda column: pc.cast(column, pa.string()),
    Kind.LIST: _json_lists,
    Kind.GEO: _json_geo,
}


def _joined(lines: Array) -> bytes:
    """The lines, each with its line feed, as one run of bytes: Arrow keeps the strings of an array end to end."""
    ended = pc.binary_join_element_wise(lines, "", "\n")
    _, offsets, data = ended.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[ended.offset : ended.offset + len(ended) + 1]
    return cast(bytes, data[bounds[0] : bounds[-1]].to_pybytes())
