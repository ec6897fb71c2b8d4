"""What follows from a change of membership, whatever caused it: the stream becomes history, counters and events.

Records may come twice. History items are keyed by what happened; a counter remembers the sequence number up to which it
has counted, which is ascending for the items of one partition key.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segmentation.errors import TooBusy
from segmentation.store import history, keys
from segmentation.store.events import Event
from segmentation.store.store import Store
from segmentation.store.table import Condition, ConditionFailed, Item, Table, unmarshal_item

_ATTEMPTS = 6
_BEHIND = ("jobId", "segmentVersion", "modelVersion", "movedFrom", "movedTo")
"""What a history item says of where a change comes from, where it is known."""


@dataclass(frozen=True)
class Change:
    """A customer entered a segment or left it."""

    sequence: int
    partition: int
    entered: bool
    item: Item

    @property
    def segment_id(self) -> str:
        return str(self.item["segmentId"])

    @property
    def time(self) -> str:
        return str(self.item["since"] if self.entered else self.item["leftAt"])


def record(store: Store, records: Iterable[Mapping[str, Any]]) -> int:
    """Write history and counters for a batch of stream records; returns how many changes it held."""
    changes = [change for change in map(_change, records) if change]
    # A person who was erased leaves no trace of having left.
    items = {(i["PK"], i["SK"]): i for i in map(_history, changes) if i["cause"] != "erasure"}
    store.table.batch_write(items.values())
    # What the stream brought after the erasure itself is erased as well.
    for customer_id in {change.item["customerId"] for change in changes if change.item["cause"] == "erasure"}:
        history.forget(store.table, customer_id)
    counted: dict[tuple[str, int], list[Change]] = {}
    for change in changes:
        counted.setdefault((change.segment_id, change.partition), []).append(change)
    for (segment_id, partition), group in counted.items():
        _count(store.table, segment_id, partition, group)
    # Changes of different segments come in any order: in a batch a customer's are told in order of time.
    in_order = sorted(changes, key=lambda change: change.time)
    store.events.put([event for change in in_order for event in _events(change)])
    return len(changes)


def _change(record: Mapping[str, Any]) -> Change | None:
    """The change that a record tells of; None where membership is as before, as when a tombstone expires."""
    stream = record["dynamodb"]
    new = unmarshal_item(stream.get("NewImage") or {})
    old = unmarshal_item(stream.get("OldImage") or {})
    if not (new or old).get("SK", "").startswith(keys.MEMBER_PREFIX):
        return None
    is_member, was_member = _is_member(new), _is_member(old)
    if is_member == was_member:
        return None
    item = new or {**old, "leftAt": old["since"], "cause": "removed"}
    partition = int(item["PK"].rsplit("#", 1)[1])
    return Change(int(stream["SequenceNumber"]), partition, is_member, item)


def _is_member(item: Item) -> bool:
    return bool(item) and "leftAt" not in item


def _history(change: Change) -> Item:
    item = change.item
    verb = "entered" if change.entered else "exited"
    entity = item.get("legalEntityId", "")
    return {
        **keys.history(item["customerId"], change.time, change.segment_id, entity, verb),
        **keys.history_index(change.segment_id, change.time, item["customerId"]),
        "customerId": item["customerId"],
        "segmentId": change.segment_id,
        "legalEntityId": entity or None,
        "change": verb,
        "time": change.time,
        "cause": item["cause"],
        "source": item["source"],
        **{name: item.get(name) for name in _BEHIND},
    }


def _events(change: Change) -> Iterator[Event]:
    """The same change as others hear of it; an id is the same however often it is delivered.

    A customer who goes from one group of a model to another is told of once more, with both.
    """
    told = _history(change)
    fields = ("customerId", "segmentId", "legalEntityId", "time", "cause", "source", *_BEHIND)
    detail = {name: told[name] for name in fields if told[name] is not None}
    kind = "customer.entered_segment" if change.entered else "customer.exited_segment"
    yield Event(kind, {"eventId": _event_id(told), **detail})
    if change.entered and told["movedFrom"]:
        moved = {name: value for name, value in detail.items() if name not in ("segmentId", "movedFrom")}
        both = {"from": told["movedFrom"], "to": change.segment_id}
        yield Event("customer.moved", {"eventId": _event_id(told, "moved"), **both, **moved})


def _event_id(told: Item, kind: str = "") -> str:
    return hashlib.sha256(f"{told['PK']}\n{told['SK']}{kind}".encode()).hexdigest()[:32]


def _count(table: Table, segment_id: str, partition: int, changes: list[Change]) -> None:
    """Add the changes to the segment's counters, those that were not added before."""
    for _ in range(_ATTEMPTS):
        if not changes:
            return
        delta = sum(1 if change.entered else -1 for change in changes)
        first, last = changes[0].sequence, changes[-1].sequence
        current = Condition("createdAt <= :time", {":time": changes[0].time})
        fresh = Condition("attribute_not_exists(appliedThrough) OR appliedThrough < :first", {":first": first})
        try:
            table.transact(
                [
                    table.update_action(
                        keys.count(segment_id, partition),
                        set={"appliedThrough": last},
                        add={"members": delta},
                        condition=fresh,
                    ),
                    table.update_action(keys.segment(segment_id), add={"customerCount": delta}, condition=current),
                ]
            )
        except ConditionFailed as failure:
            counter, segment = failure.reasons
            if segment == "ConditionalCheckFailed":
                # The segment is gone, or another one has its id now: what happened before that is not its own.
                created = (table.get(keys.segment(segment_id), consistent=True) or {}).get("createdAt")
                changes = [change for change in changes if created and change.time >= created]
                continue
            if counter == "ConditionalCheckFailed":
                applied = (table.get(keys.count(segment_id, partition), consistent=True) or {}).get("appliedThrough", 0)
                changes = [change for change in changes if change.sequence > applied]
                continue
            raise
        return
    raise TooBusy(f"the counters of segment {segment_id!r} are contended; the batch is delivered again")
