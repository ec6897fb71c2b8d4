"""Lloyd's iterations on few rows: once every row's margin is known, only rows that the centres' movement could have won
over are looked at again. It must not know where the first centres came from.

The bound is Hamerly's (Making k-means even faster, 2010), counted from the centres at which a row was last looked at
instead of summed over the iterations, and applied again within the rows that it leaves.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.clustering.nearest import Singles, nearest
from segmentation.engine.frame import Codes, Floats, Rows

MOST_ITERATIONS = 300
_BLOCK = 8_192
_PRODUCT = 16
"""Up to so many clusters a product is faster than counting."""
_FEW = 2_000
"""So few rows are looked at together: choosing among them would cost more."""
_SHARE = 0.25
"""Of the rows of a level at most so many go to the next."""
_SHORTEST, _LONGEST = 3.0, 8.0
"""A level is opened if it lasts for so many steps of the present length, and is made to last for so many at most."""


@dataclass(frozen=True, eq=False)
class Partition:
    """`labels` (n) name the nearest of `centres` (k, d); `sums` (k, d) and `sizes` (k) are those of their rows.

    `converged`: the centres are the means of their rows, so another iteration would change nothing. `near` are the rows
    that may be equally near to two centres: no other label can depend on the order of the centres.
    """

    centres: Floats
    labels: Codes
    sums: Floats
    sizes: Codes
    iterations: int
    converged: bool
    near: Rows


@dataclass(eq=False)
class _Level:
    """Rows under watch; `rows` are their numbers in the level above.

    `margins` were measured at the centres `reference`. Rows that are not in the level below keep their labels until the
    centres are further than `room` from there.
    """

    points: Floats
    labels: Codes
    rows: Rows
    margins: Singles
    reference: Floats
    room: float = 0.0


class _Totals:
    """Sum and number of the rows of each cluster."""

    def __init__(self, k: int, columns: int) -> None:
        self.sums = np.zeros((columns, k))
        self.counts = np.zeros(k, dtype=np.int64)
        self.numbers = np.arange(k, dtype=np.int32)[:, None]

    def add(self, points: Floats, labels: Codes, sign: int = 1) -> None:
        k = len(self.counts)
        for start in range(0, len(points), _BLOCK):
            chunk = slice(start, start + _BLOCK)
            codes = labels[chunk].astype(np.intp)
            self.counts += sign * np.bincount(codes, minlength=k)
            for total, values in zip(self.sums, points[chunk].T, strict=True):
                total += sign * np.bincount(codes, weights=values, minlength=k)

    def add_placed(self, placed: Singles, labels: Codes, shift: Floats) -> None:
        """The same from a chunk in float32 that is in cache: the error of a mean is about 1e-8 of the spread."""
        if len(self.counts) <= _PRODUCT:
            part = placed @ (self.numbers == labels).astype(np.float32).T
            counts = part[-1].astype(np.int64)
            sums = part[:-1].astype(np.float64)
        else:
            codes = labels.astype(np.intp)
            counts = np.bincount(codes, minlength=len(self.counts))
            sums = np.stack([np.bincount(codes, weights=row, minlength=len(self.counts)) for row in placed[:-1]])
        self.counts += counts
        self.sums += sums + shift * counts

    def means(self) -> Floats:
        return np.ascontiguousarray((self.sums / self.counts).T)


def iterate(points: Floats, centres: Floats, still: float = 0.0, most: int = MOST_ITERATIONS) -> Partition:
    """Moves `centres` (k, d) to the means of their rows until no row of `points` (n, d) changes its cluster.

    Earlier only if the root of the sum of the squared movements of all centres is at most `still`, or after `most`
    iterations; with `still`, the first sums are taken in float32. A cluster that loses all its rows gets the row that
    is farthest from its centre, so none ends empty; it takes at least k distinct rows. Memory: 24 bytes a row, and a
    third of the points.
    """
    totals = _Totals(len(centres), points.shape[1])
    if still > 0:
        found = nearest(points, centres, totals.add_placed)
    else:
        found = nearest(points, centres)
        totals.add(points, found.labels)
    levels = [_Level(points, found.labels, np.empty(0, dtype=np.intp), found.margins, centres)]
    iterations, converged = 0, False
    while iterations < most or not totals.counts.all():
        iterations += 1
        if not totals.counts.all():
            _climb(levels, 0)
            _fill(levels[0], centres, totals)
        before, centres = centres, totals.means()
        converged = np.array_equal(before, centres)
        if converged:
            break
        settled = still > 0 and bool(((centres - before) ** 2).sum() <= still**2)
        _descend(levels, _reach(centres, before), 1.0 if settled else _LONGEST)
        for depth, level in enumerate(levels[:-1]):
            if _reach(centres, level.reference) > level.room:
                _climb(levels, depth)
                break
        _look(levels[-1], centres, totals)
        if settled and totals.counts.all():
            break
    near = np.flatnonzero(levels[-1].margins == 0)
    for level in reversed(levels[1:]):
        near = level.rows[near]
    _climb(levels, 0)
    sizes = totals.counts.astype(np.int32)
    return Partition(centres, levels[0].labels, totals.sums.T, sizes, iterations, converged, near)


def _look(level: _Level, centres: Floats, totals: _Totals) -> None:
    """Labels and margins of a level's rows at the centres, and the totals that follow."""
    level.margins = level.margins[:0]
    found = nearest(level.points, centres)
    changed = np.flatnonzero(found.labels != level.labels)
    moved = level.points[changed]
    totals.add(moved, level.labels[changed], -1)
    level.labels[changed] = found.labels[changed]
    totals.add(moved, level.labels[changed])
    level.margins, level.reference = found.margins, centres


def _descend(levels: list[_Level], step: float, longest: float) -> None:
    """Opens a level with those rows of the last that the next steps could win over, if they are few."""
    level = levels[-1]
    size = len(level.points)
    if size <= _FEW or len(level.margins) == 0:
        return
    sample = level.margins[:: size // _FEW]
    room = min(float(np.quantile(sample, _SHARE)), longest * step)
    if room < min(_SHORTEST, longest) * step:
        return
    rows = np.flatnonzero(level.margins <= np.float32(room * 1.0001))
    level.room = room
    levels.append(_Level(level.points[rows], level.labels[rows], rows, level.margins[:0], level.reference))


def _climb(levels: list[_Level], depth: int) -> None:
    """Closes the levels below `depth`; their labels go up."""
    while len(levels) > depth + 1:
        closed = levels.pop()
        levels[-1].labels[closed.rows] = closed.labels


def _reach(centres: Floats, reference: Floats) -> float:
    """How far two centres together have moved, at most: a row with a larger margin cannot have changed sides."""
    moved = centres - reference
    lengths = np.sqrt(np.einsum("ij,ij->i", moved, moved))
    lengths.sort()
    return float(lengths[-2:].sum()) * (1 + 1e-9)


def _fill(level: _Level, centres: Floats, totals: _Totals) -> None:
    """Gives every empty cluster the row that is farthest from its centre, of a cluster that has others."""
    for empty in np.flatnonzero(totals.counts == 0):
        far, most = 0, -1.0
        for start in range(0, len(level.points), _BLOCK):
            chunk = slice(start, start + _BLOCK)
            codes = level.labels[chunk]
            difference = level.points[chunk] - centres[codes]
            lengths = np.einsum("ij,ij->i", difference, difference)
            lengths[totals.counts[codes] < 2] = -1
            at = int(lengths.argmax())
            if lengths[at] > most:
                far, most = start + at, float(lengths[at])
        row = slice(far, far + 1)
        totals.add(level.points[row], level.labels[row], -1)
        level.labels[far] = empty
        level.margins[far] = 0
        totals.add(level.points[row], level.labels[row])
