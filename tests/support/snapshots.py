"""Small snapshots and staged tables from plain rows, and a snapshot's contents as plain values, for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from segmentation.store.merge import Staged
from segmentation.store.snapshot import Snapshot
from segmentation.store.snapshot_columns import INSTANT

NOW = np.datetime64("2024-06-01T12:00:00", "us")
START = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """An instant so many days after the first of January 2024."""
    return START + timedelta(days=number)


def staged(
    customers: list[dict[str, Any]] | None = None,
    orders: list[dict[str, Any]] | None = None,
    events: list[dict[str, Any]] | None = None,
    received_at: datetime | None = None,
) -> Staged:
    """Rows as an import stages them, numbered from 1 in the order given."""
    return Staged(_table(customers), _table(orders), _table(events), received_at)


def _table(rows: list[dict[str, Any]] | None) -> pa.Table | None:
    return None if rows is None else table(rows)


def table(rows: list[dict[str, Any]], first_row: int = 1) -> pa.Table:
    """A staged table of the rows: instants in microseconds, every key a column."""
    names = dict.fromkeys(["customerId", "row", *(name for row in rows for name in row)])
    numbered = [{"row": first_row + index} | row for index, row in enumerate(rows)]
    columns = {name: [row.get(name) for row in numbered] for name in names}
    return pa.table(
        {
            name: pa.array(values, INSTANT) if any(isinstance(v, datetime) for v in values) else pa.array(values)
            for name, values in columns.items()
        }
    )


def customers(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Attributes that have a value, by customer."""
    return {
        row["customerId"]: {
            name.removeprefix("a:"): value for name, value in row.items() if name.startswith("a:") and value is not None
        }
        for row in snapshot.customers.to_pylist()
    }


def orders(snapshot: Snapshot) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Lines of every order, by customer and order id, with the columns that have a value."""
    ids = snapshot.customers.column("customerId").to_pylist()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in snapshot.orders.to_pylist():
        key = (ids[row.pop("customer")], row.pop("orderId"))
        row.pop("order")
        found.setdefault(key, []).append({name: value for name, value in row.items() if value is not None})
    return found


def events(snapshot: Snapshot) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Events by customer, name and id, with the columns that have a value."""
    ids = snapshot.customers.column("customerId").to_pylist()
    return {
        (ids[row.pop("customer")], row.pop("event"), row.pop("eventId")): {
            name: value for name, value in row.items() if value is not None
        }
        for row in snapshot.events.to_pylist()
    }
