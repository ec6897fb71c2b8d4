"""The logistic model and its quality: published and hand-computed numbers, and data on which there is no model."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.churn.logistic import Logistic, fit, probability
from segmentation.engine.churn.metrics import auc, brier, calibration, cross_validate
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import Bools, Floats
from segmentation.errors import InsufficientData, InvalidInput, UnreliableFit

NUMBERS = ("SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges")
NOT_FEATURES = ("customerID", "Churn")


@pytest.fixture(scope="module")
def telco(data: Path) -> tuple[list[str], Floats, Bools]:
    """Names, standardised columns (all values of a text but its first) and labels; blank totals are the median."""
    with (data / "telco_churn" / "Telco-Customer-Churn.IBM.csv").open() as file:
        rows = list(csv.DictReader(file))
    names, columns = [], []
    for name in rows[0]:
        texts = [row[name] for row in rows]
        if name in NUMBERS:
            values = np.array([float(text.strip() or "nan") for text in texts])
            names.append(name)
            columns.append(np.where(np.isnan(values), np.nanmedian(values), values))
        elif name not in NOT_FEATURES:
            for value in sorted(set(texts))[1:]:
                names.append(f"{name}={value}")
                columns.append(np.array([float(text == value) for text in texts]))
    points = np.column_stack(columns)
    churned = np.array([row["Churn"] == "Yes" for row in rows])
    return names, (points - points.mean(axis=0)) / points.std(axis=0), churned


def counts(*groups: tuple[float, int, int]) -> tuple[Floats, Bools]:
    """One column: per group its value, how many churned and how many stayed."""
    values = np.concatenate([np.full(left + stayed, value) for value, left, stayed in groups])
    churned = np.concatenate([np.arange(left + stayed) < left for _, left, stayed in groups])
    return values[:, None], churned


def noisy(size: int = 200, width: int = 3) -> tuple[Floats, Bools]:
    rng = np.random.default_rng(11)
    points = rng.normal(size=(size, width))
    return points, rng.random(size) < 1 / (1 + np.exp(0.5 - points[:, 0]))


# ------------------------------------------------------------------------- the model


def test_telco_churn_gives_the_published_auc(telco: tuple[list[str], Floats, Bools]) -> None:
    _, points, churned = telco
    assert points.shape == (7_043, 30) and churned.sum() == 1_869
    found = cross_validate(points, churned, 5, seed=0)
    assert found.auc == pytest.approx(0.84537, abs=0.002)
    assert found.brier == pytest.approx(0.13539, abs=0.002)
    assert found.rate == pytest.approx(0.265370, abs=1e-6)
    assert found.base_brier == pytest.approx(0.265370 * 0.734630, abs=1e-5)
    assert sum(fold.customers for fold in found.folds) == 7_043
    assert {fold.churned for fold in found.folds} == {373, 374}
    assert found.calibration.error < 0.02


def test_telco_coefficients_are_those_of_the_same_objective_elsewhere(telco: tuple[list[str], Floats, Bools]) -> None:
    # Computed once with scikit-learn 1.9.1, C=0.01, tol=1e-12, on the same columns.
    names, points, churned = telco
    model = fit(points, churned, c=0.01)
    assert model.intercept == pytest.approx(-1.5252428, abs=1e-6)
    found = dict(zip(names, model.coefficients, strict=True))
    assert found["tenure"] == pytest.approx(-0.618305, abs=2e-6)
    assert found["MonthlyCharges"] == pytest.approx(0.140558, abs=2e-6)
    assert found["Contract=Two year"] == pytest.approx(-0.447035, abs=2e-6)


def test_a_two_by_two_table_gives_its_odds_ratio_and_woolfs_error() -> None:
    points, churned = counts((0.0, 10, 30), (1.0, 40, 20))
    model = fit(points, churned, c=1e9)
    assert model.intercept == pytest.approx(math.log(10 / 30), rel=1e-6)
    assert model.coefficients[0] == pytest.approx(math.log((40 * 30) / (20 * 10)), rel=1e-6)
    assert model.intercept_error == pytest.approx(math.sqrt(1 / 10 + 1 / 30), rel=1e-6)
    assert model.standard_errors[0] == pytest.approx(math.sqrt(1 / 10 + 1 / 30 + 1 / 40 + 1 / 20), rel=1e-6)
    np.testing.assert_allclose(probability(model, np.array([[0.0], [1.0]])), [0.25, 2 / 3], rtol=1e-6)
    log_likelihood = 10 * math.log(1 / 4) + 30 * math.log(3 / 4) + 40 * math.log(2 / 3) + 20 * math.log(1 / 3)
    assert model.objective / 1e9 == pytest.approx(-log_likelihood, rel=1e-6)
    assert (model.customers, model.churned) == (100, 50)


def test_at_the_fit_the_gradient_of_the_stated_objective_is_zero() -> None:
    points, churned = noisy()
    model = fit(points, churned, c=0.3)
    residuals = probability(model, points) - churned
    np.testing.assert_allclose(model.coefficients + 0.3 * points.T @ residuals, 0, atol=1e-8)
    assert residuals.sum() == pytest.approx(0, abs=1e-8)


def test_a_constant_column_gets_no_weight_and_the_error_of_its_penalty() -> None:
    points, churned = noisy(width=2)
    model = fit(np.column_stack((points, np.zeros(200))), churned, c=4.0)
    assert model.coefficients[2] == 0
    assert model.standard_errors[2] == pytest.approx(2.0)
    np.testing.assert_allclose(model.coefficients[:2], fit(points, churned, c=4.0).coefficients, rtol=1e-9)


def test_two_equal_columns_share_the_weight_but_not_without_a_penalty() -> None:
    points, churned = noisy(width=1)
    doubled = np.column_stack((points, points))
    model = fit(doubled, churned)
    assert model.coefficients[0] == pytest.approx(model.coefficients[1], rel=1e-9)
    with pytest.raises(UnreliableFit, match="combinations of others"):
        fit(doubled, churned, c=1e18)


@pytest.mark.parametrize("c", [1.0, 1e9])
def test_classes_that_a_feature_separates_are_unreliable(c: float) -> None:
    points = np.linspace(-1, 1, 40)[:, None]
    with pytest.raises(UnreliableFit, match="tell the 20 customers who churned from all others without an error"):
        fit(points, points[:, 0] > 0, c=c)


@pytest.mark.parametrize(("left", "stayed"), [(0, 50), (50, 0), (9, 50), (50, 9)])
def test_too_few_of_a_class_are_insufficient(left: int, stayed: int) -> None:
    with pytest.raises(InsufficientData, match=f"{left} customers churned and {stayed} did not: at least 10"):
        fit(*counts((0.0, left, stayed)))


@pytest.mark.parametrize("c", [0.0, -1.0, math.nan, math.inf])
def test_a_penalty_that_is_not_positive_is_refused(c: float) -> None:
    with pytest.raises(InvalidInput, match=f"c={c} is not a positive number"):
        fit(*noisy(), c=c)


def test_missing_values_and_no_features_are_refused() -> None:
    points, churned = noisy()
    points[3, 1] = np.nan
    with pytest.raises(InvalidInput, match="1 of 600 values are missing or infinite"):
        fit(points, churned)
    with pytest.raises(InvalidInput, match="at least one feature"):
        fit(points[:, :0], churned)


def test_labels_of_another_length_or_type_are_refused() -> None:
    points, churned = noisy()
    for labels in (churned[1:], churned.astype(float)):
        with pytest.raises(ValueError, match="labels of type"):
            fit(points, labels)


def test_extreme_customers_get_probabilities_within_zero_and_one_and_missing_ones_none() -> None:
    points, churned = noisy(width=1)
    found = probability(fit(points, churned), np.array([[-1e300], [1e300], [np.nan]]))
    assert found[:2].tolist() == [0.0, 1.0]
    assert np.isnan(found[2])
    assert probability(fit(points, churned), np.empty((0, 1))).tolist() == []
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 1 coefficients"):
        probability(fit(points, churned), np.zeros((2, 3)))


def test_a_model_predicts_the_same_after_a_round_trip_as_a_document() -> None:
    points, churned = noisy()
    model = fit(points, churned)
    back = from_document(Logistic, to_document(model))
    assert probability(back, points).tolist() == probability(model, points).tolist()


# ----------------------------------------------------------------------- its quality


def test_auc_counts_pairs_and_ties_half() -> None:
    churned = np.array([True, True, False, False, False])
    # Pairs won: 0.9 beats all three, 0.5 beats 0.2 and draws with 0.5.
    assert auc(churned, np.array([0.9, 0.5, 0.5, 0.2, 0.7])) == pytest.approx((3 + 1.5) / 6)
    assert auc(churned, np.full(5, 0.3)) == 0.5
    assert auc(churned, np.array([1.0, 0.9, 0.1, 0.2, 0.3])) == 1.0


def test_auc_needs_both_classes() -> None:
    with pytest.raises(InsufficientData, match="2 customers churned and 0 did not"):
        auc(np.array([True, True]), np.array([0.1, 0.2]))


def test_brier_is_the_mean_squared_error() -> None:
    assert brier(np.array([True, False]), np.array([0.7, 0.2])) == pytest.approx((0.09 + 0.04) / 2)


def test_calibration_compares_what_was_predicted_with_what_happened() -> None:
    probabilities = np.array([0.1, 0.2, 0.3, 0.6, 0.8, 0.7])
    table = calibration(np.array([False, False, True, True, True, False]), probabilities, bins=2)
    low, high = table.bins
    assert (low.lowest, low.highest, low.customers, low.observed) == (0.1, 0.3, 3, 1 / 3)
    assert (high.lowest, high.highest, high.customers, high.observed) == (0.6, 0.8, 3, 2 / 3)
    assert (low.predicted, high.predicted) == (pytest.approx(0.2), pytest.approx(0.7))
    assert table.error == pytest.approx((1 / 3 - 0.2 + 0.7 - 2 / 3) / 2)


def test_equal_probabilities_share_a_row_of_the_calibration_table() -> None:
    table = calibration(np.arange(40) < 10, np.full(40, 0.25))
    assert [(row.customers, row.predicted, row.observed) for row in table.bins] == [(40, 0.25, 0.25)]
    assert table.error == 0


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_what_is_not_a_probability_is_refused(wrong: float) -> None:
    for measure in (auc, brier, calibration):
        with pytest.raises(InvalidInput, match=f"{wrong} is not a probability"):
            measure(np.array([True, False]), np.array([0.5, wrong]))


def test_nobody_cannot_be_measured() -> None:
    for measure in (auc, brier, calibration):
        with pytest.raises(InvalidInput, match="no customers"):
            measure(np.zeros(0, dtype=np.bool_), np.zeros(0))


@pytest.mark.parametrize("bins", [1, 101])
def test_calibration_bins_out_of_range_are_refused(bins: int) -> None:
    with pytest.raises(InvalidInput, match=f"bins={bins} is not between 2 and 100"):
        calibration(np.array([True, False]), np.array([0.5, 0.4]), bins)


@pytest.mark.parametrize("folds", [1, 21])
def test_folds_out_of_range_are_refused(folds: int) -> None:
    with pytest.raises(InvalidInput, match=f"folds={folds} is not between 2 and 20"):
        cross_validate(*noisy(), folds)


@pytest.mark.parametrize("folds", [2, 5, 20])
def test_folds_are_of_one_size_and_every_fit_has_enough_of_each_class(folds: int) -> None:
    fewest = {2: 20, 5: 13, 20: 20}[folds]
    rng = np.random.default_rng(2)
    points, churned = rng.normal(size=(3 * fewest, 1)), np.arange(3 * fewest) < fewest
    found = cross_validate(points, churned, folds)
    sizes = [fold.customers for fold in found.folds]
    assert max(sizes) - min(sizes) <= 1
    churned[0] = False
    with pytest.raises(InsufficientData, match=f"at least {fewest} of each"):
        cross_validate(points, churned, folds)


def test_features_that_say_nothing_give_a_coin_toss_and_the_brier_score_of_the_base_rate() -> None:
    rng = np.random.default_rng(4)
    found = cross_validate(rng.normal(size=(400, 5)), rng.random(400) < 0.3)
    assert found.brier == pytest.approx(found.base_brier, abs=0.01)
    assert found.auc == pytest.approx(0.5, abs=0.1)
