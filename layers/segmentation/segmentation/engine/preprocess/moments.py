"""Counts, means, variances and correlations of columns, as a value that can be merged over parts of the rows.

It must not know what the columns mean.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Floats

_CHUNK_VALUES = 65_536
"""Numbers that are centred and multiplied at once: they stay in the second-level cache."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of `count` rows: `mean (d,)`, `low (d,)`, `high (d,)`, and `products (d, d)`, the sums of products of deviations
    from the mean. With no rows, the mean is 0, low is infinite and high minus infinite.
    """

    count: int
    mean: Floats
    low: Floats
    high: Floats
    products: Floats

    def merge(self, other: "Moments") -> "Moments":
        """Of the rows of both. Source: Chan, Golub and LeVeque, Algorithms for computing the sample variance (1983)."""
        count = self.count + other.count
        if count == 0:
            return self
        gap = other.mean - self.mean
        return Moments(
            count,
            self.mean + gap * (other.count / count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.products + other.products + np.outer(gap, gap) * (self.count * other.count / count),
        )

    def variance(self) -> Floats:
        """Mean squared deviation from the mean `(d,)`, exactly 0 for constant columns: sums round, extremes do not."""
        variance: Floats = np.where(self.low < self.high, np.diagonal(self.products) / max(self.count, 1), 0.0)
        return variance

    def correlation(self) -> Floats:
        """Pearson's correlations `(d, d)`, 0 for constant columns, even with themselves."""
        deviation = np.sqrt(self.variance() * self.count)
        scale = np.outer(deviation, deviation)
        correlation: Floats = np.divide(self.products, scale, out=np.zeros_like(scale), where=scale > 0)
        # Rounding can lead out of the range.
        return np.clip(correlation, -1.0, 1.0)


def measure(points: Floats) -> Moments:
    """Moments of finite points `(n, d)`, in one pass over chunks: memory beside the points is bounded."""
    dimensions = points.shape[1]
    zeros = np.zeros(dimensions)
    whole = Moments(0, zeros, zeros + np.inf, zeros - np.inf, np.zeros((dimensions, dimensions)))
    step = max(1, _CHUNK_VALUES // max(1, dimensions))
    for begin in range(0, len(points), step):
        whole = whole.merge(_chunk(points[begin : begin + step]))
    return whole


def _chunk(points: Floats) -> Moments:
    mean = points.mean(axis=0)
    centred = points - mean
    return Moments(len(points), mean, points.min(axis=0), points.max(axis=0), centred.T @ centred)
