"""Kinds of models by name: their fitted types, and scoring by whichever it is."""

from collections.abc import Mapping

import numpy as np

from segmentation.engine.frame import Column, Frame
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.churn import ChurnModel, ChurnReport
from segmentation.engine.modelling.cluster import ClusterModel, ClusterReport
from segmentation.engine.modelling.lifetime import LifetimeModel, LifetimeReport
from segmentation.engine.modelling.rfm import RfmModel, RfmReport

Fitted = RfmModel | ClusterModel | LifetimeModel | ChurnModel
Report = RfmReport | ClusterReport | LifetimeReport | ChurnReport

FITTED: Mapping[str, type[Fitted]] = {
    "rfm": RfmModel,
    "cluster": ClusterModel,
    "lifetime": LifetimeModel,
    "churn": ChurnModel,
}

REPORTS: Mapping[str, type[Report]] = {
    "rfm": RfmReport,
    "cluster": ClusterReport,
    "lifetime": LifetimeReport,
    "churn": ChurnReport,
}


def score(model: Fitted, frame: Frame, now: np.datetime64, model_id: str) -> dict[str, Column]:
    """Columns of the model's scores for every customer of the frame, at `now`."""
    match model:
        case RfmModel():
            return rfm.score(model, frame)
        case LifetimeModel():
            return lifetime.score(model, frame, now)
        case ChurnModel():
            return churn.score(model, frame)
        case ClusterModel():
            return {f"cluster.{model_id}": cluster.score(model, frame)}
