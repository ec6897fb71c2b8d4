"""Profiles that the API wrote since the last merge of their partition, and customers' histories.

The snapshot is a customer's home; an item here overlays it until evaluate_partition has merged it.
"""

import json
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from segmentation.models.common import iso
from segmentation.store import keys
from segmentation.store.profiles import PendingProfile
from segmentation.store.table import Condition, ConditionFailed, Item, Table

_DATE = "date"
"""JSON has no instants: one is kept as `{"date": "..."}`, which no attribute's own value looks like."""


def put(
    table: Table, customer_id: str, attributes: Mapping[str, Any] | None, at: datetime, partitions: int
) -> PendingProfile:
    """Write a profile (None: the erasure of one), to be merged later. Its version changes with every write."""
    version = secrets.randbits(52)
    table.put(
        {
            **keys.profile(customer_id),
            **keys.pending_index(keys.partition_of(customer_id, partitions), customer_id),
            "customerId": customer_id,
            "version": version,
            "writtenAt": iso(at),
            "attributes": None if attributes is None else json.dumps(attributes, ensure_ascii=False, default=_tagged),
        }
    )
    return PendingProfile(customer_id, version, attributes, at)


def of_partition(table: Table, partition: int) -> list[PendingProfile]:
    """Profiles of one partition that wait for their merge."""
    pk = keys.pending_index(partition, "")["GSI1PK"]
    return [_pending(item) for item in table.query(pk, index=keys.GSI1)]


def of_customers(table: Table, customers: Collection[str]) -> list[PendingProfile]:
    """Pending profiles of single customers, every write included."""
    return [_pending(item) for item in table.batch_get([keys.profile(customer_id) for customer_id in customers])]


def merged(table: Table, profile: PendingProfile) -> None:
    """The snapshot holds this version now: the item goes, unless somebody wrote a newer one."""
    condition = Condition("#version = :merged", {":merged": profile.version}, {"#version": "version"})
    try:
        table.delete(keys.profile(profile.customer_id), condition)
    except ConditionFailed:
        return


def _pending(item: Item) -> PendingProfile:
    text = item.get("attributes")
    attributes = None if text is None else {name: _untagged(value) for name, value in json.loads(text).items()}
    return PendingProfile(item["customerId"], item["version"], attributes, datetime.fromisoformat(item["writtenAt"]))


def _tagged(value: Any) -> dict[str, str]:
    return {_DATE: iso(value)}


def _untagged(value: Any) -> Any:
    return datetime.fromisoformat(value[_DATE]) if isinstance(value, dict) and _DATE in value else value
