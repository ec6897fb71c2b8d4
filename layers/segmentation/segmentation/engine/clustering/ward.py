"""Ward's linkage, exact, without a matrix of distances: many merges at a time.

Ward's linkage is reducible: a union is never nearer to a third cluster than the nearer of its parts was. So all pairs
that are each other's nearest neighbour may merge at once, and a cluster keeps its nearest neighbour until that one
merges (C. de Rham, "La classification hiérarchique ascendante selon la méthode des voisins réciproques", 1980). A round
merges all such pairs and searches new neighbours for those who lost theirs, as products of matrices that stay in cache.
Should the data make rounds that merge little, the nearest-neighbour chain, which cannot be slow, does the rest.
Sources of the criterion: J. H. Ward (1963); F. Murtagh and P. Legendre, "Ward's hierarchical agglomerative clustering
method: which algorithms implement Ward's criterion?" (Journal of Classification 31, 2014), there Ward2.
"""

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.clustering.chain_linkage import CentreClusters, chain, ward_factor
from segmentation.engine.clustering.dendrogram import Tree, tree
from segmentation.engine.frame import Floats, Rows

TILE = 1 << 17
"""Distances that are looked at together: 1 MB of float64."""

DOUBTFUL = 1e-9
"""A neighbour from a product of matrices is taken if rounding cannot be more than this share of its distance."""

EFFORT = 5
"""After this many times n squared distances, the chain takes over; 2 to 3.5 are usual."""


def ward(points: Floats, weights: Floats) -> Tree:
    """The tree of Ward's linkage over distinct rows (n, d), with absolute values about 1, and weights (n).

    A weight is a number of equal rows. Heights are scipy's: the square root of twice the increase of the sum of
    squares, which for two single rows is their distance. Time grows with n squared, memory with n times d. Pairs whose
    increases differ by less than 1e-9 of their size count as equally near.
    """
    clusters = _Clusters.of(points, weights)
    effort = EFFORT * len(points) ** 2
    while clusters.count > 1:
        effort -= clusters.refresh()
        if effort < 0:
            clusters.finish()
            break
        clusters.merge(*clusters.pairs())
    heights = np.sqrt(2 * np.concatenate(clusters.increases)) if clusters.increases else np.empty(0)
    return tree(len(points), [pair for pairs in clusters.children for pair in pairs], heights.tolist())


class _Clusters:
    """The clusters that are left: centres (m, d), weights, nodes of the tree, and each one's nearest neighbour."""

    def __init__(self, centres: Floats, weights: Floats, nodes: NDArray[np.int64]) -> None:
        self.centres, self.weights, self.nodes = centres, weights, nodes
        self.near: NDArray[np.int64] = np.full(len(centres), -1, dtype=np.int64)
        self.increase: Floats = np.full(len(centres), np.inf)
        self.children: list[list[tuple[int, int]]] = []
        self.increases: list[Floats] = []
        self._following = len(centres)
        # Only breaks ties between merges that are equally right.
        self._random = np.random.default_rng(0)

    @classmethod
    def of(cls, points: Floats, weights: Floats) -> Self:
        return cls(points.copy(), weights.astype(np.float64), np.arange(len(points)))

    @property
    def count(self) -> int:
        return len(self.centres)

    def refresh(self) -> int:
        """Finds the neighbour of every cluster that has none; returns how many distances that took."""
        lost = np.flatnonzero(self.near < 0)
        # Rows of one weight lie together, so that a tile needs one row of factors.
        lost = lost[np.argsort(self.weights[lost], kind="stable")]
        self.near[lost], self.increase[lost] = _nearest(self.centres, self.weights, lost)
        return len(lost) * self.count

    def pairs(self) -> tuple[Rows, Rows]:
        """Disjoint pairs of clusters that are each other's nearest; where neighbours tie, some pairs of those too."""
        own = np.arange(self.count)
        one = np.flatnonzero((self.near[self.near] == own) & (own < self.near))
        firsts, seconds = [one], [self.near[one]]
        free = np.ones(self.count, dtype=np.bool_)
        free[one] = free[self.near[one]] = False
        tied = np.flatnonzero((self.increase == self.increase[self.near]) & free & free[self.near])
        # On a grid everyone's neighbour may be the one before: coins decide who proposes and who is asked.
        for _ in range(4 if len(tied) else 0):
            proposes = self._random.random(self.count) < 0.5
            proposers = tied[proposes[tied] & ~proposes[self.near[tied]]]
            suitor = np.full(self.count, -1)
            suitor[self.near[proposers]] = proposers
            asked = np.flatnonzero(suitor >= 0)
            firsts.append(suitor[asked])
            seconds.append(asked)
            free[suitor[asked]] = free[asked] = False
            tied = tied[free[tied] & free[self.near[tied]]]
        first, second = np.concatenate(firsts), np.concatenate(seconds)
        if not len(first):
            # Rounding can close a circle of neighbours; the nearest pair of all is right in any case.
            first = np.array([self.increase.argmin()])
            second = self.near[first]
        return np.minimum(first, second), np.maximum(first, second)

    def merge(self, kept: Rows, gone: Rows) -> None:
        """Merges pairs into their first slot; closes the gaps; who pointed at any of them has no neighbour now."""
        self.children.append(list(zip(self.nodes[kept].tolist(), self.nodes[gone].tolist(), strict=True)))
        self.increases.append(self.increase[kept])
        one, other = self.weights[kept], self.weights[gone]
        self.centres[kept] += (self.centres[gone] - self.centres[kept]) * (other / (one + other))[:, None]
        self.weights[kept] = one + other
        self.nodes[kept] = self._following + np.arange(len(kept))
        self._following += len(kept)
        stays = np.ones(self.count, dtype=np.bool_)
        stays[gone] = False
        slot = np.cumsum(stays) - 1
        slot[kept] = slot[gone] = -1
        self.near = slot[self.near]
        self.near[kept] = -1
        for name in ("centres", "weights", "nodes", "near", "increase"):
            setattr(self, name, getattr(self, name)[stays])

    def finish(self) -> None:
        """All other merges by the chain."""
        children, increases = chain(CentreClusters(self.centres, self.weights), self.nodes, self._following)
        self.children.append(children)
        self.increases.append(np.array(increases))


def _nearest(centres: Floats, weights: Floats, rows: Rows) -> tuple[NDArray[np.int64], Floats]:
    """For each of `rows` the cluster whose union with it adds least to the sum of squares, and how much, exactly."""
    squares = np.einsum("ij,ij->i", centres, centres)
    ones = np.ones((len(centres), 1))
    left = np.hstack((-2 * centres[rows], squares[rows, None], ones[rows]))
    right = np.ascontiguousarray(np.hstack((centres, ones, squares[:, None])).T)
    found = np.empty(len(rows), dtype=np.int64)
    tile = max(1, TILE // len(centres))
    for begin in range(0, len(rows), tile):
        part = rows[begin : begin + tile]
        increase = left[begin : begin + tile] @ right
        _weigh(increase, weights, part)
        found[begin : begin + tile] = increase.argmin(axis=1)
    exact = _increase(centres, weights, rows, found)
    # The product rounds by some units in the last place of the squares, not of their difference. That matters only for
    # clusters at most twice as far from the origin as the row; the others' distance is of the size of their squares.
    rounding = 20 * np.finfo(np.float64).eps * (centres.shape[1] + 2) * squares[rows]
    shares = exact / ward_factor(weights[rows], weights[found])
    doubtful = np.flatnonzero(rounding > DOUBTFUL * shares)
    columns = np.ascontiguousarray(centres.T)
    for begin in range(0, len(doubtful), tile):
        part = doubtful[begin : begin + tile]
        increase = np.zeros((len(part), len(centres)))
        for column in columns:
            apart = column[rows[part], None] - column
            apart *= apart
            increase += apart
        _weigh(increase, weights, rows[part])
        found[part] = increase.argmin(axis=1)
    exact[doubtful] = _increase(centres, weights, rows[doubtful], found[doubtful])
    return found, exact


def _weigh(squares: Floats, weights: Floats, rows: Rows) -> None:
    """Squared distances (rows, m) times weight of the column over sum of weights; the own cluster is infinitely far."""
    first, last = weights[rows[0]], weights[rows[-1]]
    if first == last:
        squares *= weights / (first + weights)
    else:
        squares *= weights / (weights[rows, None] + weights)
    squares[np.arange(len(rows)), rows] = np.inf


def _increase(centres: Floats, weights: Floats, rows: Rows, others: Rows) -> Floats:
    """Of the sum of squares, by the union of each of `rows` with its other: the same bits from both sides."""
    apart = centres[rows] - centres[others]
    apart *= apart
    return np.asarray(apart.sum(axis=1) * ward_factor(weights[rows], weights[others]))


def scale_of(points: Floats) -> float:
    """A power of two above every absolute value; to divide by it rounds nothing."""
    largest = float(np.abs(points).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1]) if largest else 1.0
