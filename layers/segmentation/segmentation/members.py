"""Who is in a segment, and which segments a customer is in, now or at an instant of the past: reads of what is kept."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from segmentation.errors import FieldError, InvalidInput
from segmentation.histories import erasing, past_instant
from segmentation.models.common import iso
from segmentation.models.segments import (
    CustomerSegment,
    CustomerSegmentList,
    ListedSegment,
    Member,
    MemberList,
)
from segmentation.store import cursor, history, keys, memberships, segments
from segmentation.store.history import Record
from segmentation.store.memberships import Membership
from segmentation.store.store import Store

PARTITIONS_A_PAGE = 16
"""Partitions whose checkpoints one page of the past reads at the most."""

Which = Literal["members", "included", "excluded"]
_PREFIX = {"members": keys.MEMBER_PREFIX, "included": keys.INCLUDE_PREFIX, "excluded": keys.EXCLUDE_PREFIX}

_Pair = tuple[str, str]
"""Segment id and legal entity id (empty for none)."""


def list_members(
    store: Store, segment_id: str, which: Which, limit: int, token: str | None, at: datetime
) -> MemberList:
    """Members of a segment, or the customers that somebody included or excluded. Raises NotFound."""
    segments.get(store.table, segment_id, at)
    found, more = memberships.page_of_segment(
        store.table, segment_id, store.partitions, limit, token, at, _PREFIX[which]
    )
    items = [
        Member(customerId=m.customer_id, since=m.since, source=m.source, legalEntityId=m.legal_entity_id or None)
        for m in found
    ]
    return MemberList(items=items, nextToken=more)


def list_members_at(
    store: Store, segment_id: str, which: Which, as_of: str | None, limit: int, token: str | None, at: datetime
) -> MemberList:
    """The same, or the members as of an instant of the past. Raises NotFound, InvalidInput."""
    if as_of is None:
        return list_members(store, segment_id, which, limit, token, at)
    if which != "members":
        message = f"asOf cannot be combined with list={which}: only members are known of the past"
        raise InvalidInput(message, [FieldError("asOf", message)])
    return _members_at(store, segment_id, as_of, limit, token, at)


def list_customer_segments(
    store: Store, customer_id: str, limit: int, token: str | None, at: datetime
) -> CustomerSegmentList:
    """Segments that a customer is in, in one request. A customer whom nobody knows is in none."""
    found, more = memberships.page_of_customer(store.table, customer_id, limit, token, at)
    items = [ListedSegment(**customer_segment(m).model_dump()) for m in found]
    return CustomerSegmentList(customerId=customer_id, items=items, nextToken=more)


def list_customer_segments_at(
    store: Store, customer_id: str, as_of: str | None, limit: int, token: str | None, at: datetime
) -> CustomerSegmentList:
    """The same, or the segments that the customer was in as of an instant of the past. Raises InvalidInput."""
    if as_of is None:
        return list_customer_segments(store, customer_id, limit, token, at)
    return _segments_at(store, customer_id, as_of, limit, token, at)


def customer_segment(membership: Membership) -> CustomerSegment:
    """A membership as a customer's list shows it."""
    return CustomerSegment(
        segmentId=membership.segment_id,
        since=membership.since,
        source=membership.source,
        legalEntityId=membership.legal_entity_id or None,
    )


def _members_at(store: Store, segment_id: str, as_of: str, limit: int, token: str | None, at: datetime) -> MemberList:
    """Who was in a segment at an instant, partition after partition."""
    # Arrow takes a third of a second to load; who asks for today's members must not pay for it.
    from segmentation.timeline import Timeline

    created = segments.get(store.table, segment_id, at).createdAt
    scope = f"{keys.segment(segment_id)['PK']}#MEMBERS#{as_of}"
    # A day that has not ended is asked for as of the first page's now, on every page.
    position = cursor.decode(scope, token) or {"at": iso(past_instant(as_of, at)), "partition": 0, "after": ""}
    partition, after = position.get("partition"), position.get("after")
    if not isinstance(partition, int) or partition < 0 or not isinstance(after, str):
        raise cursor.refused(token)
    instant = past_instant(str(position.get("at")), at)
    if instant < created:
        message = f"{as_of!r} is before the records of segment {segment_id!r} begin, at {iso(created)}"
        raise InvalidInput(message, [FieldError("asOf", message)])
    batch = range(partition, min(partition + PARTITIONS_A_PAGE, store.partitions))
    timeline = Timeline(store, [segment_id], [instant], batch)
    found: list[str] = []
    while partition in batch and len(found) < limit:
        ids, masks = timeline.partition(partition)
        inside = zip(ids, masks[0, 0].tolist(), strict=True)
        rest = [customer_id for customer_id, is_member in inside if is_member and customer_id > after]
        taken = rest[: limit - len(found)]
        found += taken
        partition, after = (partition + 1, "") if len(taken) == len(rest) else (partition, taken[-1])
    more = {"at": iso(instant), "partition": partition, "after": after} if partition < store.partitions else None
    return MemberList(
        items=[Member(customerId=customer_id) for customer_id in found],
        nextToken=cursor.encode(scope, more),
        asOf=instant,
        recordedSince=created,
    )


def _segments_at(
    store: Store, customer_id: str, as_of: str, limit: int, token: str | None, at: datetime
) -> CustomerSegmentList:
    """Which segments a customer was in at an instant, in order of their ids."""
    scope = f"{keys.history_prefix(customer_id)}#SEGMENTS#{as_of}"
    position = cursor.decode(scope, token) or {"at": iso(past_instant(as_of, at)), "after": ["", ""]}
    after = position.get("after")
    if not isinstance(after, list) or len(after) != 2 or not all(isinstance(part, str) for part in after):
        raise cursor.refused(token)
    instant = past_instant(str(position.get("at")), at)
    if erasing(store, [customer_id]):
        return CustomerSegmentList(customerId=customer_id, asOf=instant, items=[])
    records = list(history.of_customer(store.table, customer_id))
    states = memberships.states_of_customer(store.table, customer_id).values()
    now = {(m.segment_id, m.legal_entity_id): m for state in states for m in state.members.values()}
    inside = _replayed(store, customer_id, records, now, iso(instant))
    rest = [pair for pair in sorted(inside) if pair > (after[0], after[1])]
    shown = [pair for pair in rest[:limit] if _could_have_members(store, pair[0], iso(instant))]
    names = _names(store, {segment_id for segment_id, _ in shown})
    first = min([*(record.time for record in records[:1]), *(m.since for m in now.values())], default=None)
    more = {"at": iso(instant), "after": list(rest[limit - 1])} if len(rest) > limit else None
    return CustomerSegmentList(
        customerId=customer_id,
        asOf=instant,
        recordedSince=datetime.fromisoformat(first) if first else None,
        items=[
            ListedSegment(
                segmentId=segment_id,
                segmentName=names.get(segment_id),
                since=datetime.fromisoformat(inside[segment_id, entity][0]),
                source=inside[segment_id, entity][1],
                legalEntityId=entity or None,
            )
            for segment_id, entity in shown
        ],
        nextToken=cursor.encode(scope, more),
    )


def _replayed(
    store: Store, customer_id: str, records: Iterable[Record], now: Mapping[_Pair, Membership], instant: str
) -> dict[_Pair, tuple[str, str]]:
    """Since when and from which source the customer was in segments at the instant.

    The stream writes the history some seconds late: what the table says of now and the history does not yet counts.
    """
    inside: dict[_Pair, tuple[str, str]] = {}
    last: dict[_Pair, Record] = {}
    for record in history.effective(records):
        pair = (record.segment_id, record.legal_entity_id)
        last[pair] = record
        if record.time <= instant and record.entered:
            inside[pair] = (record.time, record.source)
        elif record.time <= instant:
            inside.pop(pair, None)
    for pair, member in now.items():
        if member.since <= instant and (pair not in last or last[pair].time < member.since):
            inside[pair] = (member.since, member.source)
    unsure = [pair for pair, record in last.items() if record.entered and pair in inside and pair not in now]
    for pair, left in history.left_of_late(store.table, customer_id, unsure, store.partitions).items():
        if last[pair].time < left <= instant:
            inside.pop(pair, None)
    return inside


def _could_have_members(store: Store, segment_id: str, instant: str) -> bool:
    life = history.life(store.table, segment_id)
    return life is None or life.can_have_members(instant)


def _names(store: Store, segment_ids: Iterable[str]) -> dict[str, str]:
    """Names of the segments that are still there."""
    found = store.table.batch_get([keys.segment(segment_id) for segment_id in sorted(segment_ids)])
    return {item["segmentId"]: item["segmentName"] for item in found}
