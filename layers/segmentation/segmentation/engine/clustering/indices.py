"""Figures that judge a partition from its centres: how much it explains, how tight and how far apart its clusters are.

It must not know how the clusters were found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.clustering.kmeans import assign
from segmentation.engine.frame import Floats, Offsets
from segmentation.errors import FieldError, InvalidInput

Labels = NDArray[np.int32]
Fit = Callable[[Floats, int], Floats]
"""Centres (k, d) of the k clusters that are found in points (n, d)."""

_CHUNK = 16_384
"""Rows at a time: they stay in cache."""


@dataclass(frozen=True, eq=False)
class Spread:
    """How rows lie about the means of their clusters: sums from which every figure below is read.

    `sizes` (k,), `centres` (k, d) (NaN for an empty cluster), `squares` and `distances` (k,): summed squared distances
    and summed distances to the own centre; `all_squares` and `all_distances`: the same to the mean of all rows.
    """

    sizes: Offsets
    centres: Floats
    squares: Floats
    distances: Floats
    all_squares: float
    all_distances: float

    @cached_property
    def inertia(self) -> float:
        """Sum of the squared distances to the own centre."""
        return float(self.squares.sum())

    @cached_property
    def explained(self) -> float:
        """Part of the variance that lies between the clusters, 0 to 1; 1 where nothing varies."""
        return 1 - self.inertia / self.all_squares if self.all_squares > 0 else 1.0

    @cached_property
    def radii(self) -> Floats:
        """Mean distance to the own centre (k,), NaN for an empty cluster."""
        return self.distances / np.where(self.sizes > 0, self.sizes, np.nan)

    @cached_property
    def calinski_harabasz(self) -> float:
        """Variance between over variance within, each by its degrees of freedom: more is better.

        Caliński and Harabasz (1974). NaN for fewer than two clusters or as many as rows, infinite where no row is off
        its centre.
        """
        clusters, rows = int(np.count_nonzero(self.sizes)), int(self.sizes.sum())
        if clusters < 2 or clusters >= rows:
            return float("nan")
        if self.inertia == 0:
            return float("inf")
        return (self.all_squares - self.inertia) / self.inertia * (rows - clusters) / (clusters - 1)

    @cached_property
    def _apart(self) -> Floats:
        """Distances between centres in units of the mean of both radii (k, k), infinite where there is no other.

        Clusters without radius are infinitely far apart, unless they lie on the same place.
        """
        away = np.linalg.norm(self.centres[:, None] - self.centres[None], axis=2)
        radius = (self.radii[:, None] + self.radii[None]) / 2
        apart = np.divide(away, radius, out=np.where(away > 0, np.inf, 0.0), where=radius > 0)
        apart[np.isnan(away)] = np.inf
        np.fill_diagonal(apart, np.inf)
        return apart

    @cached_property
    def davies_bouldin(self) -> float:
        """Mean over the clusters of the sum of two radii over the distance of the centres, for the worst neighbour.

        Davies and Bouldin (1979): less is better, infinite where two centres coincide, NaN for fewer than two clusters.
        """
        if np.count_nonzero(self.sizes) < 2:
            return float("nan")
        nearest = self._apart.min(axis=1)[self.sizes > 0]
        return float(np.mean(np.divide(2, nearest, out=np.full(len(nearest), np.inf), where=nearest > 0)))

    @cached_property
    def homogeneity(self) -> Floats:
        """1 - radius / mean distance of all rows from their mean (k,): 1 if its rows are equal, 0 if they lie as far
        apart as everybody, below 0 if farther.
        """
        rows = self.sizes.sum()
        return 1 - self.radii / (self.all_distances / rows) if self.all_distances > 0 else 1 - self.radii

    @cached_property
    def separation(self) -> Floats:
        """Distance to the nearest other centre in units of the mean of both radii (k,): from 2 on, spheres of the
        mean distance around the centres do not meet. NaN for an empty cluster, infinite for the only one.
        """
        return np.where(self.sizes > 0, self._apart.min(axis=1), np.nan)

    @cached_property
    def nearest(self) -> Offsets:
        """The other cluster that the separation is measured to (k,), -1 without one."""
        found: Offsets = self._apart.argmin(axis=1)
        return np.where(np.isfinite(self.centres).all(axis=1) & (np.count_nonzero(self.sizes) > 1), found, -1)


def spread(points: Floats, labels: Labels, k: int | None = None) -> Spread:
    """The spread of `points` (n, d) about the means of their clusters; rows labelled -1 do not count.

    `k` clusters, or as many as the highest label says. Memory: 8 bytes per row and a few MB, and a copy of the points
    if some rows have no cluster. InvalidInput if the arguments do not fit each other.
    """
    _check(points, labels)
    if labels.min(initial=0) < 0:
        points, labels = points[labels >= 0], labels[labels >= 0]
    clusters = int(labels.max(initial=-1)) + 1 if k is None else k
    owners = labels.astype(np.intp)
    sizes = np.bincount(owners, minlength=clusters)
    if len(sizes) > clusters:
        raise _invalid("labels", f"label {len(sizes) - 1} is not below k={clusters}")
    sums = np.stack([np.bincount(owners, column, minlength=clusters) for column in points.T], axis=1)
    with np.errstate(invalid="ignore"):
        centres = sums / sizes[:, None]
    middle = sums.sum(axis=0) / max(len(points), 1)
    squares, distances, overall = np.zeros(clusters), np.zeros(clusters), np.zeros(2)
    for start in range(0, len(points), _CHUNK):
        rows, own = points[start : start + _CHUNK], owners[start : start + _CHUNK]
        squared = _squared(rows - np.take(centres, own, axis=0))
        squares += np.bincount(own, squared, minlength=clusters)
        distances += np.bincount(own, np.sqrt(squared), minlength=clusters)
        squared = _squared(rows - middle)
        overall += squared.sum(), np.sqrt(squared).sum()
    return Spread(sizes, centres, squares, distances, float(overall[0]), float(overall[1]))


def inertia(points: Floats, labels: Labels, centres: Floats) -> float:
    """Sum of the squared distances of `points` (n, d) from the centre (k, d) of their label; -1 does not count."""
    _check(points, labels)
    if int(labels.max(initial=-1)) >= len(centres):
        raise _invalid("labels", f"label {int(labels.max())} is not below the number of centres, {len(centres)}")
    total = 0.0
    for start in range(0, len(points), _CHUNK):
        rows, own = points[start : start + _CHUNK], labels[start : start + _CHUNK]
        total += float(_squared(rows - centres[own])[own >= 0].sum())
    return total


def _squared(differences: Floats) -> Floats:
    """Squared lengths (n,)."""
    lengths: Floats = np.einsum("ij,ij->i", differences, differences)
    return lengths


def calinski_harabasz(points: Floats, labels: Labels) -> float:
    """See `Spread.calinski_harabasz`; who wants several figures takes the spread once."""
    return spread(points, labels).calinski_harabasz


def davies_bouldin(points: Floats, labels: Labels) -> float:
    """See `Spread.davies_bouldin`."""
    return spread(points, labels).davies_bouldin


def adjusted_rand(one: Labels, other: Labels) -> float:
    """How far two partitions of the same rows agree: 1 if equal but for the numbers, 0 on average by chance.

    Hubert and Arabie (1985), by counts of pairs in whole numbers; 1 where both put all rows together, or all apart.
    """
    if one.shape != other.shape or one.ndim != 1:
        raise _invalid("labels", f"labels of shape {one.shape} and {other.shape} are not of the same rows")
    ones, others = np.unique(one, return_inverse=True)[1], np.unique(other, return_inverse=True)[1]
    both = ones.astype(np.int64) * (int(others.max(initial=0)) + 1) + others
    together, in_one, in_other = (
        _pairs(np.unique(codes, return_counts=True)[1].astype(np.int64)) for codes in (both, ones, others)
    )
    total = _pairs(np.array([len(one)], dtype=np.int64))
    if together == in_one == in_other:
        return 1.0
    # (index - expected) / (maximum - expected), both times twice the pairs: whole numbers until the last division.
    expected = 2 * in_one * in_other
    return (2 * together * total - expected) / ((in_one + in_other) * total - expected)


def _pairs(counts: Offsets) -> int:
    return int((counts * (counts - 1) // 2).sum())


def gap(
    points: Floats, k: int, fit: Fit, *, references: int = 10, seed: int = 0, rows: int = 20_000
) -> tuple[float, float]:
    """How much lower the logarithm of the inertia is than that of points without clusters, and its standard error.

    Tibshirani, Walther and Hastie (2001): the reference points are uniform in the box along the principal axes of
    `points` (n, d); the error holds the factor sqrt(1 + 1 / references). Above `rows` rows a seeded sample of them
    stands for all. `fit` finds the k centres, in the points and in each of the `references`. Infinite where every row
    lies on its centre. InvalidInput for fewer than one reference.
    """
    if references < 1:
        raise _invalid("references", f"references={references}: at least 1 is needed")
    random = np.random.default_rng(seed)
    if len(points) > rows:
        points = points[np.sort(random.choice(len(points), rows, replace=False))]
    middle = points.mean(axis=0)
    axes = np.linalg.svd(points - middle, full_matrices=False)[2]
    along = (points - middle) @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    found = _log_inertia(points, fit(points, k))
    drawn = []
    for _ in range(references):
        uniform = random.uniform(low, high, along.shape) @ axes + middle
        drawn.append(_log_inertia(uniform, fit(uniform, k)))
    return float(np.mean(drawn)) - found, float(np.std(drawn)) * sqrt(1 + 1 / references)


def _log_inertia(points: Floats, centres: Floats) -> float:
    """Logarithm of the summed squared distances to the nearest centre."""
    total = inertia(points, assign(centres, points), centres)
    return log(total) if total > 0 else float("-inf")


def _check(points: Floats, labels: Labels) -> None:
    if points.ndim != 2 or labels.shape != points.shape[:1]:
        raise _invalid("labels", f"labels of shape {labels.shape} do not belong to points of shape {points.shape}")


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, [FieldError(field, message)])
