"""Rules for storage and for people: the canonical JSON value and a sentence of every node. It must not know columns."""

from datetime import UTC, date, datetime

from segmentation.engine.criteria.tree import (
    Behaviour,
    Circle,
    Condition,
    Duration,
    Group,
    Measure,
    Node,
    Not,
    Point,
    SegmentIs,
    Value,
)

WORDS = {
    "eq": "is",
    "neq": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "is_set": "has a value",
    "is_not_set": "has no value",
    "not_contains": "does not contain",
    "not_starts_with": "does not start with",
    "not_ends_with": "does not end with",
    "not_matches": "does not match",
    "contains": "contains",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "between": "is between",
    "not_between": "is not between",
    "before": "is before",
    "after": "is after",
    "on": "is on",
    "on_or_before": "is on or before",
    "on_or_after": "is on or after",
    "in_last": "is in the last",
    "not_in_last": "is not in the last",
    "more_than_ago": "is at least this long ago:",
    "in_next": "is in the next",
    "anniversary_in_next": "has its anniversary in the next",
    "anniversary_in_last": "had its anniversary in the last",
    "has": "has",
    "has_any": "has any of",
    "has_all": "has all of",
    "has_none": "has none of",
    "size_eq": "has exactly this many values:",
    "size_gt": "has more values than",
    "size_lt": "has fewer values than",
    "is_true": "is true",
    "is_false": "is false",
    "within_km": "is within",
}

UNITS = {"h": "hour", "d": "day", "w": "week", "m": "month", "y": "year"}
SHOWN = 5
"""So many values of a list are spelt out."""


def as_json(node: Node) -> dict[str, object]:
    """A node in canonical form."""
    match node:
        case Group():
            return {node.operator: [as_json(child) for child in node.children]}
        case Not():
            return {"not": as_json(node.child)}
        case SegmentIs():
            return {"segment": node.segment, "operator": node.operator}
        case Condition():
            value = {} if node.value is None else {"value": value_json(node.value)}
            case = {"ignoreCase": True} if node.ignore_case else {}
            return {"attribute": node.attribute, "operator": node.operator, **value, **case}
        case Behaviour():
            return _behaviour_json(node)


def value_json(value: Value) -> object:
    """A value in canonical form: whole numbers without a fraction, days and instants in ISO 8601."""
    match value:
        case tuple():
            return [value_json(part) for part in value]
        case bool() | str() | None:
            return value
        case float():
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case date():
            return value.isoformat()
        case Duration():
            return str(value)
        case Circle():
            place = {"latitude": value.latitude, "longitude": value.longitude, "km": value.km}
            return {name: value_json(part) for name, part in place.items()}
        case Point():
            return {"latitude": value_json(value.latitude), "longitude": value_json(value.longitude)}


def _behaviour_json(node: Behaviour) -> dict[str, object]:
    measure = node.measure
    window = node.window
    return {
        "event": node.event,
        **({} if node.where is None else {"where": as_json(node.where)}),
        "measure": {measure.function: measure.field} if measure.field else measure.function,
        **({} if window.within is None else {"within": str(window.within)}),
        **({} if window.start is None else {"from": value_json(window.start)}),
        **({} if window.end is None else {"to": value_json(window.end)}),
        "operator": node.operator,
        **({} if node.value is None else {"value": value_json(node.value)}),
    }


def sentence(node: Node) -> str:
    """A node in words."""
    match node:
        case Group():
            return (" and " if node.operator == "all" else " or ").join(_inner(child) for child in node.children)
        case Not():
            return f"not ({sentence(node.child)})"
        case SegmentIs():
            return f"is {'' if node.operator == 'member' else 'not '}a member of segment {node.segment}"
        case Condition():
            case = " (upper and lower case alike)" if node.ignore_case else ""
            return f"{node.attribute} {WORDS[node.operator]}{_value_words(node.value)}{case}"
        case Behaviour():
            where = "" if node.where is None else f" where {_inner(node.where)}"
            asked = f"{WORDS[node.operator]}{_value_words(node.value)}"
            return f"{_measure_words(node.measure, node.event)}{where}{_window_words(node)} {asked}"


def _inner(node: Node) -> str:
    return f"({sentence(node)})" if isinstance(node, Group) and len(node.children) > 1 else sentence(node)


def _measure_words(measure: Measure, event: str) -> str:
    match measure.function:
        case "count":
            return f"number of {event}"
        case "days_since_last":
            return f"days since the last {event}"
        case "days_since_first":
            return f"days since the first {event}"
        case "distinct":
            return f"different {measure.field} of {event}"
    return f"{measure.function} of {measure.field} of {event}"


def _window_words(node: Behaviour) -> str:
    window = node.window
    last = "" if window.within is None else f" in the last{_value_words(window.within)}"
    start = "" if window.start is None else f" from {value_json(window.start)}"
    end = "" if window.end is None else f" before {value_json(window.end)}"
    return last + start + end


def _value_words(value: Value) -> str:
    match value:
        case None:
            return ""
        case tuple():
            shown = ", ".join(_value_words(part).strip() for part in value[:SHOWN])
            return f" {shown}" + (f" and {len(value) - SHOWN} more" if len(value) > SHOWN else "")
        case Duration():
            return f" {value.count} {UNITS[value.unit]}{'' if value.count == 1 else 's'}"
        case Circle():
            return f" {value_json(value.km)} km of {value_json(value.latitude)}, {value_json(value.longitude)}"
        case Point():
            return f" {value_json(value.latitude)}, {value_json(value.longitude)}"
        case bool():
            return " true" if value else " false"
        case str():
            return f' "{value}"'
    return f" {value_json(value)}"
