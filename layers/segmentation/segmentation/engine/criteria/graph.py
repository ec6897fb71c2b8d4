"""What rules need of each other and of the catalogue."""

from collections.abc import Mapping

from segmentation.engine.catalogue import (
    FEATURES,
    ORDER_EVENTS,
    ORDER_FIELDS,
    Catalogue,
    Kind,
)
from segmentation.engine.criteria.rule import Rule
from segmentation.errors import FieldError, InvalidCriteria


def order(rules: Mapping[str, Rule | None]) -> list[str]:
    """The segments, each after those that its rule asks about; otherwise in the order given.

    Raises
    ------
    InvalidCriteria
        Segments ask about each other in a circle (the message names it), or about one that is not among `rules`.
    """
    needs = {segment: sorted(rule.segments) if rule else [] for segment, rule in rules.items()}
    done: dict[str, None] = {}
    for segment in rules:
        _visit(segment, needs, done)
    return list(done)


def _visit(segment: str, needs: Mapping[str, list[str]], done: dict[str, None]) -> None:
    """Depth first with a list for the stack: chains of segments can be longer than Python's own."""
    trail: dict[str, int] = {}
    stack = [segment]
    while stack:
        top = stack[-1]
        if top in done:
            stack.pop()
            continue
        position = trail.setdefault(top, 0)
        if position == len(needs[top]):
            done[top] = None
            del trail[top]
            stack.pop()
            continue
        trail[top] += 1
        needed = needs[top][position]
        if needed not in needs:
            raise InvalidCriteria(f"segment {top!r} asks about segment {needed!r}, which does not exist")
        if needed in trail:
            names = list(trail)
            circle = " -> ".join([*names[names.index(needed) :], needed])
            message = f"segments ask about each other in a circle: {circle}"
            raise InvalidCriteria(message, [FieldError("criteria", message)])
        stack.append(needed)


def missing_names(rule: Rule, catalogue: Catalogue) -> list[str]:
    """What a rule uses that the catalogue no longer has, or has as another kind; each in words, sorted."""
    missing = _missing("attribute", rule.attributes, {**FEATURES, **catalogue.attributes})
    for event, fields in rule.events.items():
        known = known_fields(catalogue, event)
        if known is None:
            missing.append(f"event {event!r}")
        else:
            missing.extend(_missing(f"field of event {event!r}", fields, known))
    missing.extend(f"segment {segment!r}" for segment in rule.segments - catalogue.segments)
    return sorted(missing)


def known_fields(catalogue: Catalogue, event: str) -> Mapping[str, Kind] | None:
    """The fields of an event; None where there is no such event. Orders have theirs even before the first import."""
    if event in ORDER_EVENTS:
        return {**catalogue.events.get(event, {}), **ORDER_FIELDS}
    return catalogue.events.get(event)


def _missing(what: str, used: Mapping[str, Kind], known: Mapping[str, Kind]) -> list[str]:
    absent = [f"{what} {name!r}" for name in used if name not in known]
    changed = [
        f"{what} {name!r} is now a {known[name]}, the rule takes it for a {kind}"
        for name, kind in used.items()
        if name in known and known[name] is not kind
    ]
    return absent + changed
