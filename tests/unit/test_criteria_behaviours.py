"""Behaviours: hand-computed measures over orders with several lines, returns of nothing, windows and their edges."""

from typing import Any

import numpy as np
import pytest

from segmentation.engine.catalogue import ORDER_FIELDS, Catalogue, Kind
from segmentation.engine.criteria import evaluate, explain, parse
from segmentation.engine.frame import Frame
from tests.support.criteria_frames import dates, micros, numbers, strings, table

CATALOGUE = Catalogue({}, {"order": ORDER_FIELDS, "view": {"page": Kind.STRING, "at": Kind.DATE}})
NOW = "2024-06-30T12:00Z"


def line(
    time: str, group: int, amount: float | None, unit: float = 1, category: str | None = "shoes"
) -> dict[str, Any]:
    return {"time": time, "group": group, "amount": amount, "unitPrice": unit, "category": category}


ORDERS = [
    [
        line("2024-01-01T00:00Z", 0, 10, 5),
        line("2024-01-01T00:00Z", 0, 20, 8, "hats"),
        line("2024-06-30T11:00Z", 1, 50, 7),
        line("2024-06-30T13:00Z", 2, 999, 9),
    ],
    [],
    [line("2024-06-29T12:00Z", 3, None, 3, None), line("2024-06-29T12:00Z", 3, 4, 2, "hats")],
]
VIEWS = [[{"time": "2024-06-01T00:00Z", "page": "/a", "at": None}], [{"time": NOW, "page": None, "at": NOW}], []]
FIELDS = {"amount": numbers, "unitPrice": numbers, "category": strings}
FRAME = Frame(
    3, {}, {"order": table(ORDERS, FIELDS, grouped=True), "view": table(VIEWS, {"page": strings, "at": dates})}
)


def measured(measure: Any, event: str = "order", **more: Any) -> list[float | None]:
    """The measure per customer, as an explanation finds it."""
    raw = {"event": event, "measure": measure, "operator": "eq", "value": 0, **more}
    rule = parse(raw, CATALOGUE)
    found = [explain(rule, FRAME, row, micros(NOW))["found"] for row in range(FRAME.size)]
    mask = evaluate({"a": rule}, FRAME, micros(NOW)).mask("a")
    assert mask.tolist() == [value == 0 for value in found]
    return found


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("count", [2, 0, 1]),
        ({"sum": "amount"}, [80, 0, 4]),
        ({"avg": "amount"}, [40, None, 4]),  # orders of 10 + 20 and of 50
        ({"min": "amount"}, [30, None, 4]),
        ({"max": "amount"}, [50, None, 4]),
        ({"max": "unitPrice"}, [8, None, 3]),  # a price is no total: line by line
        ({"avg": "unitPrice"}, [20 / 3, None, 2.5]),
        ({"distinct": "category"}, [2, 0, 1]),
        ({"distinct": "amount"}, [3, 0, 1]),
        ("days_since_last", [0, None, 1]),
        ("days_since_first", [181, None, 1]),
    ],
)
def test_measures_of_orders_count_orders_and_leave_the_future_out(measure: Any, expected: list[float | None]) -> None:
    assert measured(measure) == [None if value is None else pytest.approx(value) for value in expected]


def test_conditions_on_lines_choose_what_is_measured() -> None:
    hats = [{"attribute": "category", "operator": "eq", "value": "hats"}]
    assert measured("count", where=hats) == [1, 0, 1]
    assert measured({"sum": "amount"}, where=hats) == [20, 0, 4]
    assert measured({"max": "amount"}, where={"not": hats[0]}) == [50, None, None]


def test_a_rolling_window_leaves_out_its_first_instant() -> None:
    assert measured("count", within="1d") == [1, 0, 0]
    assert measured("count", within="25h") == [1, 0, 1]


def test_a_fixed_window_has_its_beginning_and_not_its_end() -> None:
    assert measured("count", **{"from": "2024-01-01", "to": "2024-06-30"}) == [1, 0, 1]
    assert measured("count", to="2024-01-01") == [0, 0, 0]
    assert measured("count", **{"from": "2024-06-30T11:00:00Z"}) == [1, 0, 0]
    assert measured("count", **{"from": "2024-06-30", "to": "2024-07-30"}) == [1, 0, 0]


def test_other_events_are_counted_row_by_row_up_to_and_including_now() -> None:
    assert measured("count", "view") == [1, 1, 0]
    assert measured({"distinct": "page"}, "view") == [1, 0, 0]
    recent = [{"attribute": "at", "operator": "in_last", "value": "1h"}]
    assert measured("count", "view", where=recent) == [0, 1, 0]


def test_an_event_that_the_frame_lacks_has_no_rows() -> None:
    frame = Frame(2)
    for operator, value, expected in [("eq", 0, True), ("gte", 1, False)]:
        rule = parse({"event": "view", "operator": operator, "value": value}, CATALOGUE)
        assert evaluate({"a": rule}, frame, micros(NOW)).mask("a").tolist() == [expected] * 2


def test_a_measure_without_rows_is_missing_and_matches_negative_operators() -> None:
    raw = {"event": "order", "measure": "days_since_last", "operator": "neq", "value": 1}
    assert evaluate({"a": parse(raw, CATALOGUE)}, FRAME, micros(NOW)).mask("a").tolist() == [True, True, False]
    unset = {"event": "order", "measure": {"avg": "amount"}, "operator": "is_not_set"}
    assert evaluate({"a": parse(unset, CATALOGUE)}, FRAME, micros(NOW)).mask("a").tolist() == [False, True, False]


def test_customers_taken_twice_have_their_orders_twice() -> None:
    rule = parse({"event": "order", "operator": "eq", "value": 1}, CATALOGUE)
    twice = FRAME.take(np.array([2, 2, 0], dtype=np.intp))
    assert evaluate({"a": rule}, twice, micros(NOW)).mask("a").tolist() == [True, True, False]
