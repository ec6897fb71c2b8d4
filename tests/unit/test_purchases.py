"""Purchase days of order lines, and the figures that lifetime models are fitted on, by hand and on CDNOW."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.features import order_views
from segmentation.engine.frame import EventTable, NumberColumn, StringColumn
from segmentation.engine.lifetime.purchases import Purchases, joined, of_orders, summarise, until
from segmentation.errors import InvalidInput
from support.cdnow import CALIBRATION_END, purchases_of_cdnow, summary_of_cdnow


def orders(offsets: Sequence[int], times: Sequence[str], amounts: Sequence[float]) -> EventTable:
    columns = {"amount": NumberColumn(np.array(amounts, dtype=np.float64))}
    return EventTable(np.array(offsets, dtype=np.int64), np.array(times, dtype="datetime64[us]"), columns)


def purchases(*customers: Sequence[tuple[int, float]]) -> Purchases:
    days = [purchase for customer in customers for purchase in customer]
    offsets = np.cumsum([0, *(len(customer) for customer in customers)])
    day = np.array([day for day, _ in days], dtype=np.int32)
    return Purchases(offsets, day, np.array([amount for _, amount in days], dtype=np.float64))


def as_lists(found: Purchases) -> list[list[tuple[int, float]]]:
    pairs = list(zip(found.day.tolist(), found.amount.tolist(), strict=True))
    return [pairs[begin:end] for begin, end in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def test_orders_of_one_day_are_one_purchase_with_the_sum_of_their_lines() -> None:
    table = orders([0, 3], ["1970-01-03T00:00", "1970-01-03T23:59:59.999999", "1970-01-04T00:00"], [1.0, 2.0, 4.0])
    assert as_lists(of_orders(table)) == [[(2, 3.0), (3, 4.0)]]


def test_neighbours_who_buy_on_the_same_day_keep_their_own() -> None:
    table = orders([0, 1, 2], ["1970-01-02", "1970-01-02"], [1.0, 2.0])
    assert as_lists(of_orders(table)) == [[(1, 1.0)], [(1, 2.0)]]


def test_customers_without_orders_have_no_purchase_days_wherever_they_stand() -> None:
    table = orders([0, 0, 2, 2, 3, 3], ["1970-01-02", "1970-01-02", "1970-01-02"], [1.0, 2.0, 4.0])
    assert as_lists(of_orders(table)) == [[], [(1, 3.0)], [], [(1, 4.0)], []]


def test_a_shop_without_orders_has_no_purchase_days() -> None:
    assert as_lists(of_orders(orders([0, 0, 0], [], []))) == [[], []]
    assert as_lists(of_orders(orders([0], [], []))) == []


def test_days_before_1970_are_counted_downwards() -> None:
    table = orders([0, 2], ["1969-12-31T00:00", "1969-12-31T23:00"], [1.0, 1.0])
    assert as_lists(of_orders(table)) == [[(-1, 2.0)]]


def test_more_lines_than_a_block_fall_on_the_right_days() -> None:
    count = 150_000
    times = np.datetime64("1970-01-01", "us") + np.arange(count) * np.timedelta64(12, "h")
    table = EventTable(np.array([0, count]), times, {"amount": NumberColumn(np.ones(count))})
    found = of_orders(table)
    assert (found.day == np.arange(count // 2)).all() and (found.amount == 2).all()


def test_returns_are_not_purchases_in_the_view_of_orders() -> None:
    lines = orders([0, 2], ["1970-01-02", "1970-01-09"], [5.0, -5.0])
    view = order_views(lines, np.zeros(2, dtype=np.bool_), ["order"])["order"]
    assert as_lists(of_orders(view)) == [[(1, 5.0)]]


def test_a_day_that_returns_net_to_less_than_nothing_stays_a_purchase_day() -> None:
    assert as_lists(of_orders(orders([0, 2], ["1970-01-02", "1970-01-02"], [5.0, -7.5]))) == [[(1, -2.5)]]


def test_lines_whose_amounts_are_no_numbers_are_refused() -> None:
    table = EventTable(np.array([0, 0]), np.array([], dtype="datetime64[us]"))
    with pytest.raises(TypeError, match="'amount' is a NoneType"):
        of_orders(table)
    text = StringColumn(np.array([], dtype=np.int32), ())
    with pytest.raises(TypeError, match="'amount' is a StringColumn"):
        of_orders(EventTable(table.offsets, table.time, {"amount": text}))


def test_a_summary_counts_repeats_and_measures_times_in_units() -> None:
    found = summarise(purchases([(0, 10.0), (7, 20.0), (21, 40.0)]), end_day=28)
    assert (found.frequency.tolist(), found.recency.tolist(), found.age.tolist()) == ([2.0], [3.0], [4.0])
    assert found.mean_value.tolist() == [30.0]
    in_days = summarise(purchases([(0, 10.0), (7, 20.0), (21, 40.0)]), end_day=28, unit_days=1)
    assert (in_days.recency.tolist(), in_days.age.tolist()) == ([21.0], [28.0])


def test_the_first_purchase_leaves_no_trace_in_the_mean_value() -> None:
    found = summarise(purchases([(0, 1e17), (1, 0.1)]), end_day=7)
    assert found.mean_value.tolist() == [0.1]


def test_one_time_buyers_have_no_mean_value() -> None:
    found = summarise(purchases([(0, 10.0)]), end_day=7)
    assert found.frequency.tolist() == [0.0] and np.isnan(found.mean_value).all()


def test_purchases_after_the_end_do_not_count() -> None:
    shop = purchases([(0, 10.0), (7, 20.0), (8, 40.0)], [(8, 1.0)], [], [(7, 1.0), (9, 1.0)])
    found = summarise(shop, end_day=7)
    assert found.rows.tolist() == [0, 3]
    assert found.frequency.tolist() == [1.0, 0.0] and found.mean_value[0] == 20.0


def test_a_customer_who_first_bought_on_the_last_day_has_age_0() -> None:
    found = summarise(purchases([(7, 10.0)]), end_day=7)
    assert (found.frequency.tolist(), found.recency.tolist(), found.age.tolist()) == ([0.0], [0.0], [0.0])


def test_a_summary_of_nobody_is_empty() -> None:
    for shop in (purchases(), purchases([], []), purchases([(8, 1.0)])):
        found = summarise(shop, end_day=7)
        assert [len(column) for column in (found.frequency, found.age, found.mean_value, found.rows)] == [0] * 4


@pytest.mark.parametrize("unit_days", [0.0, -7.0, float("nan"), float("inf")])
def test_a_unit_of_time_has_a_length(unit_days: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        summarise(purchases([(0, 1.0)]), end_day=7, unit_days=unit_days)
    assert [error.field for error in caught.value.errors] == ["unitDays"]
    assert f"unitDays={unit_days}" in caught.value.message


def test_purchases_until_a_day_include_it() -> None:
    shop = purchases([(0, 1.0), (5, 2.0)], [(6, 3.0)])
    assert as_lists(until(shop, 5)) == [[(0, 1.0), (5, 2.0)], []]
    assert until(shop, 6) is shop


def test_parts_are_joined_one_after_the_other() -> None:
    parts = [purchases([(0, 1.0), (5, 2.0)], []), purchases(), purchases([(6, 3.0)])]
    assert as_lists(joined(parts)) == [[(0, 1.0), (5, 2.0)], [], [(6, 3.0)]]
    assert as_lists(joined([])) == []


def test_cdnow_is_rebuilt_from_its_transactions(data: Path) -> None:
    found, expected = summarise(purchases_of_cdnow(data), CALIBRATION_END), summary_of_cdnow(data)
    assert len(found.rows) == 2_357 and (found.frequency == expected["x"]).all()
    assert np.abs(found.recency - expected["t_x"]).max() < 0.0043
    assert np.abs(found.age - expected["T"]).max() < 0.0043
    repeats = found.frequency > 0
    assert np.abs(found.mean_value - expected["zbar"])[repeats].max() < 0.0051
