"""Columns of the generated shop: draws by persona, and texts without loops over rows. It knows none of its tables."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Instants = NDArray[np.datetime64]


def weights(values: Iterable[float]) -> Floats:
    """The values as shares of their sum."""
    given = np.array(list(values), dtype=np.float64)
    return given / given.sum()


def per(index: Ints, values: Sequence[float]) -> Floats:
    return np.array(values, dtype=np.float64)[index]


def between(random: np.random.Generator, index: Ints, ranges: Sequence[tuple[float, float]]) -> Floats:
    low, high = per(index, [r[0] for r in ranges]), per(index, [r[1] for r in ranges])
    return low + random.random(len(index)) * (high - low)


def pick(random: np.random.Generator, index: Ints, chances: Sequence[Sequence[float]]) -> Ints:
    """For every entry of `index` a choice by the weights `chances[index]`."""
    bounds = np.cumsum([weights(row) for row in chances], axis=1)
    return (random.random(len(index))[:, None] > bounds[index][:, :-1]).sum(axis=1)


def blank(random: np.random.Generator, values: pa.Array, share: float) -> pa.Array:
    return pc.if_else(pa.array(random.random(len(values)) >= share), values, pa.scalar(None, values.type))


def named(codes: Ints, names: Sequence[str]) -> pa.Array:
    """`names` by code; -1 is blank."""
    return pa.array(names).take(pa.array(codes, mask=codes < 0))


def digits(numbers: Ints, width: int = 8) -> pa.Array:
    return pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width, "0")


def ids(numbers: Ints) -> pa.Array:
    """Customer ids: C0000001 is the first."""
    return pc.binary_join_element_wise("C", digits(numbers + 1, 7), "")


def decimals(values: Floats) -> pa.Array:
    return pc.cast(pa.array(np.round(values, 4)), pa.string())


def joined(chosen: NDArray[np.bool_], names: Sequence[str]) -> pa.Array:
    """Per row the names chosen there, separated by `|`; blank where there are none."""
    row, column = np.nonzero(chosen)
    offsets = np.searchsorted(row, np.arange(len(chosen) + 1)).astype(np.int32)
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, named(column, names)), "|")
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
