"""Cut points of one number: where k groups of neighbouring values are most alike (k-means in one dimension).

Exact and without chance, since in one dimension the best groups are intervals. It must not know what the number means.
"""

import numpy as np

from segmentation.engine.frame import Floats, Offsets
from segmentation.errors import FieldError, InvalidInput

EXACT = 1_024
"""Distinct values up to which every partition is considered; the table of costs then takes 8 MB."""

ROUNDS = 1_000


def natural_breaks(values: Floats, groups: int, field: str) -> Floats:
    """The `groups - 1` ascending cut points of `values[n]`, each halfway between the means of two neighbouring groups.

    Up to 1,024 distinct values the within-group sum of squares is the smallest possible, found by dynamic programming
    (Wang and Song, "Ckmeans.1d.dp", The R Journal 3/2, 2011). Above that the best partition of 1,024 slices of the
    values is the start of Lloyd's iteration over all of them. The result depends on neither order nor chance. Raises
    InvalidInput, naming `field`, if there are fewer distinct values than groups.
    """
    return counted_breaks(*np.unique(values, return_counts=True), groups, field)


def counted_breaks(distinct: Floats, counts: Offsets, groups: int, field: str) -> Floats:
    """`natural_breaks` of ascending `distinct` values, each of which `counts` rows have."""
    if len(distinct) < groups:
        message = f"bins={groups} exceeds the {len(distinct)} distinct values of {field}"
        raise InvalidInput(message, [FieldError("bins", message)])
    # Sums of squares around the mean lose fewer digits than sums of squares.
    centre = float(np.average(distinct, weights=counts))
    sums = _running(distinct - centre, counts)
    starts = np.arange(len(distinct)) if len(distinct) <= EXACT else _slices(distinct, counts)
    edges = _lloyd(distinct - centre, sums, _best_partition(sums, starts, groups))
    means = np.diff(sums[1][edges]) / np.diff(sums[0][edges])
    cuts: Floats = (means[:-1] + means[1:]) / 2 + centre
    return cuts


def _running(values: Floats, counts: Offsets) -> Floats:
    """Running totals (3, n + 1) of counts, values and squares."""
    weights = counts.astype(np.float64)
    totals = np.zeros((3, len(values) + 1))
    np.cumsum([weights, weights * values, weights * values * values], axis=1, out=totals[:, 1:])
    return totals


def _slices(distinct: Floats, counts: Offsets) -> Offsets:
    """Where slices begin: half of them hold as many rows each, half are as wide each, so a long tail has its own."""
    half = EXACT // 2
    shares = np.arange(half) / half
    running = np.cumsum(counts) / counts.sum()
    wide = distinct[0] + shares * (distinct[-1] - distinct[0])
    starts = np.union1d(np.searchsorted(running, shares, side="right"), np.searchsorted(distinct, wide))
    return np.union1d([0], starts[starts < len(distinct)])


def _best_partition(sums: Floats, starts: Offsets, groups: int) -> Offsets:
    """Edges (groups + 1) of the intervals with the smallest sum of squares that begin at some of `starts`."""
    edges = np.append(starts, sums.shape[1] - 1)
    size, total, square = sums[:, edges]
    weight = size[None, :] - size[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = square[None, :] - square[:, None] - (total[None, :] - total[:, None]) ** 2 / weight
    cost[weight <= 0] = np.inf
    best = cost[0]
    choices = []
    for _ in range(groups - 1):
        ways = best[:, None] + cost
        choices.append(np.argmin(ways, axis=0))
        best = ways.min(axis=0)
    chosen = [len(edges) - 1]
    for choice in reversed(choices):
        chosen.append(int(choice[chosen[-1]]))
    return edges[[0, *reversed(chosen)]]


def _lloyd(distinct: Floats, sums: Floats, edges: Offsets) -> Offsets:
    """Edges after every value went to its nearest mean, until none moves: at once if the partition is the best."""
    for _ in range(ROUNDS):
        means = np.diff(sums[1][edges]) / np.diff(sums[0][edges])
        inner = np.searchsorted(distinct, (means[:-1] + means[1:]) / 2, side="right")
        moved = np.concatenate(([0], inner, [len(distinct)]))
        if np.array_equal(moved, edges) or np.any(np.diff(moved) == 0):
            break
        edges = moved
    return edges
