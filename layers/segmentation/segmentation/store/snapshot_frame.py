"""A snapshot as the engine's frame: Arrow columns become codes and numbers, order lines and events become behaviours.

It computes nothing itself: views of order lines and features come from the engine.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.engine.catalogue import ORDER_FIELDS
from segmentation.engine.features import ADDITIVE, VOID_STATUSES, features, offsets_of, order_views
from segmentation.engine.frame import (
    MISSING,
    BooleanColumn,
    Bools,
    Column,
    DateColumn,
    EventTable,
    Floats,
    Frame,
    GeoColumn,
    Instants,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.store.snapshot import ATTRIBUTE, EXTRA, PROPERTY, Snapshot
from segmentation.store.snapshot_columns import single


def frame(snapshot: Snapshot, now: np.datetime64) -> Frame:
    """All customers of the snapshot at `now` (UTC): attributes and features are columns, orders and events behaviours.

    An attribute `a:country` is the column `country`. Behaviours are `order`, `return`, `void_order`, one per event.
    Columns and events that were not read are not in the frame.
    """
    size = snapshot.customers.num_rows
    lines, void = _lines(snapshot.orders, size), _void(snapshot.orders)
    columns = _columns(snapshot.customers, ATTRIBUTE) | features(lines, void, now, sorted(snapshot.features))
    behaviours = _behaviours(snapshot.events, size) | order_views(lines, void, sorted(snapshot.views))
    ids = tuple(snapshot.customers.column("customerId").to_pylist())
    return Frame(size, columns, behaviours, ids)


def _lines(orders: pa.Table, size: int) -> EventTable:
    columns = _columns(orders, EXTRA)
    columns |= {name: column_of(orders.column(name)) for name in ORDER_FIELDS if name in orders.column_names}
    group = orders.column("order").to_numpy()
    time = _instants(single(orders.column("orderedAt")))
    return EventTable(offsets_of(orders.column("customer").to_numpy(), size), time, columns, group, ADDITIVE)


def _void(orders: pa.Table) -> Bools:
    """Which lines have a status that nobody pays for."""
    status = _strings(single(orders.column("status")))
    if not any(_is_void(value) for value in status.values):
        return np.zeros(len(status.codes), dtype=np.bool_)
    void: Bools = np.array([*map(_is_void, status.values), False])[status.codes]
    return void


def _is_void(status: str) -> bool:
    return status.strip().casefold() in VOID_STATUSES


def _behaviours(events: pa.Table, size: int) -> dict[str, EventTable]:
    if not events.num_rows:
        return {}
    names = _strings(single(events.column("event")))
    owner = events.column("customer").to_numpy()
    time = _instants(single(events.column("occurredAt")))
    # A stable order by event keeps customer and time ascending inside each.
    order = np.argsort(names.codes, kind="stable")
    bounds = np.searchsorted(names.codes[order], np.arange(len(names.values) + 1))
    columns = _columns(events, PROPERTY)
    tables = {}
    for code, name in enumerate(names.values):
        rows = order[bounds[code] : bounds[code + 1]]
        if len(rows):
            taken = {field: column.take(rows) for field, column in columns.items()}
            tables[name] = EventTable(offsets_of(owner[rows], size), time[rows], taken)
    return tables


def _columns(table: pa.Table, prefix: str) -> dict[str, Column]:
    return {
        name.removeprefix(prefix): column_of(table.column(name))
        for name in table.column_names
        if name.startswith(prefix)
    }


def column_of(chunked: pa.ChunkedArray) -> Column:
    """An Arrow column as the engine has it."""
    array = single(chunked)
    if pa.types.is_dictionary(array.type) or pa.types.is_string(array.type):
        return _strings(array)
    if pa.types.is_floating(array.type):
        return NumberColumn(_floats(array))
    if pa.types.is_timestamp(array.type):
        return DateColumn(_instants(array))
    if pa.types.is_boolean(array.type):
        return BooleanColumn(array.cast(pa.int8()).fill_null(MISSING).to_numpy())
    if pa.types.is_list(array.type):
        return _lists(array)
    latitude, longitude = array.flatten()
    return GeoColumn(_floats(latitude), _floats(longitude))


def _strings(array: pa.Array) -> StringColumn:
    """Codes and values; values are distinct and in NFC, as the engine compares them."""
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes: NDArray[np.int32] = array.indices.fill_null(MISSING).to_numpy()
    normal = pc.utf8_normalize(array.dictionary, form="NFC")
    if not normal.equals(array.dictionary):
        merged = normal.dictionary_encode()
        codes = np.append(merged.indices.to_numpy(), np.int32(MISSING))[codes]
        normal = merged.dictionary
    return StringColumn(codes, tuple(normal.to_pylist()))


def _floats(array: pa.Array) -> Floats:
    values: Floats = array.fill_null(np.nan).to_numpy()
    return values


def _instants(array: pa.Array) -> Instants:
    return array.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy().view("datetime64[us]")  # type: ignore[no-any-return]


def _lists(array: pa.Array) -> ListColumn:
    absent: Bools = array.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(array).fill_null(0).to_numpy()
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    elements = array.flatten()
    known = np.concatenate(([0], np.cumsum(elements.is_valid().to_numpy(zero_copy_only=False), dtype=np.int64)))
    column = _strings(elements.drop_null())
    return ListColumn(known[offsets], column.codes, column.values, absent)
