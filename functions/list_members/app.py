"""GET /segments/{segmentId}/members: who is in a segment, or was."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import members
from segmentation.models.common import Limit, NextToken, SegmentPath
from segmentation.models.history import AsOf
from segmentation.models.segments import MemberList
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/segments/{segmentId}/members")
def list_members(
    segmentId: SegmentPath,
    which: Annotated[members.Which, Query(alias="list")] = "members",
    asOf: AsOf = None,
    limit: Limit = 100,
    nextToken: NextToken = None,
) -> MemberList:
    """List members, now or as of an instant, or with `list` the customers whom somebody included or excluded."""
    return members.list_members_at(store(), segmentId, which, asOf, limit, nextToken, now())


handler = api.handler
