"""BG/NBD: published figures of CDNOW, the paper's likelihood, closed forms of the expectation, and refused data."""

import math
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.bgnbd import (
    expected_new,
    expected_orders,
    fit,
    grouped,
    probability_alive,
)
from segmentation.engine.lifetime.likelihood import counts_of, evaluate
from segmentation.errors import InsufficientData, InvalidInput, UnreliableFit
from support.lifetimes import orders_model as model
from support.purchasing import customers

SIMULATED = (0.8, 6.0, 0.8, 2.4)
# The parameters that CDNOW's 2,357 customers give, Fader, Hardie and Lee (2005), table 2, with more digits.
CDNOW = (0.24259291, 4.41353155, 0.79288608, 2.42575357)


@pytest.fixture(scope="module")
def cdnow(data: Path) -> Floats:
    """Columns x, t_x, T of the calibration period, in weeks."""
    table = np.genfromtxt(
        data / "cdnow" / "cdnow_customers_summary_with_transactions.csv", delimiter=",", skip_header=1
    )
    return table[:, 1:4].T


# ------------------------------------------------------------------ published and reference numbers


def test_cdnow_gives_the_published_parameters_and_likelihood(cdnow: Floats) -> None:
    found = fit(*cdnow)
    assert (found.r, found.alpha, found.a, found.b) == pytest.approx(CDNOW, rel=5e-5)
    assert found.log_likelihood == pytest.approx(-9582.425561, abs=0.01)
    assert (found.customers, found.newcomers) == (2357, 0)


def test_cdnow_gives_the_reference_expectations_per_customer(cdnow: Floats, data: Path) -> None:
    path = data.parent / "reference" / "expected" / "cdnow_per_customer_expected.csv"
    if not path.is_file():
        pytest.skip(f"the expected values are not at {path}")
    expected = np.genfromtxt(path, delimiter=",", skip_header=1)
    found = fit(*cdnow)
    np.testing.assert_allclose(expected_orders(found, 39, *cdnow), expected[:, 4], atol=1e-5)
    np.testing.assert_allclose(probability_alive(found, *cdnow), expected[:, 5], atol=1e-6)


def test_cdnow_gives_the_reference_sums(cdnow: Floats) -> None:
    found = fit(*cdnow)
    assert expected_orders(found, 39, *cdnow).sum() == pytest.approx(1653.4233, abs=0.001)
    assert probability_alive(found, *cdnow).mean() == pytest.approx(0.813439, abs=1e-6)


def test_single_customers_have_the_reference_expectations() -> None:
    histories = [2.0, 0.0, 26.0], [30.43, 0.0, 30.86], [38.86, 38.86, 31.0]
    orders = expected_orders(model(*CDNOW), 39, *histories)
    np.testing.assert_allclose(orders, [1.225911, 0.194781, 20.750570], atol=2e-6)
    np.testing.assert_allclose(probability_alive(model(*CDNOW), *histories), [0.726609, 1, 0.968920], atol=1e-6)


def test_new_customers_have_the_reference_expectations() -> None:
    found = [expected_new(model(*CDNOW), weeks) for weeks in (1, 3, 32, 78)]
    np.testing.assert_allclose(found, [0.053185, 0.150632, 1.043737, 1.857972], atol=1e-6)


# ------------------------------------------------------------------------------ the expectation


@pytest.mark.parametrize("time", [1e-6, 0.5, 30.0, 1e6])
def test_with_equal_chances_to_leave_the_expectation_is_a_logarithm(time: float) -> None:
    """Beta(1, 1): the mean of t / (1 + p t) over p is ln(1 + t), where the formula of the paper divides by 0."""
    assert expected_new(model(1.0, 1.0, 1.0, 1.0), time) == pytest.approx(math.log1p(time), rel=1e-8)
    expected = math.log1p(time) + time / (1 + time)
    assert expected_new(model(2.0, 1.0, 1.0, 1.0), time) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("a", [0.002, 0.3, 0.99999, 1.00001, 12.0, 4000.0])
@pytest.mark.parametrize(("x", "age", "horizon"), [(0, 0.5, 6.0), (1, 10.0, 26.0), (7, 40.0, 52.0), (60, 52.0, 26.0)])
def test_the_expectation_is_the_sum_over_possible_numbers_of_orders(
    a: float, x: int, age: float, horizon: float
) -> None:
    """Who never leaves orders a negative binomial number of times; the k-th happens to who has stayed k - 1 times."""
    r, alpha, b = 0.6, 3.0, 0.4
    share = horizon / (alpha + age + horizon)
    chance = (1 - share) ** (r + x)
    beyond, stayed, total = 1.0, 1.0, 0.0
    for k in range(3_000):
        beyond -= chance
        total += max(beyond, 0.0) * stayed
        stayed *= (b + x + k) / (a + b + x + k)
        chance *= (r + x + k) / (k + 1) * share
    recency = age if x else 0.0
    found = expected_orders(model(r, alpha, a, b), horizon, [x], [recency], [age])
    alive = probability_alive(model(r, alpha, a, b), [x], [recency], [age])
    assert found[0] == pytest.approx(total * alive[0], rel=1e-8)


def test_nothing_is_expected_of_no_time() -> None:
    assert expected_orders(model(*CDNOW), 0, [3.0], [5.0], [9.0])[0] == 0


def test_a_horizon_that_is_not_a_time_is_refused() -> None:
    for horizon in (-1.0, math.nan, math.inf):
        with pytest.raises(InvalidInput, match=f"horizon={horizon}"):
            expected_new(model(*CDNOW), horizon)


def test_nobody_gives_empty_columns() -> None:
    assert expected_orders(model(*CDNOW), 39, [], [], []).shape == (0,)
    assert probability_alive(model(*CDNOW), [], [], []).shape == (0,)


def test_one_of_age_zero_is_expected_to_order_like_any_new_customer() -> None:
    assert expected_orders(model(*CDNOW), 39, [0.0], [0.0], [0.0])[0] == expected_new(model(*CDNOW), 39)
    assert probability_alive(model(*CDNOW), [0.0], [0.0], [0.0])[0] == 1


def test_a_long_silence_after_many_orders_means_gone() -> None:
    assert probability_alive(model(*CDNOW), [5_000.0], [1.0], [1e6])[0] == 0


# ------------------------------------------------------------------------------- the likelihood


def test_the_likelihood_is_that_of_the_paper() -> None:
    x, recency, age, weight = [0.0, 1.0, 4.0, 4.0], [0.0, 2.0, 9.0, 3.5], [7.0, 11.0, 9.0, 30.0], [3.0, 1.0, 2.0, 1.0]
    r, alpha, a, b = 0.7, 5.0, 0.6, 1.9
    expected = 0.0
    for n, last, end, times in zip(x, recency, age, weight, strict=True):
        rate = math.gamma(r + n) / math.gamma(r) * alpha**r
        stay = math.gamma(b + n) * math.gamma(a + b) / (math.gamma(b) * math.gamma(a + b + n))
        leave = a / (b + n - 1) * (alpha + last) ** -(r + n) if n else 0.0
        expected += times * math.log(rate * stay * ((alpha + end) ** -(r + n) + leave))
    counts = counts_of(grouped(x, recency, age, weight))
    assert evaluate(counts, np.log([r, alpha, a, b]))[0] == pytest.approx(expected, rel=1e-13)


def test_gradient_and_hessian_are_the_slopes_of_the_likelihood() -> None:
    counts = counts_of(grouped(*customers(500, 1)))
    logs, step = np.log([0.5, 4.0, 0.7, 1.6]), 1e-5
    _, gradient, hessian = evaluate(counts, logs)
    for i in range(4):
        aside = step * np.eye(4)[i]
        above, below = evaluate(counts, logs + aside), evaluate(counts, logs - aside)
        assert gradient[i] == pytest.approx((above[0] - below[0]) / (2 * step), rel=1e-6)
        np.testing.assert_allclose(hessian[i], (above[1] - below[1]) / (2 * step), rtol=1e-5, atol=1e-4)


def test_the_fit_ends_where_the_likelihood_is_flat() -> None:
    columns = customers(3_000, 2)
    found = fit(*columns)
    counts = counts_of(grouped(*columns))
    value, gradient, _ = evaluate(counts, np.log([found.r, found.alpha, found.a, found.b]))
    assert value == pytest.approx(found.log_likelihood, abs=1e-9)
    assert np.abs(gradient).max() < 1e-5


def test_simulated_customers_give_their_parameters_within_the_standard_errors() -> None:
    found = fit(*customers(100_000, 3))
    for value, error, true in zip(
        (found.r, found.alpha, found.a, found.b), found.standard_errors, SIMULATED, strict=True
    ):
        assert 0 < error < 0.1 * true
        assert abs(value - true) < 4 * error + 0.03 * true  # days instead of instants shift the values a little


# ------------------------------------------------------------------------------- bad input and fits


@pytest.mark.parametrize(
    ("x", "recency", "age", "field", "message"),
    [
        (-1.0, 0.0, 5.0, "frequency", "frequency=-1 is not a whole number from 0 to 1e\\+12"),
        (1.5, 2.0, 5.0, "frequency", "frequency=1.5 is not a whole number from 0 to 1e\\+12"),
        (math.nan, 0.0, 5.0, "frequency", "frequency=nan is not a whole number"),
        (math.inf, 2.0, 5.0, "frequency", "frequency=inf is not a whole number"),
        (2.0, 6.0, 5.0, "recency", "recency=6 is not between 0 and the age"),
        (2.0, -1.0, 5.0, "recency", "recency=-1 is not between 0 and the age"),
        (2.0, math.nan, 5.0, "recency", "recency=nan is not between 0 and the age"),
        (0.0, 3.0, 5.0, "recency", "recency=3 does not fit the frequency"),
        (2.0, 0.0, 5.0, "recency", "recency=0 does not fit the frequency"),
        (0.0, 0.0, -1.0, "age", "age=-1 is not 0 or a positive length of time"),
        (0.0, 0.0, 1e300, "age", "age=1e\\+300 is not 0 or a positive"),
        (0.0, 0.0, 1e-300, "age", "age=1e-300 is not 0 or a positive"),
        (0.0, 0.0, math.nan, "age", "age=nan is not 0 or a positive"),
        (0.0, 0.0, math.inf, "age", "age=inf is not 0 or a positive"),
    ],
)
def test_what_cannot_be_a_history_is_refused_with_its_value(
    x: float, recency: float, age: float, field: str, message: str
) -> None:
    columns = [[2.0, x, 0.0], [1.0, recency, 0.0], [4.0, age, 4.0]]
    for function in (fit, grouped, lambda *values: probability_alive(model(*CDNOW), *values)):
        with pytest.raises(InvalidInput, match=message) as error:
            function(*columns)
        assert field in {found.field for found in error.value.errors}
        assert "1 of 3 rows" in error.value.message


@pytest.mark.parametrize("unit", [1e-97, 1e97])
def test_the_shortest_and_longest_times_that_are_accepted_give_a_model(unit: float) -> None:
    x, recency, age = customers(1_000, 8)
    one, other = fit(x, recency, age), fit(x, recency * unit, age * unit)
    assert (other.r, other.alpha / unit, other.a, other.b) == pytest.approx((one.r, one.alpha, one.a, one.b), rel=1e-6)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"frequency \(2,\), recency \(1,\) and age \(2,\)"):
        fit([1.0, 0.0], [1.0], [2.0, 2.0])


@pytest.mark.parametrize("weight", [[1.0, 0.0], [1.0, math.nan], [1.0, -2.0], [1.0], [math.inf, 1.0]])
def test_a_weight_that_counts_nobody_is_refused(weight: list[float]) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        fit([1.0, 0.0], [1.0, 0.0], [2.0, 2.0], weight)


def test_customers_of_age_zero_are_counted_and_change_nothing() -> None:
    columns = customers(1_000, 4)
    alone, beside = fit(*columns), fit(*(np.append(column, np.zeros(250)) for column in columns))
    assert (beside.customers, beside.newcomers) == (1_000, 250)
    assert (alone.r, alone.alpha, alone.a, alone.b) == (beside.r, beside.alpha, beside.a, beside.b)


def test_customers_of_age_zero_alone_are_insufficient() -> None:
    with pytest.raises(InsufficientData, match="0 customers beside 500 of age 0 are too few"):
        fit(np.zeros(500), np.zeros(500), np.zeros(500))


def test_nobody_at_all_is_insufficient() -> None:
    with pytest.raises(InsufficientData, match="0 customers are too few"):
        fit([], [], [])


def test_fewer_than_a_hundred_customers_are_insufficient() -> None:
    with pytest.raises(InsufficientData, match="99 customers are too few: at least 100 are needed"):
        fit(np.ones(99), np.full(99, 3.0), np.full(99, 9.0))


def test_one_time_buyers_only_are_insufficient() -> None:
    with pytest.raises(InsufficientData, match="0 of 1000 customers ordered again"):
        fit(np.zeros(1_000), np.zeros(1_000), np.full(1_000, 9.0))


def test_a_single_repeat_order_for_each_repeat_buyer_is_unreliable() -> None:
    x = np.repeat([0.0, 1.0], 500)
    with pytest.raises(UnreliableFit, match=r"ran to a bound .*r=.*alpha=.*a=.*b="):
        fit(x, 10 * x, np.full(1_000, 52.0))


def test_customers_who_never_leave_are_unreliable() -> None:
    """Everybody's last order is at the end: that a chance to leave is 0 fits best, and no a and b say so."""
    x, _, age = customers(2_000, 5)
    with pytest.raises(UnreliableFit, match="ran to a bound"):
        fit(x, np.where(x > 0, age, 0.0), age)


def test_customers_who_all_do_the_same_are_unreliable() -> None:
    with pytest.raises(UnreliableFit, match="r ran to a bound"):
        fit(np.full(500, 3.0), np.full(500, 20.0), np.full(500, 52.0))


def test_one_absurd_customer_does_not_make_numbers() -> None:
    x, recency, age = customers(2_000, 6)
    x[np.argmax(x)] = 1e12
    with pytest.raises(UnreliableFit):
        fit(x, recency, age)


# ----------------------------------------------------------------------------------- equal rows


def test_equal_histories_become_one_weighted_row() -> None:
    found = grouped([2.0, 0.0, 2.0, 2.0], [3.0, 0.0, 3.0, 4.0], [9.0, 9.0, 9.0, 9.0])
    np.testing.assert_array_equal(found.frequency, [0.0, 2.0, 2.0])
    np.testing.assert_array_equal(found.recency, [0.0, 3.0, 4.0])
    np.testing.assert_array_equal(found.age, [9.0, 9.0, 9.0])
    np.testing.assert_array_equal(found.weight, [1.0, 2.0, 1.0])
    np.testing.assert_array_equal(found.inverse, [1, 0, 1, 2])


@pytest.mark.parametrize("unit", [1.0, 1 / 7, 0.01, math.pi, 1e9])
def test_equal_histories_are_found_in_any_unit_of_time(unit: float) -> None:
    days = np.random.default_rng(7).integers(1, 9, 2_000)
    x = np.where(days > 4, 2.0, 0.0)
    recency, age = np.where(x > 0, days * unit, 0.0), np.full(2_000, 11 * unit)
    found = grouped(x, recency, age)
    assert len(found.weight) == 5
    np.testing.assert_array_equal(found.recency[found.inverse], recency)
    np.testing.assert_array_equal(found.frequency[found.inverse], x)
    assert found.weight.sum() == 2_000


def test_weights_of_equal_histories_add_up() -> None:
    found = grouped([1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [2.5, 4.0])
    np.testing.assert_array_equal(found.weight, [6.5])
