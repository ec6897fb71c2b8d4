"""Gamma-Gamma: published and computed figures of CDNOW, an independent likelihood, and data that it refuses."""

from dataclasses import replace
from math import lgamma, log
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.gamma_gamma import caution, fit, mean_spend
from segmentation.errors import InsufficientData, InvalidInput, UnreliableFit
from support.cdnow import summary_of_cdnow
from support.lifetimes import spend_model

FIRST_TEN = [24.6586, 18.9115, 35.171, 35.171, 35.171, 71.4629, 18.9115, 35.171, 27.2824, 35.171]
MODEL = spend_model(6.0, 4.0, 15.0)


def shop(size: int, p: float = 6.0, q: float = 4.0, v: float = 15.0, seed: int = 0) -> tuple[Floats, Floats]:
    """Frequencies and mean values as the model says that they come about."""
    random = np.random.default_rng(seed)
    frequency = random.geometric(0.4, size).astype(np.float64)
    rate = random.gamma(q, 1 / v, size)
    return frequency, random.gamma(p * frequency) / rate / frequency


def log_likelihood(p: float, q: float, v: float, frequency: Floats, mean_value: Floats) -> float:
    """Customer by customer, from the text of the paper."""
    total = 0.0
    for x, z in zip(frequency.tolist(), mean_value.tolist(), strict=True):
        total += lgamma(p * x + q) - lgamma(p * x) - lgamma(q) + q * log(v)
        total += (p * x - 1) * log(z) + p * x * log(x) - (p * x + q) * log(x * z + v)
    return total


def test_cdnow_gives_the_published_parameters(data: Path) -> None:
    cdnow = summary_of_cdnow(data)
    model = fit(cdnow["x"], cdnow["zbar"])
    assert (round(model.p, 2), round(model.q, 2), round(model.v, 2)) == (6.25, 3.74, 15.45)
    assert [model.p, model.q, model.v] == pytest.approx([6.24880299, 3.74458851, 15.44774689], rel=1e-5)
    assert model.log_likelihood == pytest.approx(-4055.923244, abs=1e-5)
    assert model.customers == 946
    assert caution(model) is None


def test_cdnow_gives_the_expected_spend_of_its_customers(data: Path) -> None:
    cdnow = summary_of_cdnow(data)
    model = fit(cdnow["x"], cdnow["zbar"])
    assert mean_spend(model, cdnow["x"], cdnow["zbar"])[:10] == pytest.approx(FIRST_TEN, abs=1e-4)
    assert model.mean == pytest.approx(35.171, abs=1e-4)


def test_a_fit_that_starts_on_a_part_ends_where_the_fit_of_all_does(data: Path) -> None:
    cdnow = summary_of_cdnow(data)
    once = fit(cdnow["x"], cdnow["zbar"])
    often = fit(np.tile(cdnow["x"], 50), np.tile(cdnow["zbar"], 50))
    assert often.customers == 47_300
    assert [often.p, often.q, often.v] == pytest.approx([once.p, once.q, once.v], rel=1e-8)
    assert often.log_likelihood == pytest.approx(50 * once.log_likelihood, rel=1e-12)
    assert np.multiply(often.standard_errors, np.sqrt(50)) == pytest.approx(once.standard_errors, rel=1e-6)


def test_the_likelihood_is_the_papers_and_highest_at_the_fit() -> None:
    frequency, value = shop(300)
    model = fit(frequency, value)
    best = log_likelihood(model.p, model.q, model.v, frequency, value)
    assert model.log_likelihood == pytest.approx(best, abs=1e-7)
    for name in ("p", "q", "v"):
        for factor in (0.999, 1.001):
            other = replace(model, **{name: getattr(model, name) * factor})
            assert log_likelihood(other.p, other.q, other.v, frequency, value) < best


def test_standard_errors_follow_from_the_curvature_of_the_likelihood() -> None:
    frequency, value = shop(400)
    model = fit(frequency, value)
    at, step = np.array([model.p, model.q, model.v]), np.diag([1e-3, 1e-3, 1e-3])
    curvature = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            corners = [
                (s, t, log_likelihood(*(at + s * step[i] + t * step[j]), frequency, value))
                for s in (-1, 1)
                for t in (-1, 1)
            ]
            curvature[i, j] = sum(s * t * value_ for s, t, value_ in corners) / 4e-6
    expected = np.sqrt(np.diag(np.linalg.inv(-curvature)))
    assert model.standard_errors == pytest.approx(expected, rel=1e-2)


def test_parameters_that_made_the_data_lie_within_four_standard_errors() -> None:
    model = fit(*shop(50_000))
    distance = (np.array([model.p, model.q, model.v]) - (6.0, 4.0, 15.0)) / np.array(model.standard_errors)
    assert np.abs(distance).max() < 4


def test_one_time_buyers_change_nothing() -> None:
    frequency, value = shop(300)
    with_others = fit(np.append(frequency, [0.0, 0.0]), np.append(value, [np.nan, -1.0]))
    assert with_others.log_likelihood == fit(frequency, value).log_likelihood
    assert with_others.customers == 300


def test_a_weight_counts_as_that_many_customers() -> None:
    frequency, value = shop(200)
    weight = np.where(np.arange(200) < 50, 3.0, 1.0)
    weighted = fit(frequency, value, weight)
    repeated = fit(np.repeat(frequency, weight.astype(int)), np.repeat(value, weight.astype(int)))
    assert weighted.customers == repeated.customers == 300
    assert [weighted.p, weighted.q, weighted.v] == pytest.approx([repeated.p, repeated.q, repeated.v], rel=1e-9)
    assert weighted.standard_errors == pytest.approx(repeated.standard_errors, rel=1e-6)
    assert weighted.correlation == pytest.approx(repeated.correlation)


def test_the_expected_spend_lies_between_the_own_mean_and_everyones() -> None:
    # 6 * (15 + 2 * 20) / (6 * 2 + 4 - 1) = 22, and everyone's mean is 6 * 15 / 3 = 30.
    frequency, value = np.array([2.0, 0.0, 0.0]), np.array([20.0, 99.0, np.nan])
    assert mean_spend(MODEL, frequency, value).tolist() == [22.0, 30.0, 30.0]
    assert MODEL.mean == 30.0


def test_a_repeat_customer_without_a_positive_value_gets_no_spend_and_harms_nobody() -> None:
    found = mean_spend(MODEL, np.array([2.0, 1.0, 1.0, 1.0, 1.0]), np.array([20.0, 0.0, -3.0, np.nan, np.inf]))
    assert found[0] == 22.0 and np.isnan(found[1:]).all()


def test_values_that_are_not_positive_are_refused_with_their_number() -> None:
    frequency, value = shop(100)
    value[[3, 8, 9, 10, 11]] = -12.5, 0.0, np.nan, np.inf, 1e300
    with pytest.raises(InvalidInput, match=r"5 of 100 repeat customers .* -12\.5") as caught:
        fit(frequency, value)
    assert [error.field for error in caught.value.errors] == ["meanValue"]


@pytest.mark.parametrize("wrong", [-1.0, 1.5, 2_000_000.0, float("nan"), float("inf")])
def test_frequencies_that_are_no_counts_are_refused(wrong: float) -> None:
    frequency, value = shop(100)
    frequency[5] = wrong
    with pytest.raises(InvalidInput, match=f"frequency={wrong}") as caught:
        fit(frequency, value)
    assert [error.field for error in caught.value.errors] == ["frequency"]


def test_columns_of_different_lengths_are_refused() -> None:
    frequency, value = shop(100)
    with pytest.raises(InvalidInput, match=r"\[100, 99\]"):
        fit(frequency, value[1:])
    with pytest.raises(InvalidInput, match="weight"):
        fit(frequency, value, np.zeros(100))


@pytest.mark.parametrize("count", [0, 29])
def test_too_few_repeat_customers_are_insufficient(count: int) -> None:
    frequency, value = shop(29)
    frequency[count:] = 0.0
    with pytest.raises(InsufficientData, match=f"{count} customers bought again"):
        fit(frequency, value)


def test_a_fit_that_runs_to_a_bound_says_what_the_data_lack() -> None:
    random = np.random.default_rng(0)
    frequency = random.geometric(0.4, 500).astype(np.float64)
    with pytest.raises(UnreliableFit, match="purchases of one customer seem not to vary"):
        fit(frequency, 15 / random.gamma(4.0, 1.0, 500))
    with pytest.raises(UnreliableFit, match="customers seem not to differ"):
        fit(frequency, random.gamma(0.3 * frequency) / frequency)
    with pytest.raises(UnreliableFit):
        fit(frequency, np.full(500, 20.0))


def test_values_without_a_finite_mean_give_no_model() -> None:
    with pytest.raises(UnreliableFit, match=r"q=0\.\d+ is not above 1"):
        fit(*shop(2_000, q=0.6))


def test_a_correlation_of_frequency_and_value_is_stated() -> None:
    frequency, value = shop(2_000)
    tied = fit(frequency, value * frequency)
    assert tied.correlation > 0.3
    assert "spend more per purchase" in str(caution(tied))
    assert "spend less per purchase" in str(caution(replace(tied, correlation=-0.5)))
    assert abs(fit(frequency, value).correlation) < 0.1


def test_the_correlation_of_a_constant_is_no_number() -> None:
    _, value = shop(300)
    once = fit(np.ones(300), value)
    assert np.isnan(once.correlation) and caution(once) is None
