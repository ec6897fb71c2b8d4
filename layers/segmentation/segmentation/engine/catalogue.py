"""Names and types that rules may use. It knows no store: the catalogue is handed in as a value."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """Type of an attribute or of an event's field."""

    STRING = "string"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"
    LIST = "list"
    GEO = "geo"


FEATURES: Mapping[str, Kind] = MappingProxyType(
    {
        "orderCount": Kind.NUMBER,
        "grossSpent": Kind.NUMBER,
        "returnedAmount": Kind.NUMBER,
        "totalSpent": Kind.NUMBER,
        "averageOrderValue": Kind.NUMBER,
        "unitsBought": Kind.NUMBER,
        "distinctCategories": Kind.NUMBER,
        "recencyDays": Kind.NUMBER,
        "tenureDays": Kind.NUMBER,
        "firstOrderAt": Kind.DATE,
        "lastOrderAt": Kind.DATE,
        "lastReturnAt": Kind.DATE,
    }
)
"""Computed from orders for every customer, at the evaluation's `now`; a customer's own attributes cannot take these
names.
"""

TIME_DEPENDENT_FEATURES = frozenset({"recencyDays", "tenureDays"})
"""Features that change while no data comes: they grow by one at whole days since the order."""

ORDER_FIELDS: Mapping[str, Kind] = MappingProxyType(
    {
        "orderId": Kind.STRING,
        "amount": Kind.NUMBER,
        "quantity": Kind.NUMBER,
        "unitPrice": Kind.NUMBER,
        "sku": Kind.STRING,
        "category": Kind.STRING,
        "channel": Kind.STRING,
        "currency": Kind.STRING,
        "status": Kind.STRING,
    }
)

ORDER_EVENTS = ("order", "return", "void_order")
"""Views of the order lines: purchases, returned lines, and lines of orders that were cancelled or failed."""


@dataclass(frozen=True)
class Catalogue:
    """What is known: customer attributes (features included), fields per event name, and segment ids."""

    attributes: Mapping[str, Kind]
    events: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)
    segments: AbstractSet[str] = frozenset()
