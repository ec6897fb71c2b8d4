"""GET /customers/{customerId}/history: which segments a customer entered and left, when and why."""

from segmentation import histories
from segmentation.models.common import CustomerPath, Limit, NextToken
from segmentation.models.history import CustomerHistory, From, Order, To
from segmentation.runtime import Api, store

api = Api()


@api.get("/customers/{customerId}/history")
def list_customer_history(
    customerId: CustomerPath,
    begin: From = None,
    end: To = None,
    order: Order = "asc",
    limit: Limit = 100,
    nextToken: NextToken = None,
) -> CustomerHistory:
    """List a customer's entries and exits in a range of time."""
    return histories.of_customer(store(), customerId, begin, end, order, limit, nextToken)


handler = api.handler
