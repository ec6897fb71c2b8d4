"""The vocabulary: which operator exists for which kind, what value it takes, and what else people call it.

It must not know how an operator is computed.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from segmentation.engine.catalogue import Kind


class Shape(StrEnum):
    """What an operator takes as its value."""

    NOTHING = "no value"
    ONE = "one value"
    MANY = "a list of values"
    RANGE = "two values, the lower first"
    TEXT = "a text that is not empty"
    PATTERN = "a regular expression"
    DAY = "a day"
    SPAN = "a duration"
    DAYS = "a duration in days, weeks, months or years"
    SIZE = "a whole number"
    CIRCLE = "a place and a distance"


ANY: Mapping[str, Shape] = {
    "eq": Shape.ONE,
    "neq": Shape.ONE,
    "in": Shape.MANY,
    "not_in": Shape.MANY,
    "is_set": Shape.NOTHING,
    "is_not_set": Shape.NOTHING,
}

NUMBER: Mapping[str, Shape] = {
    **ANY,
    "gt": Shape.ONE,
    "gte": Shape.ONE,
    "lt": Shape.ONE,
    "lte": Shape.ONE,
    "between": Shape.RANGE,
    "not_between": Shape.RANGE,
}

OPERATORS: Mapping[Kind, Mapping[str, Shape]] = MappingProxyType(
    {
        Kind.STRING: {
            **ANY,
            "contains": Shape.TEXT,
            "not_contains": Shape.TEXT,
            "starts_with": Shape.TEXT,
            "not_starts_with": Shape.TEXT,
            "ends_with": Shape.TEXT,
            "not_ends_with": Shape.TEXT,
            "matches": Shape.PATTERN,
            "not_matches": Shape.PATTERN,
        },
        Kind.NUMBER: NUMBER,
        Kind.DATE: {
            **ANY,
            "before": Shape.ONE,
            "after": Shape.ONE,
            "on_or_before": Shape.ONE,
            "on_or_after": Shape.ONE,
            "on": Shape.DAY,
            "between": Shape.RANGE,
            "not_between": Shape.RANGE,
            "in_last": Shape.SPAN,
            "not_in_last": Shape.SPAN,
            "more_than_ago": Shape.SPAN,
            "in_next": Shape.SPAN,
            "anniversary_in_next": Shape.DAYS,
            "anniversary_in_last": Shape.DAYS,
        },
        Kind.LIST: {
            "eq": Shape.MANY,
            "neq": Shape.MANY,
            "is_set": Shape.NOTHING,
            "is_not_set": Shape.NOTHING,
            "has": Shape.ONE,
            "has_any": Shape.MANY,
            "has_all": Shape.MANY,
            "has_none": Shape.MANY,
            "size_eq": Shape.SIZE,
            "size_gt": Shape.SIZE,
            "size_lt": Shape.SIZE,
        },
        Kind.BOOLEAN: {**ANY, "is_true": Shape.NOTHING, "is_false": Shape.NOTHING},
        Kind.GEO: {**ANY, "within_km": Shape.CIRCLE},
    }
)

NEGATIONS: Mapping[str, str] = MappingProxyType(
    {
        "neq": "eq",
        "not_in": "in",
        "is_not_set": "is_set",
        "not_contains": "contains",
        "not_starts_with": "starts_with",
        "not_ends_with": "ends_with",
        "not_matches": "matches",
        "not_between": "between",
        "not_in_last": "in_last",
        "has_none": "has_any",
    }
)
"""Every negative operator with the positive one whose exact complement it is."""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "=": "eq",
        "==": "eq",
        "===": "eq",
        "is": "eq",
        "equal": "eq",
        "equals": "eq",
        "equal_to": "eq",
        "!=": "neq",
        "!==": "neq",
        "<>": "neq",
        "ne": "neq",
        "is_not": "neq",
        "not_eq": "neq",
        "not_equal": "neq",
        "not_equals": "neq",
        "not_equal_to": "neq",
        ">": "gt",
        "greater_than": "gt",
        "more_than": "gt",
        ">=": "gte",
        "ge": "gte",
        "greater_than_or_equal": "gte",
        "greater_than_or_equals": "gte",
        "greater_than_or_equal_to": "gte",
        "at_least": "gte",
        "<": "lt",
        "less_than": "lt",
        "<=": "lte",
        "le": "lte",
        "less_than_or_equal": "lte",
        "less_than_or_equals": "lte",
        "less_than_or_equal_to": "lte",
        "at_most": "lte",
        "one_of": "in",
        "is_in": "in",
        "is_one_of": "in",
        "none_of": "not_in",
        "is_not_in": "not_in",
        "is_none_of": "not_in",
        "exists": "is_set",
        "is_not_empty": "is_set",
        "not_exists": "is_not_set",
        "is_empty": "is_not_set",
        "does_not_contain": "not_contains",
        "begins_with": "starts_with",
        "does_not_start_with": "not_starts_with",
        "does_not_end_with": "not_ends_with",
        "regex": "matches",
        "not_regex": "not_matches",
        "does_not_match": "not_matches",
        "within_last": "in_last",
        "not_within_last": "not_in_last",
        "within_next": "in_next",
        "older_than": "more_than_ago",
    }
)

KIND_SYNONYMS: Mapping[Kind, Mapping[str, str]] = MappingProxyType(
    {
        Kind.DATE: {"gt": "after", "gte": "on_or_after", "lt": "before", "lte": "on_or_before"},
        Kind.LIST: {
            "contains": "has",
            "in": "has_any",
            "not_in": "has_none",
            "not_contains": "has_none",
            "contains_any": "has_any",
            "contains_all": "has_all",
            "contains_none": "has_none",
        },
    }
)

MEMBERSHIP: Mapping[str, str] = MappingProxyType(
    {
        "member": "member",
        "not_member": "not_member",
        "eq": "member",
        "in": "member",
        "neq": "not_member",
        "not_in": "not_member",
    }
)

AGGREGATES = ("sum", "avg", "min", "max", "distinct")
DAYS_SINCE = ("days_since_last", "days_since_first")


def canonical(operator: str, kind: Kind) -> str:
    """The operator's canonical name for a kind; a name that nobody knows comes back as it was given."""
    word = snake(operator)
    word = SYNONYMS.get(word, word)
    return KIND_SYNONYMS.get(kind, {}).get(word, word)


def membership(operator: str) -> str | None:
    """`member`, `not_member`, or None for a word that means neither."""
    word = snake(operator)
    return MEMBERSHIP.get(SYNONYMS.get(word, word))


def snake(word: str) -> str:
    """`notEquals`, `Not equals` and `not-equals` as `not_equals`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word.strip())
    return re.sub(r"[\s_-]+", "_", spaced).lower()
