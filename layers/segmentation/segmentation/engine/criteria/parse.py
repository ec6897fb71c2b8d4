"""From criteria as clients send them to a rule: synonyms, coercion, limits, every error with its path.

It must not know columns.
"""

import difflib
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from segmentation.engine.catalogue import FEATURES, Catalogue, Kind
from segmentation.engine.criteria.graph import known_fields
from segmentation.engine.criteria.operators.dates import first
from segmentation.engine.criteria.rule import Rule
from segmentation.engine.criteria.times import Zone, zone
from segmentation.engine.criteria.tree import (
    ROOT,
    Behaviour,
    Condition,
    Group,
    Measure,
    Node,
    Not,
    SegmentIs,
    Value,
    Window,
)
from segmentation.engine.criteria.values import BadValueError, duration, moment, show, value_of
from segmentation.engine.criteria.words import AGGREGATES, DAYS_SINCE, NUMBER, OPERATORS, Shape, canonical, membership
from segmentation.errors import FieldError, InvalidCriteria

MOST_CONDITIONS = 500
DEEPEST = 20
MOST_BYTES = 64 * 1024
MOST_ERRORS = 100
MOST_HINTS = 5
MOST_COMPARED = 2000
LONGEST_HINTED = 64
DEEPEST_JSON = 200
"""No value within the limits nests deeper; beyond it the text is not even measured."""

FORMS = ("all", "any", "not", "attribute", "event", "segment")
NUMBERS_ONLY = ("sum", "avg", "min", "max")
COUNTABLE = (Kind.STRING, Kind.NUMBER, Kind.DATE, Kind.BOOLEAN)


def parse(raw: object, catalogue: Catalogue, segment_id: str | None = None, time_zone: str = "UTC") -> Rule:
    """Compile criteria.

    Parameters
    ----------
    raw
        A JSON value: a list (all of it must hold) or one node.
    catalogue
        The names that may be used, with their kinds.
    segment_id
        The segment that the rule is for: it cannot ask about itself.
    time_zone
        IANA name; days begin at its midnight.

    Raises
    ------
    InvalidCriteria
        With an error for everything that is wrong, each with the path of the field.
    """
    place = _zone(time_zone)
    size = _bytes(raw)
    if size > MOST_BYTES:
        _fail([FieldError(ROOT, f"{size} bytes of criteria exceed the limit of {MOST_BYTES}")])
    parser = _Parser(catalogue, segment_id, place)
    root = parser.top(raw)
    if parser.errors or root is None:
        _fail(parser.errors)
        raise AssertionError("unreachable")
    return Rule(root, place.name)


def _fail(errors: list[FieldError]) -> None:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise InvalidCriteria(f"{errors[0].field}: {errors[0].message}{more}", errors[:MOST_ERRORS])


def _zone(name: str) -> Zone:
    try:
        return zone(name)
    except (ValueError, OSError, KeyError):
        message = f"unknown time zone {show(name)}; use an IANA name like Europe/Berlin"
        raise InvalidCriteria(message, [FieldError("timeZone", message)]) from None


def _bytes(raw: object) -> int:
    level: list[object] = [raw]
    for _ in range(DEEPEST_JSON):
        level = [child for parent in level for child in _inside(parent)]
        if not level:
            return len(json.dumps(raw, ensure_ascii=False, separators=(",", ":"), default=str).encode(errors="replace"))
    _fail([FieldError(ROOT, f"groups nest deeper than the limit of {DEEPEST}")])
    raise AssertionError("unreachable")


def _inside(parent: object) -> Iterable[object]:
    if isinstance(parent, dict):
        return parent.values()
    return parent if isinstance(parent, list) else ()


class _SkipError(Exception):
    """What is wrong has been noted; this node has no meaning."""


@dataclass
class _Parser:
    catalogue: Catalogue
    segment_id: str | None
    zone: Zone
    errors: list[FieldError] = field(default_factory=list)
    conditions: int = 0

    def top(self, raw: object) -> Node | None:
        try:
            if isinstance(raw, list):
                return self.group("all", raw, ROOT, 1, self.leaf)
            return self.node(raw, ROOT, 0, self.leaf)
        except _SkipError:
            return None

    def note(self, path: str, message: str) -> _SkipError:
        self.errors.append(FieldError(path, message))
        return _SkipError()

    def node(self, raw: object, path: str, depth: int, leaf: "_Leaf") -> Node:
        if not isinstance(raw, dict):
            raise self.note(path, f"a condition is an object, got {show(raw)}")
        forms = [form for form in FORMS if form in raw]
        if len(forms) != 1:
            got = " and ".join(forms) if forms else show(sorted(map(str, raw)))
            raise self.note(path, f"a condition has exactly one of {', '.join(FORMS)}; got {got}")
        (form,) = forms
        if form not in ("all", "any", "not"):
            self.conditions += 1
            if self.conditions == MOST_CONDITIONS + 1:
                self.note(path, f"more conditions than the limit of {MOST_CONDITIONS}")
            if self.conditions > MOST_CONDITIONS:
                raise _SkipError
            return leaf(raw, form, path)
        self.only(raw, path, (form,))
        if form == "not":
            self.descend(path, depth + 1)
            return Not(self.node(raw[form], f"{path}.not", depth + 1, leaf))
        return self.group(form, raw[form], f"{path}.{form}", depth + 1, leaf)

    def group(self, form: str, raw: object, path: str, depth: int, leaf: "_Leaf") -> Group:
        self.descend(path, depth)
        if not isinstance(raw, list):
            raise self.note(path, f"needs a list of conditions, got {show(raw)}")
        if not raw:
            raise self.note(path, "needs at least one condition, got an empty list")
        children = []
        for position, part in enumerate(raw):
            try:
                children.append(self.node(part, f"{path}[{position}]", depth, leaf))
            except _SkipError:
                continue
        if len(children) < len(raw):
            raise _SkipError
        return Group(form, tuple(children))

    def descend(self, path: str, depth: int) -> None:
        if depth > DEEPEST:
            raise self.note(path, f"groups nest deeper than the limit of {DEEPEST}")

    def hint(self, name: str, known: Iterable[str]) -> str:
        """The nearest names that are known, or some of them. It is slow to find them: only the first errors get it."""
        if len(self.errors) >= MOST_HINTS:
            return ""
        names = sorted(known)
        near = difflib.get_close_matches("".join(name.split())[:LONGEST_HINTED], names[:MOST_COMPARED], n=3)
        if near:
            return f"; did you mean {', '.join(near)}?"
        return f"; known are {', '.join(names[:10])}{' ...' if len(names) > 10 else ''}" if names else "; none is known"

    def only(self, raw: Mapping[str, object], path: str, known: tuple[str, ...]) -> None:
        for name in raw:
            if name not in known:
                self.note(f"{path}.{name}", f"unknown field {show(name)}{self.hint(str(name), known)}")

    def leaf(self, raw: Mapping[str, object], form: str, path: str) -> Node:
        match form:
            case "attribute":
                return self.condition(raw, path, {**FEATURES, **self.catalogue.attributes}, "attribute")
            case "segment":
                return self.segment(raw, path)
        return self.behaviour(raw, path)

    def condition(self, raw: Mapping[str, object], path: str, known: Mapping[str, Kind], what: str) -> Condition:
        self.only(raw, path, ("attribute", "operator", "value", "ignoreCase"))
        name = self.name(raw, path, "attribute")
        if name not in known:
            raise self.note(f"{path}.attribute", f"unknown {what} {show(name)}{self.hint(name, known)}")
        kind = known[name]
        operator, value = self.comparison(raw, path, kind, OPERATORS[kind])
        ignore = raw.get("ignoreCase", False)
        if not isinstance(ignore, bool):
            raise self.note(f"{path}.ignoreCase", f"needs true or false, got {show(ignore)}")
        if ignore and kind not in (Kind.STRING, Kind.LIST):
            raise self.note(f"{path}.ignoreCase", f"{show(name)} is a {kind}, only texts have upper and lower case")
        return Condition(name, kind, operator, value, ignore and value is not None and not isinstance(value, float))

    def comparison(
        self, raw: Mapping[str, object], path: str, kind: Kind, known: Mapping[str, Shape]
    ) -> tuple[str, Value]:
        operator = canonical(self.name(raw, path, "operator"), kind)
        if operator not in known:
            message = f"unknown operator {show(raw['operator'])} for a {kind}; it has {', '.join(known)}"
            raise self.note(f"{path}.operator", message)
        shape = known[operator]
        if shape is not Shape.NOTHING and raw.get("value") is None:
            raise self.note(f"{path}.value", f"{operator} needs {shape}")
        try:
            return operator, value_of(raw.get("value"), kind, shape, self.zone)
        except BadValueError as error:
            raise self.note(f"{path}.value", f"{operator} {error}") from None

    def name(self, raw: Mapping[str, object], path: str, key: str) -> str:
        name = raw.get(key)
        if not isinstance(name, str) or not name or len(name) > 256:
            raise self.note(f"{path}.{key}", f"needs a text of 1 to 256 characters, got {show(name)}")
        return unicodedata.normalize("NFC", name)

    def segment(self, raw: Mapping[str, object], path: str) -> SegmentIs:
        self.only(raw, path, ("segment", "operator"))
        segment = self.name(raw, path, "segment")
        operator = membership(self.name(raw, path, "operator"))
        if operator is None:
            raise self.note(f"{path}.operator", f"unknown operator {show(raw['operator'])}; use member or not_member")
        if segment == self.segment_id:
            raise self.note(f"{path}.segment", f"segments ask about each other in a circle: {segment} -> {segment}")
        if segment not in self.catalogue.segments:
            raise self.note(
                f"{path}.segment", f"unknown segment {show(segment)}{self.hint(segment, self.catalogue.segments)}"
            )
        return SegmentIs(segment, operator)

    def behaviour(self, raw: Mapping[str, object], path: str) -> Behaviour:
        self.only(raw, path, ("event", "where", "measure", "within", "from", "to", "operator", "value"))
        event = self.name(raw, path, "event")
        fields = known_fields(self.catalogue, event)
        if fields is None:
            raise self.note(f"{path}.event", f"unknown event {show(event)}{self.hint(event, self.catalogue.events)}")
        before = len(self.errors)
        parts = (
            self.tried(lambda: self.where(raw, path, event, fields)),
            self.tried(lambda: self.measure(raw.get("measure", "count"), f"{path}.measure", event, fields)),
            self.tried(lambda: self.window(raw, path)),
            self.tried(lambda: self.comparison(raw, path, Kind.NUMBER, NUMBER)),
        )
        where, measure, window, comparison = parts
        if len(self.errors) > before or measure is None or window is None or comparison is None:
            raise _SkipError
        used = {measure.field} if measure.field else set()
        used.update(leaf.attribute for leaf in _leaves(where))
        kinds = tuple((name, fields[name]) for name in sorted(used))
        return Behaviour(event, measure, window, *comparison, where, kinds)

    def tried[T](self, parse_part: Callable[[], T]) -> T | None:
        """A part of a condition; the others are looked at even where this one is wrong."""
        try:
            return parse_part()
        except _SkipError:
            return None

    def where(self, raw: Mapping[str, object], path: str, event: str, fields: Mapping[str, Kind]) -> Node | None:
        conditions, path = raw.get("where"), f"{path}.where"
        if conditions is None or conditions == []:
            return None

        def leaf(raw: Mapping[str, object], form: str, path: str) -> Node:
            if form != "attribute":
                raise self.note(path, f"only fields of event {show(event)} can be asked about here, got {form}")
            return self.condition(raw, path, fields, f"field of event {show(event)}:")

        if isinstance(conditions, list):
            return self.group("all", conditions, path, 1, leaf)
        return self.node(conditions, path, 0, leaf)

    def measure(self, raw: object, path: str, event: str, fields: Mapping[str, Kind]) -> Measure:
        if isinstance(raw, str) and raw in ("count", *DAYS_SINCE):
            return Measure(raw)
        if not isinstance(raw, dict) or len(raw) != 1 or next(iter(raw)) not in AGGREGATES:
            listed = ", ".join(f'{{"{function}": field}}' for function in AGGREGATES)
            raise self.note(path, f"needs one of count, {', '.join(DAYS_SINCE)}, {listed}; got {show(raw)}")
        ((function, name),) = raw.items()
        if not isinstance(name, str) or name not in fields:
            raise self.note(path, f"unknown field of event {show(event)}: {show(name)}{self.hint(str(name), fields)}")
        if function in NUMBERS_ONLY and fields[name] is not Kind.NUMBER:
            raise self.note(path, f"{function} needs a number, {show(name)} is a {fields[name]}")
        if function == "distinct" and fields[name] not in COUNTABLE:
            raise self.note(path, f"distinct cannot count {show(name)}, which is a {fields[name]}")
        return Measure(function, name)

    def window(self, raw: Mapping[str, object], path: str) -> Window:
        within, start, end = (raw.get(key) for key in ("within", "from", "to"))
        if within is not None:
            if start is not None or end is not None:
                raise self.note(f"{path}.within", "has either within, or from and to, not both")
            return Window(within=self.part(lambda: duration(within), f"{path}.within"))
        begins = None if start is None else self.part(lambda: moment(start, self.zone), f"{path}.from")
        ends = None if end is None else self.part(lambda: moment(end, self.zone), f"{path}.to")
        if begins is not None and ends is not None and self._begin(begins) >= self._begin(ends):
            raise self.note(f"{path}.to", f"needs an end after {show(start)}, got {show(end)}")
        return Window(start=begins, end=ends)

    def part[T](self, read: Callable[[], T], path: str) -> T:
        try:
            return read()
        except BadValueError as error:
            raise self.note(path, str(error)) from None

    def _begin(self, when: date) -> int:
        return first(when, self.zone)


_Leaf = Callable[[Mapping[str, object], str, str], Node]


def _leaves(node: Node | None) -> Iterable[Condition]:
    match node:
        case Condition():
            yield node
        case Group():
            for child in node.children:
                yield from _leaves(child)
        case Not():
            yield from _leaves(node.child)
