"""GET /segments: all segments, or those of one site."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import segments
from segmentation.models.common import Limit, NextToken
from segmentation.models.segments import SegmentList
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/segments")
def list_segments(
    site: Annotated[str | None, Query(max_length=64)] = None, limit: Limit = 100, nextToken: NextToken = None
) -> SegmentList:
    """List segments in order of site and id."""
    return segments.list_segments(store(), site, limit, nextToken, now())


handler = api.handler
