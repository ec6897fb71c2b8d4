"""POST /segments/{segmentId}/members: make customers members by hand."""

from segmentation import assignment
from segmentation.models.common import SegmentPath
from segmentation.models.segments import AssignCustomers, AssignResult
from segmentation.runtime import Api, now, store

api = Api()


@api.post("/segments/{segmentId}/members")
def assign_customers(segmentId: SegmentPath, request: AssignCustomers) -> AssignResult:
    """Assign customers.

    On a rule segment one who does not match is refused with the condition that failed, unless `override` is set.
    """
    return assignment.assign(store(), segmentId, request, now())


handler = api.handler
