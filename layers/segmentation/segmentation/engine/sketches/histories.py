"""How many customers have which purchase history: all that a model of the time between purchases needs of them.

Distinct histories while there are at most `MOST`, else cells of about one relative width, with the sums of what lies in
them: whole numbers, so that it does not matter in which parts and order they come together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools

Integers = NDArray[np.int64]

MOST = 1 << 21
"""Cells of a fit."""
COARSEST = 10
"""The level that keeps one bit of a number of days."""
_FIELDS = ("frequency", "recency", "age", "count")


@dataclass(frozen=True, eq=False)
class Histories:
    """`count[i]` customers with `frequency[i]` purchase days after the first; of these customers, `recency[i]` are the
    days from the first to the last purchase and `age[i]` those from the first to the end, summed.

    A cell of level l > 0 holds those who agree in the frequency, in the first 11 - l bits of the age, and in those of
    the shorter of recency and silence (the days since the last purchase): the likelihood changes with the logarithms of
    all three. Customers of age 0 have a cell of their own.
    """

    level: int
    frequency: Integers
    recency: Integers
    age: Integers
    count: Integers


_NONE = np.empty(0, dtype=np.int64)
EMPTY = Histories(0, _NONE, _NONE, _NONE, _NONE)
"""Nobody's."""


def of_customers(frequency: Integers, recency: Integers, age: Integers, most: int = MOST) -> Histories:
    """The histories of customers (n), in whole purchases and days."""
    return _compact(0, frequency, recency, age, np.ones(len(frequency), dtype=np.int64), most)


def merged(parts: Sequence[Histories], most: int = MOST) -> Histories:
    """The histories of all parts' customers, which were made with the same `most`."""
    parts = [EMPTY, *parts]
    frequency, recency, age, count = (np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS)
    return _compact(max(part.level for part in parts), frequency, recency, age, count, most)


def _compact(
    level: int, frequency: Integers, recency: Integers, age: Integers, count: Integers, most: int
) -> Histories:
    """Equal cells as one, at the finest level from `level` on that has at most so many."""
    columns = [frequency, recency, age, count]
    while True:
        keys = _cells(level, *columns)
        order = np.lexsort(keys[::-1])
        begins = np.flatnonzero(_begins([key[order] for key in keys]))
        columns = [columns[0][order][begins]] + [
            np.add.reduceat(column[order], begins) if len(begins) else column for column in columns[1:]
        ]
        if len(begins) <= most or level == COARSEST:
            return Histories(level, *columns)
        level += 1


def _cells(
    level: int, frequency: Integers, recency: Integers, age: Integers, count: Integers
) -> tuple[Integers, Integers, Integers]:
    """What tells cells apart. The mean of a cell's customers lies in it, so sums and counts say which cell it is."""
    number = np.maximum(count, 1)
    silence = age - recency
    is_early = recency <= silence
    shorter = _first_bits(np.where(is_early, recency, silence) // number, level)
    return frequency, _first_bits(age // number, level), np.where(is_early, shorter, -1 - shorter)


def _first_bits(days: Integers, level: int) -> Integers:
    """Days with all but their first bits 0, as many as the level keeps; of level 0 as they are."""
    if level == 0:
        return days
    extra = np.maximum(np.frexp(days.astype(np.float64))[1] - (COARSEST + 1 - level), 0)
    kept: Integers = (days >> extra) << extra
    return kept


def _begins(keys: Sequence[Integers]) -> Bools:
    begins = np.ones(len(keys[0]), dtype=np.bool_)
    if len(begins):
        begins[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return begins
