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

SCORES: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        "rfm": {
            "rfm.segment": Kind.STRING,
            "rfm.score": Kind.NUMBER,
            "rfm.recency": Kind.NUMBER,
            "rfm.frequency": Kind.NUMBER,
            "rfm.monetary": Kind.NUMBER,
        },
        "lifetime": {
            "lifetime.pAlive": Kind.NUMBER,
            "lifetime.expectedOrders": Kind.NUMBER,
            "lifetime.clv": Kind.NUMBER,
            "lifetime.nextOrderAt": Kind.DATE,
            "churn.risk": Kind.NUMBER,
        },
        "churn": {"churn.risk": Kind.NUMBER},
    }
)
"""What a published model of a kind says of every customer. A cluster model says `cluster.<modelId>`."""

SCORE_PREFIXES = ("rfm.", "cluster.", "lifetime.", "churn.")


def scores_of(kind: str, model_id: str) -> Mapping[str, Kind]:
    """Names of a model's scores, with their types."""
    return {f"cluster.{model_id}": Kind.STRING} if kind == "cluster" else SCORES[kind]


def is_computed(name: str) -> bool:
    """Whether an attribute is a feature or a model's score: no customer can bring it along."""
    return name in FEATURES or name.startswith(SCORE_PREFIXES)


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
    """What is known: customer attributes (features and scores included), fields per event name, and segment ids."""

    attributes: Mapping[str, Kind]
    events: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)
    segments: AbstractSet[str] = frozenset()
