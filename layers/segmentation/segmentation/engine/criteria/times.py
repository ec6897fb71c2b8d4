"""Calendar arithmetic: time zones, days, durations, and when the edge of a rolling window reaches an instant.

Instants and wall-clock times are int64 microseconds since 1970; days are int64 days since 1970. Outside the years 1800
to 2200 a zone keeps the offset of the nearest year inside. It must not know columns or operators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.criteria.tree import Duration

Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
UNITS = {"h": HOUR, "d": DAY, "w": 7 * DAY}
MONTHS = {"m": 1, "y": 12}

NOT_A_TIME = -(1 << 63)
"""A missing instant as int64."""

NEVER = np.uint64(1 << 63)
"""The wait for what never comes. Waits are unsigned, so that an instant that has passed waits longer than any other."""

HORIZON = 400 * DAY
"""How far ahead calendar windows are followed; beyond it they are looked at again."""

FIRST_YEAR, LAST_YEAR = 1800, 2200
STEP = 15 * 60 * SECOND
"""Every zone changes its clock, and every day begins, at a whole quarter of an hour in UTC."""


class Zone:
    """An IANA time zone that converts whole arrays."""

    def __init__(self, name: str) -> None:
        self.name = name

    def local(self, instants: Int64) -> Int64:
        """Wall-clock times of instants."""
        if self.name == "UTC" or not instants.size:
            return instants
        changes, offsets = self._table(instants)
        return np.asarray(instants + offsets[np.searchsorted(changes, instants, side="right")])

    def instants(self, walls: Int64) -> Int64:
        """Instants of wall-clock times.

        A time that occurs twice is the first one; one that is skipped is read as if the clock had not yet changed.
        """
        if self.name == "UTC" or not walls.size:
            return walls
        changes, offsets = self._table(walls)
        turns = changes + np.maximum(offsets[:-1], offsets[1:])
        return np.asarray(walls - offsets[np.searchsorted(turns, walls, side="right")])

    def day_start(self, day: date) -> int:
        """The instant at which a day begins."""
        return int(self.instants(np.array([(day - date(1970, 1, 1)).days * DAY]))[0])

    def day_end(self, day: date) -> int:
        """The instant at which the day after begins."""
        return int(self.instants(np.array([((day - date(1970, 1, 1)).days + 1) * DAY]))[0])

    def shift(self, instants: Int64, duration: Duration, sign: int) -> Int64:
        """Instants moved by a duration into the past (-1) or the future (+1).

        Months and years keep day and time of the wall clock; a day that the month lacks becomes its last day.
        """
        if duration.unit in UNITS:
            return instants + sign * duration.count * UNITS[duration.unit]
        days, times = np.divmod(self.local(instants), DAY)
        return self.instants(add_months(days, sign * duration.count * MONTHS[duration.unit]) * DAY + times)

    def _table(self, times: Int64) -> tuple[Int64, Int64]:
        """Clock changes around `times` as instants, and the offsets before, between and after them."""
        years = (
            np.array([times.min(), times.max()]).astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64)
            + 1970
        )
        first, last = (int(year) for year in np.clip(years, FIRST_YEAR, LAST_YEAR))
        return _offsets(self.name, (first - 1) // 10 * 10, (last + 1) // 10 * 10 + 9)


@lru_cache(maxsize=256)
def _offsets(name: str, first: int, last: int) -> tuple[Int64, Int64]:
    zone = ZoneInfo(name)
    found = [change for year in range(first, last + 1) for change in _changes(name, year)]
    before = _offset(zone, int(datetime(first, 1, 1, tzinfo=UTC).timestamp()))
    changes = np.array([instant for instant, _ in found], dtype=np.int64) * SECOND
    return changes, np.array([before, *(offset for _, offset in found)], dtype=np.int64) * SECOND


@lru_cache(maxsize=4096)
def _changes(name: str, year: int) -> tuple[tuple[int, int], ...]:
    """(instant, offset from then on) of every change in a year, in seconds; found by looking at every day."""
    zone = ZoneInfo(name)
    start, end = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (year, year + 1))
    found = []
    for day in range(start, end, 86400):
        known, low, high = _offset(zone, day), day, day + 86400
        if _offset(zone, high) == known:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(zone, middle) == known else (low, middle)
        found.append((high, _offset(zone, high)))
    return tuple(found)


def _offset(zone: ZoneInfo, instant: int) -> int:
    offset = datetime.fromtimestamp(instant, zone).utcoffset() or timedelta()
    return round(offset.total_seconds())


def add_months(days: Int64, months: int) -> Int64:
    """Days moved by calendar months; a day that the month lacks becomes its last day."""
    dates = days.astype("datetime64[D]")
    begun = dates.astype("datetime64[M]")
    inside = (dates - begun.astype("datetime64[D]")).astype(np.int64)
    target = begun + np.timedelta64(months, "M")
    first = target.astype("datetime64[D]").astype(np.int64)
    length = (target + np.timedelta64(1, "M")).astype("datetime64[D]").astype(np.int64) - first
    return np.asarray(first + np.minimum(inside, length - 1))


def add_days(days: Int64, duration: Duration, sign: int) -> Int64:
    """Days moved by a duration of days, weeks, months or years."""
    if duration.unit in UNITS:
        return days + sign * duration.count * (UNITS[duration.unit] // DAY)
    return add_months(days, sign * duration.count * MONTHS[duration.unit])


@dataclass(frozen=True)
class Clock:
    """The evaluation's `now` in microseconds, and the rule's time zone."""

    now: int
    zone: Zone

    def edge(self, duration: Duration, sign: int) -> int:
        """The instant a duration before (-1) or after (+1) now."""
        return int(self.zone.shift(np.array([self.now]), duration, sign)[0])

    def today(self) -> int:
        """The day that `now` falls on."""
        return int(self.zone.local(np.array([self.now]))[0] // DAY)

    def ramp(self, duration: Duration, sign: int) -> "Ramp":
        """The edge a duration before or after the clock, as the clock runs on from now."""
        if duration.unit in UNITS:
            return Ramp(np.array([self.now]), np.array([self.edge(duration, sign)]), None)
        return _ramp(self.now, self.zone, duration, sign)


@dataclass(frozen=True, eq=False)
class Ramp:
    """Where a window's edge stands at each instant of the clock.

    Piece i begins at `starts[i]` with the edge at `edges[i]`; inside a piece both advance alike. The edge of a calendar
    window jumps, also backwards, where months differ in length or clocks change. `end` is where the known pieces end
    (None: never).
    """

    starts: Int64
    edges: Int64
    end: int | None

    def waits(self, times: Int64) -> UInt64:
        """Microseconds after now, less one, until the edge reaches `times` ahead of it or falls back behind the others.

        Where that never happens, and for missing times, the wait is as long as NEVER less now, or longer.
        """
        now, edge = self.starts[0], self.edges[0]
        if self.end is None:
            steady: UInt64 = (times - (edge + 1)).view(np.uint64)
            if edge > now:
                steady[times == NOT_A_TIME] = NEVER
            return steady
        waits = np.full(len(times), NEVER)
        ahead = np.flatnonzero(times > edge)
        waits[ahead] = (self._reached(times[ahead], self.end) - (now + 1)).view(np.uint64)
        behind = np.flatnonzero((times > self.edges.min()) & (times <= edge))
        lowest = -np.minimum.accumulate(self.edges)
        fallen = self.starts[np.searchsorted(lowest, -times[behind], side="right")]
        waits[behind] = (fallen - (now + 1)).view(np.uint64)
        return waits

    def _reached(self, times: Int64, end: int) -> Int64:
        """When the edge first stands at or after `times`; the end of what is known where it does not until then."""
        bounds = np.append(self.starts[1:], end)
        highest = np.maximum.accumulate(self.edges + (bounds - self.starts))
        piece = np.searchsorted(highest, times, side="right")
        known = np.minimum(piece, len(self.starts) - 1)
        reached = self.starts[known] + np.maximum(times - self.edges[known], 0)
        return np.where(piece < len(self.starts), reached, end)


@lru_cache(maxsize=256)
def _ramp(now: int, zone: Zone, duration: Duration, sign: int) -> Ramp:
    end = now + HORIZON
    starts = np.concatenate([np.array([now]), np.arange((now // STEP + 1) * STEP, end, STEP)])
    edges = zone.shift(starts, duration, sign)
    jumps = np.diff(edges) != np.diff(starts)
    keep = np.concatenate([np.array([True]), jumps])
    return Ramp(starts[keep], edges[keep], end)


Waits = Callable[[int, int], UInt64]
"""For rows start to stop: microseconds after now, less one, until a condition can change.

For never it is NEVER less now, or more.
"""


@lru_cache(maxsize=256)
def zone(name: str) -> Zone:
    """The zone of an IANA name.

    Raises
    ------
    ValueError, OSError
        No such zone.
    """
    ZoneInfo(name)
    return Zone(name)
