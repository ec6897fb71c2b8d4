"""What is to be done with each feature before a model sees it, and whether it can be done.

It must not know any row: what is learnt from the data stands in the fitted chain.
"""

import math
from dataclasses import dataclass
from typing import Literal

from segmentation.engine.catalogue import Kind
from segmentation.errors import FieldError, InvalidInput

MOST_CATEGORIES = 50
MOST_RANKS = 1_000

Missing = Literal["median", "mode", "constant"]
Scaling = Literal["standard", "robust"]

_WORDS = {
    Kind.STRING: "text",
    Kind.NUMBER: "a number",
    Kind.DATE: "a date",
    Kind.BOOLEAN: "a boolean",
    Kind.LIST: "a list",
    Kind.GEO: "a place",
}
_HINTS = {
    Kind.DATE: "count its days as a number instead, as recencyDays and tenureDays do",
    Kind.LIST: "use a number such as distinctCategories instead",
    Kind.GEO: "use an attribute such as the country instead",
}


@dataclass(frozen=True)
class Winsorise:
    """Values beyond the quantiles `lower` and `upper` become these quantiles."""

    lower: float = 0.01
    upper: float = 0.99


@dataclass(frozen=True)
class MadClip:
    """Values further than `limit` robust standard deviations from the median are drawn in to that distance."""

    limit: float = 3.5


@dataclass(frozen=True)
class OneHot:
    """One column of 0 and 1 per category: the most frequent values, at most `max_values`, each with `min_share` of the
    rows. The rest becomes the category `other`.
    """

    min_share: float = 0.01
    max_values: int = 20


@dataclass(frozen=True)
class Ordinal:
    """The position of the value in `order`, counted from 0. Values that are not in it count as missing."""

    order: tuple[str, ...]


@dataclass(frozen=True)
class Feature:
    """What is done with one attribute, in this order: outliers, missing values, encoding, logarithm, scaling.

    `missing` is what stands in for a missing value, `constant` the value where it is "constant"; `indicator` adds a
    column of 0 and 1, never scaled, that says who had none. `log1p` is `sign(x) * log(1 + |x|)`, defined below 0 too.
    """

    name: str
    missing: Missing = "median"
    constant: str | float | bool | None = None
    indicator: bool = False
    outliers: Winsorise | MadClip | None = None
    log1p: bool = False
    scaling: Scaling | None = None
    encoding: OneHot | Ordinal | None = None


def default_feature(name: str, kind: Kind) -> Feature:
    """What suits most features of a kind: numbers are standardised, text becomes categories, booleans 0 and 1.

    InvalidInput for dates, lists and places.
    """
    refused = _unusable(name, kind)
    if refused is not None:
        raise InvalidInput(refused.message, [refused])
    if kind is Kind.NUMBER:
        return Feature(name, missing="median", scaling="standard")
    return Feature(name, missing="mode", encoding=OneHot() if kind is Kind.STRING else None)


def problems(feature: Feature, kind: Kind) -> list[FieldError]:
    """Everything that forbids this treatment of an attribute of this kind."""
    refused = _unusable(feature.name, kind)
    if refused is not None:
        return [refused]
    if kind is Kind.STRING and feature.encoding is None:
        message = f"{feature.name!r} is text; give it an encoding (oneHot or ordinal)"
        return [FieldError("features", message)]
    found = [
        *_outlier_problems(feature, kind),
        *_encoding_problems(feature, kind),
        *_missing_problems(feature, kind),
    ]
    if isinstance(feature.encoding, OneHot) and feature.scaling == "robust":
        found.append(("scaling", "robust scaling has no meaning for categories; take standard or none"))
    return [FieldError(f"features.{feature.name}.{part}", f"{feature.name!r}: {text}") for part, text in found]


def _unusable(name: str, kind: Kind) -> FieldError | None:
    if kind not in _HINTS:
        return None
    message = f"{name!r} is {_WORDS[kind]}; features are numbers, booleans and text: {_HINTS[kind]}"
    return FieldError("features", message)


def _outlier_problems(feature: Feature, kind: Kind) -> list[tuple[str, str]]:
    found = []
    outliers = feature.outliers
    if kind is not Kind.NUMBER:
        if outliers is not None:
            found.append(("outliers", f"outliers are for numbers, this is {_WORDS[kind]}"))
        if feature.log1p:
            found.append(("log1p", f"a logarithm is for numbers, this is {_WORDS[kind]}"))
    elif isinstance(outliers, Winsorise) and not 0 <= outliers.lower < 0.5 < outliers.upper <= 1:
        text = f"quantiles {outliers.lower:g} and {outliers.upper:g} must lie in 0 to 1, on either side of 0.5"
        found.append(("outliers", text))
    elif isinstance(outliers, MadClip) and not 0 < outliers.limit < math.inf:
        found.append(("outliers", f"limit {outliers.limit:g} must be above 0"))
    return found


def _encoding_problems(feature: Feature, kind: Kind) -> list[tuple[str, str]]:
    encoding = feature.encoding
    if encoding is None:
        return []
    if kind is not Kind.STRING:
        return [("encoding", f"an encoding is for text, this is {_WORDS[kind]}")]
    if isinstance(encoding, Ordinal):
        size = len(encoding.order)
        if not 2 <= size <= MOST_RANKS or len(set(encoding.order)) < size:
            return [("encoding", f"order holds {size} values; it needs 2 to {MOST_RANKS}, each one once")]
        return []
    found = []
    if not 0 <= encoding.min_share < 1:
        found.append(("encoding", f"minShare {encoding.min_share:g} must be at least 0 and below 1"))
    if not 1 <= encoding.max_values <= MOST_CATEGORIES:
        found.append(("encoding", f"maxValues {encoding.max_values} must be 1 to {MOST_CATEGORIES}"))
    return found


def _missing_problems(feature: Feature, kind: Kind) -> list[tuple[str, str]]:
    if feature.missing == "median" and kind is Kind.STRING and isinstance(feature.encoding, OneHot):
        return [("missing", "text in categories has no median; take mode or constant")]
    if feature.missing != "constant":
        unused = feature.constant is not None
        return [("constant", f"{feature.constant!r} is used only where missing is 'constant'")] if unused else []
    wanted = _wanted_constant(feature, kind)
    return [] if wanted is None else [("constant", f"{feature.constant!r} must be {wanted}")]


def _wanted_constant(feature: Feature, kind: Kind) -> str | None:
    """What the constant should have been, None if it is right."""
    constant = feature.constant
    if isinstance(feature.encoding, Ordinal):
        return None if constant in feature.encoding.order else "a value of the order"
    if kind is Kind.STRING:
        return None if isinstance(constant, str) and constant else "text"
    if kind is Kind.BOOLEAN:
        return None if not isinstance(constant, str) and constant in (0, 1) else "0 or 1"
    number = isinstance(constant, int | float) and not isinstance(constant, bool) and math.isfinite(constant)
    return None if number else "a number"
