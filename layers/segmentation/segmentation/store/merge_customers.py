"""Which customers a snapshot has and what their attributes are: adding, removing and changing them, column by column.

It knows snapshots only. Every function returns the very snapshot that it was given where nothing differs.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.store.snapshot import ATTRIBUTE, Snapshot
from segmentation.store.snapshot_columns import (
    INSTANT,
    canonical,
    differs,
    join,
    present,
    single,
)

Positions = NDArray[np.int64]


def positions(snapshot: Snapshot, ids: pa.Array) -> Positions:
    """Row of each id among the snapshot's customers, -1 where it is unknown."""
    found = pc.index_in(ids, value_set=single(snapshot.customers.column("customerId")))
    rows: Positions = found.cast(pa.int64()).fill_null(-1).to_numpy()
    return rows


def with_customers(snapshot: Snapshot, ids: pa.Array, now: np.datetime64) -> Snapshot:
    """The snapshot in which every one of `ids` has a row; new rows have no attributes."""
    known = single(snapshot.customers.column("customerId"))
    ids = single(pc.unique(ids))
    unknown = ids.filter(pc.invert(pc.is_in(ids, value_set=known)))
    if not len(unknown):
        return snapshot
    together = join(known, unknown)
    order = pc.sort_indices(together).to_numpy().astype(np.int64)
    new = order >= len(known)
    customers = snapshot.customers.take(pa.array(order, mask=new)).combine_chunks()
    customers = _put(customers, "customerId", together.take(pa.array(order)))
    for name in ("createdAt", "updatedAt"):
        if name in customers.column_names:
            customers = _put(customers, name, _stamped(customers, name, new, now))
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return replace(
        snapshot,
        customers=customers,
        orders=_moved(snapshot.orders, place),
        events=_moved(snapshot.events, place),
    )


def without_customers(snapshot: Snapshot, rows: Positions) -> Snapshot:
    """The snapshot without the customers at `rows` (-1 stands for nobody), their orders and their events."""
    rows = rows[rows >= 0]
    if not len(rows):
        return snapshot
    keep = np.ones(snapshot.customers.num_rows, dtype=np.bool_)
    keep[rows] = False
    place = (np.cumsum(keep) - 1).astype(np.int32)
    orders = _moved(_kept(snapshot.orders, keep), place)
    numbers = orders.column("order").to_numpy()
    dense = np.cumsum(np.diff(numbers, prepend=numbers[:1]) != 0, dtype=np.int32)
    return replace(
        snapshot,
        customers=snapshot.customers.filter(pa.array(keep)).combine_chunks(),
        orders=_put(orders, "order", pa.array(dense, pa.int32())),
        events=_moved(_kept(snapshot.events, keep), place),
    )


def upsert(snapshot: Snapshot, staged: pa.Table, now: np.datetime64) -> tuple[Snapshot, Positions]:
    """Customers from a file, cell by cell: a blank overwrites nothing, of two cells the one of the later row wins.

    `staged` is sorted by `row` and names known customers only. Returns the snapshot and the rows of customers that
    changed.
    """
    owner = positions(snapshot, single(staged.column("customerId")))
    cells = {}
    for name in (name for name in staged.column_names if name.startswith(ATTRIBUTE)):
        fresh = canonical(name, staged.column(name), _type(snapshot, name))
        filled = np.flatnonzero(present(fresh))
        source = np.full(snapshot.customers.num_rows, -1, dtype=np.int64)
        # Of several assignments to one place the last one stays.
        source[owner[filled]] = filled
        cells[name] = (fresh, source)
    return set_cells(snapshot, cells, now)


def set_cells(
    snapshot: Snapshot, cells: dict[str, tuple[pa.Array, Positions]], now: np.datetime64
) -> tuple[Snapshot, Positions]:
    """Customer n gets, per column, the value `fresh[source[n]]`; where `source[n]` is -1 it keeps what it has.

    Returns the snapshot and the rows of customers that changed; they are stamped with `now`.
    """
    customers = snapshot.customers
    changed = np.zeros(customers.num_rows, dtype=np.bool_)
    for name, (fresh, source) in cells.items():
        touched = np.flatnonzero(source >= 0)
        stored = single(customers.column(name)) if name in customers.column_names else pa.nulls(len(source), fresh.type)
        rows = pa.array(touched)
        different = touched[differs(stored.take(rows), fresh.take(pa.array(source[touched])))]
        if len(different):
            changed[different] = True
            chosen = np.where(source >= 0, len(stored) + source, np.arange(len(stored)))
            customers = _put(customers, name, join(stored, fresh).take(pa.array(chosen)))
    if not changed.any():
        return snapshot, np.empty(0, dtype=np.int64)
    if "updatedAt" in customers.column_names:
        customers = _put(customers, "updatedAt", _stamped(customers, "updatedAt", changed, now))
    return replace(snapshot, customers=customers), np.flatnonzero(changed)


def _type(snapshot: Snapshot, name: str) -> pa.DataType | None:
    return snapshot.customers.schema.field(name).type if name in snapshot.customers.column_names else None


def _stamped(customers: pa.Table, name: str, rows: NDArray[np.bool_], now: np.datetime64) -> pa.Array:
    instant = pa.scalar(int(now.astype("datetime64[us]").astype(np.int64)), pa.int64()).cast(INSTANT)
    return pc.if_else(pa.array(rows), instant, single(customers.column(name)))


def _put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    if name not in table.column_names:
        return table.append_column(name, values)
    return table.set_column(table.column_names.index(name), name, values)


def _kept(table: pa.Table, keep: NDArray[np.bool_]) -> pa.Table:
    return table.filter(pa.array(keep[table.column("customer").to_numpy()])).combine_chunks()


def _moved(table: pa.Table, place: NDArray[np.int32]) -> pa.Table:
    return _put(table, "customer", pa.array(place[table.column("customer").to_numpy()], pa.int32()))
