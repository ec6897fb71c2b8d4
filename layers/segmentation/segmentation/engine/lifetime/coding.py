"""Equal values and equal rows, found fast and exactly: what lets models look at each distinct history once.

Codes follow the order of the values, so that nothing computed from them depends on the order of the customers. It must
not know what the columns mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, Floats

Integers = NDArray[np.int64]

PER_UNIT = (1.0, 7.0, 100.0)
"""Lattices that times and counts lie on: whole numbers, days as parts of a week, hundredths as in published files."""
MAXIMUM_POINTS = 1 << 16
"""Points of a lattice; wider ones cost more memory than they save time."""
_LOOK = 1_000
_WHOLE = 1 << 62


@dataclass(frozen=True, eq=False)
class Coded:
    """A column (n,) as `codes` into ascending `values`, of which some may not occur in the column."""

    values: Floats
    codes: Integers


@dataclass(frozen=True, eq=False)
class Distinct:
    """Distinct keys, ascending: a `first` row (m,) of each, the `inverse` (n,) from rows to keys."""

    first: Integers
    inverse: Integers


def coded(values: Floats) -> Coded:
    """Codes of finite numbers of at least 0; a few passes for a column on a known lattice, else by sorting."""
    for per_unit in PER_UNIT:
        # Most columns that are not on a lattice show it soon.
        if not _on_lattice(values[:_LOOK], per_unit) or not _on_lattice(values, per_unit):
            continue
        codes = np.rint(values * per_unit).astype(np.int64)
        return Coded(np.arange(int(codes.max(initial=-1)) + 1) / per_unit, codes)
    distinct, inverse = np.unique(values, return_inverse=True)
    return Coded(distinct, inverse.astype(np.int64, copy=False))


def key_of(columns: tuple[Coded, ...]) -> Integers:
    """One number (n,) per row, equal where the rows are, ordered by the first column, then the second and so on."""
    first = columns[0]
    key, size = first.codes, len(first.values)
    for column in columns[1:]:
        if size * len(column.values) >= _WHOLE:
            distinct, key = np.unique(key, return_inverse=True)
            size = len(distinct)
        key = key * len(column.values) + column.codes
        size *= len(column.values)
    return key


def distinct_of(key: Integers) -> Distinct:
    """The distinct values of a key, each with one of its rows, and which of them every row has."""
    order = np.argsort(key)
    begins = begin_of_runs(key[order])
    inverse = np.empty(len(key), dtype=np.int64)
    inverse[order] = np.cumsum(begins) - 1
    return Distinct(order[begins], inverse)


def begin_of_runs(ascending: Integers | Floats) -> Bools:
    """Where a sorted column has a value for the first time."""
    begins = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=begins[1:])
    return begins


def _on_lattice(values: Floats, per_unit: float) -> bool:
    scaled = np.rint(values * per_unit)
    if scaled.max(initial=0.0) >= MAXIMUM_POINTS:
        return False
    scaled /= per_unit
    return bool(np.array_equal(scaled, values))
