"""Lists of texts: wanted values become labels on the dictionary, elements look their label up."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import SMALL, Bits, Prepared, fold, pack, union
from segmentation.engine.criteria.times import Clock
from segmentation.engine.criteria.tree import Condition
from segmentation.engine.frame import Bools, Column, ListColumn

Labels = NDArray[np.int64]
"""Per value of the dictionary the position of the wanted value that it equals, or -1."""


def check(condition: Condition, column: Column, prepared: Prepared, _clock: Clock) -> Check:
    """A condition on a list over a column."""
    lists = cast(ListColumn, column)
    if condition.operator.startswith("size_"):
        return _size(condition, lists, prepared)
    if condition.operator not in ("has", "has_any", "has_all", "eq"):
        raise ValueError(f"no list operator {condition.operator!r}")
    wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    labels, distinct = _labels(condition, cast(tuple[str, ...], wanted), lists, prepared)
    if len(lists.values) <= SMALL:
        return Check(_by_bitmaps(condition, labels, distinct, lists, prepared))
    return Check(pack(_by_elements(condition, labels, distinct, lists, prepared) & ~lists.absent))


def _labels(
    condition: Condition, wanted: tuple[str, ...], column: ListColumn, prepared: Prepared
) -> tuple[Labels, int]:
    """The dictionary's labels, and how many different values are wanted."""
    labels = np.full(len(column.values) + 1, -1, dtype=np.int64)
    if not condition.ignore_case:
        codes = prepared.codes(condition.attribute, column)
        for position, text in enumerate(dict.fromkeys(wanted)):
            if text in codes:
                labels[codes[text]] = position
        return labels[:-1], len(set(wanted))
    places = {text: position for position, text in enumerate(dict.fromkeys(fold(text) for text in wanted))}
    for code, text in enumerate(prepared.folded(condition.attribute, column)):
        labels[code] = places.get(text, -1)
    return labels[:-1], len(places)


def _by_bitmaps(condition: Condition, labels: Labels, distinct: int, column: ListColumn, prepared: Prepared) -> Bits:
    def holding(codes: NDArray[np.intp]) -> Bits:
        return union((prepared.bitmap(condition.attribute, column, int(code)) for code in codes), prepared.size)

    if condition.operator in ("has", "has_any"):
        return holding(np.flatnonzero(labels >= 0))
    rows = holding(np.flatnonzero(labels == 0))
    for label in range(1, distinct):
        rows &= holding(np.flatnonzero(labels == label))
    if condition.operator == "eq":
        rows &= ~holding(np.flatnonzero(labels < 0))
    return rows


def _by_elements(condition: Condition, labels: Labels, distinct: int, column: ListColumn, prepared: Prepared) -> Bools:
    owners, found = prepared.list_owners(condition.attribute, column), labels.take(column.codes)
    rows = np.zeros(prepared.size, dtype=np.bool_)
    if condition.operator in ("has", "has_any"):
        rows[owners[found >= 0]] = True
        return rows
    hit = np.flatnonzero(found >= 0)
    pairs = np.unique(owners[hit] * np.int64(distinct) + found[hit])
    rows |= np.bincount(pairs // distinct, minlength=prepared.size) == distinct
    if condition.operator == "eq":
        rows[owners[found < 0]] = False
    return rows


def _size(condition: Condition, column: ListColumn, prepared: Prepared) -> Check:
    sizes = prepared.list_sizes(condition.attribute, column)
    limit = int(cast(float, condition.value))
    match condition.operator:
        case "size_eq":
            return Check(lambda start, stop: sizes[start:stop] == limit)
        case "size_gt":
            return Check(lambda start, stop: sizes[start:stop] > limit)
        case "size_lt":
            return Check(lambda start, stop: (sizes[start:stop] < limit) & (sizes[start:stop] >= 0))
    raise ValueError(f"no list operator {condition.operator!r}")
