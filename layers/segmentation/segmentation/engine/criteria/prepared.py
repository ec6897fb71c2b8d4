"""A frame with what several rules need of it: bitmaps of small columns, look-ups of texts, owners of event rows.

Everything is made on first need and kept, so hand the same `Prepared` to every evaluation of one frame. It must not
know rules or operators.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.catalogue import Kind
from segmentation.engine.criteria.times import DAY, NOT_A_TIME, Int64, Zone
from segmentation.engine.frame import (
    BooleanColumn,
    Bools,
    Codes,
    Column,
    DateColumn,
    EventTable,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)

Bits = NDArray[np.uint8]
"""One bit per row, the first row in the highest bit of the first byte; bits beyond the last row are zero in results."""

SMALL = 64
"""Columns of up to so many distinct values have a bitmap per value."""

CLASSES: Mapping[Kind, type[Column]] = {
    Kind.STRING: StringColumn,
    Kind.NUMBER: NumberColumn,
    Kind.DATE: DateColumn,
    Kind.BOOLEAN: BooleanColumn,
    Kind.LIST: ListColumn,
    Kind.GEO: GeoColumn,
}


def pack(rows: Bools) -> Bits:
    """Truth values as bits."""
    return np.packbits(rows)


def unpack(bits: Bits, size: int) -> Bools:
    """Bits as `size` truth values."""
    return np.unpackbits(bits, count=size).view(np.bool_)


def count(bits: Bits) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def empty(size: int) -> Bits:
    """No row."""
    return np.zeros((size + 7) // 8, dtype=np.uint8)


def fold(text: str) -> str:
    """A text as it compares where case does not matter (Unicode's canonical caseless matching)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@dataclass(frozen=True, eq=False)
class Calendar:
    """Where dates fall in a zone's calendar: `month * 31 + day - 1`, and the year (the greatest where missing)."""

    days: NDArray[np.int16]
    years: NDArray[np.int16]


class Prepared:
    """A frame (or the rows of an event table as a frame) with its lazily made helpers."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.size = frame.size
        self._made: dict[tuple[object, ...], object] = {}

    @staticmethod
    def of(frame: "Frame | Prepared") -> "Prepared":
        return frame if isinstance(frame, Prepared) else Prepared(frame)

    def column(self, name: str, kind: Kind) -> Column | None:
        """The column of a name; None where the frame lacks it.

        Raises
        ------
        ValueError
            The column is of another kind than the rule takes it for.
        """
        column = self.frame.columns.get(name)
        if column is not None and not isinstance(column, CLASSES[kind]):
            raise ValueError(f"column {name!r} is a {type(column).__name__}, the rule reads it as a {kind}")
        return column

    def present(self, name: str, column: Column) -> Bits:
        """The rows that have a value."""
        return self._keep(("present", name), lambda: ~pack(column.missing()))

    def bitmap(self, name: str, column: StringColumn | ListColumn, code: int) -> Bits:
        """The rows whose text is, or whose list holds, one value of the dictionary (lists: of at most SMALL values)."""
        if isinstance(column, StringColumn):
            return self._keep(("bitmap", name, code), lambda: pack(column.codes == code))
        sets = self._keep(("sets", name), lambda: _sets(column))
        return self._keep(("bitmap", name, code), lambda: pack(sets & np.uint64(1 << code) != 0))

    def list_owners(self, name: str, column: ListColumn) -> Codes:
        """The row of every list element."""
        return self._keep(("owners", name), lambda: _owners(column.offsets))

    def list_sizes(self, name: str, column: ListColumn) -> Codes:
        """How many elements each list holds; -1 where it is absent."""
        return self._keep(
            ("sizes", name), lambda: np.where(column.absent, -1, np.diff(column.offsets)).astype(np.int32)
        )

    def codes(self, name: str, column: StringColumn | ListColumn) -> dict[str, int]:
        """The code of every value of the dictionary."""
        return self._keep(("codes", name), lambda: {value: code for code, value in enumerate(column.values)})

    def folded(self, name: str, column: StringColumn | ListColumn) -> tuple[str, ...]:
        """The dictionary's values as they compare where case does not matter."""
        return self._keep(("folded", name), lambda: tuple(fold(value) for value in column.values))

    def calendar(self, name: str, column: DateColumn, zone: Zone) -> Calendar:
        """Month, day and year of every date in a zone."""
        return self._keep(("calendar", name, zone.name), lambda: _calendar(column, zone))

    def bounds(self, name: str, column: DateColumn) -> tuple[int, int]:
        """The earliest and the latest instant in microseconds; the largest and least integer where there is none."""
        return self._keep(("bounds", name), lambda: _bounds(column.values.view(np.int64)))

    def rows(self, event: str) -> "Prepared | None":
        """The rows of an event as a frame of their own; None where the frame lacks the event."""
        table = self.frame.events.get(event)
        if table is None:
            return None
        return self._keep(("rows", event), lambda: Prepared(Frame(len(table.time), table.columns)))

    def owners(self, event: str, table: EventTable) -> Codes:
        """The customer of every row of an event."""
        return self._keep(("owners of", event), lambda: _owners(table.offsets))

    def _keep[T](self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]  # the key tells the type


def union(bitmaps: Iterable[Bits], size: int) -> Bits:
    """The rows that are in any of the bitmaps."""
    rows = empty(size)
    for bitmap in bitmaps:
        np.bitwise_or(rows, bitmap, out=rows)
    return rows


def _bounds(times: Int64) -> tuple[int, int]:
    # Counted from the first instant without a sign, "not a time" comes after all others.
    first, last = NOT_A_TIME + 1, (1 << 63) - 1
    after = int((times - first).view(np.uint64).min(initial=last - first))
    return min(after + first, last), int(times.max(initial=NOT_A_TIME))


def _sets(column: ListColumn) -> NDArray[np.uint64]:
    """Every list as a set of codes, one bit for each; the dictionary has at most 64 values."""
    sets = np.zeros(len(column.absent), dtype=np.uint64)
    filled = np.flatnonzero(np.diff(column.offsets) > 0)
    if filled.size:
        bits = np.left_shift(np.uint64(1), column.codes[: column.offsets[-1]].astype(np.uint64))
        sets[filled] = np.bitwise_or.reduceat(bits, column.offsets[filled])
    sets[column.absent] = 0
    return sets


def _owners(offsets: Int64) -> Codes:
    return np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))


def _calendar(column: DateColumn, zone: Zone) -> Calendar:
    missing = column.missing()
    instants = np.where(missing, 0, column.values.astype("datetime64[us]").view(np.int64))
    dates = (zone.local(instants) // DAY).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    years = months.astype("datetime64[Y]").astype(np.int64) + 1970
    day = (dates - months.astype("datetime64[D]")).astype(np.int64)
    places = (months.astype(np.int64) % 12) * 31 + day
    years[missing] = np.iinfo(np.int16).max
    return Calendar(places.astype(np.int16), np.clip(years, -32768, 32767).astype(np.int16))
