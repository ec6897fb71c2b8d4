"""Customers as points: features prepared, and the columns chosen that a model is fitted on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from segmentation.engine.frame import Bools, Floats, Frame, Rows
from segmentation.engine.preprocess import chain as preparing
from segmentation.engine.preprocess import selection
from segmentation.engine.preprocess.chain import Chain
from segmentation.engine.preprocess.recipe import Feature
from segmentation.engine.preprocess.selection import Selection
from segmentation.engine.preprocess.steps import describe


@dataclass(frozen=True)
class SelectionParameters:
    """Which columns are left out before a fit; see `preprocess.selection`."""

    min_variance: float
    max_correlation: float
    score: Literal["laplacian"] | None
    keep: int | None


@dataclass(frozen=True, eq=False)
class PointModel:
    """What was learnt of the features, and which of the resulting columns count: the chain gives only these."""

    chain: Chain
    selection: Selection


def fit_points(
    frame: Frame, features: tuple[Feature, ...], parameters: SelectionParameters, seed: int
) -> tuple[PointModel, Floats]:
    """How these customers become points, and the points (n, d).

    Raises InvalidInput for features that cannot be, InsufficientData if no column is left that tells customers apart.
    """
    chain = preparing.fit(frame.columns, features)
    prepared = preparing.apply(chain, frame.columns)
    chosen = selection.select(
        prepared,
        chain.names,
        min_variance=parameters.min_variance,
        max_correlation=parameters.max_correlation,
        score=parameters.score,
        keep=parameters.keep,
        seed=seed,
    )
    model = PointModel(preparing.keep(chain, chosen.kept), chosen)
    return model, prepared if len(chosen.kept) == prepared.shape[1] else prepared[:, list(chosen.kept)]


def points_of(model: PointModel, frame: Frame) -> Floats:
    """The points (n, d) of these customers."""
    return preparing.apply(model.chain, frame.columns)


def in_words(model: PointModel) -> tuple[str, ...]:
    """What is done to the features, a sentence for each step."""
    return tuple(describe(step) for step in model.chain.steps)


def known_rows(frame: Frame, features: tuple[Feature, ...]) -> Rows:
    """The customers of whom at least one feature is known."""
    known: Bools = np.zeros(frame.size, dtype=np.bool_)
    for feature in features:
        column = frame.columns.get(feature.name)
        if column is not None:
            known |= ~column.missing()
    return np.flatnonzero(known)
