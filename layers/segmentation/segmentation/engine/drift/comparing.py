"""A refit against the version that it would replace, both on the same customers: those of today.

It must not know of versions, nor publish anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segmentation.engine.clustering.micro_clusters import means
from segmentation.engine.drift import clusters, measuring, purchasing, risks
from segmentation.engine.frame import Bools, Codes, Column, Floats, Frame, NumberColumn
from segmentation.engine.lifetime import backtest
from segmentation.engine.lifetime.bgnbd import BgNbd, expected_orders
from segmentation.engine.lifetime.purchases import Purchases, summarise
from segmentation.engine.modelling import rfm
from segmentation.engine.modelling.churn import RISK, ChurnModel
from segmentation.engine.modelling.churn import score as score_churn
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.lifetime import DAYS_PER_WEEK, HOLDOUT_SHARE, LifetimeModel
from segmentation.engine.modelling.points import known_rows, points_of
from segmentation.engine.modelling.rfm import RfmModel
from segmentation.engine.rfm import scoring
from segmentation.errors import Unfit

SILHOUETTE = 0.05
"""By how much the silhouette of new clusters may be lower."""
LOG_LIKELIHOOD = 0.01
"""By how much the log-likelihood of a customer may be lower."""
ERROR = 0.1
"""Share by which the error of the forecast may be larger."""
AUC, BRIER = 0.02, 0.01
"""By how much the AUC may be lower, and the Brier score higher."""


@dataclass(frozen=True)
class Verdict:
    """Whether the new version may take the old one's place, why not, and the figures of both, by name."""

    publish: bool
    reason: str | None = None
    figures: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict)


def compare_clusters(old: ClusterModel, new: ClusterModel, frame: Frame) -> Verdict:
    """By the mean simplified silhouette of both partitions about their own means, in the space of either model.

    Distances in two spaces are no more comparable than metres and seconds: each model was fitted in the space that its
    own scaling makes, and is at an advantage there. So both partitions of the same customers are measured in both
    spaces, and each has the advantage once. A silhouette has no unit and does not grow with the number of clusters, as
    an inertia does. `explained` is the share of the variance between the clusters, for the reader.
    """
    rows = known_rows(frame, new.points.chain.features)
    if not len(rows):
        return Verdict(True)
    known = frame if len(rows) == frame.size else frame.take(rows)
    spaces = [points_of(model.points, known) for model in (old, new)]
    partitions = [measuring.labels_of(model, points) for model, points in zip((old, new), spaces, strict=True)]
    figures = {}
    for name, labels in zip(("old", "new"), partitions, strict=True):
        found = [_separated(points, labels) for points in spaces]
        figures[name] = {
            "customers": known.size,
            "clusters": len(np.unique(labels)),
            "silhouette": float(np.mean([silhouette for silhouette, _ in found])),
            "explained": float(np.mean([explained for _, explained in found])),
        }
    before, after = figures["old"]["silhouette"], figures["new"]["silhouette"]
    if after >= before - SILHOUETTE:
        return Verdict(True, None, figures)
    reason = f"its clusters are less distinct on today's customers: silhouette {after:.3f}, the published {before:.3f}"
    return Verdict(False, f"{reason} (it may be {SILHOUETTE} lower)", figures)


def compare_lifetimes(old: LifetimeModel, new: LifetimeModel, purchases: Purchases, end_day: int) -> Verdict:
    """By the mean log-likelihood of today's customers, and by the error of a forecast of the last third of the history
    from what was known before it. A version that has no values left to forecast is worse than one that has.
    """
    summary = summarise(purchases, end_day, DAYS_PER_WEEK)
    customers = int(np.count_nonzero(summary.age > 0))
    figures: dict[str, dict[str, float | int | None]] = {}
    for name, model in (("old", old), ("new", new)):
        figures[name] = {
            "customers": customers,
            "logLikelihood": purchasing.log_likelihood(model.bgnbd, summary) / customers if customers else None,
            "squaredError": _forecast_error(model.bgnbd, purchases, end_day),
        }
    if old.gamma_gamma is not None and new.gamma_gamma is None:
        reason = "it cannot forecast the value of orders any more, which the published version does"
        return Verdict(False, reason, figures)
    before, after = figures["old"]["logLikelihood"], figures["new"]["logLikelihood"]
    if before is not None and after is not None and after < before - LOG_LIKELIHOOD:
        reason = f"today's customers are less likely under it: {after:.4f} a customer, the published {before:.4f}"
        return Verdict(False, f"{reason} (it may be {LOG_LIKELIHOOD} lower)", figures)
    before, after = figures["old"]["squaredError"], figures["new"]["squaredError"]
    if before is not None and after is not None and after > before * (1 + ERROR):
        reason = f"it forecasts worse: {after:.4g} orders a customer off, the published {before:.4g}"
        return Verdict(False, f"{reason} (it may be {ERROR:.0%} more)", figures)
    return Verdict(True, None, figures)


def compare_risks(old: ChurnModel, new: ChurnModel, frame: Frame, known: Bools, churned: Bools) -> Verdict:
    """By AUC and Brier score on the customers (n) whose label is known today."""
    figures: dict[str, dict[str, float | int | None]] = {}
    for name, model in (("old", old), ("new", new)):
        measured = risks.measure(_numbers(score_churn(model, frame)[RISK], frame.size), known, churned)
        figures[name] = risks.quality(measured)
    lower, higher = figures["old"]["auc"], figures["new"]["auc"]
    if lower is not None and higher is not None and higher < lower - AUC:
        reason = f"it tells who churned less well: AUC {higher:.3f}, the published {lower:.3f}"
        return Verdict(False, f"{reason} (it may be {AUC} lower)", figures)
    before, after = figures["old"]["brier"], figures["new"]["brier"]
    if before is not None and after is not None and after > before + BRIER:
        reason = f"its risks are further off: Brier score {after:.3f}, the published {before:.3f}"
        return Verdict(False, f"{reason} (it may be {BRIER} higher)", figures)
    return Verdict(True, None, figures)


def compare_grids(old: RfmModel, new: RfmModel, frame: Frame) -> Verdict:
    """Cut points follow the customers and cannot be worse, unless a group of the published version loses everybody."""
    before, after = _sizes(old, frame), _sizes(new, frame)
    figures = {"old": before, "new": after}
    emptied = [group for group, size in before.items() if size and not after.get(group)]
    if not emptied:
        return Verdict(True, None, figures)
    named = ", ".join(f"{group!r} ({before[group]} customers)" for group in emptied)
    return Verdict(False, f"groups of the published version would be empty: {named}", figures)


def _separated(points: Floats, labels: Codes) -> tuple[float, float]:
    """Mean simplified silhouette about the clusters' own means, 0 for one cluster; share of the variance explained."""
    present, inverse = np.unique(labels, return_inverse=True)
    own: Codes = inverse.astype(np.int32)
    centres, _ = means(points, np.ones(len(points)), own, len(present))
    measured = clusters.measure(points, own, centres)
    total = float(np.square(points - points.mean(axis=0)).sum())
    silhouette = measured["widths"] / len(points) if len(present) > 1 else 0.0
    return silhouette, 1 - sum(measured["squares"]) / total if total else 0.0


def _forecast_error(model: BgNbd, purchases: Purchases, end_day: int) -> float | None:
    """The root of the mean squared error of orders in the last third of the history; None where it is too short."""
    try:
        cut_day = backtest.cut_for(purchases, end_day, HOLDOUT_SHARE)
    except Unfit:
        return None
    then = summarise(purchases, cut_day, DAYS_PER_WEEK)
    if not len(then.rows):
        return None
    horizon = (end_day - cut_day) / DAYS_PER_WEEK
    forecast = expected_orders(model, horizon, then.frequency, then.recency, then.age)
    happened = purchasing.orders_after(purchases, then, end_day)
    return float(np.sqrt(np.square(happened - forecast).mean()))


def _sizes(model: RfmModel, frame: Frame) -> dict[str, int | float | None]:
    codes = model.grid.code(scoring.score(model.rfm, *rfm.values(frame, model.attributes)))
    counts = np.bincount(codes[codes >= 0], minlength=len(model.grid.groups)).tolist()
    return {group.group_id: size for group, size in zip(model.grid.groups, counts, strict=True)}


def _numbers(column: Column, size: int) -> Floats:
    return column.values if isinstance(column, NumberColumn) else np.full(size, np.nan)
