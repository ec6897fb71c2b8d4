"""Profiles that the API wrote since the last merge of their partition, and customers' histories.

The snapshot is a customer's home; an item here overlays it until evaluate_partition has merged it.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segmentation.models.common import iso
from segmentation.store import keys
from segmentation.store.table import Condition, ConditionFailed, Item, Table


@dataclass(frozen=True)
class Pending:
    """A written profile: all attributes, or None for a person who was erased. `version` changes with every write."""

    customer_id: str
    version: str
    attributes: dict[str, Any] | None


def put(table: Table, customer_id: str, attributes: Mapping[str, Any] | None, at: datetime, version: str, partitions: int) -> None:
    """Write a profile, or its erasure."""
    partition = keys.partition_of(customer_id, partitions)
    table.put(
        {
            **keys.profile(customer_id),
            **keys.pending_index(partition, customer_id),
            "customerId": customer_id,
            "version": version,
            "writtenAt": iso(at),
            "attributes": None if attributes is None else json.dumps(attributes, ensure_ascii=False),
        }
    )


def of_partition(table: Table, partition: int) -> list[Pending]:
    """Profiles of one partition that wait for their merge."""
    pk = keys.pending_index(partition, "")["GSI1PK"]
    return [_pending(item) for item in table.query(pk, index=keys.GSI1)]


def of_customers(table: Table, customers: Collection[str]) -> list[Pending]:
    """Pending profiles of single customers, every write included."""
    return [_pending(item) for item in table.batch_get([keys.profile(customer_id) for customer_id in customers])]


def merged(table: Table, pending: Pending) -> None:
    """The snapshot holds this version now: the item goes, unless somebody wrote a newer one."""
    condition = Condition("#version = :merged", {":merged": pending.version}, {"#version": "version"})
    try:
        table.delete(keys.profile(pending.customer_id), condition)
    except ConditionFailed:
        return


def forget_history(table: Table, customer_id: str) -> None:
    """Remove the history of a person."""
    pk = keys.history_prefix(customer_id)
    table.batch_write(deletes=[{"PK": i["PK"], "SK": i["SK"]} for i in table.query(pk, "HISTORY#")])


def _pending(item: Item) -> Pending:
    attributes = item.get("attributes")
    return Pending(item["customerId"], item["version"], None if attributes is None else json.loads(attributes))
