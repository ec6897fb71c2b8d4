"""The script that an analyst would write for the same result as a run: pandas, scikit-learn and lifetimes, no service.

`python -m benchmarks.analyst <folder> <result>` reads the Parquet files of a bucket in a folder, fits RFM, k-means and
lifetime value as the service does by default, evaluates the fifty segments of `benchmarks.shop`, writes one table of
customers by segments, and prints what each step took and found as JSON. It imports nothing of the service.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS"), "1"))

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import lifetimes
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from lifetimes.utils import summary_data_from_transaction_data
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

FEATURES = ("recencyDays", "orderCount", "totalSpent", "averageOrderValue", "tenureDays")
KS = range(2, 13)
CURVE_ROWS, RESTARTS = 20_000, 10
"""As the service: silhouettes of so many customers, the best of ten starts."""

GRID = {
    5: ("new", "promising", "active", "loyal", "champions"),
    4: ("promising", "promising", "active", "loyal", "champions"),
    3: ("needs_attention", "needs_attention", "needs_attention", "loyal", "loyal"),
    2: ("almost_lost", "almost_lost", "at_risk", "at_risk", "at_risk"),
    1: ("dormant", "dormant", "dormant", "previously_loyal", "previously_loyal"),
}
"""Names by recency score, and frequency score from 1 to 5."""

Found = dict[str, Any]
Condition = dict[str, Any]


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Customers, and their order lines with the customer's row; only the columns that are used."""
    tables: dict[str, list[pa.Table]] = {"customers": [], "orders": []}
    begin = 0
    for part in sorted(folder.glob("snapshot/part=*")):
        version = sorted(part.iterdir())[-1]
        customers = pq.read_table(version / "customers.parquet", partitioning=None)
        orders = pq.read_table(
            version / "orders.parquet", columns=["customer", "orderedAt", "amount", "category"], partitioning=None
        )
        owner = pa.array(orders.column("customer").to_numpy() + begin)
        tables["customers"].append(customers.drop_columns(["createdAt", "updatedAt"]))
        tables["orders"].append(orders.set_column(0, "customer", owner))
        begin += customers.num_rows
    joined = (pa.concat_tables(parts).unify_dictionaries() for parts in tables.values())
    customers, orders = (table.to_pandas() for table in joined)
    return customers.rename(columns=lambda name: name.removeprefix("a:")), orders


def add_features(customers: pd.DataFrame, orders: pd.DataFrame, now: pd.Timestamp) -> None:
    """What the orders say of each customer."""
    seen = orders[orders["orderedAt"] <= now]
    bought = (
        seen[seen["amount"] > 0]
        .groupby("customer")
        .agg(
            orderCount=("amount", "size"),
            grossSpent=("amount", "sum"),
            firstOrderAt=("orderedAt", "min"),
            lastOrderAt=("orderedAt", "max"),
        )
    )
    returned = seen[seen["amount"] < 0].groupby("customer")["amount"].sum()
    made = bought.reindex(customers.index)
    for name in ("orderCount", "grossSpent"):
        customers[name] = made[name].fillna(0.0)
    customers["totalSpent"] = customers["grossSpent"] + returned.reindex(customers.index).fillna(0.0)
    customers["averageOrderValue"] = made["grossSpent"] / made["orderCount"]
    customers["recencyDays"] = (now - made["lastOrderAt"]).dt.days.astype("float64")
    customers["tenureDays"] = (now - made["firstOrderAt"]).dt.days.astype("float64")


def rfm(customers: pd.DataFrame) -> tuple[pd.Series, Found]:
    """Names of the grid's cells by quantile scores."""
    buyers = customers[customers["recencyDays"].notna()]
    cuts = {
        name: buyers[name].quantile([0.2, 0.4, 0.6, 0.8]).to_numpy()
        for name in ("recencyDays", "orderCount", "totalSpent")
    }
    scores = {name: np.searchsorted(cut, buyers[name], side="left") for name, cut in cuts.items()}
    cells = np.array([GRID[row] for row in (5, 4, 3, 2, 1)], dtype=object)
    groups = pd.Series("prospects", index=customers.index)
    groups[buyers.index] = cells[scores["recencyDays"], scores["orderCount"]]
    return groups.astype("category"), {"cuts": {name: cut.tolist() for name, cut in cuts.items()}}


def clusters(customers: pd.DataFrame) -> tuple[pd.Series, Found]:
    """k-means of standardised logarithms, k by silhouette."""
    raw = customers[list(FEATURES)]
    points = StandardScaler().fit_transform(np.log1p(raw.fillna(raw.median()).clip(lower=0)))
    fits, curve = {}, {}
    for k in KS:
        fits[k] = KMeans(k, n_init=RESTARTS, random_state=0).fit(points)
        curve[k] = float(silhouette_score(points, fits[k].labels_, sample_size=CURVE_ROWS, random_state=0))
    chosen = max(curve, key=lambda k: curve[k])
    labels = fits[chosen].labels_
    found = {"k": chosen, "silhouettes": curve, "inertia": float(fits[chosen].inertia_)}
    return pd.Series(labels, index=customers.index, name="cluster"), found


def lifetime(customers: pd.DataFrame, orders: pd.DataFrame, now: pd.Timestamp) -> tuple[pd.Series, Found]:
    """Tiers by the value of the next twelve months: BG/NBD and Gamma-Gamma on days with a purchase, in weeks."""
    bought = orders[(orders["orderedAt"] <= now) & (orders["amount"] > 0)]
    summary = summary_data_from_transaction_data(
        bought, "customer", "orderedAt", monetary_value_col="amount", observation_period_end=now, freq="D"
    )
    recency, age = summary["recency"] / 7, summary["T"] / 7
    orders_model = lifetimes.BetaGeoFitter().fit(summary["frequency"], recency, age)
    repeat = summary["frequency"] > 0
    spend_model = lifetimes.GammaGammaFitter().fit(summary["frequency"][repeat], summary["monetary_value"][repeat])
    mean = summary["monetary_value"]
    value = spend_model.customer_lifetime_value(
        orders_model, summary["frequency"], recency, age, mean, time=12, discount_rate=0.01, freq="W"
    )
    tiers = pd.Series(pd.NA, index=customers.index, dtype="Int8")
    tiers[value.index] = np.searchsorted(value.quantile([0.5, 0.8]), value, side="right").astype(np.int8)
    found = {"bgnbd": orders_model.params_.to_dict(), "gammaGamma": spend_model.params_.to_dict()}
    return tiers, found | {"clv": float(value.sum()), "buyers": len(value)}


def mask(customers: pd.DataFrame, orders: pd.DataFrame, now: pd.Timestamp, condition: Condition) -> pd.Series:
    """Who meets one condition."""
    value, operator = condition["value"], condition["operator"]
    if "event" in condition:
        since = now - pd.Timedelta(condition["within"])
        rows = (orders["orderedAt"] > since) & (orders["orderedAt"] <= now) & (orders["amount"] > 0)
        for where in condition.get("where", ()):
            rows &= orders[where["attribute"]] == where["value"]
        return orders[rows].groupby("customer").size().reindex(customers.index, fill_value=0) >= value
    column = customers[condition["attribute"]]
    match operator:
        case "in":
            return column.isin(value)
        case "not_in":
            return ~column.isin(value)
        case "gte":
            return column >= value
        case "lt":
            return column < value
        case "lte":
            return column <= value
        case "in_last":
            return (column > now - pd.Timedelta(value)) & (column <= now)
    raise ValueError(operator)


def with_tags(customers: pd.DataFrame) -> None:
    """A boolean column per tag: lists cannot be compared as columns."""
    lists = customers.pop("tags")
    lengths = lists.str.len().fillna(0).astype(int)
    owners = np.repeat(np.arange(len(customers)), lengths)
    held = pd.Categorical(np.concatenate([entry for entry in lists if entry is not None]))
    for code, tag in enumerate(held.categories):
        column = np.zeros(len(customers), dtype=bool)
        column[owners[held.codes == code]] = True
        customers[f"tag:{tag}"] = column


def tagged(customers: pd.DataFrame, condition: Condition) -> pd.Series:
    """Who has one of the tags, or none of them."""
    held = customers[[f"tag:{tag}" for tag in condition["value"]]].any(axis=1)
    return held if condition["operator"] == "has_any" else ~held


def segment(customers: pd.DataFrame, orders: pd.DataFrame, now: pd.Timestamp, conditions: list[Condition]) -> pd.Series:
    """Who meets all conditions."""
    return reduce(
        and_,
        (
            tagged(customers, condition)
            if condition.get("attribute") == "tags"
            else mask(customers, orders, now, condition)
            for condition in conditions
        ),
    )


def main() -> None:
    warnings.simplefilter("ignore")
    folder, result, asked = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.stdin.read())
    now, steps, found = pd.Timestamp(asked["now"]), {}, {}

    def timed[T](name: str, step: Callable[[], T]) -> T:
        begin = time.process_time()
        answer = step()
        steps[name] = time.process_time() - begin
        return answer

    customers, orders = timed("read the files", lambda: read(folder))
    timed("features", lambda: add_features(customers, orders, now))
    groups, found["rfm"] = timed("RFM", lambda: rfm(customers))
    labels, found["clusters"] = timed("k-means", lambda: clusters(customers))
    tiers, found["lifetime"] = timed("lifetime value", lambda: lifetime(customers, orders, now))
    timed("tags as columns", lambda: with_tags(customers))
    masks = timed(
        "fifty segments",
        lambda: {name: segment(customers, orders, now, rule) for name, rule in asked["segments"].items()},
    )
    table = pd.DataFrame(
        {"customerId": customers["customerId"], **masks, "rfm": groups, "cluster": labels, "tier": tiers}
    )
    timed("write the table", lambda: table.to_parquet(result))
    found["sizes"] = {name: int(column.sum()) for name, column in masks.items()}
    found["rfm"]["sizes"] = groups.value_counts().to_dict()
    found["clusters"]["sizes"] = sorted(labels.value_counts().tolist())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"steps": steps, "found": found, "peakMib": peak}))


if __name__ == "__main__":
    main()
