"""k-means: the partition into k clusters with the least sum of squared distances to the clusters' means.

`fit` learns centres, `assign` scores with nothing but the centres. It must not know what the columns mean or where
they come from.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.clustering.nearest import nearest, squares
from segmentation.engine.clustering.starts import again, compete, descend, inertia_of
from segmentation.engine.frame import Codes, Floats
from segmentation.errors import FieldError, InvalidInput

_BLOCK = 8_192


@dataclass(frozen=True, eq=False)
class KMeans:
    """Fitted clusters, largest first: `centres` (k, d), the sum of squared distances to them, rows of each.

    `iterations` are those of the run that won, on all rows; `restarts` of them competed. `converged`: no row would
    change its cluster if the iterations went on, so every centre is the mean of its rows. Otherwise the last iteration
    moved all centres together by less than 1% of the spread, and the inertia is rounded to about seven digits.
    """

    centres: Floats
    inertia: float
    sizes: tuple[int, ...]
    iterations: int
    restarts: int
    seed: int
    converged: bool


def fit(
    points: Floats, k: int, *, seed: int = 0, restarts: int = 10, start: Floats | None = None
) -> tuple[KMeans, Codes]:
    """The best of `restarts` runs of Lloyd's iterations from k-means++ starts, and the labels (n) of the rows.

    `points` are (n, d) and finite. Up to 100,000 rows the iterations end when no row changes its cluster. With more
    rows the runs compete on samples, and the winner is iterated on all rows until that, or until all centres together
    move by less than 1% of the spread of the data. Labels are what `assign` gives; clusters are ordered by size,
    largest first, then by centre. `start` (k, d), if given, replaces the random starts. The same arguments give the
    same result, bit by bit.

    Raises InvalidInput for k below 1 or above the number of distinct rows, for restarts below 1 and for values that
    are not finite. Memory: 24 bytes a row and a third of the points.
    """
    points = np.asarray(points, dtype=np.float64)
    total = _checked(points)
    if k < 1:
        raise InvalidInput(f"k={k} is below 1", [FieldError("k", f"{k} is below 1")])
    if restarts < 1:
        raise InvalidInput(f"restarts={restarts} is below 1", [FieldError("restarts", f"{restarts} is below 1")])
    random = np.random.default_rng(seed)
    if start is None:
        found = compete(points, k, restarts, random)
    else:
        found = descend(points, _checked_start(points, k, start), random)
    while True:
        order = np.lexsort((*found.centres.T[::-1], -found.sizes))
        rank = np.empty(k, dtype=np.int32)
        rank[order] = np.arange(k)
        centres = found.centres[order]
        # A row between two centres belongs to the first, so sorting the centres can give it to the other one.
        if np.array_equal(rank[found.labels[found.near]], nearest(points[found.near], centres).labels):
            break
        found = again(points, centres)
    inertia = inertia_of(points, found, total)
    for begin in range(0, len(points), _BLOCK):
        chunk = found.labels[begin : begin + _BLOCK]
        chunk[:] = rank[chunk]
    sizes = tuple(int(size) for size in found.sizes[order])
    return KMeans(centres, inertia, sizes, found.iterations, restarts, seed, found.converged), found.labels


def assign(centres: Floats, points: Floats) -> Codes:
    """Number of the nearest centre for every row: (n) int32; of equally near ones the first.

    `centres` (k, d), `points` (n, d). A row's answer does not depend on the other rows. Raises InvalidInput where a row
    has no nearest centre because its values are not finite. Memory: 8 bytes a row.
    """
    if points.ndim != 2 or points.shape[1] != centres.shape[1]:
        message = f"rows of {centres.shape[1]} values are needed, not the shape {points.shape}"
        raise InvalidInput(message, [FieldError("features", message)])
    return nearest(points, centres).labels


def distances(centres: Floats, points: Floats) -> Floats:
    """Euclidean distance of every row to every centre: (n, k). Memory: the result twice."""
    return np.sqrt(squares(points, centres))


def _checked_start(points: Floats, k: int, start: Floats) -> Floats:
    if start.shape != (k, points.shape[1]) or not np.isfinite(start).all():
        message = f"start must be {k} rows of {points.shape[1]} finite numbers, not the shape {start.shape}"
        raise InvalidInput(message, [FieldError("start", message)])
    return start.astype(np.float64)


def _checked(points: Floats) -> float:
    """Sum of the squares of all values, which only finite values have."""
    if points.ndim != 2 or points.shape[1] == 0:
        message = f"clusters need a table of at least one column, not the shape {points.shape}"
        raise InvalidInput(message, [FieldError("features", message)])
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, len(points), _BLOCK):
            chunk = points[begin : begin + _BLOCK]
            total += float(np.einsum("ij,ij->", chunk, chunk))
            if not np.isfinite(total):
                raise _not_finite(chunk, begin)
    return total


def _not_finite(chunk: Floats, begin: int) -> InvalidInput:
    row, column = np.argwhere(~(np.abs(chunk) < 1e150))[0]
    message = f"row {begin + row}, column {column} is {chunk[row, column]}: fill or clip it before clustering"
    return InvalidInput(message, [FieldError("features", message)])
