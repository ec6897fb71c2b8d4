"""Mean silhouette widths of several partitions of the same rows: every distance is computed once for all of them.

It must not know which partition will be chosen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Codes, Floats

Table = NDArray[np.floating[Any]]

_SMALL = 4_096
"""Up to so many rows in float64; of more, the mean hides the rounding of float32 (1e-6 of the distances)."""
_ROWS, _COLUMNS = 128, 4_096
"""A tile of distances: 2 MB of float32, which stay in cache."""


def mean_widths(points: Floats, partitions: Sequence[Codes]) -> tuple[float, ...]:
    """Mean silhouette width (Rousseeuw 1987) of `points` (n, d) under each of the `partitions` (n,), labels from 0.

    As scikit-learn's `silhouette_score`: the only row of a cluster counts as 0. NaN for a partition of one cluster.
    Memory: 8 bytes for every row and cluster of all partitions.
    """
    count = len(points)
    kind: np.dtype[Any] = np.dtype(np.float64 if count <= _SMALL else np.float32)
    spots = points - points.mean(axis=0)
    spots /= max(float(np.abs(spots).max(initial=0.0)), 1e-300)
    squared = np.einsum("ij,ij->i", spots, spots)
    ones = np.ones(count)
    rows = np.column_stack([-2 * spots, squared, ones]).astype(kind)
    columns = np.ascontiguousarray(np.column_stack([spots, ones, squared]).T, dtype=kind)
    clusters = [int(labels.max()) + 1 for labels in partitions]
    edges = np.cumsum([0, *clusters])
    members = np.zeros((count, edges[-1]), dtype=kind)
    for edge, labels in zip(edges, partitions, strict=False):
        members[np.arange(count), edge + labels] = 1
    sizes = members.sum(axis=0, dtype=np.float64)
    totals = np.zeros(len(partitions))
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        sums = _sums(rows[start:stop], columns, members, start)
        for at, labels in enumerate(partitions):
            part = slice(edges[at], edges[at + 1])
            totals[at] += _widths(sums[:, part], labels[start:stop], sizes[part]).sum()
    alone = [np.count_nonzero(sizes[edges[at] : edges[at + 1]]) < 2 for at in range(len(partitions))]
    return tuple(float("nan") if single else float(total) / count for total, single in zip(totals, alone, strict=True))


def _sums(rows: Table, columns: Table, members: Table, first: int) -> Floats:
    """Sums of the distances of `rows` to the rows of every cluster of every partition."""
    sums = np.zeros((len(rows), members.shape[1]))
    own = np.arange(len(rows))
    for start in range(0, len(members), _COLUMNS):
        tile = rows @ columns[:, start : start + _COLUMNS]
        here = (first + own >= start) & (first + own < start + _COLUMNS)
        tile[own[here], first + own[here] - start] = 0
        np.maximum(tile, 0, out=tile)
        np.sqrt(tile, out=tile)
        sums += tile @ members[start : start + _COLUMNS]
    return sums


def _widths(sums: Floats, labels: Codes, sizes: Floats) -> Floats:
    """(b - a) / max(a, b) from the sums of distances (n, k): a the mean within, b the mean to the next cluster."""
    own = np.arange(len(labels))
    others = sizes[labels] - 1
    within = sums[own, labels] / np.maximum(others, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(sizes > 0, sums / sizes, np.inf)
        means[own, labels] = np.inf
        next_one = means.min(axis=1)
        widths: Floats = (next_one - within) / np.maximum(next_one, within)
    widths[(others == 0) | ~np.isfinite(widths)] = 0
    return widths
