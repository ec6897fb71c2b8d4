"""One partition of 200,000 customers and two million order lines through every step that a worker takes, in one
process.

`python -m benchmarks.partition [--customers N]` prints seconds per step, the size of the snapshot, and the peak of
memory. The steps are the real ones; the bucket is memory, so that what is measured is our work and not a network.
"""

import argparse
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from benchmarks.machine import describe
from segmentation.engine import criteria
from segmentation.engine.analysis.measuring import measure
from segmentation.engine.catalogue import FEATURES, ORDER_EVENTS, ORDER_FIELDS, Catalogue, Kind
from segmentation.evaluation import instant
from segmentation.store import merge, snapshot
from segmentation.store.files import Files
from segmentation.store.snapshot_frame import frame
from support.files import MemoryFiles

SEED = 7
LINES_PER_CUSTOMER = 10
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SEGMENTS = 50
STRINGS = {"country": 30, "city": 5_000, "plan": 5, "source": 12, "language": 20}
NUMBERS = tuple(f"number{position}" for position in range(10))


def customers_table(ids: list[str], random: np.random.Generator) -> pa.Table:
    """Staged customers: five texts, ten numbers, a date, a boolean."""
    size = len(ids)
    columns: dict[str, Any] = {"customerId": ids, "row": np.arange(1, size + 1)}
    for name, distinct in STRINGS.items():
        values = pa.array([f"{name}-{number}" for number in range(distinct)])
        columns[f"a:{name}"] = pa.DictionaryArray.from_arrays(
            random.integers(0, distinct, size).astype(np.int32), values
        )
    for name in NUMBERS:
        columns[f"a:{name}"] = np.where(random.random(size) < 0.1, np.nan, random.normal(50, 20, size))
    columns["a:joined"] = pa.array(
        random.integers(1_600_000_000, 1_770_000_000, size) * 1_000_000, pa.timestamp("us", "UTC")
    )
    columns["a:consent"] = random.random(size) < 0.6
    return pa.table(columns)


def orders_table(ids: list[str], lines: int, random: np.random.Generator, prefix: str) -> pa.Table:
    """Staged order lines, two to an order."""
    order = np.arange(lines) // 2
    buyer = random.integers(0, len(ids), lines // 2 + 1)[order]
    time_ = (random.integers(1_700_000_000, 1_772_000_000, lines // 2 + 1)[order]) * 1_000_000
    category = pa.array([f"category-{number}" for number in range(40)])
    return pa.table(
        {
            "customerId": pa.array(ids).take(pa.array(buyer)),
            "row": np.arange(1, lines + 1),
            "orderId": pa.array([f"{prefix}{number}" for number in range(lines // 2 + 1)]).take(pa.array(order)),
            "orderedAt": pa.array(time_, pa.timestamp("us", "UTC")),
            "amount": np.round(random.gamma(2, 20, lines), 2),
            "quantity": random.integers(1, 5, lines).astype(float),
            "category": pa.DictionaryArray.from_arrays(random.integers(0, 40, lines).astype(np.int32), category),
        }
    )


def rules() -> dict[str, criteria.Rule | None]:
    """Fifty segments of five conditions, on attributes, features and behaviour."""
    attributes = {**FEATURES, **dict.fromkeys(STRINGS, Kind.STRING), **dict.fromkeys(NUMBERS, Kind.NUMBER)}
    known = Catalogue({**attributes, "joined": Kind.DATE}, dict.fromkeys(ORDER_EVENTS, ORDER_FIELDS))
    made: dict[str, criteria.Rule | None] = {}
    for number in range(SEGMENTS):
        rule = {
            "any": [
                {
                    "all": [
                        {
                            "attribute": "country",
                            "operator": "in",
                            "value": [f"country-{(number + n) % 30}" for n in range(5)],
                        },
                        {"attribute": NUMBERS[number % 10], "operator": "gte", "value": 30 + number % 25},
                        {"attribute": "grossSpent", "operator": "gte", "value": 100 + 10 * (number % 7)},
                    ]
                },
                {"attribute": "recencyDays", "operator": "lte", "value": 7 + number % 5},
                {
                    "event": "order",
                    "where": [{"attribute": "category", "operator": "eq", "value": f"category-{number % 4}"}],
                    "within": "90d",
                    "operator": "gte",
                    "value": 2,
                },
            ]
        }
        made[f"segment-{number}"] = criteria.parse(rule, known)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=200_000)
    count = parser.parse_args().customers
    random = np.random.default_rng(SEED)
    ids = [f"customer-{number:08d}" for number in range(count)]
    first = merge.Staged(customers_table(ids, random), orders_table(ids, count * LINES_PER_CUSTOMER, random, "o"))
    changed = merge.Staged(
        customers_table(ids[::100], random), orders_table(ids[::100], count * LINES_PER_CUSTOMER // 100, random, "n")
    )
    files = cast(Files, MemoryFiles())
    now = instant(NOW)
    print(f"{describe()}\n\n| step | seconds |\n|---|---:|")

    def timed[T](name: str, step: Callable[[], T]) -> T:
        begin = time.perf_counter()
        result = step()
        print(f"| {name} | {time.perf_counter() - begin:.2f} |", flush=True)
        return result

    merged = timed("merge everything into an empty partition", lambda: merge.merge(snapshot.Snapshot(), first, [], now))
    pointer = timed("write the snapshot", lambda: snapshot.write(files, 0, "v1", merged.snapshot))
    read = timed("read the snapshot", lambda: snapshot.read(files, pointer))
    timed("merge 1% changed customers and orders", lambda: merge.merge(read, changed, [], now))
    made = timed("columns, behaviours and features", lambda: frame(read, now))
    compiled = rules()
    found = timed(f"evaluate {SEGMENTS} segments", lambda: criteria.evaluate(compiled, made, now))
    masks = {segment_id: found.mask(segment_id) for segment_id in compiled}
    timed(f"statistics of {SEGMENTS} segments", lambda: measure(made, masks, now))
    size = sum(len(files.get(key)) for key in files.list("snapshot/"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    members = sum(int(mask.sum()) for mask in masks.values())
    print(f"\n{count:,} customers, {count * LINES_PER_CUSTOMER:,} lines, {members:,} memberships;")
    print(f"snapshot {size / 2**20:.0f} MiB; peak of the whole process, generated data included, {peak:.0f} MiB.")


if __name__ == "__main__":
    main()
