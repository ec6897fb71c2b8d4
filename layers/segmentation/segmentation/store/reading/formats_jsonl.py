"""JSON Lines into columns of text: one object per line. Lines that are no object are rejected, each with its reason.

Arrow's JSON reader refuses a whole block for one bad line and turns text that looks like a date into one, so lines are
read one by one here; everything after that goes by column.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from segmentation.engine.catalogue import Kind
from segmentation.models.imports import UTF8, FileFormat, PlannedColumn
from segmentation.store.reading.blocks import Block
from segmentation.store.reading.columns import LATITUDES, LONGITUDES
from segmentation.store.reading.rejects import Rejects

LINES_A_BLOCK = 20_000
BYTES_A_BLOCK = 4 * 2**20

_REPLACEMENT = "\ufffd".encode()
_SURROGATE = re.compile(r"\\u[dD]")


class Unreadable(Exception):
    """A line that is no JSON object; the message is the reason for the reject."""


def blocks(
    data: bytes, first_row: int, file_format: FileFormat, columns: Sequence[PlannedColumn], ignored: Sequence[str]
) -> Iterator[Block]:
    """The records of `data`, which begins and ends at a line's end. Blank lines are no records."""
    if file_format.encoding != UTF8:
        data = data.decode(file_format.encoding, "replace").encode(UTF8)
    expected = {column.source for column in columns} | set(ignored)
    row, lines, size = first_row, list[bytes](), 0
    for line in _lines(data):
        if not line.strip(b" \t\r\n"):
            continue
        lines.append(line)
        size += len(line)
        if len(lines) >= LINES_A_BLOCK or size >= BYTES_A_BLOCK:
            yield _parse(lines, row, file_format.original, columns, expected)
            row, lines, size = row + len(lines), [], 0
    if lines:
        yield _parse(lines, row, file_format.original, columns, expected)


def read_line(line: bytes, numbers_as_text: bool) -> dict[str, Any]:
    """One line as an object. With `numbers_as_text` numbers stay as they are written. Raises Unreadable."""
    try:
        text = line.decode("utf-8")
        record = json.loads(text, **_AS_TEXT) if numbers_as_text else json.loads(text, parse_constant=_no_constant)
        if _SURROGATE.search(text):
            # Half of a surrogate pair is valid JSON and no text.
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None
    except UnicodeEncodeError:
        raise Unreadable("contains half of a surrogate pair") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"is no JSON: {error}") from None
    if not isinstance(record, dict):
        raise Unreadable("is no JSON object")
    return record


def is_place(value: Mapping[str, Any]) -> bool:
    """Whether an object is `{"latitude": ..., "longitude": ...}` or a usual spelling of it."""
    names = {name.lower() for name in value}
    return len(value) == 2 and bool(names & set(LATITUDES)) and bool(names & set(LONGITUDES))


def _no_constant(name: str) -> float:
    return float(name)


def _float_text(text: str) -> str:
    return text[:-2] if text.endswith(".0") else text


_AS_TEXT: dict[str, Any] = {"parse_int": str, "parse_float": _float_text, "parse_constant": str}


def _lines(data: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin) + 1 or len(data)
        yield data[begin:end]
        begin = end


def _parse(
    lines: Sequence[bytes], first_row: int, encoding: str, columns: Sequence[PlannedColumn], expected: set[str]
) -> Block:
    rejects = Rejects()
    rows: list[int] = []
    records: list[dict[str, Any]] = []
    bad: set[int] = set()
    for row, line in enumerate(lines, first_row):
        try:
            if encoding != UTF8 and _REPLACEMENT in line:
                raise Unreadable(f"is not {encoding} text")
            record = read_line(line, numbers_as_text=True)
        except Unreadable as reason:
            rejects.add_one(row, "", line.decode("utf-8", "replace").strip(), str(reason))
            continue
        for name in sorted(record.keys() - expected):
            bad.add(row)
            rejects.add_one(
                row,
                name,
                _text(record[name]),
                'is a column that the first records do not have; name its type under "types"',
            )
        rows.append(row)
        records.append(record)
    cells: dict[str, pa.Array] = {}
    for column in columns:
        values = [record.get(column.source) for record in records]
        cells[column.source] = _cells(values, rows, column, rejects, bad)
    damaged = np.array([row in bad for row in rows], dtype=np.bool_) if bad else None
    return Block(np.array(rows, dtype=np.int64), cells, rejects, damaged)


def _cells(values: list[Any], rows: Sequence[int], column: PlannedColumn, rejects: Rejects, bad: set[int]) -> pa.Array:
    """Scalars as text; lists as lists where the column's kind is a list, places as text where it is a place."""
    if column.kind is Kind.LIST:
        return _lists(values, rows, column, rejects, bad)
    for index, value in enumerate(values):
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, bool):
            values[index] = "true" if value else "false"
        elif column.kind is Kind.GEO and isinstance(value, dict) and is_place(value):
            values[index] = _place_text(value)
        else:
            _refuse(values, index, rows, column, rejects, bad)
    return pa.array(values, pa.string())


def _lists(values: list[Any], rows: Sequence[int], column: PlannedColumn, rejects: Rejects, bad: set[int]) -> pa.Array:
    for index, value in enumerate(values):
        if isinstance(value, str):
            values[index] = [value] if value.strip() else None
        elif isinstance(value, bool):
            values[index] = [_text(value)]
        elif isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
            values[index] = [item if item is None or isinstance(item, str) else _text(item) for item in value]
        elif value is not None:
            _refuse(values, index, rows, column, rejects, bad)
    return pa.array(values, pa.list_(pa.string()))


def _refuse(
    values: list[Any], index: int, rows: Sequence[int], column: PlannedColumn, rejects: Rejects, bad: set[int]
) -> None:
    what = "an object" if isinstance(values[index], dict) else "a list"
    rejects.add_one(
        rows[index], column.source, _text(values[index]), f"is {what}, but the column is of type {column.kind.value}"
    )
    bad.add(rows[index])
    values[index] = None


def _place_text(value: Mapping[str, Any]) -> str:
    by_name = {name.lower(): part for name, part in value.items()}
    latitude = next(by_name[name] for name in LATITUDES if name in by_name)
    longitude = next(by_name[name] for name in LONGITUDES if name in by_name)
    return f"{latitude},{longitude}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
