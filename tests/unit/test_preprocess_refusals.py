"""What cannot be made ready for a model: every bad input has an answer that carries the value."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import Column, StringColumn
from segmentation.engine.preprocess.chain import MOST_COLUMNS, apply, fit
from segmentation.engine.preprocess.recipe import Feature, MadClip, OneHot, Ordinal, Winsorise, default_feature
from segmentation.errors import InsufficientData, InvalidInput
from support.criteria_frames import booleans, dates, lists, numbers, places, strings

AGE = {"age": numbers([20.0, 30.0, None])}
COUNTRY = {"country": strings(["DE", "FR"])}
SIZES = ("S", "M", "L")


def refused(columns: Mapping[str, Column], *features: Feature) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        fit(columns, features)
    return caught.value


def test_an_order_that_knows_no_value_is_refused_with_what_there_is() -> None:
    error = refused({"size": strings(["small", "large"])}, Feature("size", encoding=Ordinal(SIZES)))
    assert error.message == "'size' has none of the values of its order, but for example 'large', 'small'"
    assert error.errors[0].field == "features.size.encoding"


def test_text_without_an_encoding_is_refused() -> None:
    error = refused(COUNTRY, Feature("country"))
    assert error.message == "'country' is text; give it an encoding (oneHot or ordinal)"
    assert error.errors[0].field == "features"


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (dates(["2024-01-01"]), "'x' is a date"),
        (lists([["a"]]), "'x' is a list"),
        (places([(52.5, 13.4)]), "'x' is a place"),
    ],
)
def test_dates_lists_and_places_cannot_be_features(column: Column, words: str) -> None:
    assert words in refused({"x": column}, Feature("x")).message


@pytest.mark.parametrize("kind", [Kind.DATE, Kind.LIST, Kind.GEO])
def test_there_is_no_default_treatment_of_what_cannot_be_a_feature(kind: Kind) -> None:
    with pytest.raises(InvalidInput, match="features are numbers, booleans and text"):
        default_feature("x", kind)


def test_unknown_features_are_named_with_those_that_are_known() -> None:
    error = refused(AGE | COUNTRY, Feature("agee"), Feature("age"), Feature("county"))
    assert [(found.field, found.message) for found in error.errors] == [
        ("features", "'agee' is no attribute; known are age, country"),
        ("features", "'county' is no attribute; known are age, country"),
    ]


def test_a_feature_named_twice_is_refused() -> None:
    assert refused(AGE, Feature("age"), Feature("age", log1p=True)).message == "'age' is named twice"


@pytest.mark.parametrize("column", [numbers([None, None]), booleans([None, None]), strings([None, None])])
def test_a_feature_without_any_value_is_insufficient_data(column: Column) -> None:
    encoding = OneHot() if isinstance(column, StringColumn) else None
    feature = Feature("x", missing="constant", constant="1" if encoding else 1, encoding=encoding)
    with pytest.raises(InsufficientData, match="'x' has no value for any of the 2 customers"):
        fit({"x": column}, [feature])


def test_no_customers_are_insufficient_data() -> None:
    with pytest.raises(InsufficientData, match="there are no customers"):
        fit({"x": numbers([])}, [Feature("x")])


@pytest.mark.parametrize("count", [0, MOST_COLUMNS + 1])
def test_a_model_without_features_or_with_too_many_is_refused(count: int) -> None:
    columns = {f"x{number}": numbers([1.0]) for number in range(count)}
    assert refused(columns, *(Feature(name) for name in columns)).message == f"{count} features; a model takes 1 to 100"


def test_more_columns_than_a_model_can_hold_are_refused() -> None:
    text = strings([f"v{number}" for number in range(60)])
    columns = {"a": text, "b": text}
    features = [Feature(name, missing="mode", encoding=OneHot(0.0, 50)) for name in columns]
    assert "make 102 columns, at most 100" in refused(columns, *features).message


def test_two_columns_of_one_name_are_refused() -> None:
    columns = {"age": numbers([1.0, None]), "age missing": numbers([1.0, 2.0])}
    error = refused(columns, Feature("age", indicator=True), Feature("age missing"))
    assert error.message.startswith("two columns would be called 'age missing'")


NUMBER, TEXT, BOOLEAN = {"x": numbers([1.0, 2.0])}, {"x": strings(["a", "b"])}, {"x": booleans([True, False])}


@pytest.mark.parametrize(
    ("columns", "feature", "field", "words"),
    [
        (NUMBER, Feature("x", outliers=Winsorise(0.6, 0.9)), "outliers", "quantiles 0.6 and 0.9"),
        (NUMBER, Feature("x", outliers=Winsorise(math.nan, 0.9)), "outliers", "quantiles nan"),
        (NUMBER, Feature("x", outliers=MadClip(0.0)), "outliers", "limit 0"),
        (NUMBER, Feature("x", outliers=MadClip(math.inf)), "outliers", "limit inf"),
        (NUMBER, Feature("x", encoding=OneHot()), "encoding", "for text, this is a number"),
        (NUMBER, Feature("x", missing="constant"), "constant", "None must be a number"),
        (NUMBER, Feature("x", missing="constant", constant=True), "constant", "True must be a number"),
        (NUMBER, Feature("x", missing="constant", constant=math.nan), "constant", "nan must be a number"),
        (NUMBER, Feature("x", constant=3.0), "constant", "3.0 is used only where missing is 'constant'"),
        (BOOLEAN, Feature("x", outliers=MadClip()), "outliers", "this is a boolean"),
        (BOOLEAN, Feature("x", log1p=True), "log1p", "this is a boolean"),
        (BOOLEAN, Feature("x", missing="constant", constant=2.0), "constant", "2.0 must be 0 or 1"),
        (TEXT, Feature("x", encoding=OneHot()), "missing", "no median"),
        (TEXT, Feature("x", missing="mode", encoding=OneHot(min_share=1.0)), "encoding", "minShare 1"),
        (TEXT, Feature("x", missing="mode", encoding=OneHot(max_values=0)), "encoding", "maxValues 0"),
        (TEXT, Feature("x", missing="mode", encoding=OneHot(max_values=51)), "encoding", "maxValues 51"),
        (TEXT, Feature("x", missing="mode", encoding=OneHot(), scaling="robust"), "scaling", "no meaning"),
        (TEXT, Feature("x", missing="constant", constant=1.0, encoding=OneHot()), "constant", "1.0 must be text"),
        (TEXT, Feature("x", encoding=Ordinal(("a",))), "encoding", "order holds 1 values"),
        (TEXT, Feature("x", encoding=Ordinal(("a", "a"))), "encoding", "each one once"),
        (
            TEXT,
            Feature("x", missing="constant", constant="c", encoding=Ordinal(("a", "b"))),
            "constant",
            "of the order",
        ),
    ],
)
def test_a_treatment_that_is_impossible_is_refused(
    columns: Mapping[str, Column], feature: Feature, field: str, words: str
) -> None:
    errors = refused(columns, feature).errors
    assert [error.field for error in errors] == [f"features.x.{field}"]
    assert words in errors[0].message


def test_every_problem_is_reported_at_once() -> None:
    error = refused(NUMBER, Feature("x", outliers=MadClip(-1.0), encoding=OneHot(), constant=1.0), Feature("y"))
    assert len(error.errors) == 4


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_a_value_too_large_to_compute_with_is_refused_unless_outliers_are_drawn_in(value: float) -> None:
    columns = {"x": numbers([*(float(number) for number in range(200)), value])}
    message = refused(columns, Feature("x", scaling="standard")).message
    assert message == f"'x' reaches {value:g}; beyond 1e+15 give it outliers (winsorise or clip by MAD)"
    for outliers in (Winsorise(0.01, 0.99), MadClip(3.0)):
        assert np.abs(apply(fit(columns, [Feature("x", outliers=outliers, scaling="standard")]), columns)).max() < 10


def test_a_column_that_is_gone_or_of_another_kind_is_refused() -> None:
    columns = AGE | COUNTRY | {"member": booleans([True, False])}
    columns["age"] = numbers([20.0, 30.0])
    encoded = Feature("country", missing="mode", encoding=OneHot())
    chain = fit(columns, [Feature("age"), encoded, Feature("member")])
    with pytest.raises(InvalidInput) as caught:
        apply(chain, {"age": strings(["a"]), "member": booleans([True])})
    assert [error.message for error in caught.value.errors] == [
        "'age' was of type number when fitted and is string now",
        "'country', which the model was fitted on, is no attribute now",
    ]


def test_columns_of_different_length_are_no_customers() -> None:
    with pytest.raises(ValueError, match=r"columns of \[1, 3\] rows"):
        fit(AGE | {"x": numbers([1.0])}, [Feature("age"), Feature("x")])
