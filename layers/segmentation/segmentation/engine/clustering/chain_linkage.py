"""The nearest-neighbour chain: exact agglomerative clustering in a number of steps that no data can raise.

Follow nearest neighbours until two clusters are each other's; merge them; go on from where the chain stood. At most
three steps per row, whatever the order of the merges. Method: F. Murtagh, "A survey of recent advances in hierarchical
clustering algorithms" (The Computer Journal 26, 1983); updates of distances: G. N. Lance and W. T. Williams (1967).
Knows points and weights; k, labels and customers are the callers'.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.clustering.dendrogram import Tree, tree
from segmentation.engine.frame import Bools, Floats

FLOAT64_ROWS = 10_000
"""Up to here a matrix of distances holds float64 (0.8 GB), above it float32 (1.6 GB at 20,000 rows)."""

BLOCK = 512
"""Rows of distances that are computed at a time."""


class Clusters(Protocol):
    """What the chain follows: slots of clusters, of which merged ones are gone."""

    alive: Bools

    def nearest(self, slot: int, before: int) -> tuple[int, float]:
        """The nearest other cluster and its height; `before` (-1: none) if no other is nearer than that."""

    def merge(self, kept: int, gone: int) -> None:
        """The union in slot `kept`; slot `gone` is left empty."""


class MatrixClusters:
    """Average and complete linkage: Euclidean distances between all clusters, updated as they merge."""

    def __init__(self, points: Floats, weights: Floats, complete: bool) -> None:
        self.alive = np.ones(len(points), dtype=np.bool_)
        self._weights = weights.copy()
        self._complete = complete
        self._matrix = _distances(points)
        self._gone = np.zeros(len(points), dtype=self._matrix.dtype)

    def nearest(self, slot: int, before: int) -> tuple[int, float]:
        # Columns are far apart in memory: those of merged clusters are left as they are and masked here.
        row = self._matrix[slot] + self._gone
        found = int(row.argmin())
        if before >= 0 and row[before] <= row[found]:
            found = before
        return found, float(row[found])

    def merge(self, kept: int, gone: int) -> None:
        one, other = self._matrix[kept], self._matrix[gone]
        if self._complete:
            union = np.maximum(one, other)
        else:
            total = self._weights[kept] + self._weights[gone]
            union = one * (self._weights[kept] / total) + other * (self._weights[gone] / total)
            self._weights[kept] = total
        self.alive[gone] = False
        self._gone[gone] = np.inf
        self._matrix[kept] = union
        others = np.flatnonzero(self.alive)
        self._matrix[others, kept] = union[others]


class CentreClusters:
    """Ward's linkage: a cluster is its centre and weight; distances are computed when asked for, never kept."""

    def __init__(self, centres: Floats, weights: Floats) -> None:
        self.alive = np.ones(len(centres), dtype=np.bool_)
        self._centres = np.ascontiguousarray(centres.T)
        self._weights = weights.copy()

    def nearest(self, slot: int, before: int) -> tuple[int, float]:
        weight = self._weights[slot]
        apart = self._centres - self._centres[:, slot, None]
        apart *= apart
        increase = apart.sum(axis=0) * ward_factor(weight, self._weights)
        increase[slot] = np.inf
        found = int(increase.argmin())
        if before >= 0 and increase[before] <= increase[found]:
            found = before
        return found, float(increase[found])

    def merge(self, kept: int, gone: int) -> None:
        one, other = self._weights[kept], self._weights[gone]
        self._centres[:, kept] += (self._centres[:, gone] - self._centres[:, kept]) * (other / (one + other))
        self._centres[:, gone] = np.inf
        self._weights[kept] = one + other
        self.alive[gone] = False


def ward_factor(one: Any, other: Any) -> Any:
    """By what a squared distance of two centres is multiplied for the increase of the sum of squares by their union."""
    return one * other / (one + other)


def average_or_complete(points: Floats, weights: Floats, complete: bool) -> Tree:
    """The tree of average or complete linkage over distinct rows (n, d) with weights (n); heights are distances.

    Time grows with n squared, memory is the matrix (see `FLOAT64_ROWS`). In float32 two distances that differ by less
    than 1e-7 of their size count as equal.
    """
    children, heights = chain(MatrixClusters(points, weights, complete), np.arange(len(points)), len(points))
    return tree(len(points), children, heights)


def chain(clusters: Clusters, nodes: NDArray[np.int64], following: int) -> tuple[list[tuple[int, int]], list[float]]:
    """All merges down to one cluster: pairs of nodes, and heights, in the order in which they are made.

    `nodes`: number of the tree's node in each slot; `following`: number of the node that the first merge makes.
    """
    numbers = nodes.tolist()
    on_path = np.zeros(len(numbers), dtype=np.bool_)
    path: list[int] = []
    children: list[tuple[int, int]] = []
    heights: list[float] = []
    start = 0
    while len(children) < len(numbers) - 1:
        if not path:
            while not clusters.alive[start]:
                start += 1
            path.append(start)
            on_path[start] = True
        end, before = path[-1], path[-2] if len(path) > 1 else -1
        found, height = clusters.nearest(end, before)
        if found != before:
            # Only rounding can lead back onto the path: go on from there.
            while on_path[found]:
                on_path[path.pop()] = False
            path.append(found)
            on_path[found] = True
            continue
        on_path[path.pop()] = on_path[path.pop()] = False
        children.append((numbers[before], numbers[end]))
        heights.append(height)
        clusters.merge(before, end)
        numbers[before] = following + len(heights) - 1
    return children, heights


def _distances(points: Floats) -> NDArray[Any]:
    """Euclidean distances (n, n), infinite from a row to itself; differences first, so that close rows stay exact."""
    rows = len(points)
    matrix = np.empty((rows, rows), dtype=np.float64 if rows <= FLOAT64_ROWS else np.float32)
    columns = np.ascontiguousarray(points.T)
    for begin in range(0, rows, BLOCK):
        end = min(begin + BLOCK, rows)
        total = np.zeros((end - begin, rows - begin))
        for column in columns:
            apart = column[begin:end, None] - column[None, begin:]
            apart *= apart
            total += apart
        np.sqrt(total, out=total)
        matrix[begin:end, begin:] = total
        matrix[begin:, begin:end] = total.T
    np.fill_diagonal(matrix, np.inf)
    return matrix
