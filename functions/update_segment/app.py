"""PATCH /segments/{segmentId}: change a segment by a JSON merge patch."""

from segmentation import authoring
from segmentation.models.common import IfMatch, SegmentPath
from segmentation.models.segments import Segment, SegmentPatch
from segmentation.runtime import Api, now, store

api = Api()


@api.patch("/segments/{segmentId}")
def update_segment(segmentId: SegmentPath, patch: SegmentPatch, ifMatch: IfMatch = None) -> Segment:
    """Make the next version of a segment. With `If-Match`, only if that version is still the current one."""
    return authoring.update(store(), segmentId, patch, ifMatch, now())


handler = api.handler
