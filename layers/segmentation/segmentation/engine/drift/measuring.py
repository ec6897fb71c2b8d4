"""A fitted model against customers: a baseline of those it was fitted on, and the same measures of those of today.

What `measure` returns for parts of the customers adds up (`merge`) to what it returns for all of them together.
Everything is JSON. It must not know where customers come from, nor decide what a drift calls for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segmentation.engine import bands
from segmentation.engine.clustering import hierarchy, kmeans
from segmentation.engine.clustering.kmeans import KMeans
from segmentation.engine.document import from_document, to_document
from segmentation.engine.drift import bins, clusters, purchasing, risks
from segmentation.engine.drift.bins import Bins
from segmentation.engine.frame import Codes, Column, EventTable, Floats, Frame, NumberColumn, StringColumn
from segmentation.engine.lifetime.purchases import Purchases, of_orders
from segmentation.engine.modelling.absent import absent_column
from segmentation.engine.modelling.churn import RISK, ChurnModel
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.kinds import Fitted, score
from segmentation.engine.modelling.lifetime import DAYS_PER_WEEK, P_ALIVE, LifetimeModel, day_of
from segmentation.engine.modelling.points import known_rows, points_of
from segmentation.engine.modelling.rfm import SEGMENT, RfmModel

CELLS = "rfm.cells"
"""The cell of the recency-frequency grid, as `5-4` for recency 5 and frequency 4."""
_TIERS = "lifetime.tier"


def baseline(
    value: Fitted,
    frame: Frame,
    now: np.datetime64,
    model_id: str,
    label: str | None = None,
    churned_value: str | None = None,
) -> dict[str, Any]:
    """What is kept of the customers that a model was fitted on: bins of its features and scores, and its quality.

    `label` is the attribute that says who has churned, of a churn model. Of a lifetime model the frame has the orders.
    """
    kept: dict[str, Any] = {
        "customers": frame.size,
        "day": day_of(now),
        "label": label,
        "churnedValue": churned_value,
    }
    columns = scored_columns(value, frame, now, model_id)
    features = [bins.learn(name, _column(value, frame, name)) for name in features_of(value)]
    scores = [bins.learn(name, columns[name], names) for name, names in _scores(value, model_id)]
    quality = _quality(value, kept, frame, columns, now)
    if isinstance(value, ClusterModel):
        points, labels = clustered(value, frame)
        quality["within"] = clusters.within(points, labels, quality)
    return {**kept, "features": to_document(features), "scores": to_document(scores), "quality": quality}


def measure(value: Fitted, kept: Mapping[str, Any], frame: Frame, now: np.datetime64, model_id: str) -> dict[str, Any]:
    """The customers of the frame in the bins of the baseline `kept`, and the sums that the model's quality is of.

    Scores that the frame has already are not computed again.
    """
    columns = scored_columns(value, frame, now, model_id)
    return {
        "customers": frame.size,
        "features": {b.name: bins.count(b, frame.columns.get(b.name), frame.size) for b in binned(kept, "features")},
        "scores": {b.name: bins.count(b, columns.get(b.name), frame.size) for b in binned(kept, "scores")},
        "quality": _quality(value, kept, frame, columns, now),
    }


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of two parts of the customers together: everything is a sum."""
    return {
        name: _added(one[name], other[name]) if name in one and name in other else one.get(name, other.get(name))
        for name in dict.fromkeys((*one, *other))
    }


def quality(value: Fitted, measured: Mapping[str, Any]) -> dict[str, float | int | None]:
    """How good a model was, from the sums that `measure` made: figures by name. RFM has none but its groups."""
    match value:
        case ClusterModel():
            return clusters.quality(measured)
        case LifetimeModel():
            return purchasing.quality(measured)
        case ChurnModel():
            return risks.quality(measured)
    return {}


def binned(kept: Mapping[str, Any], part: str) -> list[Bins]:
    """Bins of the features or scores of a baseline."""
    return [from_document(Bins, document) for document in kept[part]]


def features_of(value: Fitted) -> tuple[str, ...]:
    """The attributes that the model reads. A lifetime model reads orders."""
    if isinstance(value, RfmModel):
        return value.attributes
    if isinstance(value, LifetimeModel):
        return ()
    return tuple(feature.name for feature in value.points.chain.features)


def clustered(value: ClusterModel, frame: Frame) -> tuple[Floats, Codes]:
    """Points (n, d) and clusters (n) of the customers of whom a feature is known."""
    rows = known_rows(frame, value.points.chain.features)
    points = points_of(value.points, frame if len(rows) == frame.size else frame.take(rows))
    return points, labels_of(value, points)


def labels_of(value: ClusterModel, points: Floats) -> Codes:
    """The cluster (n) of each point."""
    if isinstance(value.clusters, KMeans):
        return kmeans.assign(value.clusters.centres, points)
    return hierarchy.assign(value.clusters, points)


def orders_of(purchases: Purchases) -> EventTable:
    """Purchase days as order lines, one a day."""
    times = purchases.day.astype("datetime64[D]").astype("datetime64[us]")
    return EventTable(purchases.offsets, times, {"amount": NumberColumn(purchases.amount)})


def scored_columns(value: Fitted, frame: Frame, now: np.datetime64, model_id: str) -> dict[str, Column]:
    """The scores whose shares are watched: those of the frame where it has them, else computed."""
    wanted = [name for name, _ in _scores(value, model_id)]
    columns = dict(frame.columns)
    needed = {name for name in wanted if name not in (CELLS, _TIERS)}
    if isinstance(value, LifetimeModel):
        needed.add(value.tiers_of)
    if not needed <= columns.keys():
        columns |= score(value, frame, now, model_id)
    if isinstance(value, RfmModel):
        columns[CELLS] = _cells(columns, value.rfm.bins)
    if isinstance(value, LifetimeModel):
        found = columns[value.tiers_of]
        values = found.values if isinstance(found, NumberColumn) else np.full(frame.size, np.nan)
        columns[_TIERS] = StringColumn(bands.code(value.tiers, values), value.tiers.names)
    return {name: columns[name] for name in wanted}


def _scores(value: Fitted, model_id: str) -> Iterator[tuple[str, Sequence[str] | None]]:
    """Names of the scores that are watched, with the groups that they can have; None for numbers."""
    match value:
        case RfmModel():
            scores = range(1, value.rfm.bins + 1)
            yield SEGMENT, [group.group_id for group in value.grid.groups]
            yield CELLS, [f"{recency}-{frequency}" for recency in scores for frequency in scores]
        case ClusterModel():
            yield f"cluster.{model_id}", value.group_ids
        case LifetimeModel():
            yield _TIERS, value.tiers.names
            yield P_ALIVE, None
        case ChurnModel():
            yield RISK, None


def _cells(columns: Mapping[str, Column], size: int) -> StringColumn:
    recency, frequency = columns["rfm.recency"], columns["rfm.frequency"]
    if not isinstance(recency, NumberColumn) or not isinstance(frequency, NumberColumn):
        raise TypeError("scores of an RFM model are numbers")
    codes = (recency.values - 1) * size + frequency.values - 1
    scores = range(1, size + 1)
    names = tuple(f"{one}-{other}" for one in scores for other in scores)
    return StringColumn(np.where(np.isnan(codes), -1, codes).astype(np.int32), names)


def _quality(
    value: Fitted, kept: Mapping[str, Any], frame: Frame, columns: Mapping[str, Column], now: np.datetime64
) -> dict[str, Any]:
    match value:
        case ClusterModel():
            points, labels = clustered(value, frame)
            return clusters.measure(points, labels, value.clusters.centres)
        case LifetimeModel():
            purchases = of_orders(frame.events["order"])
            return purchasing.measure(value.bgnbd, purchases, kept["day"], day_of(now), DAYS_PER_WEEK)
        case ChurnModel():
            label = frame.columns.get(kept["label"] or "")
            known, churned = risks.labels(label, kept["churnedValue"], frame.size)
            risk = columns[RISK]
            values = risk.values if isinstance(risk, NumberColumn) else np.full(frame.size, np.nan)
            return risks.measure(values, known, churned)
    return {}


def _column(value: Fitted, frame: Frame, name: str) -> Column:
    """A feature's column, of missing values where nobody has it."""
    if name in frame.columns:
        return frame.columns[name]
    if isinstance(value, ClusterModel | ChurnModel):
        return absent_column(value.points.chain.kinds[features_of(value).index(name)], frame.size)
    return NumberColumn(np.full(frame.size, np.nan))


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        return merge(one, other)
    if isinstance(one, list):
        return [_added(first, second) for first, second in zip(one, other, strict=True)]
    return one + other
