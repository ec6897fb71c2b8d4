"""Parameters of models as the engine takes them, and the fit of whichever kind it is."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from segmentation import recipes
from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import Frame
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling import churn as engine_churn
from segmentation.engine.modelling import cluster as engine_cluster
from segmentation.engine.modelling import lifetime as engine_lifetime
from segmentation.engine.modelling import rfm as engine_rfm
from segmentation.engine.modelling.churn import ChurnParameters as EngineChurn
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.cluster import ClusterParameters as EngineCluster
from segmentation.engine.modelling.groups import FoundGroup
from segmentation.engine.modelling.kinds import Fitted
from segmentation.engine.modelling.lifetime import LifetimeParameters as EngineLifetime
from segmentation.engine.modelling.points import SelectionParameters
from segmentation.engine.rfm.grid import Cells, Group
from segmentation.engine.rfm.scoring import Binning, KMeansBins, Quantiles, Thresholds
from segmentation.errors import FieldError, InsufficientData, InvalidInput
from segmentation.evaluation import instant
from segmentation.models.models import (
    ChurnParameters,
    ClusterParameters,
    LifetimeParameters,
    ModelSummary,
    RfmParameters,
    Selection,
)

Result = tuple[Fitted, Any, tuple[FoundGroup, ...]]
"""The fitted value, the report of what was found, and the groups."""


def fit(
    model: ModelSummary,
    known: Mapping[str, Kind],
    frame: Frame,
    purchases: Purchases | None,
    now: datetime,
    previous: ClusterModel | None = None,
    used_ids: Collection[str] = (),
) -> Result:
    """The fit of the model's kind on these customers; clusters keep the ids of the `previous` version's.

    Raises InvalidInput, InsufficientData, UnreliableFit.
    """
    match model.kind:
        case "rfm":
            grid = RfmParameters.model_validate(model.parameters)
            return engine_rfm.fit(frame, recipes.rfm_attributes(model), rfm_binning(grid), rfm_groups(grid))
        case "lifetime":
            forecast = lifetime(LifetimeParameters.model_validate(model.parameters))
            if purchases is None:
                raise InsufficientData("nobody has bought yet")
            return engine_lifetime.fit(purchases, instant(now), forecast)
        case "churn":
            risk = churn(ChurnParameters.model_validate(model.parameters))
            return engine_churn.fit(frame, recipes.features_of(model, known), risk)
        case "cluster":
            likeness = cluster(ClusterParameters.model_validate(model.parameters))
            features = recipes.features_of(model, known)
            return engine_cluster.fit(frame, features, likeness, model.modelId, previous, used_ids)


def rfm_binning(given: RfmParameters) -> Binning:
    """How scores are cut. Raises InvalidInput for thresholds without their values, or values without need."""
    thresholds = given.thresholds
    if (given.binning == "thresholds") != (thresholds is not None):
        message = "binning 'thresholds' and the field thresholds come together"
        raise InvalidInput(message, [FieldError("parameters.thresholds", message)])
    if thresholds is not None:
        return Thresholds(tuple(thresholds.recency), tuple(thresholds.frequency), tuple(thresholds.monetary))
    if given.binning == "kmeans":
        return KMeansBins(given.bins)
    return Quantiles(given.bins, given.quantileMethod)


def rfm_groups(given: RfmParameters) -> tuple[Group, ...] | None:
    """The names of the grid's cells, None for the default's."""
    if given.grid is None:
        return None
    return tuple(
        Group(
            group.groupId,
            group.name,
            tuple(Cells(_range(cells.recency), _range(cells.frequency)) for cells in group.cells),
        )
        for group in given.grid
    )


def cluster(given: ClusterParameters) -> EngineCluster:
    """How customers are clustered."""
    return EngineCluster(
        method=given.method,
        k=given.k,
        k_range=_range(given.kRange),
        criterion=given.criterion,
        restarts=given.restarts,
        bootstraps=given.bootstraps,
        selection=_selection(given.selection),
        seed=given.seed,
    )


def lifetime(given: LifetimeParameters) -> EngineLifetime:
    """What is forecast. Tiers go from the top here, bands from the bottom there."""
    rest = 1 - sum(tier.share for tier in given.tiers)
    tiers = given.tiers[::-1]
    return EngineLifetime(
        months=given.horizonMonths,
        monthly_rate=given.monthlyDiscountRate,
        holdout_days=given.holdoutDays,
        shares=(rest, *(tier.share for tier in tiers)),
        names=(given.restName, *(tier.name for tier in tiers)),
    )


def churn(given: ChurnParameters) -> EngineChurn:
    """What is learnt of churn."""
    return EngineChurn(
        label=given.label,
        churned_value=given.churnedValue,
        c=given.c,
        folds=given.folds,
        limits=(given.riskLimits[0], given.riskLimits[1]),
        selection=_selection(given.selection),
        seed=given.seed,
    )


def _selection(given: Selection) -> SelectionParameters:
    return SelectionParameters(given.minVariance, given.maxCorrelation, given.score, given.keep)


def _range(given: list[int]) -> tuple[int, int]:
    return given[0], given[1]
