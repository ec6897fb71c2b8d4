"""Entries, exits, upgrades and downgrades out of a from-to matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats

Matrix = NDArray[np.int64]


@dataclass(frozen=True)
class Flow:
    """What came into a segment and what went out between two instants; rates are shares of the size at the first
    instant, None where it was empty. size_to - size_from = entered - exited.
    """

    size_from: int
    size_to: int
    stayed: int
    entered: int
    exited: int
    entry_rate: float | None
    exit_rate: float | None


@dataclass(frozen=True)
class Ladder:
    """Moves within an ordered set, of the `customers` who were in one of its segments at both instants or left.

    `mean_steps` are segments up (down) per customer who moved so, None if nobody did; shares are of those who were in a
    segment at the first instant, None if nobody was.
    """

    upgraded: int
    downgraded: int
    same: int
    entered: int
    exited: int
    upgrade_share: float | None
    downgrade_share: float | None
    exit_share: float | None
    mean_steps_up: float | None
    mean_steps_down: float | None


def shares(matrix: Matrix) -> Floats:
    """Share of each row's sum; a row of nobody is all 0."""
    rows = matrix.sum(axis=1, keepdims=True)
    found: Floats = matrix / np.maximum(rows, 1)
    return found


def flow(matrix: Matrix, state: int) -> Flow:
    """Flow of one segment. `matrix` counts customers from (rows) and to (columns) each state."""
    before, after, stayed = int(matrix[state].sum()), int(matrix[:, state].sum()), int(matrix[state, state])
    entered, exited = after - stayed, before - stayed
    return Flow(before, after, stayed, entered, exited, _share(entered, before), _share(exited, before))


def ladder(matrix: Matrix) -> Ladder:
    """Upgrades and downgrades; segments stand in the matrix from lowest to highest, the last state is "none".

    Coming from none is an entry and going to none an exit: neither is a step on the ladder.
    """
    inner = matrix[:-1, :-1]
    rank = np.arange(len(inner))
    rise = rank[None, :] - rank[:, None]
    up, down = int(inner[rise > 0].sum()), int(inner[rise < 0].sum())
    exited, before = int(matrix[:-1, -1].sum()), int(matrix[:-1].sum())
    return Ladder(
        upgraded=up,
        downgraded=down,
        same=int(np.trace(inner)),
        entered=int(matrix[-1, :-1].sum()),
        exited=exited,
        upgrade_share=_share(up, before),
        downgrade_share=_share(down, before),
        exit_share=_share(exited, before),
        mean_steps_up=_share(int((inner * np.maximum(rise, 0)).sum()), up),
        mean_steps_down=_share(int((inner * np.maximum(-rise, 0)).sum()), down),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
