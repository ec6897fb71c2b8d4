"""Models of more customers than one process is to hold: fitted on what partitions bring together, and completed by what
they say of all customers under the fitted model.

A fit on everybody in one process stands in `fit_parameters`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from segmentation import fit_parameters, recipes
from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import Frame
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling import churn as engine_churn
from segmentation.engine.modelling import cluster as engine_cluster
from segmentation.engine.modelling import lifetime as engine_lifetime
from segmentation.engine.modelling import rfm as engine_rfm
from segmentation.engine.modelling.churn import ChurnModel, ChurnReport
from segmentation.engine.modelling.cluster import ClusterModel, ClusterReport
from segmentation.engine.modelling.kinds import Fitted, Report
from segmentation.engine.modelling.lifetime import LifetimeModel, LifetimeReport
from segmentation.engine.modelling.pooled import Described, Pooled
from segmentation.engine.modelling.rfm import RfmModel
from segmentation.engine.preprocess.values import FEATURES
from segmentation.engine.sketches.histogram import VALUES, Bounds
from segmentation.errors import InsufficientData
from segmentation.evaluation import instant
from segmentation.fit_parameters import Result
from segmentation.models.models import (
    ChurnParameters,
    ClusterParameters,
    LifetimeParameters,
    ModelSummary,
    RfmParameters,
)

BOUNDS: Mapping[str, Bounds] = {
    "rfm": VALUES,
    "cluster": FEATURES,
    "lifetime": engine_lifetime.SPENDING,
    "churn": VALUES,
}
"""How fine the histograms of a kind are."""


def pool(
    model: ModelSummary, known: Mapping[str, Kind], frame: Frame, purchases: Purchases | None, now: datetime
) -> Pooled:
    """What these customers bring to a fit beside a sample of their rows; it grows with its resolution, not with them.

    Raises InvalidInput for features that cannot be.
    """
    match model.kind:
        case "rfm":
            return engine_rfm.pool(frame, recipes.rfm_attributes(model))
        case "lifetime" if purchases is not None:
            return engine_lifetime.pool(purchases, instant(now))
        case "cluster":
            return engine_cluster.pool(frame, recipes.features_of(model, known))
    return Pooled(frame.size, frame.size)


def fit(
    model: ModelSummary,
    known: Mapping[str, Kind],
    pooled: Pooled,
    sample: Frame,
    purchases: Purchases | None,
    now: datetime,
    previous: ClusterModel | None,
    used_ids: Collection[str],
) -> tuple[Fitted, Report | None]:
    """The fit of the model's kind on all customers that were pooled and a sample of them, and the report as far as it
    is known before all were described. Raises as `fit_parameters.fit`.
    """
    match model.kind:
        case "rfm":
            grid = RfmParameters.model_validate(model.parameters)
            binning, groups = fit_parameters.rfm_binning(grid), fit_parameters.rfm_groups(grid)
            return engine_rfm.fit_pooled(pooled, recipes.rfm_attributes(model), binning, groups), None
        case "lifetime":
            forecast = fit_parameters.lifetime(LifetimeParameters.model_validate(model.parameters))
            if purchases is None:
                raise InsufficientData("nobody has bought yet")
            return engine_lifetime.fit_pooled(pooled, purchases, instant(now), forecast)
        case "cluster":
            likeness = fit_parameters.cluster(ClusterParameters.model_validate(model.parameters))
            features = recipes.features_of(model, known)
            return engine_cluster.fit(sample, features, likeness, model.modelId, previous, used_ids, pooled)[:2]
        case "churn":
            return fit_parameters.fit(model, known, sample, purchases, now)[:2]


def describe(
    model: ModelSummary, fitted: Fitted, frame: Frame, purchases: Purchases | None, now: datetime
) -> Described:
    """What these customers are under the fitted model."""
    match fitted:
        case RfmModel():
            return engine_rfm.describe(fitted, frame)
        case ClusterModel():
            return engine_cluster.describe(fitted, frame)
        case ChurnModel():
            risk = fit_parameters.churn(ChurnParameters.model_validate(model.parameters))
            return engine_churn.describe(fitted, frame, risk)
        case LifetimeModel():
            if purchases is None:
                raise TypeError("a lifetime model describes purchases")
            return engine_lifetime.describe(fitted, purchases, instant(now))


def complete(model: ModelSummary, fitted: Fitted, report: Report | None, described: Described) -> Result:
    """The model, the report and the groups with the counts of all customers. Raises InsufficientData."""
    match fitted, report:
        case RfmModel(), _:
            return engine_rfm.complete(fitted, described)
        case ClusterModel(), ClusterReport():
            return engine_cluster.complete(fitted, report, described, model.modelId)
        case ChurnModel(), ChurnReport():
            return fitted, *engine_churn.complete(fitted, report, described)
        case LifetimeModel(), LifetimeReport():
            forecast = fit_parameters.lifetime(LifetimeParameters.model_validate(model.parameters))
            return engine_lifetime.complete(fitted, report, described, forecast)
    raise TypeError(f"a {type(fitted).__name__} has no {type(report).__name__}")
