"""Whether a refit may take the place of the published version by itself: only if it is not worse for today's customers.

The comparison is kept with the version, so that whoever wonders why it is not published finds the figures.
"""

from datetime import datetime

from segmentation import evaluation, scoring
from segmentation.engine.drift import risks
from segmentation.engine.drift.comparing import (
    Verdict,
    compare_clusters,
    compare_grids,
    compare_lifetimes,
    compare_risks,
)
from segmentation.engine.frame import Frame
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling.churn import ChurnModel
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.kinds import Fitted
from segmentation.engine.modelling.lifetime import LifetimeModel, day_of
from segmentation.engine.modelling.rfm import RfmModel
from segmentation.errors import InvalidInput, NotFound
from segmentation.models.models import Comparison, ModelSummary
from segmentation.store import models
from segmentation.store.store import Store


def compared(
    store: Store, model: ModelSummary, value: Fitted, frame: Frame, purchases: Purchases | None, now: datetime
) -> Comparison | None:
    """A new fit of a published model against the published version, as it is kept with the new one; None for a model
    that has none. `frame` and `purchases` are what it was fitted on.
    """
    if model.publishedVersion is None:
        return None
    try:
        document = models.read_file(store.files, model.modelId, model.publishedVersion)
    except NotFound:
        return None
    found = verdict(model, scoring.fitted(model.kind, document["model"]), value, frame, purchases, now)
    figures = {name: {**part} for name, part in found.figures.items()}
    return Comparison(against=model.publishedVersion, publish=found.publish, reason=found.reason, figures=figures)


def verdict(
    model: ModelSummary, old: Fitted, new: Fitted, frame: Frame, purchases: Purchases | None, now: datetime
) -> Verdict:
    """Whether `new` may replace `old`, both fitted values of the model, from the customers of the frame.

    Where the old one cannot be applied to these customers at all, anything is better.
    """
    try:
        match old, new:
            case RfmModel(), RfmModel():
                return compare_grids(old, new, frame)
            case ClusterModel(), ClusterModel():
                return compare_clusters(old, new, frame)
            case LifetimeModel(), LifetimeModel() if purchases is not None:
                return compare_lifetimes(old, new, purchases, day_of(evaluation.instant(now)))
            case ChurnModel(), ChurnModel():
                label = frame.columns.get(model.parameters["label"])
                known, churned = risks.labels(label, model.parameters.get("churnedValue"), frame.size)
                return compare_risks(old, new, frame, known, churned)
    except InvalidInput as error:
        return Verdict(True, f"the published version cannot be compared with it: {error.message}")
    return Verdict(True)


def reason_against(model: ModelSummary, comparison: Comparison | None) -> str | None:
    """Why a version that was fitted again does not publish itself; None where it does."""
    if model.held is not None:
        return (
            f"it was not published: the model is held at version {model.held.version} since {model.held.at:%Y-%m-%d}; "
            "publish a newer version by hand to go on"
        )
    if comparison is not None and not comparison.publish:
        return f"it was not published: {comparison.reason}; version {comparison.against} stays"
    return None
