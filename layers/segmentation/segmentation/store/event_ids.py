"""Ids for events that came without one: a 64-bit hash of the row's content, equal on every machine, in every release.

It knows columns of the snapshot's types only. An id need only be unique among the events of one customer and one name.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)


def content_ids(columns: Mapping[str, pa.Array]) -> pa.Array:
    """One id per row from all values of the row; a missing value is as if the column were not there.

    Rows of equal content get equal ids, whatever other columns their files have.
    """
    total = np.zeros(len(next(iter(columns.values()))), dtype=np.uint64)
    for name, column in columns.items():
        present = column.is_valid().to_numpy(zero_copy_only=False)
        total += np.where(present, _mix(_values(column) ^ _seed(name)), np.uint64(0))
    return pc.binary_join_element_wise("content", pa.array(total).cast(pa.string()), "-")


def _seed(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))


def _mix(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection in which every bit reaches every other."""
    values = values + _STEP
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _values(column: pa.Array) -> Hashes:
    """A hash per row; what stands at missing rows is arbitrary."""
    if pa.types.is_dictionary(column.type):
        distinct: Hashes = np.append(_values(column.dictionary), np.uint64(0))[column.indices.fill_null(-1).to_numpy()]
        return distinct
    if pa.types.is_string(column.type):
        return _texts(column)
    if pa.types.is_list(column.type):
        lengths = pc.list_value_length(column).fill_null(0).to_numpy()
        return _fold(_values(column.flatten()), lengths)
    if pa.types.is_struct(column.type):
        first, second = (_values(side) for side in column.flatten())
        return _mix(first) ^ second
    if pa.types.is_boolean(column.type):
        truth: Hashes = column.fill_null(False).to_numpy(zero_copy_only=False).astype(np.uint64)
        return truth
    if pa.types.is_floating(column.type):
        # Adding zero makes one zero of 0.0 and -0.0.
        bits: Hashes = (column.fill_null(0.0).to_numpy() + 0.0).view(np.uint64)
        return bits
    number: Hashes = column.cast(pa.int64()).fill_null(0).to_numpy().view(np.uint64)
    return number


def _texts(column: pa.Array) -> Hashes:
    column = column.fill_null("")
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    content = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]] if data else np.empty(0, dtype=np.uint8)
    return _fold(content.astype(np.uint64), np.diff(bounds))


def _fold(parts: Hashes, lengths: NDArray[np.integer]) -> Hashes:
    """One hash per run of `parts`: the sum of each part mixed with its place in the run, and the run's length."""
    ends = np.cumsum(lengths, dtype=np.int64)
    place = np.arange(len(parts), dtype=np.int64) - np.repeat(ends - lengths, lengths)
    # Sums wrap modulo 2^64, so differences of running sums are exact.
    running = np.zeros(len(parts) + 1, dtype=np.uint64)
    np.cumsum(_mix(parts ^ _mix(place.view(np.uint64))), out=running[1:])
    return _mix(running[ends] - running[ends - lengths] + lengths.astype(np.uint64))
