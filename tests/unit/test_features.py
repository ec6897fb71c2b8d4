"""Views of order lines and the features computed on them, by hand-computed shops."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.catalogue import FEATURES
from segmentation.engine.features import features, group_orders, offsets_of, order_views, select
from segmentation.engine.frame import Column, DateColumn, EventTable, NumberColumn, StringColumn

NOW = np.datetime64("2024-03-01T00:00:00", "us")
NEVER = np.datetime64("NaT", "us")


def at(text: str) -> np.datetime64:
    return np.datetime64(text, "us")


def lines(
    offsets: list[int],
    times: list[str],
    amounts: list[float],
    orders: list[int] | None = None,
    quantities: list[float] | None = None,
    categories: list[str | None] | None = None,
) -> EventTable:
    columns: dict[str, Column] = {"amount": NumberColumn(np.array(amounts, dtype=np.float64))}
    if quantities is not None:
        columns["quantity"] = NumberColumn(np.array(quantities, dtype=np.float64))
    if categories is not None:
        values = tuple(sorted({value for value in categories if value is not None}))
        codes = [-1 if value is None else values.index(value) for value in categories]
        columns["category"] = StringColumn(np.array(codes, dtype=np.int32), values)
    group = None if orders is None else np.array(orders, dtype=np.int32)
    time = np.array(times, dtype="datetime64[us]")
    return EventTable(np.array(offsets, dtype=np.int64), time, columns, group, frozenset({"amount", "quantity"}))


def compute(table: EventTable, now: np.datetime64 = NOW, void: list[bool] | None = None) -> dict[str, Column]:
    return features(table, np.array(void or [False] * len(table.time), dtype=np.bool_), now)


def numbers(computed: dict[str, Column], name: str) -> list[float]:
    column = computed[name]
    assert isinstance(column, NumberColumn)
    return column.values.tolist()


def dates(computed: dict[str, Column], name: str) -> list[np.datetime64]:
    column = computed[name]
    assert isinstance(column, DateColumn)
    return list(column.values)


SHOP = lines(
    # The first customer ordered twice and sent something back, the second nothing, the third only sent something back.
    offsets=[0, 4, 4, 5],
    times=["2024-01-01", "2024-01-01", "2024-02-28T12:00", "2024-02-28T12:00", "2024-02-01"],
    amounts=[10.0, 5.0, 20.0, -4.0, -7.0],
    orders=[0, 0, 1, 1, 2],
    quantities=[1, 2, 4, -1, -3],
    categories=["shoes", "hats", "shoes", "shoes", None],
)


def test_amounts_are_sums_of_lines_and_counts_are_counts_of_orders() -> None:
    computed = compute(SHOP)
    assert numbers(computed, "orderCount") == [2, 0, 0]
    assert numbers(computed, "grossSpent") == [35, 0, 0]
    assert numbers(computed, "returnedAmount") == [4, 0, 7]
    assert numbers(computed, "totalSpent") == [31, 0, -7]
    assert numbers(computed, "unitsBought") == [7, 0, 0]
    assert numbers(computed, "distinctCategories") == [2, 0, 0]


def test_what_needs_a_purchase_is_missing_without_one() -> None:
    computed = compute(SHOP)
    for name, expected in {"averageOrderValue": 17.5, "recencyDays": 1.0, "tenureDays": 60.0}.items():
        first, *others = numbers(computed, name)
        assert first == expected
        assert np.isnan(others).all()
    assert dates(computed, "firstOrderAt")[0] == at("2024-01-01")
    assert dates(computed, "lastOrderAt")[0] == at("2024-02-28T12:00")
    assert np.isnat(dates(computed, "lastOrderAt")[1:]).all()
    assert dates(computed, "lastReturnAt")[0] == at("2024-02-28T12:00")
    assert np.isnat(dates(computed, "lastReturnAt")[1])
    assert dates(computed, "lastReturnAt")[2] == at("2024-02-01")


def test_customers_without_lines_behind_the_last_buyer_take_nothing_from_it() -> None:
    computed = compute(lines([0, 1, 3, 3, 3], ["2024-01-01"] * 3, [1.0, 2.0, 4.0], quantities=[1, 1, 1]))
    assert numbers(computed, "grossSpent") == [1, 6, 0, 0]
    assert numbers(computed, "unitsBought") == [1, 2, 0, 0]


def test_every_feature_of_the_catalogue_is_computed_with_its_kind() -> None:
    computed = compute(SHOP)
    assert computed.keys() == FEATURES.keys()
    for name, kind in FEATURES.items():
        assert isinstance(computed[name], NumberColumn if kind == "number" else DateColumn), name


def test_a_feature_that_is_not_asked_for_is_not_computed_and_an_unknown_one_is_refused() -> None:
    nothing_void = np.zeros(5, dtype=np.bool_)
    assert features(SHOP, nothing_void, NOW, ["orderCount"]).keys() == {"orderCount"}
    with pytest.raises(ValueError, match="shoeSize"):
        features(SHOP, nothing_void, NOW, ["shoeSize"])


def test_rows_after_now_do_not_count() -> None:
    computed = compute(SHOP, at("2024-02-15"))
    assert numbers(computed, "orderCount") == [1, 0, 0]
    assert numbers(computed, "totalSpent") == [15, 0, -7]
    assert dates(computed, "lastOrderAt")[0] == at("2024-01-01")
    assert np.isnat(dates(computed, "lastReturnAt")[0])


def test_a_row_at_now_counts() -> None:
    assert numbers(compute(SHOP, at("2024-02-28T12:00")), "recencyDays")[0] == 0


@pytest.mark.parametrize(
    ("ordered_at", "days"),
    [("2024-02-29T00:00:00.000001", 0), ("2024-02-29T00:00:00", 1), ("2024-02-28T00:00:00.000001", 1)],
)
def test_days_are_whole_ones(ordered_at: str, days: int) -> None:
    assert numbers(compute(lines([0, 1], [ordered_at], [1.0])), "recencyDays") == [days]


def test_lines_of_price_zero_and_lines_without_an_amount_count_for_nothing() -> None:
    gifts = lines([0, 2], ["2024-01-01", "2024-01-02"], [0.0, float("nan")], [0, 1], [5, 5])
    views = order_views(gifts, np.zeros(2, dtype=np.bool_))
    assert {name: len(view.time) for name, view in views.items()} == {"order": 0, "return": 0, "void_order": 0}
    assert numbers(compute(gifts), "orderCount") == [0]
    assert numbers(compute(gifts), "unitsBought") == [0]


def test_void_lines_are_neither_purchases_nor_returns() -> None:
    void = [False, False, True, True, False]
    views = order_views(SHOP, np.array(void))
    assert views["void_order"].offsets.tolist() == [0, 2, 2, 2]
    assert views["void_order"].columns["amount"].values.tolist() == [20, -4]  # type: ignore[union-attr]
    assert numbers(compute(SHOP, void=void), "grossSpent") == [15, 0, 0]
    assert numbers(compute(SHOP, void=void), "returnedAmount") == [0, 0, 7]


def test_returned_amounts_and_quantities_are_positive_and_the_lines_stay_as_they_were() -> None:
    returned = order_views(SHOP, np.zeros(5, dtype=np.bool_))["return"]
    assert returned.columns["amount"].values.tolist() == [4, 7]  # type: ignore[union-attr]
    assert returned.columns["quantity"].values.tolist() == [1, 3]  # type: ignore[union-attr]
    assert SHOP.columns["amount"].values.tolist() == [10, 5, 20, -4, -7]  # type: ignore[union-attr]


def test_missing_quantities_and_categories_add_nothing() -> None:
    table = lines([0, 2], ["2024-01-01"] * 2, [1.0, 1.0], [0, 1], [float("nan"), 2], [None, "hats"])
    assert numbers(compute(table), "unitsBought") == [2]
    assert numbers(compute(table), "distinctCategories") == [1]


def test_a_large_amount_of_one_customer_does_not_round_anothers() -> None:
    table = lines([0, 1, 2], ["2024-01-01"] * 2, [1e17, 0.1])
    assert numbers(compute(table), "grossSpent") == [1e17, 0.1]


def test_a_customer_taken_twice_has_the_same_orders_twice() -> None:
    one_order = lines([0, 2], ["2024-01-01"] * 2, [1.0, 2.0], [7, 7])
    assert numbers(compute(one_order.take(np.array([0, 0]))), "orderCount") == [1, 1]


def test_nobody_has_features_in_an_empty_shop() -> None:
    empty = lines([0], [], [], [], [], [])
    assert all(len(column.missing()) == 0 for column in compute(empty).values())
    nothing_bought = lines([0, 0], [], [], [], [], [])
    assert numbers(compute(nothing_bought), "orderCount") == [0]


def test_unsorted_rows_give_the_same_totals() -> None:
    customer = np.array([2, 0, 0, 2, 0], dtype=np.int32)
    times = ["2024-02-01", "2024-02-28", "2024-01-01", "2024-03-02", "2024-02-29"]
    time = np.array(times, dtype="datetime64[us]")
    amount = np.array([-7.0, 20.0, 10.0, 99.0, -4.0])
    grouped = group_orders(customer, time, amount, 3, NOW)
    table = lines([0, 3, 3, 5], [times[2], times[1], times[4], times[0], times[3]], [10, 20, -4, -7, 99])
    computed = compute(table)
    for name, values in grouped.items():
        column = computed[name]
        assert isinstance(column, NumberColumn | DateColumn)
        np.testing.assert_array_equal(values, column.values, err_msg=name)


def test_a_sum_of_nothing_is_not_minus_zero() -> None:
    computed = compute(lines([0, 1, 2], ["2024-01-01"] * 2, [0.0, -0.0]))
    for name in ("grossSpent", "returnedAmount", "totalSpent"):
        assert not np.signbit(numbers(computed, name)).any(), name


def test_customers_of_many_blocks_have_the_features_that_they_have_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    offsets = np.concatenate(([0], np.cumsum(random.integers(0, 9, 200))))
    total = int(offsets[-1])
    times = np.sort(random.integers(0, 10**15, total)).astype("datetime64[us]")
    columns: dict[str, Column] = {
        "amount": NumberColumn(random.normal(5, 9, total)),
        "quantity": NumberColumn(random.normal(5, 9, total)),
        "category": StringColumn(random.integers(-1, 3, total).astype(np.int32), ("a", "b", "c")),
    }
    table = EventTable(offsets, times, columns, (np.arange(total) // 2).astype(np.int32))
    void = random.random(total) < 0.1
    whole = features(table, void, times[total // 2])
    monkeypatch.setattr("segmentation.engine.features.BLOCK_LINES", 64)
    blocks = features(table, void, times[total // 2])
    for name, column in whole.items():
        assert isinstance(column, NumberColumn | DateColumn)
        np.testing.assert_array_equal(column.values, blocks[name].values, err_msg=name)  # type: ignore[union-attr]
    for number in range(200):
        lines_of = slice(offsets[number], offsets[number + 1])
        alone = features(table.take(np.array([number])), void[lines_of], times[total // 2])
        for name, column in whole.items():
            np.testing.assert_array_equal(column.values[number], alone[name].values[0], err_msg=name)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("owners", "expected"),
    [([], [0, 0, 0, 0]), ([0, 0, 2], [0, 2, 2, 3]), ([1], [0, 0, 1, 1]), ([2, 2], [0, 0, 0, 2])],
)
@pytest.mark.parametrize("block", [1, 2, 65_536])
def test_offsets_say_where_each_customers_rows_begin(
    monkeypatch: pytest.MonkeyPatch, owners: list[int], expected: list[int], block: int
) -> None:
    monkeypatch.setattr("segmentation.engine.features.BLOCK_LINES", block)
    assert offsets_of(np.array(owners, dtype=np.int32), 3).tolist() == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), max_size=200), st.data())
def test_a_selection_keeps_rows_with_their_customers(mask: list[bool], data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(mask)), max_size=5)))
    offsets = [0, *places, len(mask)]
    table = lines(offsets, ["2024-01-01"] * len(mask), list(range(len(mask))))
    chosen = select(table, np.array(mask, dtype=np.bool_))
    for number, (begin, end) in enumerate(pairwise(offsets)):
        rows = slice(chosen.offsets[number], chosen.offsets[number + 1])
        expected = [row for row in range(begin, end) if mask[row]]
        assert chosen.columns["amount"].values[rows].tolist() == expected  # type: ignore[union-attr]
