"""Text as categories or ranks: which values are kept, and where every value of a column goes.

Text is dictionary-encoded, so everything here runs once per distinct value and not once per customer.
"""

import heapq
import unicodedata

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats, StringColumn
from segmentation.engine.preprocess.recipe import Feature, OneHot, Ordinal
from segmentation.engine.preprocess.steps import OTHER, Categories, Filled, Ranks, Step, category_scale, flagged
from segmentation.errors import FieldError, InvalidInput

Places = NDArray[np.int32]
"""Where a value goes: a category or rank by its position, -1 for nowhere."""

NOWHERE = -1
_SHOWN = 5


def category_steps(feature: Feature, column: StringColumn, encoding: OneHot) -> list[Step]:
    """Fits the steps of text that becomes categories; at least one row has a value.

    Missing values take their stand-in first and count with it. Categories are ordered by frequency, equally frequent
    ones by name.
    """
    counts = _counts(column)
    rows, missing = len(column.codes), len(column.codes) - sum(counts.values())
    if feature.missing == "constant":
        stand_in = normal(str(feature.constant))
    else:
        stand_in = min(counts, key=lambda value: (-counts[value], value))
    steps: list[Step] = [
        *flagged(feature, missing / rows),
        Filled(feature.name, feature.missing, stand_in, missing / rows),
    ]
    counts[stand_in] = counts.get(stand_in, 0) + missing
    frequent = [value for value, count in counts.items() if count and count >= encoding.min_share * rows]
    kept = heapq.nsmallest(encoding.max_values, frequent, key=lambda value: (-counts[value], value))
    shares = {value: counts[value] / rows for value in kept}
    grouped = sum(1 for value, count in counts.items() if count and value not in shares)
    if grouped:
        rare = (rows - sum(counts[value] for value in kept)) / rows
        shares[OTHER] = shares.get(OTHER, 0.0) + rare
    steps.append(Categories(feature.name, tuple(shares), tuple(shares.values()), grouped))
    if feature.scaling is not None:
        names = category_columns(feature.name, tuple(shares))
        steps += [category_scale(feature, name, share) for name, share in zip(names, shares.values(), strict=True)]
    return steps


def category_columns(name: str, categories: tuple[str, ...]) -> list[str]:
    """Names of the columns of a feature's categories."""
    return [f"{name}={category}" for category in categories]


def category_places(values: tuple[str, ...], categories: tuple[str, ...]) -> Places:
    """Category of each of the values; a value that is none goes to `other` if there is one."""
    positions = {category: position for position, category in enumerate(categories)}
    rest = positions.get(OTHER, NOWHERE)
    return np.array([positions.get(value, rest) for value in values], dtype=np.int32)


def rank_places(column: StringColumn, order: tuple[str, ...]) -> Places:
    """Rank of each value of the column's dictionary, -1 for a value that is not in the order."""
    positions = {value: position for position, value in enumerate(order)}
    return np.array([positions.get(value, NOWHERE) for value in column.values], dtype=np.int32)


def ranked(feature: Feature, column: StringColumn, encoding: Ordinal) -> tuple[Ranks, Floats]:
    """The step, and the rank of every row, NaN where there is none; at least one row has a value.

    InvalidInput if the order knows none of the values.
    """
    order = tuple(normal(value) for value in encoding.order)
    places = np.append(rank_places(column, order), NOWHERE)[column.codes]
    unknown = np.count_nonzero((places < 0) & (column.codes >= 0))
    if not np.any(places >= 0):
        counts = _counts(column)
        found = ", ".join(repr(value[:64]) for value in heapq.nsmallest(_SHOWN, counts))
        message = f"{feature.name!r} has none of the values of its order, but for example {found}"
        raise InvalidInput(message, [FieldError(f"features.{feature.name}.encoding", message)])
    return Ranks(feature.name, order, unknown / len(places)), np.where(places >= 0, places, np.nan)


def normal(text: str) -> str:
    """Text in the form that columns hold."""
    return unicodedata.normalize("NFC", text)


def _counts(column: StringColumn) -> dict[str, int]:
    """How many rows have each value that occurs."""
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values)).tolist()
    return {value: count for value, count in zip(column.values, counts, strict=True) if count}
