"""Discounted value and the next order: computed figures of CDNOW, and formulas by hand."""

from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime import bgnbd, gamma_gamma
from segmentation.engine.lifetime.value import clv, next_order
from segmentation.errors import InvalidInput
from support.cdnow import summary_of_cdnow
from support.lifetimes import orders_model, spend_model

ORDERS, SPEND = orders_model(0.5, 4.0, 0.8, 2.5), spend_model(6.0, 4.0, 15.0)
FREQUENCY, RECENCY, AGE = np.array([2.0, 0.0, 5.0]), np.array([20.0, 0.0, 2.0]), np.array([30.0, 30.0, 38.0])
MEAN_VALUE = np.array([20.0, np.nan, 45.0])


def value(months: int = 12, weeks_per_month: float = 4.345, monthly_rate: float = 0.01) -> Floats:
    return clv(
        ORDERS,
        SPEND,
        FREQUENCY,
        RECENCY,
        AGE,
        MEAN_VALUE,
        months=months,
        weeks_per_month=weeks_per_month,
        monthly_rate=monthly_rate,
    )


def test_cdnow_gives_the_computed_values(data: Path) -> None:
    cdnow = summary_of_cdnow(data)
    history = cdnow["x"], cdnow["t_x"], cdnow["T"]
    found = clv(bgnbd.fit(*history), gamma_gamma.fit(cdnow["x"], cdnow["zbar"]), *history, cdnow["zbar"])
    first_ten = [36.2785, 4.6375, 8.3441, 8.3441, 8.3441, 283.5236, 6.8814, 8.3441, 43.3536, 8.3441]
    assert found[:10] == pytest.approx(first_ten, rel=1e-4)
    assert found.sum() == pytest.approx(71_509.8993, rel=1e-5)


def test_without_discount_the_value_is_expected_orders_times_expected_spend() -> None:
    orders = bgnbd.expected_orders(ORDERS, 40.0, FREQUENCY, RECENCY, AGE)
    spend = gamma_gamma.mean_spend(SPEND, FREQUENCY, MEAN_VALUE)
    assert value(months=10, weeks_per_month=4.0, monthly_rate=0.0) == pytest.approx(orders * spend)


def test_each_month_is_discounted_from_its_end() -> None:
    first, both = (value(months=months, weeks_per_month=4.0, monthly_rate=0.0) for months in (1, 2))
    expected = first / 1.5 + (both - first) / 1.5**2
    assert value(months=2, weeks_per_month=4.0, monthly_rate=0.5) == pytest.approx(expected)


def test_a_customer_of_unknown_spend_has_no_value_and_harms_nobody() -> None:
    spoiled = clv(ORDERS, SPEND, FREQUENCY, RECENCY, AGE, np.array([-1.0, np.nan, 45.0]))
    assert np.isnan(spoiled[0]) and (spoiled[1:] == value()[1:]).all()


def test_a_customer_of_age_0_is_worth_what_a_new_one_is() -> None:
    zero = np.zeros(1)
    found = clv(ORDERS, SPEND, zero, zero, zero, np.array([np.nan]), months=1, weeks_per_month=4.0, monthly_rate=0.0)
    assert found == pytest.approx([bgnbd.expected_new(ORDERS, 4.0) * SPEND.mean])


def test_nobody_has_no_values() -> None:
    none = np.empty(0)
    assert len(clv(ORDERS, SPEND, none, none, none, none)) == len(next_order(ORDERS, none, none, none)) == 0


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("months", 0),
        ("months", 121),
        ("weeksPerMonth", 0.0),
        ("weeksPerMonth", float("nan")),
        ("monthlyRate", -1.0),
        ("monthlyRate", float("inf")),
    ],
)
def test_a_horizon_or_rate_without_sense_is_refused(field: str, wrong: float) -> None:
    names = {"months": "months", "weeksPerMonth": "weeks_per_month", "monthlyRate": "monthly_rate"}
    with pytest.raises(InvalidInput, match=f"{field}={wrong}") as caught:
        value(**{names[field]: wrong})  # type: ignore[arg-type]
    assert [error.field for error in caught.value.errors] == [field]


def test_at_the_next_order_the_customer_has_ordered_with_probability_one_half() -> None:
    time = next_order(ORDERS, FREQUENCY, RECENCY, AGE)
    alive = bgnbd.probability_alive(ORDERS, FREQUENCY, RECENCY, AGE)
    exposure = ORDERS.alpha + AGE
    none_yet = (exposure / (exposure + time)) ** (ORDERS.r + FREQUENCY)
    assert (alive * (1 - none_yet))[:2] == pytest.approx([0.5, 0.5])


def test_the_next_order_of_a_one_time_buyer_is_as_by_hand() -> None:
    # P(alive) is 1, and (34 / (34 + t))^0.5 = 1/2 where t = 3 * 34.
    assert next_order(ORDERS, FREQUENCY, RECENCY, AGE)[1] == pytest.approx(102.0)


def test_a_customer_as_likely_gone_as_not_has_no_next_order() -> None:
    assert bgnbd.probability_alive(ORDERS, FREQUENCY, RECENCY, AGE)[2] < 0.5
    assert np.isnan(next_order(ORDERS, FREQUENCY, RECENCY, AGE)[2])
