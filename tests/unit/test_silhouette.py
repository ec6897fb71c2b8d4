"""Silhouettes against definitions worked by hand, arithmetic over all pairs, and figures of real data."""

import csv
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.clustering.kmeans import fit
from segmentation.engine.clustering.silhouette import MAX_CLUSTERS, Labels, silhouette
from segmentation.engine.frame import Floats
from segmentation.errors import InsufficientData, InvalidInput

LINE = np.array([[0.0], [1.0], [5.0], [6.0], [9.0]])
LINE_LABELS = np.array([0, 0, 1, 1, 2], dtype=np.int32)


def by_definition(points: Floats, labels: Labels) -> Floats:
    """Widths (n,) from the full matrix of distances."""
    away = np.sqrt(np.square(points[:, None] - points[None]).sum(axis=2))
    widths = np.zeros(len(points))
    for row, own in enumerate(labels):
        within = away[row, labels == own].sum() / max((labels == own).sum() - 1, 1)
        between = min(away[row, labels == other].mean() for other in set(labels.tolist()) - {own})
        if (labels == own).sum() > 1 and max(within, between) > 0:
            widths[row] = (between - within) / max(within, between)
    return widths


def clouds(rows: int, clusters: int, apart: float, columns: int = 3) -> tuple[Floats, Labels]:
    random = np.random.default_rng(20261122)
    labels = random.integers(0, clusters, rows).astype(np.int32)
    return random.normal(0, apart, (clusters, columns))[labels] + random.normal(0, 1, (rows, columns)), labels


def means_of(labels: Labels, widths: Floats) -> list[float]:
    return [float(widths[labels == label].mean()) for label in range(labels.max() + 1)]


def test_a_line_of_five_is_as_worked_by_hand() -> None:
    found = silhouette(LINE, LINE_LABELS)
    # Row 0: a = 1, b = (5 + 6) / 2. Row 1: a = 1, b = 4.5. Row 5: a = 1, b = 4. Row 6: a = 1, b = 3. Row 9 is alone.
    first, second = (1 - 1 / 5.5 + 1 - 1 / 4.5) / 2, (1 - 1 / 4 + 1 - 1 / 3) / 2
    assert found.per_cluster == pytest.approx((first, second, 0.0), abs=1e-12)
    assert found.mean == pytest.approx((2 * first + 2 * second) / 5, abs=1e-12)
    assert (found.standard_error, found.per_cluster_error, found.rows, found.exact) == (0, (0, 0, 0), 5, True)


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_mall_customers_have_the_computed_silhouettes(k: int, data: Path) -> None:
    with (data / "mall_customers" / "Mall_Customers.csv").open() as file:
        points = np.array([[float(value) for value in row[3:]] for row in list(csv.reader(file))[1:]])
    labels = fit(points, k, restarts=50)[1]
    expected = {3: 0.467614, 4: 0.493196, 5: 0.553932, 6: 0.539761}
    assert silhouette(points, labels).mean == pytest.approx(expected[k], abs=1e-6)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_online_retail_has_the_computed_silhouettes(k: int, data: Path) -> None:
    path = data.parent / "reference" / "expected" / "online_retail_rfm_2011-12-10.csv"
    if not path.is_file():
        pytest.skip(f"no figures per customer at {path}")
    with path.open() as file:
        points = np.log1p([[float(row[name]) for name in ("R", "F", "M")] for row in csv.DictReader(file)])
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    # Only one in twenty starts, and fewer, finds the best four and five clusters.
    labels = fit(points, k, restarts=150)[1]
    expected = {2: 0.43416, 3: 0.33884, 4: 0.33641, 5: 0.31771}
    assert silhouette(points, labels).mean == pytest.approx(expected[k], abs=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize(("clusters", "apart"), [(2, 0.1), (7, 3.0), (40, 2.0), (3, 1e4)])
def test_single_precision_agrees_with_arithmetic_over_all_pairs(clusters: int, apart: float, offset: float) -> None:
    points, labels = clouds(2_500, clusters, apart)
    widths = by_definition(points, labels)
    found = silhouette(points + offset, labels)
    assert found.mean == pytest.approx(widths.mean(), abs=1e-6)
    assert found.per_cluster == pytest.approx(means_of(labels, widths), abs=1e-5)


def test_many_equal_rows_do_not_drown_in_rounding() -> None:
    random = np.random.default_rng(5)
    points = random.integers(1, 6, (2_500, 3)).astype(np.float64)
    labels = (points.sum(axis=1) > 9).astype(np.int32) + (points.sum(axis=1) > 12)
    widths = by_definition(points, labels)
    assert silhouette(points, labels).per_cluster == pytest.approx(means_of(labels, widths), abs=1e-5)


def test_tight_knots_within_one_cluster_do_not_drown_in_rounding() -> None:
    points, labels = clouds(2_500, 3, 1e7)
    merged = (labels == 2).astype(np.int32)
    widths = by_definition(points, merged)
    assert silhouette(points, merged).per_cluster == pytest.approx(means_of(merged, widths), abs=1e-5)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_unit_of_measurement_does_not_matter(scale: float) -> None:
    points, labels = clouds(300, 4, 3.0)
    assert silhouette(points * scale, labels).mean == pytest.approx(silhouette(points, labels).mean, abs=1e-12)


def test_equal_customers_in_two_clusters_score_zero() -> None:
    assert silhouette(np.ones((6, 2)), np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)).mean == 0


def test_customers_without_a_cluster_do_not_count() -> None:
    points, labels = clouds(200, 3, 3.0)
    outside = np.vstack([points, [[0.0, 0.0, 0.0]] * 5])
    assert silhouette(outside, np.append(labels, [-1] * 5).astype(np.int32)) == silhouette(points, labels)


def test_a_cluster_that_nobody_is_in_has_no_silhouette() -> None:
    found = silhouette(LINE, np.array([0, 0, 2, 2, 2], dtype=np.int32))
    assert np.isnan(found.per_cluster[1]) and np.isfinite(found.mean)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 0], [-1, -1, -1, -1, -1], [-1, 1, 1, 1, -1]])
def test_fewer_than_two_clusters_have_none(labels: list[int]) -> None:
    with pytest.raises(InsufficientData, match=f"at least 2 clusters, found {len({*labels} - {-1})}"):
        silhouette(LINE, np.array(labels, dtype=np.int32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        silhouette(np.where(LINE == 5, value, LINE), LINE_LABELS)


def test_labels_of_other_rows_and_too_many_clusters_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\(4,\) do not belong to points of shape \(5, 1\)"):
        silhouette(LINE, LINE_LABELS[:4])
    with pytest.raises(InvalidInput, match="k=1001 exceeds the 1000 clusters"):
        silhouette(LINE, np.array([0, 0, 1, 1, MAX_CLUSTERS], dtype=np.int32))


def test_a_sample_comes_within_its_standard_error() -> None:
    random = np.random.default_rng(8)
    labels = random.choice(4, 6_000, p=[0.6, 0.3, 0.09, 0.01]).astype(np.int32)
    points = random.normal(0, 3, (4, 3))[labels] + random.normal(0, 1, (6_000, 3))
    exact = silhouette(points, labels)
    samples = [silhouette(points, labels, seed=seed, exact_limit=5_000, sample=1_500) for seed in range(30)]
    assert exact.exact and not any(sample.exact for sample in samples)
    assert {sample.rows for sample in samples} == {samples[0].rows} and samples[0].rows < 1_700
    for cluster in range(4):
        drawn = np.array([sample.per_cluster[cluster] for sample in samples])
        stated = np.mean([sample.per_cluster_error[cluster] for sample in samples])
        assert abs(drawn.mean() - exact.per_cluster[cluster]) < stated
        assert 0.6 * drawn.std() < stated < 2 * drawn.std()
    errors = np.array([(sample.mean - exact.mean) / sample.standard_error for sample in samples])
    assert np.abs(errors).max() < 4 and np.square(errors).mean() < 2.5


def test_a_small_cluster_is_taken_whole_and_the_seed_decides_the_rest() -> None:
    points, labels = clouds(3_000, 2, 3.0)
    labels[:3] = 2
    one, again = (silhouette(points, labels, seed=4, exact_limit=100, sample=500) for _ in range(2))
    assert one == again != silhouette(points, labels, seed=5, exact_limit=100, sample=500)
    assert 500 <= one.rows < 510 and len(one.per_cluster) == 3
    assert one.standard_error > 0 and np.isfinite(one.per_cluster_error[2])
