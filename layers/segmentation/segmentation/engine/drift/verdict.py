"""What a drift calls for: figures of a merged measurement, and the reasons for a refit in words.

It must not know a store. Limits that are not the field's convention are ours, and stand here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from segmentation.engine.drift import clusters, measuring, purchasing, risks
from segmentation.engine.drift.bins import Bins
from segmentation.engine.drift.stability import SHIFTED, Level, by_chance, level, stability_index
from segmentation.engine.modelling.churn import ChurnModel
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.kinds import Fitted
from segmentation.engine.modelling.lifetime import LifetimeModel

LEAST = 100
"""Customers, at training and today, below which the quality is shown and suggests nothing."""
MOVED = 0.5
"""Spreads of its cluster by which a centroid may move."""
FARTHER = 0.25
"""Share by which the mean squared distance to the own centroid may grow."""
BLURRED = 0.05
"""By how much the silhouette may fall."""
OFF = 0.25
"""Share of the forecast by which orders may be more or fewer, as in the back-test."""
LOST_AUC, LOST_BRIER = 0.05, 0.02
"""By how much the AUC may fall, and the Brier score rise."""


@dataclass(frozen=True)
class Shift:
    """The stability index of one feature or score, what two draws of one population stay below, and a word for it."""

    name: str
    psi: float
    by_chance: float
    level: Level


@dataclass(frozen=True)
class Movement:
    """How far a cluster's mean has moved, in spreads of the cluster; NaN where one side has no customers."""

    group_id: str
    movement: float
    by_chance: float
    training_customers: int
    customers: int


@dataclass(frozen=True, eq=False)
class Drift:
    """Customers of today against those of training; features and scores by falling index. `reasons` for a refit."""

    training_customers: int
    customers: int
    features: tuple[Shift, ...]
    scores: tuple[Shift, ...]
    centroids: tuple[Movement, ...]
    training: Mapping[str, float | int | None]
    today: Mapping[str, float | int | None]
    reasons: tuple[str, ...]


def finish(value: Fitted, kept: Mapping[str, Any], measured: Mapping[str, Any]) -> Drift:
    """The drift of a model from its baseline `kept`, where `measured` are the customers of today, all parts merged."""
    features = _shifts(measuring.binned(kept, "features"), measured["features"])
    scores = _shifts(measuring.binned(kept, "scores"), measured["scores"])
    before, now = kept["quality"], measured["quality"]
    centroids = _movements(value, before, now) if isinstance(value, ClusterModel) else ()
    training, today = measuring.quality(value, before), measuring.quality(value, now)
    reasons = [f"{_of_feature(shift)}: PSI {shift.psi:.3f}, and {SHIFTED} is a shift" for shift in _shifted(features)]
    reasons += [f"{_of_score(shift)}: PSI {shift.psi:.3f}, and {SHIFTED} is a shift" for shift in _shifted(scores)]
    reasons += [
        f"the customers of {moved.group_id!r} lie {moved.movement:.2f} spreads of the cluster from where those of the "
        f"training lay, and the limit is {MOVED}"
        for moved in centroids
        if moved.movement > max(MOVED, moved.by_chance)
    ]
    reasons += _of_quality(value, now, training, today)
    return Drift(
        training_customers=kept["customers"],
        customers=measured["customers"],
        features=features,
        scores=scores,
        centroids=centroids,
        training=training,
        today=today,
        reasons=tuple(reasons) if measured["customers"] else (),
    )


def _shifts(kept: Sequence[Bins], counted: Mapping[str, list[int]]) -> tuple[Shift, ...]:
    found = []
    for bins in kept:
        index, chance = stability_index(bins.counts, counted[bins.name]), by_chance(bins.counts, counted[bins.name])
        found.append(Shift(bins.name, index, chance, level(index, chance)))
    return tuple(sorted(found, key=lambda shift: (-np.nan_to_num(shift.psi), shift.name)))


def _shifted(shifts: Sequence[Shift]) -> list[Shift]:
    return [shift for shift in shifts if shift.level == "shifted"]


def _of_feature(shift: Shift) -> str:
    return f"the values of {shift.name!r} are spread otherwise than at training"


def _of_score(shift: Shift) -> str:
    return f"the shares of {shift.name!r} are others than at training"


def _movements(value: ClusterModel, before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Movement, ...]:
    pairs = clusters.movements(before, now)
    return tuple(
        Movement(group_id, moved, chance, before["sizes"][label], now["sizes"][label])
        for label, (group_id, (moved, chance)) in enumerate(zip(value.group_ids, pairs, strict=True))
    )


def _of_quality(
    value: Fitted,
    now: Mapping[str, Any],
    training: Mapping[str, Any],
    today: Mapping[str, Any],
) -> list[str]:
    """Reasons in how good the model is; none with few customers, where chance decides."""
    if isinstance(value, LifetimeModel):
        return _of_forecast(now) if today["customers"] >= LEAST else []
    if not training or min(training["customers"], today["customers"]) < LEAST:
        return []
    reasons = []
    if isinstance(value, ClusterModel):
        distance, then = today["meanSquaredDistance"], training["meanSquaredDistance"]
        if distance > then * (1 + FARTHER):
            grown = f"is {distance / then - 1:.0%} more" if then else "is no longer 0"
            reasons.append(
                f"the mean squared distance to the own centroid, {distance:.4g}, {grown} than the {then:.4g} at "
                f"training, and the limit is {FARTHER:.0%}"
            )
        if today["silhouette"] is not None and today["silhouette"] < training["silhouette"] - BLURRED:
            reasons.append(
                f"the simplified silhouette is {today['silhouette']:.3f}, at training it was "
                f"{training['silhouette']:.3f}, and it may fall by {BLURRED}"
            )
    if isinstance(value, ChurnModel):
        lost = (training["auc"] or 0.0) - today["auc"] if today["auc"] is not None else 0.0
        if lost > max(LOST_AUC, risks.auc_by_chance(now)):
            reasons.append(
                f"the AUC is {today['auc']:.3f}, at training it was {training['auc']:.3f}, and it may fall by "
                f"{LOST_AUC}"
            )
        if today["brier"] > training["brier"] + LOST_BRIER:
            reasons.append(
                f"the Brier score is {today['brier']:.3f}, at training it was {training['brier']:.3f}, and it may rise "
                f"by {LOST_BRIER}"
            )
    return reasons


def _of_forecast(now: Mapping[str, Any]) -> list[str]:
    off, chance = purchasing.forecast_error(now)
    if isnan(off) or not abs(off) > max(OFF, chance):
        return []
    came, expected = now["happened"], now["forecast"]
    return [f"since the fit {came:,} orders came where {expected:,.1f} were forecast ({off:+.0%}; limit {OFF:.0%})"]
