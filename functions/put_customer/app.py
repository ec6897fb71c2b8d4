"""PUT /customers/{customerId}: write a customer's attributes."""

from segmentation import customers
from segmentation.models.common import CustomerPath
from segmentation.models.customers import Customer, PutCustomer
from segmentation.runtime import Api, now, store

api = Api()


@api.put("/customers/{customerId}")
def put_customer(customerId: CustomerPath, profile: PutCustomer) -> Customer:
    """Replace a customer's attributes; every segment is brought up to date for this customer at once."""
    return customers.put(store(), customerId, profile, now())


handler = api.handler
