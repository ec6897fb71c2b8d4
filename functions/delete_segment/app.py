"""DELETE /segments/{segmentId}: delete a segment with its memberships."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import segments
from segmentation.models.common import IfMatch, SegmentPath
from segmentation.models.segments import Deleted
from segmentation.runtime import Api, now, store

api = Api()


@api.delete("/segments/{segmentId}", status=202)
def delete_segment(segmentId: SegmentPath, force: Annotated[bool, Query()] = False, ifMatch: IfMatch = None) -> Deleted:
    """Delete a segment. One that other rules use needs `force=true`, which pauses those."""
    return segments.delete(store(), segmentId, ifMatch, force, now())


handler = api.handler
