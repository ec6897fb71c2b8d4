"""GET /customers/{customerId}: one customer with current segments."""

from segmentation import customers
from segmentation.models.common import CustomerPath
from segmentation.models.customers import Customer
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/customers/{customerId}")
def get_customer(customerId: CustomerPath) -> Customer:
    """Read a customer's attributes, the features computed from the orders, and the current segments."""
    return customers.get(store(), customerId, now())


handler = api.handler
