"""Operators of every kind on missing values, texts, lists and places, beyond what the document shows."""

import time
from typing import Any

import numpy as np
import pytest

from segmentation.engine.catalogue import Catalogue, Kind
from segmentation.engine.criteria import evaluate, parse
from segmentation.engine.criteria.operators.geo import distance_km
from segmentation.engine.criteria.tree import Point
from segmentation.engine.criteria.words import NEGATIONS, OPERATORS, Shape
from segmentation.engine.frame import Column, Frame, ListColumn, NumberColumn
from tests.support.criteria_frames import booleans, dates, lists, micros, numbers, places, strings

NOW = micros("2024-06-30T12:00Z")
KINDS = {
    "text": Kind.STRING,
    "number": Kind.NUMBER,
    "date": Kind.DATE,
    "truth": Kind.BOOLEAN,
    "list": Kind.LIST,
    "place": Kind.GEO,
}
CATALOGUE = Catalogue(KINDS)
EMPTY: dict[str, Column] = {
    "text": strings([None]),
    "number": numbers([None]),
    "date": dates([None]),
    "truth": booleans([None]),
    "list": lists([None]),
    "place": places([None]),
}
VALUES: dict[Kind, Any] = {
    Kind.STRING: "a",
    Kind.NUMBER: 0,
    Kind.DATE: "2024-01-01",
    Kind.BOOLEAN: False,
    Kind.LIST: "a",
    Kind.GEO: {"latitude": 0, "longitude": 0},
}
SHAPES: dict[Shape, Any] = {
    Shape.TEXT: "a",
    Shape.PATTERN: ".*",
    Shape.DAY: "2024-01-01",
    Shape.SPAN: "1y",
    Shape.DAYS: "1y",
    Shape.SIZE: 1,
    Shape.CIRCLE: {"latitude": 0, "longitude": 0, "km": 20_000},
}


def found(column: Column, operator: str, value: Any = None, **more: Any) -> list[bool]:
    name = next(name for name, empty in EMPTY.items() if isinstance(column, type(empty)))
    raw = {"attribute": name, "operator": operator, **({} if value is None else {"value": value}), **more}
    size = len(column.missing())
    mask = evaluate({"a": parse(raw, CATALOGUE)}, Frame(size, {name: column}), NOW).mask("a")
    return [bool(one) for one in mask]


def every_operator() -> list[tuple[str, str, Any]]:
    cases = []
    for name, kind in KINDS.items():
        for operator, shape in OPERATORS[kind].items():
            value = VALUES[kind]
            many = {Shape.NOTHING: None, Shape.ONE: value, Shape.MANY: [value], Shape.RANGE: [value, value]}
            cases.append((name, operator, many[shape] if shape in many else SHAPES[shape]))
    return cases


@pytest.mark.parametrize(("name", "operator", "value"), every_operator())
def test_a_missing_value_and_a_missing_column_match_the_negative_operators_alone(
    name: str, operator: str, value: Any
) -> None:
    raw = {"attribute": name, "operator": operator, **({} if value is None else {"value": value})}
    rule = parse(raw, CATALOGUE)
    for columns in (EMPTY, {}):
        assert evaluate({"a": rule}, Frame(1, columns), NOW).mask("a").tolist() == [operator in NEGATIONS]


def test_texts_compare_by_code_point() -> None:
    texts = strings(["Straße", "STRASSE", "strasse", "\u212a", "k"])
    assert found(texts, "eq", "Straße") == [True, False, False, False, False]
    assert found(texts, "eq", "strasse", ignoreCase=True) == [True, True, True, False, False]
    assert found(texts, "in", ["K"], ignoreCase=True) == [False, False, False, True, True]
    assert found(texts, "ends_with", "SSE", ignoreCase=True) == [True, True, True, False, False]


def test_a_decomposed_text_in_a_rule_finds_the_composed_one() -> None:
    texts = strings(["Österreich", "Osterreich"])
    assert found(texts, "starts_with", "O\u0308") == [True, False]
    assert found(texts, "matches", "^O\u0308") == [True, False]


def test_a_regular_expression_is_searched_for_anywhere() -> None:
    texts = strings(["ab12", "AB12", "12", None])
    assert found(texts, "matches", "b1") == [True, False, False, False]
    assert found(texts, "matches", "b1", ignoreCase=True) == [True, True, False, False]
    assert found(texts, "not_matches", r"^\d+$") == [True, True, False, True]
    assert found(strings(["STRAßE", "strasse"]), "matches", "aß", ignoreCase=True) == [True, False]


def test_a_regular_expression_that_would_backtrack_takes_linear_time() -> None:
    texts = strings(["a" * 20_000 + "!", "a" * 20_000])
    begun = time.perf_counter()
    assert found(texts, "matches", "^(a+)+$") == [False, True]
    assert time.perf_counter() - begun < 2  # a backtracking engine would outlive the universe


def test_numbers_in_long_lists_are_found() -> None:
    column = numbers([1, 2, 2.5, 99, None, -5])
    assert found(column, "in", list(range(0, 50, 2))) == [False, True, False, False, False, False]
    assert found(column, "not_in", [*range(20), 99]) == [False, False, True, False, True, True]


def test_between_includes_both_ends() -> None:
    assert found(numbers([0.9, 1, 1.5, 2, 2.1]), "between", [1, 2]) == [False, True, True, True, False]


def test_truth_values_have_three_states_and_two_answers() -> None:
    column = booleans([True, False, None])
    assert found(column, "is_true") == [True, False, False]
    assert found(column, "is_false") == [False, True, False]
    assert found(column, "in", [True, False]) == [True, True, False]
    assert found(column, "not_in", [True]) == [False, True, True]


def test_an_empty_list_is_a_list_and_an_absent_one_is_not() -> None:
    column = lists([[], None, ["a"]])
    assert found(column, "is_set") == [True, False, True]
    assert found(column, "size_eq", 0) == [True, False, False]
    assert found(column, "size_lt", 5) == [True, False, True]
    assert found(column, "has_none", ["a"]) == [True, True, False]


def test_elements_of_an_absent_list_belong_to_nobody() -> None:
    codes = np.array([0, 1], dtype=np.int32)
    column = ListColumn(np.array([0, 1, 2]), codes, ("a", "b"), np.array([False, True]))
    assert found(column, "has_any", ["a", "b"]) == [True, False]
    assert found(column, "has", "b") == [False, False]


def test_repeated_elements_count_for_the_size_and_not_for_equality() -> None:
    column = lists([["a", "a"], ["a", "b"], ["b", "a", "b"]])
    assert found(column, "size_eq", 2) == [True, True, False]
    assert found(column, "eq", ["a"]) == [True, False, False]
    assert found(column, "eq", ["b", "a"]) == [False, True, True]


def test_all_of_a_list_is_asked_for_where_the_dictionary_lacks_one_value() -> None:
    column = lists([["a"], ["a", "b"]])
    assert found(column, "has_all", ["a", "never"]) == [False, False]
    assert found(column, "has_all", ["A", "B"], ignoreCase=True) == [False, True]


def test_lists_over_many_values_answer_as_those_over_few() -> None:
    many = tuple(f"v{number}" for number in range(200))
    codes = np.array([0, 1, 150, 199, 0, 0], dtype=np.int32)
    column = ListColumn(np.array([0, 2, 4, 6, 6]), codes, many, np.array([False, False, False, True]))
    assert found(column, "has_any", ["v1", "v199"]) == [True, True, False, False]
    assert found(column, "has_all", ["v0", "v1"]) == [True, False, False, False]
    assert found(column, "eq", ["v0"]) == [False, False, True, False]
    assert found(column, "has_none", ["v0"]) == [False, True, False, True]


def test_distances_are_those_of_a_sphere() -> None:
    berlin, hamburg = Point(52.5200, 13.4050), (53.5511, 9.9937)
    there = distance_km(np.array([hamburg[0]]), np.array([hamburg[1]]), berlin)
    assert there[0] == pytest.approx(255.25, abs=0.05)  # 2.2955 degrees of a great circle at 111.195 km each
    quarter = distance_km(np.array([0.0]), np.array([90.0]), Point(0, 0))
    assert quarter[0] == pytest.approx(np.pi / 2 * 6371.0088)


def test_a_circle_reaches_over_the_date_line_and_the_pole() -> None:
    column = places([(0, 179.9), (0, -179.9), (89.9, 0), (0, 0), None])
    near = {"latitude": 0, "longitude": 180, "km": 12}
    assert found(column, "within_km", near) == [True, True, False, False, False]
    pole = {"latitude": 89.9, "longitude": 180, "km": 23}
    assert found(column, "within_km", pole) == [False, False, True, False, False]


def test_a_column_of_another_kind_is_refused_and_not_misread() -> None:
    rule = parse({"attribute": "text", "operator": "eq", "value": "1"}, CATALOGUE)
    with pytest.raises(ValueError, match="NumberColumn"):
        evaluate({"a": rule}, Frame(1, {"text": NumberColumn(np.array([1.0]))}), NOW)
