"""One column of a file as typed values: text, numbers, truth values, lists and places, by Arrow kernels.

Every function takes what the file holds (text, or what Parquet has typed already), where null is "no value", and
returns typed
values with null at each bad cell, together with the masks and reasons of those cells. It must not know datasets or
records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Decimal = Literal[".", ","]

MAX_ID_BYTES = 256
MAX_TEXT_BYTES = 4096
MAX_LIST_ITEMS = 1000
GEO = pa.struct([("lat", pa.float64()), ("lon", pa.float64())])
LATITUDES = ("lat", "latitude")
LONGITUDES = ("lon", "lng", "longitude")

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NUMBER_WITH_COMMA = r"^[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]*)?$"
_POINT = r"^(?P<lat>[+-]?[0-9]{1,3}(?:\.[0-9]+)?)\s*[,;\s]\s*(?P<lon>[+-]?[0-9]{1,3}(?:\.[0-9]+)?)$"
_TRUE = pa.array(["true", "yes", "1", "t", "y"])
_FALSE = pa.array(["false", "no", "0", "f", "n"])
_NOT_FINITE = pa.array(["nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "+nan", "-nan"])
_EXACT_INTEGERS = 2.0**53


@dataclass(frozen=True, eq=False)
class Problem:
    """`mask[i]`: cell i is bad for this reason."""

    mask: Flags
    reason: str


@dataclass(frozen=True, eq=False)
class Checked:
    """Typed values, null where the cell is blank or bad, and what is wrong with the bad ones."""

    values: pa.Array
    problems: tuple[Problem, ...] = ()


def flags(mask: pa.Array) -> Flags:
    """An Arrow mask as numpy, null as false."""
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def keep(values: pa.Array, problems: list[Problem]) -> Checked:
    """Null the bad cells and drop the checks that found nothing."""
    found = tuple(problem for problem in problems if problem.mask.any())
    if found:
        bad = np.logical_or.reduce([problem.mask for problem in found])
        values = pc.if_else(pa.array(bad), pa.scalar(None, values.type), values)
    return Checked(values, found)


def as_text(raw: pa.Array) -> pa.Array:
    """Any flat column as trimmed text; blank cells become null. A whole number has no decimal point: 17850.0 is
    "17850"."""
    if pa.types.is_dictionary(raw.type):
        raw = raw.dictionary_decode()
    if pa.types.is_floating(raw.type):
        raw = _float_text(raw.cast(pa.float64()))
    text = raw.cast(pa.string())
    text = pc.utf8_trim_whitespace(text)
    empty = pc.equal(text, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), text) if pc.any(empty).as_py() else text


def parse(
    raw: pa.Array,
    pattern: str,
    quick: Callable[[pa.Array], pa.Array],
    careful: Callable[[pa.Array], tuple[pa.Array, Flags]],
) -> tuple[pa.Array, Flags]:
    """Text to typed values and a mask of unreadable cells: most cells the quick way, which none that matches
    `pattern` may
    fail, and the few others with care. Where all cells are clean not even the pattern is tried."""
    try:
        return quick(raw), np.zeros(len(raw), dtype=np.bool_)
    except pa.ArrowInvalid:
        pass
    easy = pc.fill_null(pc.match_substring_regex(raw, pattern), True)
    hard = pc.invert(easy)
    rest, bad = careful(raw.filter(hard))
    values = pc.replace_with_mask(quick(pc.if_else(easy, raw, pa.scalar(None, raw.type))), hard, rest)
    unreadable = flags(hard)
    unreadable[unreadable] = bad
    return values, unreadable


def text(raw: pa.Array, limit: int = MAX_TEXT_BYTES) -> Checked:
    """Text in NFC, at most `limit` UTF-8 bytes, without NUL."""
    values = _normalised(as_text(raw))
    return keep(
        values,
        [
            Problem(flags(pc.greater(pc.binary_length(values), limit)), f"is longer than {limit} bytes"),
            Problem(flags(pc.match_substring(values, "\x00")), "contains a NUL character"),
        ],
    )


def identifier(raw: pa.Array, pattern: str | None = None) -> Checked:
    """An id: NFC, at most 256 UTF-8 bytes, no control characters; where `pattern` is given the whole id must match it.

    Checks run once per distinct id.
    """
    values = as_text(raw)
    encoded = values.dictionary_encode()
    ids = _normalised(encoded.dictionary)
    problems = [
        Problem(flags(pc.greater(pc.binary_length(ids), MAX_ID_BYTES)), f"is longer than {MAX_ID_BYTES} bytes"),
        Problem(flags(pc.match_substring_regex(ids, r"\p{Cc}")), "contains a control character"),
    ]
    if pattern:
        problems.append(Problem(~flags(pc.match_substring_regex(ids, f"^(?:{pattern})$")), f"does not match {pattern}"))
    codes = np.asarray(pc.fill_null(encoded.indices, -1))
    spread = [Problem(_spread(problem.mask, codes), problem.reason) for problem in problems if problem.mask.any()]
    return keep(values if ids is encoded.dictionary else ids.take(encoded.indices), spread)


def number(raw: pa.Array, decimal: Decimal = ".") -> Checked:
    """64-bit floats; NaN and infinities are bad. With a decimal comma, points may group thousands: 1.234,5."""
    if is_numeric(raw.type):
        values, unreadable = raw.cast(pa.float64(), safe=False), np.zeros(len(raw), dtype=np.bool_)
    else:
        values, unreadable = _parse_numbers(raw, decimal)
    endless = flags(pc.invert(pc.is_finite(values)))
    return keep(values, [Problem(unreadable, "is not a number"), Problem(endless, "is not a finite number")])


def boolean(raw: pa.Array) -> Checked:
    """true, yes, y, t, 1 and false, no, n, f, 0 in any case."""
    if pa.types.is_boolean(raw.type):
        return Checked(raw)
    lowered = pc.utf8_lower(as_text(raw))
    yes, no = pc.is_in(lowered, _TRUE), pc.is_in(lowered, _FALSE)
    values = pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_()))
    bad = flags(pc.is_valid(lowered)) & flags(pc.is_null(values))
    return keep(values, [Problem(bad, "is neither true nor false")])


def items(raw: pa.Array, separator: str = "|") -> Checked:
    """Lists of text: typed lists, or text split at `separator`. Blank items are left out."""
    if is_list(raw.type):
        lists = raw.cast(pa.list_(raw.type.value_type)) if not pa.types.is_list(raw.type) else raw
    else:
        lists = pc.split_pattern(as_text(raw), separator)
    absent = flags(pc.is_null(lists))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int64)
    parents = np.repeat(np.arange(len(lists)), lengths)
    flat = _normalised(as_text(lists.flatten()))
    present = flags(pc.is_valid(flat))
    too_long = flags(pc.greater(pc.binary_length(flat), MAX_TEXT_BYTES)) | flags(pc.match_substring(flat, "\x00"))
    counts = np.bincount(parents[present], minlength=len(lists))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    values = pa.ListArray.from_arrays(pa.array(offsets), flat.filter(pa.array(present)), mask=pa.array(absent))
    return keep(
        values,
        [
            Problem(
                np.bincount(parents[too_long], minlength=len(lists)) > 0,
                f"has an item over {MAX_TEXT_BYTES} bytes or with NUL",
            ),
            Problem(counts > MAX_LIST_ITEMS, f"has more than {MAX_LIST_ITEMS} items"),
        ],
    )


def place(raw: pa.Array) -> Checked:
    """Latitude and longitude in degrees: a struct with both, or text like `52.52,13.405`."""
    if pa.types.is_struct(raw.type):
        names = [field.name for field in raw.type]
        latitude, longitude = (
            pc.struct_field(raw, next(name for name in names if name.lower() in choices)).cast(pa.float64())
            for choices in (LATITUDES, LONGITUDES)
        )
        given, readable = flags(pc.is_valid(raw)), flags(pc.and_(pc.is_valid(latitude), pc.is_valid(longitude)))
    else:
        cells = as_text(raw)
        parts = pc.extract_regex(cells, _POINT)
        given, readable = flags(pc.is_valid(cells)), flags(pc.is_valid(parts))
        latitude, longitude = (pc.struct_field(parts, name).cast(pa.float64()) for name in ("lat", "lon"))
    inside = flags(pc.less_equal(pc.abs(latitude), 90.0)) & flags(pc.less_equal(pc.abs(longitude), 180.0))
    values = pa.StructArray.from_arrays([latitude, longitude], fields=list(GEO), mask=pa.array(~(given & readable)))
    return keep(
        values,
        [
            Problem(given & ~readable, "is no place; write latitude,longitude in degrees like 52.52,13.405"),
            Problem(given & readable & ~inside, "is outside -90..90 degrees of latitude or -180..180 of longitude"),
        ],
    )


def is_numeric(kind: pa.DataType) -> bool:
    """Integers, floats and decimals."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_list(kind: pa.DataType) -> bool:
    """Any of Arrow's list types."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _parse_numbers(raw: pa.Array, decimal: Decimal) -> tuple[pa.Array, Flags]:
    def careful(cells: pa.Array) -> tuple[pa.Array, Flags]:
        cells = as_text(cells)
        odd = pc.is_in(pc.utf8_lower(cells), _NOT_FINITE)
        readable = pc.match_substring_regex(cells, _NUMBER if decimal == "." else _NUMBER_WITH_COMMA)
        unreadable = flags(pc.invert(pc.or_(readable, odd)))
        if decimal == ",":
            cells = pc.replace_substring(pc.replace_substring(cells, ".", ""), ",", ".")
        cells = pc.if_else(odd, "nan", pc.if_else(readable, cells, pa.scalar(None, pa.string())))
        return cells.cast(pa.float64()), unreadable

    if decimal == "," or not pa.types.is_string(raw.type):
        return careful(raw)
    return parse(raw, _NUMBER, lambda cells: cells.cast(pa.float64()), careful)


def _float_text(raw: pa.Array) -> pa.Array:
    values = np.asarray(pc.fill_null(raw, np.nan))
    whole = np.isfinite(values) & (np.abs(values) < _EXACT_INTEGERS) & (np.trunc(values) == values)
    integers = pa.array(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    written = pc.if_else(pa.array(whole), integers, raw.cast(pa.string()))
    return pc.if_else(pa.array(np.isnan(values)), pa.scalar(None, pa.string()), written)


def _normalised(values: pa.Array) -> pa.Array:
    ascii_only = pc.all(pc.string_is_ascii(values)).as_py()
    return values if ascii_only in (True, None) else pc.utf8_normalize(values, form="NFC")


def _spread(mask: Flags, codes: NDArray[np.int32]) -> Flags:
    """A mask over distinct values as one over cells; missing cells are false."""
    return np.append(mask, False)[codes]
