"""A snapshot as a frame: codes, numbers and behaviours as the engine expects them."""

import unicodedata

import numpy as np

from segmentation.engine.frame import BooleanColumn, DateColumn, GeoColumn, ListColumn, NumberColumn, StringColumn
from segmentation.store.merge import merge
from segmentation.store.snapshot import Snapshot, read, write
from segmentation.store.snapshot_frame import frame
from support.files import MemoryFiles
from support.snapshots import NOW, day, staged


def test_every_kind_of_attribute_becomes_its_column() -> None:
    rows = [
        {
            "customerId": "a",
            "a:s": "x",
            "a:n": 1.5,
            "a:d": day(0),
            "a:b": True,
            "a:l": ["p", "q"],
            "a:g": {"lat": 1.0, "lon": 2.0},
        },
        {"customerId": "b"},
        {
            "customerId": "c",
            "a:s": "y",
            "a:n": 0.0,
            "a:d": day(1),
            "a:b": False,
            "a:l": [],
            "a:g": {"lat": 0.0, "lon": 0.0},
        },
        {"customerId": "d", "a:s": "x", "a:l": ["q"]},
    ]
    shop = frame(merge(Snapshot(), staged(customers=rows), [], NOW).snapshot, NOW)
    s, n, d, b, lists, g = (shop.columns[name] for name in "sndblg")
    assert isinstance(s, StringColumn)
    assert [None if code < 0 else s.values[code] for code in s.codes] == ["x", None, "y", "x"]
    assert isinstance(n, NumberColumn)
    assert np.array_equal(n.values, [1.5, np.nan, 0.0, np.nan], equal_nan=True)
    assert isinstance(d, DateColumn)
    assert d.values.dtype == "datetime64[us]"
    assert d.values.astype(str).tolist() == ["2024-01-01T00:00:00.000000", "NaT", "2024-01-02T00:00:00.000000", "NaT"]
    assert isinstance(b, BooleanColumn)
    assert b.values.tolist() == [1, -1, 0, -1]
    assert isinstance(lists, ListColumn)
    assert lists.offsets.tolist() == [0, 2, 2, 2, 3]
    assert [lists.values[code] for code in lists.codes] == ["p", "q", "q"]
    assert lists.absent.tolist() == [False, True, False, False]
    assert isinstance(g, GeoColumn)
    assert np.array_equal(g.latitude, [1.0, np.nan, 0.0, np.nan], equal_nan=True)
    assert shop.ids == ("a", "b", "c", "d")


def test_a_missing_element_of_a_list_is_left_out() -> None:
    rows = [
        {"customerId": "a", "a:l": ["p", None]},
        {"customerId": "b", "a:l": [None]},
        {"customerId": "c", "a:l": ["q"]},
    ]
    lists = frame(merge(Snapshot(), staged(customers=rows), [], NOW).snapshot, NOW).columns["l"]
    assert isinstance(lists, ListColumn)
    assert lists.offsets.tolist() == [0, 1, 1, 2]
    assert [lists.values[code] for code in lists.codes] == ["p", "q"]


def test_strings_of_one_normal_form_are_one_value() -> None:
    composed, decomposed = "Zoé", unicodedata.normalize("NFD", "Zoé")
    rows = [{"customerId": "a", "a:s": composed}, {"customerId": "b", "a:s": decomposed}, {"customerId": "c"}]
    column = frame(merge(Snapshot(), staged(customers=rows), [], NOW).snapshot, NOW).columns["s"]
    assert isinstance(column, StringColumn)
    assert column.values == (composed,)
    assert column.codes.tolist() == [0, 0, -1]


def test_order_lines_become_purchases_returns_and_void_orders() -> None:
    rows = [
        {"customerId": "b", "orderId": "1", "orderedAt": day(2), "amount": 5.0, "channel": "web", "x:gift": "yes"},
        {"customerId": "b", "orderId": "1", "orderedAt": day(1), "amount": -2.0, "channel": "web"},
        {"customerId": "b", "orderId": "2", "orderedAt": day(0), "amount": 9.0, "status": " Canceled "},
        {"customerId": "a", "orderId": "1", "orderedAt": day(3), "amount": 0.0},
    ]
    behaviours = frame(merge(Snapshot(), staged(orders=rows), [], NOW).snapshot, NOW).events
    assert behaviours.keys() == {"order", "return", "void_order"}
    order = behaviours["order"]
    assert order.offsets.tolist() == [0, 0, 1]
    assert order.time.tolist() == [day(1).replace(tzinfo=None)]
    assert order.additive == {"amount", "quantity"}
    gift, order_id = order.columns["gift"], order.columns["orderId"]
    assert isinstance(gift, StringColumn)
    assert isinstance(order_id, StringColumn)
    assert gift.values[gift.codes[0]] == "yes"
    assert order_id.values[order_id.codes[0]] == "1"
    assert behaviours["return"].columns["amount"].values.tolist() == [2.0]  # type: ignore[union-attr]
    assert behaviours["void_order"].offsets.tolist() == [0, 0, 1]


def test_lines_of_one_order_share_a_group_and_other_orders_have_others() -> None:
    rows = [
        {"customerId": "a", "orderId": order_id, "orderedAt": day(0), "amount": 1.0}
        for order_id in ("x", "y", "x", "y")
    ]
    order = frame(merge(Snapshot(), staged(orders=rows), [], NOW).snapshot, NOW).events["order"]
    assert order.group is not None
    assert order.group.tolist() == [0, 0, 1, 1]


def test_every_event_name_becomes_a_behaviour_sorted_by_customer_and_time() -> None:
    rows = [
        {"customerId": "b", "event": "view", "occurredAt": day(2), "p:url": "/2"},
        {"customerId": "a", "event": "open", "occurredAt": day(9)},
        {"customerId": "b", "event": "view", "occurredAt": day(1), "p:url": "/1"},
        {"customerId": "a", "event": "view", "occurredAt": day(3), "p:url": "/3"},
    ]
    behaviours = frame(merge(Snapshot(), staged(events=rows), [], NOW).snapshot, NOW).events
    assert behaviours.keys() >= {"view", "open"}
    view, url = behaviours["view"], behaviours["view"].columns["url"]
    assert view.offsets.tolist() == [0, 1, 3]
    assert isinstance(url, StringColumn)
    assert [url.values[code] for code in url.codes] == ["/3", "/1", "/2"]
    assert view.group is None
    assert behaviours["open"].offsets.tolist() == [0, 1, 1]


def test_rows_after_now_are_in_the_behaviours_but_not_in_the_features() -> None:
    rows = [{"customerId": "a", "orderId": "1", "orderedAt": day(900), "amount": 1.0}]
    shop = frame(merge(Snapshot(), staged(orders=rows), [], NOW).snapshot, NOW)
    assert shop.events["order"].offsets.tolist() == [0, 1]
    assert shop.columns["orderCount"].values.tolist() == [0]  # type: ignore[union-attr]


def test_the_frame_of_the_files_equals_the_frame_of_memory() -> None:
    rows = [{"customerId": str(n), "a:s": str(n % 3), "a:l": [str(n)], "a:g": {"lat": n, "lon": n}} for n in range(9)]
    lines = [
        {"customerId": str(n), "orderId": "1", "orderedAt": day(n), "amount": 1.0, "sku": str(n)} for n in range(9)
    ]
    memory = merge(Snapshot(), staged(customers=rows, orders=lines), [], NOW).snapshot
    files = MemoryFiles()
    one = frame(memory, NOW)
    other = frame(read(files, write(files, 0, "v", memory)), NOW)
    assert one.ids == other.ids
    assert repr(one.columns) == repr(other.columns)
    assert repr(one.events) == repr(other.events)


def test_the_frame_of_an_empty_partition_is_empty() -> None:
    shop = frame(Snapshot(), NOW)
    assert shop.size == 0
    assert shop.ids == ()
    assert len(shop.events["order"].time) == 0
