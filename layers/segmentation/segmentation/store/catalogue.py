"""The attribute catalogue in the table: which names data has brought, of which kind, and what the last run measured of
them.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from segmentation.engine.catalogue import (
    FEATURES,
    ORDER_EVENTS,
    ORDER_FIELDS,
    Catalogue,
    Kind,
    is_computed,
    scores_of,
)
from segmentation.store import keys, scorers
from segmentation.store.table import ABSENT, ConditionFailed, Item, Table


def items(table: Table) -> list[Item]:
    """Everything the catalogue holds: items with `name, kind, event?, statistics?`."""
    return list(table.query(keys.CATALOGUE))


def load(table: Table, segments: Iterable[str] = ()) -> Catalogue:
    """What rules may use: attributes and features, events with their fields, and the given segments."""
    return from_items(items(table), segments)


def from_items(found: Iterable[Item], segments: Iterable[str] = ()) -> Catalogue:
    """The catalogue that these items describe."""
    attributes: dict[str, Kind] = dict(FEATURES)
    events: dict[str, dict[str, Kind]] = {event: dict(ORDER_FIELDS) for event in ORDER_EVENTS}
    found = list(found)
    for item in found:
        if item.get("feature") or "slot" in item:
            continue
        if "event" not in item:
            attributes[item["name"]] = Kind(item["kind"])
            continue
        # Extra columns of order files are fields of every view of the order lines.
        for event in ORDER_EVENTS if item["event"] == "order" else (item["event"],):
            fields = events.setdefault(event, {})
            if item["name"]:
                fields[item["name"]] = Kind(item["kind"])
    for scorer in scorers.usable(found, attributes):
        attributes.update(scores_of(scorer.kind, scorer.model_id))
    return Catalogue(attributes, events, frozenset(segments))


def add_attributes(table: Table, kinds: Mapping[str, Kind]) -> None:
    """Enter attributes that are new; one that is known keeps its kind."""
    for name, kind in kinds.items():
        _add(table, {**keys.attribute(name), "name": name, "kind": kind.value})


def add_event_fields(table: Table, event: str, kinds: Mapping[str, Kind]) -> None:
    """Enter an event with its fields; what is known keeps its kind."""
    _add(table, {**keys.event_field(event, ""), "event": event, "name": "", "kind": ""})
    for name, kind in kinds.items():
        _add(table, {**keys.event_field(event, name), "event": event, "name": name, "kind": kind.value})


def put_statistics(table: Table, statistics: Mapping[str, Any], at: str) -> None:
    """Keep what a run measured of the attributes that the catalogue has, of the features and of models' scores."""
    found = items(table)
    for item in found:
        if "event" not in item and item.get("name") in statistics and not item.get("feature"):
            measured = {"statistics": _text(statistics[item["name"]]), "measuredAt": at}
            table.update({"PK": item["PK"], "SK": item["SK"]}, set=measured)
    table.batch_write(
        {
            **keys.feature(name),
            "name": name,
            "kind": kind.value,
            "feature": True,
            "statistics": _text(statistics[name]),
            "measuredAt": at,
        }
        for name, kind in from_items(found).attributes.items()
        if is_computed(name) and name in statistics
    )


def statistics_of(item: Item) -> Any:
    """What a run measured of an attribute or feature; None before the first one."""
    return json.loads(item["statistics"]) if "statistics" in item else None


def _text(statistics: Any) -> str:
    """As text: numbers of data may lie outside what the table's own numbers can hold."""
    return json.dumps(statistics, separators=(",", ":"), ensure_ascii=False)


def _add(table: Table, item: Item) -> None:
    try:
        table.put(item, ABSENT)
    except ConditionFailed:
        return
