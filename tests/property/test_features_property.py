"""Features of random shops against a reference that walks row by row, and laws that hold for all of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.catalogue import FEATURES
from segmentation.engine.frame import Column, DateColumn, Frame, NumberColumn
from segmentation.store.merge import merge
from segmentation.store.snapshot import Snapshot
from segmentation.store.snapshot_frame import frame
from support.snapshots import START, staged

NOW = np.datetime64("2024-01-05T00:00:00", "us")
DAY_SECONDS = 86_400

line = st.fixed_dictionaries(
    {
        "customerId": st.sampled_from(["a", "b", "c", "é", "日本"]),
        "orderId": st.sampled_from(["1", "2", "3"]),
        "seconds": st.integers(0, 6 * DAY_SECONDS),
        "amount": st.sampled_from([0.0, 1.0, 2.5, 40.0, -1.0, -3.5]),
        "quantity": st.sampled_from([None, 1.0, 3.0]),
        "category": st.sampled_from([None, "hats", "shoes"]),
        "status": st.sampled_from([None, "paid", "Cancelled", "VOID"]),
    }
)
shops = st.lists(line, min_size=1, max_size=40)


def framed(rows: list[dict[str, Any]]) -> Frame:
    orders = [
        {name: value for name, value in row.items() if name != "seconds"}
        | {"orderedAt": START + timedelta(seconds=row["seconds"])}
        for row in rows
    ]
    return frame(merge(Snapshot(), staged(orders=orders), [], NOW).snapshot, NOW)


def value(column: Column, row: int) -> float | datetime | None:
    assert isinstance(column, NumberColumn | DateColumn)
    if column.missing()[row]:
        return None
    found = column.values[row]
    return float(found) if isinstance(column, NumberColumn) else found.astype(datetime).replace(tzinfo=UTC)


def reference(rows: list[dict[str, Any]]) -> dict[str, float | datetime | None]:
    """Features of one customer from its lines, one after the other."""
    now = NOW.astype(datetime).replace(tzinfo=UTC)
    earliest: dict[str, int] = {}
    for row in rows:
        earliest[row["orderId"]] = min(row["seconds"], earliest.get(row["orderId"], row["seconds"]))
    bought, returned = [], []
    for row in rows:
        instant = START + timedelta(seconds=earliest[row["orderId"]])
        if instant <= now and (row["status"] or "").lower() not in ("cancelled", "void"):
            if row["amount"] > 0:
                bought.append((instant, row))
            elif row["amount"] < 0:
                returned.append((instant, row))
    count = len({row["orderId"] for _, row in bought})
    gross = sum(row["amount"] for _, row in bought)
    back = -sum(row["amount"] for _, row in returned)
    first = min((instant for instant, _ in bought), default=None)
    last = max((instant for instant, _ in bought), default=None)
    return {
        "orderCount": float(count),
        "grossSpent": gross,
        "returnedAmount": back,
        "totalSpent": gross - back,
        "averageOrderValue": gross / count if count else None,
        "unitsBought": sum(row["quantity"] or 0.0 for _, row in bought),
        "distinctCategories": float(len({row["category"] for _, row in bought} - {None})),
        "recencyDays": float((now - last).days) if last else None,
        "tenureDays": float((now - first).days) if first else None,
        "firstOrderAt": first,
        "lastOrderAt": last,
        "lastReturnAt": max((instant for instant, _ in returned), default=None),
    }


@settings(deadline=None, max_examples=60)
@given(shops)
def test_features_agree_with_a_reference_that_walks_row_by_row(rows: list[dict[str, Any]]) -> None:
    shop = framed(rows)
    for number, customer_id in enumerate(shop.ids):
        expected = reference([row for row in rows if row["customerId"] == customer_id])
        assert {name: value(shop.columns[name], number) for name in FEATURES} == expected


@settings(deadline=None, max_examples=40)
@given(shops, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[dict[str, Any]], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    one, other = framed(rows), framed(shuffled)
    assert one.ids == other.ids
    for name in FEATURES:
        for number in range(one.size):
            assert value(one.columns[name], number) == value(other.columns[name], number), name


@settings(deadline=None, max_examples=40)
@given(shops)
def test_one_customer_alone_has_the_features_it_has_among_all(rows: list[dict[str, Any]]) -> None:
    shop = framed(rows)
    for number, customer_id in enumerate(shop.ids):
        alone = framed([row for row in rows if row["customerId"] == customer_id])
        for name in FEATURES:
            assert value(alone.columns[name], 0) == value(shop.columns[name], number), name
