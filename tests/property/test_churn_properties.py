"""Laws of the logistic model, its measures, and bands, for random data."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segmentation.engine.bands import by_share, code
from segmentation.engine.churn.logistic import fit, probability
from segmentation.engine.churn.metrics import auc, calibration, cross_validate
from segmentation.engine.document import to_document
from segmentation.engine.frame import Bools, Floats

Labelled = tuple[Floats, Bools]


@st.composite
def labelled(draw: st.DrawFn) -> Labelled:
    """100 to 3,000 customers, so that some need more than one chunk, with labels that the features explain in part."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size, width = draw(st.integers(100, 3_000)), draw(st.integers(1, 4))
    points = rng.normal(size=(size, width))
    odds = points @ rng.normal(0, 0.5, width) + draw(st.floats(-1, 1))
    churned = rng.random(size) < 1 / (1 + np.exp(-odds))
    assume(15 <= churned.sum() <= size - 15)
    return points, churned


@settings(deadline=None, max_examples=30)
@given(labelled(), st.integers(0, 2**32))
def test_the_order_of_customers_changes_coefficients_by_rounding_only(shop: Labelled, seed: int) -> None:
    points, churned = shop
    order = np.random.default_rng(seed).permutation(len(points))
    once, again = fit(points, churned), fit(points[order], churned[order])
    np.testing.assert_allclose(again.coefficients, once.coefficients, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(again.standard_errors, once.standard_errors, rtol=1e-8)


@settings(deadline=None, max_examples=30)
@given(labelled())
def test_every_customer_twice_is_half_the_penalty(shop: Labelled) -> None:
    points, churned = shop
    once, twice = fit(points, churned, c=1.0), fit(np.tile(points, (2, 1)), np.tile(churned, 2), c=0.5)
    np.testing.assert_allclose(twice.coefficients, once.coefficients, rtol=1e-7, atol=1e-9)
    assert twice.intercept == pytest.approx(once.intercept, rel=1e-7, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(labelled())
def test_swapping_the_classes_turns_every_sign(shop: Labelled) -> None:
    points, churned = shop
    one, other = fit(points, churned), fit(points, ~churned)
    np.testing.assert_allclose(other.coefficients, -one.coefficients, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(probability(other, points), 1 - probability(one, points), atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(labelled())
def test_the_same_data_and_seed_give_the_same_model_and_evaluation(shop: Labelled) -> None:
    points, churned = shop
    assert to_document(fit(points.copy(), churned)) == to_document(fit(points, churned))
    assert cross_validate(points, churned, 3, seed=5) == cross_validate(points.copy(), churned, 3, seed=5)


@settings(deadline=None, max_examples=30)
@given(labelled(), st.integers(0, 2**32))
def test_a_customer_alone_has_the_probability_of_one_among_all_to_the_last_bit(shop: Labelled, seed: int) -> None:
    points, churned = shop
    model = fit(points, churned)
    together = probability(model, points)
    for row in np.random.default_rng(seed).integers(0, len(points), 20):
        assert probability(model, points[row : row + 1])[0] == together[row]
    assert np.array_equal(probability(model, np.asfortranarray(points)), together)
    assert np.array_equal(probability(model, points[::-1])[::-1], together)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=60))
def test_auc_is_the_share_of_pairs_in_the_right_order_and_depends_on_order_alone(rows: list[tuple[bool, int]]) -> None:
    churned = np.array([left for left, _ in rows])
    assume(churned.any() and not churned.all())
    found = np.array([value / 8 for _, value in rows])
    differences = found[churned][:, None] - found[~churned][None, :]
    expected = np.mean((differences > 0) + 0.5 * (differences == 0))
    assert auc(churned, found) == pytest.approx(expected)
    assert auc(churned, found**3) == pytest.approx(expected)
    assert auc(~churned, found) == pytest.approx(1 - expected)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=80), st.integers(2, 12))
def test_a_calibration_table_holds_every_customer_once_in_rising_rows(rows: list[tuple[bool, int]], bins: int) -> None:
    churned, found = np.array([left for left, _ in rows]), np.array([value / 20 for _, value in rows])
    table = calibration(churned, found, bins)
    assert 1 <= len(table.bins) <= bins
    assert sum(row.customers for row in table.bins) == len(rows)
    assert sum(row.customers * row.observed for row in table.bins) == pytest.approx(churned.sum())
    edges = [edge for row in table.bins for edge in (row.lowest, row.highest)]
    assert edges == sorted(edges)
    assert all(low.highest < high.lowest for low, high in zip(table.bins, table.bins[1:], strict=False))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=3, max_size=80), st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_bands_by_share_are_never_empty_and_rise_with_the_score(scores: list[int], parts: list[int]) -> None:
    values = np.array(scores, dtype=np.float64)
    assume(len(set(scores)) >= len(parts))
    names = tuple(f"band {number}" for number in range(len(parts)))
    bands = by_share(values, names, [part / sum(parts) for part in parts])
    codes = code(bands, values)
    assert set(codes.tolist()) == set(range(len(parts)))
    assert np.all(np.diff(codes[np.argsort(values)]) >= 0)
    assert bands == by_share(values[::-1], names, [part / sum(parts) for part in parts])
