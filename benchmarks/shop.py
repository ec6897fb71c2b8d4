"""A shop for the benchmark of runs: customers, orders as a snapshot has them, and fifty segments over both.

Seeded: the same number of customers and partitions is the same shop, to the byte.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segmentation.engine.catalogue import Kind
from segmentation.store import keys
from segmentation.store.merge import Staged
from segmentation.store.snapshot import ORDER_SCHEMA, Snapshot
from segmentation.store.snapshot_columns import INSTANT

SEED = 20260301
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEGMENTS, CONDITIONS = 50, 5
HISTORY_DAYS = 1_095
DAY = 86_400_000_000
WITHOUT_ORDERS, RETURNED, MISSING = 0.05, 0.03, 0.1

TEXTS = {"country": 30, "city": 2_000, "plan": 5, "source": 12, "language": 20}
NUMBERS = ("age", "points", "score")
TAGS = tuple(f"tag-{number:02d}" for number in range(24))
CATEGORIES, SKUS, CHANNELS = 40, 500, ("web", "app", "store", "phone")
KINDS = {
    **dict.fromkeys(TEXTS, Kind.STRING),
    **dict.fromkeys(NUMBERS, Kind.NUMBER),
    "joined": Kind.DATE,
    "newsletter": Kind.BOOLEAN,
    "tags": Kind.LIST,
}

Numbers = NDArray[Any]
Condition = dict[str, Any]


def ids_of(customers: int, partitions: int) -> list[list[str]]:
    """Customer ids by partition, ascending."""
    found: list[list[str]] = [[] for _ in range(partitions)]
    for number in range(customers):
        customer_id = f"c{number:08d}"
        found[keys.partition_of(customer_id, partitions)].append(customer_id)
    return found


def snapshot_of(ids: list[str], partition: int) -> Snapshot:
    """The customers of one partition with about ten orders each, over three years."""
    random = np.random.default_rng([SEED, partition])
    owner, at = _purchases(len(ids), random)
    return Snapshot(customers=_customers(ids, random), orders=_orders(owner, at, partition, random))


def fresh(before: Snapshot, partition: int, night: int) -> Staged:
    """What a file brings before a night: other attributes and one more order for a hundredth of the customers."""
    random = np.random.default_rng([SEED, partition, night])
    size = before.customers.num_rows
    rows = np.sort(random.choice(size, max(size // 100, 1), replace=False))
    ids = before.customers.column("customerId").take(pa.array(rows)).combine_chunks()
    numbers = np.arange(1, len(rows) + 1)
    customers = _customers(ids.to_pylist(), random).drop_columns(["createdAt", "updatedAt"])
    at = _micros(NOW) - random.integers(0, DAY, len(rows))
    orders = _orders(rows, at, partition, random, first=before.orders.num_rows).drop_columns(["customer", "order"])
    tables = (table.append_column("row", pa.array(numbers)) for table in (customers, orders))
    customers, orders = tables
    return Staged(customers=customers, orders=orders.append_column("customerId", ids))


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _customers(ids: list[str], random: np.random.Generator) -> pa.Table:
    size = len(ids)
    stamp = pa.array(np.full(size, _micros(NOW) - 30 * DAY), INSTANT)

    def missing() -> NDArray[np.bool_]:
        return random.random(size) < MISSING

    columns: dict[str, Any] = {"customerId": pa.array(ids), "createdAt": stamp, "updatedAt": stamp}
    for name, distinct in TEXTS.items():
        codes = pa.array((random.beta(1, 4, size) * distinct).astype(np.int32), mask=missing())
        values = pa.array([f"{name}-{number:04d}" for number in range(distinct)])
        columns[f"a:{name}"] = pa.DictionaryArray.from_arrays(codes, values)
    numbers = (random.integers(18, 90, size), random.poisson(40, size), np.round(random.random(size), 4))
    for name, drawn in zip(NUMBERS, numbers, strict=True):
        columns[f"a:{name}"] = pa.array(drawn.astype(np.float64), mask=missing())
    joined = _micros(NOW) - (random.beta(1, 3, size) * 2_000 * DAY).astype(np.int64)
    columns["a:joined"] = pa.array(joined, INSTANT, mask=missing())
    columns["a:newsletter"] = pa.array(random.random(size) < 0.6, mask=missing())
    absent = missing()
    lengths = np.where(absent, 0, random.integers(0, 5, size))
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32), mask=np.append(absent, False))
    held = pa.array((random.beta(1, 3, int(lengths.sum())) * len(TAGS)).astype(np.int32))
    columns["a:tags"] = pa.ListArray.from_arrays(offsets, pa.array(TAGS).take(held))
    return pa.table(columns)


def _purchases(size: int, random: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Owner and instant of every order, sorted: customers buy at rates of their own until they drop out."""
    rate = random.gamma(0.8, 1 / 25, size)
    leaves = random.beta(0.6, 7.6, size)
    first = random.random(size) * (HISTORY_DAYS - 1)
    alive = np.flatnonzero(random.random(size) >= WITHOUT_ORDERS)
    at = first[alive]
    owners, times = [alive], [at]
    while len(alive):
        stays = random.random(len(alive)) >= leaves[alive]
        alive, at = alive[stays], at[stays]
        at = at + random.exponential(1 / rate[alive])
        inside = at < HISTORY_DAYS
        alive, at = alive[inside], at[inside]
        owners.append(alive)
        times.append(at)
    owner, days = np.concatenate(owners), np.concatenate(times)
    order = np.lexsort((days, owner))
    begin = _micros(NOW) - HISTORY_DAYS * DAY
    return owner[order], begin + (days[order] * DAY).astype(np.int64)


def _orders(owner: Numbers, at: Numbers, partition: int, random: np.random.Generator, first: int = 0) -> pa.Table:
    """One line an order; of a few the goods came back, which is a line with a negative amount."""
    size = len(owner)
    quantity = random.integers(1, 4, size)
    # Every customer has a level of their own, which orders spread around.
    level = np.random.default_rng([SEED, partition, 0]).gamma(4, 12, int(owner.max(initial=0)) + 1)
    amount = np.round(level[owner] * random.gamma(5, 1 / 5, size) + 0.01, 2)
    amount = np.where(random.random(size) < RETURNED, -amount, amount)

    def texts(values: list[str]) -> pa.DictionaryArray:
        codes = (random.beta(1, 2, size) * len(values)).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(values))

    numbers = np.arange(first, first + size)
    columns = {
        "customer": pa.array(owner.astype(np.int32)),
        "order": pa.array(numbers.astype(np.int32)),
        "orderId": pa.array(numbers + partition * 10**8).cast(pa.string()),
        "orderedAt": pa.array(at, INSTANT),
        "amount": pa.array(amount),
        "quantity": pa.array(quantity.astype(np.float64)),
        "unitPrice": pa.array(np.round(np.abs(amount) / quantity, 2)),
        "sku": texts([f"sku-{number:04d}" for number in range(SKUS)]),
        "category": texts([f"category-{number:02d}" for number in range(CATEGORIES)]),
        "channel": texts(list(CHANNELS)),
        "currency": pa.DictionaryArray.from_arrays(pa.array(np.zeros(size, dtype=np.int32)), pa.array(["EUR"])),
        "status": pa.nulls(size, ORDER_SCHEMA.field("status").type),
    }
    return pa.table(columns, ORDER_SCHEMA)


def segments() -> dict[str, list[Condition]]:
    """Fifty segments of five conditions that must all hold: texts, numbers, dates or lists, features, behaviour.

    Values are drawn so that about a fiftieth of the customers match.
    """
    random = np.random.default_rng(SEED)

    def of(values: tuple[Any, ...]) -> Any:
        return values[int(random.integers(len(values)))]

    def text() -> Condition:
        name = of(tuple(TEXTS))
        values = [f"{name}-{number:04d}" for number in range(TEXTS[name])]
        few = [values[int(random.integers(max(len(values) // 2, 1)))] for _ in range(4)]
        if of((True, False)):
            return {"attribute": name, "operator": "not_in", "value": few}
        return {"attribute": name, "operator": "in", "value": values[: max(len(values) // 4, 1)]}

    def number() -> Condition:
        name, low, high = of((("age", 25, 60), ("points", 34, 44), ("score", 0.2, 0.7)))
        limit = round(float(random.uniform(low, high)), 1)
        return {"attribute": name, "operator": of(("gte", "lt")), "value": limit}

    def date_or_list() -> Condition:
        if of((True, False)):
            return {"attribute": "joined", "operator": "in_last", "value": f"{of((365, 500, 730))}d"}
        few = [TAGS[int(random.integers(10))] for _ in range(3)]
        return {"attribute": "tags", "operator": of(("has_any", "has_none")), "value": few}

    def feature() -> Condition:
        name, operator, values = of(
            (
                ("recencyDays", "lte", (60, 90, 180, 365)),
                ("orderCount", "gte", (3, 5, 8)),
                ("totalSpent", "gte", (100, 250, 500)),
                ("averageOrderValue", "gte", (40, 50, 60)),
                ("tenureDays", "gte", (180, 365)),
            )
        )
        return {"attribute": name, "operator": operator, "value": of(values)}

    def behaviour() -> Condition:
        category = f"category-{int(random.integers(8)):02d}"
        where = [{"attribute": "category", "operator": "eq", "value": category}]
        asked = {"event": "order", "within": f"{of((180, 365, 730))}d"}
        if of((True, False)):
            return {**asked, "operator": "gte", "value": of((2, 3))}
        return {**asked, "where": where, "operator": "gte", "value": 1}

    return {
        f"segment-{place:02d}": [text(), number(), date_or_list(), feature(), behaviour()] for place in range(SEGMENTS)
    }
