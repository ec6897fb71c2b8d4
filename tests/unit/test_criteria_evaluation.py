"""Several segments together: order, circles, decisions of people, bits, and when memberships change."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from segmentation.engine.catalogue import FEATURES, ORDER_FIELDS, Catalogue, Kind
from segmentation.engine.criteria import (
    Override,
    Prepared,
    Rule,
    condition_counts,
    evaluate,
    explain,
    first_failure,
    order,
    parse,
)
from segmentation.engine.frame import Frame
from segmentation.errors import InvalidCriteria
from tests.support.criteria_frames import dates, micros, numbers, strings, table

CATALOGUE = Catalogue(
    {**FEATURES, "age": Kind.NUMBER, "country": Kind.STRING, "born": Kind.DATE},
    {"order": ORDER_FIELDS},
    frozenset("abcdef"),
)
NOW = micros("2024-06-30T12:00:00Z")
FRAME = Frame(3, {"age": numbers([10, 20, 30]), "country": strings(["DE", None, "US"])})


def rule(raw: Any, place: str = "UTC") -> Rule:
    return parse(raw, CATALOGUE, time_zone=place)


def member(segment: str) -> dict[str, str]:
    return {"segment": segment, "operator": "member"}


def older(age: int) -> dict[str, Any]:
    return {"attribute": "age", "operator": "gt", "value": age}


def change(raw: Any, frame: Frame, place: str = "UTC", now: Any = NOW) -> list[str | None]:
    found = evaluate({"a": rule(raw, place)}, frame, now, next_change=True).next_change
    assert found is not None
    return [None if np.isnat(instant) else f"{np.datetime_as_string(instant, unit='s')}Z" for instant in found[0]]


def test_segments_come_after_those_that_they_ask_about() -> None:
    rules = {"a": rule([member("b"), member("c")]), "b": rule(member("d")), "c": rule(member("d")), "d": rule(older(1))}
    assert order(rules) == ["d", "b", "c", "a"]
    assert order({"a": None, "b": rule(older(1))}) == ["a", "b"]


def test_a_circle_is_an_error_that_names_its_path() -> None:
    rules = {"e": rule(member("a")), "a": rule(member("b")), "b": rule({"not": member("c")}), "c": rule(member("a"))}
    with pytest.raises(InvalidCriteria, match="a -> b -> c -> a"):
        order(rules)


def test_a_chain_of_segments_may_be_longer_than_the_stack() -> None:
    names = [f"s{number}" for number in range(3000)]
    catalogue = Catalogue({"age": Kind.NUMBER}, {}, frozenset(names))
    rules = {name: parse(member(after), catalogue) for name, after in pairwise(names)}
    assert order({**rules, names[-1]: rule(older(1))}) == names[::-1]


def test_a_segment_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InvalidCriteria, match="'b'"):
        evaluate({"a": rule(member("b"))}, FRAME, NOW)


def test_a_diamond_of_segments_is_evaluated_once_each_with_final_memberships() -> None:
    rules = {
        "a": rule([member("b"), {"segment": "c", "operator": "not_member"}]),
        "b": rule(member("d")),
        "c": rule([member("d"), older(25)]),
        "d": rule(older(15)),
    }
    everyone_but_the_second = Override(include=np.array([True, False, False]), exclude=np.array([False, True, False]))
    result = evaluate(rules, FRAME, NOW, {"d": everyone_but_the_second})
    assert result.matched("d").tolist() == [False, True, True]
    assert result.mask("d").tolist() == [True, False, True]
    assert result.mask("a").tolist() == [True, False, False]
    assert [result.count(segment) for segment in result.ids] == [1, 2, 1, 2]


def test_a_segment_without_a_rule_has_only_those_whom_people_put_there() -> None:
    result = evaluate({"a": None, "b": rule(member("a"))}, FRAME, NOW, {"a": Override(np.array([True, False, True]))})
    assert result.mask("b").tolist() == [True, False, True]
    assert not result.matched("a").any()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 40_000])
def test_bits_beyond_the_last_customer_are_zero(size: int) -> None:
    frame = Frame(size, {"age": numbers([None] * size)})
    result = evaluate({"a": rule({"not": older(1)}), "b": None}, frame, NOW, next_change=True)
    assert result.masks.shape == (2, (size + 7) // 8)
    assert int(np.unpackbits(result.masks[0]).sum()) == result.count("a") == size == result.mask("a").sum()
    assert result.next_change is not None
    assert result.next_change.shape == (2, size)


def test_an_override_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="3 customers"):
        evaluate({"a": None}, FRAME, NOW, {"a": Override(np.array([True]))})
    with pytest.raises(ValueError, match="'b'"):
        evaluate({"a": None}, FRAME, NOW, {"b": Override()})
    with pytest.raises(ValueError, match="1970"):
        evaluate({"a": None}, FRAME, np.datetime64("NaT", "us"))


def test_what_was_prepared_serves_rules_of_several_time_zones() -> None:
    frame = Prepared(Frame(1, {"born": dates(["2024-06-29T23:00Z"])}))
    raw = {"attribute": "born", "operator": "on", "value": "2024-06-30"}
    rules = {"a": rule(raw), "b": rule(raw, "Europe/Berlin"), "c": rule(raw, "America/New_York")}
    result = evaluate(rules, frame, NOW)
    assert [bool(result.mask(segment)[0]) for segment in "abc"] == [False, True, False]
    assert evaluate(rules, frame, NOW).masks.tolist() == result.masks.tolist()


def test_every_condition_is_counted_alone_with_its_path() -> None:
    asked = rule([older(15), {"any": [{"not": older(25)}, member("b")]}])
    assert condition_counts(asked, FRAME, NOW, {"b": np.array([False, False, True])}) == [
        ("criteria", 2),
        ("criteria.all[0]", 2),
        ("criteria.all[1]", 3),
        ("criteria.all[1].any[0]", 2),
        ("criteria.all[1].any[0].not", 1),
        ("criteria.all[1].any[1]", 1),
    ]


def test_an_explanation_says_what_was_asked_and_what_was_found() -> None:
    country = {"attribute": "country", "operator": "eq", "value": "DE"}
    explained = explain(rule([older(15), country, member("b")]), FRAME, 1, NOW, {"b": True})
    assert explained["matched"] is False
    assert explained["children"][0] == {
        "path": "criteria.all[0]",
        "text": "age is more than 15",
        "matched": True,
        "asked": older(15),
        "found": 20,
    }
    assert (explained["children"][1]["found"], explained["children"][2]["found"]) == (None, "member")
    assert first_failure(explained) == 'country is "DE", but nothing was found'


def test_the_first_failure_of_alternatives_names_them_all() -> None:
    either = rule({"any": [older(50), {"all": [older(1), {"not": older(5)}]}]})
    failure = first_failure(explain(either, FRAME, 0, NOW))
    assert failure == "age is more than 50, but found 10; nor not (age is more than 5), but found 10"


def test_a_row_that_the_frame_lacks_cannot_be_explained() -> None:
    with pytest.raises(IndexError, match="row 3"):
        explain(rule(older(1)), FRAME, 3, NOW)


def test_a_date_leaves_a_rolling_window_exactly_when_it_is_as_old() -> None:
    frame = Frame(4, {"born": dates(["2024-06-01T10:00Z", "2024-05-01T10:00Z", None, "2024-07-02T00:00Z"])})
    last = {"attribute": "born", "operator": "in_last", "value": "30d"}
    assert change(last, frame) == ["2024-07-01T10:00:00Z", None, None, "2024-07-02T00:00:00Z"]
    ago = {"attribute": "born", "operator": "more_than_ago", "value": "30d"}
    assert change(ago, frame) == ["2024-07-01T10:00:00Z", None, None, "2024-08-01T00:00:00Z"]
    coming = {"attribute": "born", "operator": "in_next", "value": "1d"}
    assert change(coming, frame) == [None, None, None, "2024-07-01T00:00:00Z"]


def test_fixed_dates_and_numbers_never_change_by_themselves() -> None:
    frame = Frame(1, {"born": dates(["2030-01-01"]), "age": numbers([1])})
    fixed = {"attribute": "born", "operator": "after", "value": "2026-01-01"}
    result = evaluate({"a": rule([fixed, older(1)])}, frame, NOW, next_change=True)
    assert result.change("a") is None
    assert change([fixed, older(1)], frame) == [None]
    assert evaluate({"a": rule(fixed)}, frame, NOW).next_change is None


def test_a_calendar_month_ends_on_the_day_of_the_wall_clock() -> None:
    frame = Frame(1, {"born": dates(["2024-03-01T11:00Z"])})
    month = {"attribute": "born", "operator": "in_last", "value": "1m"}
    now = micros("2024-03-20T12:00Z")
    assert change(month, frame, "Europe/Berlin", now) == ["2024-04-01T10:00:00Z"]  # noon in winter, noon in summer
    assert change(month, frame, "UTC", now) == ["2024-04-01T11:00:00Z"]


def test_a_month_that_is_shorter_lets_an_instant_into_its_window_again() -> None:
    frame = Frame(1, {"born": dates(["2023-02-28T12:00Z"])})
    month = {"attribute": "born", "operator": "in_last", "value": "1m"}
    assert change(month, frame, now=micros("2023-03-28T10:00Z")) == ["2023-03-28T12:00:00Z"]
    # From the 29th on a month ago is the 28th, at the time of the clock: at midnight that is before noon again.
    assert change(month, frame, now=micros("2023-03-29T18:00Z")) == ["2023-03-30T00:00:00Z"]
    assert change(month, frame, now=micros("2023-04-01T00:00Z")) == [None]


def test_conditions_on_rows_can_change_by_themselves() -> None:
    catalogue = Catalogue({}, {"visit": {"until": Kind.DATE}})
    visits = table([[{"time": "2024-01-01", "until": "2024-06-29T12:00Z"}], []], {"until": dates})
    current = [{"attribute": "until", "operator": "in_last", "value": "30d"}]
    asked = parse({"event": "visit", "where": current, "operator": "gte", "value": 1}, catalogue)
    result = evaluate({"a": asked}, Frame(2, {}, {"visit": visits}), NOW, next_change=True).change("a")
    assert result is not None
    assert np.array_equal(result, np.array([micros("2024-07-29T12:00Z"), micros(None)]), equal_nan=True)


def test_a_birthday_begins_and_ends_at_midnight_of_the_zone() -> None:
    frame = Frame(2, {"born": dates(["1990-07-03T08:00Z", "1990-06-30T08:00Z"])})
    today = {"attribute": "born", "operator": "anniversary_in_next", "value": "0d"}
    assert change(today, frame, "Europe/Berlin") == ["2024-07-02T22:00:00Z", "2024-06-30T22:00:00Z"]


def test_counts_of_days_change_when_they_reach_what_was_asked() -> None:
    columns = {
        "recencyDays": numbers([0, 40, None]),
        "lastOrderAt": dates(["2024-06-30T09:00Z", "2024-05-21T09:00Z", None]),
    }
    frame = Frame(3, columns)
    recent = {"attribute": "recencyDays", "operator": "lte", "value": 30}
    assert change(recent, frame) == ["2024-07-31T09:00:00Z", None, None]
    between = {"attribute": "recencyDays", "operator": "not_between", "value": [30, 41.5]}
    assert change(between, frame) == ["2024-07-30T09:00:00Z", "2024-07-02T09:00:00Z", None]


def test_orders_leave_windows_and_those_of_the_future_come_in() -> None:
    orders = [
        [
            {"time": "2024-06-10T09:00Z", "group": 0, "amount": 5.0},
            {"time": "2024-06-20T09:00Z", "group": 1, "amount": 5.0},
        ],
        [{"time": "2024-07-04T09:00Z", "group": 2, "amount": 5.0}],
        [],
    ]
    frame = Frame(3, {"orderCount": numbers([2, 0, 0])}, {"order": table(orders, {"amount": numbers}, grouped=True)})
    recent = {"event": "order", "within": "30d", "operator": "gte", "value": 1}
    assert change(recent, frame) == ["2024-07-10T09:00:00Z", "2024-07-04T09:00:00Z", None]
    ever = {"event": "order", "operator": "gte", "value": 1}
    assert change(ever, frame) == [None, "2024-07-04T09:00:00Z", None]
    fixed = {"event": "order", "to": "2024-07-01", "operator": "gte", "value": 1}
    assert change(fixed, frame) == [None, None, None]
    days = {"event": "order", "measure": "days_since_last", "operator": "gt", "value": 30}
    assert change(days, frame) == ["2024-07-21T09:00:00Z", "2024-07-04T09:00:00Z", None]
    feature = {"attribute": "orderCount", "operator": "gte", "value": 1}
    assert change(feature, frame) == [None, "2024-07-04T09:00:00Z", None]


def test_whom_people_decided_about_never_changes_and_segments_pass_changes_on() -> None:
    frame = Frame(3, {"born": dates(["2024-06-20T00:00Z"] * 3)})
    rules = {"a": rule({"attribute": "born", "operator": "in_last", "value": "30d"}), "b": rule(member("a"))}
    decided = {"a": Override(np.array([True, False, False]), np.array([False, True, False]))}
    result = evaluate(rules, frame, NOW, decided, next_change=True)
    leaves = np.datetime64("2024-07-20T00:00:00", "us")
    own, passed_on, earliest = result.change("a"), result.change("b"), result.earliest_change()
    assert own is not None
    assert np.isnat(own[:2]).all()
    assert own[2] == leaves
    assert passed_on is not None
    assert passed_on.tolist() == [leaves.item()] * 3
    assert earliest is not None
    assert earliest.tolist() == [leaves.item()] * 3
