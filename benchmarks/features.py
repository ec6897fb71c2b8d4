"""Orders to features, side by side: `python -m benchmarks.features [orders] [customers]`.

Every contestant gets the same rows in its own layout and one thread, and answers per customer: number of orders with a
positive amount, their sum, the sum of returns, first and last purchase, whole days since the last. Results are compared
before times are. One row is one order.
"""

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.engine.features import ADDITIVE, features, group_orders, offsets_of
from segmentation.engine.frame import DateColumn, EventTable, NumberColumn

NAMES = ("orderCount", "grossSpent", "returnedAmount", "firstOrderAt", "lastOrderAt", "recencyDays")
NOW = np.datetime64("2024-06-01T00:00:00", "us")
ROUNDS = 5

Result = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """Order rows: code of the `customer`, number of the `order` (each has one row), `time`, `amount`."""

    customer: NDArray[np.int32]
    order: NDArray[np.int32]
    time: NDArray[np.datetime64]
    amount: NDArray[np.float64]
    customers: int


def generated(orders: int, customers: int) -> Rows:
    """Rows sorted by customer and time, as a snapshot has them; 5% are returns, and some customers buy far more."""
    random = np.random.default_rng(20240601)
    weights = random.lognormal(0, 1, customers)
    counts = random.multinomial(orders, weights / weights.sum())
    customer = np.repeat(np.arange(customers, dtype=np.int32), counts)
    seconds = random.integers(0, 3 * 365 * 86_400, orders)
    seconds = seconds[np.lexsort((seconds, customer))]
    time_ = np.datetime64("2021-06-01T00:00:00", "us") + seconds.astype("timedelta64[s]")
    amount = np.round(random.lognormal(3, 1, orders), 2) * np.where(random.random(orders) < 0.05, -1.0, 1.0)
    return Rows(customer, np.arange(orders, dtype=np.int32), time_, amount, customers)


# ---------------------------------------------------------------------------- the engine


def sorted_codes(rows: Rows) -> Result:
    """From the snapshot's columns: where customers begin, then the features of their lines."""
    offsets = offsets_of(rows.customer, rows.customers)
    lines = EventTable(offsets, rows.time, {"amount": NumberColumn(rows.amount)}, rows.order, ADDITIVE)
    computed = features(lines, np.zeros(len(rows.order), dtype=np.bool_), NOW, NAMES)
    return {name: column.values for name, column in computed.items() if isinstance(column, NumberColumn | DateColumn)}


def unsorted_texts(table: pa.Table) -> Result:
    """From text ids in any order: a dictionary, then totals per code."""
    encoded = table.column("customer").combine_chunks().dictionary_encode()
    instants, amounts = (table.column(name).to_numpy() for name in ("time", "amount"))
    grouped = group_orders(encoded.indices.to_numpy(), instants, amounts, len(encoded.dictionary), NOW)
    return {"customer": encoded.dictionary, **grouped}


# ----------------------------------------------------------------------------- the peers

SQL = """
select customer,
       count(*) filter (where amount > 0) as "orderCount",
       coalesce(sum(amount) filter (where amount > 0), 0) as "grossSpent",
       coalesce(-sum(amount) filter (where amount < 0), 0) as "returnedAmount",
       min(time) filter (where amount > 0) as "firstOrderAt",
       max(time) filter (where amount > 0) as "lastOrderAt"
from rows group by customer
"""


def with_duckdb(table: pa.Table) -> Result:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set timezone = 'UTC'")
    connection.register("rows", table)
    return _finished(connection.sql(SQL).to_arrow_table())


def with_polars(frame: pl.DataFrame) -> Result:
    bought = pl.col("amount") > 0
    query = (
        frame.lazy()
        .group_by("customer")
        .agg(
            bought.sum().alias("orderCount"),
            pl.when(bought).then(pl.col("amount")).otherwise(0.0).sum().alias("grossSpent"),
            pl.when(pl.col("amount") < 0).then(-pl.col("amount")).otherwise(0.0).sum().alias("returnedAmount"),
            pl.when(bought).then(pl.col("time")).min().alias("firstOrderAt"),
            pl.when(bought).then(pl.col("time")).max().alias("lastOrderAt"),
        )
    )
    return _finished(query.collect().to_arrow())


def with_pyarrow(table: pa.Table) -> Result:
    amount, instants = table.column("amount"), table.column("time")
    bought = pc.greater(amount, 0)
    prepared = pa.table(
        {
            "customer": table.column("customer"),
            "bought": pc.cast(bought, pa.int8()),
            "gross": pc.if_else(bought, amount, 0.0),
            "returned": pc.if_else(pc.less(amount, 0), pc.negate(amount), 0.0),
            "time": pc.if_else(bought, instants, pa.scalar(None, instants.type)),
        }
    )
    steps = [("bought", "sum"), ("gross", "sum"), ("returned", "sum"), ("time", "min"), ("time", "max")]
    grouped = prepared.group_by("customer", use_threads=False).aggregate(steps)
    return _finished(grouped.rename_columns(["customer", *NAMES[:5]]))


def with_pandas(frame: pd.DataFrame) -> Result:
    bought = frame["amount"] > 0
    prepared = pd.DataFrame(
        {
            "customer": frame["customer"],
            "orderCount": bought,
            "grossSpent": frame["amount"].where(bought, 0.0),
            "returnedAmount": (-frame["amount"]).where(frame["amount"] < 0, 0.0),
            "time": frame["time"].where(bought),
        }
    )
    grouped = prepared.groupby("customer", sort=False)
    result = grouped[["orderCount", "grossSpent", "returnedAmount"]].sum()
    result["firstOrderAt"], result["lastOrderAt"] = grouped["time"].min(), grouped["time"].max()
    columns = {name: result[name].to_numpy() for name in NAMES[:5]}
    return {"customer": result.index.to_numpy(), **columns, "recencyDays": _recency(columns["lastOrderAt"])}


def _finished(table: pa.Table) -> Result:
    """Columns of a peer's answer as numpy, and the last step that all share."""
    columns: Result = {name: table.column(name).to_numpy() for name in NAMES[:5]}
    return {"customer": table.column("customer"), **columns, "recencyDays": _recency(columns["lastOrderAt"])}


def _recency(last: Any) -> Any:
    days = np.full(len(last), np.nan)
    known = ~np.isnat(last)
    days[known] = (NOW - last[known]) // np.timedelta64(1, "D")
    return days


# --------------------------------------------------------------------------- the contest


def compared(expected: Result, found: Result, name: str) -> None:
    """Raises AssertionError unless both say the same of every customer that has a row."""
    expected, found = _by_customer(expected), _by_customer(found)
    for feature in NAMES:
        one, other = expected[feature], found[feature]
        if feature.endswith("At"):
            equal = np.array_equal(one.astype("datetime64[us]"), other.astype("datetime64[us]"), equal_nan=True)
        else:
            equal = np.allclose(one.astype(float), other.astype(float), rtol=1e-9, atol=1e-6, equal_nan=True)
        if not equal:
            raise AssertionError(f"{name} disagrees on {feature}")


def _by_customer(result: Result) -> Result:
    if "customer" not in result:
        return result
    customer = np.asarray(result["customer"])
    order = np.argsort(customer.astype("U") if customer.dtype == object else customer)
    return {name: np.asarray(result[name])[order] for name in NAMES}


def contest(title: str, contestants: dict[str, Callable[[], Result]], pause: Callable[[], None] = gc.collect) -> None:
    """Every round runs everybody once; prints medians and the ratio of each to the first."""
    results = {name: run() for name, run in contestants.items()}
    first = next(iter(results))
    for name, result in results.items():
        compared(results[first], result, name)
    results.clear()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            pause()
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    fastest = min(value for name, value in medians.items() if name != first)
    print(f"\n{title}\n\n| contestant | median s | times the engine | best s |\n|---|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:.3f} | {value / medians[first]:.2f} | {min(seconds[name]):.3f} |")
    print(f"\nSpeed of the engine relative to the fastest peer: {fastest / medians[first]:.2f}")


def main() -> None:
    orders, customers = (int(value) for value in (sys.argv[1:] + ["10000000", "1000000"][len(sys.argv) - 1 :])[:2])
    pa.set_cpu_count(1)
    versions = {"numpy": np, "pyarrow": pa, "duckdb": duckdb, "polars": pl, "pandas": pd}
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, one thread each, Python {platform.python_version()}, ", end=""
    )
    print(", ".join(f"{name} {module.__version__}" for name, module in versions.items()))
    rows = generated(orders, customers)
    # Only customers who have a row: a peer cannot know of others.
    known, codes = np.unique(rows.customer, return_inverse=True)
    rows = Rows(codes.astype(np.int32), rows.order, rows.time, rows.amount, len(known))
    table = pa.table({"customer": rows.customer, "time": rows.time, "amount": rows.amount})
    polars, pandas = pl.from_arrow(table), table.to_pandas()
    contest(
        f"{orders:,} orders of {len(known):,} customers, sorted by customer, integer codes",
        {
            "engine": lambda: sorted_codes(rows),
            "duckdb": lambda: with_duckdb(table),
            "polars": lambda: with_polars(polars),
            "pyarrow": lambda: with_pyarrow(table),
            "pandas": lambda: with_pandas(pandas),
        },
    )
    del polars, pandas
    shuffled = np.random.default_rng(7).permutation(orders)
    texts = pa.array([f"cust-{code:08d}" for code in range(len(known))])
    table = (
        pa.table(
            {"customer": texts.take(table.column("customer").combine_chunks())}
            | {name: table.column(name) for name in ("time", "amount")}
        )
        .take(pa.array(shuffled))
        .combine_chunks()
    )
    polars, pandas = pl.from_arrow(table), table.to_pandas()
    contest(
        f"{orders:,} orders of {len(known):,} customers, in any order, ids are texts",
        {
            "engine": lambda: unsorted_texts(table),
            "duckdb": lambda: with_duckdb(table),
            "polars": lambda: with_polars(polars),
            "pyarrow": lambda: with_pyarrow(table),
            "pandas": lambda: with_pandas(pandas),
        },
    )


if __name__ == "__main__":
    # Libraries read the number of threads when they are loaded.
    if os.environ.get("POLARS_MAX_THREADS") != "1":
        os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.features", *sys.argv[1:]])
    main()
