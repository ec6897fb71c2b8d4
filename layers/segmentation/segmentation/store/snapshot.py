"""The snapshot of one partition: customers, order lines and events as immutable Parquet files; reading and writing.

It knows the files' layout. It must not know imports, the table, or what a rule is.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segmentation.engine.catalogue import FEATURES, ORDER_EVENTS, ORDER_FIELDS
from segmentation.engine.features import FEATURE_FIELDS
from segmentation.store import keys
from segmentation.store.files import Files, RangeFile
from segmentation.store.parquet_ranges import read_groups
from segmentation.store.snapshot_columns import INSTANT, TEXT, plain

CUSTOMER_SCHEMA = pa.schema([("customerId", pa.string()), ("createdAt", INSTANT), ("updatedAt", INSTANT)])
ORDER_SCHEMA = pa.schema(
    [
        ("customer", pa.int32()),
        ("order", pa.int32()),
        ("orderId", pa.string()),
        ("orderedAt", INSTANT),
        ("amount", pa.float64()),
        ("quantity", pa.float64()),
        ("unitPrice", pa.float64()),
        ("sku", TEXT),
        ("category", TEXT),
        ("channel", TEXT),
        ("currency", TEXT),
        ("status", TEXT),
    ]
)
EVENT_SCHEMA = pa.schema([("customer", pa.int32()), ("event", TEXT), ("occurredAt", INSTANT), ("eventId", pa.string())])

ATTRIBUTE, EXTRA, PROPERTY = "a:", "x:", "p:"
"""How the columns begin that files bring: attributes of customers, further fields of lines, properties of events."""

ROWS_PER_GROUP = {"customers": 16_384, "orders": 65_536, "events": 65_536}
PLAIN_TEXT = {"customerId", "orderId", "eventId"}
"""Texts that hardly repeat: a dictionary of them costs more than it saves."""

_LINE_COLUMNS = ("customer", "order", "orderedAt", "amount", "status")
"""What tells purchases, returns and void lines apart, and most features."""

_SORTED_INTEGERS = ("customer", "order", "orderedAt", "occurredAt")


@dataclass(frozen=True)
class Pointer:
    """The current snapshot of a partition: its version and the rows of its three files."""

    partition: int
    version: str
    customers: int
    orders: int
    events: int


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Arrow tables in the layout of the files, each column one chunk.

    `features` and `views` of the orders are those that the columns at hand can answer. A `partial` snapshot lacks
    columns or rows and is never written.
    """

    customers: pa.Table = field(default_factory=CUSTOMER_SCHEMA.empty_table)
    orders: pa.Table = field(default_factory=ORDER_SCHEMA.empty_table)
    events: pa.Table = field(default_factory=EVENT_SCHEMA.empty_table)
    features: frozenset[str] = frozenset(FEATURES)
    views: frozenset[str] = frozenset(ORDER_EVENTS)
    partial: bool = False


@dataclass(frozen=True)
class _Columns:
    """What to read of each file; None is everything, an empty tuple nothing."""

    customers: Sequence[str] | None
    orders: Sequence[str] | None
    events: Sequence[str] | None
    event_names: frozenset[str] | None
    features: frozenset[str]
    views: frozenset[str]


def read(
    files: Files,
    pointer: Pointer | None,
    *,
    attributes: Collection[str] | None = None,
    events: Mapping[str, Collection[str]] | None = None,
) -> Snapshot:
    """The snapshot with the columns that are needed; no pointer is an empty partition.

    `attributes` are names of attributes and features, `events` the behaviours with the fields used of each; None is
    all of them.
    """
    wanted = _columns(attributes, events)
    if pointer is None:
        return Snapshot(features=wanted.features, views=wanted.views)
    customers = _read_all(files, pointer, "customers", pointer.customers, wanted.customers, CUSTOMER_SCHEMA)
    orders = _read_all(files, pointer, "orders", pointer.orders, wanted.orders, ORDER_SCHEMA)
    behaviours = _read_all(files, pointer, "events", pointer.events, wanted.events, EVENT_SCHEMA)
    partial = attributes is not None or events is not None
    return Snapshot(customers, orders, _only(behaviours, wanted.event_names), wanted.features, wanted.views, partial)


def read_customers(
    files: Files,
    pointer: Pointer | None,
    ids: Collection[str],
    *,
    attributes: Collection[str] | None = None,
    events: Mapping[str, Collection[str]] | None = None,
) -> Snapshot:
    """The part of the snapshot that belongs to the customers `ids`; ids that it does not hold are left out.

    Fetches only the row groups whose statistics can hold them.
    """
    wanted = _columns(attributes, events)
    if pointer is None or not pointer.customers or not ids:
        return Snapshot(features=wanted.features, views=wanted.views, partial=True)
    customers, rows = _find(files, pointer, sorted(set(ids)), wanted.customers)
    orders = _read_rows(files, pointer, "orders", pointer.orders, wanted.orders, ORDER_SCHEMA, rows)
    behaviours = _read_rows(files, pointer, "events", pointer.events, wanted.events, EVENT_SCHEMA, rows)
    return Snapshot(
        customers, orders, _only(behaviours, wanted.event_names), wanted.features, wanted.views, partial=True
    )


def write(files: Files, partition: int, version: str, snapshot: Snapshot) -> Pointer:
    """Write a whole snapshot under a version that no reader knows yet.

    Equal snapshots give equal bytes; a table without rows has no file. Raises ValueError for a snapshot that was read
    in part.
    """
    if snapshot.partial:
        raise ValueError(f"the snapshot of partition {partition} was read in part: writing it would lose the rest")
    for dataset in ("customers", "orders", "events"):
        table = getattr(snapshot, dataset)
        if table.num_rows:
            with files.put_stream(keys.snapshot_file(partition, version, dataset)) as sink:
                _write_table(table, sink, ROWS_PER_GROUP[dataset])
    rows = (snapshot.customers.num_rows, snapshot.orders.num_rows, snapshot.events.num_rows)
    return Pointer(partition, version, *rows)


def _write_table(table: pa.Table, sink: Any, rows_per_group: int) -> None:
    # The writer builds dictionaries anew: one that was filtered still holds the values of erased people.
    table = pa.table({name: plain(table.column(name)) for name in table.column_names})
    ascending = [name for name in _SORTED_INTEGERS if name in table.column_names]
    unique = PLAIN_TEXT & set(table.column_names)
    pq.write_table(
        table,
        sink,
        row_group_size=rows_per_group,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in table.column_names if name not in unique and name not in ascending],
        column_encoding=dict.fromkeys(ascending, "DELTA_BINARY_PACKED"),
        write_statistics=True,
    )


def _columns(attributes: Collection[str] | None, events: Mapping[str, Collection[str]] | None) -> _Columns:
    features = frozenset(FEATURES if attributes is None else FEATURES.keys() & set(attributes))
    customers = None
    if attributes is not None:
        customers = ["customerId", *sorted(ATTRIBUTE + name for name in set(attributes) - FEATURES.keys())]
    if events is None:
        return _Columns(customers, None, None, None, features, frozenset(ORDER_EVENTS))
    lines: list[str] = []
    views = frozenset(events.keys() & set(ORDER_EVENTS))
    if features or views:
        fields = {name for event in ORDER_EVENTS for name in events.get(event, ())}
        fields |= {FEATURE_FIELDS[name] for name in features if name in FEATURE_FIELDS}
        known = {name if name in ORDER_FIELDS else EXTRA + name for name in fields}
        lines = [*_LINE_COLUMNS, *sorted(known - set(_LINE_COLUMNS))]
    behaviours = frozenset(events.keys() - set(ORDER_EVENTS))
    properties: list[str] = []
    if behaviours:
        fields = {name for event in behaviours for name in events[event]}
        properties = ["customer", "event", "occurredAt", *sorted(PROPERTY + name for name in fields)]
    return _Columns(customers, lines, properties, behaviours, features, views)


def _read_all(
    files: Files, pointer: Pointer, dataset: str, rows: int, columns: Sequence[str] | None, schema: pa.Schema
) -> pa.Table:
    if not rows or (columns is not None and not columns):
        return schema.empty_table()
    source, metadata = _open(files, pointer, dataset)
    return read_groups(source, metadata, range(metadata.num_row_groups), columns, _encoded(metadata))


def _read_rows(
    files: Files,
    pointer: Pointer,
    dataset: str,
    rows: int,
    columns: Sequence[str] | None,
    schema: pa.Schema,
    customers: NDArray[np.int64],
) -> pa.Table:
    """The rows of the customers at the ascending positions `customers`, which become 0, 1, 2 ..."""
    if not rows or not len(customers) or (columns is not None and not columns):
        return schema.empty_table()
    source, metadata = _open(files, pointer, dataset)
    table = read_groups(source, metadata, _candidates(metadata, customers.tolist()), columns, _encoded(metadata))
    owner = table.column("customer").to_numpy()
    place = np.minimum(np.searchsorted(customers, owner), len(customers) - 1)
    mine = customers[place] == owner
    table = table.filter(pa.array(mine)).combine_chunks()
    return table.set_column(0, "customer", pa.array(place[mine], pa.int32()))


def _find(
    files: Files, pointer: Pointer, ids: Sequence[str], columns: Sequence[str] | None
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The customers `ids` (sorted), and their positions in the file."""
    source, metadata = _open(files, pointer, "customers")
    groups = _candidates(metadata, ids)
    table = read_groups(source, metadata, groups, columns, _encoded(metadata))
    found = pc.is_in(table.column("customerId"), value_set=pa.array(ids, pa.string()))
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    begins = np.concatenate(([0], np.cumsum(sizes)))
    positions = [np.arange(begins[group], begins[group + 1]) for group in groups]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *positions])
    return table.filter(found).combine_chunks(), rows[found.to_numpy()]


def _candidates(metadata: pq.FileMetaData, wanted: Sequence[Any]) -> list[int]:
    """Row groups whose key, the first column, can be one of the sorted `wanted`."""
    groups = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(0).statistics
        if statistics is None or not statistics.has_min_max:
            groups.append(group)
            continue
        place = bisect_left(wanted, statistics.min)
        if place < len(wanted) and wanted[place] <= statistics.max:
            groups.append(group)
    return groups


def _open(files: Files, pointer: Pointer, dataset: str) -> tuple[RangeFile, pq.FileMetaData]:
    source = files.open_range(keys.snapshot_file(pointer.partition, pointer.version, dataset))
    return source, pq.read_metadata(source)


def _encoded(metadata: pq.FileMetaData) -> list[str]:
    """Columns whose strings are worth a dictionary in memory."""
    schema = metadata.schema.to_arrow_schema()
    return [column.name for column in schema if pa.types.is_string(column.type) and column.name not in PLAIN_TEXT]


def _only(events: pa.Table, names: frozenset[str] | None) -> pa.Table:
    if names is None or not events.num_rows:
        return events
    wanted = pc.is_in(plain(events.column("event")), value_set=pa.array(sorted(names), pa.string()))
    return events if pc.all(wanted).as_py() else events.filter(wanted).combine_chunks()
