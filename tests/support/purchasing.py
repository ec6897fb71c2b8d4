"""Customers who order as the BG/NBD model says, for tests of lifetime models."""

import numpy as np

from segmentation.engine.frame import Floats


def customers(
    n: int, seed: int, *, r: float = 0.8, alpha: float = 6.0, a: float = 0.8, b: float = 2.4, weeks: int = 52
) -> tuple[Floats, Floats, Floats]:
    """Frequency, recency and age (n,) in weeks, observed to the day over up to `weeks`; a day counts once."""
    random = np.random.default_rng(seed)
    age = random.integers(1, weeks * 7 + 1, n) / 7
    rate, leaving = random.gamma(r, 1 / alpha, n), random.beta(a, b, n)
    frequency, recency, now = np.zeros(n), np.zeros(n), np.zeros(n)
    living = np.arange(n)
    while len(living):
        now[living] += random.exponential(1 / rate[living])
        living = living[now[living] < age[living]]
        day = np.minimum(np.ceil(now[living] * 7) / 7, age[living])
        frequency[living] += day > recency[living]
        recency[living] = day
        living = living[random.random(len(living)) >= leaving[living]]
    return frequency, recency, age
