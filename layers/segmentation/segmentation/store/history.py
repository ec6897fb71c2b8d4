"""Entries and exits as what follows the table's stream wrote them: of one customer, of one segment, in order of time.

It must not know what a question about the past looks like.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any

from segmentation.store import cursor, keys
from segmentation.store.table import Item, Page, Table

PREFIX = "HISTORY#"

Position = dict[str, Any]
"""Where a page ended: JSON for a token."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry or exit."""

    customer_id: str
    segment_id: str
    legal_entity_id: str
    entered: bool
    time: str
    cause: str
    source: str
    job_id: str | None = None
    segment_version: int | None = None
    model_version: int | None = None
    moved_from: str | None = None
    moved_to: str | None = None

    @property
    def change(self) -> str:
        return "entered" if self.entered else "exited"


@dataclass(frozen=True)
class Span:
    """Instants from `begin` until before `end`, as text that sorts."""

    begin: str
    end: str

    def __contains__(self, time: str) -> bool:
        return self.begin <= time < self.end


@dataclass(frozen=True)
class Life:
    """When a segment was created, and from which instants on its members leave by themselves (None: never)."""

    created: str
    ends: tuple[tuple[str, str | None], ...]

    def can_have_members(self, time: str) -> bool:
        """Whether anybody can have been a member at the instant: it existed, and its validity had not ended."""
        if time < self.created:
            return False
        end = next((end for since, end in reversed(self.ends) if since <= time), None)
        return end is None or time < end


def life(table: Table, segment_id: str) -> Life | None:
    """What the versions of a segment say; None for one that is gone."""
    versions = list(table.query(keys.segment(segment_id)["PK"], keys.SEGMENT_VERSION_PREFIX))
    if not versions:
        return None
    ends = tuple((item["updatedAt"], (item.get("validity") or {}).get("endsAt")) for item in versions)
    return Life(versions[0]["createdAt"], ends)


def of_customer(table: Table, customer_id: str) -> Iterator[Record]:
    """All records of a customer, oldest first."""
    return map(_record, table.query(keys.history_prefix(customer_id), PREFIX))


def of_day(table: Table, segment_id: str, day: str) -> Iterator[Record]:
    """All records of a segment on a day (UTC), oldest first."""
    return map(_record, table.query(_day_key(segment_id, day), index=keys.GSI1))


def effective(records: Iterable[Record]) -> Iterator[Record]:
    """The records that changed something.

    Whoever entered and left at one instant, in whichever order, is afterwards what they were before.
    """
    for _, same in groupby(records, key=lambda r: (r.time, r.customer_id, r.segment_id)):
        # The index has no order among records of one instant and customer.
        together: dict[str, list[Record]] = {}
        for record in same:
            together.setdefault(record.legal_entity_id, []).append(record)
        yield from (found[0] for found in together.values() if len(found) == 1)


def page_of_customer(
    table: Table, customer_id: str, span: Span, size: int, position: Position | None, backwards: bool
) -> tuple[list[Record], Position | None]:
    """At most `size` records of a customer in the span, and where they end if there may be more.

    Raises InvalidInput for a position that none of its answers had.
    """
    pk = keys.history_prefix(customer_id)
    # A start key need not exist: reading goes on behind the place where it would be.
    after = f"{PREFIX}{span.end if backwards else span.begin}"
    if position is not None:
        after = position.get("after", "")
        if not isinstance(after, str) or not after.startswith(PREFIX):
            raise cursor.refused(str(position))
    page = table.page(pk, PREFIX, limit=size, start={"PK": pk, "SK": after}, backwards=backwards)
    records, ended = _inside(page, span)
    return records, None if ended else {"after": page.items[-1]["SK"]}


def pages_of_segment(
    table: Table, segment_id: str, span: Span, size: int, position: Position | None, backwards: bool
) -> Iterator[tuple[list[Record], Position | None]]:
    """The records of a segment in the span, one query at a time, each with the position behind it (None: the end).

    A query whose day has no records gives an empty list. Raises InvalidInput for a position that none of its answers
    had.
    """
    first, last = date.fromisoformat(span.begin[:10]), date.fromisoformat(span.end[:10])
    if backwards:
        first, last = last, first
    day = first
    after: Mapping[str, str] | None = _edge(segment_id, span.end if backwards else span.begin)
    if position is not None:
        day, after = _checked(segment_id, position, min(first, last), max(first, last))
    step = timedelta(days=-1 if backwards else 1)
    while True:
        pk = _day_key(segment_id, day.isoformat())
        page = table.page(pk, index=keys.GSI1, limit=size, start=after, backwards=backwards)
        records, ended = _inside(page, span)
        if not ended:
            after = {name: page.items[-1][name] for name in ("PK", "SK", "GSI1PK", "GSI1SK")}
            yield records, position_behind(records[-1])
            continue
        if day == last:
            yield records, None
            return
        day, after = day + step, None
        yield records, {"day": day.isoformat()}


def position_behind(record: Record) -> Position:
    """The position in a segment's history right behind a record."""
    return {
        "day": record.time[:10],
        "after": [record.time, record.customer_id, record.legal_entity_id, record.change],
    }


def left_of_late(
    table: Table, customer_id: str, pairs: Iterable[tuple[str, str]], partitions: int
) -> dict[tuple[str, str], str]:
    """When a customer left segments, by (segment, legal entity), as far as the table remembers it without a record."""
    partition = keys.partition_of(customer_id, partitions)
    found = table.batch_get([keys.membership(segment, partition, customer_id, entity) for segment, entity in pairs])
    return {(i["segmentId"], i.get("legalEntityId", "")): i["leftAt"] for i in found if "leftAt" in i}


def forget(table: Table, customer_id: str) -> None:
    """Remove the history of a person."""
    pk = keys.history_prefix(customer_id)
    table.batch_write(deletes=[{"PK": i["PK"], "SK": i["SK"]} for i in table.query(pk, PREFIX)])


def _inside(page: Page, span: Span) -> tuple[list[Record], bool]:
    """The records of a page that lie in the span, and whether nothing more of this partition key can."""
    records = [record for record in map(_record, page.items) if record.time in span]
    return records, page.last_key is None or not page.items or len(records) < len(page.items)


def _day_key(segment_id: str, day: str) -> str:
    return keys.history_index(segment_id, day, "")["GSI1PK"]


def _edge(segment_id: str, time: str) -> Mapping[str, str]:
    """A start key before everything of the instant. It need not exist: reading goes on behind its place."""
    return {**keys.history_index(segment_id, time, ""), "PK": keys.history_prefix(""), "SK": PREFIX}


def _checked(segment_id: str, position: Position, first: date, last: date) -> tuple[date, Mapping[str, str] | None]:
    """Day and start key of a position. Raises InvalidInput."""
    shown, after = position.get("day"), position.get("after")
    day = next((d for d in _days(first, last) if d.isoformat() == shown), None)
    if day is None:
        raise cursor.refused(str(position))
    if after is None:
        return day, None
    if not isinstance(after, list) or len(after) != 4 or not all(isinstance(part, str) for part in after):
        raise cursor.refused(str(position))
    time, customer_id, legal_entity_id, change = after
    if time[:10] != shown:
        raise cursor.refused(str(position))
    key = keys.history(customer_id, time, segment_id, legal_entity_id, change)
    return day, {**key, **keys.history_index(segment_id, time, customer_id)}


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _record(item: Item) -> Record:
    return Record(
        item["customerId"],
        item["segmentId"],
        item.get("legalEntityId", ""),
        item["change"] == "entered",
        item["time"],
        item["cause"],
        item["source"],
        item.get("jobId"),
        item.get("segmentVersion"),
        item.get("modelVersion"),
        item.get("movedFrom"),
        item.get("movedTo"),
    )
