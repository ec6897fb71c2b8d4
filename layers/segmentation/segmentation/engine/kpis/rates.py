"""Rates and their ratios with the intervals that belong to them. Plain numbers: it must not need arrays.

All intervals have a confidence of 95%.
"""

from dataclasses import dataclass
from math import exp, log, sqrt

Z = 1.959963984540054
"""Quantile 0.975 of the normal distribution."""


COUNTS = ("sent", "opened", "clicked", "converted", "engaged")
"""What the numbers are that are counted of customers and campaigns, in this order."""


@dataclass(frozen=True)
class Interval:
    """A figure with the limits of its interval; None where it cannot be told."""

    value: float | None
    low: float | None
    high: float | None


def wilson(count: int, total: int) -> Interval:
    """The rate `count / total` with the score interval of Wilson (1927), "Probable inference, the law of succession,
    and statistical inference", JASA 22, 209-212.

    All None where total is 0. ValueError where count is not between 0 and total.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is not a share")
    if not total:
        return Interval(None, None, None)
    rate, square = count / total, Z * Z
    centre = (rate + square / (2 * total)) / (1 + square / total)
    half = Z / (1 + square / total) * sqrt(rate * (1 - rate) / total + square / (4 * total * total))
    # At the ends the limits are exactly 0 and 1; rounding would leave a trace of them.
    low = 0.0 if count == 0 else centre - half
    high = 1.0 if count == total else centre + half
    return Interval(rate, low, high)


def risk_ratio(count: int, total: int, base_count: int, base_total: int) -> Interval:
    """(count / total) / (base_count / base_total) with the log interval of Katz, Baptista, Azen and Pike (1978),
    "Obtaining confidence intervals for the risk ratio in cohort studies", Biometrics 34, 469-474.

    The ratio is None where the base has nobody who did it, or where a total is 0; the limits also where count is 0:
    the logarithm of 0 has no variance. ValueError where a count is not between 0 and its total.
    """
    for part, whole in ((count, total), (base_count, base_total)):
        if not 0 <= part <= whole:
            raise ValueError(f"{part} of {whole} is not a share")
    if not total or not base_count:
        return Interval(None, None, None)
    ratio = count / total / (base_count / base_total)
    if not count:
        return Interval(ratio, None, None)
    spread = Z * sqrt(1 / count - 1 / total + 1 / base_count - 1 / base_total)
    return Interval(ratio, exp(log(ratio) - spread), exp(log(ratio) + spread))


def verdict(ratio: Interval) -> str:
    """`better` or `worse` where the whole interval lies on one side of 1, `unclear` where it does not, `unknown`
    without an interval.
    """
    if ratio.low is None or ratio.high is None:
        return "unknown"
    return "better" if ratio.low > 1 else "worse" if ratio.high < 1 else "unclear"


def growth(before: int, after: int) -> float | None:
    """Change relative to before; None where there is nothing to relate it to."""
    return round(after / before - 1, 6) if before else None


def share(part: int, whole: int) -> float | None:
    """part / whole to six digits, None of nothing."""
    return round(part / whole, 6) if whole else None
