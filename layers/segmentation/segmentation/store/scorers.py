"""Which published models score customers: items of the catalogue, one per set of scores.

Whoever reads the catalogue knows the scores' names at no further cost, and what they are computed from.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from segmentation.engine.catalogue import scores_of
from segmentation.store import keys
from segmentation.store.table import Condition, Item, Table

ORDER = ("rfm", "lifetime", "churn", "cluster")
"""Kinds of models in the order in which they score: a later one may take an earlier one's scores as features."""


@dataclass(frozen=True)
class Scorer:
    """The published version of a model: the attributes it reads, and whether it reads the orders themselves."""

    slot: str
    model_id: str
    kind: str
    version: int
    attributes: tuple[str, ...]
    needs_orders: bool = False

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the attributes that it computes."""
        return tuple(scores_of(self.kind, self.model_id))


def slot_of(kind: str, model_id: str) -> str:
    """What only one model at a time can have: the scores of its kind, or a cluster model's own."""
    return f"cluster.{model_id}" if kind == "cluster" else kind


def usable(catalogue: Iterable[Item], known: Collection[str]) -> list[Scorer]:
    """The published models among the catalogue's items, in the order in which they score.

    One that reads a name which nobody knows any more is left out, and so are those that read its scores.
    """
    found = [_scorer(item) for item in catalogue if "slot" in item]
    names, result = set(known), []
    for scorer in sorted(found, key=lambda scorer: (ORDER.index(scorer.kind), scorer.model_id)):
        if names.issuperset(scorer.attributes):
            names.update(scorer.scores)
            result.append(scorer)
    return result


def needed(scorers: Collection[Scorer], names: Collection[str]) -> list[Scorer]:
    """Those that compute some of these names, and those whose scores they read, in the same order."""
    wanted, chosen = set(names), []
    for scorer in reversed([*scorers]):
        if not wanted.isdisjoint(scorer.scores):
            wanted.update(scorer.attributes)
            chosen.append(scorer)
    return chosen[::-1]


def put_action(table: Table, scorer: Scorer) -> Item:
    """Part of a transaction: the scores are this version's, unless another model has them."""
    item = {
        **keys.score(scorer.slot),
        "slot": scorer.slot,
        "modelId": scorer.model_id,
        "kind": scorer.kind,
        "version": scorer.version,
        "attributes": list(scorer.attributes),
        "needsOrders": scorer.needs_orders,
    }
    return table.put_action(item, Condition("attribute_not_exists(PK) OR modelId = :id", {":id": scorer.model_id}))


def owner(table: Table, slot: str) -> str | None:
    """Id of the model whose scores these are."""
    item = table.get(keys.score(slot), consistent=True)
    return item["modelId"] if item else None


def withdraw(table: Table, slot: str, model_id: str) -> None:
    """The scores are nobody's any more."""
    if owner(table, slot) == model_id:
        table.delete(keys.score(slot))


def _scorer(item: Item) -> Scorer:
    return Scorer(
        item["slot"], item["modelId"], item["kind"], item["version"], tuple(item["attributes"]), item["needsOrders"]
    )
