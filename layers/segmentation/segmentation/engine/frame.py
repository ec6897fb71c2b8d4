"""Customers as columns: what rules, features and analyses compute on.

A frame holds `size` customers; a single customer is a frame of one row. Strings are dictionary-encoded, instants are
`datetime64[us]` in UTC, and every column has one way to say "missing". It must not know where the data came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.catalogue import Kind

Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Instants = NDArray[np.datetime64]
Bools = NDArray[np.bool_]
Offsets = NDArray[np.int64]
Rows = NDArray[np.intp]

MISSING = -1
"""Code of a missing string, truth value of a missing boolean."""


@dataclass(frozen=True, eq=False)
class StringColumn:
    """`codes[n]` point into `values`; -1 is missing. `values` are distinct and NFC, in any order."""

    codes: Codes
    values: tuple[str, ...]

    def take(self, rows: Rows) -> "StringColumn":
        return StringColumn(self.codes[rows], self.values)

    def missing(self) -> Bools:
        return self.codes < 0


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """`values[n]`; NaN is missing, infinities do not occur."""

    values: Floats

    def take(self, rows: Rows) -> "NumberColumn":
        return NumberColumn(self.values[rows])

    def missing(self) -> Bools:
        return np.isnan(self.values)


@dataclass(frozen=True, eq=False)
class DateColumn:
    """`values[n]` as `datetime64[us]` in UTC; NaT is missing."""

    values: Instants

    def take(self, rows: Rows) -> "DateColumn":
        return DateColumn(self.values[rows])

    def missing(self) -> Bools:
        return np.isnat(self.values)


@dataclass(frozen=True, eq=False)
class BooleanColumn:
    """`values[n]` as int8: 1 true, 0 false, -1 missing."""

    values: NDArray[np.int8]

    def take(self, rows: Rows) -> "BooleanColumn":
        return BooleanColumn(self.values[rows])

    def missing(self) -> Bools:
        return self.values < 0


@dataclass(frozen=True, eq=False)
class ListColumn:
    """Row i holds `values[codes[offsets[i]:offsets[i + 1]]]`. An absent list is `absent[i]`, an empty one is not."""

    offsets: Offsets
    codes: Codes
    values: tuple[str, ...]
    absent: Bools

    def take(self, rows: Rows) -> "ListColumn":
        offsets, positions = take_ranges(self.offsets, rows)
        return ListColumn(offsets, self.codes[positions], self.values, self.absent[rows])

    def missing(self) -> Bools:
        return self.absent


@dataclass(frozen=True, eq=False)
class GeoColumn:
    """`latitude[n]`, `longitude[n]` in degrees; NaN in both is missing."""

    latitude: Floats
    longitude: Floats

    def take(self, rows: Rows) -> "GeoColumn":
        return GeoColumn(self.latitude[rows], self.longitude[rows])

    def missing(self) -> Bools:
        return np.isnan(self.latitude)


Column = StringColumn | NumberColumn | DateColumn | BooleanColumn | ListColumn | GeoColumn

KINDS: Mapping[type[Column], Kind] = {
    StringColumn: Kind.STRING,
    NumberColumn: Kind.NUMBER,
    DateColumn: Kind.DATE,
    BooleanColumn: Kind.BOOLEAN,
    ListColumn: Kind.LIST,
    GeoColumn: Kind.GEO,
}
"""What each type of column holds."""


@dataclass(frozen=True, eq=False)
class EventTable:
    """Rows of one behaviour, sorted by customer and then by time.

    Customer i owns rows `offsets[i]:offsets[i + 1]`; `time` is ascending within a customer. Where `group` is given
    (order lines), lines of one group are adjacent and share their instant; `count` then counts groups, and fields named
    in `additive` are summed within a group before avg, min and max.
    """

    offsets: Offsets
    time: Instants
    columns: Mapping[str, Column] = field(default_factory=dict)
    group: Codes | None = None
    additive: frozenset[str] = frozenset()

    def take(self, rows: Rows) -> "EventTable":
        """The events of the customers `rows`, in that order of customers."""
        offsets, positions = take_ranges(self.offsets, rows)
        columns = {name: column.take(positions) for name, column in self.columns.items()}
        group = None if self.group is None else self.group[positions]
        return EventTable(offsets, self.time[positions], columns, group, self.additive)


@dataclass(frozen=True, eq=False)
class Frame:
    """`size` customers: attributes and features in `columns`, behaviours in `events`, ids in `ids` (row order)."""

    size: int
    columns: Mapping[str, Column] = field(default_factory=dict)
    events: Mapping[str, EventTable] = field(default_factory=dict)
    ids: tuple[str, ...] = ()

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {customer_id: row for row, customer_id in enumerate(self.ids)}

    def position(self, customer_id: str) -> int | None:
        """Row of a customer, None if the frame does not hold it."""
        return self._positions.get(customer_id)

    def take(self, rows: Rows) -> "Frame":
        """The customers `rows`, in that order."""
        return Frame(
            size=len(rows),
            columns={name: column.take(rows) for name, column in self.columns.items()},
            events={name: table.take(rows) for name, table in self.events.items()},
            ids=tuple(map(self.ids.__getitem__, rows.tolist())) if self.ids else (),
        )


def take_ranges(offsets: Offsets, rows: Rows) -> tuple[Offsets, NDArray[np.int64]]:
    """Offsets of the chosen ranges laid end to end, and the positions that they cover in the original."""
    lengths = offsets[1:][rows] - offsets[:-1][rows]
    taken = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=taken[1:])
    starts = np.repeat(offsets[:-1][rows] - taken[:-1], lengths)
    return taken, starts + np.arange(taken[-1])
