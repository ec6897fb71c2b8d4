"""Laws of hierarchical clusters, and trees of few rows against the definition, pair by pair."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.clustering.hierarchy import Linkage, assign, fit
from segmentation.engine.document import to_document
from segmentation.engine.frame import Codes, Floats

linkages = st.sampled_from(get_args(Linkage))
seeds = st.integers(0, 2**32 - 1)
Made = Callable[[int, int, int], Floats]
quick = settings(deadline=None, max_examples=40)


def general(seed: int, rows: int, columns: int) -> Floats:
    """Rows without ties, on columns of different spread."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, columns)) * random.lognormal(0, 1, columns)


def tied(seed: int, rows: int, columns: int) -> Floats:
    """Small whole numbers: many equal rows, and equal distances everywhere."""
    return np.random.default_rng(seed).integers(0, 5, (rows, columns)).astype(np.float64)


def same_partition(one: Codes, other: Codes) -> bool:
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == len(set(one.tolist())) == len(set(other.tolist()))


def by_definition(points: Floats, k: int, linkage: Linkage) -> tuple[list[float], Codes]:
    """Heights of all merges, and the k clusters: the nearest two of all clusters merge, over and over."""
    clusters = [[row] for row in range(len(points))]
    heights: list[float] = []
    labels = np.zeros(len(points), dtype=np.int32)
    while True:
        if len(clusters) == k:
            for label, rows in enumerate(clusters):
                labels[rows] = label
        if len(clusters) == 1:
            return heights, labels
        pairs = [(one, other) for one in range(len(clusters)) for other in range(one)]
        height, one, other = min(
            (apart(points, clusters[one], clusters[other], linkage), one, other) for one, other in pairs
        )
        heights.append(height)
        clusters[other] += clusters.pop(one)


def apart(points: Floats, one: list[int], other: list[int], linkage: Linkage) -> float:
    if linkage == "ward":
        factor = 2 * len(one) * len(other) / (len(one) + len(other))
        return math.sqrt(factor) * math.dist(points[one].mean(axis=0), points[other].mean(axis=0))
    distances = [math.dist(points[a], points[b]) for a in one for b in other]
    return max(distances) if linkage == "complete" else sum(distances) / len(distances)


@quick
@given(seeds, st.integers(2, 25), st.integers(1, 4), linkages, st.data())
def test_a_tree_is_that_of_the_definition(
    seed: int, rows: int, columns: int, linkage: Linkage, data: st.DataObject
) -> None:
    points = general(seed, rows, columns)
    k = data.draw(st.integers(1, rows))
    heights, expected = by_definition(points, k, linkage)
    model, labels = fit(points, k, linkage)
    assert np.allclose(model.heights, heights, rtol=1e-10, atol=0)
    assert same_partition(labels, expected)


@quick
@given(seeds, st.integers(5, 200), st.integers(1, 3), linkages, st.sampled_from([general, tied]))
def test_the_order_of_customers_decides_nothing(
    seed: int, rows: int, columns: int, linkage: Linkage, of: object
) -> None:
    points = general(seed, rows, columns) if of is general else tied(seed, rows, columns)
    order = np.random.default_rng(seed + 1).permutation(rows)
    k = min(4, len(np.unique(points, axis=0)))
    model, labels = fit(points, k, linkage)
    other_model, other_labels = fit(points[order], k, linkage)
    assert np.array_equal(labels[order], other_labels)
    assert np.array_equal(model.heights, other_model.heights)
    assert np.array_equal(model.prototypes, other_model.prototypes)


@quick
@given(seeds, st.integers(5, 150), linkages, st.integers(2, 4))
def test_every_customer_twice_or_more_gives_the_same_clusters(
    seed: int, rows: int, linkage: Linkage, times: int
) -> None:
    points = general(seed, rows, 2)
    model, labels = fit(points, 4, linkage)
    other_model, other_labels = fit(np.repeat(points, times, axis=0), 4, linkage)
    assert np.array_equal(np.repeat(labels, times), other_labels)
    assert other_model.sizes == tuple(times * size for size in model.sizes)


@quick
@given(seeds, st.integers(5, 150), linkages, st.integers(-30, 30), st.floats(-100, 100))
def test_a_change_of_unit_and_origin_changes_no_label(
    seed: int, rows: int, linkage: Linkage, exponent: int, shift: float
) -> None:
    points, scale = general(seed, rows, 2), 2.0**exponent
    model, labels = fit(points, 4, linkage)
    other_model, other_labels = fit(points * scale, 4, linkage)
    assert np.array_equal(labels, other_labels)
    assert np.array_equal(model.heights * scale, other_model.heights)
    assert np.array_equal(fit(points + shift, 4, linkage)[1], labels)


@quick
@given(seeds, st.integers(600, 900), linkages, st.sampled_from([general, tied]), st.sampled_from([20_000, 120, 20]))
def test_fitting_again_is_the_same_to_the_last_bit(
    seed: int, rows: int, linkage: Linkage, made: Made, exact_limit: int
) -> None:
    points = made(seed, rows, 3)
    model, labels = fit(points, 5, linkage, seed=seed, exact_limit=exact_limit)
    again, same = fit(points, 5, linkage, seed=seed, exact_limit=exact_limit)
    assert np.array_equal(labels, same)
    assert to_document(model) == to_document(again)
    # Scoring gives what fitting said: prototypes are the rows themselves, or the micro-clusters.
    assert np.array_equal(assign(model, points), labels)
    assert model.agreement == 1.0
    assert np.bincount(labels, minlength=5).tolist() == list(model.sizes)
    assert list(model.sizes) == sorted(model.sizes, reverse=True)


@quick
@given(seeds, st.integers(2, 60), linkages)
def test_clusters_of_fewer_are_unions_of_clusters_of_more(seed: int, rows: int, linkage: Linkage) -> None:
    points = general(seed, rows, 2)
    below = fit(points, rows, linkage)[1]
    for k in range(rows - 1, 0, -1):
        labels = fit(points, k, linkage)[1]
        assert len(set(zip(labels.tolist(), below.tolist(), strict=True))) == k + 1
        below = labels
