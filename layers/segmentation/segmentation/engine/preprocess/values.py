"""The values of a number that the steps of a feature are learnt from: one per customer, or counted over all of them.

It must not know what is learnt from them.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats
from segmentation.engine.preprocess.moments import measure
from segmentation.engine.sketches.histogram import Bounds, Histogram, quantiles

FEATURES = Bounds(exact=1 << 16, cells=1 << 14)
"""Of a feature's histogram: a thousandth of a value is enough to scale it, and a model has up to fifty of them."""


@dataclass(frozen=True, eq=False)
class Values:
    """`numbers` (n) of one customer each, NaN for missing."""

    numbers: Floats

    @property
    def rows(self) -> int:
        """Customers, with those without a value."""
        return len(self.numbers)

    def copy(self) -> Self:
        """The same values, to be changed in place."""
        return replace(self, numbers=self.numbers.copy())

    def known(self) -> "Values":
        """Those that are not missing; the other methods take no others."""
        return Values(self.numbers[~np.isnan(self.numbers)])

    def clipped(self, low: float, high: float) -> Self:
        """Values outside drawn in to `low` and `high`."""
        return replace(self, numbers=np.clip(self.numbers, low, high))

    def outside(self, low: float, high: float) -> int:
        """Customers whose value is below `low` or above `high`."""
        return int(np.count_nonzero(self.numbers < low) + np.count_nonzero(self.numbers > high))

    def distances(self, centre: float) -> "Values":
        """How far they are from `centre`."""
        return Values(np.abs(self.numbers - centre))

    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest."""
        return float(self.numbers.min()), float(self.numbers.max())

    def quantiles(self, *shares: float) -> tuple[float, ...]:
        """Type-7 quantiles."""
        return tuple(float(edge) for edge in np.quantile(self.numbers, shares))

    def median(self) -> float:
        """The middle value."""
        return float(np.median(self.numbers))

    def mean(self) -> float:
        """The mean."""
        return float(self.numbers.mean())

    def mode(self) -> float:
        """The most frequent value, the lowest of several."""
        found, counts = np.unique(self.numbers, return_counts=True)
        return float(found[np.argmax(counts)])

    def moments(self) -> tuple[float, float]:
        """Mean and mean squared deviation from it."""
        moments = measure(self.numbers.reshape(-1, 1))
        return float(moments.mean[0]), float(moments.variance()[0])


@dataclass(frozen=True, eq=False)
class Counted(Values):
    """`numbers` that `counts` (n) customers each have: a histogram's middles of cells, and one NaN for the missing."""

    counts: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def known(self) -> "Counted":
        kept = ~np.isnan(self.numbers)
        return Counted(self.numbers[kept], self.counts[kept])

    def outside(self, low: float, high: float) -> int:
        return int(self.counts[(self.numbers < low) | (self.numbers > high)].sum())

    def distances(self, centre: float) -> "Counted":
        return Counted(np.abs(self.numbers - centre), self.counts)

    def quantiles(self, *shares: float) -> tuple[float, ...]:
        order = np.argsort(self.numbers, kind="stable")
        ascending, counts = self.numbers[order], self.counts[order]
        histogram = Histogram(0, np.zeros(len(order), dtype=np.int64), ascending, ascending, counts)
        return tuple(quantiles(histogram, np.array(shares)).tolist())

    def median(self) -> float:
        return self.quantiles(0.5)[0]

    def mean(self) -> float:
        return float(np.average(self.numbers, weights=self.counts))

    def mode(self) -> float:
        found, inverse = np.unique(self.numbers, return_inverse=True)
        return float(found[np.argmax(np.bincount(inverse, self.counts))])

    def moments(self) -> tuple[float, float]:
        mean = self.mean()
        return mean, float(np.average(np.square(self.numbers - mean), weights=self.counts))


def counted(histogram: Histogram, rows: int) -> Counted:
    """The values of `rows` customers: those of the histogram, and none for the rest of them."""
    middles = histogram.low + (histogram.high - histogram.low) / 2
    return Counted(np.append(middles, np.nan), np.append(histogram.count, rows - histogram.total))
