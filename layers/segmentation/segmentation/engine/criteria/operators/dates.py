"""Dates: a condition is a union of half-open spans of instants, or a look-up in the year's calendar (anniversaries)."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import Prepared
from segmentation.engine.criteria.times import (
    DAY,
    NEVER,
    NOT_A_TIME,
    SECOND,
    Clock,
    Int64,
    Ramp,
    UInt64,
    Waits,
    Zone,
    add_days,
)
from segmentation.engine.criteria.tree import Condition, Duration, Value
from segmentation.engine.frame import Bools, Column, DateColumn

FIRST = NOT_A_TIME + 1
"""The earliest instant that is not "missing"."""

LAST = (1 << 63) - 1

Span = tuple[int, int]
"""Instants from the first (included) to the second (excluded), in microseconds."""

PLACES = 12 * 31
"""Entries of a calendar table: `month * 31 + day - 1`."""

NO_YEAR = -32768


def check(condition: Condition, column: Column, prepared: Prepared, clock: Clock) -> Check:
    """A date condition over a column."""
    dates = cast(DateColumn, column)
    if condition.operator.startswith("anniversary_"):
        return _anniversary(condition, dates, prepared, clock)
    times = dates.values.view(np.int64)
    spans = spans_of(condition.operator, condition.value, clock)
    earliest, latest = prepared.bounds(condition.attribute, dates)
    waits = _waits(condition, times, clock, latest)
    if len(spans) == 1:
        start_of, end_of = spans[0]
        # One comparison is enough where the column lies wholly on one side of the other end.
        if end_of > latest and start_of > NOT_A_TIME:
            return Check(lambda start, stop: times[start:stop] >= start_of, waits)
        if start_of <= earliest:
            return Check(
                lambda start, stop: times[start:stop] < end_of, waits, prepared.present(condition.attribute, dates)
            )
        return Check(lambda start, stop: inside(times[start:stop], spans[0]), waits)

    def in_any(start: int, stop: int) -> Bools:
        part = times[start:stop]
        rows = inside(part, spans[0])
        for span in spans[1:]:
            rows |= inside(part, span)
        return rows

    return Check(in_any, waits)


def inside(times: Int64, span: Span) -> Bools:
    """Which instants lie in a span; a missing one lies in none."""
    start, end = span
    if end == LAST:
        return times >= start
    if end <= start:
        return np.zeros(len(times), dtype=np.bool_)
    # Unsigned, one comparison does for both ends: what is before the start wraps around to the far end.
    return np.asarray((times - start).view(np.uint64) < np.uint64(end - start))


def first(moment: date, zone: Zone) -> int:
    """The first microsecond of a day or an instant."""
    return microseconds(moment) if isinstance(moment, datetime) else zone.day_start(moment)


def beyond(moment: date, zone: Zone) -> int:
    """The first microsecond after a day or an instant."""
    return microseconds(moment) + 1 if isinstance(moment, datetime) else zone.day_end(moment)


def microseconds(instant: datetime) -> int:
    """An instant in UTC as microseconds since 1970."""
    return (instant - datetime(1970, 1, 1, tzinfo=instant.tzinfo)) // timedelta(microseconds=1)


def spans_of(operator: str, value: Value, clock: Clock) -> tuple[Span, ...]:
    """The instants that a positive date operator accepts.

    Raises
    ------
    ValueError
        No such operator.
    """
    zone = clock.zone
    if isinstance(value, Duration):
        match operator:
            case "in_last":
                return ((clock.edge(value, -1) + 1, clock.now + 1),)
            case "more_than_ago":
                return ((FIRST, clock.edge(value, -1) + 1),)
            case "in_next":
                return ((clock.now + 1, clock.edge(value, +1) + 1),)
        raise ValueError(f"no date operator {operator!r}")
    if isinstance(value, tuple):
        moments = cast(tuple[date, ...], value)
        if operator == "between":
            return ((first(moments[0], zone), beyond(moments[1], zone)),)
        return tuple((first(moment, zone), beyond(moment, zone)) for moment in moments)
    moment = cast(date, value)
    match operator:
        case "eq" | "on":
            return ((first(moment, zone), beyond(moment, zone)),)
        case "before":
            return ((FIRST, first(moment, zone)),)
        case "on_or_before":
            return ((FIRST, beyond(moment, zone)),)
        case "after":
            return ((beyond(moment, zone), LAST),)
        case "on_or_after":
            return ((first(moment, zone), LAST),)
    raise ValueError(f"no date operator {operator!r}")


def window_waits(times: Int64, now: int, ramp: Ramp, future: bool) -> UInt64:
    """Waits of `edge < t <= clock`: an instant ahead comes in, one inside falls out when the edge reaches it."""
    waits = ramp.waits(times)
    return np.minimum(waits, arrival_waits(times, now)) if future else waits


def arrival_waits(times: Int64, now: int) -> UInt64:
    """Waits until the clock reaches instants that are ahead of it."""
    return np.asarray(times - (now + 1)).view(np.uint64)


@dataclass(frozen=True)
class EdgeWaits:
    """Waits of a rolling window over a column. Equal ones give the same, so that a program computes them once."""

    attribute: str
    duration: Duration
    sign: int
    future: bool
    clock: Clock
    times: Int64 = field(compare=False)

    def __call__(self, start: int, stop: int) -> UInt64:
        ramp = self.clock.ramp(self.duration, self.sign)
        return window_waits(self.times[start:stop], self.clock.now, ramp, self.future)


def _waits(condition: Condition, times: Int64, clock: Clock, latest: int) -> Waits | None:
    if not isinstance(condition.value, Duration):
        return None
    if condition.operator == "in_next":
        return EdgeWaits(condition.attribute, condition.value, +1, True, clock, times)
    future = condition.operator == "in_last" and latest > clock.now
    return EdgeWaits(condition.attribute, condition.value, -1, future, clock, times)


def _anniversary(condition: Condition, column: DateColumn, prepared: Prepared, clock: Clock) -> Check:
    calendar = prepared.calendar(condition.attribute, column, clock.zone)
    years, waits = _year_tables(cast(Duration, condition.value), condition.operator == "anniversary_in_next", clock)
    return Check(
        lambda start, stop: years.take(calendar.days[start:stop]) > calendar.years[start:stop],
        lambda start, stop: np.where(
            calendar.years[start:stop] == np.iinfo(np.int16).max, NEVER, waits.take(calendar.days[start:stop])
        ),
    )


@lru_cache(maxsize=64)
def _year_tables(duration: Duration, ahead: bool, clock: Clock) -> tuple[NDArray[np.int16], UInt64]:
    """Per place in the calendar: the latest year with an anniversary in the window, and the wait until that changes.

    A date has an anniversary in the window if that year is after its own. 29 February falls on the 28th
    in years that have no 29th.
    """
    followed = 400  # days: every anniversary comes and goes in the meantime
    today = clock.today() + np.arange(followed, dtype=np.int64)
    other = add_days(today, duration, +1 if ahead else -1)
    opens, closes = (today, other) if ahead else (other, today)
    month, day = np.divmod(np.arange(PLACES, dtype=np.int64), 31)
    bounds = np.array([opens.min(), closes.max()]).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)
    latest = np.full((PLACES, followed), NO_YEAR, dtype=np.int16)
    for year in range(int(bounds[0]), int(bounds[1]) + 1):
        begun = (year * 12 + month).astype("datetime64[M]")
        start = begun.astype("datetime64[D]").astype(np.int64)
        length = (begun + np.timedelta64(1, "M")).astype("datetime64[D]").astype(np.int64) - start
        when = (start + np.minimum(day, length - 1))[:, None]
        latest[(when >= opens) & (when <= closes)] = year + 1970
    changed = latest != latest[:, :1]
    turns = clock.zone.instants(today[np.argmax(changed, axis=1)] * DAY)
    waits = np.where(changed.any(axis=1), (turns - (clock.now + 1)).view(np.uint64), NEVER)
    return np.ascontiguousarray(latest[:, 0]), waits


def text_of(instant: int) -> str:
    """An instant (microseconds) in ISO 8601, UTC, with a fraction only where there is one."""
    moment = np.datetime64(instant, "us")
    return f"{np.datetime_as_string(moment, unit='s' if instant % SECOND == 0 else 'us')}Z"
