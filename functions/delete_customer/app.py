"""DELETE /customers/{customerId}: erase a person."""

from segmentation import customers
from segmentation.models.common import CustomerPath
from segmentation.models.customers import Erased
from segmentation.runtime import ADMIN, Api, now, store

api = Api()


@api.delete("/customers/{customerId}", permission=ADMIN, status=202)
def delete_customer(customerId: CustomerPath) -> Erased:
    """Erase a person from the table and the history at once, and from the files by the job that this starts."""
    return customers.erase(store(), customerId, now())


handler = api.handler
