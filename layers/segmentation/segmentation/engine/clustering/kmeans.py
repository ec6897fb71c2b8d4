"""k-means: the partition into k clusters with the least sum of squared distances, found by Lloyd's iterations.

`fit` learns centres, `assign` scores with nothing but the centres. It must not know what the columns mean or where
they come from.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Codes, Floats
from segmentation.errors import FieldError, InvalidInput

_MOST_ITERATIONS = 1_000
_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class KMeans:
    """Fitted clusters, largest first: `centres` (k, d), the sum of squared distances to them, rows of each.

    `iterations` are those of the run that won; `restarts` of them competed.
    """

    centres: Floats
    inertia: float
    sizes: tuple[int, ...]
    iterations: int
    restarts: int
    seed: int


def fit(points: Floats, k: int, *, seed: int = 0, restarts: int = 10) -> tuple[KMeans, Codes]:
    """The best of `restarts` runs from k-means++ starts, each iterated until no row changes its cluster; labels (n).

    `points` are (n, d) and finite. Centres are the means of their rows, clusters are ordered by size, largest first.
    Raises InvalidInput for k below 1 or above the number of distinct rows, for restarts below 1 and for values that
    are not finite.
    """
    points = _checked(points)
    _check_counts(points, k, restarts)
    random = np.random.default_rng(seed)
    runs = [_lloyd(points, _plus_plus(points, k, random)) for _ in range(restarts)]
    centres, labels, inertia, iterations = min(runs, key=lambda run: run[2])
    sizes = np.bincount(labels, minlength=k)
    order = np.lexsort((*centres.T[::-1], -sizes))
    rank = np.empty(k, dtype=np.int32)
    rank[order] = np.arange(k)
    model = KMeans(centres[order], inertia, tuple(int(size) for size in sizes[order]), iterations, restarts, seed)
    return model, rank[labels]


def assign(centres: Floats, points: Floats) -> Codes:
    """Number of the nearest centre for every row: (n) int32; of equally near ones the first.

    `centres` (k, d), `points` (n, d). A row's answer does not depend on the other rows. Raises InvalidInput where a row
    has no nearest centre because its values are not finite.
    """
    labels = np.empty(len(points), dtype=np.int32)
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        squares = _squares(centres, points[block])
        if not np.isfinite(squares).all():
            raise InvalidInput("a row has values that are not finite numbers", [FieldError("features", "not finite")])
        labels[block] = squares.argmin(axis=1)
    return labels


def distances(centres: Floats, points: Floats) -> Floats:
    """Euclidean distance of every row to every centre: (n, k). Memory: the result twice."""
    return np.sqrt(_squares(centres, points))


def _squares(centres: Floats, points: Floats) -> Floats:
    """Squared distances (n, k), term by term: unlike a product of matrices the same for one row as among many."""
    squares = np.zeros((len(points), len(centres)))
    for column in range(centres.shape[1]):
        difference = points[:, column, None] - centres[None, :, column]
        squares += difference * difference
    return squares


def _checked(points: Floats) -> Floats:
    points = np.ascontiguousarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        message = f"clusters need a table of at least one column, not the shape {points.shape}"
        raise InvalidInput(message, [FieldError("features", message)])
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        message = f"row {row}, column {column} is {points[row, column]}; fill missing values before clustering"
        raise InvalidInput(message, [FieldError("features", message)])
    return points


def _check_counts(points: Floats, k: int, restarts: int) -> None:
    if k < 1:
        raise InvalidInput(f"k={k} is below 1", [FieldError("k", f"{k} is below 1")])
    if restarts < 1:
        raise InvalidInput(f"restarts={restarts} is below 1", [FieldError("restarts", f"{restarts} is below 1")])
    distinct = _distinct(points, k)
    if distinct < k:
        message = f"k={k} exceeds the {distinct} distinct customers"
        raise InvalidInput(message, [FieldError("k", message)])


def _distinct(points: Floats, enough: int) -> int:
    """Number of distinct rows, counted only until there are enough."""
    known = points[:0]
    size = max(1_024, 2 * enough)
    for start in range(0, len(points), size):
        # Minus zero equals zero but has other bytes.
        known = np.unique(np.concatenate([known, points[start : start + size] + 0.0]), axis=0)
        if len(known) >= enough:
            break
    return len(known)


def _plus_plus(points: Floats, k: int, random: np.random.Generator) -> Floats:
    """k distinct rows as a start, drawn by squared distance to those before (Arthur and Vassilvitskii 2007)."""
    centres = points[[random.integers(len(points))]]
    nearest = _squares(centres, points)[:, 0]
    while len(centres) < k:
        total = np.cumsum(nearest)
        drawn = int(np.searchsorted(total, random.random() * total[-1], side="right"))
        drawn = min(drawn, int(np.flatnonzero(nearest)[-1]))
        centres = np.vstack([centres, points[drawn]])
        nearest = np.minimum(nearest, _squares(points[[drawn]], points)[:, 0])
    return centres


def _lloyd(points: Floats, centres: Floats) -> tuple[Floats, Codes, float, int]:
    labels = assign(centres, points)
    iterations = 1
    while True:
        centres = _means(points, labels, len(centres), centres)
        changed = assign(centres, points)
        if np.array_equal(changed, labels) or iterations == _MOST_ITERATIONS:
            break
        labels, iterations = changed, iterations + 1
    difference = points - centres[labels]
    return centres, labels, float(np.einsum("ij,ij->", difference, difference)), iterations


def _means(points: Floats, labels: Codes, k: int, centres: Floats) -> Floats:
    """Means of the clusters; a cluster that lost all rows takes the row farthest from its centre."""
    sizes = np.bincount(labels, minlength=k)
    for empty in np.flatnonzero(sizes == 0):
        difference = points - centres[labels]
        far = int(np.einsum("ij,ij->i", difference, difference).argmax())
        labels[far] = empty
        centres[empty] = points[far]
        sizes = np.bincount(labels, minlength=k)
    sums = [np.bincount(labels, weights=column, minlength=k) for column in points.T]
    return np.stack(sums, axis=1) / sizes[:, None]
