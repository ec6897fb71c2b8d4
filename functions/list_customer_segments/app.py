"""GET /customers/{customerId}/segments: the segments that a customer is in."""

from segmentation import members
from segmentation.models.common import CustomerPath, Limit, NextToken
from segmentation.models.segments import CustomerSegmentList
from segmentation.runtime import STOREFRONT, Api, now, store

api = Api()


@api.get("/customers/{customerId}/segments", permission=STOREFRONT)
def list_customer_segments(
    customerId: CustomerPath, limit: Limit = 100, nextToken: NextToken = None
) -> CustomerSegmentList:
    """List the segments that a customer is in now."""
    return members.list_customer_segments(store(), customerId, limit, nextToken, now())


handler = api.handler
