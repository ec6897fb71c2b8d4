"""The nearest centre of every row, exactly, at the speed of a float32 product.

Scores come from one product per chunk; where their rounding could decide, the row is decided again term by term in
float64. So a row gets the same answer alone as among a million. It must not know how the centres were found.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Codes, Floats, Rows
from segmentation.errors import FieldError, InvalidInput

Singles = NDArray[np.float32]
Seen = Callable[[Singles, Codes, Floats], None]
"""Told of a chunk while it is in cache: its rows as columns about a shift, with ones below; their labels; the shift."""

_PRODUCT = 800_000
"""Multiplications of one product at most: what it reads and writes stays in cache."""
_MOST_ROWS = 8_192
_PACKED = 64
"""Up to so many centres a score carries the number of its centre in its last bits."""
_BLOCK = 262_144
"""Elements of a table of float64 distances at most."""
_NONE = np.empty(0, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Nearest:
    """`labels` (n): number of the nearest centre, of equally near ones the first.

    `margins` (n): by how much the distance to any other centre is larger, or less; zero where that is uncertain.
    """

    labels: Codes
    margins: Singles


def nearest(points: Floats, centres: Floats, seen: Seen | None = None) -> Nearest:
    """Nearest centre and margin of every row of `points` (n, d); `centres` (k, d), k at least 1.

    Raises InvalidInput for a row whose squared distances are not finite numbers. Memory: the result and 4 MB.
    """
    count, k = len(points), len(centres)
    result = Nearest(np.empty(count, dtype=np.int32), np.empty(count, dtype=np.float32))
    scores = (_Packed if k <= _PACKED else _Rowwise)(centres, count)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, count, scores.rows):
            chunk = slice(start, min(start + scores.rows, count))
            part, labels, margins = points[chunk], result.labels[chunk], result.margins[chunk]
            near = scores.decide(part, labels, margins)
            if len(near):
                margins[near] = 0
                labels[near] = _decided(part, near, centres, start)
            if seen is not None:
                seen(scores.points[:, : len(part)], labels, scores.shift)
    return result


def squares(points: Floats, centres: Floats) -> Floats:
    """Squared distances (n, k), term by term: unlike a product of matrices the same for one row as among many."""
    result = np.zeros((len(points), len(centres)))
    for column in range(centres.shape[1]):
        difference = points[:, column, None] - centres[None, :, column]
        difference *= difference
        result += difference
    return result


def _decided(points: Floats, rows: Rows, centres: Floats, first: int) -> Codes:
    labels = np.empty(len(rows), dtype=np.int32)
    size = max(1, _BLOCK // len(centres))
    for start in range(0, len(rows), size):
        chunk = rows[start : start + size]
        distances = squares(points[chunk], centres)
        finite = np.isfinite(distances).all(axis=1)
        if not finite.all():
            row = int(chunk[~finite][0])
            message = f"row {first + row} is {points[row].tolist()}: values must be finite numbers that can be squared"
            raise InvalidInput(message, [FieldError("features", message)])
        labels[start : start + size] = distances.argmin(axis=1)
    return labels


class _Scores:
    """c x - |c|^2 / 2 for every centre c: the largest is that of the nearest. About the centres' mean, in float32."""

    def __init__(self, centres: Floats, count: int, wasted: float) -> None:
        """For `count` rows; `wasted`: relative error of a score beyond that of the product."""
        self.k, columns = centres.shape
        self.rows = max(1, min(count, _MOST_ROWS, max(64, _PRODUCT // (self.k * (columns + 1)))))
        self.shift = centres.mean(axis=0)[:, None]
        # Standardised columns are about zero already.
        self.about_zero = bool(np.abs(self.shift).max() <= np.abs(centres - self.shift.T).max())
        if self.about_zero:
            self.shift[:] = 0
        moved = centres - self.shift.T
        halves = np.einsum("ij,ij->i", moved, moved) / 2
        with np.errstate(over="ignore"):
            self.weights = np.column_stack([moved, -halves]).astype(np.float32)
        self.points = np.ones((columns + 1, self.rows), dtype=np.float32)
        self.scratch = np.empty((5, self.rows), dtype=np.float32)
        # What rounding can do to the difference of two scores: both factors, d + 1 products and their sum (Higham,
        # Accuracy and Stability of Numerical Algorithms, 3.1). A score is at most |c| |x| + |c|^2 / 2, and so at most
        # |x|^2 / 2 + |c|^2. Distances in float64 are rounded as well; only rows very far from all centres notice.
        error = 2.2 * ((columns + 5) * 2.0**-24 + wasted)
        self.slope = error / 2 + (columns + 5) * 2.0**-51
        self.least = error * 2 * float(halves.max()) + 1e-35

    def place(self, points: Floats) -> Singles:
        """The chunk about the shift, as columns, with ones below for the weights' last column."""
        placed = self.points[:, : len(points)]
        if self.about_zero:
            placed[:-1] = points.T
        else:
            np.subtract(points.T, self.shift, out=placed[:-1], casting="same_kind")
        return placed

    def measure(self, placed: Singles, best: Singles, second: Singles, margins: Singles) -> Rows:
        """Writes the margins; returns the rows that rounding could have decided, or where something overflowed."""
        lengths, lead = self.scratch[:2, : len(best)]
        np.einsum("ij,ij->j", placed[:-1], placed[:-1], out=lengths)
        np.subtract(best, second, out=lead)
        np.multiply(lengths, self.slope, out=margins)
        lead -= margins
        lead -= self.least
        # d2 - d1 = 2 (s1 - s2) / (d1 + d2) is at least (s1 - s2) / d2, and d2^2 = |x|^2 - 2 s2.
        lengths *= 1.0001 + 4 * self.slope
        lengths += 4 * self.least
        second *= 2
        lengths -= second
        np.sqrt(lengths, out=lengths)
        np.divide(lead, lengths, out=margins)
        return _NONE if lead.min() > 0 else np.flatnonzero(~(lead > 0))


class _Packed(_Scores):
    """Up to 64 centres: the last bits of a score are the number of its centre, so a maximum finds both."""

    def __init__(self, centres: Floats, count: int) -> None:
        bits = max(1, (len(centres) - 1).bit_length())
        super().__init__(centres, count, 2.0 ** (bits - 23))
        self.low = np.int32((1 << bits) - 1)
        self.numbers = np.arange(self.k, dtype=np.int32)[:, None]
        self.scores = np.empty(self.k * self.rows, dtype=np.float32)

    def decide(self, points: Floats, labels: Codes, margins: Singles) -> Rows:
        size = len(points)
        placed = self.place(points)
        scores = self.scores[: self.k * size].reshape(self.k, size)
        np.matmul(self.weights, placed, out=scores)
        packed = scores.view(np.int32)
        packed &= ~self.low
        packed |= self.numbers
        best, second, lower = self.scratch[2:, :size]
        best[:] = scores[0]
        second.fill(-np.inf)
        for score in scores[1:]:
            np.minimum(best, score, out=lower)
            np.maximum(best, score, out=best)
            np.maximum(second, lower, out=second)
        np.bitwise_and(best.view(np.int32), self.low, out=labels)
        return self.measure(placed, best, second, margins)


class _Rowwise(_Scores):
    """Many centres: scores of a row lie together and are searched one row after the other."""

    def __init__(self, centres: Floats, count: int) -> None:
        super().__init__(centres, count, 0.0)

    def decide(self, points: Floats, labels: Codes, margins: Singles) -> Rows:
        placed = self.place(points)
        scores = placed.T @ self.weights.T
        found = scores.argmax(axis=1)
        labels[:] = found
        numbers = np.arange(len(points))
        best = scores[numbers, found]
        scores[numbers, found] = -np.inf
        return self.measure(placed, best, scores.max(axis=1), margins)
