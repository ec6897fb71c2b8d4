"""Sequences of states: how often each occurs, and after how many periods each move comes. Partitions add up.

A sequence holds the states in the order in which a customer was in them, without repetitions of the same state in a
row. Only customers who moved have one. After LONGEST states it ends, and says that it goes on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools
from segmentation.engine.migration.states import States

LONGEST = 5
_BASE = 22
"""More than there are states: 0 stands for the end of a sequence."""

_GAPS = 64
"""More than there are periods."""

Keys = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tallied:
    """How often each key occurs: `keys` ascending and distinct, `counts` beside them."""

    keys: Keys
    counts: Keys


@dataclass(frozen=True, eq=False)
class PathCounts:
    """Customers by sequence, and customers by sequence, move and periods since the move before."""

    paths: Tallied
    gaps: Tallied


@dataclass(frozen=True)
class Path:
    """A sequence: its states, whether it goes on after them, how many customers took it, and the median number of
    periods before each move. The first move is counted from the first instant.
    """

    states: tuple[int, ...]
    goes_on: bool
    customers: int
    median_periods: tuple[float, ...]


def count(states: States) -> PathCounts:
    """Sequences of the customers in `states` (instants x customers)."""
    moved = states[:, (states != states[0]).any(axis=0)] if len(states) else states
    customers = moved.shape[1]
    keys = moved[0].astype(np.int64) + 1 if customers else np.empty(0, dtype=np.int64)
    length = np.ones(customers, dtype=np.int64)
    since = np.zeros(customers, dtype=np.int64)
    gaps = np.zeros((LONGEST - 1, customers), dtype=np.int64)
    goes_on: Bools = np.zeros(customers, dtype=np.bool_)
    for instant in range(1, len(moved)):
        movers = np.flatnonzero(moved[instant] != moved[instant - 1])
        goes_on[movers[length[movers] == LONGEST]] = True
        movers = movers[length[movers] < LONGEST]
        gaps[length[movers] - 1, movers] = instant - since[movers]
        keys[movers] += (moved[instant, movers].astype(np.int64) + 1) * _BASE ** length[movers]
        length[movers] += 1
        since[movers] = instant
    keys = keys * 2 + goes_on
    move, customer = np.nonzero(gaps)
    steps = (keys[customer] * LONGEST + move) * _GAPS + gaps[move, customer]
    return PathCounts(_tally(keys), _tally(steps))


def merge(one: PathCounts, other: PathCounts) -> PathCounts:
    """The sequences of the customers of both."""
    return PathCounts(_merged(one.paths, other.paths), _merged(one.gaps, other.gaps))


def most_frequent(found: PathCounts, most: int) -> list[Path]:
    """The `most` most frequent sequences, by number of customers, the shorter and lower states first among equals."""
    order = np.lexsort((found.paths.keys, -found.paths.counts))[:most]
    return [_path(found, int(found.paths.keys[row]), int(found.paths.counts[row])) for row in order]


def distinct(found: PathCounts) -> int:
    """How many different sequences there are."""
    return len(found.paths.keys)


def _path(found: PathCounts, key: int, customers: int) -> Path:
    digits, states = key // 2, []
    while digits:
        digits, digit = divmod(digits, _BASE)
        states.append(digit - 1)
    medians = [_median(found.gaps, key * LONGEST + move) for move in range(len(states) - 1)]
    return Path(tuple(states), bool(key % 2), customers, tuple(medians))


def _median(gaps: Tallied, step: int) -> float:
    """Median of the periods before one move of one sequence."""
    begin, end = np.searchsorted(gaps.keys, [step * _GAPS, (step + 1) * _GAPS])
    periods, reached = gaps.keys[begin:end] % _GAPS, np.cumsum(gaps.counts[begin:end])
    total = reached[-1]
    lower, upper = np.searchsorted(reached, [(total + 1) // 2, total // 2 + 1])
    return float(periods[lower] + periods[upper]) / 2


def _tally(keys: Keys) -> Tallied:
    return Tallied(*np.unique(keys, return_counts=True))


def _merged(one: Tallied, other: Tallied) -> Tallied:
    keys, places = np.unique(np.concatenate([one.keys, other.keys]), return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, places, np.concatenate([one.counts, other.counts]))
    return Tallied(keys, counts)
