"""Columns of a frame as Arrow arrays, for chosen customers: the way from the engine to files."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import (
    BooleanColumn,
    Bools,
    Column,
    DateColumn,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    Rows,
    StringColumn,
)
from segmentation.store.writers import ARROW_TYPES

Array = Any


class Lookup:
    """Finds customers in one frame; several batches of ids share the index that is built once."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._ids = pa.array(frame.ids, pa.string())

    def columns(self, ids: Array, wanted: Sequence[tuple[str, Kind]]) -> list[Array]:
        """For every (name, kind) an Arrow array with a value per id, in the types of `ARROW_TYPES`.

        Null stands for a missing value, for a customer that the frame lacks, and for a column that it lacks.
        """
        found = pc.index_in(ids, value_set=self._ids)
        absent = found.is_null().to_numpy(zero_copy_only=False)
        rows = pc.fill_null(found, 0).to_numpy(zero_copy_only=False).astype(np.intp)
        return [self._column(name, kind, rows, absent) for name, kind in wanted]

    def _column(self, name: str, kind: Kind, rows: Rows, absent: Bools) -> Array:
        column = self._frame.columns.get(name)
        if column is None or absent.all():
            return pa.nulls(len(rows), ARROW_TYPES[kind])
        taken = column.take(rows)
        return _array(taken, absent | taken.missing())


def _array(column: Column, missing: Bools) -> Array:
    match column:
        case StringColumn():
            return _texts(column.values, column.codes, missing)
        case NumberColumn():
            return pa.array(column.values, pa.float64(), mask=missing)
        case DateColumn():
            return pa.array(column.values, pa.timestamp("us"), mask=missing).cast(ARROW_TYPES[Kind.DATE])
        case BooleanColumn():
            return pa.array(column.values == 1, pa.bool_(), mask=missing)
        case ListColumn():
            entries = _texts(column.values, column.codes, column.codes < 0)
            offsets = pa.array(column.offsets.astype(np.int32))
            return pa.ListArray.from_arrays(offsets, entries, mask=pa.array(missing))
        case GeoColumn():
            parts = [pa.array(column.latitude), pa.array(column.longitude)]
            return pa.StructArray.from_arrays(parts, ["latitude", "longitude"], mask=pa.array(missing))


def _texts(values: Sequence[str], codes: Any, missing: Bools) -> Array:
    return pa.array(values, pa.string()).take(pa.array(codes, mask=missing))
