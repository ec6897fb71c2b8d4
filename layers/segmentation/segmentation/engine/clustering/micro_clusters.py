"""Many small clusters that stand for their rows where a tree over all rows would take too long.

A start that spreads over the data and a few of Lloyd's iterations, on a sample: they need not be the best, only much
smaller than the clusters that are built of them. Knows nothing of trees.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.clustering.kmeans import assign
from segmentation.engine.frame import Codes, Floats

SAMPLE = 20_000
"""Rows that the centres are found on."""

START_SAMPLE = 5_000
"""Rows that the start is drawn from."""

DRAWS = 4
"""Batches in which the start is drawn."""

ITERATIONS = 2


@dataclass(frozen=True, eq=False)
class Leaves:
    """What a tree is over: rows (m, d), how many customers each stands for (m), and the leaf of every customer (n).

    `prototypes` (m, d): the customers of a leaf are those to whom its prototype is the nearest; None if leaves are
    distinct rows.
    """

    rows: Floats
    weights: Floats
    numbers: Codes
    prototypes: Floats | None


def micro_clusters(points: Floats, count: int, random: np.random.Generator) -> Leaves:
    """At most `count` micro-clusters of rows (n, d), of which `SAMPLE` are enough to learn from.

    The start is drawn in batches with probability proportional to the squared distance to those drawn before, as in
    B. Bahmani et al., "Scalable k-means++" (VLDB 2012), so that far rows get centres of their own.
    """
    found = cells(points, _start(sampled(points, START_SAMPLE, random), count, random))
    for _ in range(ITERATIONS - 1):
        found = cells(points, found.rows)
    return found


def cells(points: Floats, prototypes: Floats) -> Leaves:
    """Rows (n, d) by their nearest prototype, and the means of those; prototypes without rows are left out."""
    nearest = assign(prototypes, points)
    rows, weights = means(points, np.ones(len(points)), nearest, len(prototypes))
    filled = weights > 0
    numbers = (np.cumsum(filled) - 1).astype(np.int32)[nearest]
    return Leaves(rows[filled], weights[filled], numbers, prototypes[filled])


def sampled(points: Floats, rows: int, random: np.random.Generator) -> Floats:
    """At most so many rows, drawn without replacement, in the order in which they stand."""
    if len(points) <= rows:
        return points
    return points[np.sort(random.choice(len(points), rows, replace=False))]


def means(points: Floats, weights: Floats, labels: Codes, count: int) -> tuple[Floats, Floats]:
    """Centre (count, d) and weight (count) of the rows of every label; NaN and 0 where a label has none."""
    sizes = np.bincount(labels, weights=weights, minlength=count)
    sums = [np.bincount(labels, weights=weights * column, minlength=count) for column in points.T]
    with np.errstate(invalid="ignore"):
        return np.stack(sums, axis=1) / sizes[:, None], sizes


def _start(points: Floats, count: int, random: np.random.Generator) -> Floats:
    batch = -(-count // DRAWS)
    drawn = random.choice(len(points), min(batch, len(points)), replace=False)
    centres = points[drawn]
    squares = _squares(centres, points)
    while len(centres) < count and squares.any():
        chances = squares / squares.sum()
        size = min(batch, count - len(centres), int(np.count_nonzero(chances)))
        drawn = random.choice(len(points), size, replace=False, p=chances)
        centres = np.concatenate((centres, points[drawn]))
        squares = np.minimum(squares, _squares(points[drawn], points))
    return centres


def _squares(centres: Floats, points: Floats) -> Floats:
    """Squared distance of every row to the nearest centre."""
    apart = points - centres[assign(centres, points)]
    return np.asarray(np.einsum("ij,ij->i", apart, apart))
