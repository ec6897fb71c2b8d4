"""DELETE /segments/{segmentId}/members: take customers out by hand."""

from segmentation import assignment
from segmentation.models.common import SegmentPath
from segmentation.models.segments import AssignResult, CustomerIds
from segmentation.runtime import Api, now, store

api = Api()


@api.delete("/segments/{segmentId}/members")
def unassign_customers(segmentId: SegmentPath, request: CustomerIds) -> AssignResult:
    """Unassign customers. One who matches the rule is excluded, so that the next run does not put him back."""
    return assignment.unassign(store(), segmentId, request, now())


handler = api.handler
