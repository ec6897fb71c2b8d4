"""Customers as points: features prepared, and the columns chosen that a model is fitted on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from segmentation.engine.frame import Bools, Column, Floats, Frame, Rows
from segmentation.engine.modelling.absent import absent_column
from segmentation.engine.preprocess import chain as preparing
from segmentation.engine.preprocess import selection
from segmentation.engine.preprocess.chain import Chain
from segmentation.engine.preprocess.recipe import Feature
from segmentation.engine.preprocess.selection import Selection
from segmentation.engine.preprocess.steps import describe
from segmentation.engine.preprocess.values import Counted


@dataclass(frozen=True)
class SelectionParameters:
    """Which columns are left out before a fit; see `preprocess.selection`."""

    min_variance: float
    max_correlation: float
    score: Literal["laplacian", "permutation"] | None
    keep: int | None


@dataclass(frozen=True, eq=False)
class PointModel:
    """What was learnt of the features, and which of the resulting columns count: the chain gives only these."""

    chain: Chain
    selection: Selection


def fit_points(
    frame: Frame,
    features: tuple[Feature, ...],
    parameters: SelectionParameters,
    seed: int,
    pooled: Mapping[str, Counted] = {},
) -> tuple[PointModel, Floats]:
    """How these customers become points, and the points (n, d); `pooled` are values of more customers than these.

    Raises InvalidInput for features that cannot be, InsufficientData if no column is left that tells customers apart.
    Of scores only the Laplacian counts here: see `keep_important`.
    """
    chain = preparing.fit(frame.columns, features, pooled)
    prepared = preparing.apply(chain, frame.columns)
    by_laplacian = parameters.score == "laplacian"
    chosen = selection.select(
        prepared,
        chain.names,
        min_variance=parameters.min_variance,
        max_correlation=parameters.max_correlation,
        score="laplacian" if by_laplacian else None,
        keep=parameters.keep if by_laplacian else None,
        seed=seed,
    )
    model = PointModel(preparing.keep(chain, chosen.kept), chosen)
    return model, prepared if len(chosen.kept) == prepared.shape[1] else prepared[:, list(chosen.kept)]


def keep_important(
    model: PointModel, points: Floats, score_of: Callable[[Floats], float], keep: int | None, seed: int
) -> tuple[PointModel, Floats]:
    """The `keep` columns (None: all) without which `score_of(points)` falls most; the others are dropped with that."""
    names = model.chain.names
    importance = selection.permutation_importance(score_of, points, seed=seed)
    kept, weak = selection.keep_best(
        names, range(len(names)), importance.drops, keep or len(names), "permutation importance", lower_is_better=False
    )
    scores = dict(zip(model.selection.kept, importance.drops, strict=True))
    chosen = replace(
        model.selection,
        kept=tuple(model.selection.kept[position] for position in kept),
        names=tuple(names[position] for position in kept),
        dropped=(*model.selection.dropped, *weak),
        scores=tuple(scores.get(position, math.nan) for position in range(len(model.selection.scores))),
    )
    return PointModel(preparing.keep(model.chain, kept), chosen), points[:, kept]


def points_of(model: PointModel, frame: Frame) -> Floats:
    """The points (n, d) of these customers. Nobody has what the frame has no column for."""
    columns: dict[str, Column] = {
        feature.name: frame.columns.get(feature.name) or absent_column(kind, frame.size)
        for feature, kind in zip(model.chain.features, model.chain.kinds, strict=True)
    }
    return preparing.apply(model.chain, columns)


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
