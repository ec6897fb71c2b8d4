"""Columns of attributes that nobody has: a frame brings along only what some of its customers do."""

import numpy as np

from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import (
    MISSING,
    BooleanColumn,
    Column,
    DateColumn,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)


def absent_column(kind: Kind, size: int) -> Column:
    """A column of `size` missing values."""
    codes = np.full(size, MISSING, dtype=np.int32)
    match kind:
        case Kind.STRING:
            return StringColumn(codes, ())
        case Kind.NUMBER:
            return NumberColumn(np.full(size, np.nan))
        case Kind.DATE:
            return DateColumn(np.full(size, np.datetime64("NaT", "us")))
        case Kind.BOOLEAN:
            return BooleanColumn(codes.astype(np.int8))
        case Kind.LIST:
            return ListColumn(np.zeros(size + 1, dtype=np.int64), codes[:0], (), np.ones(size, dtype=np.bool_))
        case Kind.GEO:
            return GeoColumn(np.full(size, np.nan), np.full(size, np.nan))
