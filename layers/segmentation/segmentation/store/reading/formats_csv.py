"""Delimited text into columns of text, by Arrow's CSV reader. Records that do not have the file's number of fields
are rejected."""

import csv
import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from segmentation.errors import InvalidFile
from segmentation.models.imports import UTF8, WHITESPACE, FileFormat, PlannedColumn
from segmentation.store.reading.blocks import Block
from segmentation.store.reading.records import RecordScanner
from segmentation.store.reading.rejects import MAX_VALUE_CHARACTERS, Rejects

PARSE_BYTES = 8 * 2**20
"""Text that is parsed and checked at a time: bounds the memory of a worker, whatever the size of its chunk."""

_REPLACEMENT = "\ufffd"
_STRANGE = re.compile("[\x00-\x1f\x7f\ufffd]")


def read_header(record: bytes, file_format: FileFormat, key: str) -> list[str]:
    """The names in the header record, trimmed. A name may be empty."""
    try:
        names = [name.strip() for name in _fields(record.decode(file_format.encoding), file_format.delimiter)]
    except UnicodeDecodeError as error:
        raise InvalidFile(
            f"the header of {key!r} is not {file_format.original} text (byte {error.start}); "
            'say which encoding it is with "encoding" in the mapping, for example latin-1'
        ) from None
    except csv.Error as error:
        raise InvalidFile(f"the header of {key!r} cannot be read: {error}") from None
    strange = next((name for name in names if _STRANGE.search(name)), None)
    if strange is not None:
        raise InvalidFile(
            f"the header of {key!r} has the column {strange[:64]!r}, which is no text in {file_format.original}"
        )
    return names


def count_fields(record: bytes, file_format: FileFormat) -> int:
    """Number of fields of one record."""
    return len(_fields(record.decode(file_format.encoding, "replace"), file_format.delimiter))


def blocks(data: bytes, first_row: int, file_format: FileFormat, columns: Sequence[PlannedColumn]) -> Iterator[Block]:
    """The records of `data`, which begins and ends at a record's end, in blocks of about `PARSE_BYTES`."""
    text, damaged = _as_utf8(data, file_format)
    scanner = RecordScanner(None if file_format.delimiter == WHITESPACE else file_format.delimiter)
    begin, row = 0, first_row
    for at in range(0, len(text), PARSE_BYTES):
        piece = text[at : at + PARSE_BYTES]
        ends, content = scanner.feed(piece, final=at + len(piece) == len(text))
        records = int(content.sum())
        if records:
            rows = np.arange(row, row + records, dtype=np.int64)
            yield _parse(text[begin : int(ends[-1])], rows, file_format, columns, damaged)
        begin, row = scanner.start, row + records


def _parse(
    text: bytes, rows: NDArray[np.int64], file_format: FileFormat, columns: Sequence[PlannedColumn], damaged: bool
) -> Block:
    delimiter: str = file_format.delimiter
    quote: str | bool = '"'
    if delimiter == WHITESPACE:
        text, delimiter, quote = _single_tabs(text), "\t", False
    wrong: list[arrow_csv.InvalidRow] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    used = {str(column.position): pa.string() for column in columns}
    table = arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(
            column_names=[str(position) for position in range(file_format.fields)],
            use_threads=False,
            block_size=len(text) + 1,
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, quote_char=quote, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=used, include_columns=list(used), null_values=[""], strings_can_be_null=True, check_utf8=False
        ),
    )
    rejects = Rejects()
    kept = np.ones(len(rows), dtype=np.bool_)
    for row in wrong:
        kept[row.number - 1] = False
        reason = f"has {row.actual_columns} fields instead of {row.expected_columns}"
        rejects.add_one(int(rows[row.number - 1]), "", row.text[:MAX_VALUE_CHARACTERS], reason)
    cells = {column.source: table[str(column.position)].combine_chunks() for column in columns}
    rows = rows[kept]
    return Block(rows, cells, rejects, _undecodable(rows, cells, file_format.original, rejects) if damaged else None)


def _fields(line: str, delimiter: str) -> list[str]:
    return line.split() if delimiter == WHITESPACE else next(csv.reader([line], delimiter=delimiter), [])


def _as_utf8(data: bytes, file_format: FileFormat) -> tuple[bytes, bool]:
    """The text as UTF-8, and whether it has bytes that the encoding does not know (now U+FFFD)."""
    if data.isascii():
        return data, False
    try:
        text = data.decode(file_format.encoding)
    except UnicodeDecodeError:
        return data.decode(file_format.encoding, "replace").encode(UTF8), True
    damaged = file_format.original != UTF8 and _REPLACEMENT in text
    return (data if file_format.encoding == UTF8 else text.encode(UTF8)), damaged


def _undecodable(
    rows: NDArray[np.int64], cells: dict[str, pa.Array], encoding: str, rejects: Rejects
) -> NDArray[np.bool_]:
    damaged = np.zeros(len(rows), dtype=np.bool_)
    for source, values in cells.items():
        mask = pc.fill_null(pc.match_substring(values, _REPLACEMENT), False)
        found = np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)
        if found.any():
            rejects.add(
                rows[found],
                source,
                values.filter(mask),
                f"is not {encoding} text; say which encoding it is in the mapping",
            )
            damaged |= found
    return damaged


def _single_tabs(text: bytes) -> bytes:
    """Columns aligned with blanks: none at the ends of a line, one tab between fields."""
    return re.sub(rb"(?m)^\t|\t(?=\r?$)", b"", re.sub(rb"[ \t]+", b"\t", text))
