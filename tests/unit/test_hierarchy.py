"""Hierarchical clusters: heights by hand, published sizes, ties, outliers, errors, scoring, and what is kept."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.clustering import chain_linkage, hierarchy, ward
from segmentation.engine.clustering.dendrogram import cut, top, tree
from segmentation.engine.clustering.hierarchy import Hierarchy, Linkage, assign, fit
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import Codes, Floats
from segmentation.errors import InsufficientData, InvalidInput


def column(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)[:, None]


def blobs(rows: int, columns: int = 3) -> tuple[Floats, Codes]:
    """Well separated clusters about the origin and a point on each axis, of unequal sizes; and the cluster of each."""
    random = np.random.default_rng(7)
    truth = random.choice(columns + 1, rows, p=np.arange(1, columns + 2) / np.arange(1, columns + 2).sum())
    return 30 * np.eye(columns + 1, columns)[truth] + random.normal(size=(rows, columns)), truth.astype(np.int32)


def same_partition(one: Codes, other: Codes) -> bool:
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize(("linkage", "last"), [("ward", math.sqrt(4 / 3) * 4.5), ("average", 4.5), ("complete", 5.0)])
def test_heights_are_those_of_the_definition(linkage: Linkage, last: float) -> None:
    model, labels = fit(column(0, 1, 5), 2, linkage)
    assert model.heights == pytest.approx([1, last], rel=1e-14)
    assert labels.tolist() == [0, 0, 1]
    assert (model.sizes, model.inertia, model.centres.tolist()) == ((2, 1), 0.5, [[0.5], [5.0]])


@pytest.mark.parametrize(("linkage", "last"), [("ward", math.sqrt(2 * 3 / 4) * 4), ("average", 4), ("complete", 4)])
def test_equal_rows_are_one_row_with_their_weight(linkage: Linkage, last: float) -> None:
    model, labels = fit(column(0, 4, 0, -0.0), 2, linkage)
    assert model.heights == pytest.approx([last], rel=1e-14)
    assert (labels.tolist(), model.sizes, model.agreement) == ([0, 1, 0, 0], (3, 1), 1.0)


def test_average_linkage_weighs_equal_rows() -> None:
    # 0 (three times) joins 1, and the mean distance of the four to 10 is (3 * 10 + 9) / 4.
    assert fit(column(0, 0, 0, 1, 10), 1, "average")[0].heights == pytest.approx([1, 9.75], rel=1e-14)


def test_ward_gives_the_published_sizes_on_the_mall_customers(data: Path) -> None:
    with (data / "mall_customers" / "Mall_Customers.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    points = np.array([[float(row[3]), float(row[4])] for row in rows])
    model, labels = fit(points, 5, "ward")
    assert model.sizes == (85, 39, 32, 23, 21)
    assert np.bincount(labels).tolist() == [85, 39, 32, 23, 21]
    assert (model.agreement, model.exact, model.loss, model.hidden) == (1.0, True, 0.0, 0.0)
    assert np.array_equal(assign(model, points), labels)


@pytest.mark.parametrize("linkage", ["ward", "average", "complete"])
@pytest.mark.parametrize("exact_limit", [20_000, 600])
def test_clusters_that_are_far_apart_are_found(linkage: Linkage, exact_limit: int) -> None:
    points, truth = blobs(1_500)
    model, labels = fit(points, 4, linkage, exact_limit=exact_limit)
    assert same_partition(labels, truth)
    assert np.array_equal(assign(model, points), labels)
    assert model.agreement == 1.0
    assert model.sizes == tuple(sorted(np.bincount(truth).tolist(), reverse=True))


def test_branches_of_a_large_tree_stand_for_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(1).normal(size=(3_000, 2))
    model, labels = fit(points, 6, "ward")
    assert model.prototypes.shape == (1_000, 2) and model.agreement > 0.99
    monkeypatch.setattr(hierarchy, "PROTOTYPES", 30)
    coarse, labels = fit(points, 6, "ward")
    assert coarse.prototypes.shape == (30, 2)
    assert 0.9 < coarse.agreement < 1
    assert np.mean(assign(coarse, points) == labels) == pytest.approx(coarse.agreement)


def test_micro_clusters_state_what_they_lose() -> None:
    points = np.random.default_rng(4).normal(size=(4_000, 2))
    exact, _ = fit(points, 5, "ward")
    model, labels = fit(points, 5, "ward", exact_limit=1_000)
    assert not model.exact
    assert np.array_equal(assign(model, points), labels)
    # 500 cells over a plane leave about 1/500 of the spread within them.
    assert 0.0005 < model.hidden < 0.005
    assert -0.2 < model.loss < 0.2
    assert model.inertia < 1.1 * exact.inertia
    assert model.inertia == pytest.approx(sum(((points[labels == c] - model.centres[c]) ** 2).sum() for c in range(5)))


def test_micro_clusters_of_nearly_equal_customers_are_refused_with_k() -> None:
    points = np.zeros((30_000, 1))
    points[:30] = np.arange(30)[:, None]
    with pytest.raises(InsufficientData, match="k=30"):
        fit(points, 30, "ward", exact_limit=29)


def test_ward_by_rounds_and_by_the_chain_make_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    points, weights = np.random.default_rng(3).normal(size=(500, 2)), np.resize([1.0, 2.0, 3.0], 500)
    rounds = ward.ward(points, weights)
    children = [rounds.children]
    for effort in (0, 1.5):
        monkeypatch.setattr(ward, "EFFORT", effort)
        chained = ward.ward(points, weights)
        assert np.allclose(np.sort(chained.heights), np.sort(rounds.heights), rtol=1e-12, atol=0)
        assert all(same_partition(cut(chained, k), cut(rounds, k)) for k in (2, 7, 60))
        children.append(chained.children)
    # Three orders of merges, one tree.
    assert not np.array_equal(children[0], children[1]) and not np.array_equal(children[1], children[2])


def test_an_outlier_does_not_blur_the_rows_near_each_other() -> None:
    near = np.random.default_rng(5).normal(size=(300, 3))
    outlier = np.full((1, 3), 1e8)
    expected = fit(near, 4, "ward")[1]
    _, labels = fit(np.concatenate((near, outlier)), 5, "ward")
    assert same_partition(labels[:-1], expected)
    assert np.count_nonzero(labels == labels[-1]) == 1


def test_a_large_common_part_does_not_blur_differences() -> None:
    points = np.round(np.random.default_rng(6).normal(size=(300, 2)), 3)
    assert np.array_equal(fit(points + 2.0**20, 6, "ward")[1], fit(points, 6, "ward")[1])


def test_ties_everywhere_still_make_a_tree() -> None:
    points = np.stack(np.meshgrid(np.arange(40.0), np.arange(30.0)), axis=-1).reshape(-1, 2)
    for linkage in ("ward", "average", "complete"):
        model, labels = fit(points, 4, linkage)
        assert sum(model.sizes) == 1_200
        assert np.bincount(labels).tolist() == list(model.sizes)
        assert (np.diff(model.heights) >= 0).all()
    line = ward.ward(column(*range(2_000)) / 2_000, np.ones(2_000))
    assert len(line.heights) == 1_999


def test_a_matrix_in_float32_gives_the_same_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(8).normal(size=(400, 3))
    expected = fit(points, 7, "average")
    monkeypatch.setattr(chain_linkage, "FLOAT64_ROWS", 100)
    model, labels = fit(points, 7, "average")
    assert np.array_equal(labels, expected[1])
    assert model.heights == pytest.approx(expected[0].heights, rel=1e-6)
    assert not np.array_equal(model.heights, expected[0].heights)


def test_one_customer_is_one_cluster() -> None:
    model, labels = fit(column(3), 1, "ward")
    assert (labels.tolist(), model.sizes, len(model.heights), model.inertia) == ([0], (1,), 0, 0.0)
    assert assign(model, column(-5, 8)).tolist() == [0, 0]


def test_a_constant_column_changes_nothing() -> None:
    points = np.random.default_rng(9).normal(size=(200, 2))
    constant = np.column_stack((points, np.full(200, 7.0)))
    assert np.array_equal(fit(constant, 3, "complete")[1], fit(points, 3, "complete")[1])


def test_a_row_is_scored_alone_as_among_others() -> None:
    points, _ = blobs(900)
    model, _ = fit(points, 4, "average", exact_limit=500)
    new = np.random.default_rng(10).uniform(-10, 40, size=(50, 3))
    assert [int(assign(model, row[None])[0]) for row in new] == assign(model, new).tolist()


@pytest.mark.parametrize(
    ("points", "k", "linkage", "field", "message"),
    [
        (column(1, 2, 2, 1), 3, "ward", "k", "k=3 exceeds the 2 distinct customers"),
        (column(1, 2), 3, "ward", "k", "k=3 exceeds the 2 customers"),
        (np.empty((0, 2)), 1, "ward", "k", "k=1 exceeds the 0 customers"),
        (column(1, 2), 0, "ward", "k", "k=0 is below 1"),
        (column(*range(200)), 101, "ward", "k", "k=101 is above 100"),
        (column(1, 2), 1, "single", "linkage", "'single' is none of ward, average, complete"),
        (column(1, math.nan), 1, "ward", "features", "row 1, column 0 is nan"),
        (column(1, math.inf), 1, "average", "features", "row 1, column 0 is inf"),
        (column(1, -1e200), 1, "average", "features", "1e+200 is above 1e+140"),
        (np.empty((3, 0)), 1, "ward", "features", r"\(3, 0\)"),
    ],
)
def test_bad_input_is_refused_with_its_value(
    points: Floats, k: int, linkage: Linkage, field: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message.replace("+", r"\+")) as caught:
        fit(points, k, linkage)
    assert [error.field for error in caught.value.errors] == [field]


def test_large_and_small_values_keep_their_clusters() -> None:
    points, truth = blobs(300)
    for scale in (2.0**-200, 2.0**200):
        model, labels = fit(points * scale, 4, "ward")
        assert same_partition(labels, truth)
        assert model.heights / scale == pytest.approx(fit(points, 4, "ward")[0].heights, rel=1e-12)


@pytest.mark.parametrize("exact_limit", [20_000, 500])
def test_the_top_of_the_tree_can_be_drawn(exact_limit: int) -> None:
    points, _ = blobs(800)
    model, _ = fit(points, 4, "ward", exact_limit=exact_limit)
    assert model.merges.shape == (50, 2) and len(model.leaf_sizes) == len(model.leaf_clusters) == 51
    sizes = list(model.leaf_sizes)
    for one, other in model.merges.tolist():
        sizes.append(sizes[one] + sizes[other])
    assert sizes[-1] == 800
    assert sorted(model.merges.ravel().tolist()) == list(range(100))
    by_cluster = np.bincount(model.leaf_clusters, weights=model.leaf_sizes)
    assert by_cluster.tolist() == list(model.sizes)
    assert len(fit(points, 80, "ward", exact_limit=exact_limit)[0].merges) == 79


def test_a_model_comes_back_from_its_document() -> None:
    points, _ = blobs(700)
    for limit in (20_000, 500):
        model, labels = fit(points, 4, "complete", exact_limit=limit)
        back = from_document(Hierarchy, to_document(model))
        assert np.array_equal(assign(back, points), labels)
        assert to_document(back) == to_document(model)


def test_a_tree_is_cut_by_height_and_not_by_the_order_of_its_merges() -> None:
    built = tree(4, [(2, 3), (0, 1), (4, 5)], [5.0, 1.0, 9.0])
    assert same_partition(cut(built, 3), np.array([0, 0, 1, 2], dtype=np.int32))
    leaves, merges, heights = top(built, 2)
    assert (leaves.tolist(), heights.tolist()) == ([2, 2, 0, 1], [5.0, 9.0])
    assert merges.tolist() == [[0, 1], [3, 2]]


def test_rounding_cannot_put_a_merge_below_its_children() -> None:
    built = tree(3, [(0, 1), (3, 2)], [1.0, 1.0 - 1e-16])
    assert built.heights.tolist() == [1.0, 1.0]
    assert cut(built, 2).tolist() == [0, 0, 1] or cut(built, 2).tolist() == [1, 1, 0]
