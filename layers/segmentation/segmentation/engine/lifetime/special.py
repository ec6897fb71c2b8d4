"""Log-gamma, its derivatives and log-beta over arrays, for positive arguments: what numpy lacks and the models need.

All rest on Stirling's series (Abramowitz and Stegun 6.1.41, 6.3.18, 6.4.12), accurate to the last digits from 8 on;
smaller arguments are first raised by the recurrence. It must not know what the functions are for.
"""

import numpy as np
from numpy.typing import ArrayLike

from segmentation.engine.frame import Bools, Floats

RAISED = 8
"""From here on seven terms of the series leave less than 1e-15; smaller arguments are raised by as much."""

_HALF_LOG_TAU = 0.5 * float(np.log(2 * np.pi))
# Coefficients by rising power of 1/z²: B(2k) / (2k (2k-1)), B(2k) / 2k and B(2k) with the Bernoulli numbers B.
_LOG_GAMMA = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def log_gamma(x: ArrayLike) -> Floats:
    """ln Γ(x) for x > 0, any shape; NaN elsewhere."""
    given, z, small = _raised(x)
    product = np.ones_like(z)
    for step in range(RAISED):
        product *= np.where(small, given + step, 1.0)
    return (z - 0.5) * np.log(z) - z + _HALF_LOG_TAU + _correction(z) - np.log(product)


def digamma(x: ArrayLike) -> Floats:
    """ψ(x), the derivative of ln Γ, for x > 0, any shape; NaN elsewhere."""
    given, z, small = _raised(x)
    square = 1 / (z * z)
    result = np.log(z) - 0.5 / z - square * _polynomial(_DIGAMMA, square)
    for step in range(RAISED):
        result -= np.where(small, 1 / (given + step), 0.0)
    return result


def trigamma(x: ArrayLike) -> Floats:
    """ψ′(x), the second derivative of ln Γ, for x > 0, any shape; NaN elsewhere."""
    given, z, small = _raised(x)
    square = 1 / (z * z)
    result = (1 + 0.5 / z + square * _polynomial(_TRIGAMMA, square)) / z
    for step in range(RAISED):
        result += np.where(small, 1 / ((given + step) * (given + step)), 0.0)
    return result


def log_beta(a: ArrayLike, b: ArrayLike) -> Floats:
    """ln B(a, b) for a, b > 0, broadcast; NaN elsewhere.

    With the large terms of the three log-gammas taken together, so that nothing cancels when an argument is large.
    """
    first, second = np.broadcast_arrays(_positive(a), _positive(b))
    low, high = np.minimum(first, second), np.maximum(first, second)
    # B(a, b) = B(a + 1, b) (a + b) / a, eight times for the smaller argument, and for the larger where it is small too.
    product = np.ones_like(low)
    for step in range(RAISED):
        product *= (low + high + step) / (low + step)
    low = low + RAISED
    both = high < RAISED
    for step in range(RAISED):
        product *= np.where(both, (low + high + step) / (high + step), 1.0)
    high = np.where(both, high + RAISED, high)
    total = low + high
    large = (low - 0.5) * np.log(low / total) - high * np.log1p(low / high) - 0.5 * np.log(high) + _HALF_LOG_TAU
    value: Floats = large + _correction(low) + _correction(high) - _correction(total) + np.log(product)
    return value


def _positive(x: ArrayLike) -> Floats:
    values = np.asarray(x, dtype=np.float64)
    return np.where(values > 0, values, np.nan)


def _raised(x: ArrayLike) -> tuple[Floats, Floats, Bools]:
    """The argument, the argument raised to where the series holds, and which were raised."""
    given = _positive(x)
    small = given < RAISED
    return given, np.where(small, given + RAISED, given), small


def _correction(z: Floats) -> Floats:
    """What Stirling's formula for ln Γ leaves out."""
    return _polynomial(_LOG_GAMMA, 1 / (z * z)) / z


def _polynomial(coefficients: tuple[float, ...], x: Floats) -> Floats:
    result = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result
