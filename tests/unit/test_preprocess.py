"""Features on their way into a model: hand-computed numbers for every step."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from segmentation.engine.catalogue import Kind
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import Column, NumberColumn, StringColumn
from segmentation.engine.preprocess.chain import Chain, apply, fit, keep, needed
from segmentation.engine.preprocess.moments import measure
from segmentation.engine.preprocess.recipe import (
    Feature,
    MadClip,
    OneHot,
    Ordinal,
    Winsorise,
    default_feature,
)
from segmentation.engine.preprocess.steps import (
    LIMIT,
    Categories,
    Clipped,
    Filled,
    Flagged,
    Logged,
    Ranks,
    Scaled,
    describe,
)
from support.criteria_frames import booleans, numbers, strings


def fitted(columns: Mapping[str, Column], *features: Feature) -> tuple[Chain, list[list[float]]]:
    chain = fit(columns, features)
    return chain, apply(chain, columns).tolist()


AGE = {"age": numbers([20.0, 30.0, None, 30.0, 60.0])}


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (Feature("age", missing="median"), 30.0),
        (Feature("age", missing="mode"), 30.0),
        (Feature("age", missing="constant", constant=-1), -1.0),
    ],
)
def test_a_missing_number_takes_its_stand_in(feature: Feature, value: float) -> None:
    chain, points = fitted(AGE, feature)
    assert points == [[20.0], [30.0], [value], [30.0], [60.0]]
    assert chain.steps == (Filled("age", feature.missing, value, pytest.approx(0.2)),)


def test_the_median_of_an_even_number_of_values_lies_between_the_middle_two() -> None:
    assert fitted({"x": numbers([1.0, 2.0, 5.0, 9.0, None])}, Feature("x"))[1][4] == [3.5]


def test_of_equally_frequent_numbers_the_lowest_stands_in() -> None:
    assert fitted({"x": numbers([7.0, 3.0, 7.0, 3.0, 9.0, None])}, Feature("x", missing="mode"))[1][5] == [3.0]


def test_an_indicator_says_who_had_no_value() -> None:
    chain, points = fitted(AGE, Feature("age", indicator=True, scaling="standard"))
    assert chain.names == ("age", "age missing")
    assert [row[1] for row in points] == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert chain.steps[0] == Flagged("age", "age missing", pytest.approx(0.2))


def test_values_missing_later_are_filled_with_what_the_fit_saw() -> None:
    chain = fit({"x": numbers([1.0, 2.0, 6.0])}, [Feature("x", indicator=True)])
    assert apply(chain, {"x": numbers([None, 100.0])}).tolist() == [[2.0, 1.0], [100.0, 0.0]]


def test_winsorising_draws_values_in_to_the_quantiles() -> None:
    # Type-7 quantiles of 0..10 at 0.1 and 0.9 are 1 and 9.
    columns = {"x": numbers([float(value) for value in range(11)])}
    chain, points = fitted(columns, Feature("x", outliers=Winsorise(0.1, 0.9)))
    assert [row[0] for row in points] == [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0]
    assert chain.steps[0] == Clipped("x", "winsorise", 1.0, 9.0, pytest.approx(2 / 11))


def test_mad_clipping_draws_values_in_to_robust_deviations() -> None:
    # Median 3, absolute deviations 2 1 0 1 97: their median is 1.
    chain, points = fitted({"x": numbers([1.0, 2.0, 3.0, 4.0, 100.0])}, Feature("x", outliers=MadClip(2.0)))
    assert points[4][0] == pytest.approx(3 + 2 * 1.482602218505602, rel=1e-12)
    assert [row[0] for row in points[:4]] == [1.0, 2.0, 3.0, 4.0]
    assert isinstance(chain.steps[0], Clipped) and chain.steps[0].method == "mad"


def test_mad_clipping_leaves_differences_where_most_values_are_equal() -> None:
    # Median 0, mean absolute deviation 10 / 5 = 2.
    chain, points = fitted({"x": numbers([0.0, 0.0, 0.0, 1.0, 9.0])}, Feature("x", outliers=MadClip(1.0)))
    assert [row[0] for row in points] == [0.0, 0.0, 0.0, 1.0, pytest.approx(2 * math.sqrt(math.pi / 2), rel=1e-12)]
    assert isinstance(chain.steps[0], Clipped) and chain.steps[0].method == "mean absolute deviation"


def test_a_constant_stands_in_although_it_lies_outside_the_clipped_range() -> None:
    feature = Feature("x", missing="constant", constant=-5.0, outliers=Winsorise(0.1, 0.9))
    columns = {"x": numbers([*(float(value) for value in range(11)), None])}
    assert fitted(columns, feature)[1][11] == [-5.0]


def test_the_logarithm_keeps_the_sign_of_negative_values() -> None:
    chain, points = fitted({"x": numbers([0.0, math.e - 1, -(math.e - 1)])}, Feature("x", log1p=True))
    assert [row[0] for row in points] == pytest.approx([0.0, 1.0, -1.0])
    assert chain.steps[-1] == Logged("x")


def test_standard_scaling_gives_mean_0_and_deviation_1() -> None:
    # Mean 5, population standard deviation 2.
    columns = {"x": numbers([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])}
    chain, points = fitted(columns, Feature("x", scaling="standard"))
    assert [row[0] for row in points] == [-1.5, -0.5, -0.5, -0.5, 0.0, 0.0, 1.0, 2.0]
    assert chain.steps[-1] == Scaled("x", "x", "standard", 5.0, 2.0)


def test_robust_scaling_divides_by_the_distance_of_the_quartiles() -> None:
    chain, points = fitted({"x": numbers([0.0, 1.0, 2.0, 3.0, 1000.0])}, Feature("x", scaling="robust"))
    assert [row[0] for row in points] == [-1.0, -0.5, 0.0, 0.5, 499.0]
    assert chain.steps[-1] == Scaled("x", "x", "interquartile range", 2.0, 2.0)


def test_robust_scaling_without_a_distance_of_the_quartiles_takes_the_deviation() -> None:
    chain, points = fitted({"x": numbers([0.0] * 9 + [10.0])}, Feature("x", scaling="robust"))
    assert chain.steps[-1] == Scaled("x", "x", "median and standard deviation", 0.0, pytest.approx(3.0))
    assert points[9] == [pytest.approx(10 / 3)]


@pytest.mark.parametrize("scaling", ["standard", "robust"])
def test_a_constant_column_becomes_0_and_is_not_divided_by_0(scaling: str) -> None:
    # The sum of three 0.1 is not three times 0.1.
    chain, points = fitted(
        {"x": numbers([0.1] * 3)}, Feature("x", scaling="standard" if scaling == "standard" else "robust")
    )
    assert points == [[0.0], [0.0], [0.0]]
    assert chain.steps[-1] == Scaled("x", "x", "constant", 0.1, 1.0)


def test_differences_too_small_to_be_squared_still_scale() -> None:
    _, points = fitted({"x": numbers([0.0, 1e-200])}, Feature("x", scaling="standard"))
    assert points[1][0] - points[0][0] == pytest.approx(1.0)


def test_one_customer_is_enough_to_fit() -> None:
    assert fitted({"x": numbers([7.0])}, Feature("x", outliers=MadClip(), log1p=True, scaling="robust"))[1] == [[0.0]]


def test_a_boolean_is_0_or_1_and_its_missing_values_the_more_frequent() -> None:
    _, points = fitted({"b": booleans([True, None, False, True])}, default_feature("b", Kind.BOOLEAN))
    assert points == [[1.0], [1.0], [0.0], [1.0]]


def test_a_boolean_can_take_a_constant_an_indicator_and_a_scale() -> None:
    feature = Feature("b", missing="constant", constant=False, indicator=True, scaling="standard")
    _, points = fitted({"b": booleans([True, True, False, None])}, feature)
    assert points == [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 1.0]]


COUNTRY = {"country": strings(["DE", "DE", "DE", "FR", "FR", "IT", "ES", None])}


def test_text_becomes_a_column_per_frequent_category_and_one_for_the_rest() -> None:
    feature = Feature("country", missing="mode", encoding=OneHot(min_share=0.2, max_values=5))
    chain, points = fitted(COUNTRY, feature)
    assert chain.names == ("country=DE", "country=FR", "country=other")
    assert chain.steps == (
        Filled("country", "mode", "DE", 0.125),
        Categories("country", ("DE", "FR", "other"), (0.5, 0.25, 0.25), 2),
    )
    assert points == [[1, 0, 0]] * 3 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 2 + [[1, 0, 0]]


def test_at_most_the_given_number_of_categories_stays_and_ties_go_by_name() -> None:
    feature = Feature("country", missing="mode", encoding=OneHot(min_share=0, max_values=3))
    assert fit(COUNTRY, [feature]).names == ("country=DE", "country=FR", "country=ES", "country=other")


def test_a_category_that_the_fit_did_not_see_is_other_or_none() -> None:
    seen = {"c": strings(["a", "a", "b", "b", "rare"])}
    with_other = fit(seen, [Feature("c", missing="mode", encoding=OneHot(min_share=0.3))])
    without = fit(seen, [Feature("c", missing="mode", encoding=OneHot(min_share=0))])
    later = {"c": strings(["new", "b", None])}
    assert with_other.names == ("c=a", "c=b", "c=other")
    assert apply(with_other, later).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert without.names == ("c=a", "c=b", "c=rare")
    assert apply(without, later).tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_a_value_called_other_takes_the_rare_ones_in() -> None:
    columns = {"c": strings(["other", "other", "a", "a", "x", "y"])}
    chain, points = fitted(columns, Feature("c", missing="mode", encoding=OneHot(min_share=0.3)))
    assert chain.names == ("c=a", "c=other")
    assert points == [[0, 1], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1]]
    assert chain.steps[-1] == Categories("c", ("a", "other"), (pytest.approx(2 / 6), pytest.approx(4 / 6)), 2)


def test_missing_text_can_be_a_category_of_its_own() -> None:
    feature = Feature("c", missing="constant", constant="unknown", encoding=OneHot(), indicator=True)
    chain, points = fitted({"c": strings(["a", None, None])}, feature)
    assert chain.names == ("c=unknown", "c=a", "c missing")
    assert points == [[0, 1, 0], [1, 0, 1], [1, 0, 1]]


def test_missing_text_takes_a_constant_that_is_not_the_most_frequent() -> None:
    feature = Feature("c", missing="constant", constant="b", encoding=OneHot())
    assert fitted({"c": strings(["a", "a", "a", "b", None])}, feature)[1] == [[1, 0]] * 3 + [[0, 1]] * 2


def test_a_constant_that_nobody_needs_is_no_category_and_is_none_later() -> None:
    feature = Feature("c", missing="constant", constant="unknown", encoding=OneHot(min_share=0))
    columns = {"c": strings(["a", "a", "b"])}
    chain = fit(columns, [feature])
    assert chain.steps[-1] == Categories("c", ("a", "b"), (pytest.approx(2 / 3), pytest.approx(1 / 3)), 0)
    assert apply(chain, {"c": strings([None])}).tolist() == [[0.0, 0.0]]


def test_categories_can_be_standardised() -> None:
    feature = Feature("c", missing="mode", scaling="standard", encoding=OneHot())
    chain, points = fitted({"c": strings(["a", "a", "a", "b"])}, feature)
    deviation = math.sqrt(3) / 4
    assert points[0] == pytest.approx([0.25 / deviation, -0.25 / deviation])
    assert points[3] == pytest.approx([-0.75 / deviation, 0.75 / deviation])
    assert chain.steps[-1] == Scaled("c", "c=b", "standard", 0.25, pytest.approx(deviation))


def test_a_single_category_is_constant_and_not_divided_by_0() -> None:
    feature = Feature("c", missing="mode", scaling="standard", encoding=OneHot())
    assert fitted({"c": strings(["a", "a"])}, feature)[1] == [[0.0], [0.0]]


def test_the_order_of_the_dictionary_of_a_column_does_not_matter() -> None:
    one = StringColumn(np.array([0, 0, 1, 2], dtype=np.int32), ("a", "b", "c"))
    two = StringColumn(np.array([3, 3, 0, 1], dtype=np.int32), ("b", "c", "unused", "a"))
    features = [Feature("c", missing="mode", encoding=OneHot(min_share=0, max_values=2))]
    assert fit({"c": one}, features) == fit({"c": two}, features)


SIZES = ("S", "M", "L")


def test_ordered_text_becomes_its_position() -> None:
    feature = Feature("size", encoding=Ordinal(SIZES), indicator=True)
    chain, points = fitted({"size": strings(["L", "S", None, "XL", "M"])}, feature)
    assert points == [[2, 0], [0, 0], [1, 1], [1, 1], [1, 0]]
    assert chain.steps == (
        Ranks("size", SIZES, 0.2),
        Flagged("size", "size missing", pytest.approx(0.4)),
        Filled("size", "median", 1.0, pytest.approx(0.4)),
    )


def test_ordered_text_can_take_a_constant_and_a_scale() -> None:
    feature = Feature("size", missing="constant", constant="L", scaling="standard", encoding=Ordinal(SIZES))
    assert fitted({"size": strings(["S", "S", None, "L"])}, feature)[1] == [[-1.0], [-1.0], [1.0], [1.0]]


def test_orders_and_constants_match_text_in_any_unicode_form() -> None:
    decomposed = Feature("c", missing="constant", constant="e\u0301", encoding=Ordinal(("a", "e\u0301")))
    assert fitted({"c": strings(["a", "\u00e9", None])}, decomposed)[1] == [[0.0], [1.0], [1.0]]


def test_no_customers_give_no_points() -> None:
    assert apply(fit(AGE, [Feature("age", indicator=True)]), {"age": numbers([])}).shape == (0, 2)


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_a_wild_value_that_comes_later_stays_finite(value: float) -> None:
    chain = fit({"x": numbers([1.0, 2.0, 3.0])}, [Feature("x", scaling="standard")])
    assert apply(chain, {"x": numbers([value])}).tolist() == [[math.copysign(LIMIT, value)]]


MIXED: dict[str, Column] = {
    "age": numbers([20.0, None, 40.0]),
    "country": strings(["DE", "FR", "DE"]),
    "member": booleans([True, False, None]),
}
TREATED = [
    Feature("age", indicator=True, scaling="standard"),
    Feature("country", missing="mode", encoding=OneHot()),
    Feature("member", missing="constant", constant=True),
]


def test_a_kept_part_of_the_columns_is_the_same_part_of_the_points() -> None:
    chain = fit(MIXED, TREATED)
    assert chain.names == ("age", "age missing", "country=DE", "country=FR", "member")
    part = keep(chain, (3, 1))
    assert part.names == ("country=FR", "age missing") and part.steps == chain.steps
    assert apply(part, MIXED).tolist() == apply(chain, MIXED)[:, [3, 1]].tolist()


def test_a_chain_needs_only_the_features_of_its_kept_columns() -> None:
    part = keep(fit(MIXED, TREATED), (1, 2))
    assert needed(part) == ("age", "country")
    without = {"age": MIXED["age"], "country": MIXED["country"]}
    assert apply(part, without).tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]


def test_fitting_and_applying_leave_the_columns_as_they_are() -> None:
    values = np.array([1.0, np.nan, 300.0, 4.0])
    columns = {"x": NumberColumn(values)}
    fitted(columns, Feature("x", outliers=Winsorise(0.1, 0.6), log1p=True, scaling="standard"))
    assert np.array_equal(values, [1.0, np.nan, 300.0, 4.0], equal_nan=True)


def test_a_chain_survives_json() -> None:
    features = [
        *TREATED,
        replace(TREATED[1], name="size", encoding=Ordinal(("S", "1"))),
        Feature("spent", outliers=MadClip(), log1p=True, scaling="robust"),
        Feature("code", missing="constant", constant="7", encoding=OneHot(), scaling="standard"),
    ]
    columns = MIXED | {
        "size": strings(["1", None, "S"]),
        "spent": numbers([0.1, 0.2, 0.7]),
        "code": strings(["1", "2", None]),
    }
    chain = fit(columns, features)
    again = from_document(Chain, json.loads(json.dumps(to_document(chain), allow_nan=False)))
    assert again == chain
    assert apply(again, columns).tolist() == apply(chain, columns).tolist()


def test_moments_of_parts_merge_to_those_of_the_whole() -> None:
    points = np.array([[1.0, 2.0], [3.0, 6.0], [5.0, 4.0], [7.0, 8.0]])
    whole = measure(points[:1]).merge(measure(points[1:1])).merge(measure(points[1:]))
    assert whole.count == 4
    assert whole.mean.tolist() == [4.0, 5.0]
    assert whole.variance() == pytest.approx([5.0, 5.0])
    assert whole.correlation() == pytest.approx(np.array([[1.0, 0.8], [0.8, 1.0]]))
    assert (whole.low.tolist(), whole.high.tolist()) == ([1.0, 2.0], [7.0, 8.0])


def test_every_step_says_what_it_does_with_its_figures() -> None:
    columns = MIXED | {"size": strings(["S", None, "L"])}
    features = [
        Feature("age", indicator=True, outliers=Winsorise(0, 0.75), log1p=True, scaling="standard"),
        Feature("country", missing="mode", encoding=OneHot(max_values=1)),
        Feature("size", encoding=Ordinal(("S", "L", "XL"))),
    ]
    sentences = [describe(step) for step in fit(columns, features).steps]
    assert sentences == [
        "age missing is 1 where there is no value (33.3%)",
        "age: values below 20 and above 35 (50.0%) are drawn in to there (winsorise)",
        "age: a missing value (33.3%) becomes the median 27.5",
        "age: sign(x) * log(1 + |x|)",
        "age: (x - 3.32598) / 0.220694 (standard)",
        "country: a missing value (0.0%) becomes the mode 'DE'",
        "country: one column each for DE 66.7%, other 33.3%; 1 rarer values are grouped",
        "size: the position in S, L, XL, from 0; other values (0.0%) are missing",
        "size: a missing value (33.3%) becomes the median 0.5",
    ]
