"""How long customers stay in a segment: the share still there after 1, 2, ... periods, by Kaplan and Meier's estimator.

Kaplan, Meier: Nonparametric estimation from incomplete observations. JASA 53, 1958; variance by Greenwood, interval
on the log(-log) scale: Kalbfleisch, Prentice: The statistical analysis of failure time data, 1980.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.migration.counting import Counts

NORMAL_95 = 1.959964
"""Quantile 0.975 of the normal distribution."""


@dataclass(frozen=True)
class Age:
    """Stays that were watched up to this age: how many were left to lose, how many ended at it, and the share of all
    that last longer than it, with a 95% interval (None where nobody or everybody has left).
    """

    age: int
    at_risk: int
    left: int
    share: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Cohort:
    """Customers whose stay began at an instant; `remaining[a]` are those still there a + 1 periods later."""

    start: int
    customers: int
    remaining: tuple[int, ...]


def curve(stays: Counts, instants: int) -> list[Age]:
    """Retention of one state by age; `stays` (begin x age at the end, see `Tally.stays`) over so many instants.

    A stay that began at instant b is watched for `instants - 1 - b` periods: at age a only the stays that were watched
    that long are at risk. S(a) = product over j <= a of (1 - left_j / at risk_j).
    """
    found: list[Age] = []
    share, spread = 1.0, 0.0
    for age in range(1, instants):
        watched = stays[: instants - age]
        at_risk = int(watched.sum() - watched[:, 1:age].sum())
        left = int(watched[:, age].sum())
        if not at_risk:
            break
        share *= 1 - left / at_risk
        spread += left / (at_risk * (at_risk - left)) if left < at_risk else 0.0
        found.append(Age(age, at_risk, left, share, *_interval(share, spread)))
    return found


def cohorts(stays: Counts, instants: int) -> list[Cohort]:
    """The stays of one state by the instant at which they began; those of nobody are left out."""
    found = []
    for start in range(instants):
        customers = int(stays[start].sum())
        ended = np.cumsum(stays[start, 1 : instants - start])
        if customers:
            found.append(Cohort(start, customers, tuple((customers - ended).tolist())))
    return found


def median_age(ages: list[Age]) -> int | None:
    """The first age at which at most half are still there; None if more than half outlast what was watched."""
    return next((age.age for age in ages if age.share <= 0.5), None)


def _interval(share: float, spread: float) -> tuple[float | None, float | None]:
    """95% interval of a share whose logarithm has the variance `spread`."""
    if not 0 < share < 1 or spread <= 0:
        return None, None
    width = NORMAL_95 * np.sqrt(spread) / -np.log(share)
    return float(share ** np.exp(width)), float(share ** np.exp(-width))
