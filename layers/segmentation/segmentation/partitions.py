"""Customers of one partition as frames: the snapshot with what the API wrote since laid over it."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.engine.catalogue import SCORE_PREFIXES
from segmentation.engine.frame import Frame
from segmentation.errors import NotFound, TooBusy
from segmentation.evaluation import Definitions, FrameAt, StateOf, instant
from segmentation.scoring import Models, inputs, scored
from segmentation.scoring import load as load_models
from segmentation.store import catalogue, customers, keys, memberships, merge, pointers, scorers, snapshot
from segmentation.store.memberships import State
from segmentation.store.snapshot import Pointer, Snapshot
from segmentation.store.snapshot_frame import frame
from segmentation.store.store import Store

_ATTEMPTS = 5


@dataclass(frozen=True)
class Columns:
    """What of the customers is needed: attributes (features included) and, per behaviour, fields.

    None is everything.
    """

    attributes: Collection[str] | None = None
    events: Mapping[str, Collection[str]] | None = None


EVERYTHING = Columns()

NEW = "the rule"
"""Id of a rule that is only tried: no segment can have it, and nobody has decided anything about it."""

_DATE_BEHIND = {"recencyDays": "lastOrderAt", "tenureDays": "firstOrderAt"}
"""A feature that grows with time comes with the date that it is counted from."""


def columns_of(definitions: Definitions) -> Columns:
    """What the rules read."""
    attributes: set[str] = set()
    events: dict[str, set[str]] = {}
    for definition in definitions.values():
        if definition.rule:
            attributes |= set(definition.rule.attributes)
            for event, fields in definition.rule.events.items():
                events.setdefault(event, set()).update(fields)
    attributes |= {_DATE_BEHIND[name] for name in attributes & _DATE_BEHIND.keys()}
    return Columns(attributes, events)


def load(
    store: Store,
    partition: int,
    now: datetime,
    *,
    attributes: Collection[str] | None = None,
    events: Mapping[str, Collection[str]] | None = None,
) -> Frame:
    """All customers of a partition as they are now."""
    return load_at(store, partition, Columns(attributes, events))(instant(now))


def load_at(store: Store, partition: int, columns: Columns) -> FrameAt:
    """All customers of a partition, as frames for any instant."""
    columns, models = _with_models(store, columns)
    return frame_at(_read(store, partition, columns), models)


def each(store: Store, columns: Columns) -> Iterator[tuple[int, FrameAt]]:
    """Every partition in turn, the next one being fetched while this one is computed on."""
    columns, models = _with_models(store, columns)
    with ThreadPoolExecutor(max_workers=1) as ahead:
        fetched = ahead.submit(_read, store, 0, columns)
        for partition in range(store.partitions):
            current = fetched.result()
            if partition + 1 < store.partitions:
                fetched = ahead.submit(_read, store, partition + 1, columns)
            yield partition, frame_at(current, models)


def decisions(store: Store, definitions: Definitions, partition: int) -> StateOf:
    """What people decided in a partition, by segment; a paused segment comes with its members, which stay."""

    def state_of(segment_id: str) -> State:
        if segment_id == NEW:
            return State()
        if definitions[segment_id].paused:
            return memberships.state_of_partition(store.table, segment_id, partition)
        return memberships.decisions_of_partition(store.table, segment_id, partition)

    return state_of


def frame_at(read: Snapshot, models: Models = ()) -> FrameAt:
    """Frames of the same customers for any instant, with the scores of these models, each made once."""
    made: dict[np.datetime64, Frame] = {}

    def at(now: np.datetime64) -> Frame:
        if now not in made:
            made[now] = scored(frame(read, now), models, now)
        return made[now]

    return at


def load_customers(store: Store, ids: Collection[str], columns: Columns = EVERYTHING) -> FrameAt:
    """Single customers, in order of their partitions; unknown ids are left out."""
    columns, models = _with_models(store, columns)
    by_partition: dict[int, list[str]] = {}
    for customer_id in ids:
        by_partition.setdefault(keys.partition_of(customer_id, store.partitions), []).append(customer_id)
    written = {profile.customer_id: profile for profile in customers.of_customers(store.table, ids)}
    known = pointers.get(store.table, by_partition.keys(), store.partitions)

    def read(partition: int) -> Snapshot:
        wanted = by_partition[partition]
        part = _following(
            store,
            partition,
            lambda pointer: snapshot.read_customers(
                store.files, pointer, wanted, attributes=columns.attributes, events=columns.events
            ),
            known.get(partition),
        )
        return merge.overlay(part, [written[customer_id] for customer_id in wanted if customer_id in written], _now())

    with ThreadPoolExecutor(max_workers=8) as pool:
        parts = list(pool.map(read, sorted(by_partition)))
    return frame_at(_joined(parts), models)


def read(store: Store, partition: int) -> Snapshot:
    """Everything of a partition's customers as it is now."""
    return _read(store, partition, EVERYTHING)


def _with_models(store: Store, columns: Columns) -> tuple[Columns, Models]:
    """The models behind the scores among these columns, and the columns with what the models read instead of them."""
    names = columns.attributes
    if names is not None and not any(name.startswith(SCORE_PREFIXES) for name in names):
        return columns, ()
    items = catalogue.items(store.table)
    found = scorers.usable(items, catalogue.from_items(items).attributes)
    if names is None:
        return columns, load_models(store.files, found)
    found = scorers.needed(found, names)
    attributes, needs_orders = inputs(found, names)
    events = columns.events
    if needs_orders and events is not None:
        events = {**events, "order": {*events.get("order", ()), "amount"}}
    return Columns(attributes, events), load_models(store.files, found)


def _read(store: Store, partition: int, columns: Columns) -> Snapshot:
    read = _following(
        store,
        partition,
        lambda pointer: snapshot.read(store.files, pointer, attributes=columns.attributes, events=columns.events),
        current(store, partition),
    )
    return merge.overlay(read, customers.of_partition(store.table, partition), _now())


def _following(
    store: Store, partition: int, read: Callable[[Pointer | None], Snapshot], pointer: Pointer | None
) -> Snapshot:
    """What `read` finds under the pointer.

    Where the version that it names was cleared away meanwhile, the pointer is read again.
    """
    for _ in range(_ATTEMPTS):
        try:
            return read(pointer)
        except NotFound:
            moved = current(store, partition)
            if moved == pointer:
                raise
            pointer = moved
    raise TooBusy(f"partition {partition} is being changed all the time; try again")


def _joined(parts: Sequence[Snapshot]) -> Snapshot:
    """Parts of several partitions as one: rows and order numbers count on from part to part."""
    if len(parts) < 2:
        return parts[0] if parts else Snapshot(partial=True)
    shifted: dict[str, list[pa.Table]] = {"customers": [], "orders": [], "events": []}
    rows = orders = 0
    for part in parts:
        shifted["customers"].append(part.customers)
        shifted["orders"].append(_shifted(_shifted(part.orders, "customer", rows), "order", orders))
        shifted["events"].append(_shifted(part.events, "customer", rows))
        rows += part.customers.num_rows
        orders += (pc.max(part.orders.column("order")).as_py() or 0) + 1 if part.orders.num_rows else 0
    tables = {
        name: pa.concat_tables(tables, promote_options="permissive").unify_dictionaries().combine_chunks()
        for name, tables in shifted.items()
    }
    return Snapshot(**tables, features=parts[0].features, views=parts[0].views, partial=True)


def _shifted(table: pa.Table, name: str, by: int) -> pa.Table:
    moved = pc.add(table.column(name), pa.scalar(by, pa.int32()))
    return table.set_column(table.column_names.index(name), name, moved)


def _now() -> np.datetime64:
    """Stamp of a merge in memory: nothing that is computed reads it."""
    return instant(datetime.now(UTC))


def current(store: Store, partition: int) -> Pointer | None:
    """The partition's pointer, None if it holds nothing yet."""
    return pointers.get(store.table, [partition], store.partitions).get(partition)
