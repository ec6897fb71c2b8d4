"""Scores 1 to b for recency, frequency and monetary value: cut points are fitted, customers are scored by them alone.

Equal values always get the same score: a score is the number of cut points that a value passes, never a rank. A bin may
therefore stay empty: where half of the customers ordered once, they all have frequency 1, and nobody has 2. It must not
know where the numbers came from nor how groups are named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, Floats
from segmentation.engine.rfm.breaks import counted_breaks, natural_breaks
from segmentation.engine.sketches.histogram import Histogram, quantiles
from segmentation.errors import FieldError, InsufficientData, InvalidInput

FEWEST, MOST = 3, 10
"""Bins per dimension."""

LARGEST = 1e100
"""Numbers beyond it are refused, so that sums of squares stay finite."""

DIMENSIONS = ("recency", "frequency", "monetary")

CHUNK = 16_384
"""Rows scored at once: three columns of them stay in the cache of a core."""

Closed = Literal["left", "right"]


@dataclass(frozen=True)
class Quantiles:
    """Bins with as equal shares of customers as ties permit; cut points are type-7 quantiles.

    `linear`: the quantile itself, and a value equal to it lies below, as in `pandas.qcut`. `r`: the quantile + 1, and a
    value equal to that lies above, which reproduces R's package `rfm`; the 1 fits days, orders and whole amounts only.
    """

    bins: int = 5
    method: Literal["linear", "r"] = "linear"


@dataclass(frozen=True)
class Thresholds:
    """Fixed ascending cut points, as many for each dimension: at most so many days, at least so many orders, so much.

    A value at a cut point has reached the better score in every dimension.
    """

    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...]


@dataclass(frozen=True)
class KMeansBins:
    """Bins around the means of the most alike values, in each dimension by itself; see `natural_breaks`."""

    bins: int = 5


Binning = Quantiles | Thresholds | KMeansBins


@dataclass(frozen=True, eq=False)
class Dimension:
    """`cuts[b - 1]` ascending; a value equal to one lies below it if `closed` is right, above it if left.

    `counts` are the fitted customers per score, 1 first.
    """

    cuts: Floats
    closed: Closed
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Rfm:
    """Fitted cut points: the fewest days, the most orders and the most money have the highest score."""

    bins: int
    recency: Dimension
    frequency: Dimension
    monetary: Dimension
    customers: int
    binning: Binning


@dataclass(frozen=True, eq=False)
class Scores:
    """Three int8 arrays (n): 1 is worst and b best; 0 in all three for a customer of whom one number is missing."""

    recency: NDArray[np.int8]
    frequency: NDArray[np.int8]
    monetary: NDArray[np.int8]


def fit(recency: Floats, frequency: Floats, monetary: Floats, binning: Binning) -> Rfm:
    """Cut points for customers (n): days since the last purchase, purchases, money spent; NaN is missing.

    Customers of whom one of the three is missing have not bought and do not count. A dimension in which all are equal
    gives everybody one score. Raises InvalidInput for parameters out of range and for numbers that cannot be (infinite,
    or negative days or purchases), InsufficientData if there are fewer customers than bins. Needs memory for three
    sorted copies.
    """
    bins = _bins_of(binning)
    columns = {"recency": recency, "frequency": frequency, "monetary": monetary}
    known = ~(np.isnan(recency) | np.isnan(frequency) | np.isnan(monetary))
    columns = {name: values[known] for name, values in columns.items()}
    for name, values in columns.items():
        _check_values(name, values)
    customers = int(np.count_nonzero(known))
    _check_customers(customers, binning)
    cuts = {name: _cuts(name, values, binning) for name, values in columns.items()}
    blank = {name: Dimension(*cuts[name], counts=(0,) * bins) for name in columns}
    model = Rfm(bins, **blank, customers=customers, binning=binning)
    scores = score(model, **columns)
    counted = {
        name: Dimension(*cuts[name], counts=tuple(np.bincount(getattr(scores, name), minlength=bins + 1)[1:].tolist()))
        for name in columns
    }
    return Rfm(bins, **counted, customers=customers, binning=binning)


def fit_counted(histograms: Mapping[str, Histogram], binning: Binning) -> Rfm:
    """The cut points of customers whose `recency`, `frequency` and `monetary` are counted in histograms, of those of
    whom all three are known; how many have which score is left at 0.

    As `fit` where the histograms are exact, else to their resolution. Raises what `fit` raises.
    """
    bins = _bins_of(binning)
    for name in DIMENSIONS:
        _check_values(name, histograms[name].high, histograms[name].count)
    customers = histograms["recency"].total
    _check_customers(customers, binning)
    dimensions = {
        name: Dimension(*_counted_cuts(name, histograms[name], binning), counts=(0,) * bins) for name in DIMENSIONS
    }
    return Rfm(bins, **dimensions, customers=customers, binning=binning)


def score(model: Rfm, recency: Floats, frequency: Floats, monetary: Floats) -> Scores:
    """Scores of customers (n), each by the model and its own numbers alone. Raises ValueError on unequal lengths."""
    size = len(recency)
    if len(frequency) != size or len(monetary) != size:
        raise ValueError(f"{size} recencies, {len(frequency)} frequencies and {len(monetary)} monetary values")
    scores = Scores(*(np.ones(size, dtype=np.int8) for _ in range(3)))
    for first in range(0, size, CHUNK):
        rows = slice(first, first + CHUNK)
        days, orders, money = recency[rows], frequency[rows], monetary[rows]
        parts = scores.recency[rows], scores.frequency[rows], scores.monetary[rows]
        _pass(parts[0], days, model.recency, np.less_equal, np.less)
        _pass(parts[1], orders, model.frequency, np.greater, np.greater_equal)
        _pass(parts[2], money, model.monetary, np.greater, np.greater_equal)
        missing = np.isnan(days) | np.isnan(orders) | np.isnan(money)
        if missing.any():
            for part in parts:
                part[missing] = 0
    return scores


def _pass(part: NDArray[np.int8], values: Floats, dimension: Dimension, right: np.ufunc, left: np.ufunc) -> None:
    """Adds to `part` the cut points that `values` pass: comparisons beat a search where cut points are few."""
    passes = right if dimension.closed == "right" else left
    passed: Bools = np.empty(len(values), dtype=np.bool_)
    for cut in dimension.cuts:
        passes(values, cut, out=passed)
        np.add(part, passed.view(np.int8), out=part)


def _cuts(name: str, values: Floats, binning: Binning) -> tuple[Floats, Closed]:
    """Cut points of one dimension, and on which side of a cut point a value equal to it lies."""
    if isinstance(binning, Thresholds):
        return _given(name, binning)
    if isinstance(binning, KMeansBins):
        return natural_breaks(values, binning.bins, name), "right"
    return _by_quantiles(np.quantile(values, _shares(binning)), binning)


def _counted_cuts(name: str, histogram: Histogram, binning: Binning) -> tuple[Floats, Closed]:
    """The same of values that are counted."""
    if isinstance(binning, Thresholds):
        return _given(name, binning)
    if isinstance(binning, KMeansBins):
        return counted_breaks(histogram.high, histogram.count, binning.bins, name), "right"
    return _by_quantiles(quantiles(histogram, _shares(binning)), binning)


def _given(name: str, binning: Thresholds) -> tuple[Floats, Closed]:
    return np.array(getattr(binning, name), dtype=np.float64), "right" if name == "recency" else "left"


def _shares(binning: Quantiles) -> Floats:
    return np.arange(1, binning.bins) / binning.bins


def _by_quantiles(found: Floats, binning: Quantiles) -> tuple[Floats, Closed]:
    return (found + 1, "left") if binning.method == "r" else (found, "right")


def _bins_of(binning: Binning) -> int:
    """The number of bins, if the parameters are in range."""
    if isinstance(binning, Thresholds):
        return _bins_of_thresholds(binning)
    if not FEWEST <= binning.bins <= MOST:
        _refuse("bins", f"bins={binning.bins} is not between {FEWEST} and {MOST}")
    if isinstance(binning, Quantiles) and binning.method not in ("linear", "r"):
        _refuse("method", f"method={binning.method!r} is neither 'linear' nor 'r'")
    return binning.bins


def _bins_of_thresholds(binning: Thresholds) -> int:
    lists = {"recency": binning.recency, "frequency": binning.frequency, "monetary": binning.monetary}
    for name, values in lists.items():
        if not FEWEST - 1 <= len(values) <= MOST - 1:
            _refuse(name, f"{len(values)} thresholds for {name} are not between {FEWEST - 1} and {MOST - 1}")
        ascending = all(low < high for low, high in pairwise(values))
        if not (ascending and np.isfinite(values).all()):
            _refuse(name, f"thresholds for {name} must be finite and ascend: {', '.join(f'{v:g}' for v in values)}")
    sizes = {name: len(values) for name, values in lists.items()}
    if len(set(sizes.values())) > 1:
        counts = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        _refuse("frequency", f"every dimension needs as many thresholds: {counts}")
    return sizes["recency"] + 1


def _check_customers(customers: int, binning: Binning) -> None:
    if customers < _bins_of(binning) and not isinstance(binning, Thresholds):
        raise InsufficientData(f"{customers} customers with purchases are fewer than bins={binning.bins}")


def _check_values(name: str, values: Floats, counts: NDArray[np.int64] | None = None) -> None:
    """Recency and frequency cannot be negative; money can, when more was returned than bought."""
    low = -LARGEST if name == "monetary" else 0.0
    is_wrong = (values < low) | (values > LARGEST)
    if is_wrong.any():
        wrong = values[is_wrong][0]
        rows = np.count_nonzero(is_wrong) if counts is None else counts[is_wrong].sum()
        why = "lies after the day of analysis" if name == "recency" and wrong < 0 else "is not possible"
        _refuse(name, f"{name}={wrong:g} {why} (rows in error: {rows})")


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, [FieldError(field, message)])
