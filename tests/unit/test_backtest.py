"""The hold-out test: CDNOW's two halves, the naive forecast by hand, and shops that cannot be tested."""

from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.lifetime import bgnbd
from segmentation.engine.lifetime.backtest import backtest, cut_for, naive_forecast
from segmentation.engine.lifetime.purchases import Purchases, Summary, summarise, until
from segmentation.errors import InsufficientData, InvalidInput
from support.cdnow import CALIBRATION_END, END, purchases_of_cdnow


def shop(customers: int = 600, days: int = 400, seed: int = 1) -> Purchases:
    """Customers who arrive over time, buy at rates of their own, and leave after orders with a chance of their own."""
    random = np.random.default_rng(seed)
    offsets, every = [0], []
    for _ in range(customers):
        rate, leaves = random.gamma(0.8, 1 / 40), random.beta(0.8, 2.5)
        time = random.uniform(0, days / 3)
        bought = {int(time)}
        while random.random() >= leaves or len(bought) == 1:
            time += random.exponential(1 / rate)
            if time >= days:
                break
            bought.add(int(time))
        every += sorted(bought)
        offsets.append(len(every))
    return Purchases(np.array(offsets), np.array(every, dtype=np.int32), np.ones(len(every)))


def with_customer(purchases: Purchases, *days: int) -> Purchases:
    return Purchases(
        np.append(purchases.offsets, len(purchases.day) + len(days)),
        np.append(purchases.day, np.array(days, dtype=np.int32)),
        np.append(purchases.amount, np.ones(len(days))),
    )


def test_cdnows_second_half_is_predicted_from_its_first(data: Path) -> None:
    found = backtest(purchases_of_cdnow(data), CALIBRATION_END, END)
    assert (found.customers, found.actual, found.horizon) == (2_357, 1_882.0, 39.0)
    assert found.predicted == pytest.approx(1_653.42, abs=0.05)
    assert found.bias == pytest.approx((1_653.42 - 1_882) / 2_357, abs=1e-4)
    assert found.naive.predicted == pytest.approx(2_457.0)
    assert found.helps and found.skill == pytest.approx(1 - (1.60798 / 1.97105) ** 2, abs=1e-4)
    assert found.sentence == (
        "1,882 orders came, 1,653 were predicted (-12%); every customer's own rate continued gives 2,457 (+31%). "
        "Against that forecast it avoids 33% of the squared error (1.61 orders a customer, not 1.97)."
    )
    classes = {result.frequency: result for result in found.classes}
    assert [classes[name].customers for name in ("0", "1", "2", "7+")] == [1_411, 439, 214, 64]
    assert [classes[name].actual for name in ("0", "1", "2", "7+")] == [334, 306, 298, 407]


def test_classes_add_up_to_everyone() -> None:
    found = backtest(shop(), 200, 399)
    for name in ("customers", "actual", "predicted"):
        assert sum(getattr(result, name) for result in found.classes) == pytest.approx(getattr(found, name))
    weighted = sum(result.error * result.customers for result in found.classes)
    assert weighted / found.customers == pytest.approx(found.error)
    assert [result.frequency for result in found.classes] == ["0", "1", "2", "3", "4", "5", "6", "7+"]


def test_the_figures_are_those_of_a_model_fitted_at_the_cut() -> None:
    purchases = shop()
    found = backtest(purchases, 200, 399)
    summary = summarise(purchases, 200)
    predicted = bgnbd.expected_orders(found.model, 199 / 7, summary.frequency, summary.recency, summary.age)
    after = [
        np.sum((purchases.day[b:e] > 200) & (purchases.day[b:e] <= 399))
        for b, e in zip(purchases.offsets[summary.rows], purchases.offsets[summary.rows + 1], strict=True)
    ]
    difference = predicted - np.array(after)
    assert found.actual == sum(after) and found.predicted == pytest.approx(predicted.sum())
    assert found.bias == pytest.approx(difference.mean()) and found.error == pytest.approx(np.abs(difference).mean())
    assert found.squared_error == pytest.approx(np.sqrt((difference**2).mean()))


def test_the_unit_of_time_changes_no_forecast() -> None:
    weeks, days = (backtest(shop(), 200, 399, unit_days=unit) for unit in (7.0, 1.0))
    assert days.horizon == 199 and days.predicted == pytest.approx(weeks.predicted, rel=1e-5)
    assert days.naive.predicted == pytest.approx(weeks.naive.predicted)


def test_what_happens_after_the_end_is_not_seen() -> None:
    purchases = shop()
    shorter = until(purchases, 300)
    assert backtest(purchases, 200, 300).sentence == backtest(shorter, 200, 300).sentence


def test_customers_who_came_after_the_cut_are_not_forecast() -> None:
    purchases = shop()
    one_more = with_customer(purchases, 201, 250)
    found, expected = backtest(one_more, 200, 399), backtest(purchases, 200, 399)
    assert (found.customers, found.actual) == (expected.customers, expected.actual)
    assert found.predicted == pytest.approx(expected.predicted)


def test_the_same_shop_gives_the_same_test_bit_by_bit() -> None:
    first, second = backtest(shop(), 200, 399), backtest(shop(), 200, 399)
    assert (first.classes, first.naive, first.skill) == (second.classes, second.naive, second.skill)


def test_the_naive_forecast_continues_a_rate_but_none_of_a_few_days() -> None:
    columns = [np.array(values) for values in ([4.0, 0.0, 1.0], [30.0, 0.0, 0.1], [40.0, 40.0, 0.2], [1.0, 1.0, 1.0])]
    summary = Summary(*columns, rows=np.arange(3))
    assert naive_forecast(summary, 20.0).tolist() == [2.0, 0.0, 1.0]


def test_a_shop_that_changes_is_told_so() -> None:
    # Nobody bought for the last half of the hold-out, and half of the orders before it are missing too.
    purchases = shop()
    closed = until(purchases, 215)
    found = backtest(closed, 200, 399)
    assert found.predicted > 2 * found.actual
    assert "The total is off by more than 25%" in found.sentence


@pytest.mark.parametrize("cut", [399, 400])
def test_a_cut_that_leaves_no_hold_out_is_refused(cut: int) -> None:
    with pytest.raises(InvalidInput, match=f"cutDay={cut} is not before endDay=399") as caught:
        backtest(shop(), cut, 399)
    assert [error.field for error in caught.value.errors] == ["cutDay"]


def test_a_cut_before_the_first_purchase_is_too_early() -> None:
    with pytest.raises(InsufficientData, match="nobody bought before or on 1969-12-31"):
        backtest(shop(), -1, 399)


def test_a_hold_out_without_orders_tests_nothing() -> None:
    with pytest.raises(InsufficientData, match="none of 600 customers bought after the cut on 1971-02-05"):
        backtest(shop(), 400, 500)


def test_the_cut_leaves_the_share_that_is_asked_for() -> None:
    purchases = Purchases(np.array([0, 2]), np.array([100, 150], dtype=np.int32), np.ones(2))
    assert cut_for(purchases, 200) == 150
    assert cut_for(purchases, 200, share=0.25) == 175
    assert cut_for(purchases, 102, share=0.01) == 101 == cut_for(purchases, 102, share=0.99)


def test_a_cut_needs_days_to_cut() -> None:
    purchases = Purchases(np.array([0, 1]), np.array([100], dtype=np.int32), np.ones(1))
    with pytest.raises(InsufficientData, match="span 1 days"):
        cut_for(purchases, 101)
    with pytest.raises(InsufficientData, match="span 0 days"):
        cut_for(Purchases(np.array([0, 0]), np.empty(0, dtype=np.int32), np.empty(0)), 101)
    with pytest.raises(InvalidInput, match="share=1"):
        cut_for(purchases, 200, share=1.0)
