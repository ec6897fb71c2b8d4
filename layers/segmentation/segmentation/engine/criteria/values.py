"""Values of conditions: what JSON says, coerced to the kind that the catalogue gives the attribute.

Everything here raises `BadValueError` with a sentence that names the value. It must not know columns.
"""

import json
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import cast
from zoneinfo import ZoneInfo

from segmentation.engine.catalogue import Kind
from segmentation.engine.criteria.operators.dates import beyond, first
from segmentation.engine.criteria.operators.strings import compile_pattern
from segmentation.engine.criteria.times import Zone
from segmentation.engine.criteria.tree import Circle, Duration, Point, Scalar, Value
from segmentation.engine.criteria.words import Shape

MOST_VALUES = 10_000
LONGEST_PATTERN = 1000
LARGEST_SIZE = 1_000_000
FARTHEST_KM = 20_038.0
"""Half the way around the Earth."""

LONGEST = {"h": 876_600, "d": 36_525, "w": 5_218, "m": 1_200, "y": 100}
"""A hundred years."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
DURATION = re.compile(r"(\d{1,9})\s*([hdwmy])", re.ASCII)
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII)

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class BadValueError(ValueError):
    """A value that cannot be taken; the message says which and what would be right."""


def show(value: object) -> str:
    """A value for a message: as JSON, cut to a length that can be read."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def value_of(raw: object, kind: Kind, shape: Shape, zone: Zone) -> Value:
    """The canonical value of an operator.

    Raises
    ------
    BadValueError
        `raw` is not what the operator takes.
    """
    match shape:
        case Shape.NOTHING:
            if raw is not None:
                raise BadValueError(f"takes no value, got {show(raw)}")
            return None
        case Shape.ONE:
            return _scalar(raw, kind, zone)
        case Shape.MANY:
            return _many(raw, kind, zone)
        case Shape.RANGE:
            return _range(raw, kind, zone)
        case Shape.DAY:
            return _day(raw, zone)
        case Shape.SPAN | Shape.DAYS:
            return duration(raw, whole_days=shape is Shape.DAYS)
        case Shape.SIZE:
            return _size(raw)
        case Shape.CIRCLE:
            return _circle(raw)
    words = text(raw)
    if not words:
        raise BadValueError("needs a text that is not empty; to ask for any value use is_set")
    return _pattern(words) if shape is Shape.PATTERN else words


def text(raw: object) -> str:
    """A text in NFC. Whole numbers are taken as they are written."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)
    if not isinstance(raw, str):
        raise BadValueError(f"needs a text, got {show(raw)}")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise BadValueError(
            f"needs a text, got {show(raw.encode(errors='backslashreplace').decode())} with half a character"
        ) from None
    return unicodedata.normalize("NFC", raw)


def number(raw: object) -> float:
    """A finite 64-bit float."""
    if isinstance(raw, str):
        if len(raw) > 64 or not NUMBER.fullmatch(raw.strip()):
            raise BadValueError(f"needs a number, got {show(raw)}; write it like 12.5")
    elif isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        raise BadValueError(f"needs a number, got {show(raw)}")
    try:
        found = float(raw)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadValueError(f"needs a finite number, got {show(raw)}")
    return found + 0.0  # so that -0.0 and 0.0 are one


def boolean(raw: object) -> bool:
    """True or false."""
    if isinstance(raw, bool):
        return raw
    found = TRUTH.get(raw.strip().lower()) if isinstance(raw, str) else None
    if found is None:
        raise BadValueError(f"needs true or false, got {show(raw)}")
    return found


def moment(raw: object, zone: Zone) -> date:
    """A day (`2024-05-01`), or an instant in UTC; one without an offset is in the rule's time zone."""
    wanted = f"needs a date like 2024-05-01 or an instant like 2024-05-01T10:00:00Z, got {show(raw)}"
    if not isinstance(raw, str):
        raise BadValueError(wanted)
    words = raw.strip()
    try:
        if DAY.fullmatch(words):
            return date.fromisoformat(words)
        if INSTANT.fullmatch(words):
            found = datetime.fromisoformat(words)
            return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone.name))).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadValueError(wanted)


def duration(raw: object, whole_days: bool = False) -> Duration:
    """`<n><unit>` with h, d, w, m (months), y. With `whole_days` no hours, and 0d for today."""
    units = "d, w, m (months) or y" if whole_days else "h, d, w, m (months) or y"
    found = DURATION.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if found is None or (whole_days and found[2] == "h"):
        raise BadValueError(f'needs a duration like "30d" with a unit of {units}, got {show(raw)}')
    span = Duration(int(found[1]), found[2])
    if span.count == 0 and not whole_days:
        raise BadValueError(f"needs a duration that is longer than nothing, got {show(raw)}")
    if span.count > LONGEST[span.unit]:
        raise BadValueError(f"{show(raw)} exceeds the limit of {LONGEST[span.unit]}{span.unit}")
    return span


def _scalar(raw: object, kind: Kind, zone: Zone) -> Scalar:
    match kind:
        case Kind.NUMBER:
            return number(raw)
        case Kind.BOOLEAN:
            return boolean(raw)
        case Kind.DATE:
            return moment(raw, zone)
        case Kind.GEO:
            return Point(*_coordinates(raw, ("latitude", "longitude")))
    return text(raw)


def _many(raw: object, kind: Kind, zone: Zone) -> tuple[Scalar, ...]:
    """Distinct values in ascending order: a JSON list, or a text with commas."""
    parts = _parts(raw, kind)
    if not parts:
        raise BadValueError("needs at least one value, got an empty list")
    if len(parts) > MOST_VALUES:
        raise BadValueError(f"{len(parts)} values exceed the limit of {MOST_VALUES}")
    return tuple(sorted({_scalar(part, kind, zone) for part in parts}, key=_rank(kind, zone)))


def _rank(kind: Kind, zone: Zone) -> Callable[[Scalar], tuple[object, ...]]:
    if kind is Kind.DATE:
        return lambda value: (first(cast(date, value), zone), isinstance(value, datetime))
    if kind is Kind.GEO:
        return lambda value: (cast(Point, value).latitude, cast(Point, value).longitude)
    return lambda value: (value,)


def _parts(raw: object, kind: Kind) -> list[object]:
    if isinstance(raw, str) and raw.lstrip().startswith("["):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            raise BadValueError(f"needs a list of values, got {show(raw)}, which is not a JSON list") from None
    elif isinstance(raw, str) and kind is not Kind.GEO:
        return [part.strip() for part in raw.split(",")]
    return raw if isinstance(raw, list) else [raw]


def _range(raw: object, kind: Kind, zone: Zone) -> tuple[Scalar, Scalar]:
    parts = _parts(raw, kind)
    if len(parts) != 2:
        raise BadValueError(f"needs two values [lower, upper], got {show(raw)}")
    low, high = (_scalar(part, kind, zone) for part in parts)
    if isinstance(low, date) and isinstance(high, date):
        empty = first(low, zone) >= beyond(high, zone)
    else:
        empty = cast(float, low) > cast(float, high)
    if empty:
        raise BadValueError(f"needs the lower value first, got {show(raw)}")
    return low, high


def _day(raw: object, zone: Zone) -> date:
    found = moment(raw, zone)
    return found.astimezone(ZoneInfo(zone.name)).date() if isinstance(found, datetime) else found


def _size(raw: object) -> float:
    found = number(raw)
    if found < 0 or found != int(found) or found > LARGEST_SIZE:
        raise BadValueError(f"needs a whole number from 0 to {LARGEST_SIZE}, got {show(raw)}")
    return found


def _coordinates(raw: object, names: tuple[str, ...]) -> list[float]:
    """Numbers of an object with exactly these fields, or of a text with commas; the first two are a place."""
    if isinstance(raw, str):
        parts: list[object] = [part.strip() for part in raw.split(",")]
        raw = dict(zip(names, parts, strict=True)) if len(parts) == len(names) else raw
    if not isinstance(raw, dict) or set(raw) != set(names):
        raise BadValueError(f"needs an object with {', '.join(names)}, got {show(raw)}")
    found = [number(raw[name]) for name in names]
    if abs(found[0]) > 90 or abs(found[1]) > 180:
        raise BadValueError(f"needs a latitude of -90 to 90 and a longitude of -180 to 180, got {show(raw)}")
    return found


def _circle(raw: object) -> Circle:
    circle = Circle(*_coordinates(raw, ("latitude", "longitude", "km")))
    if not 0 < circle.km <= FARTHEST_KM:
        raise BadValueError(f"needs a distance above 0 and up to {FARTHEST_KM:.0f} km, got {show(raw)}")
    return circle


def _pattern(words: str) -> str:
    if len(words) > LONGEST_PATTERN:
        raise BadValueError(f"a regular expression of {len(words)} characters exceeds the limit of {LONGEST_PATTERN}")
    try:
        compile_pattern(words, ignore_case=False)
    except ValueError as error:
        raise BadValueError(f"{show(words)} is not a regular expression that can be used here: {error}") from None
    return words
