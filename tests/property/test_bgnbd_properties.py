"""BG/NBD: what must not change the fit, and what holds for the predictions of any model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.lifetime.bgnbd import BgNbd, expected_orders, fit, grouped, probability_alive
from support.purchasing import customers

FEW = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 10_000)
SIZE = 1_500


def values(model: BgNbd) -> tuple[float, float, float, float]:
    return model.r, model.alpha, model.a, model.b


def shapes() -> st.SearchStrategy[float]:
    return st.floats(-3, 3).map(lambda power: 10**power)


@st.composite
def models(draw: st.DrawFn) -> BgNbd:
    return BgNbd(*(draw(shapes()) for _ in range(4)), 0.0, (0.0,) * 4, 0, 0, 0, 0)


@FEW
@given(SEEDS)
def test_the_order_of_the_customers_does_not_change_a_bit(seed: int) -> None:
    columns = customers(SIZE, seed)
    order = np.random.default_rng(seed).permutation(SIZE)
    assert fit(*columns) == fit(*(column[order] for column in columns))


@FEW
@given(SEEDS, st.integers(2, 5))
def test_counting_everybody_several_times_changes_the_standard_errors_only(seed: int, times: int) -> None:
    columns = customers(SIZE, seed)
    once, often = fit(*columns), fit(*(np.tile(column, times) for column in columns))
    assert values(often) == pytest.approx(values(once), rel=1e-5)
    assert often.log_likelihood == pytest.approx(times * once.log_likelihood, rel=1e-9)
    errors = np.array(once.standard_errors) / np.sqrt(times)
    np.testing.assert_allclose(often.standard_errors, errors, rtol=1e-3)
    assert (often.customers, often.rows) == (times * once.customers, once.rows)


@FEW
@given(SEEDS)
def test_a_weight_counts_like_equal_rows(seed: int) -> None:
    columns = customers(SIZE, seed)
    weight = np.random.default_rng(seed).integers(1, 4, SIZE)
    weighted = fit(*columns, weight)
    assert weighted == fit(*(np.repeat(column, weight) for column in columns))
    groups = grouped(*columns, weight)
    assert weighted == fit(groups.frequency, groups.recency, groups.age, groups.weight)


@FEW
@given(SEEDS, st.sampled_from([1 / 52, 7.0, 168.0, 1e-6, 1e9, np.pi]))
def test_another_unit_of_time_changes_alpha_only(seed: int, unit: float) -> None:
    x, recency, age = customers(SIZE, seed)
    one, other = fit(x, recency, age), fit(x, recency * unit, age * unit)
    assert values(other) == pytest.approx((one.r, one.alpha * unit, one.a, one.b), rel=1e-5)
    assert other.log_likelihood == pytest.approx(one.log_likelihood - x.sum() * np.log(unit), rel=1e-9)


@FEW
@given(SEEDS, models(), st.floats(0.01, 500))
def test_a_customer_alone_has_the_last_digit_of_a_customer_among_many(seed: int, model: BgNbd, horizon: float) -> None:
    columns = customers(400, seed)
    orders, alive = expected_orders(model, horizon, *columns), probability_alive(model, *columns)
    for row in range(0, 400, 23):
        alone = [column[row : row + 1] for column in columns]
        assert expected_orders(model, horizon, *alone)[0] == orders[row]
        assert probability_alive(model, *alone)[0] == alive[row]


@FEW
@given(SEEDS, models(), st.floats(0.01, 500))
def test_expected_orders_lie_between_none_and_those_of_one_who_never_leaves(
    seed: int, model: BgNbd, horizon: float
) -> None:
    x, recency, age = customers(400, seed)
    orders = expected_orders(model, horizon, x, recency, age)
    without_leaving = (model.r + x) / (model.alpha + age) * horizon
    assert np.all(orders >= 0)
    assert np.all(orders <= without_leaving * (1 + 1e-8))


@FEW
@given(SEEDS, models(), st.floats(0.01, 100), st.floats(1.01, 10))
def test_more_time_never_means_fewer_orders(seed: int, model: BgNbd, horizon: float, factor: float) -> None:
    columns = customers(400, seed)
    short, long = expected_orders(model, horizon, *columns), expected_orders(model, horizon * factor, *columns)
    assert np.all(long >= short * (1 - 1e-8))


@settings(deadline=None, max_examples=60)
@given(models(), st.integers(0, 300), st.floats(0.1, 100), st.just(0.0) | st.floats(1e-6, 100), st.floats(0.1, 100))
def test_silence_makes_a_customer_less_alive(
    model: BgNbd, x: int, recency: float, silence: float, longer: float
) -> None:
    last = recency if x else 0.0
    ages = np.array([last + silence, last + silence + longer])
    alive = probability_alive(model, np.full(2, x), np.full(2, last), ages)
    assert np.all((alive >= 0) & (alive <= 1))
    assert alive[1] <= alive[0]
    assert alive[1] < alive[0] or alive[0] == 0 or x == 0 or 1 - alive[1] < 1e-9


@FEW
@given(SEEDS, st.sampled_from([1.0, 7.0, np.pi]))
def test_histories_lead_back_to_their_customers(seed: int, unit: float) -> None:
    x, recency, age = customers(800, seed)
    found = grouped(x, recency * unit, age * unit)
    np.testing.assert_array_equal(found.frequency[found.inverse], x)
    np.testing.assert_array_equal(found.recency[found.inverse], recency * unit)
    np.testing.assert_array_equal(found.age[found.inverse], age * unit)
    rows = np.column_stack([x, recency * unit, age * unit])
    expected, counts = np.unique(rows, axis=0, return_counts=True)
    np.testing.assert_array_equal(np.column_stack([found.frequency, found.recency, found.age]), expected)
    np.testing.assert_array_equal(found.weight, counts)
