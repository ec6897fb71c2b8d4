"""The snapshot's files: what goes in comes out, in the columns and for the customers that are asked for."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation.store import keys
from segmentation.store.merge import Staged, merge
from segmentation.store.profiles import PendingProfile
from segmentation.store.snapshot import ROWS_PER_GROUP, Pointer, Snapshot, read, read_customers, write
from support.files import MemoryFiles
from support.snapshots import NOW, customers, day, events, orders, staged

SHOP = staged(
    customers=[
        {
            "customerId": "ann",
            "a:country": "DE",
            "a:age": 31.0,
            "a:vip": True,
            "a:born": day(-9000),
            "a:tags": ["x", "y"],
        },
        {"customerId": "bob#/ 😀", "a:country": "FR", "a:home": {"lat": 48.9, "lon": 2.3}, "a:tags": []},
        {"customerId": "日本", "a:country": None},
    ],
    orders=[
        {"customerId": "bob#/ 😀", "orderId": "1", "orderedAt": day(3), "amount": 5.0, "sku": "s1", "x:gift": "yes"},
        {"customerId": "zoe", "orderId": "1", "orderedAt": day(2), "amount": 7.0, "quantity": 2.0, "status": "paid"},
    ],
    events=[
        {"customerId": "ann", "event": "page_view", "occurredAt": day(5), "p:url": "/a", "p:seconds": 3.0},
        {"customerId": "ann", "event": "open", "occurredAt": day(4), "p:url": "/b"},
    ],
)


def shop() -> Snapshot:
    return merge(Snapshot(), SHOP, [], NOW).snapshot


def written(snapshot: Snapshot) -> tuple[MemoryFiles, Pointer]:
    files = MemoryFiles()
    return files, write(files, 7, "v1", snapshot)


def many(count: int) -> Snapshot:
    ids = pa.array([f"c{number:06d}" for number in range(count)])
    order_rows = pa.array(np.repeat(np.arange(count), 4))
    table = pa.table(
        {
            "customerId": ids.take(order_rows),
            "row": np.arange(4 * count),
            "orderId": pa.array([f"o{number}" for number in range(4 * count)]),
            "orderedAt": pa.array(np.arange(4 * count)).cast(pa.timestamp("us", tz="UTC")),
            "amount": np.ones(4 * count),
        }
    )
    return merge(Snapshot(), Staged(orders=table), [], NOW).snapshot


def test_what_is_written_is_read_back() -> None:
    snapshot = shop()
    files, pointer = written(snapshot)
    back = read(files, pointer)
    assert pointer == Pointer(7, "v1", customers=4, orders=2, events=2)
    for name in ("customers", "orders", "events"):
        before, after = getattr(snapshot, name), getattr(back, name)
        assert after.to_pylist() == before.to_pylist()
        assert after.schema.names == before.schema.names
        assert [str(type_) for type_ in after.schema.types] == [
            str(type_).replace("list<item", "list<element") for type_ in before.schema.types
        ]


def test_customers_are_sorted_by_code_point_and_a_buyer_without_a_profile_has_a_row() -> None:
    snapshot = shop()
    ids = snapshot.customers.column("customerId").to_pylist()
    assert ids == sorted(ids) == ["ann", "bob#/ 😀", "zoe", "日本"]
    assert customers(snapshot)["zoe"] == {}


def test_equal_snapshots_have_equal_bytes() -> None:
    assert written(shop())[0].objects == written(shop())[0].objects


def test_the_file_names_follow_the_hive_layout() -> None:
    files, _ = written(shop())
    assert sorted(files.objects) == [
        f"snapshot/part=0007/v1/{name}.parquet" for name in ("customers", "events", "orders")
    ]


def test_an_empty_partition_has_every_known_column_and_no_rows() -> None:
    snapshot = read(MemoryFiles(), None)
    assert snapshot.customers.schema.names == ["customerId", "createdAt", "updatedAt"]
    assert {"customer", "order", "orderId", "amount", "status"} <= set(snapshot.orders.schema.names)
    assert snapshot.customers.num_rows == snapshot.orders.num_rows == snapshot.events.num_rows == 0


def test_a_snapshot_without_customers_needs_no_files() -> None:
    files, pointer = written(Snapshot())
    assert files.objects == {}
    assert read(files, pointer).customers.num_rows == 0


def test_only_the_needed_columns_are_read() -> None:
    files, pointer = written(shop())
    snapshot = read(files, pointer, attributes=["country", "recencyDays", "unheardOf"], events={"page_view": ["url"]})
    assert snapshot.customers.schema.names == ["customerId", "a:country"]
    assert snapshot.orders.schema.names == ["customer", "order", "orderedAt", "amount", "status"]
    assert snapshot.events.schema.names == ["customer", "event", "occurredAt", "p:url"]
    assert snapshot.events.column("event").to_pylist() == ["page_view"]
    assert snapshot.features == {"recencyDays"}


def test_without_features_and_behaviours_only_the_customers_are_fetched() -> None:
    files, pointer = written(shop())
    files.requests.clear()
    snapshot = read(files, pointer, attributes=["country"], events={})
    assert {key for _, key, _ in files.requests} == {keys.snapshot_file(7, "v1", "customers")}
    assert snapshot.orders.num_rows == 0


def test_a_feature_brings_the_field_that_it_needs() -> None:
    files, pointer = written(shop())
    snapshot = read(files, pointer, attributes=["unitsBought", "distinctCategories"], events={"order": ["gift", "sku"]})
    assert {"quantity", "category", "x:gift", "sku"} <= set(snapshot.orders.schema.names)


def test_a_further_field_of_the_lines_may_be_called_like_a_column_of_the_file() -> None:
    rows = [{"customerId": "a", "orderId": "1", "orderedAt": day(1), "amount": 1.0, "x:order": "first"}]
    files, pointer = written(merge(Snapshot(), staged(orders=rows), [], NOW).snapshot)
    snapshot = read(files, pointer, attributes=[], events={"order": ["order"]})
    assert snapshot.orders.column("x:order").to_pylist() == ["first"]
    assert snapshot.views == {"order"}


def test_an_attribute_whose_name_begins_like_another_is_not_read_along() -> None:
    start = merge(Snapshot(), staged(customers=[{"customerId": "a", "a:home": 1.0, "a:home.city": "Ulm"}]), [], NOW)
    files, pointer = written(start.snapshot)
    names = [read(files, pointer, attributes=[name]).customers.schema.names for name in ("home", "home.city")]
    assert names == [["customerId", "a:home"], ["customerId", "a:home.city"]]


def test_a_snapshot_that_was_read_in_part_is_never_written() -> None:
    files, pointer = written(shop())
    for snapshot in (
        read(files, pointer, attributes=["country"]),
        read(files, pointer, events={}),
        read_customers(files, pointer, ["ann"]),
    ):
        with pytest.raises(ValueError, match="in part"):
            write(files, 7, "v2", snapshot)


def test_single_customers_are_read_with_their_orders_and_events() -> None:
    files, pointer = written(shop())
    snapshot = read_customers(files, pointer, ["zoe", "bob#/ 😀", "nobody", "zoe"])
    whole = shop()
    assert snapshot.customers.column("customerId").to_pylist() == ["bob#/ 😀", "zoe"]
    assert orders(snapshot) == orders(whole)
    assert events(snapshot) == {}
    alone = read_customers(files, pointer, ["ann"])
    assert customers(alone) == {"ann": customers(whole)["ann"]}
    assert events(alone) == events(whole)


def test_an_unknown_customer_or_an_empty_partition_gives_nobody() -> None:
    files, pointer = written(shop())
    assert read_customers(files, pointer, ["nobody"]).customers.num_rows == 0
    assert read_customers(files, None, ["ann"]).customers.num_rows == 0
    assert read_customers(files, pointer, []).customers.num_rows == 0


def test_one_customer_of_many_is_found_with_a_request_or_two_per_file_and_one_row_group() -> None:
    count = 2 * ROWS_PER_GROUP["customers"] + 5
    files, pointer = written(many(count))
    files.requests.clear()
    wanted = [f"c{number:06d}" for number in (0, ROWS_PER_GROUP["customers"] + 1, count - 1)]
    for customer_id in wanted:
        snapshot = read_customers(files, pointer, [customer_id])
        assert snapshot.customers.column("customerId").to_pylist() == [customer_id]
        assert snapshot.orders.column("orderId").to_pylist() == [f"o{4 * int(customer_id[1:]) + n}" for n in range(4)]
        assert set(snapshot.orders.column("customer").to_pylist()) == {0}
    fetched = [request for request in files.requests if request[0] == "get"]
    assert len(fetched) <= 3 * len(wanted) * 2
    together = read_customers(files, pointer, wanted)
    assert together.orders.column("customer").to_pylist() == [0] * 4 + [1] * 4 + [2] * 4


def test_row_groups_are_small_enough_to_read_one_customer_and_carry_statistics() -> None:
    files, _ = written(many(ROWS_PER_GROUP["customers"] + 5))
    for name, rows in ROWS_PER_GROUP.items():
        if name != "events":
            metadata = pq.read_metadata(pa.BufferReader(files.get(keys.snapshot_file(7, "v1", name))))
            sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
            assert max(sizes) == rows
            assert len(sizes) == 2
            assert all(metadata.row_group(group).column(0).statistics.has_min_max for group in range(len(sizes)))


def test_nothing_of_an_erased_customer_is_in_the_next_files() -> None:
    first = staged(
        customers=[{"customerId": "ann", "a:email": "ann@example.org"}, {"customerId": "bob", "a:email": "b@x"}]
    )
    files, pointer = written(merge(Snapshot(), first, [], NOW).snapshot)
    read_back = read(files, pointer)
    left = merge(read_back, None, [PendingProfile("ann", 1, None)], NOW).snapshot
    write(files, 7, "v2", left)
    parquet = pq.ParquetFile(
        pa.BufferReader(files.get(keys.snapshot_file(7, "v2", "customers"))), read_dictionary=["a:email"]
    )
    dictionary = parquet.read().column("a:email").chunk(0).dictionary
    assert dictionary.to_pylist() == ["b@x"]
