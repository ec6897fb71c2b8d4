"""Sums of Euclidean distances from every row to every group of rows: what a silhouette rests on.

All pairs are visited once, in tiles that stay in cache. It must not know what the groups mean.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats, Offsets

Real = NDArray[np.float32] | NDArray[np.float64]

_ROWS = 256
_TILE = 262_144
"""Elements of a tile: 1 MB of float32."""
_SMALL = 2_000
"""Up to so many rows, float64 takes no longer than anybody would notice."""
_NEAR = 1e-4
"""A pair is near if its squared distance is below this part of the row's squared distance from the centre: there
float32 has lost its digits.
"""
_NEAR_SHARE = 0.01
"""A tile with a larger share of near pairs is computed again in float64."""


def distance_sums(points: Floats, offsets: Offsets, clusters: Offsets) -> Floats:
    """Sum of the distances from every row to the rows of each group: (n, groups).

    `points` (n, d) are finite, of the order of 1, and sorted by group: group g holds the rows
    `offsets[g]:offsets[g + 1]`, at least one. `clusters[g]` is the cluster that the group is a part of, ascending.

    A squared distance is |x|^2 - 2xy + |y|^2, one product of longer rows, in float32 about the mean of the cluster of
    x: what cancels is then small against the distance. Tiles where it is not (many equal rows) are float64. Means
    agree with those of float64 to about 1e-6 of the distance. Memory: the result, four copies of the points, 3 MB.
    """
    sums = np.zeros((len(points), len(offsets) - 1))
    for cluster in np.unique(clusters).tolist():
        first, last = np.searchsorted(clusters, [cluster, cluster + 1]).tolist()
        # Rows before it have met these: the distance is the same from both ends.
        rest = points[offsets[first] :]
        centred = rest - rest[: offsets[last] - offsets[first]].mean(axis=0)
        _add_cluster(sums, centred, offsets, (first, last))
    return sums


def _add_cluster(sums: Floats, centred: Floats, offsets: Offsets, groups: tuple[int, int]) -> None:
    """Adds what the rows of some groups have with each other and with all later rows, from both ends."""
    origin = int(offsets[groups[0]])
    single = len(sums) > _SMALL
    left, right = _longer(centred, np.float32 if single else np.float64)
    exact: tuple[Real, Real] | None = None
    buffer = np.empty(_TILE, dtype=left.dtype)
    ones = np.ones(_TILE, dtype=left.dtype)
    for group in range(*groups):
        for begin in range(int(offsets[group]) - origin, int(offsets[group + 1]) - origin, _ROWS):
            end = min(begin + _ROWS, int(offsets[group + 1]) - origin)
            rows, width = left[begin:end], _TILE // (end - begin)
            limits = _NEAR * rows[:, -2:-1]
            for start in range(begin, len(centred), width):
                stop = min(start + width, len(centred))
                tile: Real = buffer[: (end - begin) * (stop - start)].reshape(end - begin, stop - start)
                np.matmul(rows, right[:, start:stop], out=tile)
                if single and np.count_nonzero(tile < limits) > _NEAR_SHARE * tile.size:
                    exact = exact or _longer(centred, np.float64)
                    tile = exact[0][begin:end] @ exact[1][:, start:stop]
                # Rounding can leave a little below zero.
                np.sqrt(np.abs(tile, out=tile), out=tile)
                if start == begin:
                    np.fill_diagonal(tile, 0)
                _add_rows(sums[origin + begin : origin + end], tile, offsets, origin + start)
                later = max(end, start)
                sums[origin + later : origin + stop, group] += ones[: end - begin] @ tile[:, later - start :]


def _longer(centred: Floats, kind: type[np.float32] | type[np.float64]) -> tuple[Real, Real]:
    """(n, d + 2) and (d + 2, n) whose product is the squared distance of every row from every row."""
    count, dimensions = centred.shape
    left = np.empty((count, dimensions + 2), dtype=kind)
    left[:, :dimensions] = centred
    # Of the rounded values, or equal rows would be apart.
    squares = np.square(left[:, :dimensions], dtype=np.float64).sum(axis=1)
    left[:, dimensions], left[:, dimensions + 1] = squares, 1
    right = np.empty((dimensions + 2, count), dtype=kind)
    right[:dimensions], right[dimensions], right[dimensions + 1] = -2 * left[:, :dimensions].T, 1, squares
    return left, right


def _add_rows(sums: Floats, tile: Real, offsets: Offsets, start: int) -> None:
    """Adds the row sums of a tile whose columns begin at row `start`, group by group."""
    stop = start + tile.shape[1]
    first = int(np.searchsorted(offsets, start, side="right")) - 1
    ones = np.ones(tile.shape[1], dtype=tile.dtype)
    for group in range(first, len(offsets) - 1):
        low, high = max(int(offsets[group]), start) - start, min(int(offsets[group + 1]), stop) - start
        if low >= high:
            break
        sums[:, group] += tile[:, low:high] @ ones[low:high]
