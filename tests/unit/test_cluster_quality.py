"""Indices, stability and verdicts: figures worked by hand, figures of real data, and what each threshold decides."""

import csv
from collections.abc import Callable
from dataclasses import replace
from math import inf, isnan, log, sqrt
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.clustering.indices import (
    adjusted_rand,
    calinski_harabasz,
    davies_bouldin,
    gap,
    inertia,
    spread,
)
from segmentation.engine.clustering.kmeans import fit
from segmentation.engine.clustering.quality import Quality, Stability, measure, refitted, stability, verdict
from segmentation.engine.clustering.silhouette import Silhouette
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import Codes, Floats
from segmentation.errors import InsufficientData, InvalidInput

PAIRS = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [14.0, 0.0]])
PAIRS_LABELS = np.array([0, 0, 1, 1], dtype=np.int32)


def labels_of(*values: int) -> Codes:
    return np.array(values, dtype=np.int32)


def centres_of(points: Floats, k: int) -> Floats:
    return fit(points, k, restarts=3)[0].centres


def clouds(rows: int, apart: float, clusters: int = 3) -> Floats:
    random = np.random.default_rng(20261122)
    centres = apart * np.eye(clusters)
    return centres[np.arange(rows) % clusters] + random.normal(0, 1, (rows, clusters))


@pytest.fixture(scope="module")
def mall(data: Path) -> Floats:
    """Annual income and spending score of 200 customers."""
    with (data / "mall_customers" / "Mall_Customers.csv").open() as file:
        return np.array([[float(value) for value in row[3:]] for row in list(csv.reader(file))[1:]])


# ------------------------------------------------------------------------------ indices


def test_two_pairs_on_a_line_are_as_worked_by_hand() -> None:
    # Centres 1 and 12, radii 1 and 2, middle 6.5; squares within 2 and 8, in all 6.5^2 + 4.5^2 + 3.5^2 + 7.5^2 = 131.
    lying = spread(PAIRS, PAIRS_LABELS)
    assert lying.sizes.tolist() == [2, 2] and lying.centres.tolist() == [[1, 0], [12, 0]]
    assert (lying.inertia, lying.all_squares) == (10, 131) and lying.explained == pytest.approx(121 / 131)
    assert lying.calinski_harabasz == pytest.approx((121 / 1) / (10 / 2))
    assert lying.davies_bouldin == pytest.approx((1 + 2) / 11)
    assert lying.separation.tolist() == pytest.approx([11 / 1.5] * 2) and lying.nearest.tolist() == [1, 0]
    assert lying.homogeneity.tolist() == pytest.approx([1 - 1 / 5.5, 1 - 2 / 5.5])
    assert inertia(PAIRS, PAIRS_LABELS, np.array([[0.0, 0.0], [12.0, 0.0]])) == 4 + 8


def test_mall_customers_have_the_computed_indices(mall: Floats) -> None:
    model, labels = fit(mall, 5, restarts=50)
    assert inertia(mall, labels, model.centres) == pytest.approx(44448.455448, rel=1e-9)
    assert spread(mall, labels).inertia == pytest.approx(44448.455448, rel=1e-9)
    assert spread(mall, labels).sizes.tolist() == [81, 39, 35, 23, 22]
    assert davies_bouldin(mall, labels) == pytest.approx(0.572563, abs=1e-6)
    assert calinski_harabasz(mall, labels) == pytest.approx(247.3590, abs=1e-4)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0, 0, 1, 2), (0, 0, 1, 1), 0.5714285714),
        ((0, 0, 1, 1), (0, 1, 0, 1), -0.5),
        ((0, 0, 0, 1, 1, 1), (0, 0, 1, 1, 2, 2), 0.2424242424),
    ],
)
def test_adjusted_rand_has_the_computed_values(one: tuple[int, ...], other: tuple[int, ...], expected: float) -> None:
    assert adjusted_rand(labels_of(*one), labels_of(*other)) == pytest.approx(expected, abs=5e-11)
    assert adjusted_rand(labels_of(*other), labels_of(*one)) == pytest.approx(expected, abs=5e-11)


@pytest.mark.parametrize("labels", [(), (3,), (0, 0, 0), (0, 1, 2), (2, 2, 0, 1)])
def test_equal_partitions_agree_whatever_their_numbers(labels: tuple[int, ...]) -> None:
    other = labels_of(*(7 - label for label in labels))
    assert adjusted_rand(labels_of(*labels), other) == 1


def test_all_together_against_all_apart_is_what_chance_gives() -> None:
    assert adjusted_rand(labels_of(0, 0, 0), labels_of(0, 1, 2)) == 0


def test_labels_of_unequal_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\(2,\) and \(3,\)"):
        adjusted_rand(labels_of(0, 1), labels_of(0, 1, 1))
    with pytest.raises(InvalidInput, match=r"\(3,\) do not belong to points of shape \(4, 2\)"):
        spread(PAIRS, labels_of(0, 1, 1))
    with pytest.raises(InvalidInput, match="label 1 is not below k=1"):
        spread(PAIRS, PAIRS_LABELS, k=1)
    with pytest.raises(InvalidInput, match="label 1 is not below the number of centres, 1"):
        inertia(PAIRS, PAIRS_LABELS, PAIRS[:1])


def test_rows_without_a_cluster_and_empty_clusters_do_not_count() -> None:
    points = np.vstack([[[1e6, 0.0]], PAIRS])
    lying = spread(points, labels_of(-1, 0, 0, 2, 2), k=4)
    assert lying.sizes.tolist() == [2, 0, 2, 0] and lying.nearest.tolist() == [2, -1, 0, -1]
    assert lying.davies_bouldin == pytest.approx(3 / 11) and lying.calinski_harabasz == pytest.approx(24.2)
    assert np.isnan(lying.homogeneity[[1, 3]]).all() and np.isnan(lying.separation[[1, 3]]).all()
    assert inertia(points, labels_of(-1, 0, 0, 1, 1), np.array([[1.0, 0.0], [12.0, 0.0]])) == 10


def test_one_cluster_has_no_neighbour_and_no_indices() -> None:
    lying = spread(PAIRS, labels_of(0, 0, 0, 0))
    assert isnan(lying.calinski_harabasz) and isnan(lying.davies_bouldin)
    assert (lying.separation.tolist(), lying.nearest.tolist()) == ([inf], [-1])
    assert (lying.explained, lying.homogeneity.tolist()) == (0, [0])


def test_rows_on_their_centres_are_perfect_and_clusters_on_one_place_are_hopeless() -> None:
    perfect = spread(np.array([[0.0], [0.0], [4.0], [4.0]]), PAIRS_LABELS)
    assert (perfect.calinski_harabasz, perfect.davies_bouldin, perfect.explained) == (inf, 0, 1)
    assert perfect.separation.tolist() == [inf, inf] and perfect.homogeneity.tolist() == [1, 1]
    hopeless = spread(np.array([[-1.0], [1.0], [-2.0], [2.0]]), PAIRS_LABELS)
    assert (hopeless.davies_bouldin, hopeless.separation.tolist(), hopeless.explained) == (inf, [0, 0], 0)
    alike = spread(np.ones((4, 1)), PAIRS_LABELS)
    assert (alike.davies_bouldin, alike.separation.tolist()) == (inf, [0, 0])


def test_the_gap_of_one_cluster_is_the_logarithm_worked_by_hand() -> None:
    # About their middle, n uniform points on [0, 1] have a mean inertia of (n - 1) / 12; two at the ends have 1 / 2.
    points = np.repeat([[0.0], [1.0]], 500, axis=0)
    found, error = gap(points, 1, centres_of, references=40, seed=3)
    assert found == pytest.approx(log(999 / 12) - log(250), abs=0.02)
    assert 0 < error < 0.1


def test_the_gap_is_widest_at_the_number_of_clouds() -> None:
    points = clouds(240, 12.0)
    gaps = {k: gap(points, k, centres_of, references=5, seed=1)[0] for k in (1, 2, 3, 4, 5)}
    assert max(gaps, key=lambda k: gaps[k]) == 3
    assert gap(points, 3, centres_of, references=5, seed=1) == gap(points, 3, centres_of, references=5, seed=1)


def test_the_gap_of_many_rows_is_that_of_a_sample() -> None:
    seen: list[int] = []

    def watched(points: Floats, k: int) -> Floats:
        seen.append(len(points))
        return centres_of(points, k)

    gap(clouds(300, 5.0), 2, watched, references=2, rows=100)
    assert seen == [100, 100, 100]
    with pytest.raises(InvalidInput, match="references=0"):
        gap(clouds(30, 5.0), 2, watched, references=0)


# ------------------------------------------------------------------------------ quality


def test_measured_quality_of_mall_customers(mall: Floats) -> None:
    model, labels = fit(mall, 5, restarts=50)
    found = measure(mall, labels, model.centres)
    assert found.silhouette and found.silhouette.mean == pytest.approx(0.553932, abs=1e-6)
    assert (found.customers, found.sizes) == (200, (81, 39, 35, 23, 22))
    assert found.shares == pytest.approx((0.405, 0.195, 0.175, 0.115, 0.11))
    assert found.inertia == pytest.approx(44448.455448, rel=1e-9)
    assert found.davies_bouldin == pytest.approx(0.572563, abs=1e-6)
    assert found.calinski_harabasz == pytest.approx(247.3590, abs=1e-4)
    assert min(found.separation) > 2 and found.explained == pytest.approx(0.8354, abs=1e-4)
    answers = {judged.question: judged.answer for judged in verdict(found)}
    # 22 customers are 11%, but fewer than 30.
    assert answers == {"coherent": "yes", "distinct": "yes", "largeEnough": "partly"}


def test_quality_is_a_value_that_a_model_can_carry() -> None:
    for labels in (PAIRS_LABELS, labels_of(0, 0, 0, 0)):
        found = measure(PAIRS, labels, np.array([[1.0, 0.0], [12.0, 0.0]]))
        assert repr(from_document(Quality, to_document(found))) == repr(found)


def test_one_cluster_is_measured_without_silhouette_and_judged_by_size_only() -> None:
    found = measure(PAIRS, labels_of(0, 0, 0, 0), PAIRS.mean(axis=0, keepdims=True))
    assert found.silhouette is None and found.inertia == 131
    assert [judged.question for judged in verdict(found)] == ["largeEnough"]


def test_nobody_in_a_cluster_is_no_quality() -> None:
    with pytest.raises(InsufficientData, match="no customer"):
        measure(PAIRS, labels_of(-1, -1, -1, -1), PAIRS[:2])


# ---------------------------------------------------------------------------- stability


def test_clouds_are_stable_and_a_shapeless_crowd_is_not() -> None:
    firm = stability(clouds(150, 12.0), 3, centres_of, bootstraps=5, seed=1)
    assert (firm.mean, firm.lowest, firm.values, firm.rows) == (1, 1, (1,) * 5, 150)
    loose = stability(clouds(150, 0.0), 4, centres_of, bootstraps=5, seed=1)
    assert loose.mean < 0.65 and loose.lowest == min(loose.values)
    assert loose == stability(clouds(150, 0.0), 4, centres_of, bootstraps=5, seed=1)


def test_any_method_that_labels_rows_can_be_refitted_on_a_sample_of_many() -> None:
    seen: list[int] = []

    def halves(points: Floats) -> Callable[[Floats], Codes]:
        seen.append(len(points))
        middle = float(np.median(points))
        return lambda asked: (asked[:, 0] > middle).astype(np.int32)

    found = refitted(np.arange(400.0)[:, None], 2, halves, bootstraps=3, rows=200)
    assert seen == [200] * 4 and found.rows == 200
    assert 0.5 < found.mean < 1


def test_stability_of_what_cannot_be_drawn_again_is_refused() -> None:
    with pytest.raises(InsufficientData, match="k=1"):
        stability(PAIRS, 1, centres_of)
    with pytest.raises(InvalidInput, match="bootstraps=0"):
        stability(PAIRS, 2, centres_of, bootstraps=0)
    with pytest.raises(InsufficientData, match="draws from 40 customers hold fewer than k=40"):
        stability(np.arange(40.0)[:, None], 40, centres_of)


# ------------------------------------------------------------------------------ verdict

GOOD = Quality(
    customers=1_000,
    sizes=(600, 400),
    shares=(0.6, 0.4),
    silhouette=Silhouette(0.61, (0.6, 0.62), 0.0, (0.0, 0.0), 1_000, exact=True),
    inertia=1.0,
    explained=0.8,
    homogeneity=(0.5, 0.6),
    separation=(3.0, 3.0),
    nearest=(1, 0),
    calinski_harabasz=500.0,
    davies_bouldin=0.5,
)


def judged(question: str, quality: Quality, measured: Stability | None = None) -> tuple[str, float, float, str]:
    found = next(found for found in verdict(quality, measured, ("Big", "Small")) if found.question == question)
    return found.answer, found.figure, found.threshold, found.sentence


@pytest.mark.parametrize(
    ("mean", "answer", "threshold"),
    [(0.61, "yes", 0.5), (0.5, "yes", 0.5), (0.49, "partly", 0.5), (0.25, "partly", 0.5), (0.24, "no", 0.25)],
)
def test_coherence_is_judged_by_the_mean_silhouette(mean: float, answer: str, threshold: float) -> None:
    assert GOOD.silhouette
    quality = replace(GOOD, silhouette=replace(GOOD.silhouette, mean=mean))
    assert judged("coherent", quality)[:3] == (answer, mean, threshold)


def test_a_sampled_silhouette_says_so() -> None:
    sampled = Silhouette(0.4, (0.4, 0.4), 0.012, (0.02, 0.02), 20_000, exact=False)
    sentence = judged("coherent", replace(GOOD, silhouette=sampled))[3]
    assert "0.400 (standard error 0.012, 20,000 customers sampled), below the threshold of 0.50." in sentence


@pytest.mark.parametrize(
    ("separation", "answer", "threshold"),
    [((inf, inf), "yes", 2), ((2.0, 2.0), "yes", 2), ((3.0, 1.5), "partly", 2), ((0.9, 3.0), "no", 1)],
)
def test_distinctness_is_judged_by_the_closest_two(
    separation: tuple[float, ...], answer: str, threshold: float
) -> None:
    found = judged("distinct", replace(GOOD, separation=separation))
    assert found[:3] == (answer, min(separation), threshold)
    assert "'Big'" in found[3] and "'Small'" in found[3]


def test_an_empty_cluster_does_not_hide_how_close_the_others_are() -> None:
    quality = replace(GOOD, sizes=(600, 0), shares=(1.0, 0.0), separation=(1.2, float("nan")))
    assert judged("distinct", quality)[:2] == ("partly", 1.2)
    assert judged("largeEnough", quality)[0] == "no"


@pytest.mark.parametrize(
    ("customers", "smallest", "answer", "figure", "threshold"),
    [
        (1_000, 50, "yes", 0.05, 0.05),
        (1_000, 49, "partly", 0.049, 0.05),
        (10_000, 99, "no", 0.0099, 0.01),
        (100, 29, "partly", 29, 30),
        (100, 9, "no", 9, 10),
        (900, 9, "no", 9, 10),
    ],
)
def test_size_is_judged_by_share_and_by_number(
    customers: int, smallest: int, answer: str, figure: float, threshold: float
) -> None:
    sizes = (customers - smallest, smallest)
    quality = replace(GOOD, customers=customers, sizes=sizes, shares=tuple(size / customers for size in sizes))
    found = judged("largeEnough", quality)
    assert found[0] == answer and found[1:3] == pytest.approx((figure, threshold))
    assert f"'Small', has {smallest} customers" in found[3]


@pytest.mark.parametrize(("mean", "answer", "threshold"), [(0.8, "yes", 0.8), (0.7, "partly", 0.8), (0.6, "no", 0.65)])
def test_stability_is_judged_by_the_mean_agreement(mean: float, answer: str, threshold: float) -> None:
    found = judged("stable", GOOD, Stability(mean, mean - sqrt(0.01), (mean,) * 20, 1_000))
    assert found[:3] == (answer, mean, threshold)
    assert (
        f"20 refits on random draws of the customers agree with it to a mean adjusted Rand index of {mean:.3f}"
        in (found[3])
    )
