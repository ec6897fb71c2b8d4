"""Histories and checkpoints made by hand, over a table and a bucket in memory: what the past is answered from."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa

from segmentation.models.common import iso
from segmentation.store import checkpoints, keys
from segmentation.store.checkpoints import Evaluated, Writing
from segmentation.store.events import Events
from segmentation.store.held import Held, Other
from segmentation.store.store import Store
from segmentation.store.table import Item, Page, Table
from segmentation.store.workflows import Workflows
from support.files import MemoryFiles

START = datetime(2026, 3, 1, tzinfo=UTC)
_numbers = count(1)


class MemoryTable(Table):
    """Items by key; reads by table key or by index, and writes without conditions."""

    def __init__(self) -> None:
        super().__init__(None, "memory")
        self.items: dict[tuple[str, str], Item] = {}

    def put(self, item: Mapping[str, Any], condition: Any = None) -> None:
        self.items[item["PK"], item["SK"]] = {name: value for name, value in item.items() if value is not None}

    def get(self, key: Mapping[str, str], consistent: bool = False) -> Item | None:
        return self.items.get((key["PK"], key["SK"]))

    def update(self, key: Mapping[str, str], set: Any = None, **_: Any) -> Item:
        item = {**(self.get(key) or {}), **key, **set}
        self.put(item)
        return item

    def batch_get(self, keys: Iterable[Mapping[str, str]]) -> list[Item]:
        return [item for item in map(self.get, keys) if item]

    def page(
        self,
        pk: str,
        prefix: str = "",
        *,
        index: str | None = None,
        limit: int | None = None,
        start: Mapping[str, Any] | None = None,
        backwards: bool = False,
        **_: Any,
    ) -> Page:
        names = ("GSI1PK", "GSI1SK", "PK", "SK") if index else ("PK", "SK", "PK", "SK")

        def place(item: Mapping[str, Any]) -> list[str]:
            return [item[name] for name in names]

        found = [i for i in self.items.values() if i.get(names[0]) == pk and i[names[1]].startswith(prefix)]
        found.sort(key=place, reverse=backwards)
        if start:
            found = [i for i in found if (place(i) < place(start) if backwards else place(i) > place(start))]
        more = found[limit - 1] if limit and len(found) > limit else None
        return Page(found[:limit], {name: more[name] for name in names} if more else None)

    def query(
        self, pk: str, prefix: str = "", *, index: str | None = None, backwards: bool = False, **_: Any
    ) -> Iterator[Item]:
        yield from self.page(pk, prefix, index=index, backwards=backwards).items


@dataclass(frozen=True)
class Happening:
    """Somebody entered a segment or left it."""

    at: datetime
    segment_id: str
    customer_id: str
    entered: bool
    legal_entity_id: str = ""


def memory(partitions: int = 1) -> Store:
    """A store in memory, without anything in it."""
    return Store(MemoryTable(), MemoryFiles(), Workflows(None, {}), Events(None, ""), partitions)


def segment(store: Store, segment_id: str, created: datetime = START, ends: datetime | None = None) -> None:
    """A segment and its first version, as far as the past asks for them."""
    item = {
        "segmentId": segment_id,
        "segmentName": segment_id.title(),
        "kind": "manual",
        "criteria": "[]",
        "version": 1,
        "createdAt": iso(created),
        "updatedAt": iso(created),
        "validity": {"endsAt": iso(ends)} if ends else None,
        "state": "active",
    }
    store.table.put({**item, **keys.segment(segment_id), **keys.segment_index(segment_id, "")})
    store.table.put({**item, **keys.segment_version(segment_id, 1)})


def remember(store: Store, happenings: Iterable[Happening]) -> None:
    """Write the history."""
    for h in happenings:
        verb = "entered" if h.entered else "exited"
        store.table.put(
            {
                **keys.history(h.customer_id, iso(h.at), h.segment_id, h.legal_entity_id, verb),
                **keys.history_index(h.segment_id, iso(h.at), h.customer_id),
                "customerId": h.customer_id,
                "segmentId": h.segment_id,
                "legalEntityId": h.legal_entity_id or None,
                "change": verb,
                "time": iso(h.at),
                "cause": "rule",
                "source": "rule",
            }
        )


def members(happenings: Iterable[Happening], at: datetime) -> set[tuple[str, str, str]]:
    """Replayed from the beginning: (segment, customer, legal entity) of everybody who is in at the instant."""
    inside: set[tuple[str, str, str]] = set()
    for h in sorted((h for h in happenings if h.at <= at), key=lambda h: h.at):
        (inside.add if h.entered else inside.discard)((h.segment_id, h.customer_id, h.legal_entity_id))
    return inside


def checkpoint(
    store: Store, partition: int, started: datetime, segments: Iterable[str], inside: Collection[tuple[str, str, str]]
) -> None:
    """Keep who is in, as an evaluation that began at the instant does."""
    mine = [m for m in inside if keys.partition_of(m[1], store.partitions) == partition]
    ids = sorted({customer_id for _, customer_id, _ in mine})
    known = {}
    for segment_id in segments:
        sources = np.array([(segment_id, customer_id, "") in inside for customer_id in ids], dtype=np.int8)
        others = {(c, e): Other(2, None) for s, c, e in mine if s == segment_id and e}
        known[segment_id] = (Evaluated(1), Held(sources, None, others))
    found = checkpoints.made(partition, started, pa.array(ids, pa.string()), known)
    writing = Writing(partition, "token", next(_numbers), iso(started), False, None)
    checkpoints.publish(store.table, store.files, writing, found)


def minutes(number: float) -> datetime:
    """An instant so long after the first one."""
    return START + timedelta(minutes=number)
