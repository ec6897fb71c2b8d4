"""Special functions: known values, the laws that tie them together, and where they are not defined."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.special import digamma, log_beta, log_gamma, trigamma

EULER = 0.577215664901532860606512
POSITIVE = np.concatenate([np.logspace(-8, 8, 400), np.arange(1, 30), [7.999999, 8.0, 8.000001]])


def test_log_gamma_of_a_half_is_that_of_the_root_of_pi() -> None:
    assert log_gamma(0.5) == pytest.approx(0.5 * math.log(math.pi), abs=1e-14)


def test_log_gamma_agrees_with_the_standard_library_from_tiny_to_huge_arguments() -> None:
    expected = np.array([math.lgamma(x) for x in POSITIVE])
    np.testing.assert_allclose(log_gamma(POSITIVE), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (1.0, -EULER),
        (0.5, -EULER - 2 * math.log(2)),
        (0.25, -EULER - math.pi / 2 - 3 * math.log(2)),
        (10.0, -EULER + sum(1 / k for k in range(1, 10))),
    ],
)
def test_digamma_has_its_known_values(x: float, expected: float) -> None:
    assert digamma(x) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (1.0, math.pi**2 / 6),
        (0.5, math.pi**2 / 2),
        (0.25, math.pi**2 + 8 * 0.915965594177219015054604),
        (10.0, math.pi**2 / 6 - sum(1 / k**2 for k in range(1, 10))),
    ],
)
def test_trigamma_has_its_known_values(x: float, expected: float) -> None:
    assert trigamma(x) == pytest.approx(expected, rel=1e-13)


def test_derivatives_follow_the_recurrence_over_the_whole_range() -> None:
    np.testing.assert_allclose(digamma(POSITIVE), digamma(POSITIVE + 1) - 1 / POSITIVE, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(trigamma(POSITIVE), trigamma(POSITIVE + 1) + 1 / POSITIVE**2, rtol=1e-12)


def test_digamma_is_the_slope_of_log_gamma_and_trigamma_that_of_digamma() -> None:
    x, step = np.logspace(-1, 3, 50), 1e-5
    np.testing.assert_allclose((log_gamma(x + step) - log_gamma(x - step)) / (2 * step), digamma(x), rtol=1e-6)
    np.testing.assert_allclose((digamma(x + step) - digamma(x - step)) / (2 * step), trigamma(x), rtol=1e-6)


def test_log_beta_of_two_halves_is_that_of_pi() -> None:
    assert log_beta(0.5, 0.5) == pytest.approx(math.log(math.pi), abs=1e-14)


def test_log_beta_with_one_is_the_inverse_even_beside_a_million() -> None:
    x = np.logspace(-5, 6, 200)
    np.testing.assert_allclose(log_beta(x, 1.0), -np.log(x), rtol=1e-11, atol=1e-11)


def test_log_beta_is_symmetric_and_agrees_with_log_gamma() -> None:
    a, b = np.meshgrid(np.logspace(-3, 2, 40), np.logspace(-3, 2, 40))
    np.testing.assert_array_equal(log_beta(a, b), log_beta(b, a))
    np.testing.assert_allclose(log_beta(a, b), log_gamma(a) + log_gamma(b) - log_gamma(a + b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("function", [log_gamma, digamma, trigamma])
def test_outside_of_the_domain_there_is_no_number(function: Callable[[list[float]], Floats]) -> None:
    assert np.isnan(function([0.0, -1.5, np.nan])).all()
    assert np.isnan(log_beta([0.0, 1.0], [1.0, -2.0])).all()


def test_a_single_number_gives_the_last_digit_that_it_gives_among_many() -> None:
    for function in (log_gamma, digamma, trigamma):
        together = function(POSITIVE)
        assert all(function(x) == value for x, value in zip(POSITIVE, together, strict=True))
