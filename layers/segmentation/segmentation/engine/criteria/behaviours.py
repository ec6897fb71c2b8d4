"""Behaviours: a number per customer, measured on the rows of an event that match and lie in the window.

Lines of one group (an order) count once, and additive fields are summed within the group before avg, min and max.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np

from segmentation.engine.criteria.operators import dates, numbers
from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import pack
from segmentation.engine.criteria.times import (
    DAY,
    NEVER,
    NOT_A_TIME,
    Clock,
    Int64,
    UInt64,
)
from segmentation.engine.criteria.tree import Behaviour, Measure, Window
from segmentation.engine.criteria.words import DAYS_SINCE, NEGATIONS
from segmentation.engine.frame import (
    BooleanColumn,
    Bools,
    Codes,
    Column,
    DateColumn,
    EventTable,
    Floats,
    NumberColumn,
    Rows,
    StringColumn,
)


@dataclass(frozen=True, eq=False)
class Rowset:
    """An event's table with the customer of every row, and the rows that match the conditions (None: all).

    `row_waits` tells when a row can begin or cease to match (None: never).
    """

    table: EventTable
    owners: Codes
    matching: Bools | None = None
    row_waits: UInt64 | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """A measure of every customer: `values` (NaN: no row to measure), the instants that days are counted from, and
    the waits until other rows count (None: not asked for, or never)."""

    values: Floats
    since: Int64 | None = None
    waits: UInt64 | None = None


def unmeasured(measure: Measure, size: int) -> Measured:
    """What a measure gives where there are no rows at all."""
    return Measured(np.full(size, 0.0 if measure.function in ("count", "sum", "distinct") else np.nan))


def measure(
    behaviour: Behaviour, column: Column | None, rowset: Rowset, clock: Clock, size: int, waiting: bool
) -> Measured:
    """The behaviour's measure for `size` customers; `column` is the measured field's, None where there is none."""
    times = rowset.table.time.view(np.int64)
    matching = np.ones(len(times), dtype=np.bool_) if rowset.matching is None else rowset.matching
    rows = np.flatnonzero(matching & _in_window(times, behaviour.window, clock))
    owners = rowset.owners[rows]
    waits = _waits(behaviour.window, times, matching, rowset, clock, size) if waiting else None
    if behaviour.measure.function in DAYS_SINCE:
        since = np.full(size, NOT_A_TIME, dtype=np.int64)
        chosen = rows if behaviour.measure.function == "days_since_last" else rows[::-1]
        since[rowset.owners[chosen]] = times[chosen]  # rows ascend by time, and the last assignment stays
        days = np.where(since == NOT_A_TIME, np.nan, (clock.now - since) // DAY)
        return Measured(days, since, waits)
    return Measured(_values(behaviour.measure, column, rowset.table, rows, owners, size), None, waits)


def check(behaviour: Behaviour, measured: Measured, clock: Clock) -> Check:
    """The positive form of a behaviour's comparison over what was measured."""
    operator = NEGATIONS.get(behaviour.operator, behaviour.operator)
    answer = pack(numbers.predicate(operator, behaviour.value)(measured.values))
    waits = measured.waits
    if waits is None:
        return Check(answer)
    if measured.since is not None:
        growing = numbers.day_waits(operator, behaviour.value, measured.values, measured.since, clock.now)
        waits = np.minimum(waits, growing)
    return Check(answer, lambda start, stop: waits[start:stop])


def _in_window(times: Int64, window: Window, clock: Clock) -> Bools:
    if window.within is not None:
        return dates.inside(times, (clock.edge(window.within, -1) + 1, clock.now + 1))
    start, end = _fixed(window, clock)
    return dates.inside(times, (start, min(end, clock.now + 1)))


def _fixed(window: Window, clock: Clock) -> dates.Span:
    start = dates.FIRST if window.start is None else dates.first(window.start, clock.zone)
    end = dates.LAST if window.end is None else dates.first(window.end, clock.zone)
    return start, end


def _waits(window: Window, times: Int64, matching: Bools, rowset: Rowset, clock: Clock, size: int) -> UInt64:
    now = clock.now
    if window.within is not None:
        rows = np.flatnonzero(matching)
        waits = dates.window_waits(times[rows], now, clock.ramp(window.within, -1), bool((times > now).any()))
    else:
        rows = np.flatnonzero(matching & (times > now) & dates.inside(times, _fixed(window, clock)))
        waits = dates.arrival_waits(times[rows], now)
    shortest = np.full(size, NEVER)
    _lower(shortest, rowset.owners[rows], waits)
    if rowset.row_waits is not None:
        _lower(shortest, rowset.owners, rowset.row_waits)
    return shortest


def _lower(shortest: UInt64, owners: Codes, waits: UInt64) -> None:
    """Take the shortest wait of every customer's rows; rows of one customer are adjacent."""
    starts = _starts(owners)
    if starts.size:
        who = owners[starts]
        shortest[who] = np.minimum(shortest[who], np.minimum.reduceat(waits, starts))


def _values(measure: Measure, column: Column | None, table: EventTable, rows: Rows, owners: Codes, size: int) -> Floats:
    if measure.function == "count":
        counted = owners if table.group is None else owners[_starts(owners, table.group[rows])]
        return np.bincount(counted, minlength=size).astype(np.float64)
    if column is None:
        return unmeasured(measure, size).values
    known = ~column.missing()[rows]
    rows, owners = rows[known], owners[known]
    if measure.function == "distinct":
        return _distinct(column, rows, owners, size)
    amounts = cast(NumberColumn, column).values[rows]
    if measure.function != "sum" and table.group is not None and measure.field in table.additive:
        starts = _starts(owners, table.group[rows])
        order = np.zeros(len(rows), dtype=np.int64)
        order[starts] = 1
        amounts = np.bincount(np.cumsum(order) - 1, weights=amounts, minlength=len(starts))
        owners = owners[starts]
    return _aggregate(measure.function, amounts, owners, size)


def _aggregate(function: str, amounts: Floats, owners: Codes, size: int) -> Floats:
    if function in ("sum", "avg"):
        sums: Floats = np.bincount(owners, weights=amounts, minlength=size).astype(np.float64)
        if function == "sum":
            return sums
        counts = np.bincount(owners, minlength=size)
        averages: Floats = np.divide(sums, counts, out=np.full(size, np.nan), where=counts > 0)
        return averages
    extremes = np.full(size, np.nan)
    starts = _starts(owners)
    if starts.size:
        extremes[owners[starts]] = (np.minimum if function == "min" else np.maximum).reduceat(amounts, starts)
    return extremes


def _distinct(column: Column, rows: Rows, owners: Codes, size: int) -> Floats:
    match column:
        case StringColumn():
            codes: Int64 = column.codes[rows].astype(np.int64)
        case NumberColumn() | DateColumn() | BooleanColumn():
            codes = np.unique(column.values[rows], return_inverse=True)[1].astype(np.int64)
        case _:
            raise ValueError(f"a {type(column).__name__} has no distinct values to count")
    width = int(codes.max(initial=0)) + 1
    pairs = np.sort(owners * np.int64(width) + codes)  # faster than np.unique
    return np.bincount(pairs[_starts(pairs)] // width, minlength=size).astype(np.float64)


def _starts(owners: Codes | Int64, groups: Codes | None = None) -> Rows:
    """Where runs of one customer (and one group) begin, or of one number."""
    if not owners.size:
        return np.zeros(0, dtype=np.intp)
    turns = owners[1:] != owners[:-1]
    if groups is not None:
        turns |= groups[1:] != groups[:-1]
    return np.concatenate([np.zeros(1, dtype=np.intp), np.flatnonzero(turns) + 1])
