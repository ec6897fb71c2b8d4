"""The fitted steps that turn a feature into columns: each says what it learnt, and together they are what runs.

Every step works row by row, so a customer alone gets the same numbers as among a million, to the last bit.
It must not know the other features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Floats
from segmentation.engine.preprocess.recipe import Feature, MadClip, Winsorise
from segmentation.engine.preprocess.values import Values
from segmentation.errors import FieldError, InvalidInput

LIMIT = 1e15
"""Results end here on either side: a wild value of one customer must not break the arithmetic for all."""

OTHER = "other"
"""Category of rare values, and of values that the fit did not see."""

_MAD_TO_DEVIATION = 1.482602218505602
"""Standard deviation over median absolute deviation of a normal distribution: 1 / Phi^-1(3/4)."""

_MEAN_TO_DEVIATION = 1.2533141373155003
"""Standard deviation over mean absolute deviation of a normal distribution: sqrt(pi / 2)."""


@dataclass(frozen=True)
class Clipped:
    """Values below `low` and above `high` were drawn in; `share` of the known values were, when it was fitted."""

    feature: str
    method: str
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Flagged:
    """`column` is 1 for customers without a value, `share` of them when it was fitted."""

    feature: str
    column: str
    share: float


@dataclass(frozen=True)
class Filled:
    """Customers without a value, `share` of them when it was fitted, got `value`."""

    feature: str
    method: str
    value: str | float
    share: float


@dataclass(frozen=True)
class Categories:
    """One column per category, `shares` of the customers each; `grouped` rarer values became the category `other`.

    A value that is no category later falls to `other`; where there is no such category, it is in none.
    """

    feature: str
    categories: tuple[str, ...]
    shares: tuple[float, ...]
    grouped: int


@dataclass(frozen=True)
class Ranks:
    """Values became their position in `order`; a share of `unknown` was not in it and counted as missing."""

    feature: str
    order: tuple[str, ...]
    unknown: float


@dataclass(frozen=True)
class Logged:
    """Values became `sign(x) * log(1 + |x|)`."""

    feature: str


@dataclass(frozen=True)
class Scaled:
    """The column became `(x - centre) / scale`; `method` says what these are. A scale of 1 stands for a constant."""

    feature: str
    column: str
    method: str
    centre: float
    scale: float


Step = Clipped | Flagged | Filled | Categories | Ranks | Logged | Scaled


def describe(step: Step) -> str:
    """What the step does, as a sentence with its figures."""
    match step:
        case Clipped():
            return (
                f"{step.feature}: values below {step.low:.6g} and above {step.high:.6g} ({step.share:.1%}) "
                f"are drawn in to there ({step.method})"
            )
        case Flagged():
            return f"{step.column} is 1 where there is no value ({step.share:.1%})"
        case Filled():
            value = repr(step.value) if isinstance(step.value, str) else f"{step.value:.6g}"
            return f"{step.feature}: a missing value ({step.share:.1%}) becomes the {step.method} {value}"
        case Categories():
            shares = zip(step.categories, step.shares, strict=True)
            listed = ", ".join(f"{category} {share:.1%}" for category, share in shares)
            return f"{step.feature}: one column each for {listed}; {step.grouped} rarer values are grouped"
        case Ranks():
            order = ", ".join(step.order)
            return f"{step.feature}: the position in {order}, from 0; other values ({step.unknown:.1%}) are missing"
        case Logged():
            return f"{step.feature}: sign(x) * log(1 + |x|)"
        case Scaled():
            return f"{step.column}: (x - {step.centre:.6g}) / {step.scale:.6g} ({step.method})"


def run(values: Floats, steps: Sequence[Step]) -> None:
    """Takes `values[n]` of a number, NaN for missing, through its steps, in place. The result is finite."""
    with np.errstate(over="ignore"):
        for step in steps:
            match step:
                case Clipped(low=low, high=high):
                    np.clip(values, low, high, out=values)
                case Filled(value=value):
                    np.copyto(values, float(value), where=np.isnan(values))
                case Logged():
                    np.copysign(np.log1p(np.abs(values)), values, out=values)
                case Scaled(centre=centre, scale=scale):
                    np.subtract(values, centre, out=values)
                    np.divide(values, scale, out=values)
        np.clip(values, -LIMIT, LIMIT, out=values)


def number_steps(feature: Feature, values: Values) -> list[Step]:
    """Fits the steps of a number to `values`, NaN for missing, at least one known.

    Bounds and the stand-in for missing values come from the known values, the scale from what all customers then have.
    InvalidInput if values beyond `LIMIT` remain: they cannot be squared and added.
    """
    known = values.known()
    steps: list[Step] = []
    if feature.outliers is not None:
        clipped = _clipped(feature.name, feature.outliers, known)
        known = known.clipped(clipped.low, clipped.high)
        steps.append(clipped)
    low, high = known.extremes()
    if not max(abs(low), abs(high)) <= LIMIT:
        raise _too_large(feature.name, low if abs(low) > abs(high) else high)
    steps.append(Filled(feature.name, feature.missing, _stand_in(feature, known), 1 - known.rows / values.rows))
    if feature.log1p:
        steps.append(Logged(feature.name))
    if feature.scaling is not None:
        ready = values.copy()
        run(ready.numbers, steps)
        steps.append(_scaled(feature.name, feature.scaling, ready))
    return steps


def flagged(feature: Feature, share: float) -> list[Step]:
    """The step that says who had no value, if the feature asks for it."""
    return [Flagged(feature.name, f"{feature.name} missing", share)] if feature.indicator else []


def category_scale(feature: Feature, column: str, share: float) -> Scaled:
    """Standard scaling of a column of 0 and 1 that is 1 for `share` of the customers."""
    deviation = float(np.sqrt(share * (1 - share)))
    return Scaled(feature.name, column, "standard", share, deviation if deviation > 0 else 1.0)


def _clipped(name: str, outliers: Winsorise | MadClip, known: Values) -> Clipped:
    if isinstance(outliers, Winsorise):
        method = "winsorise"
        low, high = known.quantiles(outliers.lower, outliers.upper)
    else:
        method, centre, deviation = _robust_deviation(known)
        low, high = centre - outliers.limit * deviation, centre + outliers.limit * deviation
    return Clipped(name, method, low, high, known.outside(low, high) / known.rows)


def _robust_deviation(known: Values) -> tuple[str, float, float]:
    """Method, median and robust standard deviation.

    Where more than half of the values are equal, the median absolute deviation is 0 and would make all of them equal:
    the mean absolute deviation takes its place. Source: Iglewicz and Hoaglin, How to detect and handle outliers (1993).
    """
    centre = known.median()
    distances = known.distances(centre)
    spread = distances.median()
    if spread > 0:
        return "mad", centre, spread * _MAD_TO_DEVIATION
    return "mean absolute deviation", centre, distances.mean() * _MEAN_TO_DEVIATION


def _stand_in(feature: Feature, known: Values) -> float:
    """What missing values become; of several most frequent values, the lowest."""
    if feature.missing == "constant":
        return float(feature.constant or 0)
    if feature.missing == "median":
        return known.median()
    return known.mode()


def _scaled(name: str, scaling: str, ready: Values) -> Scaled:
    """A constant column keeps a scale of 1 and becomes 0. Without a spread between the quartiles, the robust scale is
    the standard deviation.
    """
    low, high = ready.extremes()
    if low == high:
        return Scaled(name, name, "constant", low, 1.0)
    mean, variance = ready.moments()
    # Squares of tiny differences vanish; the range does not.
    deviation = float(np.sqrt(variance)) or high - low
    if scaling == "standard":
        return Scaled(name, name, "standard", mean, deviation)
    first, median, third = ready.quantiles(0.25, 0.5, 0.75)
    if third > first:
        return Scaled(name, name, "interquartile range", median, third - first)
    return Scaled(name, name, "median and standard deviation", median, deviation)


def _too_large(name: str, value: float) -> InvalidInput:
    message = f"{name!r} reaches {value:g}; beyond {LIMIT:g} give it outliers (winsorise or clip by MAD)"
    return InvalidInput(message, [FieldError("features", message)])
