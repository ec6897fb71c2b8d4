"""The population stability index: how far the shares of today lie from those of training.

It must not know what is counted.
"""

from collections.abc import Sequence
from math import log, nan, sqrt
from typing import Literal

CHANGING, SHIFTED = 0.1, 0.25
"""Siddiqi (2006), Credit Risk Scorecards: below 0.1 nothing has changed, from 0.25 on the population has shifted."""

EMPTY = 1e-4
"""The share of a bin in which nobody is, unless half a customer is more."""

CERTAINTY = 3.09
"""Standard deviations of what chance alone does in 999 of 1,000 measurements."""

Level = Literal["stable", "changing", "shifted"]


def stability_index(training: Sequence[int], today: Sequence[int]) -> float:
    """PSI = sum over bins of (a - e) ln(a / e), with the shares e of training and a of today, from counts per bin.

    Lewis (1994), An Introduction to Credit Scoring; it is the symmetric divergence of Kullback and Leibler (1951). A
    bin that is empty on one side has there the share of half a customer, and at least 0.0001, as its logarithm must
    exist; one that is empty on both sides says nothing. NaN where one side has no customers at all. Raises ValueError
    for different bins.
    """
    expected, actual = sum(training), sum(today)
    if len(training) != len(today):
        raise ValueError(f"{len(training)} bins at training and {len(today)} today")
    if not expected or not actual:
        return nan
    index = 0.0
    for before, after in zip(training, today, strict=True):
        if before or after:
            e, a = _share(before, expected), _share(after, actual)
            index += (a - e) * log(a / e)
    return index


def by_chance(training: Sequence[int], today: Sequence[int]) -> float:
    """The PSI that two draws of one population stay below in 999 of 1,000 cases; NaN where one side is empty.

    (1 / n + 1 / m) times a chi-square of B - 1 degrees of freedom, for n and m customers in B bins: Yurdakul (2018),
    Statistical Properties of Population Stability Index. The quantile is that of Wilson and Hilferty (1931).
    """
    expected, actual = sum(training), sum(today)
    if not expected or not actual:
        return nan
    freedom = sum(1 for before, after in zip(training, today, strict=True) if before or after) - 1
    if freedom < 1:
        return 0.0
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + CERTAINTY * sqrt(spread)) ** 3
    return (1 / expected + 1 / actual) * quantile


def level(index: float, chance: float) -> Level:
    """What the index says in a word; what chance alone may do is no change."""
    if not (index >= CHANGING and index > chance):
        return "stable"
    return "shifted" if index >= SHIFTED else "changing"


def _share(count: int, total: int) -> float:
    return count / total if count else max(EMPTY, 0.5 / total)
