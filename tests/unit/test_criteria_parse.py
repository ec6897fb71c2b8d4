"""From criteria to a rule: synonyms, coercion, limits and errors."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from segmentation.engine.catalogue import FEATURES, ORDER_FIELDS, Catalogue, Kind
from segmentation.engine.criteria import missing_names, parse
from segmentation.engine.criteria.tree import Behaviour, Condition, Duration, Group, Value
from segmentation.errors import InvalidCriteria

CATALOGUE = Catalogue(
    attributes={
        **FEATURES,
        "country": Kind.STRING,
        "age": Kind.NUMBER,
        "born": Kind.DATE,
        "vip": Kind.BOOLEAN,
        "tags": Kind.LIST,
        "home": Kind.GEO,
    },
    events={"order": ORDER_FIELDS, "view": {"page": Kind.STRING, "seconds": Kind.NUMBER, "words": Kind.LIST}},
    segments=frozenset({"gold", "silver"}),
)


def condition(attribute: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    asked = {"attribute": attribute, "operator": operator, "value": value, **more}
    return {name: part for name, part in asked.items() if part is not None}


def value_of(attribute: str, operator: str, value: Any = None, zone: str = "UTC") -> Value:
    root = parse(condition(attribute, operator, value), CATALOGUE, time_zone=zone).root
    assert isinstance(root, Condition)
    return root.value


def errors_of(raw: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(InvalidCriteria) as caught:
        parse(raw, CATALOGUE, **more)
    return {error.field: error.message for error in caught.value.errors}


def test_a_list_means_all_and_values_are_coerced_to_the_kind_of_the_attribute() -> None:
    rule = parse([condition("age", ">=", "18"), condition("vip", "=", "true")], CATALOGUE)
    expected = (Condition("age", Kind.NUMBER, "gte", 18.0), Condition("vip", Kind.BOOLEAN, "eq", True))
    assert rule.root == Group("all", expected)
    assert rule.criteria == {"all": [condition("age", "gte", 18), condition("vip", "eq", True)]}


@pytest.mark.parametrize(
    ("attribute", "written", "canonical"),
    [
        ("age", "=", "eq"),
        ("age", "Greater Than", "gt"),
        ("age", "greaterThanOrEqual", "gte"),
        ("age", "is-not", "neq"),
        ("age", "at most", "lte"),
        ("born", ">", "after"),
        ("born", "<=", "on_or_before"),
        ("country", "doesNotContain", "not_contains"),
        ("country", "begins_with", "starts_with"),
    ],
)
def test_a_synonym_is_stored_in_the_canonical_form(attribute: str, written: str, canonical: str) -> None:
    value = "2024-01-01" if attribute == "born" else "1"
    rule = parse(condition(attribute, written, value), CATALOGUE)
    assert rule.criteria["operator"] == canonical


def test_on_lists_contains_and_in_ask_about_the_elements() -> None:
    written = [condition("tags", "contains", "a"), condition("tags", "in", "a,b"), condition("tags", "notIn", ["a"])]
    rule = parse(written, CATALOGUE)
    assert isinstance(rule.root, Group)
    assert [child.operator for child in rule.root.children if isinstance(child, Condition)] == [
        "has",
        "has_any",
        "has_none",
    ]


@pytest.mark.parametrize(
    ("raw", "number"), [("12.5", 12.5), (" -3 ", -3.0), ("1e3", 1000.0), (Decimal("0.10"), 0.1), (7, 7.0), (".5", 0.5)]
)
def test_a_number_may_be_written_in_every_usual_way(raw: Any, number: float) -> None:
    assert value_of("age", "eq", raw) == number


@pytest.mark.parametrize(
    "raw", ["", "abc", "1_000", "1,5", "NaN", "inf", float("nan"), 1e999, "1e999", 10**400, True, [1]]
)
def test_what_is_not_a_finite_number_is_an_error_that_names_it(raw: Any) -> None:
    (message,) = errors_of(condition("age", "gt", raw)).values()
    assert "needs a" in message


def test_minus_zero_and_zero_are_one_rule() -> None:
    assert parse(condition("age", "eq", -0.0), CATALOGUE) == parse(condition("age", "eq", 0), CATALOGUE)


def test_texts_are_composed_and_lists_sorted_so_that_equal_rules_are_equal() -> None:
    decomposed = parse(condition("country", "in", ["o\u0308", "A", "A"]), CATALOGUE)
    composed = parse(condition("country", "in", ["A", "\u00f6"]), CATALOGUE)
    assert decomposed == composed
    assert hash(decomposed) == hash(composed)
    assert composed.criteria["value"] == ["A", "\u00f6"]


def test_a_text_with_half_a_character_is_an_error() -> None:
    assert "half a character" in errors_of(condition("country", "eq", "a\ud800"))["criteria.value"]


def test_days_stay_days_and_instants_become_utc() -> None:
    assert value_of("born", "before", "2024-05-01") == date(2024, 5, 1)
    assert value_of("born", "before", "2024-05-01T10:00:00+02:00") == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert value_of("born", "before", "2024-05-01T10:00", "Europe/Berlin") == datetime(2024, 5, 1, 8, tzinfo=UTC)


def test_on_takes_the_day_that_an_instant_falls_on_in_the_time_zone() -> None:
    assert value_of("born", "on", "2024-05-01T23:00:00Z", "Europe/Berlin") == date(2024, 5, 2)


@pytest.mark.parametrize(
    "raw", ["2024-13-01", "2023-02-29", "01.05.2024", "yesterday", 1714521600, "2024-05-01T25:00:00Z"]
)
def test_what_is_not_a_date_is_an_error_that_names_it(raw: Any) -> None:
    message = errors_of(condition("born", "before", raw))["criteria.value"]
    assert str(raw) in message


@pytest.mark.parametrize("raw", ["30", "0d", "-3d", "3x", "1.5d", "101y", 30, "99999999999d"])
def test_what_is_not_a_duration_is_an_error_that_names_it(raw: Any) -> None:
    assert str(raw) in errors_of(condition("born", "in_last", raw))["criteria.value"]


def test_anniversaries_take_whole_days_and_today() -> None:
    assert value_of("born", "anniversary_in_next", "0d") == Duration(0, "d")
    assert '"12h"' in errors_of(condition("born", "anniversary_in_next", "12h"))["criteria.value"]


@pytest.mark.parametrize(
    ("attribute", "operator", "value"),
    [
        ("age", "between", [2, 1]),
        ("age", "between", [1]),
        ("born", "between", ["2024-05-02", "2024-05-01"]),
        ("tags", "size_eq", -1),
        ("tags", "size_eq", 1.5),
        ("home", "within_km", {"latitude": 91, "longitude": 0, "km": 1}),
        ("home", "within_km", {"latitude": 1, "longitude": 0, "km": 0}),
        ("home", "within_km", {"latitude": 1, "longitude": 0}),
        ("country", "in", []),
        ("country", "contains", ""),
        ("country", "matches", "(a"),
        ("country", "matches", "a(?=b)"),
        ("country", "matches", "a" * 1001),
        ("country", "is_set", "yes"),
        ("country", "eq", None),
        ("country", "eq", {"a": 1}),
        ("vip", "eq", "maybe"),
    ],
)
def test_a_value_that_the_operator_cannot_take_is_an_error_at_its_path(
    attribute: str, operator: str, value: Any
) -> None:
    assert list(errors_of([condition(attribute, operator, value)])) == ["criteria[0].value"]


def test_an_operator_of_another_kind_is_an_error_that_lists_the_right_ones() -> None:
    message = errors_of(condition("age", "contains", "1"))["criteria.operator"]
    assert "contains" in message
    assert "not_between" in message


def test_every_error_is_reported_at_once_with_the_path_as_the_client_sent_it() -> None:
    raw = {
        "any": [
            condition("contry", "eq", "DE"),
            {"not": condition("age", "eq", "old")},
            {"segment": "bronze", "operator": "member"},
            {"event": "view", "measure": {"sum": "page"}, "within": "9", "operator": "gte", "value": "x"},
            {"event": "visit", "operator": "eq", "value": 0},
            {"attribute": "age", "event": "view", "operator": "eq", "value": 1},
            condition("age", "eq", 1, colour="red"),
            "country = DE",
        ]
    }
    assert list(errors_of(raw)) == [
        "criteria.any[0].attribute",
        "criteria.any[1].not.value",
        "criteria.any[2].segment",
        "criteria.any[3].measure",
        "criteria.any[3].within",
        "criteria.any[3].value",
        "criteria.any[4].event",
        "criteria.any[5]",
        "criteria.any[6].colour",
        "criteria.any[7]",
    ]


def test_an_unknown_name_comes_with_the_nearest_known_one() -> None:
    assert "did you mean country?" in errors_of(condition("contry", "eq", "DE"))["criteria.attribute"]


@pytest.mark.parametrize("raw", [[], {}, {"all": []}, {"any": []}, None, "age > 1", {"all": {}}, {"not": []}])
def test_criteria_that_ask_nothing_are_an_error(raw: Any) -> None:
    assert errors_of(raw)


def test_a_segment_that_asks_about_itself_is_a_circle() -> None:
    message = errors_of({"segment": "gold", "operator": "member"}, segment_id="gold")["criteria.segment"]
    assert "gold -> gold" in message


@pytest.mark.parametrize("name", ["Berlin", "Mars/Olympus", "../etc/passwd", "/etc/localtime", ""])
def test_an_unknown_time_zone_is_an_error(name: str) -> None:
    assert "IANA" in errors_of(condition("age", "eq", 1), time_zone=name)["timeZone"]


def test_five_hundred_conditions_are_taken_and_one_more_is_not() -> None:
    most = [condition("age", "eq", number) for number in range(500)]
    assert len(parse({"any": most}, CATALOGUE).criteria["any"]) == 500  # type: ignore[arg-type]
    (message,) = errors_of([*most, condition("age", "eq", 1)]).values()
    assert "limit of 500" in message


def test_twenty_levels_of_groups_are_taken_and_one_more_is_not() -> None:
    deepest = condition("age", "eq", 1)
    for _ in range(20):
        deepest = {"not": deepest}
    parse(deepest, CATALOGUE)
    (message,) = errors_of({"all": [deepest]}).values()
    assert "limit of 20" in message


def test_criteria_of_any_depth_end_with_an_error_and_not_with_the_stack() -> None:
    deepest: Any = condition("age", "eq", 1)
    for _ in range(100_000):
        deepest = [deepest]
    assert "limit of 20" in errors_of(deepest)["criteria"]


def test_ten_thousand_values_are_taken_and_one_more_is_not() -> None:
    parse(condition("age", "in", [number % 1000 for number in range(10_000)]), CATALOGUE)
    message = errors_of(condition("age", "in", [1] * 10_001))["criteria.value"]
    assert "10001 values exceed the limit of 10000" in message


def test_more_than_sixty_four_kilobytes_are_an_error_that_says_how_many() -> None:
    message = errors_of(condition("country", "eq", "x" * 70_000))["criteria"]
    assert "limit of 65536" in message


def test_a_behaviour_keeps_its_measure_window_and_the_fields_that_it_reads() -> None:
    raw = {
        "event": "view",
        "where": [condition("page", "eq", "/sale")],
        "measure": {"sum": "seconds"},
        "from": "2024-01-01",
        "to": "2024-02-01",
        "operator": ">",
        "value": "60",
    }
    rule = parse(raw, CATALOGUE)
    assert isinstance(rule.root, Behaviour)
    assert rule.events == {"view": {"page": Kind.STRING, "seconds": Kind.NUMBER}}
    assert rule.criteria == {
        **raw,
        "where": {"all": [condition("page", "eq", "/sale")]},
        "operator": "gt",
        "value": 60,
    }


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"within": "1d", "from": "2024-01-01"}, "criteria.within"),
        ({"from": "2024-02-01", "to": "2024-02-01"}, "criteria.to"),
        ({"measure": "median"}, "criteria.measure"),
        ({"measure": {"sum": "words"}}, "criteria.measure"),
        ({"measure": {"distinct": "words"}}, "criteria.measure"),
        ({"measure": {"max": "colour"}}, "criteria.measure"),
        ({"where": [{"event": "view", "operator": "gt", "value": 1}]}, "criteria.where[0]"),
        ({"where": [condition("country", "eq", "DE")]}, "criteria.where[0].attribute"),
        ({"operator": "contains"}, "criteria.operator"),
    ],
)
def test_a_behaviour_that_cannot_be_measured_is_an_error_at_its_path(more: dict[str, Any], path: str) -> None:
    assert list(errors_of({"event": "view", "operator": "gt", "value": 1, **more})) == [path]


def test_a_rule_knows_what_it_depends_on_and_what_of_that_is_gone() -> None:
    raw = [
        condition("age", "gt", 1),
        condition("country", "eq", "DE"),
        {"event": "view", "where": [condition("page", "eq", "/")], "operator": "gt", "value": 0},
        {"segment": "gold", "operator": "member"},
    ]
    rule = parse(raw, CATALOGUE)
    assert (rule.attributes, rule.segments) == ({"age": Kind.NUMBER, "country": Kind.STRING}, frozenset({"gold"}))
    assert missing_names(rule, CATALOGUE) == []
    changed = Catalogue({"age": Kind.STRING}, {"view": {}}, frozenset())
    assert missing_names(rule, changed) == [
        "attribute 'age' is now a string, the rule takes it for a number",
        "attribute 'country'",
        "field of event 'view' 'page'",
        "segment 'gold'",
    ]
    assert "event 'view'" in missing_names(rule, Catalogue({}, {}, frozenset()))
