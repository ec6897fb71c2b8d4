"""A churn model on customers whose label is known today: does it still tell who churned, and are its risks right?

It must not know how a risk is computed.
"""

from collections.abc import Mapping
from math import nan, sqrt
from typing import Any

import numpy as np

from segmentation.engine.drift.stability import CERTAINTY
from segmentation.engine.frame import BooleanColumn, Bools, Column, Floats, NumberColumn, StringColumn

RESOLUTION = 1_024
"""Steps of the risk that customers are counted by: those within one step count as equal risks."""


def labels(column: Column | None, churned_value: str | None, size: int) -> tuple[Bools, Bools]:
    """Of whom (n) the label is known, and who (n) has churned. What is no label is not known: data may be anything."""
    nobody = np.zeros(size, dtype=np.bool_)
    match column:
        case BooleanColumn():
            return column.values >= 0, column.values == 1
        case NumberColumn():
            return (column.values == 0) | (column.values == 1), column.values == 1
        case StringColumn():
            chosen = [code for code, value in enumerate(column.values) if value == churned_value]
            return column.codes >= 0, np.isin(column.codes, chosen)
    return nobody, nobody


def measure(risk: Floats, known: Bools, churned: Bools) -> dict[str, Any]:
    """Sums over the customers (n) whose label and risk are known: they add up over parts of the customers.

    `steps` counts them by risk: who stays and who has churned per step of 1/1,024.
    """
    told = known & ~np.isnan(risk)
    risks, outcome = risk[told], churned[told]
    steps = np.minimum((risks * RESOLUTION).astype(np.int64), RESOLUTION - 1)
    counts = np.bincount(steps * 2 + outcome, minlength=2 * RESOLUTION).reshape(RESOLUTION, 2)
    used = np.flatnonzero(counts.any(axis=1)).tolist()
    return {
        "customers": int(np.count_nonzero(told)),
        "churned": int(np.count_nonzero(outcome)),
        "squares": float(np.square(risks - outcome).sum()),
        "steps": {str(step): counts[step].tolist() for step in used},
    }


def quality(measured: Mapping[str, Any]) -> dict[str, float | int | None]:
    """AUC to the resolution of the steps, which is None with one class only, and the Brier score."""
    customers, churned = measured["customers"], measured["churned"]
    stay = customers - churned
    auc: float | None = None
    if churned and stay:
        below = won = 0.0
        for step in sorted(measured["steps"], key=int):
            stays, goes = measured["steps"][step]
            won += goes * (below + stays / 2)
            below += stays
        auc = won / (churned * stay)
    brier = measured["squares"] / customers if customers else None
    return {"customers": customers, "churned": churned, "auc": auc, "brier": brier}


def auc_by_chance(measured: Mapping[str, Any]) -> float:
    """By how much an AUC strays by chance, at most: the standard error of one that tells nothing apart, times 3.09.

    Mann and Whitney (1947): the variance of U / (n m) is (n + m + 1) / (12 n m).
    """
    churned, stay = measured["churned"], measured["customers"] - measured["churned"]
    if not churned or not stay:
        return nan
    return CERTAINTY * sqrt((churned + stay + 1) / (12 * churned * stay))
