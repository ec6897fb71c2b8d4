"""A lease: one holder at a time, until it is given back or its time is over.

It knows nothing of what is done under it.
"""

from dataclasses import dataclass
from datetime import datetime

from segmentation.models.common import iso
from segmentation.store import keys
from segmentation.store.table import Condition, ConditionFailed, Item, Table

RESEGMENT = "resegment"
"""Held by the run over customers that is under way."""


@dataclass(frozen=True)
class Lease:
    """Who holds it, and until when (an instant as `iso` writes it)."""

    holder: str
    until: str


def read(table: Table, name: str) -> Lease | None:
    """The lease as it is now, over or not; None where nobody holds it."""
    item = table.get(keys.lease(name), consistent=True)
    return Lease(item["holder"], item["until"]) if item else None


def take_action(table: Table, name: str, holder: str, at: datetime, until: datetime, seen: Lease | None = None) -> Item:
    """The part of a transaction that takes the lease, or prolongs the holder's own.

    It fails while another has it, unless it is over or still is `seen`: one of whose holder the caller knows that it is
    at work no more.
    """
    expression = "attribute_not_exists(PK) OR holder = :holder OR #until <= :now"
    values = {":holder": holder, ":now": iso(at)}
    if seen:
        expression += " OR (holder = :other AND #until = :until)"
        values |= {":other": seen.holder, ":until": seen.until}
    item = {**keys.lease(name), "holder": holder, "until": iso(until), "takenAt": iso(at)}
    return table.put_action(item, Condition(expression, values, {"#until": "until"}))


def take(table: Table, name: str, holder: str, at: datetime, until: datetime, seen: Lease | None = None) -> bool:
    """Take the lease as `take_action` does; False if another was faster."""
    try:
        table.transact([take_action(table, name, holder, at, until, seen)])
    except ConditionFailed:
        return False
    return True


def release(table: Table, name: str, holder: str) -> None:
    """Give the lease back; it stays with another who has it by now."""
    try:
        table.delete(keys.lease(name), Condition("holder = :holder", {":holder": holder}))
    except ConditionFailed:
        return
