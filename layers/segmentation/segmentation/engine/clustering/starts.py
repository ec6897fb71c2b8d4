"""Where k-means begins: drawn rows compete on a small sample, the best go on to larger ones and to all rows.

It must not know what becomes of the result.
"""

import numpy as np

from segmentation.engine.clustering.lloyd import MOST_ITERATIONS, Partition, iterate
from segmentation.engine.clustering.nearest import squares
from segmentation.engine.frame import Floats
from segmentation.errors import FieldError, InvalidInput

_FIRST, _GROWTH = 10_000, 8
"""Rows of the first sample, or 20 for each centre; every sample has eight times the rows of the one before."""
_DRAWN_FROM = 4_096
"""Rows that k-means++ draws from, or 8 for each centre."""
_GREEDY = 64
"""Up to so many centres k-means++ tries several rows for each and keeps the best."""
_SOME_ITERATIONS = 100
"""On a sample; the next one moves the centres anyway."""
_STRICT = 100_000
"""Up to so many rows, iterations end only when no row changes its cluster."""
_STILL = 0.01
"""Beyond, and on samples, also when all centres together move by less than this part of the spread of the data: the
`tol` of scikit-learn, 1e-4, is its square."""


def compete(points: Floats, k: int, restarts: int, random: np.random.Generator) -> Partition:
    """The best partition of `points` (n, d) from `restarts` starts.

    All begin on the first sample, two go on to the second, one to the third; of few rows there is no sample, and all
    restarts see all rows. Raises InvalidInput if k exceeds the distinct rows. Memory: as `iterate`.
    """
    runs: list[Partition] = []
    for stage, size in enumerate(_sizes(len(points), k)):
        sample = _sample(points, size, random)
        if runs:
            centres = [run.centres for run in runs]
        else:
            centres = [_seeds(points, sample, k, random) for _ in range(restarts)]
        runs = [_iterated(points, sample, first) for first in centres]
        if len(runs) > 1:
            runs.sort(key=lambda run: inertia_of(sample, run))
        runs = runs[: 1 if stage else 2]
    return runs[0]


def descend(points: Floats, centres: Floats, random: np.random.Generator) -> Partition:
    """The partition of `points` that the given centres (k, d) lead to, by way of the same samples."""
    for size in _sizes(len(points), len(centres)):
        run = _iterated(points, _sample(points, size, random), centres)
        centres = run.centres
    return run


def again(points: Floats, centres: Floats) -> Partition:
    """The partition of `points` that the given centres lead to, without samples."""
    return _iterated(points, points, centres)


def inertia_of(points: Floats, partition: Partition, total: float | None = None) -> float:
    """Sum of the squared distances of all rows to their centres; at once if the `total` of all squares is given."""
    if total is not None:
        own = partition.sizes @ (partition.centres**2).sum(axis=1) - 2 * (partition.centres * partition.sums).sum()
        # The difference of large numbers has lost its digits where it is small against them.
        if total + own > 0.01 * total:
            return float(total + own)
    result = 0.0
    for start in range(0, len(points), _DRAWN_FROM):
        chunk = slice(start, start + _DRAWN_FROM)
        difference = points[chunk] - partition.centres[partition.labels[chunk]]
        result += float(np.einsum("ij,ij->", difference, difference))
    return result


def _sizes(count: int, k: int) -> list[int]:
    sizes, least = [count], max(_FIRST, 20 * k)
    while sizes[0] // _GROWTH >= least:
        sizes.insert(0, sizes[0] // _GROWTH)
    return sizes


def _sample(points: Floats, size: int, random: np.random.Generator) -> Floats:
    """One drawn row of every stretch of equal length: reading them in order is what makes a sample cheap."""
    if len(points) < 2 * max(size, 1):
        return points
    stretch = len(points) // size
    first = np.arange(0, len(points) - stretch + 1, stretch)
    return points[first + random.integers(0, stretch, len(first))]


def _iterated(points: Floats, sample: Floats, centres: Floats) -> Partition:
    still = 0.0 if len(sample) == len(points) <= _STRICT else _STILL * _spread(sample)
    return iterate(sample, centres, still, MOST_ITERATIONS if sample is points else _SOME_ITERATIONS)


def _spread(points: Floats) -> float:
    """Root of the mean variance of the columns, of some rows: it only scales a threshold."""
    return float(np.sqrt(points[:: len(points) // _DRAWN_FROM].var(axis=0).mean()))


def _seeds(points: Floats, sample: Floats, k: int, random: np.random.Generator) -> Floats:
    """k distinct rows: of a part of the sample, or where that has too few of the whole sample, or of all points."""
    part = _sample(sample, min(len(sample), max(_DRAWN_FROM, 8 * k)), random)
    centres = points[:0]
    for source in (part, sample, points):
        if len(source):
            centres = _plus_plus(source, k, random)
        if len(centres) == k:
            return centres
    message = f"k={k} exceeds the {len(centres)} distinct customers"
    raise InvalidInput(message, [FieldError("k", message)])


def _plus_plus(points: Floats, k: int, random: np.random.Generator) -> Floats:
    """k rows, each drawn by its squared distance to those before (Arthur and Vassilvitskii 2007); of several drawn
    rows the one that leaves the least distance is taken. Fewer if the rest equal the ones taken."""
    tries = 2 + int(np.log(k)) if k <= _GREEDY else 1
    taken = [int(random.integers(len(points)))]
    left = squares(points[taken], points)[0]
    while len(taken) < k:
        total = np.cumsum(left)
        if not total[-1] > 0:
            break
        drawn = np.searchsorted(total, random.random(tries) * total[-1], side="right")
        # Rounding can draw a row past the last one with a distance.
        drawn = np.minimum(drawn, np.flatnonzero(left)[-1])
        remaining = np.minimum(squares(points[drawn], points), left)
        winner = int(remaining.sum(axis=1).argmin())
        left = remaining[winner]
        taken.append(int(drawn[winner]))
    return points[taken]
