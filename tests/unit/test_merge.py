"""What a merge of staged rows and pending profiles makes of a snapshot, by small shops."""

import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation.errors import InvalidFile, InvalidInput
from segmentation.store import keys
from segmentation.store.merge import Counts, Staged, merge, overlay, take_staged
from segmentation.store.profiles import PendingProfile
from segmentation.store.snapshot import Snapshot, read, write
from support.files import MemoryFiles
from support.snapshots import NOW, customers, day, events, orders, staged, table

LATER = NOW + np.timedelta64(1, "h")


def after(*steps: Staged, start: Snapshot | None = None) -> Snapshot:
    snapshot = start or Snapshot()
    for step in steps:
        snapshot = merge(snapshot, step, [], NOW).snapshot
    return snapshot


def line(customer_id: str, order_id: str, at: float, amount: float, **more: Any) -> dict[str, Any]:
    return {"customerId": customer_id, "orderId": order_id, "orderedAt": day(at), "amount": amount} | more


def amounts(snapshot: Snapshot) -> dict[tuple[str, str], list[float]]:
    return {key: [row["amount"] for row in lines] for key, lines in orders(snapshot).items()}


# ---------------------------------------------------------------- customers


def test_a_new_customer_is_created_and_a_known_one_changed_by_cell() -> None:
    first = after(staged(customers=[{"customerId": "a", "a:x": "1", "a:y": "2"}]))
    merged = merge(first, staged(customers=[{"customerId": "b", "a:x": "3"}, {"customerId": "a", "a:y": "4"}]), [], NOW)
    assert customers(merged.snapshot) == {"a": {"x": "1", "y": "4"}, "b": {"x": "3"}}
    assert merged.counts == Counts(customers_created=1, customers_updated=1)


def test_a_blank_cell_overwrites_nothing() -> None:
    first = after(staged(customers=[{"customerId": "a", "a:x": "1", "a:tags": ["t"]}]))
    merged = merge(first, staged(customers=[{"customerId": "a", "a:x": None, "a:tags": None, "a:z": None}]), [], NOW)
    assert merged.snapshot is first
    assert not merged.changed


def test_of_two_rows_for_a_customer_the_later_wins_cell_by_cell() -> None:
    rows = [{"customerId": "a", "a:x": "1", "a:y": "1"}, {"customerId": "a", "a:x": "2"}]
    assert customers(after(staged(customers=rows))) == {"a": {"x": "2", "y": "1"}}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("string", "x", "y"),
        ("number", 1.0, 2.0),
        ("date", day(1), day(2)),
        ("boolean", True, False),
        ("list", ["p"], ["p", "q"]),
        ("list", ["p", "q"], ["p", "r"]),
        ("list", ["p"], []),
        ("geo", {"lat": 1.0, "lon": 2.0}, {"lat": 1.0, "lon": 3.0}),
    ],
)
def test_a_cell_of_every_kind_is_replaced_and_the_same_cell_again_is_no_change(name: str, old: Any, new: Any) -> None:
    first = after(staged(customers=[{"customerId": "a", f"a:{name}": old}, {"customerId": "b", f"a:{name}": old}]))
    change = staged(customers=[{"customerId": "a", f"a:{name}": new}])
    merged = merge(first, change, [], NOW)
    assert merged.changed
    assert customers(merged.snapshot) == {"a": {name: new}, "b": {name: old}}
    assert merge(merged.snapshot, change, [], NOW).snapshot is merged.snapshot
    profile = PendingProfile("a", 1, {name: {"latitude": 1.0, "longitude": 3.0} if name == "geo" else new})
    assert merge(merged.snapshot, None, [profile], NOW).snapshot is merged.snapshot


def test_only_changed_customers_are_stamped() -> None:
    first = after(staged(customers=[{"customerId": "a", "a:x": "1"}, {"customerId": "b", "a:x": "1"}]))
    change = staged(customers=[{"customerId": "a", "a:x": "2"}, {"customerId": "b", "a:x": "1"}])
    rows = merge(first, change, [], LATER).snapshot.customers.to_pylist()
    assert [row["updatedAt"] - row["createdAt"] for row in rows] == [timedelta(hours=1), timedelta(0)]


def test_a_column_of_another_kind_than_the_stored_one_is_refused_with_both_kinds() -> None:
    first = after(staged(customers=[{"customerId": "a", "a:zip": "01067"}]))
    with pytest.raises(InvalidFile, match=r"'a:zip' holds number where string"):
        merge(first, staged(customers=[{"customerId": "a", "a:zip": 1067.0}]), [], NOW)


def test_a_new_customer_between_known_ones_moves_their_orders_and_events_along() -> None:
    first = after(
        staged(orders=[line("a", "1", 1, 1.0), line("c", "1", 1, 3.0)]),
        staged(events=[{"customerId": "c", "event": "view", "occurredAt": day(1), "eventId": "e"}]),
    )
    second = after(staged(customers=[{"customerId": "b", "a:x": "1"}]), start=first)
    assert second.customers.column("customerId").to_pylist() == ["a", "b", "c"]
    assert orders(second) == orders(first)
    assert events(second) == events(first)


# ------------------------------------------------------------------- orders


def test_an_order_that_comes_again_is_replaced_with_all_its_lines() -> None:
    first = after(staged(orders=[line("a", "1", 1, 10.0), line("a", "1", 1, 5.0), line("a", "2", 2, 7.0)]))
    merged = merge(first, staged(orders=[line("a", "1", 3, 11.0)]), [], NOW)
    assert amounts(merged.snapshot) == {("a", "2"): [7.0], ("a", "1"): [11.0]}
    assert merged.counts == Counts(orders_replaced=1)


def test_the_same_order_id_of_two_customers_is_two_orders() -> None:
    merged = merge(Snapshot(), staged(orders=[line("a", "1", 1, 1.0), line("b", "1", 1, 2.0)]), [], NOW)
    assert amounts(merged.snapshot) == {("a", "1"): [1.0], ("b", "1"): [2.0]}
    assert merged.counts == Counts(customers_created=2, orders_added=2)


def test_all_lines_of_an_order_carry_its_earliest_instant() -> None:
    rows = [line("a", "1", 5, 1.0), line("b", "1", 9, 1.0), line("a", "1", 2, 2.0), line("a", "1", 7, 3.0)]
    snapshot = after(staged(orders=rows))
    assert {key: {row["orderedAt"] for row in lines} for key, lines in orders(snapshot).items()} == {
        ("a", "1"): {day(2)},
        ("b", "1"): {day(9)},
    }


def test_lines_are_sorted_by_customer_time_and_order_and_numbered_densely() -> None:
    first = after(staged(orders=[line("b", "2", 2, 1.0), line("b", "1", 2, 2.0), line("a", "9", 5, 3.0)]))
    snapshot = after(
        staged(orders=[line("b", "0", 1, 4.0), line("a", "8", 6, 5.0), line("b", "1", 2, 6.0)]), start=first
    )
    assert snapshot.orders.select(["customer", "order", "orderId"]).to_pydict() == {
        "customer": [0, 0, 1, 1, 1],
        "order": [0, 1, 2, 3, 4],
        "orderId": ["9", "8", "0", "1", "2"],
    }


def test_lines_of_one_order_stay_in_the_order_of_the_file() -> None:
    rows = [line("a", "1", 1, amount) for amount in (3.0, 1.0, 2.0)]
    assert amounts(after(staged(orders=rows))) == {("a", "1"): [3.0, 1.0, 2.0]}


def test_the_same_orders_again_change_nothing() -> None:
    rows = [line("a", "1", 1, 10.0, sku="s"), line("a", "1", 3, -5.0), line("b", "2", 2, 7.0, **{"x:note": "n"})]
    first = after(staged(orders=rows))
    merged = merge(first, staged(orders=rows), [], LATER)
    assert merged.snapshot is first
    assert not merged.changed
    assert merged.counts == Counts()


@pytest.mark.parametrize(
    "again",
    [
        [line("a", "1", 1, 10.0), line("a", "1", 1, 5.5)],
        [line("a", "1", 1, 10.0)],
        [line("a", "1", 1, 10.0), line("a", "1", 1, 5.0), line("a", "1", 1, 5.0)],
        [line("a", "1", 0, 10.0), line("a", "1", 1, 5.0)],
        [line("a", "1", 1, 10.0), line("a", "1", 1, 5.0, status="paid")],
        [line("a", "1", 1, 10.0), line("a", "1", 1, 5.0, **{"x:new": 1.0})],
    ],
)
def test_an_order_with_any_difference_is_replaced(again: list[dict[str, Any]]) -> None:
    first = after(staged(orders=[line("a", "1", 1, 10.0), line("a", "1", 1, 5.0), line("a", "2", 1, 1.0)]))
    merged = merge(first, staged(orders=again), [], NOW)
    assert merged.counts == Counts(orders_replaced=1)
    assert amounts(merged.snapshot)[("a", "1")] == [row["amount"] for row in again]


def test_further_fields_of_one_file_are_missing_in_the_orders_of_another() -> None:
    one = staged(orders=[line("a", "1", 1, 1.0, **{"x:gift": "yes"})])
    other = staged(orders=[line("a", "2", 2, 2.0, sku="s", **{"x:weight": 3.0})])
    assert (
        orders(after(one, other))
        == orders(after(other, one))
        == {
            ("a", "1"): [{"orderedAt": day(1), "amount": 1.0, "x:gift": "yes"}],
            ("a", "2"): [{"orderedAt": day(2), "amount": 2.0, "sku": "s", "x:weight": 3.0}],
        }
    )


@pytest.mark.parametrize("name", ["orderId", "orderedAt"])
def test_orders_without_an_id_or_an_instant_are_refused(name: str) -> None:
    with pytest.raises(InvalidFile, match=f"1 of 2 staged orders have no {name}"):
        merge(Snapshot(), staged(orders=[line("a", "1", 1, 1.0), line("a", "2", 1, 1.0) | {name: None}]), [], NOW)


# ------------------------------------------------------------------- events


def event(customer_id: str, name: str, at: float, **more: Any) -> dict[str, Any]:
    return {"customerId": customer_id, "event": name, "occurredAt": day(at)} | more


def test_an_event_is_taken_once_by_customer_name_and_id() -> None:
    rows = [event("a", "view", 1, eventId="e"), event("a", "open", 1, eventId="e"), event("b", "view", 1, eventId="e")]
    first = merge(Snapshot(), staged(events=[*rows, rows[0]]), [], NOW)
    assert first.counts == Counts(customers_created=2, events_added=3)
    again = merge(first.snapshot, staged(events=[*rows, event("a", "view", 2, eventId="f")]), [], NOW)
    assert again.counts == Counts(events_added=1)
    assert set(events(again.snapshot)) == {
        ("a", "view", "e"),
        ("a", "open", "e"),
        ("b", "view", "e"),
        ("a", "view", "f"),
    }


def test_the_same_events_without_ids_change_nothing() -> None:
    rows = [event("a", "view", 1, **{"p:url": "/x"}), event("a", "view", 1, **{"p:url": "/y"}), event("a", "view", 2)]
    first = after(staged(events=rows))
    assert first.events.num_rows == 3
    assert merge(first, staged(events=rows), [], NOW).snapshot is first
    wider = [row | {"p:more": None} for row in rows]
    assert merge(first, staged(events=wider), [], NOW).snapshot is first


def test_events_are_sorted_by_customer_and_time() -> None:
    first = after(staged(events=[event("b", "view", 3), event("b", "view", 1)]))
    snapshot = after(staged(events=[event("b", "open", 2), event("a", "view", 9)]), start=first)
    assert snapshot.events.column("customer").to_pylist() == [0, 1, 1, 1]
    assert snapshot.events.column("occurredAt").to_pylist() == [day(9), day(1), day(2), day(3)]


def test_events_without_a_name_are_refused() -> None:
    with pytest.raises(InvalidFile, match="1 of 1 staged events have no event"):
        merge(Snapshot(), staged(events=[{"customerId": "a", "occurredAt": day(1)}]), [], NOW)


# --------------------------------------------------------- pending profiles


def test_a_pending_profile_replaces_all_attributes() -> None:
    first = after(staged(customers=[{"customerId": "a", "a:x": "1", "a:n": 1.0}, {"customerId": "b", "a:x": "1"}]))
    merged = merge(first, None, [PendingProfile("a", 3, {"x": "2", "vip": True})], NOW)
    assert customers(merged.snapshot) == {"a": {"x": "2", "vip": True}, "b": {"x": "1"}}
    assert merged.counts == Counts(customers_updated=1)


def test_a_pending_profile_of_an_unknown_customer_creates_it() -> None:
    merged = merge(
        Snapshot(), None, [PendingProfile("é 😀", 1, {}), PendingProfile("b", 1, {"n": Decimal("1.5")})], NOW
    )
    assert customers(merged.snapshot) == {"b": {"n": 1.5}, "é 😀": {}}
    assert merged.counts == Counts(customers_created=2)


def test_an_erased_customer_goes_with_orders_and_events() -> None:
    first = after(
        staged(
            customers=[{"customerId": "b", "a:x": "1"}],
            orders=[line("a", "1", 1, 1.0), line("b", "1", 1, 2.0), line("c", "1", 1, 3.0), line("c", "2", 2, 4.0)],
            events=[event("b", "view", 1, eventId="e"), event("c", "view", 1, eventId="e")],
        )
    )
    merged = merge(first, None, [PendingProfile("b", 2, None), PendingProfile("nobody", 1, None)], NOW)
    assert merged.snapshot.customers.column("customerId").to_pylist() == ["a", "c"]
    assert amounts(merged.snapshot) == {("a", "1"): [1.0], ("c", "1"): [3.0], ("c", "2"): [4.0]}
    assert merged.snapshot.orders.column("order").to_pylist() == [0, 1, 2]
    assert set(events(merged.snapshot)) == {("c", "view", "e")}
    assert merged.counts == Counts(customers_erased=1)


def test_the_api_has_the_last_word_where_times_are_unknown() -> None:
    pending = [PendingProfile("a", 1, {"x": "api"}), PendingProfile("b", 1, None)]
    rows = [{"customerId": "a", "a:x": "file", "a:y": "file"}, {"customerId": "b", "a:x": "file"}]
    assert customers(merge(Snapshot(), staged(customers=rows), pending, NOW).snapshot) == {"a": {"x": "api"}}


def test_a_file_that_was_dropped_after_a_profile_was_written_goes_on_top_of_it() -> None:
    pending = [
        PendingProfile("a", 1, {"x": "api", "z": "api"}, updated_at=day(1)),
        PendingProfile("b", 1, {"x": "api"}, updated_at=day(3)),
    ]
    rows = [{"customerId": name, "a:x": "file", "a:y": "file"} for name in "ab"]
    merged = merge(Snapshot(), staged(customers=rows, received_at=day(2)), pending, NOW)
    assert customers(merged.snapshot) == {"a": {"x": "file", "y": "file", "z": "api"}, "b": {"x": "api"}}


def test_a_profile_value_of_another_kind_than_the_stored_ones_is_refused_with_its_value() -> None:
    first = after(staged(customers=[{"customerId": "a", "a:age": 1.0}]))
    with pytest.raises(InvalidInput, match="'age' holds number values; 'old' is string"):
        overlay(first, [PendingProfile("a", 1, {"age": "old"})], NOW)
    with pytest.raises(InvalidInput, match="'age' holds number values; True is boolean"):
        overlay(first, [PendingProfile("a", 1, {"age": True})], NOW)


def test_an_overlay_works_on_a_snapshot_that_was_read_in_part() -> None:
    whole = after(staged(customers=[{"customerId": "a", "a:x": "1", "a:y": "1"}], orders=[line("b", "1", 1, 2.0)]))
    files = MemoryFiles()
    part = read(files, write(files, 0, "v", whole), attributes=["x", "orderCount"], events={})
    pending = [PendingProfile("a", 1, {"x": "2"}), PendingProfile("b", 1, None), PendingProfile("c", 1, {"x": "3"})]
    snapshot = overlay(part, pending, NOW)
    assert customers(snapshot) == {"a": {"x": "2"}, "c": {"x": "3"}}
    assert snapshot.orders.num_rows == 0
    assert snapshot.partial


# ------------------------------------------------------------- staged files


def put(files: MemoryFiles, chunk: int, rows: pa.Table) -> None:
    with files.put_stream(keys.staged_chunk("import-1", 7, chunk)) as sink:
        pq.write_table(rows, sink)


def test_chunks_are_one_table_sorted_by_row_whatever_columns_they_have() -> None:
    files = MemoryFiles()
    put(files, 2, table([{"customerId": "b", "a:x": "2", "a:y": 2.0}], first_row=5))
    put(files, 1, table([{"customerId": "a", "a:x": "1"}, {"customerId": "b", "a:x": None}], first_row=1))
    files.put(keys.staged_chunk("import-1", 8, 1), b"another partition")
    found = take_staged(files, "import-1", 7)
    assert found.orders is None
    assert found.events is None
    assert found.customers is not None
    assert found.customers.select(["customerId", "row", "a:x", "a:y"]).to_pydict() == {
        "customerId": ["a", "b", "b"],
        "row": [1, 2, 5],
        "a:x": ["1", None, "2"],
        "a:y": [None, None, 2.0],
    }


def test_the_lines_of_an_order_are_collected_over_all_chunks() -> None:
    files = MemoryFiles()
    put(files, 1, table([line("a", "1", 5, 1.0), line("a", "2", 1, 9.0)], first_row=1))
    put(files, 2, table([line("a", "1", 3, 2.0, status="paid")], first_row=3))
    snapshot = after(take_staged(files, "import-1", 7))
    assert orders(snapshot)[("a", "1")] == [
        {"orderedAt": day(3), "amount": 1.0},
        {"orderedAt": day(3), "amount": 2.0, "status": "paid"},
    ]


def test_types_as_parquet_files_have_them_become_the_snapshots() -> None:
    rows = pa.table(
        {
            "customerId": pa.array(["a", "b"], pa.large_string()),
            "row": pa.array([1, 2], pa.int32()),
            "a:n": pa.array([1, None], pa.int16()),
            "a:m": pa.array([Decimal("1.50"), None]),
            "a:d": pa.array([19000, None], pa.date32()),
            "a:s": pa.array(["x", None]).dictionary_encode(),
            "a:nothing": pa.nulls(2),
            "a:place": pa.array([{"latitude": 1.0, "longitude": 2.0}, None]),
        }
    )
    files = MemoryFiles()
    put(files, 1, rows)
    assert customers(after(take_staged(files, "import-1", 7))) == {
        "a": {
            "n": 1.0,
            "m": 1.5,
            "d": day(0) + timedelta(days=19000 - 19723),
            "s": "x",
            "place": {"lat": 1.0, "lon": 2.0},
        },
        "b": {},
    }


def test_memberships_that_were_staged_are_not_customers() -> None:
    files = MemoryFiles()
    put(files, 1, table([{"customerId": "a", "segmentId": "vip"}]))
    found = take_staged(files, "import-1", 7)
    assert (found.customers, found.orders, found.events) == (None, None, None)


def test_a_job_that_staged_nothing_changes_nothing() -> None:
    snapshot = Snapshot()
    assert merge(snapshot, take_staged(MemoryFiles(), "import-1", 7), [], NOW).snapshot is snapshot


def test_a_profile_is_known_without_numpy_and_arrow() -> None:
    code = "import sys, segmentation.store.profiles; sys.exit(bool({'numpy', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": os.pathsep.join(sys.path)}).returncode == 0
