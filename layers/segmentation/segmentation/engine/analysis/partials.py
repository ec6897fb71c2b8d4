"""The statistics of one partition or of several: one value that merges and travels as JSON.

It must not know how they are measured, nor what a report says about them.
"""

import base64
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.analysis.crowd import Cells
from segmentation.engine.analysis.tables import Scale, Table, added
from segmentation.engine.frame import Floats

SCHEMA = 1

EVERYBODY = "*"
"""Row 0 of every statistic; no segment can have this id."""

MONTHS = 24
"""Months of activity, the month of `now` included."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Per segment, everybody first: sum of a variable and sum of its squared distances from the segment's mean."""

    sums: Floats
    squares: Floats


@dataclass(frozen=True, eq=False)
class Extremes:
    """Per segment, everybody first: lowest and highest value, NaN without one."""

    lowest: Floats
    highest: Floats


@dataclass(frozen=True, eq=False)
class Partial:
    """Statistics of the customers of one or more partitions, per segment.

    Columns are named `<kind>:<name>`: an attribute that changed its type between two partitions is two columns.
    """

    now: np.datetime64
    segments: tuple[str, ...]
    sizes: NDArray[np.int64]
    overlap: NDArray[np.int64]
    """Customers in both of two segments: [segments, segments]."""
    holders: Mapping[str, NDArray[np.int64]]
    """Customers with a value, per column."""
    tables: Mapping[str, Table]
    """Customers per value and column, for `buyers:` only the buyers; `lines:`, `orders:` and `revenue:` count those."""
    moments: Mapping[str, Moments]
    """Of number and date columns, and of `log:<feature>`, the logarithm of 1 + a number column."""
    extremes: Mapping[str, Extremes]

    def row(self, segment_id: str) -> int:
        """Row of a segment in every statistic; KeyError if nobody measured it."""
        if segment_id == EVERYBODY:
            return 0
        if segment_id not in self.segments:
            raise KeyError(segment_id)
        return self.segments.index(segment_id) + 1


def holders_of(variable: str) -> str:
    """The column whose holders have the variable."""
    return "number:" + variable.removeprefix("log:") if variable.startswith("log:") else variable


def merge(partials: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One partial for all of them, the same in any order and grouping; sums of fractions to the last bits.

    `now` becomes the latest. A segment or column that a partition did not measure counts as empty there.
    ValueError where there is nothing to merge or a partial has another schema.
    """
    merged: Partial | None = None
    for partial in partials:
        read = from_json(partial)
        merged = read if merged is None else joined(merged, read)
    if merged is None:
        raise ValueError("no partial to merge")
    return to_json(merged)


def joined(one: Partial, other: Partial) -> Partial:
    """Both partials in one, as `merge` does with those that are JSON: for whoever folds many, one after the other."""
    segments = one.segments
    if one.segments != other.segments:
        segments = tuple(sorted({*one.segments, *other.segments}))
        one, other = _spread(one, segments), _spread(other, segments)
    none = np.zeros(len(segments) + 1, dtype=np.int64)
    holders = {
        name: one.holders.get(name, none) + other.holders.get(name, none)
        for name in sorted({*one.holders, *other.holders})
    }
    tables, moments, extremes = {**one.tables}, {**one.moments}, {**one.extremes}
    for name, table in other.tables.items():
        tables[name] = added(tables[name], table) if name in tables else table
    for name, table in list(tables.items()):
        if name.startswith("lines:") and table.scale is Scale.REGISTER:
            tables.pop(name.replace("lines:", "revenue:"), None)
    for name, moment in other.moments.items():
        if name in moments:
            column = holders_of(name)
            moment = _pooled(moments[name], one.holders[column], moment, other.holders[column])
        moments[name] = moment
    for name, extreme in other.extremes.items():
        if name in extremes:
            lowest = np.fmin(extremes[name].lowest, extreme.lowest)
            extreme = Extremes(lowest, np.fmax(extremes[name].highest, extreme.highest))
        extremes[name] = extreme
    sizes, overlap = one.sizes + other.sizes, one.overlap + other.overlap
    return Partial(max(one.now, other.now), segments, sizes, overlap, holders, tables, moments, extremes)


def _pooled(one: Moments, count: Cells, other: Moments, more: Cells) -> Moments:
    """Moments of both, after Chan, Golub and LeVeque (1979): no difference of large squares."""
    apart = other.sums / np.maximum(more, 1) - one.sums / np.maximum(count, 1)
    squares = one.squares + other.squares + apart**2 * (count * more / np.maximum(count + more, 1))
    return Moments(one.sums + other.sums, squares)


def _spread(partial: Partial, segments: tuple[str, ...]) -> Partial:
    """The same statistics with rows for all `segments`, a superset of its own."""
    rows = np.array([0, *(segments.index(name) + 1 for name in partial.segments)])

    def wider(values: Cells, fill: float = 0) -> Cells:
        spread = np.full((len(segments) + 1, *values.shape[1:]), fill, dtype=values.dtype)
        spread[rows] = values
        return spread

    overlap = np.zeros((len(segments), len(segments)), dtype=np.int64)
    overlap[np.ix_(rows[1:] - 1, rows[1:] - 1)] = partial.overlap
    return Partial(
        partial.now,
        segments,
        wider(partial.sizes),
        overlap,
        {name: wider(counts) for name, counts in partial.holders.items()},
        {name: Table(table.scale, table.keys, wider(table.cells)) for name, table in partial.tables.items()},
        {name: Moments(wider(value.sums), wider(value.squares)) for name, value in partial.moments.items()},
        {
            name: Extremes(wider(value.lowest, np.nan), wider(value.highest, np.nan))
            for name, value in partial.extremes.items()
        },
    )


def to_json(partial: Partial) -> dict[str, Any]:
    """The partial as plain lists, numbers and strings; the large tables are packed."""
    return {
        "schema": SCHEMA,
        "now": str(partial.now),
        "segments": list(partial.segments),
        "sizes": partial.sizes.tolist(),
        "overlap": _pack(partial.overlap),
        "holders": {name: counts.tolist() for name, counts in partial.holders.items()},
        "tables": {
            name: {
                "scale": str(table.scale),
                "keys": table.keys.tolist(),
                "type": (cell_type := _narrowest(table.cells)),
                "cells": _pack(table.cells.astype(cell_type)),
            }
            for name, table in partial.tables.items()
        },
        "moments": {
            name: {"sums": value.sums.tolist(), "squares": value.squares.tolist()}
            for name, value in partial.moments.items()
        },
        "extremes": {
            name: {"lowest": _nullable(value.lowest), "highest": _nullable(value.highest)}
            for name, value in partial.extremes.items()
        },
    }


def from_json(data: Mapping[str, Any]) -> Partial:
    """The partial that `to_json` wrote; ValueError for another schema."""
    if data.get("schema") != SCHEMA:
        raise ValueError(f"statistics of schema {data.get('schema')!r}, expected {SCHEMA}: measure again")
    segments = tuple(data["segments"])
    rows = len(segments) + 1
    tables = {}
    for name, table in data["tables"].items():
        scale = Scale(table["scale"])
        keys = np.array(table["keys"], dtype=_KEY_TYPES.get(scale, np.int64))
        cells = _unpack(table["cells"], table["type"], rows, len(keys))
        tables[name] = Table(scale, keys, cells if table["type"] == "<f8" else cells.astype(np.int64))
    return Partial(
        now=np.datetime64(data["now"], "us"),
        segments=segments,
        sizes=np.array(data["sizes"], dtype=np.int64),
        overlap=_unpack(data["overlap"], "<i8", len(segments), len(segments)),
        holders={name: np.array(counts, dtype=np.int64) for name, counts in data["holders"].items()},
        tables=tables,
        moments={
            name: Moments(np.array(value["sums"], dtype=np.float64), np.array(value["squares"], dtype=np.float64))
            for name, value in data["moments"].items()
        },
        extremes={
            name: Extremes(np.array(value["lowest"], dtype=np.float64), np.array(value["highest"], dtype=np.float64))
            for name, value in data["extremes"].items()
        },
    )


_KEY_TYPES: Mapping[Scale, type[Any]] = {Scale.VALUE: object, Scale.NUMBER: np.float64}


def _nullable(values: Floats) -> list[float | None]:
    """JSON knows no NaN."""
    return [None if np.isnan(value) else value for value in values.tolist()]


def _narrowest(cells: Cells) -> str:
    """The type of cells on their way: most counts of a partition are small."""
    if cells.dtype == np.float64:
        return "<f8"
    return next((narrow for narrow in ("<u2", "<u4") if cells.max(initial=0) <= np.iinfo(narrow).max), "<i8")


def _pack(cells: Cells) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(cells).tobytes(), 1)).decode()


def _unpack(packed: str, cell_type: str, rows: int, columns: int) -> Cells:
    return np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype=cell_type).reshape(rows, columns)
