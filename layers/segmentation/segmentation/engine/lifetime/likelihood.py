"""The BG/NBD log-likelihood with gradient and Hessian, and Newton's way to its top.

Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way", section 4. What depends on the frequency or the
age alone is computed once per distinct value; per distinct history remains one term. Derivatives are taken in the logs
of r, alpha, a and b, which are positive. It must not know of validation, units or what a bad fit means to a client.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.coding import begin_of_runs, coded
from segmentation.engine.lifetime.special import digamma, log_gamma, trigamma

CHUNK = 8_192
"""Histories computed on at a time: their arrays stay in cache."""
MAXIMUM_STEPS = 100
MAXIMUM_HALVINGS = 30
LONGEST_STEP = 2.0
"""In logs: a parameter changes by at most a factor of 7.4 at once."""
PRECISION = 1e-11
"""A fit has converged when the next step promises less than this log-likelihood per customer."""


@dataclass(frozen=True, eq=False)
class Histories:
    """Distinct histories (m,), ordered by frequency, then recency and age, with the customers of each as `weight`."""

    frequency: Floats
    recency: Floats
    age: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class Counts:
    """What the likelihood needs of the customers.

    `frequencies` are the distinct x > 0 with their `customers`; `ages` the distinct T with the customers (`at_age`) and
    the orders (`orders_at_age`) of each. Then one row per distinct history of a repeat buyer: its code into
    `frequencies`, `frequency`, `recency`, `age` and `weight`.
    """

    frequencies: Floats
    customers: Floats
    ages: Floats
    at_age: Floats
    orders_at_age: Floats
    code: NDArray[np.int64]
    frequency: Floats
    recency: Floats
    age: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class Top:
    """Where the climb ended and why: `logs` (4,) of r, alpha, a, b, log-likelihood, Hessian in logs, steps taken."""

    logs: Floats
    value: float
    hessian: Floats
    steps: int
    state: Literal["converged", "bound", "stuck"]


def counts_of(histories: Histories) -> Counts:
    """The histories as the likelihood needs them."""
    ages = coded(histories.age)
    at_age = np.bincount(ages.codes, histories.weight)
    orders = np.bincount(ages.codes, histories.weight * histories.frequency)
    some = at_age > 0
    repeat = slice(int(np.searchsorted(histories.frequency, 0.0, side="right")), None)
    frequency, weight = histories.frequency[repeat], histories.weight[repeat]
    begins = begin_of_runs(frequency)
    code = np.cumsum(begins) - 1
    return Counts(
        frequencies=frequency[begins],
        customers=np.bincount(code, weight),
        ages=ages.values[some],
        at_age=at_age[some],
        orders_at_age=orders[some],
        code=code,
        frequency=frequency,
        recency=histories.recency[repeat],
        age=histories.age[repeat],
        weight=weight,
    )


def climb(counts: Counts, start: Floats, low: Floats, high: Floats) -> Top:
    """From `start` (logs) to the maximum by Newton's steps, halved until the likelihood rises; `low`, `high` end it."""
    logs = start
    value, gradient, hessian = evaluate(counts, logs)
    small = PRECISION * float(counts.at_age.sum())
    for step_number in range(1, MAXIMUM_STEPS + 1):
        curvature, axes = np.linalg.eigh(-hessian)
        # Where the surface bends upwards the same length the other way still climbs.
        step = axes @ ((axes.T @ gradient) / np.maximum(np.abs(curvature), 1e-12 * np.abs(curvature).max()))
        promise = 0.5 * float(gradient @ step)
        if promise <= small and curvature[0] > 0:
            # The last step is taken unseen: what it leaves is the square of a small number.
            return Top(logs + step, value + promise, hessian, step_number, "converged")
        step *= min(1.0, LONGEST_STEP / float(np.abs(step).max()))
        for _ in range(MAXIMUM_HALVINGS):
            tried = logs + step
            if np.any(tried < low) or np.any(tried > high):
                tried = np.clip(tried, low, high)
            found = evaluate(counts, tried)
            if found[0] > value:
                break
            step *= 0.5
        else:
            return Top(logs, value, hessian, step_number, "stuck")
        logs, (value, gradient, hessian) = tried, found
        if np.any(((logs <= low) & (gradient < 0)) | ((logs >= high) & (gradient > 0))):
            return Top(logs, value, hessian, step_number, "bound")
    return Top(logs, value, hessian, MAXIMUM_STEPS, "stuck")


def evaluate(counts: Counts, logs: Floats) -> tuple[float, Floats, Floats]:
    """Log-likelihood, gradient (4,) and Hessian (4, 4) in the logs of r, alpha, a, b."""
    parameters = np.exp(logs)
    value, gradient, hessian = _of_frequencies(counts, parameters)
    for term in (_of_ages(counts, parameters), _of_histories(counts, parameters)):
        value += term[0]
        gradient += term[1]
        hessian += term[2]
    gradient *= parameters
    hessian *= np.outer(parameters, parameters)
    hessian += np.diag(gradient)
    return value, gradient, hessian


Term = tuple[float, Floats, Floats]


def _of_frequencies(counts: Counts, parameters: Floats) -> Term:
    """Of x: ln Γ(r + x) - ln Γ(r), and the chance ln B(a, b + x) - ln B(a, b) to stay x times."""
    r, _, a, b = parameters
    x, customers = counts.frequencies, counts.customers
    below = np.array([r, b, a + b])
    above = below[:, np.newaxis] + x
    rise, slope, bend = (
        (function(above) - function(below)[:, np.newaxis]) @ customers for function in (log_gamma, digamma, trigamma)
    )
    gradient = np.array([slope[0], 0.0, -slope[2], slope[1] - slope[2]])
    hessian = np.zeros((4, 4))
    hessian[0, 0] = bend[0]
    hessian[2, 2] = hessian[2, 3] = hessian[3, 2] = -bend[2]
    hessian[3, 3] = bend[1] - bend[2]
    return float(rise[0] + rise[1] - rise[2]), gradient, hessian


def _of_ages(counts: Counts, parameters: Floats) -> Term:
    """Of T: r ln(alpha) - (r + x) ln(alpha + T), the time without orders of a customer who stays."""
    r, alpha = parameters[:2]
    exposure = alpha + counts.ages
    # ln(alpha) - ln(alpha + T) as one, for the many whose T is small beside alpha.
    logs = -np.log1p(counts.ages / alpha)
    orders = counts.orders_at_age
    customers, total = counts.at_age, float(orders.sum())
    value = float((r * customers + orders) @ logs) - total * float(np.log(alpha))
    rates = customers / alpha - customers / exposure
    gradient = np.zeros(4)
    gradient[0] = customers @ logs
    gradient[1] = float(np.sum(r * rates - orders / exposure))
    hessian = np.zeros((4, 4))
    hessian[0, 1] = hessian[1, 0] = float(rates.sum())
    hessian[1, 1] = float(np.sum((r * customers + orders) / exposure**2) - r * customers.sum() / alpha**2)
    return value, gradient, hessian


def _of_histories(counts: Counts, parameters: Floats) -> Term:
    """Of a repeat buyer: ln(1 + e^z), where z is the log of the odds to be gone since the last order.

    z = (r + x) ln((alpha + T) / (alpha + t_x)) + ln(a) - ln(b + x - 1).
    """
    r, alpha, a, b = parameters
    shares = 1 / (b + counts.frequencies - 1)
    offsets = np.log(a * shares)
    value, gradient, hessian = 0.0, np.zeros(4), np.zeros((4, 4))
    space, weighted_space = np.empty((4, CHUNK)), np.empty((4, CHUNK))
    for begin in range(0, len(counts.code), CHUNK):
        rows = slice(begin, begin + CHUNK)
        code, weight = counts.code[rows], counts.weight[rows]
        exponent, share = r + counts.frequency[rows], shares[code]
        exposure, by_recency = alpha + counts.age[rows], 1 / (alpha + counts.recency[rows])
        by_age = 1 / exposure
        difference = by_age - by_recency
        slopes, weighted = space[:, : len(code)], weighted_space[:, : len(code)]
        np.log(exposure * by_recency, out=slopes[0])
        np.multiply(exponent, difference, out=slopes[1])
        slopes[2] = 1 / a
        np.negative(share, out=slopes[3])
        # z is above ln(a / (b + x - 1)), so that e^-z is never too large.
        z = exponent * slopes[0] + offsets[code]
        odds = 1 + np.exp(-z)
        gone = 1 / odds
        value += float(weight @ (z + np.log(odds)))
        first = weight * gone
        second = first * (1 - gone)
        gradient += slopes @ first
        hessian += np.multiply(slopes, second, out=weighted) @ slopes.T
        mixed = float(first @ difference)
        hessian[0, 1] += mixed
        hessian[1, 0] += mixed
        hessian[1, 1] -= float(first @ (slopes[1] * (by_age + by_recency)))
        hessian[2, 2] -= float(first.sum()) / a**2
        hessian[3, 3] += float(first @ (share * share))
    return value, gradient, hessian
