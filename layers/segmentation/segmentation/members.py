"""Who is in a segment, and which segments a customer is in: reads of the table, nothing computed."""

from datetime import datetime
from typing import Literal

from segmentation.models.segments import (
    CustomerSegment,
    CustomerSegmentList,
    Member,
    MemberList,
)
from segmentation.store import keys, memberships, segments
from segmentation.store.memberships import Membership
from segmentation.store.store import Store

Which = Literal["members", "included", "excluded"]
_PREFIX = {"members": keys.MEMBER_PREFIX, "included": keys.INCLUDE_PREFIX, "excluded": keys.EXCLUDE_PREFIX}


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


def list_customer_segments(
    store: Store, customer_id: str, limit: int, token: str | None, at: datetime
) -> CustomerSegmentList:
    """Segments that a customer is in, in one request. A customer whom nobody knows is in none."""
    found, more = memberships.page_of_customer(store.table, customer_id, limit, token, at)
    return CustomerSegmentList(customerId=customer_id, items=[customer_segment(m) for m in found], nextToken=more)


def customer_segment(membership: Membership) -> CustomerSegment:
    """A membership as a customer's list shows it."""
    return CustomerSegment(
        segmentId=membership.segment_id,
        since=membership.since,
        source=membership.source,
        legalEntityId=membership.legal_entity_id or None,
    )
