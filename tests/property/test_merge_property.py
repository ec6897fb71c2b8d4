"""Random sequences of imports and profiles against a model of dictionaries, and laws of merging."""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.store.keys import staged_chunk
from segmentation.store.merge import Staged, merge, take_staged
from segmentation.store.profiles import PendingProfile
from segmentation.store.snapshot import Snapshot, read, read_customers, write
from support.files import MemoryFiles
from support.snapshots import NOW, customers, day, events, orders, staged, table

customer_ids = st.sampled_from(["a", "B", "a#b", "é", "z/ ", "日本", "😀"])
blank = st.none()

customer_rows = st.lists(
    st.fixed_dictionaries(
        {"customerId": customer_ids},
        optional={
            "a:s": blank | st.sampled_from(["", "x", "Ünï", "😀"]),
            "a:n": blank | st.sampled_from([0.0, -1.5, 2.0]),
            "a:b": blank | st.booleans(),
            "a:l": blank | st.lists(st.sampled_from(["p", "q"]), max_size=2),
        },
    ),
    max_size=8,
)
order_rows = st.lists(
    st.fixed_dictionaries(
        {
            "customerId": customer_ids,
            "orderId": st.sampled_from(["1", "2", "é"]),
            "orderedAt": st.integers(0, 3).map(day),
            "amount": st.sampled_from([1.0, -1.0, 0.0]),
        },
        optional={"sku": blank | st.sampled_from(["s", "t"]), "x:note": blank | st.sampled_from(["n", "m"])},
    ),
    max_size=8,
)
event_rows = st.lists(
    st.fixed_dictionaries(
        {
            "customerId": customer_ids,
            "event": st.sampled_from(["view", "open"]),
            "occurredAt": st.integers(0, 3).map(day),
            "eventId": st.sampled_from(["1", "2", "3"]),
        },
        optional={"p:url": blank | st.sampled_from(["/", "/x"])},
    ),
    max_size=8,
)
profiles = st.dictionaries(
    customer_ids,
    st.none()
    | st.fixed_dictionaries({}, optional={"s": st.sampled_from(["x", "y"]), "n": st.sampled_from([2.0, 7.0])}),
    max_size=3,
)
imports = st.one_of(
    customer_rows.map(lambda rows: {"customers": rows}),
    order_rows.map(lambda rows: {"orders": rows}),
    event_rows.map(lambda rows: {"events": rows}),
)
steps = st.lists(st.tuples(imports, profiles), max_size=4)


def kinds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in which a column without any value does not appear: a file tells no kind for it."""
    known = {name for row in rows for name, value in row.items() if value is not None}
    return [{name: value for name, value in row.items() if name in known} for row in rows]


def table_of(step: dict[str, list[dict[str, Any]]]) -> Staged:
    return staged(**{dataset: kinds(rows) for dataset, rows in step.items() if rows})


def pending(written: dict[str, dict[str, Any] | None]) -> list[PendingProfile]:
    return [PendingProfile(customer_id, 1, attributes) for customer_id, attributes in written.items()]


class Model:
    """What a snapshot must hold, kept in dictionaries row by row."""

    def __init__(self) -> None:
        self.customers: dict[str, dict[str, Any]] = {}
        self.orders: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.events: dict[tuple[str, str, str], dict[str, Any]] = {}

    def take(self, step: dict[str, list[dict[str, Any]]], written: dict[str, dict[str, Any] | None]) -> None:
        rows = [self._values(row) for rows in step.values() for row in rows]
        fresh: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            customer_id = row.pop("customerId")
            attributes = self.customers.setdefault(customer_id, {})
            if "orderId" in row:
                fresh.setdefault((customer_id, row.pop("orderId")), []).append(row)
            elif "eventId" in row:
                self.events.setdefault((customer_id, row.pop("event"), row.pop("eventId")), row)
            else:
                attributes |= {name.removeprefix("a:"): value for name, value in row.items()}
        for key, lines in fresh.items():
            first = min(line["orderedAt"] for line in lines)
            self.orders[key] = [line | {"orderedAt": first} for line in lines]
        for customer_id, profile in written.items():
            if profile is None:
                self.customers.pop(customer_id, None)
                self.orders = {key: lines for key, lines in self.orders.items() if key[0] != customer_id}
                self.events = {key: row for key, row in self.events.items() if key[0] != customer_id}
            else:
                self.customers[customer_id] = dict(profile)

    @staticmethod
    def _values(row: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if value is not None}


def contents(snapshot: Snapshot) -> tuple[Any, Any, Any]:
    return customers(snapshot), orders(snapshot), events(snapshot)


def check_layout(snapshot: Snapshot) -> None:
    ids = snapshot.customers.column("customerId").to_pylist()
    assert ids == sorted(set(ids))
    lines = snapshot.orders.select(["customer", "orderedAt", "orderId", "order"]).to_pylist()
    keys = [(line["customer"], line["orderedAt"], line["orderId"]) for line in lines]
    assert keys == sorted(keys)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    assert [line["order"] for line in lines] == [numbers[key] for key in keys]
    names = ["customer", "occurredAt", "event", "eventId"]
    rows = [tuple(row[name] for name in names) for row in snapshot.events.select(names).to_pylist()]
    assert rows == sorted(rows)


@settings(deadline=None, max_examples=120)
@given(steps)
def test_a_snapshot_holds_what_a_model_of_dictionaries_holds(sequence: list[tuple[Any, Any]]) -> None:
    snapshot, model = Snapshot(), Model()
    for step, written in sequence:
        merged = merge(snapshot, table_of(step), pending(written), NOW)
        before = contents(snapshot)
        model.take(step, written)
        assert contents(merged.snapshot) == (model.customers, model.orders, model.events)
        assert merged.changed == (merged.snapshot is not snapshot)
        assert merged.changed or before == contents(merged.snapshot)
        check_layout(merged.snapshot)
        snapshot = merged.snapshot


@settings(deadline=None, max_examples=60)
@given(steps, imports, profiles)
def test_merging_twice_is_merging_once(sequence: list[tuple[Any, Any]], step: Any, written: Any) -> None:
    snapshot = Snapshot()
    for earlier, api in sequence:
        snapshot = merge(snapshot, table_of(earlier), pending(api), NOW).snapshot
    once = merge(snapshot, table_of(step), [], NOW).snapshot
    assert merge(once, table_of(step), [], NOW).snapshot is once
    profiled = merge(once, None, pending(written), NOW).snapshot
    assert merge(profiled, None, pending(written), NOW).snapshot is profiled


@settings(deadline=None, max_examples=60)
@given(order_rows, order_rows)
def test_two_imports_in_either_order_keep_every_order(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    results = []
    for sequence in ((one, other), (other, one)):
        snapshot = Snapshot()
        for rows in sequence:
            snapshot = merge(snapshot, table_of({"orders": rows}), [], NOW).snapshot
        results.append(orders(snapshot))
    assert results[0].keys() == results[1].keys()
    shared = {(row["customerId"], row["orderId"]) for row in one} & {
        (row["customerId"], row["orderId"]) for row in other
    }
    for key in results[0].keys() - shared:
        assert results[0][key] == results[1][key]


@settings(deadline=None, max_examples=60)
@given(st.one_of(customer_rows, order_rows, event_rows), st.integers(0, 8))
def test_the_order_of_the_chunk_files_does_not_matter(rows: list[dict[str, Any]], cut: int) -> None:
    results = []
    for numbers in ((1, 2), (2, 1)):
        files = MemoryFiles()
        for number, first, chunk in zip(numbers, (0, cut), (rows[:cut], rows[cut:]), strict=True):
            if chunk:
                with files.put_stream(staged_chunk("import-1", 3, number)) as sink:
                    pq.write_table(table(chunk, first_row=first + 1), sink)
        results.append(contents(merge(Snapshot(), take_staged(files, "import-1", 3), [], NOW).snapshot))
    model = Model()
    model.take({"rows": [dict(row) for row in rows]}, {})
    assert results == [(model.customers, model.orders, model.events)] * 2


@settings(deadline=None, max_examples=40)
@given(steps, st.sets(customer_ids))
def test_the_files_hold_the_snapshot_and_each_customer_of_it(sequence: list[tuple[Any, Any]], wanted: set[str]) -> None:
    snapshot = Snapshot()
    for step, written in sequence:
        snapshot = merge(snapshot, table_of(step), pending(written), NOW).snapshot
    files = MemoryFiles()
    pointer = write(files, 3, "v1", snapshot)
    assert contents(read(files, pointer)) == contents(snapshot)
    all_customers, all_orders, all_events = contents(snapshot)
    assert contents(read_customers(files, pointer, wanted)) == (
        {key: value for key, value in all_customers.items() if key in wanted},
        {key: value for key, value in all_orders.items() if key[0] in wanted},
        {key: value for key, value in all_events.items() if key[0] in wanted},
    )


@settings(deadline=None, max_examples=40)
@given(event_rows)
def test_events_without_ids_are_taken_once_by_their_content(rows: list[dict[str, Any]]) -> None:
    bare = [{name: value for name, value in row.items() if name != "eventId"} for row in rows]
    step = table_of({"events": bare})
    snapshot = merge(Snapshot(), step, [], NOW).snapshot
    distinct = {tuple(sorted((n, str(v)) for n, v in row.items() if v is not None)) for row in bare}
    assert snapshot.events.num_rows == len(distinct)
    assert merge(snapshot, step, [], NOW + np.timedelta64(1, "D")).snapshot is snapshot
