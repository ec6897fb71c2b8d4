"""Sizes of the next periods: a Markov chain with the chances of the observed periods, and how sure that is.

The chance to go from i to j is estimated from all observed periods together (maximum likelihood for a stationary chain:
Anderson, Goodman: Statistical inference about Markov chains. Annals of Mathematical Statistics 28, 1957). What is not
known has two parts, and the interval holds both: the chances are estimates, and each customer moves by chance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats
from segmentation.engine.migration.counting import Counts

DRAWS = 1000
SEED = 20_260_301
LEVEL = 0.95

Sizes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Forecast:
    """Sizes after 1, 2, ... periods (periods x states): the expected ones, and the ends of the 95% interval.

    `dispersion` compares the observed periods with each other: near 1 where they differ by chance alone, larger where
    the chances themselves changed from period to period. None if only one period was observed, or nothing could differ.
    """

    expected: Floats
    low: Sizes
    high: Sizes
    dispersion: float | None


def forecast(steps: Counts, start: Sizes, periods: int) -> Forecast:
    """Forecast from the sizes `start` (S,), over so many periods; `steps` (periods observed, S, S) count moves.

    The posterior of row i is Dirichlet(N_ij + 1/S), N pooled over the observed periods; one customer's worth of prior
    per row (Perks, Journal of the Institute of Actuaries 73, 1947) keeps moves possible that were not seen. Each of
    DRAWS simulations draws a matrix and then lets all customers move by it, period by period. The expected sizes are
    start P^h with the posterior's mean P.
    """
    pooled = steps.sum(axis=0)
    size = len(start)
    weights = pooled + 1 / size
    chances = weights / weights.sum(axis=1, keepdims=True)
    random = np.random.default_rng(SEED)
    drawn = random.standard_gamma(weights, size=(DRAWS, size, size))
    # A row whose draws are all 0 to the last bit moves by the mean.
    drawn = np.where(drawn.sum(axis=2, keepdims=True) > 0, drawn, chances)
    drawn /= drawn.sum(axis=2, keepdims=True)
    expected, low, high = [], [], []
    mean, now = start.astype(np.float64), np.broadcast_to(start, (DRAWS, size))
    for _ in range(periods):
        mean = mean @ chances
        now = random.multinomial(now, drawn).sum(axis=1)
        ends = np.quantile(now, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="inverted_cdf")
        expected.append(mean)
        low.append(ends[0])
        high.append(ends[1])
    shape = (periods, size)
    return Forecast(
        np.array(expected, dtype=np.float64).reshape(shape),
        np.array(low, dtype=np.int64).reshape(shape),
        np.array(high, dtype=np.int64).reshape(shape),
        _dispersion(steps),
    )


def _dispersion(steps: Counts) -> float | None:
    """Anderson and Goodman's chi-square that all periods have the same chances, divided by its degrees of freedom.

    Cells whose expectation is below 5 are left out, as their part of the statistic would not follow chi-square; each
    (period, row) then has its other cells minus one as degrees of freedom, and each row gives back those of the pooled
    chances.
    """
    pooled = steps.sum(axis=0)
    rows = steps.sum(axis=2, keepdims=True)
    chances = pooled / np.maximum(pooled.sum(axis=1, keepdims=True), 1)
    wanted = rows * chances
    counted = wanted >= 5
    statistic = float((((steps - wanted) ** 2)[counted] / wanted[counted]).sum())
    cells = counted.sum(axis=2)
    free = int(np.maximum(cells - 1, 0).sum() - np.maximum(cells.max(axis=0, initial=0) - 1, 0).sum())
    return statistic / free if free > 0 else None
