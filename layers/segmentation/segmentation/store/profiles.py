"""A profile that the API wrote and no merge has taken into the snapshot yet.

Functions that only write profiles import this alone: it knows neither numpy nor Arrow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

AttributeValue = str | float | Decimal | bool | datetime | list[str] | Mapping[str, float] | None
"""A string, number, boolean, instant (aware), list of strings, or `{"latitude", "longitude"}`; None is no value."""


@dataclass(frozen=True)
class PendingProfile:
    """What the API wrote of one customer since the last merge: all attributes, or None where the person was erased.

    `updated_at` (aware) orders it against an import; without it the API has the last word.
    """

    customer_id: str
    version: int
    attributes: Mapping[str, AttributeValue] | None
    updated_at: datetime | None = None
