"""GET /customers/{customerId}/segments: the segments that a customer is in, or was."""

from segmentation import members
from segmentation.models.common import CustomerPath, Limit, NextToken
from segmentation.models.history import AsOf
from segmentation.models.segments import CustomerSegmentList
from segmentation.runtime import STOREFRONT, Api, now, store

api = Api()


@api.get("/customers/{customerId}/segments", permission=STOREFRONT)
def list_customer_segments(
    customerId: CustomerPath, asOf: AsOf = None, limit: Limit = 100, nextToken: NextToken = None
) -> CustomerSegmentList:
    """List the segments that a customer is in now, or was in as of an instant."""
    return members.list_customer_segments_at(store(), customerId, asOf, limit, nextToken, now())


handler = api.handler
