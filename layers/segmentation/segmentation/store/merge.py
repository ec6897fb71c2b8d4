"""What was staged and what the API wrote, taken into the snapshot of one partition.

It decides what wins; how rows and cells move stands beside it. Readers overlay pending profiles by the same code. It
must not know the table or who calls.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidInput
from segmentation.store import keys
from segmentation.store.files import Files
from segmentation.store.merge_customers import (
    Positions,
    positions,
    set_cells,
    upsert,
    with_customers,
    without_customers,
)
from segmentation.store.merge_rows import merge_events, merge_orders
from segmentation.store.profiles import AttributeValue, PendingProfile
from segmentation.store.snapshot import (
    ATTRIBUTE,
    EVENT_SCHEMA,
    ORDER_SCHEMA,
    PLAIN_TEXT,
    Snapshot,
)
from segmentation.store.snapshot_columns import TYPES, canonical, kind_of, single

_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (str, Kind.STRING),
    (bool, Kind.BOOLEAN),
    ((int, float, Decimal), Kind.NUMBER),
    (datetime, Kind.DATE),
    ((list, tuple), Kind.LIST),
    (Mapping, Kind.GEO),
)


@dataclass(frozen=True, eq=False)
class Staged:
    """Accepted rows of one import job for this partition: `customerId`, `row` and the dataset's columns.

    `received_at` (aware) is when the file was dropped.
    """

    customers: pa.Table | None = None
    orders: pa.Table | None = None
    events: pa.Table | None = None
    received_at: datetime | None = None


@dataclass(frozen=True)
class Counts:
    """What a merge changed."""

    customers_created: int = 0
    customers_updated: int = 0
    customers_erased: int = 0
    orders_added: int = 0
    orders_replaced: int = 0
    events_added: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Merged:
    """The snapshot after a merge; the very one that went in where nothing `changed`."""

    snapshot: Snapshot
    changed: bool
    counts: Counts


def take_staged(files: Files, job_id: str, partition: int, received_at: datetime | None = None) -> Staged:
    """All staged chunks of a job for one partition, each dataset as one table sorted by `row`."""
    parts: dict[str, list[pa.Table]] = {"customers": [], "orders": [], "events": []}
    for key in files.list(keys.staged_prefix(job_id, partition)):
        table = pq.read_table(pa.BufferReader(files.get(key)))
        dataset = _dataset(table)
        if dataset:
            parts[dataset].append(table)
    tables = {dataset: _stacked(chunks) for dataset, chunks in parts.items() if chunks}
    return Staged(**tables, received_at=received_at)


def merge(snapshot: Snapshot, staged: Staged | None, pending: Sequence[PendingProfile], now: np.datetime64) -> Merged:
    """The snapshot with an import and the API's profiles taken in.

    Customers change by cell: a blank overwrites nothing, a later row wins. Orders are replaced whole by (customerId,
    orderId). Events are taken once by (customerId, event, eventId). A pending profile replaces all attributes, or
    removes the customer with all rows; one older than the file goes first. `now` (UTC) stamps created and changed
    customers.
    """
    earlier, later = _by_age(pending, staged)
    merged = _with_profiles(snapshot, earlier, now)
    counts = merged.counts
    if staged is not None:
        step = _with_staged(merged.snapshot, staged, now)
        merged, counts = step, counts + step.counts
    step = _with_profiles(merged.snapshot, later, now)
    return Merged(step.snapshot, step.snapshot is not snapshot, counts + step.counts)


def overlay(snapshot: Snapshot, pending: Sequence[PendingProfile], now: np.datetime64) -> Snapshot:
    """The snapshot as a reader must see it: with what the API wrote since the last merge."""
    return merge(snapshot, None, pending, now).snapshot


def _dataset(table: pa.Table) -> str | None:
    names = set(table.column_names)
    if "segmentId" in names:
        return None
    if "orderId" in names:
        return "orders"
    return "events" if "occurredAt" in names else "customers"


def _stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """Chunk tables as one; a column that a chunk lacks is missing there."""
    types: dict[str, pa.DataType] = {"row": pa.int64()} | {name: pa.string() for name in PLAIN_TEXT}
    types |= {field.name: field.type for schema in (ORDER_SCHEMA, EVENT_SCHEMA) for field in schema}
    for field in (field for table in tables for field in table.schema):
        kind = kind_of(field.type)
        if kind and field.name not in types:
            types[field.name] = TYPES[kind]
    names = dict.fromkeys(name for table in tables for name in table.column_names if name in types)
    columns = {
        name: pa.chunked_array([_part(table, name, types[name]) for table in tables]).combine_chunks() for name in names
    }
    return pa.table(columns).sort_by("row").combine_chunks()


def _part(table: pa.Table, name: str, type_: pa.DataType) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, type_)
    return canonical(name, table.column(name), type_)


def _by_age(
    pending: Sequence[PendingProfile], staged: Staged | None
) -> tuple[list[PendingProfile], list[PendingProfile]]:
    """Profiles older than the staged file, and the others."""
    received = staged.received_at if staged else None
    earlier = [p for p in pending if received is not None and p.updated_at is not None and p.updated_at < received]
    older = {id(profile) for profile in earlier}
    return earlier, [profile for profile in pending if id(profile) not in older]


def _with_staged(start: Snapshot, staged: Staged, now: np.datetime64) -> Merged:
    snapshot = start
    tables = [
        table for table in (staged.customers, staged.orders, staged.events) if table is not None and table.num_rows
    ]
    for table in tables:
        snapshot = with_customers(snapshot, canonical("customerId", table.column("customerId"), pa.string()), now)
    counts = Counts(customers_created=snapshot.customers.num_rows - start.customers.num_rows)
    for table in tables:
        if table is staged.customers:
            snapshot, rows = upsert(snapshot, table, now)
            counts += Counts(customers_updated=_known(start, snapshot, rows))
        elif table is staged.orders:
            snapshot, added, replaced = merge_orders(snapshot, table)
            counts += Counts(orders_added=added, orders_replaced=replaced)
        else:
            snapshot, events = merge_events(snapshot, table)
            counts += Counts(events_added=events)
    return Merged(snapshot, snapshot is not start, counts)


def _with_profiles(start: Snapshot, pending: Iterable[PendingProfile], now: np.datetime64) -> Merged:
    latest = {profile.customer_id: profile.attributes for profile in pending}
    if not latest:
        return Merged(start, False, Counts())
    erased = [customer_id for customer_id, attributes in latest.items() if attributes is None]
    profiles = {customer_id: attributes for customer_id, attributes in latest.items() if attributes is not None}
    left = without_customers(start, positions(start, pa.array(erased, pa.string())))
    ids = pa.array(list(profiles), pa.string())
    snapshot = with_customers(left, ids, now)
    created = snapshot.customers.num_rows - left.customers.num_rows
    snapshot, rows = _replaced(snapshot, ids, list(profiles.values()), now)
    gone = start.customers.num_rows - left.customers.num_rows
    return Merged(snapshot, snapshot is not start, Counts(created, _known(left, snapshot, rows), gone))


def _known(before: Snapshot, after: Snapshot, rows: Positions) -> int:
    """How many of the rows of `after` are customers that `before` had."""
    ids = single(after.customers.column("customerId")).take(pa.array(rows))
    return int((positions(before, ids) >= 0).sum())


def _replaced(
    snapshot: Snapshot, ids: pa.Array, profiles: Sequence[Mapping[str, AttributeValue]], now: np.datetime64
) -> tuple[Snapshot, Positions]:
    """The attributes of the customers `ids`, all of them, become those of `profiles`."""
    source = np.full(snapshot.customers.num_rows, -1, dtype=np.int64)
    source[positions(snapshot, ids)] = np.arange(len(profiles))
    stored = {
        field.name.removeprefix(ATTRIBUTE): field.type
        for field in snapshot.customers.schema
        if field.name.startswith(ATTRIBUTE)
    }
    names = dict.fromkeys([*stored, *(name for profile in profiles for name in profile)])
    cells = {}
    for name in names if profiles else ():
        values = [profile.get(name) for profile in profiles]
        cells[ATTRIBUTE + name] = (_array(name, values, stored.get(name)), source)
    return set_cells(snapshot, cells, now)


def _array(name: str, values: Sequence[AttributeValue], stored: pa.DataType | None) -> pa.Array:
    """The values of one attribute as a column. Raises InvalidInput for a value of another kind than the stored ones."""
    kind = kind_of(stored) if stored is not None else None
    for value in values:
        found = _kind(name, value)
        if found is not None and found is not (kind := kind or found):
            raise InvalidInput(f"attribute {name!r} holds {kind} values; {value!r} is {found}")
    if kind is None:
        return pa.nulls(len(values), TYPES[Kind.STRING])
    plain: list[Any] = list(values)
    if kind is Kind.NUMBER:
        plain = [None if value is None else float(value) for value in plain]
    if kind is Kind.GEO:
        plain = [None if value is None else {"lat": value["latitude"], "lon": value["longitude"]} for value in plain]
    target = pa.string() if kind is Kind.STRING else TYPES[kind]
    return canonical(name, pa.array(plain, target), TYPES[kind])


def _kind(name: str, value: AttributeValue) -> Kind | None:
    if value is None:
        return None
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind
    raise InvalidInput(f"attribute {name!r} has the value {value!r}, which no kind of attribute can hold")
