"""What is known of all customers of a population, in a size that does not grow with it: what they bring to a fit, and
what they are under a fitted model.

Both merge: whatever the parts and their order, the whole is the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.sketches import histogram, histories
from segmentation.engine.sketches.histogram import Bounds, Histogram
from segmentation.engine.sketches.histories import Histories

_BATCH = 1 << 22
"""Cells of parts that are gathered before they are merged."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Of a population before the fit: how many `customers`, of how many at least one feature is `known`, histograms of
    `values` by name, and purchase `histories`.
    """

    customers: int
    known: int
    values: Mapping[str, Histogram] = field(default_factory=dict)
    histories: Histories = histories.EMPTY

    def cells(self) -> int:
        """How much memory it takes, by the row."""
        return len(self.histories.count) + sum(len(each.count) for each in self.values.values())


@dataclass(frozen=True, eq=False)
class Described:
    """Of a population under a fitted model: counts and exact sums by name, each a list in an order that the model
    knows, and histograms of scores.
    """

    counts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    sums: Mapping[str, tuple[Fraction, ...]] = field(default_factory=dict)
    values: Mapping[str, Histogram] = field(default_factory=dict)


def pooled(parts: Iterable[Pooled], bounds: Bounds) -> Pooled:
    """All customers of the parts, read one after the other. A value that a part does not know nobody has there."""
    whole, waiting = Pooled(0, 0), list[Pooled]()
    for part in parts:
        waiting.append(part)
        if sum(each.cells() for each in waiting) > _BATCH:
            whole, waiting = _together([whole, *waiting], bounds), []
    return _together([whole, *waiting], bounds)


def described(parts: Iterable[Described]) -> Described:
    """All customers of the parts, read one after the other."""
    whole = Described()
    for part in parts:
        pair = (whole, part)
        whole = Described(
            counts={name: np.sum(found, axis=0) for name, found in _by_name([each.counts for each in pair]).items()},
            sums={
                name: tuple(sum(column, Fraction(0)) for column in zip(*found, strict=True))
                for name, found in _by_name([each.sums for each in pair]).items()
            },
            values={
                name: histogram.merged(found, histogram.VALUES)
                for name, found in _by_name([each.values for each in pair]).items()
            },
        )
    return whole


def _together(parts: Sequence[Pooled], bounds: Bounds) -> Pooled:
    return Pooled(
        customers=sum(part.customers for part in parts),
        known=sum(part.known for part in parts),
        values={
            name: histogram.merged(found, bounds) for name, found in _by_name([part.values for part in parts]).items()
        },
        histories=histories.merged([part.histories for part in parts]),
    )


def _by_name[T](parts: Sequence[Mapping[str, T]]) -> dict[str, list[T]]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: [part[name] for part in parts if name in part] for name in names}
