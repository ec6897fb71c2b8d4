"""Equal values and equal rows, found fast and exactly: what lets models look at each distinct history once.

Codes follow the order of the values, so that nothing computed from them depends on the order of the customers. It must
not know what the columns mean.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, Floats

Codes = NDArray[np.integer]

PER_UNIT = (1.0, 7.0, 100.0)
"""Lattices that times and counts lie on: whole numbers, days as parts of a week, hundredths as in published files."""
MAXIMUM_POINTS = 1 << 16
"""Points of a lattice; wider ones cost more memory than they save time."""
CHUNK = 1 << 13
"""Rows computed on at a time: their arrays stay in cache, and columns on no lattice mostly show it in the first."""
_SHORT, _WHOLE = 1 << 31, 1 << 62
_SPARSE = 4
"""A table of all possible keys is faster than sorting up to so many entries per row."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A column (n,) as `codes` into ascending `values`, of which some may not occur in the column."""

    values: Floats
    codes: Codes


@dataclass(frozen=True, eq=False)
class Distinct:
    """Distinct rows, ascending: `one` row (m,) of each, the `inverse` (n,) from all rows to them."""

    one: NDArray[np.int64]
    inverse: NDArray[np.int64]


def coded(values: Floats) -> Coded:
    """Codes of finite numbers of at least 0; a few passes for a column on a known lattice, else by sorting."""
    for per_unit in PER_UNIT:
        codes = _lattice(values, per_unit)
        if codes is not None:
            return Coded(np.arange(int(codes.max(initial=-1)) + 1) / per_unit, codes)
    distinct, inverse = np.unique(values, return_inverse=True)
    return Coded(distinct, inverse.astype(np.int32))


def distinct(*columns: Coded) -> Distinct:
    """The distinct rows, ordered by the first column, then the second and so on, each with one row that has it."""
    key, size = _key(columns)
    if size <= _SPARSE * len(key):
        table = np.full(size, -1, dtype=np.int64)
        table[key] = np.arange(len(key))
        present = np.flatnonzero(table >= 0)
        one = table[present]
        table[present] = np.arange(len(present))
        return Distinct(one, table[key])
    order = np.argsort(key)
    begins = begin_of_runs(key[order])
    inverse = np.empty(len(key), dtype=np.int64)
    inverse[order] = np.cumsum(begins) - 1
    return Distinct(order[begins], inverse)


def counted(*columns: Coded) -> tuple[tuple[Floats, ...], Floats]:
    """The distinct rows as columns (m,) in the same order, and how many rows (m,) each; faster than `distinct`."""
    sizes = [len(column.values) for column in columns]
    if math.prod(sizes) >= _WHOLE:
        rows = distinct(*columns)
        numbers = np.bincount(rows.inverse, minlength=len(rows.one))
        return tuple(column.values[column.codes[rows.one]] for column in columns), numbers.astype(np.float64)
    key, _ = _key(columns)
    key.sort()
    begins = np.flatnonzero(begin_of_runs(key))
    rest: Codes = key[begins]
    codes: list[Codes] = []
    for size in sizes[:0:-1]:
        above = rest // size
        codes.append(rest - above * size)
        rest = above
    codes.append(rest)
    counts: Floats = np.diff(begins, append=len(key)).astype(np.float64)
    return tuple(column.values[code] for column, code in zip(columns, reversed(codes), strict=True)), counts


def begin_of_runs(ascending: Codes | Floats) -> Bools:
    """Where a sorted column has a value for the first time."""
    begins = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=begins[1:])
    return begins


def _key(columns: tuple[Coded, ...]) -> tuple[Codes, int]:
    """One number (n,) per row, equal where the rows are and ordered as they are, below the size returned with it."""
    # Half the bytes sort in half the time.
    short = math.prod(len(column.values) for column in columns) < _SHORT
    key: Codes = np.zeros(len(columns[0].codes), dtype=np.int32 if short else np.int64)
    size = 1
    for column in columns:
        if size * len(column.values) >= _WHOLE:
            known, key = np.unique(key, return_inverse=True)
            size = len(known)
        key *= len(column.values)
        key += column.codes
        size *= len(column.values)
    return key, size


def _lattice(values: Floats, per_unit: float) -> Codes | None:
    """Each value times `per_unit`, if that is a whole number below the maximum, and the value to its last bit."""
    codes = np.empty(len(values), dtype=np.int32)
    for begin in range(0, len(values), CHUNK):
        chunk = values[begin : begin + CHUNK]
        with np.errstate(over="ignore"):
            scaled = np.rint(chunk * per_unit)
        if scaled.max() >= MAXIMUM_POINTS or not np.array_equal(scaled / per_unit, chunk):
            return None
        codes[begin : begin + CHUNK] = scaled
    return codes
