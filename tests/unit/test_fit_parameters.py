"""Parameters of models as the engine takes them."""

from typing import Any

import pytest

from segmentation import fit_parameters
from segmentation.engine.rfm.grid import Cells, Group
from segmentation.engine.rfm.scoring import KMeansBins, Quantiles, Thresholds
from segmentation.errors import InvalidInput
from segmentation.models.models import ChurnParameters, ClusterParameters, LifetimeParameters, RfmParameters

EDGES: dict[str, Any] = {"recency": [10, 20], "frequency": [1, 2], "monetary": [5.5, 6]}


@pytest.mark.parametrize(
    ("asked", "binning"),
    [
        ({}, Quantiles(5, "linear")),
        ({"bins": 4, "quantileMethod": "r"}, Quantiles(4, "r")),
        ({"bins": 3, "binning": "kmeans"}, KMeansBins(3)),
        ({"binning": "thresholds", "thresholds": EDGES}, Thresholds((10.0, 20.0), (1.0, 2.0), (5.5, 6.0))),
    ],
)
def test_scores_are_cut_as_asked(asked: dict[str, Any], binning: Any) -> None:
    assert fit_parameters.rfm_binning(RfmParameters.model_validate(asked)) == binning


@pytest.mark.parametrize("asked", [{"binning": "thresholds"}, {"binning": "kmeans", "thresholds": EDGES}])
def test_thresholds_come_with_their_binning_and_it_with_them(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="come together"):
        fit_parameters.rfm_binning(RfmParameters.model_validate(asked))


def test_the_cells_of_a_grid_get_the_names_that_are_given() -> None:
    assert fit_parameters.rfm_groups(RfmParameters()) is None
    cells = [{"recency": [1, 3], "frequency": [2, 2]}, {"recency": [1, 1], "frequency": [1, 1]}]
    asked = RfmParameters.model_validate({"grid": [{"groupId": "a", "name": "A", "cells": cells}]})
    assert fit_parameters.rfm_groups(asked) == (Group("a", "A", (Cells((1, 3), (2, 2)), Cells((1, 1), (1, 1)))),)


def test_tiers_go_from_the_lowest_up_and_the_rest_is_the_lowest() -> None:
    found = fit_parameters.lifetime(LifetimeParameters())
    assert found.names == ("Low value", "Medium value", "High value")
    assert found.shares == pytest.approx((0.5, 0.3, 0.2))
    assert (found.months, found.monthly_rate, found.holdout_days) == (12, 0.01, None)


def test_clusters_and_churn_are_asked_for_with_their_selection() -> None:
    selection = {"minVariance": 0.1, "maxCorrelation": 0.5, "score": "laplacian", "keep": 3}
    asked = {"method": "ward", "kRange": [3, 6], "criterion": "gap", "seed": 4, "selection": selection}
    cluster = fit_parameters.cluster(ClusterParameters.model_validate(asked))
    assert (cluster.method, cluster.k, cluster.k_range, cluster.criterion, cluster.seed) == (
        "ward",
        None,
        (3, 6),
        "gap",
        4,
    )
    chosen = cluster.selection
    assert (chosen.min_variance, chosen.max_correlation, chosen.score, chosen.keep) == (0.1, 0.5, "laplacian", 3)
    churn = fit_parameters.churn(ChurnParameters(label="left", churnedValue="yes", riskLimits=[0.2, 0.4]))
    assert (churn.label, churn.churned_value, churn.limits, churn.selection.keep) == ("left", "yes", (0.2, 0.4), None)
