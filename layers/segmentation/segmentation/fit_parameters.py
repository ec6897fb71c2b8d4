"""Parameters of models as the engine takes them."""

from segmentation.engine.modelling.churn import ChurnParameters as EngineChurn
from segmentation.engine.modelling.cluster import ClusterParameters as EngineCluster
from segmentation.engine.modelling.lifetime import LifetimeParameters as EngineLifetime
from segmentation.engine.modelling.points import SelectionParameters
from segmentation.engine.rfm.grid import Cells, Group
from segmentation.engine.rfm.scoring import Binning, KMeansBins, Quantiles, Thresholds
from segmentation.errors import FieldError, InvalidInput
from segmentation.models.models import (
    ChurnParameters,
    ClusterParameters,
    LifetimeParameters,
    RfmParameters,
    Selection,
)


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
