"""The rule language once more, slowly: one customer at a time, straight from the JSON, in plain Python.

It shares nothing with the engine, so that both being wrong alike is unlikely.
"""

import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from math import asin, cos, floor, radians, sin, sqrt
from typing import Any
from zoneinfo import ZoneInfo

Customer = Mapping[str, Any]

NEGATIVES = {
    "neq": "eq",
    "not_in": "in",
    "is_not_set": "is_set",
    "not_contains": "contains",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "not_between": "between",
    "not_in_last": "in_last",
    "has_none": "has_any",
}
FIXED = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def holds(node: Any, customer: Customer, now: datetime, zone: str, member: bool = False) -> bool:
    """Whether a customer matches criteria; `member` answers for every segment that they ask about."""
    if isinstance(node, list):
        return all(holds(child, customer, now, zone, member) for child in node)
    if "all" in node:
        return all(holds(child, customer, now, zone, member) for child in node["all"])
    if "any" in node:
        return any(holds(child, customer, now, zone, member) for child in node["any"])
    if "not" in node:
        return not holds(node["not"], customer, now, zone, member)
    if "segment" in node:
        return member == (node["operator"] == "member")
    if "event" in node:
        return compare(measured(node, customer, now, zone), node, now, zone)
    return compare(customer.get(node["attribute"]), node, now, zone)


def compare(value: Any, node: Any, now: datetime, zone: str) -> bool:
    operator = node["operator"]
    if operator in NEGATIVES:
        return not compare(value, {**node, "operator": NEGATIVES[operator]}, now, zone)
    if value is None:
        return False
    wanted = node.get("value")
    if isinstance(value, bool):
        return _boolean(value, operator, wanted)
    if isinstance(value, float):
        return _number(value, operator, wanted)
    if isinstance(value, datetime):
        return _date(value, operator, wanted, now, zone)
    prepare = _caseless if node.get("ignoreCase") else _composed
    if isinstance(value, str):
        return _text(prepare(value), operator, _each(prepare, wanted))
    if isinstance(value, list):
        return _list([prepare(text) for text in value], operator, _each(prepare, wanted))
    return operator == "is_set" or _kilometres(value, wanted) <= wanted["km"]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _caseless(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


def _each(prepare: Callable[[str], str], wanted: Any) -> Any:
    if isinstance(wanted, list):
        return [prepare(text) for text in wanted]
    return prepare(wanted) if isinstance(wanted, str) else wanted


def _boolean(value: bool, operator: str, wanted: Any) -> bool:
    return {"is_set": True, "is_true": value, "is_false": not value, "eq": value == wanted}[operator]


def _number(value: float, operator: str, wanted: Any) -> bool:
    match operator:
        case "is_set":
            return True
        case "eq":
            return value == wanted
        case "gt":
            return value > wanted
        case "gte":
            return value >= wanted
        case "lt":
            return value < wanted
        case "lte":
            return value <= wanted
        case "in":
            return value in wanted
    assert operator == "between", operator
    return wanted[0] <= value <= wanted[1]


def _text(value: str, operator: str, wanted: Any) -> bool:
    match operator:
        case "is_set":
            return True
        case "eq":
            return value == wanted
        case "in":
            return value in wanted
        case "contains":
            return wanted in value
        case "starts_with":
            return value.startswith(wanted)
    assert operator == "ends_with", operator
    return value.endswith(wanted)


def _list(value: list[str], operator: str, wanted: Any) -> bool:
    match operator:
        case "is_set":
            return True
        case "eq":
            return set(value) == set(wanted)
        case "has":
            return wanted in value
        case "has_any":
            return any(text in value for text in wanted)
        case "has_all":
            return all(text in value for text in wanted)
        case "size_eq":
            return len(value) == wanted
        case "size_gt":
            return len(value) > wanted
    assert operator == "size_lt", operator
    return len(value) < wanted


def _kilometres(place: tuple[float, float], wanted: Any) -> float:
    north, east = radians(place[0] - wanted["latitude"]), radians(place[1] - wanted["longitude"])
    half = sin(north / 2) ** 2 + cos(radians(place[0])) * cos(radians(wanted["latitude"])) * sin(east / 2) ** 2
    return 2 * 6371.0088 * asin(sqrt(min(half, 1)))


def span(moment: str, zone: str) -> tuple[datetime, datetime]:
    """First instant of a day or an instant, and the first one after it."""
    if len(moment) == 10:
        day = date.fromisoformat(moment)
        return tuple(_midnight(when, zone) for when in (day, day + timedelta(days=1)))  # type: ignore[return-value]
    instant = datetime.fromisoformat(moment)
    instant = (instant if instant.tzinfo else instant.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    return instant, instant + timedelta(microseconds=1)


def _midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def shifted(now: datetime, duration: str, sign: int, zone: str) -> datetime:
    count, unit = int(duration[:-1]) * sign, duration[-1]
    if unit in FIXED:
        return now + count * FIXED[unit]
    local = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    moved = datetime.combine(_later(local.date(), duration, sign), local.time())
    return moved.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _later(day: date, duration: str, sign: int) -> date:
    count, unit = int(duration[:-1]) * sign, duration[-1]
    if unit in FIXED:
        return day + count * FIXED[unit]
    months = day.year * 12 + day.month - 1 + count * (12 if unit == "y" else 1)
    for last in (day.day, 30, 29, 28):
        try:
            return date(months // 12, months % 12 + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError(duration)


def _date(value: datetime, operator: str, wanted: Any, now: datetime, zone: str) -> bool:
    match operator:
        case "is_set":
            return True
        case "in_last":
            return shifted(now, wanted, -1, zone) < value <= now
        case "more_than_ago":
            return value <= shifted(now, wanted, -1, zone)
        case "in_next":
            return now < value <= shifted(now, wanted, +1, zone)
        case "anniversary_in_next" | "anniversary_in_last":
            return _anniversary(value, wanted, +1 if operator.endswith("next") else -1, now, zone)
        case "in":
            return any(_date(value, "eq", moment, now, zone) for moment in wanted)
        case "between":
            return span(wanted[0], zone)[0] <= value < span(wanted[1], zone)[1]
    start, end = span(wanted, zone)
    if operator == "on" and len(wanted) > 10:
        start, end = span(start.astimezone(ZoneInfo(zone)).date().isoformat(), zone)
    answers = {
        "eq": start <= value < end,
        "on": start <= value < end,
        "before": value < start,
        "on_or_before": value < end,
        "after": value >= end,
        "on_or_after": value >= start,
    }
    return answers[operator]


def _anniversary(value: datetime, duration: str, sign: int, now: datetime, zone: str) -> bool:
    day, today = value.astimezone(ZoneInfo(zone)).date(), now.astimezone(ZoneInfo(zone)).date()
    other = _later(today, duration, sign)
    opens, closes = (today, other) if sign > 0 else (other, today)
    for year in range(day.year + 1, closes.year + 1):
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        again = date(year, 2, 28) if (day.month, day.day) == (2, 29) and not leap else day.replace(year=year)
        if opens <= again <= closes:
            return True
    return False


def measured(node: Any, customer: Customer, now: datetime, zone: str) -> float | None:
    """The measure of a behaviour; None where there is nothing to measure."""
    if node["event"] == "order":
        groups = [[{**line, "time": order["time"]} for line in order["lines"]] for order in customer["orders"]]
    else:
        groups = [[view] for view in customer["views"]] if node["event"] == "view" else []
    kept = [[row for row in rows if _counts(row, node, now, zone)] for rows in groups]
    kept = [rows for rows in kept if rows]
    measure = node["measure"]
    if measure == "count":
        return float(len(kept))
    if isinstance(measure, str):
        times = [row["time"] for rows in kept for row in rows]
        chosen = (max if measure == "days_since_last" else min)(times, default=None)
        return None if chosen is None else float(floor((now - chosen) / timedelta(days=1)))
    ((function, field),) = measure.items()
    found = [[row[field] for row in rows if row[field] is not None] for rows in kept]
    found = [values for values in found if values]
    if function == "distinct":
        return float(len({value for values in found for value in values}))
    totals = [sum(values) for values in found]
    if function == "sum":
        return float(sum(totals))
    if not totals:
        return None
    return float({"avg": sum(totals) / len(totals), "min": min(totals), "max": max(totals)}[function])


def _counts(row: Mapping[str, Any], node: Any, now: datetime, zone: str) -> bool:
    time = row["time"]
    if time > now or ("within" in node and time <= shifted(now, node["within"], -1, zone)):
        return False
    if ("from" in node and time < span(node["from"], zone)[0]) or ("to" in node and time >= span(node["to"], zone)[0]):
        return False
    return "where" not in node or holds(node["where"], row, now, zone)
