"""A compiled rule: the tree with its time zone, and what it depends on. It must not know columns or clocks."""

from dataclasses import dataclass

from segmentation.engine.catalogue import Kind
from segmentation.engine.criteria.render import as_json
from segmentation.engine.criteria.tree import (
    Behaviour,
    Condition,
    Node,
    SegmentIs,
    walk,
)


@dataclass(frozen=True)
class Rule:
    """Hashable; equal to every rule that asks the same in the same time zone."""

    root: Node
    time_zone: str = "UTC"

    @property
    def attributes(self) -> dict[str, Kind]:
        """The customer attributes and features that the rule reads, with the kinds that it takes them for."""
        return {node.attribute: node.kind for _, node in walk(self.root) if isinstance(node, Condition)}

    @property
    def events(self) -> dict[str, dict[str, Kind]]:
        """Per event that the rule reads, the fields used with their kinds."""
        used: dict[str, dict[str, Kind]] = {}
        for _, node in walk(self.root):
            if isinstance(node, Behaviour):
                used.setdefault(node.event, {}).update(node.fields)
        return used

    @property
    def segments(self) -> frozenset[str]:
        """Ids of the segments that the rule asks about."""
        return frozenset(node.segment for _, node in walk(self.root) if isinstance(node, SegmentIs))

    @property
    def criteria(self) -> dict[str, object]:
        """The canonical JSON value; parsing it again gives an equal rule."""
        return as_json(self.root)
