"""By what a cluster differs from everyone in one attribute: a difference of means, or a value that is more frequent.

It must not know how the clusters were found, nor which traits are shown.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import (
    BooleanColumn,
    Codes,
    Column,
    DateColumn,
    Floats,
    ListColumn,
    NumberColumn,
    StringColumn,
)

MIN_COUNT = 10
"""Customers of a cluster behind a trait, at least: fewer could be recognised, and prove nothing."""
MIN_SUPPORT = 0.05
"""Part of a cluster that must share a value before it describes the cluster."""
MIN_KNOWN = 0.5
"""Part of a cluster of whom a number, date or boolean must be known before it describes the cluster."""
MIN_STRENGTH = 0.2
"""Cohen (1988): a difference of less than 0.2 standard deviations is not even small."""
MIN_ERRORS = 3.0
"""A difference must be three times what a random group of the cluster's size would show."""
MAX_VALUES, MAX_LENGTH = 1_000, 100
"""Values of a column that are looked at, the most frequent first, and characters of one."""
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Trait:
    """One attribute by which a cluster differs, among the customers who have a value.

    `measure` "difference": `cluster` and `everyone` are means (booleans: shares of true, dates: days since 1970-01-01),
    `effect` is their difference in standard deviations of everyone, all three of values clipped at the quantiles of 1%
    and 99%, `value` is "high", "low", "late", "early", "true" or "false". `measure` "lift": `value` is the text,
    `cluster` and `everyone` are the shares that have it, `effect` is the ratio of the two. `strength` puts both on one
    scale: the difference in standard deviations, without sign.
    """

    attribute: str
    value: str
    measure: Literal["lift", "difference"]
    cluster: float
    everyone: float
    effect: float
    strength: float
    sentence: str


def traits_of(attribute: str, column: Column, labels: Codes, k: int) -> Iterable[tuple[int, Trait]]:
    """Clusters of `labels` (n,) that differ from everyone with a label in one attribute, and how: one trait each."""
    if isinstance(column, NumberColumn | BooleanColumn | DateColumn):
        return _differences(attribute, numbers_of(column), labels, k, _WORDED[type(column)])
    if isinstance(column, StringColumn):
        return _lifts(attribute, column.values, column.codes, labels, labels[~column.missing()], k)
    if isinstance(column, ListColumn):
        rows, codes = _entries(column)
        return _lifts(attribute, column.values, codes, labels[rows], labels[~column.missing()], k)
    return ()


def numbers_of(column: NumberColumn | BooleanColumn | DateColumn) -> Floats:
    """Numbers, 0 and 1, or days since 1970-01-01; NaN where missing."""
    if isinstance(column, NumberColumn):
        return column.values
    if isinstance(column, DateColumn):
        days = column.values.astype("datetime64[us]").astype(np.int64) / _DAY
        return np.where(column.missing(), np.nan, days)
    return np.where(column.missing(), np.nan, column.values)


def clipped(values: Floats) -> Floats:
    """Values (at least one) between their quantiles of 1% and 99%; as they are if those are one and the same.

    One customer who spends as much as a thousand others must not hide what sets a cluster apart.
    """
    low, high = np.quantile(values, 0.01, method="higher"), np.quantile(values, 0.99, method="lower")
    return np.clip(values, low, high) if low < high else values


def _entries(column: ListColumn) -> tuple[NDArray[np.int64], Codes]:
    """Row and code of what the lists hold: a value that a list repeats counts once."""
    width = max(len(column.values), 1)
    pairs = np.repeat(np.arange(len(column.absent)), np.diff(column.offsets)) * width + column.codes
    # numpy sorts whole numbers many times faster than it finds the distinct ones.
    pairs.sort()
    pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
    rows, codes = np.divmod(pairs, width)
    return rows, codes.astype(np.int32)


# -------------------------------------------------------------------------- differences

Worded = Callable[[str, float, float, bool], tuple[str, str]]
"""Value and sentence of a difference: attribute, mean of the cluster, mean of everyone, whether the first is higher."""


def _differences(attribute: str, values: Floats, labels: Codes, k: int, worded: Worded) -> Iterable[tuple[int, Trait]]:
    known = (labels >= 0) & np.isfinite(values)
    held, owners = values[known], labels[known].astype(np.intp)
    if len(held) == 0 or held.min() == held.max():
        return
    counts = np.bincount(owners, minlength=k)
    enough = np.maximum(MIN_KNOWN * np.bincount(labels[labels >= 0], minlength=k), MIN_COUNT)
    inner = clipped(held)
    # Values near the largest float have no mean: they give no trait.
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.bincount(owners, held, minlength=k) / np.maximum(counts, 1)
        everyone, middle, deviation = float(held.mean()), float(inner.mean()), float(inner.std())
        effects = np.bincount(owners, inner - middle, minlength=k) / np.maximum(counts, 1) / deviation
    for cluster in np.flatnonzero((counts >= enough) & np.isfinite(means) & np.isfinite(effects)).tolist():
        mean, effect = float(means[cluster]), float(effects[cluster])
        if not _matters(abs(effect), int(counts[cluster])) or (effect > 0) != (mean > everyone):
            continue
        value, sentence = worded(attribute, mean, everyone, effect > 0)
        yield cluster, Trait(attribute, value, "difference", mean, everyone, effect, abs(effect), sentence)


def _matters(strength: float, customers: int) -> bool:
    return strength >= MIN_STRENGTH and strength * sqrt(customers) >= MIN_ERRORS


def _number(attribute: str, mean: float, everyone: float, higher: bool) -> tuple[str, str]:
    return (
        "high" if higher else "low",
        f"'{attribute}' is {'higher' if higher else 'lower'}: {mean:,.4g} on average, {everyone:,.4g} for everyone",
    )


def _boolean(attribute: str, mean: float, everyone: float, higher: bool) -> tuple[str, str]:
    return (
        "true" if higher else "false",
        f"'{attribute}' is true {'more' if higher else 'less'} often: for {mean:.1%}, {everyone:.1%} of everyone",
    )


def _date(attribute: str, mean: float, everyone: float, higher: bool) -> tuple[str, str]:
    day, usual = (str(np.datetime64(int(value // 1), "D")) for value in (mean, everyone))
    return (
        "late" if higher else "early",
        f"'{attribute}' is {'later' if higher else 'earlier'}: {day} on average, {usual} for everyone",
    )


_WORDED: dict[type, Worded] = {NumberColumn: _number, BooleanColumn: _boolean, DateColumn: _date}


# -------------------------------------------------------------------------------- lifts


def _lifts(
    attribute: str, texts: tuple[str, ...], codes: Codes, owners: Codes, holders: Codes, k: int
) -> Iterable[tuple[int, Trait]]:
    """The text that sets each cluster apart most: `codes` with their rows' clusters, and all `holders`' clusters."""
    with_value = np.bincount(holders[holders >= 0], minlength=k)
    known = (owners >= 0) & (codes >= 0)
    codes, owners = codes[known], owners[known]
    frequency = np.bincount(codes, minlength=len(texts))
    ranked = np.lexsort((np.arange(len(texts)), -frequency))[:MAX_VALUES].tolist()
    looked_at = [code for code in ranked if frequency[code] >= MIN_COUNT and len(texts[code]) <= MAX_LENGTH]
    if not looked_at:
        return
    place = np.full(len(texts), -1)
    place[looked_at] = np.arange(len(looked_at))
    seen = place[codes] >= 0
    cells = np.bincount(owners[seen] * len(looked_at) + place[codes[seen]], minlength=k * len(looked_at))
    counts = cells.reshape(k, len(looked_at))
    everyone = counts.sum(axis=0) / with_value.sum()
    shares = counts / np.maximum(with_value, 1)[:, None]
    deviation = np.sqrt(everyone * (1 - everyone))
    strength = np.divide(shares - everyone, deviation, out=np.zeros(shares.shape), where=deviation > 0)
    strength[(counts < MIN_COUNT) | (shares < MIN_SUPPORT)] = 0
    for cluster, best in enumerate(strength.argmax(axis=1).tolist()):
        if not _matters(float(strength[cluster, best]), int(with_value[cluster])):
            continue
        share, usual, text = float(shares[cluster, best]), float(everyone[best]), texts[looked_at[best]]
        sentence = f"'{attribute}' is '{text}' for {share:.1%}, {usual:.1%} of everyone: {share / usual:.2f} times"
        yield (
            cluster,
            Trait(attribute, text, "lift", share, usual, share / usual, float(strength[cluster, best]), sentence),
        )
