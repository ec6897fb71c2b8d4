"""Counts per key and segment, from exact to coarse, in a form that merges. It must not know what is counted.

Every table starts exact. One that has more keys than `LIMIT` allows turns coarse, and whether it does depends only on
the set of its keys: merged partitions and the whole end in the same table, in whatever order they come.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.analysis.crowd import Cells
from segmentation.engine.frame import Bools, Floats

Keys = NDArray[Any]


class Scale(StrEnum):
    """What the keys of a table are."""

    VALUE = "value"
    """Strings as they are."""
    REGISTER = "register"
    """Registers of a HyperLogLog: only the number of distinct strings is left."""
    NUMBER = "number"
    """Numbers as they are."""
    BUCKET = "bucket"
    """Buckets of numbers, at most 0.8% from their middle to their edge."""
    DAY = "day"
    """Days since 1970-01-01."""
    MONTH = "month"
    """Months since 1970-01."""


LIMIT = {Scale.VALUE: 1024, Scale.NUMBER: 1024, Scale.DAY: 4096}
"""Most keys of an exact table; beyond it the coarse scale follows."""

COARSE = {Scale.VALUE: Scale.REGISTER, Scale.NUMBER: Scale.BUCKET, Scale.DAY: Scale.MONTH}
"""What an exact scale turns into."""

MAX_VALUE_LENGTH = 100
"""A longer string is text and no category: its table keeps the number of distinct values only."""

REGISTERS = 1024
_RANKS = 32

# A float's bits ascend with its magnitude: cut off below six bits of the mantissa, they number buckets whose width is
# 1/64 to 1/128 of their value. Magnitudes below 2^-30 are zero, those above 2^64 share the last bucket.
_CUT = 46
_SMALLEST, _LARGEST = 2.0**-30, 2.0**64
_FIRST = (int(np.float64(_SMALLEST).view(np.int64)) >> _CUT) - 1


@dataclass(frozen=True, eq=False)
class Table:
    """`cells[segments + 1, keys]` (row 0 is everybody) for ascending, distinct `keys` on one scale."""

    scale: Scale
    keys: Keys
    cells: Cells


def buckets_of(values: Floats) -> NDArray[np.int64]:
    """Bucket number of every finite number: ascending with it, 0 for zero, negative for negative numbers."""
    magnitudes = np.minimum(np.abs(values), _LARGEST)
    numbers: NDArray[np.int64] = (magnitudes.view(np.int64) >> _CUT) - _FIRST
    numbers[magnitudes < _SMALLEST] = 0
    return np.where(values < 0, -numbers, numbers)


def coarse_keys(scale: Scale, keys: Keys) -> NDArray[np.int64]:
    """Keys on the scale that follows `NUMBER` or `DAY`, one for each of `keys`."""
    if scale is Scale.NUMBER:
        return buckets_of(keys.astype(np.float64))
    return keys.astype(np.int64).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def positions_of(table: Table) -> Floats:
    """float64[keys]: where each key of a numeric table stands; buckets and months stand in their middle.

    Numbers in their own unit, dates in days since 1970-01-01.
    """
    if table.scale is Scale.BUCKET:
        magnitudes = np.abs(table.keys).astype(np.int64) + _FIRST
        edges = np.stack((magnitudes, magnitudes + 1)) << _CUT
        middles = np.sign(table.keys) * edges.view(np.float64).mean(axis=0)
        return np.where(table.keys == 0, 0.0, middles)
    if table.scale is Scale.MONTH:
        return days_of_months(table.keys) + 14.0
    return table.keys.astype(np.float64)


def days_of_months(months: Keys) -> Floats:
    """First day, in days since 1970-01-01, of months since 1970-01."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.float64)


def registers_of(values: Iterable[str]) -> NDArray[np.int16]:
    """int16[values]: register and rank of every string, as `register * 32 + rank`; the rank is 1 to 23.

    HyperLogLog after Flajolet, Fusy, Gandouet and Meunier (2007). CRC-32 alone keeps the structure of running numbers,
    so it goes through the finaliser of MurmurHash3.
    """
    hashes = np.fromiter((zlib.crc32(value.encode("utf-8", "surrogatepass")) for value in values), dtype=np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        hashes ^= hashes >> np.uint32(shift)
        hashes *= np.uint32(factor)
    rest = (hashes >> np.uint32(10)).astype(np.float64)
    ranks = 23 - np.frexp(rest)[1]
    joint: NDArray[np.int64] = (hashes % np.uint32(REGISTERS)).astype(np.int64) * _RANKS + ranks
    return joint.astype(np.int16)


def highest_ranks(registers: NDArray[np.int16]) -> NDArray[np.int64]:
    """int64[REGISTERS]: the highest rank seen in each register, 0 where none was."""
    seen = np.zeros(REGISTERS * _RANKS, dtype=np.int64)
    seen[registers] = 1
    highest: NDArray[np.int64] = (seen.reshape(REGISTERS, _RANKS) * np.arange(_RANKS)).max(axis=1)
    return highest


def distinct_of(ranks: NDArray[np.int64]) -> int:
    """Number of distinct strings from the ranks of the registers: within about 3%, nearly exact below 1,000."""
    empty = int((ranks == 0).sum())
    estimate = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS**2 / float((2.0**-ranks).sum())
    if estimate <= 2.5 * REGISTERS and empty:
        estimate = REGISTERS * float(np.log(REGISTERS / empty))
    return round(estimate)


def coarsened(table: Table) -> Table:
    """The same counts on the next coarser scale."""
    scale = COARSE[table.scale]
    if scale is Scale.REGISTER:
        registers = registers_of(table.keys)
        cells = np.stack([highest_ranks(registers[row > 0]) for row in table.cells])
        return Table(scale, np.arange(REGISTERS), cells)
    keys, starts = np.unique(coarse_keys(table.scale, table.keys), return_index=True)
    cells = np.add.reduceat(table.cells, starts, axis=1) if len(keys) else table.cells
    return Table(scale, keys, cells)


def bounded(table: Table) -> Table:
    """The table itself, or its coarse form where it has too many keys."""
    return coarsened(table) if len(table.keys) > LIMIT.get(table.scale, len(table.keys)) else table


def added(one: Table, other: Table) -> Table:
    """Both tables in one: the cells of equal keys are added, the ranks of equal registers take the higher."""
    if one.scale is not other.scale:
        one = coarsened(one) if one.scale in COARSE else one
        other = coarsened(other) if other.scale in COARSE else other
    if one.scale is Scale.REGISTER:
        return Table(one.scale, one.keys, np.maximum(one.cells, other.cells))
    if np.array_equal(one.keys, other.keys):
        return Table(one.scale, one.keys, one.cells + other.cells)
    keys = np.union1d(one.keys, other.keys)
    cells = np.zeros((len(one.cells), len(keys)), dtype=one.cells.dtype)
    for table in (one, other):
        cells[:, np.searchsorted(keys, table.keys)] += table.cells
    return bounded(Table(one.scale, keys, cells))


def any_too_long(values: Iterable[str]) -> bool:
    """Whether one of the strings is text rather than a category."""
    return any(len(value) > MAX_VALUE_LENGTH for value in values)


def order_statistics(positions: Floats, counts: Cells, shares: Iterable[float]) -> list[float]:
    """Quantiles of what a table counts, one per share (0 to 1), interpolated between neighbours as a median of two is.

    `positions` ascend; `counts[keys]` are one segment's, at least one of them positive.
    """
    ends = np.cumsum(counts)
    ranks = np.array([share * (int(ends[-1]) - 1) for share in shares])
    below = positions[np.searchsorted(ends, np.floor(ranks), side="right")]
    above = positions[np.searchsorted(ends, np.ceil(ranks), side="right")]
    return [float(value) for value in below + (above - below) * (ranks - np.floor(ranks))]


def filled_range(counts: Cells) -> slice:
    """From the first key that is counted to the last one."""
    filled: Bools = counts > 0
    return slice(int(filled.argmax()), len(counts) - int(filled[::-1].argmax()))
