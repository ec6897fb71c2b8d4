"""Choosing features: what is dropped, for which reason, with which figure."""

import json
import math

import numpy as np
import pytest

from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import Floats
from segmentation.engine.preprocess.selection import (
    Dropped,
    Selection,
    keep_best,
    laplacian_scores,
    permutation_importance,
    select,
)
from segmentation.errors import InsufficientData, InvalidInput

A = [1.0, 2.0, 3.0, 4.0]
B = [1.0, -1.0, -1.0, 1.0]
"""A and B have a correlation of 0."""


def columns(*values: list[float]) -> Floats:
    return np.array(values).T.copy()


def test_independent_columns_all_stay() -> None:
    found = select(columns(A, B), ("a", "b"))
    assert (found.kept, found.names, found.dropped) == ((0, 1), ("a", "b"), ())
    assert all(math.isnan(score) for score in found.scores)


def test_a_constant_column_is_dropped_although_its_sum_rounds() -> None:
    found = select(columns(A[:3], [0.1] * 3), ("a", "c"))
    assert found.kept == (0,)
    assert found.dropped == (Dropped("c", "'c' is the same for all 3 customers", 0.0),)


def test_a_column_that_hardly_varies_is_dropped_with_its_variance() -> None:
    # One of four rows differs by 0.2: the variance is 0.04 * 3 / 16.
    found = select(columns(A, [0.0, 0.0, 0.0, 0.2]), ("a", "c"), min_variance=0.01)
    assert found.kept == (0,)
    assert found.dropped[0].value == pytest.approx(0.0075)
    assert found.dropped[0].reason == "'c' varies too little: its variance 0.0075 is not above 0.01"


@pytest.mark.parametrize("sign", [1, -1])
def test_of_correlated_columns_the_first_stays_and_the_others_name_it(sign: int) -> None:
    copy = [sign * 10 * value + 3 for value in A]
    found = select(columns(A, B, copy), ("a", "b", "copy"))
    assert found.names == ("a", "b")
    assert found.dropped[0].value == pytest.approx(sign)
    assert found.dropped[0].reason == f"'copy' repeats 'a': their correlation {sign} is beyond 0.95"


def test_a_column_is_dropped_only_for_one_that_stays() -> None:
    # a and c have 0.8 in common with b, but only 0.28 with each other: b goes, for a, and c stays.
    first, second = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])
    near = 0.8 * first + 0.6 * second
    far = 0.28 * first + 0.96 * second
    points = np.stack([first, near, far], axis=1)
    found = select(points, ("a", "b", "c"), max_correlation=0.7)
    assert found.names == ("a", "c")
    assert found.dropped[0].reason.startswith("'b' repeats 'a': their correlation 0.8 ")


def test_a_correlation_of_1_turns_the_search_for_repetitions_off() -> None:
    # The correlation of the latter two rounds to more than 1.
    awkward = [0.1, 0.7, 0.5, 0.3]
    assert select(columns(A, A, awkward, awkward), ("a", "b", "c", "d"), max_correlation=1.0).kept == (0, 1, 2, 3)


def test_correlations_hold_over_more_rows_than_one_chunk() -> None:
    random = np.random.default_rng(5)
    a = random.normal(1e6, 1.0, 100_000)
    noisy = a + random.normal(0, 0.1, len(a))
    found = select(np.stack([a, noisy, random.normal(size=len(a))], axis=1), ("a", "noisy", "other"))
    assert found.names == ("a", "other")
    assert found.dropped[0].value == pytest.approx(np.corrcoef(a, noisy)[0, 1], rel=1e-9)


def two_groups(rows: int = 60) -> Floats:
    """The last column says which of two groups a row is of, the three before it are noise."""
    random = np.random.default_rng(1)
    group = np.repeat([-1.0, 1.0], rows // 2) + random.normal(0, 0.02, rows)
    return np.column_stack([random.normal(0, 1, (rows, 3)), group])


NAMES = ("n1", "n2", "n3", "group")


def test_a_column_that_separates_groups_has_the_best_laplacian_score() -> None:
    *noise, group = laplacian_scores(two_groups())
    assert 0 < group < min(noise) / 2


def test_the_laplacian_score_of_three_rows_is_that_by_hand() -> None:
    # Rows 0, 1, 3 are all joined. Squared distances 1, 4, 9 have the mean 14 / 3, weights are exp(-d / mean).
    w01, w12, w02 = (math.exp(-distance * 3 / 14) for distance in (1, 4, 9))
    degrees = np.array([w01 + w02, w01 + w12, w12 + w02])
    values = np.array([0.0, 1.0, 3.0])
    centred = values - degrees @ values / degrees.sum()
    expected = (w01 * 1 + w12 * 4 + w02 * 9) / (degrees @ centred**2)
    assert laplacian_scores(values[:, None]) == pytest.approx((expected,), rel=1e-12)


def test_rows_are_joined_if_either_is_among_the_five_nearest_of_the_other() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 20.0, 23.0]
    near = [sorted((abs(a - b), j) for j, b in enumerate(values) if j != i)[:5] for i, a in enumerate(values)]
    width = sum(distance**2 for row in near for distance, _ in row) / (5 * len(values))
    joined = {(i, j) for i, row in enumerate(near) for _, j in row}
    pairs = {(min(pair), max(pair)) for pair in joined}
    weight = {(i, j): math.exp(-((values[i] - values[j]) ** 2) / width) for i, j in pairs}
    degree = [sum(w for pair, w in weight.items() if i in pair) for i in range(len(values))]
    mean = sum(d * x for d, x in zip(degree, values, strict=True)) / sum(degree)
    spread = sum(d * (x - mean) ** 2 for d, x in zip(degree, values, strict=True))
    expected = sum(w * (values[i] - values[j]) ** 2 for (i, j), w in weight.items()) / spread
    assert len(joined) < 2 * len(pairs)
    assert laplacian_scores(np.array(values)[:, None]) == pytest.approx((expected,), rel=1e-12)


def test_the_best_columns_by_laplacian_score_stay() -> None:
    found = select(two_groups(), NAMES, score="laplacian", keep=1)
    assert found.names == ("group",)
    worst = found.dropped[-1]
    assert worst.value == max(found.scores) > found.scores[3]
    assert worst.reason == f"{worst.name!r} has a Laplacian score of {worst.value:.3g}: not among the 1 lowest"


def test_scores_without_a_number_to_keep_drop_nothing() -> None:
    found = select(two_groups(), NAMES, score="laplacian")
    assert found.kept == (0, 1, 2, 3) and not any(math.isnan(score) for score in found.scores)


def test_above_the_sample_the_scores_are_those_of_the_remaining_columns_on_the_sample() -> None:
    points = np.random.default_rng(4).normal(size=(1_500, 3))
    points[:, 1] = 7.0
    found = select(points, ("a", "constant", "b"), score="laplacian", seed=9)
    expected = laplacian_scores(points[:, [0, 2]], seed=9)
    assert (found.scores[0], found.scores[2]) == pytest.approx(expected, rel=1e-9)
    assert math.isnan(found.scores[1])


def test_the_sample_of_the_laplacian_score_depends_on_the_seed_only() -> None:
    points = np.random.default_rng(2).normal(size=(500, 3))
    assert laplacian_scores(points, seed=1, sample=100) == laplacian_scores(points, seed=1, sample=100)
    assert laplacian_scores(points, seed=1, sample=100) != laplacian_scores(points, seed=2, sample=100)


def test_rows_that_are_all_equal_have_no_laplacian_score() -> None:
    assert all(math.isnan(score) for score in laplacian_scores(np.ones((4, 2))))


def test_a_single_row_has_no_laplacian_score() -> None:
    assert math.isnan(laplacian_scores(np.ones((1, 1)))[0])


def test_a_column_without_a_score_is_the_last_to_be_kept() -> None:
    kept, dropped = keep_best(("a", "b", "c"), (0, 1, 2), (math.nan, 0.5, 0.5), 1, "score", lower_is_better=True)
    assert kept == [1] and [column.name for column in dropped] == ["c", "a"]


def test_high_scores_are_kept_where_high_is_good() -> None:
    kept, dropped = keep_best(("a", "b"), (0, 1), (0.1, 0.2), 1, "permutation importance", lower_is_better=False)
    assert kept == [1]
    assert dropped == [Dropped("a", "'a' has a permutation importance of 0.1: not among the 1 highest", 0.1)]


def test_shuffling_a_column_that_the_score_uses_costs_and_another_does_not() -> None:
    points = columns(A * 25, B * 25)
    answers = points[:, 0].copy()
    found = permutation_importance(lambda shuffled: -float(np.abs(shuffled[:, 0] - answers).mean()), points, seed=3)
    assert found.baseline == 0.0
    # Two values drawn from 1, 2, 3, 4 differ by 1.25 on average.
    assert found.drops[0] == pytest.approx(1.25, abs=0.15) and found.deviations[0] > 0
    assert (found.drops[1], found.deviations[1]) == (0.0, 0.0)


def test_permutation_importance_repeats_for_a_seed_and_leaves_the_points_as_they_are() -> None:
    points = two_groups()
    before = points.copy()
    first, again, other = (permutation_importance(lambda p: float(p[:5, 0].sum()), points, seed=s) for s in (1, 1, 2))
    assert first == again != other
    assert np.array_equal(points, before)


def test_no_repeat_is_refused() -> None:
    with pytest.raises(InvalidInput, match="repeats=0 must be at least 1"):
        permutation_importance(lambda _: 0.0, columns(A), repeats=0)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"min_variance": -1.0}, "minVariance", "minVariance=-1 must be 0 or more"),
        ({"min_variance": math.nan}, "minVariance", "minVariance=nan"),
        ({"max_correlation": 0.0}, "maxCorrelation", "maxCorrelation=0 must be above 0"),
        ({"max_correlation": 1.5}, "maxCorrelation", "maxCorrelation=1.5"),
        ({"keep": 1}, "keep", "keep=1 needs a score"),
        ({"keep": 0, "score": "laplacian"}, "keep", "keep=0 must be at least 1"),
    ],
)
def test_a_parameter_out_of_range_is_refused(given: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        select(columns(A, B), ("a", "b"), **given)  # type: ignore[arg-type]
    assert caught.value.errors[0].field == field


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_finite_numbers_are_refused_by_name(value: float) -> None:
    with pytest.raises(InvalidInput, match="'b' holds values that are no finite numbers"):
        select(columns(A, [*B[:3], value]), ("a", "b"))


def test_names_must_fit_the_points() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 2\) do not fit 1 names"):
        select(columns(A, B), ("a",))


@pytest.mark.parametrize("rows", [1, 3])
def test_no_column_left_is_insufficient_data_with_the_reasons(rows: int) -> None:
    with pytest.raises(InsufficientData, match=f"no feature is left: 'a' is the same for all {rows} customers"):
        select(np.ones((rows, 2)), ("a", "b"))


def test_no_customers_are_insufficient_data() -> None:
    with pytest.raises(InsufficientData, match="there are no customers"):
        select(np.empty((0, 1)), ("a",))


def test_a_selection_survives_json() -> None:
    found = select(two_groups(), NAMES, score="laplacian", keep=1)
    again = from_document(Selection, json.loads(json.dumps(to_document(found), allow_nan=False)))
    assert again == found
