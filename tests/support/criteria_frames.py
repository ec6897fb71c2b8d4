"""Columns and events of a frame from plain Python values, None for missing."""

import unicodedata
from datetime import UTC, datetime
from typing import Any

import numpy as np

from segmentation.engine.frame import (
    BooleanColumn,
    DateColumn,
    EventTable,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)


def micros(moment: datetime | str | None) -> np.datetime64:
    """An instant in UTC, given as such or in ISO 8601."""
    if moment is None:
        return np.datetime64("NaT", "us")
    instant = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(instant, "us")


def strings(found: list[str | None]) -> StringColumn:
    values = tuple(sorted({unicodedata.normalize("NFC", text) for text in found if text is not None}))
    codes = [-1 if text is None else values.index(unicodedata.normalize("NFC", text)) for text in found]
    return StringColumn(np.array(codes, dtype=np.int32), values)


def numbers(found: list[float | None]) -> NumberColumn:
    return NumberColumn(np.array([np.nan if number is None else number for number in found], dtype=np.float64))


def dates(found: list[datetime | str | None]) -> DateColumn:
    return DateColumn(np.array([micros(moment) for moment in found], dtype="datetime64[us]"))


def lists(found: list[list[str] | None]) -> ListColumn:
    values = tuple(sorted({text for row in found for text in row or ()}))
    codes = [values.index(text) for row in found for text in row or ()]
    offsets = np.cumsum([0] + [len(row or ()) for row in found]).astype(np.int64)
    return ListColumn(offsets, np.array(codes, dtype=np.int32), values, np.array([row is None for row in found]))


def booleans(found: list[bool | None]) -> BooleanColumn:
    return BooleanColumn(np.array([-1 if value is None else int(value) for value in found], dtype=np.int8))


def places(found: list[tuple[float, float] | None]) -> GeoColumn:
    pairs = np.array([(np.nan, np.nan) if place is None else place for place in found], dtype=np.float64)
    return GeoColumn(pairs[:, 0].copy(), pairs[:, 1].copy())


def table(rows: list[list[dict[str, Any]]], columns: dict[str, Any], grouped: bool = False) -> EventTable:
    """Rows per customer as an event: each with `time`, the values of the columns, and `group` where grouped."""
    flat = [row for own in rows for row in own]
    offsets = np.cumsum([0] + [len(own) for own in rows]).astype(np.int64)
    time = np.array([micros(row["time"]) for row in flat], dtype="datetime64[us]")
    made = {name: build([row[name] for row in flat]) for name, build in columns.items()}
    group = np.array([row["group"] for row in flat], dtype=np.int32) if grouped else None
    return EventTable(offsets, time, made, group, frozenset({"amount"}) if grouped else frozenset())
