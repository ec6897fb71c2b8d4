"""Bins of a column: learnt from the customers a model was fitted on, and counted again for any others.

Counts are whole numbers, so that parts of the customers add up to the same whatever the parts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import BooleanColumn, Column, Floats, ListColumn, NumberColumn, StringColumn

TOP = 20
"""Values of a text that have a bin of their own."""

DECILES = np.arange(1, 10) / 10


@dataclass(frozen=True)
class Bins:
    """The bins of the column `name`, and the training's `counts` in them.

    Numbers: below the first of `cuts`, between two, above the last; a value at a cut lies below it. Everything else: a
    bin for each of `values`, and one for all others. The last bin is for missing values.
    """

    name: str
    cuts: tuple[float, ...] | None
    values: tuple[str, ...]
    counts: tuple[int, ...]


def learn(name: str, column: Column, values: Sequence[str] | None = None) -> Bins:
    """Bins for a column (n), with its counts: deciles of a number, the 20 most frequent `values` of anything else,
    or those given.

    A number that holds several deciles has a bin of its own, so that a constant is told from what lies around it.
    """
    if isinstance(column, NumberColumn):
        return _counted(Bins(name, _cuts(column.values), (), ()), column)
    if values is None:
        labels, counts = _occurrences(column)
        by_size = sorted(zip(labels, counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        values = [label for label, count in by_size[:TOP] if count]
    return _counted(Bins(name, None, tuple(values), ()), column)


def count(bins: Bins, column: Column | None, size: int) -> list[int]:
    """How many of `size` customers are in each bin; of a list, how many of its entries. Without a column all are
    missing, and so is a number's where the column holds none.
    """
    if bins.cuts is not None:
        if not isinstance(column, NumberColumn):
            return [0] * (len(bins.cuts) + 1) + [size]
        known = column.values[~np.isnan(column.values)]
        # A value at a cut lies below it.
        places = np.searchsorted(np.array(bins.cuts), known, side="left")
        return [*np.bincount(places, minlength=len(bins.cuts) + 1).tolist(), size - len(known)]
    if column is None:
        return [0] * (len(bins.values) + 1) + [size]
    labels, counts = _occurrences(column)
    by_label = dict(zip(labels, counts.tolist(), strict=True))
    named = [by_label.get(value, 0) for value in bins.values]
    missing = int(np.count_nonzero(column.missing()))
    if isinstance(column, StringColumn | BooleanColumn | ListColumn):
        return [*named, sum(by_label.values()) - sum(named), missing]
    return [*named, size - missing, missing]


def _counted(bins: Bins, column: Column) -> Bins:
    counts = count(bins, column, len(column.missing()))
    return Bins(bins.name, bins.cuts, bins.values, tuple(counts))


def _cuts(values: Floats) -> tuple[float, ...]:
    known = values[~np.isnan(values)]
    if not len(known):
        return ()
    distinct, times = np.unique(np.quantile(known, DECILES, method="inverted_cdf"), return_counts=True)
    alone = np.nextafter(distinct[times > 1], -np.inf)
    return tuple(np.union1d(distinct, alone).tolist())


def _occurrences(column: Column) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Values of the column and how often each occurs; of dates and places there are none to name."""
    if isinstance(column, StringColumn | ListColumn):
        codes = column.codes[column.codes >= 0]
        return column.values, np.bincount(codes, minlength=len(column.values))
    if isinstance(column, BooleanColumn):
        return ("false", "true"), np.bincount(column.values[column.values >= 0], minlength=2)
    return (), np.zeros(0, dtype=np.int64)
