"""Groups that a model found: what becomes segments when the model is published."""

from dataclasses import dataclass
from typing import Any

from segmentation.engine.bands import Bands


@dataclass(frozen=True)
class FoundGroup:
    """A part of the fitted customers, `size` of them; `criteria` is the rule over the model's scores that takes it."""

    group_id: str
    name: str
    size: int
    criteria: tuple[dict[str, Any], ...]


def named(attribute: str, group_id: str, name: str, size: int) -> FoundGroup:
    """The customers whose score is the group's id."""
    return FoundGroup(group_id, name, size, ({"attribute": attribute, "operator": "eq", "value": group_id},))


def banded(attribute: str, bands: Bands, sizes: tuple[int, ...]) -> tuple[FoundGroup, ...]:
    """The bands of a number, each from its lower cut to below the next."""
    lows = (None, *bands.cuts)
    highs = (*bands.cuts, None)
    found = []
    for number, (name, low, high, size) in enumerate(zip(bands.names, lows, highs, sizes, strict=True), start=1):
        criteria: list[dict[str, Any]] = [{"attribute": attribute, "operator": "is_set"}]
        if low is not None:
            criteria.append({"attribute": attribute, "operator": "gte", "value": low})
        if high is not None:
            criteria.append({"attribute": attribute, "operator": "lt", "value": high})
        found.append(FoundGroup(f"b{number}", name, size, tuple(criteria)))
    return tuple(found)
