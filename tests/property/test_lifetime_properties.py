"""Laws of purchase days, Gamma-Gamma, value and next order that hold for all shops."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import EventTable, Floats, NumberColumn
from segmentation.engine.lifetime import gamma_gamma
from segmentation.engine.lifetime.bgnbd import probability_alive
from segmentation.engine.lifetime.gamma_gamma import GammaGamma, mean_spend
from segmentation.engine.lifetime.purchases import Purchases, joined, of_orders, summarise
from segmentation.engine.lifetime.value import clv, next_order
from support.lifetimes import orders_model, spend_model

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDERS, SPEND = orders_model(0.24, 4.4, 0.79, 2.43), spend_model(6.25, 3.74, 15.4)

lines = st.tuples(st.integers(-3 * 24, 9 * 24), st.sampled_from([0.1, 0.2, 0.7, 1e9, -0.3]))
shops = st.lists(st.lists(lines, max_size=8).map(sorted), max_size=6)
seeds = st.integers(0, 1_000)


def table(shop: list[list[tuple[int, float]]]) -> EventTable:
    """Lines as (hour since 1970, amount)."""
    flat = [line for customer in shop for line in customer]
    offsets = np.cumsum([0, *(len(customer) for customer in shop)])
    time = np.array([hour for hour, _ in flat], dtype="datetime64[h]").astype("datetime64[us]")
    return EventTable(offsets, time, {"amount": NumberColumn(np.array([amount for _, amount in flat], dtype=float))})


def walked(customer: list[tuple[int, float]]) -> dict[int, list[float]]:
    """Amounts by day, line by line."""
    found: dict[int, list[float]] = {}
    for hour, amount in customer:
        found.setdefault(((EPOCH + timedelta(hours=hour)).date() - EPOCH.date()).days, []).append(amount)
    return found


def customer_of(purchases: Purchases, number: int) -> tuple[list[int], list[float]]:
    part = slice(purchases.offsets[number], purchases.offsets[number + 1])
    return purchases.day[part].tolist(), purchases.amount[part].tolist()


def spenders(seed: int, size: int = 600) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    frequency = random.geometric(0.4, size).astype(np.float64)
    return frequency, random.gamma(6.0 * frequency) / random.gamma(4.0, 1 / 15, size) / frequency


def buyers(seed: int, size: int = 40) -> tuple[Floats, Floats, Floats, Floats]:
    """Random histories of all sorts, one-time buyers among them."""
    random = np.random.default_rng(seed)
    frequency = np.floor(random.exponential(3, size))
    age = random.uniform(0, 200, size)
    recency = np.where(frequency > 0, age * random.uniform(0, 1, size), 0.0)
    return frequency, recency, age, np.where(frequency > 0, random.gamma(3, 10, size), np.nan)


@settings(deadline=None, max_examples=100)
@given(shop=shops)
def test_purchase_days_are_those_that_a_walk_finds(shop: list[list[tuple[int, float]]]) -> None:
    found = of_orders(table(shop))
    for number, customer in enumerate(shop):
        days, amounts = customer_of(found, number)
        expected = walked(customer)
        assert days == sorted(expected)
        np.testing.assert_allclose(amounts, [sum(expected[day]) for day in days], rtol=1e-12)


@settings(deadline=None, max_examples=50)
@given(shop=shops)
def test_a_customer_alone_buys_what_it_buys_among_others(shop: list[list[tuple[int, float]]]) -> None:
    together = of_orders(table(shop))
    parts = [of_orders(table([customer])) for customer in shop]
    for number, part in enumerate(parts):
        assert customer_of(part, 0) == customer_of(together, number)
    again = joined(parts)
    for name in ("offsets", "day", "amount"):
        assert getattr(again, name).tolist() == getattr(together, name).tolist()


@settings(deadline=None, max_examples=100)
@given(shop=shops, end_day=st.integers(-4, 10))
def test_a_summary_counts_what_a_walk_counts(shop: list[list[tuple[int, float]]], end_day: int) -> None:
    purchases = of_orders(table(shop))
    found = summarise(purchases, end_day, unit_days=1.0)
    expected = {}
    for number in range(len(shop)):
        days, amounts = customer_of(purchases, number)
        seen = [day for day in days if day <= end_day]
        if seen:
            mean = np.mean(amounts[1 : len(seen)]) if len(seen) > 1 else np.nan
            expected[number] = (len(seen) - 1, seen[-1] - seen[0], end_day - seen[0], mean)
    assert found.rows.tolist() == list(expected)
    columns = np.stack((found.frequency, found.recency, found.age, found.mean_value), axis=1)
    np.testing.assert_allclose(columns, np.array(list(expected.values())).reshape(-1, 4), rtol=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=seeds)
def test_the_order_of_the_customers_changes_no_fit(seed: int) -> None:
    frequency, value = spenders(seed)
    model = gamma_gamma.fit(frequency, value)
    order = np.random.default_rng(seed).permutation(len(frequency))
    other = gamma_gamma.fit(frequency[order], value[order])
    np.testing.assert_allclose([other.p, other.q, other.v], [model.p, model.q, model.v], rtol=1e-6)


@settings(deadline=None, max_examples=15)
@given(seed=seeds, factor=st.sampled_from([1e-6, 0.01, 100.0, 1e9]))
def test_another_currency_changes_the_scale_only(seed: int, factor: float) -> None:
    frequency, value = spenders(seed)
    model, other = gamma_gamma.fit(frequency, value), gamma_gamma.fit(frequency, value * factor)
    np.testing.assert_allclose([other.p, other.q, other.v / factor], [model.p, model.q, model.v], rtol=1e-6)
    np.testing.assert_allclose(other.log_likelihood, model.log_likelihood - len(value) * np.log(factor), rtol=1e-9)
    spend, other_spend = (mean_spend(*pair) for pair in ((model, frequency, value), (other, frequency, value * factor)))
    np.testing.assert_allclose(other_spend, spend * factor, rtol=1e-6)


@settings(deadline=None, max_examples=15)
@given(seed=seeds, times=st.integers(2, 5))
def test_everyone_twice_is_the_same_model_with_smaller_errors(seed: int, times: int) -> None:
    frequency, value = spenders(seed)
    model = gamma_gamma.fit(frequency, value)
    repeated = gamma_gamma.fit(np.tile(frequency, times), np.tile(value, times))
    weighted = gamma_gamma.fit(frequency, value, np.full(len(value), float(times)))
    for other in (repeated, weighted):
        np.testing.assert_allclose([other.p, other.q, other.v], [model.p, model.q, model.v], rtol=1e-6)
        np.testing.assert_allclose(other.standard_errors, np.array(model.standard_errors) / np.sqrt(times), rtol=1e-4)
        assert other.customers == times * model.customers


@settings(deadline=None, max_examples=10)
@given(seed=seeds)
def test_a_refit_is_the_same_bit_by_bit_and_so_is_its_document(seed: int) -> None:
    first, second = gamma_gamma.fit(*spenders(seed)), gamma_gamma.fit(*spenders(seed))
    assert to_document(first) == to_document(second)
    assert to_document(from_document(GammaGamma, to_document(first))) == to_document(first)


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_expected_spend_lies_between_the_own_mean_and_everyones(seed: int) -> None:
    frequency, value = spenders(seed)
    expected = mean_spend(SPEND, frequency, value)
    low, high = np.minimum(value, SPEND.mean), np.maximum(value, SPEND.mean)
    assert ((expected >= low * (1 - 1e-12)) & (expected <= high * (1 + 1e-12))).all()


@settings(deadline=None, max_examples=15)
@given(seed=seeds)
def test_scores_of_a_customer_do_not_depend_on_the_others(seed: int) -> None:
    history = buyers(seed)
    values, times = clv(ORDERS, SPEND, *history), next_order(ORDERS, *history[:3])
    for row in range(0, len(values), 7):
        alone = tuple(column[row : row + 1] for column in history)
        np.testing.assert_array_equal(clv(ORDERS, SPEND, *alone), values[row : row + 1])
        np.testing.assert_array_equal(next_order(ORDERS, *alone[:3]), times[row : row + 1])


@settings(deadline=None, max_examples=25)
@given(seed=seeds, months=st.integers(1, 24))
def test_more_months_are_worth_more_and_a_discount_less(seed: int, months: int) -> None:
    history = buyers(seed)
    value = clv(ORDERS, SPEND, *history, months=months)
    assert (value > 0).all()
    assert (clv(ORDERS, SPEND, *history, months=months + 1) >= value).all()
    assert (clv(ORDERS, SPEND, *history, months=months, monthly_rate=0.05) < value).all()


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_the_next_order_is_due_for_those_who_are_likely_alive_and_no_others(seed: int) -> None:
    frequency, recency, age, _ = buyers(seed)
    time, alive = next_order(ORDERS, frequency, recency, age), probability_alive(ORDERS, frequency, recency, age)
    assert (np.isnan(time) == (alive <= 0.5)).all()
    due = alive > 0.5
    exposure = ORDERS.alpha + age[due]
    came = alive[due] * (1 - (exposure / (exposure + time[due])) ** (ORDERS.r + frequency[due]))
    np.testing.assert_allclose(came, 0.5, rtol=1e-9)
