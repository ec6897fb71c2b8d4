"""What changed: entries and exits of a customer or of a segment in a range of time, and what instants are called.

Nothing is told of a person who was erased: the records go with the erasure, and until it has ended they are left out.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from segmentation.errors import FieldError, InvalidInput
from segmentation.models.common import FIRST_YEAR, LAST_YEAR, iso
from segmentation.models.history import CustomerHistory, DayCount, HistoryItem, SegmentHistory
from segmentation.store import cursor, customers, history, keys, segments
from segmentation.store.history import Position, Record, Span
from segmentation.store.store import Store

QUERIES_A_PAGE = 60
"""Days, or pieces of a large day, that one page looks into: a page may be short, or empty, and still have a token."""

_RECORDS_A_QUERY = 2500
"""About what one query can carry."""

_MOMENT = timedelta(microseconds=1)
_Pages = Iterable[tuple[list[Record], Position | None]]


def of_customer(
    store: Store, customer_id: str, begin: str | None, end: str | None, order: str, limit: int, token: str | None
) -> CustomerHistory:
    """Entries and exits of a customer in a range of time; of one whom nobody knows there are none.

    Raises InvalidInput.
    """
    span = _span(begin, end)
    scope = f"{keys.history_prefix(customer_id)}#HISTORY#{begin}#{end}#{order}"
    position = cursor.decode(scope, token)
    found, more = history.page_of_customer(store.table, customer_id, span, limit, position, order == "desc")
    items = _told(store, found)
    return CustomerHistory(customerId=customer_id, items=items, nextToken=cursor.encode(scope, more))


def of_segment(
    store: Store,
    segment_id: str,
    begin: str | None,
    end: str | None,
    by: str,
    order: str,
    limit: int,
    token: str | None,
    at: datetime,
) -> SegmentHistory:
    """Entries and exits of a segment in a range of time, or how many there were each day.

    Raises NotFound, InvalidInput.
    """
    created = segments.get(store.table, segment_id, at).createdAt
    asked = _span(begin, end)
    # Before the segment was created and from now on there is nothing to look for.
    span = Span(max(asked.begin, iso(created)), min(asked.end, iso(at + _MOMENT)))
    scope = f"{keys.segment(segment_id)['PK']}#HISTORY#{by}#{begin}#{end}#{order}"
    position = cursor.decode(scope, token)
    if span.begin >= span.end:
        return SegmentHistory(segmentId=segment_id, recordedSince=created)
    size = limit if by == "change" else _RECORDS_A_QUERY
    pages = islice(
        history.pages_of_segment(store.table, segment_id, span, size, position, order == "desc"), QUERIES_A_PAGE
    )
    if by == "day":
        days, more = _counted(pages, limit)
        items: list[HistoryItem] = []
    else:
        days = []
        found, more = _gathered(pages, limit)
        items = _told(store, found)
    return SegmentHistory(
        segmentId=segment_id, recordedSince=created, items=items, days=days, nextToken=cursor.encode(scope, more)
    )


def past_instant(text: str, at: datetime, field: str = "asOf") -> datetime:
    """The instant that is meant by an instant or a day: of a day its end in UTC, of today now.

    Raises InvalidInput for what is neither, and for the future.
    """
    meant = _parsed(text, field)
    is_day = not isinstance(meant, datetime)
    instant = datetime.combine(meant, time.max, UTC) if not isinstance(meant, datetime) else meant
    if is_day and meant == at.astimezone(UTC).date():
        return at
    if instant > at:
        message = f"{text!r} is in the future; now it is {iso(at)}"
        raise InvalidInput(message, [FieldError(field, message)])
    return instant


def erasing(store: Store, customer_ids: Collection[str]) -> set[str]:
    """Those whose erasure is under way."""
    waiting = customers.of_customers(store.table, customer_ids)
    return {profile.customer_id for profile in waiting if profile.attributes is None}


def _span(begin: str | None, end: str | None) -> Span:
    """A range of time, half open; a day stands for its first instant in UTC. Raises InvalidInput."""
    first, last = _bound(begin, "from"), _bound(end, "to")
    if begin and end and first >= last:
        message = f"from {begin!r} is not before to {end!r}"
        raise InvalidInput(message, [FieldError("from", message)])
    return Span(first, last or iso(datetime(LAST_YEAR, 1, 1, tzinfo=UTC)))


def _bound(text: str | None, field: str) -> str:
    if text is None:
        return ""
    meant = _parsed(text, field)
    return iso(meant if isinstance(meant, datetime) else datetime.combine(meant, time.min, UTC))


def _parsed(text: str, field: str) -> datetime | date:
    """A day or an instant; without an offset it is UTC. Raises InvalidInput."""
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            meant: datetime | date = date.fromisoformat(text)
        else:
            found = datetime.fromisoformat(text)
            meant = found if found.tzinfo else found.replace(tzinfo=UTC)
        if FIRST_YEAR < meant.year < LAST_YEAR:
            return meant
    except ValueError:
        pass
    message = (
        f"{text!r} is neither a day such as 2026-05-01 nor an instant such as 2026-05-01T12:00:00Z; in an address the "
        "+ of an offset is written %2B"
    )
    raise InvalidInput(message, [FieldError(field, message)])


def _gathered(pages: _Pages, limit: int) -> tuple[list[Record], Position | None]:
    """At most `limit` changes, and where they end."""
    found: list[Record] = []
    more: Position | None = None
    for records, more in pages:
        room = limit - len(found)
        found += records[:room]
        if len(records) > room:
            more = history.position_behind(found[-1])
        if len(found) == limit or more is None:
            break
    return found, more


def _counted(pages: _Pages, limit: int) -> tuple[list[DayCount], Position | None]:
    """At most `limit` days on which something changed; a day that no page can hold goes on on the next one."""
    days: dict[str, DayCount] = {}
    more: Position | None = None
    for records, more in pages:
        for record in records:
            day = days.setdefault(record.time[:10], DayCount(day=record.time[:10], entered=0, exited=0))
            day.entered += record.entered
            day.exited += not record.entered
        if more is None or (len(days) == limit and "after" not in more):
            break
    return list(days.values()), more


def _told(store: Store, records: Sequence[Record]) -> list[HistoryItem]:
    """The records but for those of people whose erasure is under way: the stream may bring one a moment later."""
    erased = erasing(store, {record.customer_id for record in records})
    return [_item(record) for record in records if record.customer_id not in erased]


def _item(record: Record) -> HistoryItem:
    return HistoryItem(
        customerId=record.customer_id,
        segmentId=record.segment_id,
        change="entered" if record.entered else "exited",
        time=datetime.fromisoformat(record.time),
        cause=record.cause,
        source=record.source,
        legalEntityId=record.legal_entity_id or None,
        jobId=record.job_id,
        segmentVersion=record.segment_version,
        modelVersion=record.model_version,
        movedFrom=record.moved_from,
        movedTo=record.moved_to,
    )
