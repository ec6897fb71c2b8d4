"""How many customers have which values: exact while there are few distinct ones, else by cells of one relative width.

A histogram of all customers is the merger of those of any parts of them, in any order: how coarse it is depends on the
values alone, because cells of a coarser level are unions of those of a finer one. It must not know what values mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, Floats

Integers = NDArray[np.int64]

RESOLUTION = 16
"""Cells of level 1 are 2^-16 of their value wide, and twice as wide with each further level."""
_MANTISSA, _LAST = 52, 62


@dataclass(frozen=True)
class Bounds:
    """Distinct values up to which a histogram is exact, and the cells that it has at most where there are more."""

    exact: int
    cells: int


VALUES = Bounds(exact=1 << 16, cells=1 << 20)
"""For cut points: sixteen doublings of the value at the full resolution, which no sum of money in use exceeds."""


@dataclass(frozen=True, eq=False)
class Histogram:
    """`count[i]` customers of a `group[i]` have values from `low[i]` to `high[i]`, both of which occur.

    Ascending by group, then value. Of level 0 every cell is one value.
    """

    level: int
    group: Integers
    low: Floats
    high: Floats
    count: Integers

    @property
    def total(self) -> int:
        """Customers in all cells."""
        return int(self.count.sum())


_NONE, _NUMBERS = np.empty(0, dtype=np.int64), np.empty(0)
EMPTY = Histogram(0, _NONE, _NUMBERS, _NUMBERS, _NONE)
"""Nobody's."""


def of_values(values: Floats, bounds: Bounds, group: Integers | None = None) -> Histogram:
    """The histogram of `values` (n) that are not NaN, each of its `group` (n)."""
    known = ~np.isnan(values)
    # Minus zero is zero.
    kept = values[known] + 0.0
    groups = np.zeros(len(kept), dtype=np.int64) if group is None else group[known]
    return _compact(0, groups, kept, kept, np.ones(len(kept), dtype=np.int64), bounds)


def merged(parts: Sequence[Histogram], bounds: Bounds) -> Histogram:
    """The histogram of all parts' customers, which were made with the same `bounds`."""
    parts = [EMPTY, *parts]
    columns = ([getattr(part, name) for part in parts] for name in ("group", "low", "high", "count"))
    group, low, high, count = (np.concatenate(column) for column in columns)
    return _compact(max(part.level for part in parts), group, low, high, count, bounds)


def quantiles(histogram: Histogram, shares: Floats) -> Floats:
    """Type-7 quantiles (Hyndman and Fan 1996), which pandas and numpy call linear, of all groups together.

    Exact at level 0, where they are numpy's bit by bit; else of each value the largest of its cell takes the place.
    """
    reached = np.cumsum(histogram.count)
    place = (reached[-1] - 1) * shares
    before = np.floor(place)
    last = len(reached) - 1
    first, second = (
        histogram.high[np.minimum(np.searchsorted(reached, at, side="right"), last)] for at in (before, before + 1)
    )
    part, gap = place - before, second - first
    found: Floats = np.where(part >= 0.5, second - gap * (1 - part), first + gap * part)
    return found


def _compact(level: int, group: Integers, low: Floats, high: Floats, count: Integers, bounds: Bounds) -> Histogram:
    """Equal cells as one, at the finest level from `level` on that the bounds allow."""
    order = np.lexsort((low, group)) if group.any() else np.argsort(low, kind="stable")
    group, low, high, count = group[order], low[order], high[order], count[order]
    while len(low):
        begins = np.flatnonzero(_begins(level, group, low))
        if len(begins) < len(low):
            high, count = np.maximum.reduceat(high, begins), np.add.reduceat(count, begins)
            group, low = group[begins], low[begins]
        if len(low) <= (bounds.cells if level else bounds.exact) or _MANTISSA - RESOLUTION + level > _LAST:
            break
        level += 1
    return Histogram(level, group, low, high, count)


def _begins(level: int, group: Integers, low: Floats) -> Bools:
    """Where a new cell begins in ascending values.

    A cell is what the first bits of a number say: its sign, its exponent and, of level 1, 16 bits of its mantissa.
    """
    cell = low.view(np.int64)
    if level:
        cell = cell >> np.int64(_MANTISSA - RESOLUTION + level - 1)
    begins = np.ones(len(low), dtype=np.bool_)
    np.not_equal(cell[1:], cell[:-1], out=begins[1:])
    begins[1:] |= group[1:] != group[:-1]
    return begins
