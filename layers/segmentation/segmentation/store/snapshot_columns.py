"""The Arrow types of a snapshot's columns, and the way from any column that a file brought to one of them.

It knows types only: neither keys nor tables nor what a column means.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidFile

INSTANT = pa.timestamp("us", tz="UTC")
TEXT = pa.dictionary(pa.int32(), pa.string())

TYPES: Mapping[Kind, pa.DataType] = {
    Kind.STRING: TEXT,
    Kind.NUMBER: pa.float64(),
    Kind.DATE: INSTANT,
    Kind.BOOLEAN: pa.bool_(),
    Kind.LIST: pa.list_(pa.string()),
    Kind.GEO: pa.struct([("lat", pa.float64()), ("lon", pa.float64())]),
}

GEO_NAMES = (("lat", "lon"), ("latitude", "longitude"))


def kind_of(type_: pa.DataType) -> Kind | None:
    """The kind that a column of this Arrow type holds; None for a column of nulls or of a type that no kind has."""
    if pa.types.is_dictionary(type_):
        return kind_of(type_.value_type)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return Kind.STRING
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return Kind.NUMBER
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return Kind.DATE
    if pa.types.is_boolean(type_):
        return Kind.BOOLEAN
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return Kind.LIST
    return Kind.GEO if pa.types.is_struct(type_) else None


def canonical(name: str, column: Any, target: pa.DataType | None = None) -> pa.Array:
    """`column` (array or chunked) as one array of the type `target`, or of its own kind's type.

    Raises InvalidFile where the column holds another kind than the target's.
    """
    column = single(column)
    kind = kind_of(column.type)
    if target is None:
        target = TYPES[kind] if kind else TEXT
    if column.type.equals(target):
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), target)
    if kind is None or kind is not kind_of(target):
        raise InvalidFile(
            f"column {name!r} holds {kind or column.type} where {kind_of(target)} is stored; "
            "declare its type in the mapping and import the file again"
        )
    if pa.types.is_dictionary(target):
        return plain(column).dictionary_encode()
    if kind is Kind.GEO:
        return _geo(name, column)
    if kind is Kind.DATE and pa.types.is_timestamp(column.type) and column.type.tz is None:
        column = pc.assume_timezone(column, "UTC")
    return plain(column).cast(target)


def _geo(name: str, column: pa.Array) -> pa.Array:
    names = tuple(column.type.field(n).name for n in range(column.type.num_fields))
    if names not in GEO_NAMES:
        raise InvalidFile(
            f"column {name!r} holds objects with the fields {names} where a latitude and a longitude are stored"
        )
    latitude, longitude = (pc.struct_field(column, field).cast(pa.float64()) for field in names)
    return pa.StructArray.from_arrays([latitude, longitude], fields=list(TYPES[Kind.GEO]), mask=pc.is_null(column))


def single(column: Any) -> pa.Array:
    """One array of a chunked one; dictionaries of the chunks are unified."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def plain(column: Any) -> Any:
    """The column with its strings written out instead of dictionary-encoded."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def join(first: pa.Array, second: pa.Array) -> pa.Array:
    """Two arrays of one type, one after the other."""
    return pa.chunked_array([first, second]).combine_chunks()


def integers(column: Any) -> NDArray[np.int64]:
    """An integer or timestamp column without nulls as int64."""
    values: NDArray[np.int64] = single(column).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def present(column: Any) -> NDArray[np.bool_]:
    """Where the column has a value."""
    mask: NDArray[np.bool_] = single(column).is_valid().to_numpy(zero_copy_only=False)
    return mask


def differs(first: pa.Array, second: pa.Array) -> NDArray[np.bool_]:
    """Row by row: do two columns of one type and length hold different values? Two missing values are equal."""
    result: NDArray[np.bool_] = present(first) != present(second)
    if pa.types.is_struct(first.type):
        for one, other in zip(first.flatten(), second.flatten(), strict=True):
            result |= differs(one, other)
    elif pa.types.is_list(first.type):
        result |= _lists_differ(first, second)
    else:
        unequal = pc.not_equal(plain(first), plain(second)).fill_null(False)
        result |= unequal.to_numpy(zero_copy_only=False)
    return result


def _lists_differ(first: pa.Array, second: pa.Array) -> NDArray[np.bool_]:
    lengths = [pc.list_value_length(side).fill_null(0).to_numpy(zero_copy_only=False) for side in (first, second)]
    result: NDArray[np.bool_] = lengths[0] != lengths[1]
    same = np.flatnonzero(~result & (lengths[0] > 0))
    if len(same):
        elements = differs(first.take(pa.array(same)).flatten(), second.take(pa.array(same)).flatten())
        starts = np.concatenate(([0], np.cumsum(lengths[0][same])[:-1]))
        result[same] = np.logical_or.reduceat(elements, starts)
    return result
