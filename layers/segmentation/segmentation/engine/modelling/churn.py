"""A churn model: a logistic regression on features, learnt from an attribute that says who has churned."""

from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from segmentation.engine.bands import Bands, by_limits, code
from segmentation.engine.churn.logistic import Logistic, probability
from segmentation.engine.churn.logistic import fit as fit_logistic
from segmentation.engine.churn.metrics import Evaluation, auc, cross_validate
from segmentation.engine.frame import BooleanColumn, Bools, Column, Floats, Frame, NumberColumn, StringColumn
from segmentation.engine.modelling.groups import FoundGroup, banded
from segmentation.engine.modelling.points import (
    PointModel,
    SelectionParameters,
    fit_points,
    in_words,
    keep_important,
    known_rows,
    points_of,
)
from segmentation.engine.modelling.pooled import Described
from segmentation.engine.preprocess.recipe import Feature
from segmentation.engine.preprocess.selection import Dropped
from segmentation.errors import FieldError, InsufficientData, InvalidInput

RISK = "churn.risk"
BANDS = ("Low risk", "Medium risk", "High risk")


@dataclass(frozen=True)
class ChurnParameters:
    """The attribute that says who has churned, and by which value if it is a text; penalty, folds, limits of risk."""

    label: str
    churned_value: str | None
    c: float
    folds: int
    limits: tuple[float, float]
    selection: SelectionParameters
    seed: int


@dataclass(frozen=True, eq=False)
class ChurnModel:
    """How a customer becomes a point, and a point a risk."""

    points: PointModel
    logistic: Logistic
    bands: Bands


@dataclass(frozen=True)
class Effect:
    """What one column does: `odds_ratio` for a rise by one unit of the prepared column, with its standard error."""

    name: str
    coefficient: float
    standard_error: float
    odds_ratio: float


@dataclass(frozen=True, eq=False)
class ChurnReport:
    """How well customers who churned are told from those who stay, on folds that the fit had not seen.

    `preparation` says in words what was done to the features, `dropped` which columns were left out, and why. All but
    the numbers of customers is learnt from and measured on `fitted_on` of those with a label.
    """

    preparation: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    customers: int
    without_label: int
    churned: int
    evaluation: Evaluation
    effects: tuple[Effect, ...]
    fitted_on: int


def fit(
    frame: Frame, features: tuple[Feature, ...], parameters: ChurnParameters
) -> tuple[ChurnModel, ChurnReport, tuple[FoundGroup, ...]]:
    """The model of the customers whose label is known, how good it is, and groups by risk.

    Raises InvalidInput for a label or features that cannot be, InsufficientData for too few of either class.
    """
    known, churned = _labels(frame, parameters)
    if not known.any():
        raise InsufficientData(f"none of {frame.size} customers has a value of the label {parameters.label!r}")
    rows = np.flatnonzero(known)
    told, has_churned = frame.take(rows), churned[rows]
    point_model, points = fit_points(told, features, parameters.selection, parameters.seed)
    if parameters.selection.score == "permutation":
        learnt = fit_logistic(points, has_churned, c=parameters.c)
        point_model, points = keep_important(
            point_model,
            points,
            lambda shuffled: auc(has_churned, probability(learnt, shuffled)),
            parameters.selection.keep,
            parameters.seed,
        )
    evaluation = cross_validate(points, has_churned, folds=parameters.folds, seed=parameters.seed, c=parameters.c)
    logistic = fit_logistic(points, has_churned, c=parameters.c)
    bands = by_limits(BANDS, parameters.limits)
    model = ChurnModel(point_model, logistic, bands)
    columns = zip(point_model.chain.names, logistic.coefficients, logistic.standard_errors, strict=True)
    effects = [Effect(name, float(value), float(error), float(np.exp(value))) for name, value, error in columns]
    report = ChurnReport(
        preparation=in_words(point_model),
        dropped=point_model.selection.dropped,
        customers=len(rows),
        without_label=frame.size - len(rows),
        churned=int(has_churned.sum()),
        evaluation=evaluation,
        effects=tuple(sorted(effects, key=lambda effect: (-abs(effect.coefficient), effect.name))),
        fitted_on=len(rows),
    )
    report, groups = complete(model, report, describe(model, frame, parameters))
    return model, report, groups


def describe(model: ChurnModel, frame: Frame, parameters: ChurnParameters) -> Described:
    """How many customers are in which band, and how many of them have a label, have churned.

    Segments are of everybody, so their sizes are too: customers without a label have a risk as well.
    """
    known, churned = _labels(frame, parameters)
    codes = code(model.bands, _risk(model, frame))
    counts = {
        "groups": np.bincount(codes[codes >= 0], minlength=len(BANDS)),
        "customers": np.array([frame.size, np.count_nonzero(known), np.count_nonzero(churned & known)]),
    }
    return Described(counts)


def complete(
    model: ChurnModel, report: ChurnReport, described: Described
) -> tuple[ChurnReport, tuple[FoundGroup, ...]]:
    """The report with the counts of all customers that were described, and the groups."""
    customers, labelled, churned = described.counts["customers"].tolist()
    counted = replace(report, customers=labelled, without_label=customers - labelled, churned=churned)
    return counted, banded(RISK, model.bands, tuple(described.counts["groups"].tolist()))


def score(model: ChurnModel, frame: Frame) -> dict[str, Column]:
    """The risk of churn, 0 to 1, of every customer; missing where all features are."""
    return {RISK: NumberColumn(_risk(model, frame))}


def _risk(model: ChurnModel, frame: Frame) -> Floats:
    risk = np.full(frame.size, np.nan)
    rows = known_rows(frame, model.points.chain.features)
    known = frame if len(rows) == frame.size else frame.take(rows)
    risk[rows] = probability(model.logistic, points_of(model.points, known))
    return risk


def _labels(frame: Frame, parameters: ChurnParameters) -> tuple[Bools, Bools]:
    """Of whom the label is known, and who has churned."""
    column = frame.columns[parameters.label]
    if isinstance(column, BooleanColumn):
        return ~column.missing(), column.values == 1
    if isinstance(column, NumberColumn):
        wrong = column.values[~np.isnan(column.values) & (column.values != 0) & (column.values != 1)]
        if len(wrong):
            _refuse(f"the label {parameters.label!r} holds {wrong[0]:g}; a number that labels churn is 0 or 1")
        return ~column.missing(), column.values == 1
    if not isinstance(column, StringColumn):
        _refuse(f"the label {parameters.label!r} must be a boolean, a text, or a number that is 0 or 1")
    if parameters.churned_value is None:
        _refuse(f"the label {parameters.label!r} is text; say with churnedValue which value means churned")
    codes = [number for number, value in enumerate(column.values) if value == parameters.churned_value]
    return ~column.missing(), np.isin(column.codes, codes)


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(message, [FieldError("parameters.label", message)])
