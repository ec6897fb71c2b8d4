"""GET /segments/{segmentId}: one segment, or an earlier version of its definition."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import segments
from segmentation.models.common import SegmentPath
from segmentation.models.segments import Segment
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/segments/{segmentId}")
def get_segment(segmentId: SegmentPath, version: Annotated[int | None, Query(ge=1)] = None) -> Segment:
    """Read a segment with its current count, or the definition that an earlier version had."""
    return segments.get(store(), segmentId, now(), version)


handler = api.handler
