"""Time zones, days, calendar months, and what dates accept: hand-computed."""

from datetime import date

import numpy as np
import pytest

from segmentation.engine.catalogue import Catalogue, Kind
from segmentation.engine.criteria import evaluate, parse
from segmentation.engine.criteria.times import Clock, zone
from segmentation.engine.criteria.tree import Duration
from segmentation.engine.frame import Frame
from tests.support.criteria_frames import dates, micros

CATALOGUE = Catalogue({"at": Kind.DATE})


def matches(
    operator: str, value: object, moment: str | None, now: str = "2024-06-30T12:00Z", place: str = "UTC"
) -> bool:
    rule = parse({"attribute": "at", "operator": operator, "value": value}, CATALOGUE, time_zone=place)
    return bool(evaluate({"a": rule}, Frame(1, {"at": dates([moment])}), micros(now)).mask("a")[0])


def instant(text: str) -> int:
    return int(micros(text).astype(np.int64))


@pytest.mark.parametrize(
    ("place", "day", "start", "hours"),
    [
        ("UTC", date(2024, 3, 31), "2024-03-31T00:00Z", 24),
        ("Europe/Berlin", date(2024, 3, 31), "2024-03-30T23:00Z", 23),
        ("Europe/Berlin", date(2024, 10, 27), "2024-10-26T22:00Z", 25),
        ("America/New_York", date(2024, 11, 3), "2024-11-03T04:00Z", 25),
        ("Australia/Lord_Howe", date(2024, 4, 7), "2024-04-06T13:00Z", 24.5),
        ("Asia/Beirut", date(2024, 3, 31), "2024-03-30T22:00Z", 23),  # midnight itself is skipped
        ("America/Havana", date(2024, 11, 3), "2024-11-03T04:00Z", 25),  # midnight occurs twice
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00Z", 0),  # the day that Samoa left out
    ],
)
def test_a_day_begins_at_midnight_of_the_zone_and_lasts_as_long_as_it_does_there(
    place: str, day: date, start: str, hours: float
) -> None:
    there = zone(place)
    assert there.day_start(day) == instant(start)
    assert (there.day_end(day) - there.day_start(day)) / 3.6e9 == hours


@pytest.mark.parametrize(
    ("place", "now", "span", "sign", "expected"),
    [
        ("UTC", "2024-03-31T10:00Z", "1m", -1, "2024-02-29T10:00Z"),
        ("UTC", "2023-03-31T10:00Z", "1m", -1, "2023-02-28T10:00Z"),
        ("UTC", "2024-02-29T10:00Z", "1y", -1, "2023-02-28T10:00Z"),
        ("UTC", "2024-01-31T10:00Z", "1m", +1, "2024-02-29T10:00Z"),
        ("UTC", "2024-01-15T10:00Z", "13m", -1, "2022-12-15T10:00Z"),
        ("Europe/Berlin", "2024-04-15T10:00Z", "1m", -1, "2024-03-15T11:00Z"),  # noon there, summer and winter
        ("Europe/Berlin", "2024-04-15T10:00Z", "31d", -1, "2024-03-15T10:00Z"),  # 31 times 24 hours
        ("Europe/Berlin", "2024-04-30T00:30Z", "1m", -1, "2024-03-30T01:30Z"),
        ("Europe/Berlin", "2024-05-31T00:30Z", "2m", -1, "2024-03-31T01:30Z"),  # 02:30 is skipped that day
        ("Europe/Berlin", "2024-11-27T01:30Z", "1m", -1, "2024-10-27T00:30Z"),  # 02:30 occurs twice that day
    ],
)
def test_months_and_years_follow_the_calendar_of_the_zone(
    place: str, now: str, span: str, sign: int, expected: str
) -> None:
    moved = Clock(instant(now), zone(place)).edge(Duration(int(span[:-1]), span[-1]), sign)
    assert np.datetime64(moved, "us") == micros(expected)


def test_a_rolling_window_is_open_at_its_beginning_and_closed_at_now() -> None:
    now = "2024-06-30T12:00:00Z"
    assert not matches("in_last", "30d", "2024-05-31T12:00:00Z", now)
    assert matches("in_last", "30d", "2024-05-31T12:00:00.000001Z", now)
    assert matches("in_last", "30d", now, now)
    assert not matches("in_last", "30d", "2024-06-30T12:00:00.000001Z", now)
    assert matches("more_than_ago", "30d", "2024-05-31T12:00:00Z", now)
    assert not matches("more_than_ago", "30d", "2024-05-31T12:00:00.000001Z", now)
    assert not matches("in_next", "1h", now, now)
    assert matches("in_next", "1h", "2024-06-30T13:00:00Z", now)
    assert not matches("in_next", "1h", "2024-06-30T13:00:00.000001Z", now)


def test_a_missing_date_matches_no_positive_operator_and_every_negative_one() -> None:
    for operator, value in [
        ("before", "2999-01-01"),
        ("after", "1900-01-01"),
        ("in_last", "100y"),
        ("in_next", "100y"),
    ]:
        assert not matches(operator, value, None)
    assert not matches("more_than_ago", "1h", None)
    assert not matches("anniversary_in_next", "1y", None)
    assert matches("not_in_last", "1d", None)
    assert matches("not_between", ["1900-01-01", "2999-01-01"], None)


def test_a_day_as_value_is_the_whole_day_of_the_zone() -> None:
    late = "2024-05-30T22:30:00Z"  # half past midnight on the 31st in Berlin
    assert matches("on", "2024-05-30", late)
    assert matches("on", "2024-05-31", late, place="Europe/Berlin")
    assert matches("between", ["2024-05-30", "2024-05-30"], late)
    assert not matches("between", ["2024-05-30", "2024-05-30"], late, place="Europe/Berlin")
    assert matches("after", "2024-05-30", late, place="Europe/Berlin")
    assert not matches("after", "2024-05-30", late)
    assert not matches("after", "2024-05-30", "2024-05-30T23:59:59.999999Z")
    assert matches("after", "2024-05-30", "2024-05-31T00:00:00Z")


def test_spans_are_exact_at_the_ends_of_a_column() -> None:
    moments = ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001Z", "2024-01-02T00:00:00Z", None]
    frame = Frame(4, {"at": dates(moments)})
    for value, expected in [
        (["2024-01-01T00:00:00.000001Z", "2024-01-01T12:00:00Z"], [False, True, False, False]),
        (["2024-01-01T00:00:00Z", "2024-01-01T12:00:00Z"], [True, True, False, False]),
        (["2024-01-01T12:00:00Z", "2024-01-02T00:00:00Z"], [False, False, True, False]),
        (["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"], [True, True, True, False]),
    ]:
        rule = parse({"attribute": "at", "operator": "between", "value": value}, CATALOGUE)
        assert evaluate({"a": rule}, frame, micros("2024-06-30")).mask("a").tolist() == expected


def test_dates_far_away_compare_as_others_do() -> None:
    assert matches("before", "1900-01-02", "1900-01-01T12:00:00Z")
    assert matches("on", "2999-12-31", "2999-12-31T12:00:00Z", place="Europe/Berlin")
    assert matches("between", ["0001-01-01", "9999-12-31"], "1600-05-05T00:00:00Z", place="Asia/Tokyo")
    assert not matches("in_last", "100y", "2999-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("born", "now", "operator", "span", "expected"),
    [
        ("1990-07-03", "2024-06-30T12:00Z", "anniversary_in_next", "3d", True),
        ("1990-07-04", "2024-06-30T12:00Z", "anniversary_in_next", "3d", False),
        ("1990-06-30", "2024-06-30T23:59Z", "anniversary_in_next", "0d", True),
        ("1990-01-01", "2024-12-31T12:00Z", "anniversary_in_next", "1d", True),
        ("2000-02-29", "2023-02-28T12:00Z", "anniversary_in_next", "0d", True),
        ("2000-02-29", "2024-02-28T12:00Z", "anniversary_in_next", "0d", False),
        ("2000-02-29", "2024-02-29T12:00Z", "anniversary_in_next", "0d", True),
        ("2000-02-29", "2023-03-01T12:00Z", "anniversary_in_next", "0d", False),
        ("1990-06-23", "2024-06-30T12:00Z", "anniversary_in_last", "7d", True),
        ("1990-06-22", "2024-06-30T12:00Z", "anniversary_in_last", "7d", False),
        ("1990-12-31", "2024-01-01T12:00Z", "anniversary_in_last", "1d", True),
        ("2024-06-30", "2024-06-30T12:00Z", "anniversary_in_next", "3d", False),  # the day itself is none
        ("2023-06-30", "2024-06-30T12:00Z", "anniversary_in_next", "0d", True),
        ("2024-06-29", "2024-06-30T12:00Z", "anniversary_in_next", "1y", True),
        ("2025-06-29", "2024-06-30T12:00Z", "anniversary_in_next", "1y", False),  # it is still to come
    ],
)
def test_anniversaries_are_whole_days_from_a_year_after_the_date_on(
    born: str, now: str, operator: str, span: str, expected: bool
) -> None:
    assert matches(operator, span, f"{born}T10:00:00Z", now) is expected


def test_an_anniversary_is_on_the_day_of_the_zone() -> None:
    born = "1990-07-01T22:30:00Z"  # 2 July in Berlin
    assert matches("anniversary_in_next", "0d", born, "2024-07-01T22:00Z", "Europe/Berlin")
    assert not matches("anniversary_in_next", "0d", born, "2024-07-01T12:00Z", "Europe/Berlin")
    assert matches("anniversary_in_next", "0d", born, "2024-07-01T12:00Z", "UTC")
