"""Customers: what clients send and what is returned."""

from typing import Annotated

from pydantic import Field

from segmentation.models.common import Input, Json, Output
from segmentation.models.segments import CustomerSegment

MAX_ATTRIBUTES = 200


class PutCustomer(Input):
    """All attributes of a customer: what is not sent is removed. Orders and events stay."""

    attributes: Annotated[
        dict[str, Json],
        Field(
            max_length=MAX_ATTRIBUTES,
            description="Strings, numbers, booleans, ISO dates, lists of strings, or {latitude, longitude}",
        ),
    ]


class Customer(Output):
    """A customer with attributes, features computed from the orders, and current segments."""

    customerId: str
    attributes: dict[str, Json]
    features: dict[str, Json]
    segments: list[CustomerSegment]


class Erased(Output):
    """The person is gone for every reader; the job removes what the files still hold."""

    customerId: str
    jobId: str


class Attribute(Output):
    """A name that rules can use: an attribute, a computed feature, or a field of an event."""

    name: str
    kind: str
    source: str
    event: str | None = None
    coverage: float | None = None
    statistics: Json = None


class AttributeList(Output):
    items: list[Attribute]
    nextToken: str | None = None
