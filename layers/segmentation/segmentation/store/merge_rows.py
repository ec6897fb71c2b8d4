"""Order lines and events of an import taken into a snapshot: orders are replaced whole, known events not taken again.

It knows snapshots and staged tables whose customers the snapshot has already. Rows of customers that an import does not
name are moved, never sorted again.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.errors import InvalidFile
from segmentation.store.event_ids import content_ids
from segmentation.store.merge_customers import positions
from segmentation.store.snapshot import (
    EXTRA,
    PROPERTY,
    Snapshot,
)
from segmentation.store.snapshot_columns import (
    INSTANT,
    canonical,
    differs,
    integers,
    join,
    single,
)

Keys = NDArray[np.int64]
Rows = NDArray[np.int64]


def merge_orders(snapshot: Snapshot, staged: pa.Table) -> tuple[Snapshot, int, int]:
    """Orders of an import, its lines sorted by `row`; an order that the snapshot has is replaced with all its lines.

    Returns the snapshot, how many orders are new, and how many were replaced by other lines.
    """
    _require("orders", staged, ("orderId", "orderedAt"))
    stored = snapshot.orders
    owner = positions(snapshot, single(staged.column("customerId")))
    candidates = _rows_of(stored, owner, snapshot.customers.num_rows)
    ids = [single(stored.column("orderId")).take(pa.array(candidates)), _text(staged, "orderId")]
    stored_keys, keys = _keys([_owners(stored)[candidates], owner], [ids])
    distinct, order = np.unique(keys, return_inverse=True)
    lines = _aligned(staged, stored, EXTRA)
    lines = _put(lines, "customer", pa.array(owner, pa.int32()))
    lines = _put(lines, "orderedAt", _earliest(lines, order, len(distinct)))

    again = np.isin(stored_keys, distinct)
    candidates, stored_order = candidates[again], np.searchsorted(distinct, stored_keys[again])
    known = np.zeros(len(distinct), dtype=np.bool_)
    known[stored_order] = True
    other = _other_orders(stored, candidates, stored_order, lines, order, len(distinct))
    if not other.any():
        return snapshot, 0, 0
    keep = np.ones(stored.num_rows, dtype=np.bool_)
    keep[candidates[other[stored_order]]] = False
    taken = other[order]
    first_number = int(stored.column("order").to_numpy().max(initial=-1)) + 1
    lines = _put(lines, "order", pa.array(first_number + order, pa.int32())).filter(pa.array(taken))
    merged = _inserted(stored.filter(pa.array(keep)), lines, "orderedAt", ("orderId",))
    numbers = merged.column("order").to_numpy()
    dense = np.cumsum(np.diff(numbers, prepend=numbers[:1]) != 0, dtype=np.int32)
    orders = _put(merged, "order", pa.array(dense, pa.int32()))
    return replace(snapshot, orders=orders), int((other & ~known).sum()), int((other & known).sum())


def merge_events(snapshot: Snapshot, staged: pa.Table) -> tuple[Snapshot, int]:
    """Events of an import, sorted by `row`; one that the snapshot has (customer, event, eventId) is not taken again.

    An event without an id has the hash of its content for one. Returns the snapshot and how many events are new.
    """
    _require("events", staged, ("event", "occurredAt"))
    stored = snapshot.events
    owner = positions(snapshot, single(staged.column("customerId")))
    rows = _put(_aligned(staged, stored, PROPERTY), "customer", pa.array(owner, pa.int32()))
    rows = _put(rows, "eventId", _event_ids(rows))
    candidates = _rows_of(stored, owner, snapshot.customers.num_rows)
    texts = [
        [single(stored.column(name)).take(pa.array(candidates)), single(rows.column(name))]
        for name in ("event", "eventId")
    ]
    stored_keys, keys = _keys([_owners(stored)[candidates], owner], texts)
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    fresh = first[~np.isin(keys[first], stored_keys)]
    if not len(fresh):
        return snapshot, 0
    events = _inserted(stored, rows.take(pa.array(fresh)), "occurredAt", ("event", "eventId"))
    return replace(snapshot, events=events), len(fresh)


def _require(dataset: str, staged: pa.Table, names: tuple[str, ...]) -> None:
    for name in names:
        missing = staged.column(name).null_count if name in staged.column_names else staged.num_rows
        if missing:
            raise InvalidFile(f"{missing} of {staged.num_rows} staged {dataset} have no {name}; map a column to it")


def _owners(table: pa.Table) -> NDArray[np.int64]:
    return integers(table.column("customer"))


def _rows_of(table: pa.Table, owners: NDArray[np.int64], customers: int) -> Rows:
    """Rows of the stored table that belong to one of the customers `owners`."""
    wanted = np.zeros(customers, dtype=np.bool_)
    wanted[owners] = True
    return np.flatnonzero(wanted[_owners(table)])


def _text(table: pa.Table, name: str) -> pa.Array:
    return canonical(name, table.column(name), pa.string())


def _keys(owners: list[NDArray[np.int64]], texts: list[list[pa.Array]]) -> tuple[Keys, Keys]:
    """One integer per row of two tables, equal where the owner and all texts are equal."""
    split = len(owners[0])
    keys = np.concatenate(owners)
    for parts in texts:
        codes = _codes(join(*(canonical("id", part, pa.string()) for part in parts)))
        # Ranks instead of products of codes: they cannot overflow, however many texts there are.
        keys = np.unique(keys * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1]
    return keys[:split], keys[split:]


def _codes(texts: pa.Array) -> NDArray[np.int64]:
    return integers(texts.dictionary_encode().indices)


def _aligned(staged: pa.Table, stored: pa.Table, prefix: str) -> pa.Table:
    """The staged rows with the columns of the stored table first, then new ones; what a side lacks is missing."""
    rows = staged.num_rows
    columns: dict[str, Any] = {}
    for name, type_ in zip(stored.schema.names, stored.schema.types, strict=True):
        here = name in staged.column_names and name not in ("customer", "order")
        columns[name] = canonical(name, staged.column(name), type_) if here else pa.nulls(rows, type_)
    for name in staged.column_names:
        if name not in columns and name.startswith(prefix):
            columns[name] = canonical(name, staged.column(name))
    return pa.table(columns)


def _put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _earliest(lines: pa.Table, order: NDArray[np.int64], orders: int) -> pa.Array:
    """Every line gets the earliest instant of its order: an order happens once."""
    instants = integers(lines.column("orderedAt"))
    first = np.full(orders, np.iinfo(np.int64).max)
    np.minimum.at(first, order, instants)
    return pa.array(first[order]).cast(INSTANT)


def _other_orders(
    stored: pa.Table,
    candidates: Rows,
    stored_order: NDArray[np.int64],
    lines: pa.Table,
    order: NDArray[np.int64],
    orders: int,
) -> NDArray[np.bool_]:
    """Which of the import's orders differ from what is stored: other lines, other values, or not stored at all."""
    counts = np.bincount(order, minlength=orders)
    other: NDArray[np.bool_] = np.bincount(stored_order, minlength=orders) != counts
    old = candidates[np.argsort(stored_order, kind="stable")]
    old = old[~other[np.sort(stored_order)]]
    new = np.argsort(order, kind="stable")
    new = new[~other[order[new]]]
    numbers = order[new]
    for name in lines.column_names:
        if name not in ("customer", "order"):
            fresh = single(lines.column(name)).take(pa.array(new))
            if name in stored.column_names:
                before = single(stored.column(name)).take(pa.array(old))
            else:
                before = pa.nulls(len(old), fresh.type)
            other[numbers[differs(before, fresh)]] = True
    return other


def _event_ids(rows: pa.Table) -> pa.Array:
    ids = canonical("eventId", rows.column("eventId"), pa.string())
    if not ids.null_count:
        return ids
    content = {
        name: single(rows.column(name))
        for name in rows.column_names
        if name == "occurredAt" or name.startswith(PROPERTY)
    }
    return pc.coalesce(ids, content_ids(content))


def _inserted(stored: pa.Table, fresh: pa.Table, time: str, texts: tuple[str, ...]) -> pa.Table:
    """Both tables as one, sorted by customer, then `time`, then `texts` by code point; `stored` is sorted already."""
    table = _stacked(stored, fresh)
    owner = _owners(table)
    rows = np.arange(table.num_rows)
    named = np.zeros(int(owner.max(initial=-1)) + 1, dtype=np.bool_)
    named[_owners(fresh)] = True
    moved = named[owner]
    affected = rows[moved]
    part = table.select([time, *texts]).take(pa.array(affected))
    ranks = [_ranks(part.column(name)) for name in reversed(texts)]
    affected = affected[np.lexsort((*ranks, integers(part.column(time)), owner[affected]))]
    # Two ascending runs: the stable sort merges them in one pass.
    both = np.concatenate([rows[~moved], affected])
    both = both[np.argsort(owner[both], kind="stable")]
    return table.take(pa.array(both)).combine_chunks()


def _stacked(stored: pa.Table, fresh: pa.Table) -> pa.Table:
    columns = {}
    for name in fresh.column_names:
        new = single(fresh.column(name))
        old = single(stored.column(name)) if name in stored.column_names else pa.nulls(stored.num_rows, new.type)
        columns[name] = join(old, new)
    return pa.table(columns)


def _ranks(texts: Any) -> NDArray[np.int64]:
    """The place of each text among the distinct ones, by code point."""
    encoded = canonical("id", texts, pa.string()).dictionary_encode()
    ranks = pc.rank(encoded.dictionary).to_numpy()
    return ranks.astype(np.int64)[encoded.indices.to_numpy()]  # type: ignore[no-any-return]
