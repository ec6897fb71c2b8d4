"""How good probabilities of churn are: their order (AUC), their error (Brier), and whether they are meant literally.

It must not know where probabilities come from, but for cross-validation, which fits the logistic model on each part.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.churn.logistic import FEWEST, check_classes, fit, probability
from segmentation.engine.frame import Bools, Codes, Floats
from segmentation.errors import FieldError, InvalidInput

MOST_FOLDS = 20
MOST_BINS = 100


@dataclass(frozen=True)
class CalibrationBin:
    """Customers whose probability lies from `lowest` to `highest`: the mean predicted, and the share that churned."""

    lowest: float
    highest: float
    customers: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Calibration:
    """Bins by rising probability; `error` is the mean of |predicted - observed|, weighted by customers."""

    bins: tuple[CalibrationBin, ...]
    error: float


@dataclass(frozen=True)
class Fold:
    """One part, predicted by a model that was fitted on all the others."""

    customers: int
    churned: int
    auc: float
    brier: float


@dataclass(frozen=True)
class Evaluation:
    """Cross-validated: `auc` is the mean over folds, the rest is over all customers, predicted by others' fits.

    `rate` is the share that churned, and `base_brier` the Brier score of giving everybody that probability.
    """

    auc: float
    brier: float
    base_brier: float
    rate: float
    calibration: Calibration
    folds: tuple[Fold, ...]


def auc(churned: Bools, probabilities: Floats) -> float:
    """Chance that a customer who churned has a higher probability than one who did not; ties count half.

    The Mann-Whitney statistic over the number of pairs. Raises InsufficientData unless there is one of each class.
    """
    _check(churned, probabilities)
    check_classes(churned, 1)
    distinct, code = np.unique(probabilities, return_inverse=True)
    left = np.bincount(code[churned], minlength=len(distinct)).astype(np.float64)
    stayed = np.bincount(code[~churned], minlength=len(distinct)).astype(np.float64)
    won = left @ (np.cumsum(stayed) - stayed / 2)
    return float(won / (left.sum() * stayed.sum()))


def brier(churned: Bools, probabilities: Floats) -> float:
    """Mean squared difference of probability and outcome: 0 is perfect (Brier, Monthly Weather Review 78, 1950)."""
    _check(churned, probabilities)
    return float(np.mean((probabilities - churned) ** 2))


def calibration(churned: Bools, probabilities: Floats, bins: int = 10) -> Calibration:
    """At most `bins` rows with as equal numbers of customers as ties permit: equal probabilities stay together."""
    _check(churned, probabilities)
    if not 2 <= bins <= MOST_BINS:
        _refuse("bins", f"bins={bins} is not between 2 and {MOST_BINS}")
    cuts = np.quantile(probabilities, np.arange(1, bins) / bins, method="inverted_cdf")
    code = np.searchsorted(cuts, probabilities)
    rows = []
    for number in np.unique(code):
        inside = probabilities[code == number]
        observed = float(churned[code == number].mean())
        rows.append(
            CalibrationBin(float(inside.min()), float(inside.max()), len(inside), float(inside.mean()), observed)
        )
    error = sum(row.customers * abs(row.predicted - row.observed) for row in rows) / len(churned)
    return Calibration(tuple(rows), float(error))


def cross_validate(
    points: Floats, churned: Bools, folds: int = 5, seed: int = 0, *, c: float = 1.0, bins: int = 10
) -> Evaluation:
    """Quality of the logistic model on customers (n, d) that it was not fitted on, by stratified folds.

    Every fold has the same share of churned customers, give or take one. Raises as `fit` does, and InvalidInput unless
    there are 2 to 20 folds. The classes must be large enough that every fit has 10 of each.
    """
    if not 2 <= folds <= MOST_FOLDS:
        _refuse("folds", f"folds={folds} is not between 2 and {MOST_FOLDS}")
    # The largest fold takes ceil(m / folds) of a class of m away; with m at this bound at least FEWEST remain.
    check_classes(churned, max(folds, -(-FEWEST * folds // (folds - 1))))
    fold = _stratified(churned, folds, seed)
    probabilities = np.empty(len(churned))
    parts = []
    for number in range(folds):
        held = fold == number
        probabilities[held] = probability(fit(points[~held], churned[~held], c=c), points[held])
        outcome, found = churned[held], probabilities[held]
        parts.append(Fold(len(outcome), int(np.count_nonzero(outcome)), auc(outcome, found), brier(outcome, found)))
    rate = float(churned.mean())
    return Evaluation(
        auc=float(np.mean([part.auc for part in parts])),
        brier=brier(churned, probabilities),
        base_brier=rate * (1 - rate),
        rate=rate,
        calibration=calibration(churned, probabilities, bins),
        folds=tuple(parts),
    )


def _stratified(churned: Bools, folds: int, seed: int) -> Codes:
    """Number of the fold per customer (n): those of each class are dealt out in random order."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(churned), dtype=np.int32)
    dealt = 0
    for label in (True, False):
        rows = rng.permutation(np.flatnonzero(churned == label))
        # The second class goes on where the first stopped, so that folds are of one size.
        fold[rows] = (np.arange(len(rows)) + dealt) % folds
        dealt += len(rows)
    return fold


def _check(churned: Bools, probabilities: Floats) -> None:
    if churned.shape != probabilities.shape or churned.ndim != 1:
        raise ValueError(f"{churned.shape} labels for {probabilities.shape} probabilities")
    if len(churned) == 0:
        _refuse("churned", "no customers to measure")
    wrong = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
    if len(wrong):
        _refuse("probabilities", f"{wrong[0]} is not a probability (rows in error: {len(wrong)})")


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, [FieldError(field, message)])
