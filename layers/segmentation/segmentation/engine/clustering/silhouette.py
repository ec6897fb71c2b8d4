"""Silhouettes: how much nearer customers are to their own cluster than to the next. Rousseeuw (1987).

It must not know how the clusters were found.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.clustering.pairs import distance_sums
from segmentation.engine.frame import Floats, Offsets, Rows
from segmentation.errors import FieldError, InsufficientData, InvalidInput

Labels = NDArray[np.int32]

MAX_CLUSTERS = 1_000
_GROUPS = 20
"""Parts of a sample that the standard error is measured with."""
_MAX_SUMS = 2_000
"""Sums of distances kept per row, at most."""
_LEAST = 100
"""Rows of a cluster in a sample, at least, if it has them."""


@dataclass(frozen=True)
class Silhouette:
    """Mean silhouette width, from -1 to 1, of all customers and of those of each cluster (NaN for an empty one).

    The standard errors are 0 where `exact`; otherwise `rows` customers were sampled.
    """

    mean: float
    per_cluster: tuple[float, ...]
    standard_error: float
    per_cluster_error: tuple[float, ...]
    rows: int
    exact: bool


def silhouette(
    points: Floats, labels: Labels, *, seed: int = 0, exact_limit: int = 20_000, sample: int = 20_000
) -> Silhouette:
    """The silhouette of `points` (n, d) under `labels` (n,), -1 for rows without a cluster, which do not count.

    A row's width is (b - a) / max(a, b): a its mean distance to the other rows of its cluster, b the lowest mean
    distance to another cluster; 0 for the only row of a cluster and where both are 0.

    Up to `exact_limit` rows all pairs count. Above it, about `sample` rows are drawn, of each cluster its share and at
    least 100 (or all it has), and the clusters' means are weighted by their sizes. The standard error is that of a
    jackknife over 20 parts of the sample: a row moves the mean by its own width and by the distances of others to it.

    Memory: 8 bytes per row (of the sample) and cluster, times 20 when sampled, at most 2,000 such sums per row.
    InvalidInput for values that are not finite, a length that differs, or more than 1,000 clusters; InsufficientData
    for fewer than two clusters.
    """
    sizes = _sizes(points, labels)
    rows = np.flatnonzero(labels >= 0)
    order = rows[np.argsort(labels[rows].astype(np.int16), kind="stable")]
    if len(rows) <= exact_limit:
        drawn, part = order, np.full(len(order), -1)
    else:
        drawn, part = _drawn(order, sizes, sample, seed)
    cluster = labels[drawn].astype(np.int64)
    means, errors = _measured(_in_units(points[drawn]), cluster, part, sizes)
    errors *= np.sqrt(1 - len(drawn) / len(rows))
    return Silhouette(
        mean=float(means[-1]),
        per_cluster=tuple(means[:-1].tolist()),
        standard_error=float(errors[-1]),
        per_cluster_error=tuple(errors[:-1].tolist()),
        rows=len(drawn),
        exact=len(drawn) == len(rows),
    )


def _sizes(points: Floats, labels: Labels) -> Offsets:
    """Rows per cluster, after a look at the arguments."""
    if points.ndim != 2 or labels.shape != points.shape[:1]:
        raise _invalid("labels", f"labels of shape {labels.shape} do not belong to points of shape {points.shape}")
    if not np.isfinite(points).all():
        raise _invalid("features", "values must be finite")
    highest = int(labels.max(initial=-1))
    if highest >= MAX_CLUSTERS:
        raise _invalid("k", f"k={highest + 1} exceeds the {MAX_CLUSTERS} clusters that a silhouette can be of")
    sizes = np.bincount(labels[labels >= 0], minlength=highest + 1).astype(np.int64)
    if np.count_nonzero(sizes) < 2:
        raise InsufficientData(f"a silhouette needs at least 2 clusters, found {np.count_nonzero(sizes)}")
    return sizes


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, [FieldError(field, message)])


def _in_units(points: Floats) -> Floats:
    """The points moved and scaled into [-1, 1], which no silhouette notices; halves, so that nothing overflows."""
    moved: Floats = points / 2 - points[0] / 2
    extent = float(np.abs(moved).max())
    return moved / extent if extent > 0 else moved


def _drawn(order: Rows, sizes: Offsets, sample: int, seed: int) -> tuple[Rows, Offsets]:
    """Rows of a stratified sample, sorted by cluster and part, and the part of each; -1 in a cluster taken whole."""
    present = int(np.count_nonzero(sizes))
    least = max(2, min(_LEAST, sample // (2 * present)))
    parts = max(2, min(_GROUPS, _MAX_SUMS // len(sizes), least // 2))
    random = np.random.default_rng(seed)
    rows, part = [], []
    for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        take = min(size, max(least, int(sample * size / len(order))))
        whole = take == size
        chosen = np.arange(size) if whole else random.choice(size, take, replace=False)
        rows.append(order[start + chosen])
        part.append(np.full(take, -1) if whole else np.sort(np.arange(take) % parts))
    return np.concatenate(rows), np.concatenate(part)


def _measured(points: Floats, cluster: Offsets, part: Offsets, sizes: Offsets) -> tuple[Floats, Floats]:
    """Mean widths per cluster and, last, of all, with their standard errors: (k + 1,) each.

    Rows are sorted by cluster and part; a group of rows is one part of one cluster.
    """
    change = np.flatnonzero((np.diff(cluster) != 0) | (np.diff(part) != 0)) + 1
    offsets = np.concatenate([[0], change, [len(cluster)]])
    owner, group_part = cluster[offsets[:-1]], part[offsets[:-1]]
    sums = distance_sums(points, offsets, owner)
    present = np.unique(owner)
    own = np.searchsorted(present, cluster)
    totals = np.add.reduceat(sums, np.searchsorted(owner, present), axis=1)
    counts = np.bincount(own)
    means = _means(_widths(totals, own, counts), cluster, sizes)
    without = []
    for left_out in np.unique(part[part >= 0]).tolist():
        groups, kept = np.flatnonzero(group_part == left_out), part != left_out
        fewer = totals[kept]
        fewer[:, np.searchsorted(present, owner[groups])] -= sums[np.ix_(kept, groups)]
        widths = _widths(fewer, own[kept], np.bincount(own[kept], minlength=len(present)))
        without.append(_means(widths, cluster[kept], sizes))
    if not without:
        return means, np.zeros(len(means))
    return means, np.sqrt((len(without) - 1) * np.var(without, axis=0))


def _widths(totals: Floats, own: Offsets, counts: Offsets) -> Floats:
    """Silhouette widths (n,) from the sums of distances to each cluster (n, k)."""
    row = np.arange(len(own))
    within = totals[row, own] / np.maximum(counts[own] - 1, 1)
    means = totals / counts
    means[row, own] = np.inf
    between = means.min(axis=1)
    larger = np.maximum(within, between)
    single = (counts[own] == 1) | (larger == 0)
    return np.where(single, 0.0, (between - within) / np.where(single, 1.0, larger))


def _means(widths: Floats, cluster: Offsets, sizes: Offsets) -> Floats:
    """Means per cluster, NaN for one without rows, and of all rows by the clusters' true sizes."""
    counts = np.bincount(cluster, minlength=len(sizes))
    sums = np.bincount(cluster, widths, minlength=len(sizes))
    means = np.divide(sums, counts, out=np.full(len(sizes), np.nan), where=counts > 0)
    return np.append(means, np.nansum(means * sizes) / sizes.sum())
