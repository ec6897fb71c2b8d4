"""How many customers have which purchase history: all that a model of the time between purchases needs of them.

Distinct histories while there are at most `MOST`, else cells of some days, with the sums of what lies in them: whole
numbers, so that it does not matter in which parts and order they come together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools

Integers = NDArray[np.int64]

MOST = 1 << 21
"""Cells; a fit on so many takes some 300 MB and a second."""
_COARSEST = 20
_FIELDS = ("frequency", "recency", "age", "count")


@dataclass(frozen=True, eq=False)
class Histories:
    """`count[i]` customers with `frequency[i]` purchase days after the first; of these customers, `recency[i]` are the
    days from the first to the last purchase and `age[i]` those from the first to the end, summed.

    Cells of level l are 2^l days wide in both; customers of age 0 have a cell of their own.
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
        # The mean of a cell's customers lies in the cell, so it says which cell that is.
        number = np.maximum(columns[3], 1)
        width = np.int64(level)
        young, old = columns[2] == 0, (columns[2] // number) >> width
        keys = columns[0], np.where(young, -1, old), (columns[1] // number) >> width
        order = np.lexsort(keys[::-1])
        begins = np.flatnonzero(_begins([key[order] for key in keys]))
        columns = [columns[0][order][begins]] + [
            np.add.reduceat(column[order], begins) if len(begins) else column for column in columns[1:]
        ]
        if len(begins) <= most or level == _COARSEST:
            return Histories(level, *columns)
        level += 1


def _begins(keys: Sequence[Integers]) -> Bools:
    begins = np.ones(len(keys[0]), dtype=np.bool_)
    if len(begins):
        begins[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return begins
