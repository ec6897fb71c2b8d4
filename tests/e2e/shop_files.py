"""The generated shop as plain Python reads its files: what the service has to find in them.

The shop ends today, as the one of `make run` does; its structure is the same on every day. It knows no stack.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dev import shop

CUSTOMERS = 300
END = datetime.now(UTC).date()
MIDNIGHT = datetime(END.year, END.month, END.day, tzinfo=UTC)
NOW = f"{END}T00:00:00Z"


@dataclass
class Files:
    """The shop's files and what follows from them at the end of the shop's time."""

    folder: Path
    made: shop.Shop
    customers: dict[str, dict[str, str]]
    orders: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    looks: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def berlin(self) -> set[str]:
        return {who for who, row in self.customers.items() if row["city"] == "Berlin"}

    @property
    def active(self) -> set[str]:
        return {who for who in self.customers if len(self.orders[who]) >= 2 or self.looks[who] >= 3}

    def rows(self, dataset: str) -> Iterator[dict[str, str]]:
        """The rows that can be accepted: dirty ones have ids that begin with X, or no customer."""
        with (self.folder / f"{dataset}.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                dirty = row.get("orderId", row.get("eventId", "")).startswith("X")
                if row["customerId"].startswith("C") and not dirty:
                    yield row

    def purchases(self, since: datetime) -> Iterator[dict[str, str]]:
        """The lines of orders after an instant that count as bought."""
        for row in self.rows("orders"):
            counts = int(row["quantity"]) * float(row["unitPrice"]) > 0 and row["status"] != "cancelled"
            if counts and instant(row["orderedAt"]) > since:
                yield row


def instant(text: str) -> datetime:
    """An instant of the files, which are in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def generated(folder: Path) -> Files:
    """Write the shop into a folder, and read it."""
    made = shop.generate(folder, customers=CUSTOMERS, end=END)
    files = Files(folder, made, {})
    files.customers.update({row["customerId"]: row for row in files.rows("customers")})
    for row in files.purchases(MIDNIGHT - timedelta(days=90)):
        files.orders[row["customerId"]].add(row["orderId"])
    for row in files.rows("events"):
        seen = row["event"] == "page_view" and float(row["durationSeconds"]) > 10
        if seen and instant(row["occurredAt"]) > MIDNIGHT - timedelta(days=60):
            files.looks[row["customerId"]] += 1
    return files
