"""k-means on real data against scikit-learn's figures, and what it does at the edges."""

import csv
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.clustering import lloyd, nearest, starts
from segmentation.engine.clustering.kmeans import assign, distances, fit
from segmentation.engine.frame import Floats
from segmentation.errors import InvalidInput


def mall(data: Path) -> Floats:
    """Annual income and spending score of 200 customers."""
    with (data / "mall_customers" / "Mall_Customers.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(row[3]), float(row[4])] for row in rows])


def groups(count: int, columns: int, k: int, seed: int = 0) -> Floats:
    """Overlapping groups of unequal size."""
    random = np.random.default_rng(seed)
    centres = 3 * random.standard_normal((k, columns))
    owners = random.choice(k, count, p=random.dirichlet(np.full(k, 4.0)))
    return centres[owners] + random.standard_normal((count, columns))


@pytest.mark.parametrize(
    ("k", "inertia"), [(3, 106348.373062), (4, 73679.789039), (5, 44448.455448), (6, 37233.814511)]
)
def test_the_mall_customers_give_the_inertia_of_the_reference(data: Path, k: int, inertia: float) -> None:
    model, labels = fit(mall(data), k, restarts=50)
    assert model.inertia == pytest.approx(inertia, rel=1e-6)
    assert model.converged and sum(model.sizes) == len(labels) == 200


def test_five_groups_of_mall_customers_have_the_sizes_and_members_of_the_reference(data: Path) -> None:
    model, labels = fit(mall(data), 5)
    assert model.sizes == (81, 39, 35, 23, 22)
    expected = data.parent / "reference" / "expected" / "mall_k5_labels.csv"
    if not expected.exists():
        pytest.skip(f"no expected labels at {expected}")
    with expected.open() as file:
        theirs = [int(row["cluster_k5"]) for row in csv.DictReader(file)]
    assert len(set(zip(labels.tolist(), theirs, strict=True))) == 5


@pytest.mark.parametrize(("k", "inertia"), [(2, 6485.6805), (3, 4877.1167), (4, 3962.2940), (5, 3330.1605)])
def test_online_retail_gives_the_inertia_of_the_reference(data: Path, k: int, inertia: float) -> None:
    path = data.parent / "reference" / "expected" / "online_retail_rfm_2011-12-10.csv"
    if not path.exists():
        pytest.skip(f"no expected values at {path}")
    with path.open() as file:
        rows = np.array([[float(row[name]) for name in "RFM"] for row in csv.DictReader(file)])
    points = np.log1p(rows)
    points = (points - points.mean(axis=0)) / points.std(axis=0)
    # Of four and five clusters, few starts lead to the least inertia: most end 0.01% above it.
    model, _ = fit(points, k, restarts=10 if k < 4 else 150)
    assert model.inertia == pytest.approx(inertia, rel=1e-6)


def test_four_points_by_hand() -> None:
    model, labels = fit(np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [0.0, 1.0]]), 2)
    assert labels.tolist() == [0, 0, 1, 0]
    assert model.centres.tolist() == [[0.0, 1.0], [10.0, 0.0]]
    assert (model.sizes, model.inertia) == ((3, 1), 2.0)


def test_clusters_of_equal_size_are_ordered_by_their_centres() -> None:
    model, labels = fit(np.array([[5.0], [5.0], [1.0], [1.0]]), 2)
    assert model.centres.tolist() == [[1.0], [5.0]] and labels.tolist() == [1, 1, 0, 0]


def test_one_cluster_has_its_centre_at_the_mean() -> None:
    points = groups(500, 3, 2)
    model, labels = fit(points, 1)
    assert model.centres[0] == pytest.approx(points.mean(axis=0), rel=1e-12)
    assert not labels.any() and model.inertia == pytest.approx(((points - points.mean(axis=0)) ** 2).sum(), rel=1e-9)


def test_as_many_clusters_as_distinct_rows_leave_no_distance() -> None:
    points = np.repeat(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 9.0]]), [5, 3, 1, 1], axis=0)
    model, _ = fit(points, 4)
    assert (model.inertia, model.sizes) == (0.0, (5, 3, 1, 1))


@pytest.mark.parametrize("count", [4, 100_001])
def test_k_above_the_distinct_rows_says_both_numbers(count: int) -> None:
    points = np.tile(np.array([[1.0, 2.0], [0.0, 2.0], [-0.0, 2.0], [3.0, 4.0]]), (count // 4 + 1, 1))
    with pytest.raises(InvalidInput, match="k=4 exceeds the 3 distinct customers") as caught:
        fit(points, 4)
    assert caught.value.errors[0].field == "k"


def test_a_value_too_rare_for_a_sample_still_becomes_a_cluster() -> None:
    points = np.zeros((100_001, 2))
    points[70_000] = 1
    points[30_000] = 2
    model, labels = fit(points, 3)
    assert model.inertia == 0 and model.sizes == (99_999, 1, 1)
    assert labels[70_000] != labels[30_000] != 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k=0 is below 1"),
        ({"k": -3}, "k=-3 is below 1"),
        ({"restarts": 0}, "restarts=0 is below 1"),
        ({"points": np.zeros((0, 2))}, "k=2 exceeds the 0 distinct customers"),
        ({"points": np.zeros((3, 0))}, r"shape \(3, 0\)"),
        ({"points": np.array([[1.0, 2.0], [3.0, np.nan]])}, "row 1, column 1 is nan"),
        ({"points": np.array([[-np.inf, 2.0], [3.0, 0.0]])}, "row 0, column 0 is -inf"),
        ({"points": np.array([[0.0, 2.0], [3.0, 1e200]])}, "row 1, column 1 is 1e[+]200"),
        ({"start": np.zeros((3, 2))}, "start must be 2 rows of 2 finite numbers"),
    ],
)
def test_bad_arguments_are_refused_with_their_value(changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"points": np.array([[0.0, 1.0], [2.0, 3.0]]), "k": 2} | changes
    with pytest.raises(InvalidInput, match=message):
        fit(arguments.pop("points"), **arguments)  # type: ignore[arg-type]


def test_a_row_that_is_not_finite_has_no_nearest_centre() -> None:
    with pytest.raises(InvalidInput, match=r"row 1 is \[nan\]"):
        assign(np.array([[0.0], [1.0]]), np.array([[0.5], [np.nan]]))


def test_a_row_of_another_width_has_no_nearest_centre() -> None:
    with pytest.raises(InvalidInput, match="rows of 1 values"):
        assign(np.array([[0.0], [1.0]]), np.zeros((2, 3)))


def test_a_row_in_the_middle_belongs_to_the_first_centre() -> None:
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    assert assign(centres, np.array([[1.0, 1.0], [1.5, 1.5], [1.0, 0.0], [0.0, 1.0]])).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("k", [1, 2, 9, 64, 65, 300])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_nearest_is_what_distances_in_float64_say_and_margins_never_promise_more(k: int, offset: float) -> None:
    points = groups(9_000, 4, 5) + offset
    points[:50] = points[50:100]
    centres = points[:: len(points) // k][:k]
    found = nearest.nearest(points, centres)
    measured = distances(centres, points)
    assert np.array_equal(found.labels, measured.argmin(axis=1))
    if k > 1:
        two = np.partition(measured, 1, axis=1)
        apart = two[:, 1] - two[:, 0]
        assert np.all(found.margins <= apart * (1 + 1e-9) + 1e-9)
        assert np.median(found.margins) > 0.5 * np.median(apart)


def test_distances_by_hand() -> None:
    assert distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[3.0, 0.0]])).tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(("count", "columns", "k"), [(3_000, 3, 4), (30_000, 2, 7), (30_000, 6, 12)])
def test_iterations_with_margins_take_the_same_way_as_plain_ones(count: int, columns: int, k: int) -> None:
    points = groups(count, columns, 5, seed=k)
    centres = points[:k].copy()
    found = lloyd.iterate(points, centres, most=10_000)
    steps = 0
    while True:
        steps += 1
        labels = distances(centres, points).argmin(axis=1)
        means = np.array([points[labels == cluster].mean(axis=0) for cluster in range(k)])
        if np.allclose(means, centres, rtol=1e-13, atol=1e-13):
            break
        centres = means
    assert np.array_equal(found.labels, labels)
    assert found.centres == pytest.approx(means, rel=1e-10, abs=1e-12)
    assert found.converged and abs(found.iterations - steps) <= 1


def test_a_cluster_that_loses_its_rows_gets_the_farthest_one() -> None:
    points = np.array([[0.0], [1.0], [2.0], [50.0]])
    found = lloyd.iterate(points, np.array([[1.0], [100.0], [200.0]]))
    assert np.all(found.sizes > 0) and found.converged
    assert starts.inertia_of(points, found) == pytest.approx(0.5)


def test_a_start_is_followed_to_the_optimum_that_it_leads_to() -> None:
    points = np.array([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]])
    model, _ = fit(points, 2, start=np.array([[0.0], [1.0]]))
    assert sorted(model.centres[:, 0].tolist()) == [0.5, 15.5]


def test_many_rows_give_labels_that_assign_gives_and_little_more_inertia_than_plain_iterations() -> None:
    points = groups(120_000, 3, 6)
    model, labels = fit(points, 6, restarts=2)
    assert np.array_equal(labels, assign(model.centres, points))
    assert model.sizes == tuple(np.bincount(labels, minlength=6)) == tuple(sorted(model.sizes, reverse=True))
    assert model.inertia == pytest.approx(((points - model.centres[labels]) ** 2).sum(), rel=1e-6)
    exact = lloyd.iterate(points, model.centres)
    assert exact.converged
    assert model.inertia <= starts.inertia_of(points, exact) * 1.001


def test_inertia_keeps_its_digits_far_from_the_origin() -> None:
    points = groups(2_000, 2, 3)
    near, _ = fit(points, 3)
    far, _ = fit(points + 1e7, 3, start=near.centres + 1e7)
    assert far.inertia == pytest.approx(near.inertia, rel=1e-6)


def test_a_constant_column_changes_nothing() -> None:
    points = groups(300, 2, 3)
    with_constant = np.column_stack([points, np.full(300, 7.0)])
    model, labels = fit(points, 3)
    other, others = fit(with_constant, 3)
    assert np.array_equal(labels, others) and other.inertia == pytest.approx(model.inertia)
