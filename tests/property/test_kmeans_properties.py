"""Laws of k-means that hold for all customers."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.clustering.kmeans import assign, distances, fit
from segmentation.engine.frame import Floats

coarse = st.integers(-4, 4).map(float)
# Squares of smaller differences vanish.
fine = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@st.composite
def tables(draw: Any, values: st.SearchStrategy[float] = coarse | fine) -> Floats:
    columns = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(values, min_size=columns, max_size=columns), min_size=1, max_size=40))
    return np.array(rows)


@st.composite
def problems(draw: Any) -> tuple[Floats, int]:
    points = draw(tables())
    return points, draw(st.integers(1, len(np.unique(points + 0.0, axis=0))))


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 3))
def test_fitting_gives_the_labels_of_scoring_and_centres_that_are_means(problem: tuple[Floats, int], seed: int) -> None:
    points, k = problem
    model, labels = fit(points, k, seed=seed, restarts=2)
    assert np.array_equal(labels, assign(model.centres, points))
    assert model.sizes == tuple(np.bincount(labels, minlength=k)) and min(model.sizes) > 0
    assert list(model.sizes) == sorted(model.sizes, reverse=True)
    means = np.array([points[labels == cluster].mean(axis=0) for cluster in range(k)])
    assert model.converged
    assert np.allclose(model.centres, means, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(points).max()))


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(0, 3))
def test_the_same_seed_gives_the_same_model_bit_by_bit(problem: tuple[Floats, int], seed: int) -> None:
    points, k = problem
    one, labels = fit(points, k, seed=seed, restarts=3)
    other, others = fit(points.copy(), k, seed=seed, restarts=3)
    assert one.centres.tobytes() == other.centres.tobytes() and one.inertia == other.inertia
    assert np.array_equal(labels, others) and one.sizes == other.sizes


@settings(max_examples=60, deadline=None)
@given(tables(), tables())
def test_a_row_alone_gets_the_label_that_it_gets_among_others(points: Floats, centres: Floats) -> None:
    width = min(points.shape[1], centres.shape[1])
    points, centres = points[:, :width], centres[:, :width]
    together = assign(centres, points)
    assert np.array_equal(together, [assign(centres, row[None])[0] for row in points])
    assert np.array_equal(together[::-1], assign(centres, points[::-1]))
    assert np.array_equal(together, distances(centres, points).argmin(axis=1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 4))
def test_order_copies_shift_and_scale_of_customers_leave_groups_that_lie_apart(seed: int, k: int, copies: int) -> None:
    random = np.random.default_rng(seed)
    owners = np.repeat(np.arange(k), random.integers(4, 12, k))
    points = np.column_stack([100.0 * owners, random.standard_normal(len(owners))])
    model, labels = fit(points, k, restarts=5)
    order = random.permutation(len(points))
    shuffled, shuffled_labels = fit(points[order], k, restarts=5)
    assert np.array_equal(labels[order], shuffled_labels) and np.allclose(model.centres, shuffled.centres)
    repeated, repeated_labels = fit(np.tile(points, (copies, 1)), k, restarts=5)
    assert np.array_equal(np.tile(labels, copies), repeated_labels)
    assert np.isclose(repeated.inertia, copies * model.inertia)
    moved, moved_labels = fit(points * 4 + 1_000, k, restarts=5)
    assert np.array_equal(labels, moved_labels) and np.isclose(moved.inertia, 16 * model.inertia)
