"""Choosing k on real data against the reference's figures, and by every criterion."""

import csv
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.clustering import choosing
from segmentation.engine.clustering.choosing import choose
from segmentation.engine.clustering.kmeans import assign, fit
from segmentation.engine.clustering.silhouette import silhouette
from segmentation.engine.clustering.widths import mean_widths
from segmentation.engine.frame import Floats
from segmentation.errors import InsufficientData, InvalidInput


def apart(k: int, each: int = 60, columns: int = 2, seed: int = 0) -> Floats:
    """k round groups with room between them."""
    random = np.random.default_rng(seed)
    centres = 20.0 * np.array([[at % 3, at // 3] + [0] * (columns - 2) for at in range(k)])
    return np.repeat(centres, each, axis=0) + random.standard_normal((k * each, columns))


def test_the_mall_curve_is_that_of_the_reference_and_chooses_five(data: Path) -> None:
    with (data / "mall_customers" / "Mall_Customers.csv").open() as file:
        points = np.array([[float(row[3]), float(row[4])] for row in list(csv.reader(file))[1:]])
    curve, model, labels = choose(points, range(3, 7), "silhouette", restarts=50)
    assert curve.chosen == 5 and model.sizes == (81, 39, 35, 23, 22) and curve.rows == 200
    assert curve.inertia == pytest.approx((106348.373062, 73679.789039, 44448.455448, 37233.814511), rel=1e-6)
    assert curve.silhouette == pytest.approx((0.467614, 0.493196, 0.553932, 0.539761), abs=1e-6)
    assert curve.davies_bouldin[2] == pytest.approx(0.572563, abs=1e-6)
    assert curve.calinski_harabasz[2] == pytest.approx(247.3590, abs=1e-4)
    assert np.array_equal(labels, assign(model.centres, points))


@pytest.mark.parametrize("criterion", choosing.CRITERIA)
def test_every_criterion_finds_groups_that_lie_apart(criterion: choosing.Criterion) -> None:
    curve, model, labels = choose(apart(4), range(2, 8), criterion, restarts=5)
    assert curve.chosen == 4 == len(model.centres)
    assert sorted(np.bincount(labels)) == [60] * 4
    assert np.isnan(curve.gap).all() == (criterion != "gap")


def test_the_gap_can_say_that_there_is_one_cluster() -> None:
    points = np.random.default_rng(3).uniform(size=(300, 2))
    assert choose(points, range(1, 5), "gap", restarts=3)[0].chosen == 1


def test_the_first_gap_that_the_next_does_not_beat_is_chosen() -> None:
    assert choosing._first_gap((2, 3, 4), (0.1, 0.5, 0.52), (0.0, 0.05, 0.05)) == 3
    assert choosing._first_gap((2, 3, 4), (0.1, 0.5, 0.9), (0.0, 0.05, 0.05)) == 4


def test_many_rows_are_judged_by_a_sample_and_the_model_is_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_ROWS", 2_000)
    points = apart(5, each=1_000, columns=3)
    curve, model, labels = choose(points, (3, 5, 7), "calinski_harabasz", restarts=3)
    assert (curve.chosen, curve.rows, len(labels)) == (5, 2_000, 5_000)
    expected, expected_labels = fit(points, 5, restarts=3)
    assert np.array_equal(model.centres, expected.centres) and np.array_equal(labels, expected_labels)
    assert curve.inertia[1] == pytest.approx(model.inertia, rel=0.1)


def test_a_sample_with_too_few_distinct_rows_is_judged_by_the_clusters_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_ROWS", 100)
    points = np.zeros((20_000, 1))
    points[:9_000] = 1
    points[7] = 500
    curve, model, _ = choose(points, (2, 3), "silhouette", restarts=1)
    assert curve.ks == (2, 3) and len(model.centres) == curve.chosen


@pytest.mark.parametrize("count", [700, 4_500])
def test_shared_distances_give_the_silhouettes_of_each_partition(count: int) -> None:
    random = np.random.default_rng(5)
    points = random.standard_normal((count, 3)) + 100
    points[3] = points[4]
    partitions = [fit(points, k, restarts=1)[1] for k in (2, 5)]
    lonely = np.zeros(count, dtype=np.int32)
    lonely[9] = 1
    partitions.append(lonely)
    found = mean_widths(points, partitions)
    assert found == pytest.approx([silhouette(points, labels).mean for labels in partitions], abs=2e-6)


def test_k_of_one_has_no_silhouette_and_is_not_chosen_by_it() -> None:
    curve, _, _ = choose(apart(2), (1, 2), "silhouette")
    assert np.isnan(curve.silhouette[0]) and curve.chosen == 2
    with pytest.raises(InsufficientData, match="silhouette is defined for none of k = 1"):
        choose(apart(2), (1,), "silhouette")


@pytest.mark.parametrize(
    ("ks", "criterion", "message"),
    [
        ((), "silhouette", r"\[\] must be different numbers"),
        ((2, 2), "silhouette", r"\[2, 2\] must be different"),
        ((0, 2), "silhouette", r"\[0, 2\] must be"),
        ((2, 51), "silhouette", "from 1 to 50"),
        ((2, 3), "elbow", "'elbow' is none of silhouette, calinski_harabasz"),
        ((2, 5), "silhouette", "k=5 exceeds the 3 distinct customers"),
    ],
)
def test_bad_arguments_are_refused_with_their_value(ks: tuple[int, ...], criterion: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        choose(np.array([[0.0], [1.0], [2.0]]), ks, criterion)  # type: ignore[arg-type]
