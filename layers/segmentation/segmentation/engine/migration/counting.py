"""What one partition contributes to a migration, as whole numbers that add up whatever the number of partitions.

Memory does not grow with customers, but for the sequences: at most one entry per sequence that somebody took.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools
from segmentation.engine.migration import paths
from segmentation.engine.migration.paths import PathCounts
from segmentation.engine.migration.states import States, several_of, states_of

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of customers; S is the number of segments plus one for "none", T the number of instants.

    Attributes
    ----------
    several : (T,) customers in more than one segment.
    matrix : (S, S) from the state at the first instant to the state at the last.
    steps : (T - 1, S, S) from the state at an instant to the state at the next.
    stays : (S, T, T) stays in a state that began at an instant (first index T) and ended when they had lasted so many
        periods (second index T); those that have not ended stand at 0.
    paths : sequences of states.
    """

    several: Counts
    matrix: Counts
    steps: Counts
    stays: Counts
    paths: PathCounts


def tally(masks: Bools, highest: bool = False, whole: int | None = None, outside: int = 0) -> Tally:
    """Counts of one partition; `masks` are instants x segments x customers, `highest` as in `states_of`.

    `whole` is the number of instants that are a whole period apart: stays are followed over these alone. `outside` more
    customers were in none of the segments at any of the instants.
    """
    states = states_of(masks, highest)
    size = masks.shape[1] + 1
    matrix = _pairs(states[0], states[-1], size)
    steps = np.array([_pairs(before, after, size) for before, after in pairwise(states)], dtype=np.int64)
    stays = _stays(states[:whole], size, len(states))
    matrix[-1, -1] += outside
    steps[:, -1, -1] += outside
    stays[-1, 0, 0] += outside
    return Tally(several_of(masks), matrix, steps, stays, paths.count(states))


def merge(one: Tally, other: Tally) -> Tally:
    """Counts of the customers of both."""
    return Tally(
        one.several + other.several,
        one.matrix + other.matrix,
        one.steps + other.steps,
        one.stays + other.stays,
        paths.merge(one.paths, other.paths),
    )


def sizes(found: Tally) -> Counts:
    """Customers by instant and state (T, S)."""
    return np.concatenate([found.steps.sum(axis=2), found.steps[-1:].sum(axis=1)])


def _pairs(before: States, after: States, size: int) -> Counts:
    codes = before.astype(np.int32) * size + after
    return np.bincount(codes, minlength=size * size).reshape(size, size).astype(np.int64)


def _stays(states: States, size: int, instants: int) -> Counts:
    """As `Tally.stays`, over the instants in `states`, in the shape for all `instants`."""
    stays = np.zeros(size * instants * instants, dtype=np.int64)
    begun = np.zeros(states.shape[1], dtype=np.int64)
    for instant in range(1, len(states)):
        movers = np.flatnonzero(states[instant] != states[instant - 1])
        left = states[instant - 1, movers].astype(np.int64) * instants + begun[movers]
        stays += np.bincount(left * instants + instant - begun[movers], minlength=len(stays))
        begun[movers] = instant
    if len(states):
        stays += np.bincount((states[-1].astype(np.int64) * instants + begun) * instants, minlength=len(stays))
    return stays.reshape(size, instants, instants)
