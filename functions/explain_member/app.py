"""GET /segments/{segmentId}/members/{customerId}/explanation: why a customer is in, or why not."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import assignment
from segmentation.models.common import CustomerPath, Instant, SegmentPath
from segmentation.models.segments import Explanation
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/segments/{segmentId}/members/{customerId}/explanation")
def explain_member(
    segmentId: SegmentPath, customerId: CustomerPath, asOf: Annotated[Instant | None, Query(alias="now")] = None
) -> Explanation:
    """Explain a membership condition by condition, with the customer's values."""
    return assignment.explain(store(), segmentId, customerId, asOf, now())


handler = api.handler
