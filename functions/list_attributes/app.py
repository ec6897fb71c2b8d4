"""GET /attributes: the names that rules can use."""

from segmentation import attributes
from segmentation.models.customers import AttributeList
from segmentation.runtime import Api, store

api = Api()


@api.get("/attributes")
def list_attributes() -> AttributeList:
    """List attributes, computed features and event fields, with coverage and the most frequent values or the range."""
    return attributes.list_attributes(store())


handler = api.handler
