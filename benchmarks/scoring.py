"""Scores of customers by fitted models, side by side: `python -m benchmarks.scoring [customers]`.

RFM scores with the name of the group, and the nearest cluster, on one thread. Every contestant gets the same arrays and
the same cut points or centres. Results are compared before times are; figures are medians.
"""

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from segmentation.engine.clustering.kmeans import assign
from segmentation.engine.frame import Floats
from segmentation.engine.rfm.grid import DEFAULT, Grid, validate
from segmentation.engine.rfm.scoring import Quantiles, Rfm, fit, score

BINS = 5
CLUSTERS = 8
DIMENSIONS = (3, 5, 10)
ROUNDS = 5
NEAR_TIES = 1e-5
"""Share of rows that may lie so near to two centres that rounding decides between them."""

Columns = tuple[Floats, Floats, Floats]
Answer = NDArray[np.integer]


def shop(customers: int) -> Columns:
    """Days since the last order, orders and money of customers who all bought; quintiles of orders are distinct."""
    random = np.random.default_rng(20240601)
    recency = np.floor(random.gamma(1.2, 120, customers))
    frequency = random.geometric(0.1, customers).astype(np.float64)
    return recency, frequency, np.round(frequency * random.lognormal(3.5, 0.8, customers), 2)


# ------------------------------------------------------------------------------------ RFM


def engine_scored(model: Rfm, grid: Grid, columns: Columns) -> Answer:
    scores = score(model, *columns)
    return packed(scores.recency, scores.frequency, scores.monetary, grid.code(scores))


def engine_fitted(grid: Grid, columns: Columns) -> Answer:
    return engine_scored(fit(*columns, Quantiles(BINS)), grid, columns)


def with_digitize(model: Rfm, grid: Grid, columns: Columns) -> Answer:
    """numpy's search for the bin; the name by the same table."""
    recency, frequency, monetary = columns
    days = BINS - np.digitize(recency, model.recency.cuts, right=True)
    orders = 1 + np.digitize(frequency, model.frequency.cuts, right=True)
    money = 1 + np.digitize(monetary, model.monetary.cuts, right=True)
    return packed(days, orders, money, grid.cells[days, orders])


def with_cut(model: Rfm, grid: Grid, columns: Columns) -> Answer:
    """pandas with the fitted cut points; the name by the same table."""
    dimensions = (model.recency, model.frequency, model.monetary)
    days, orders, money = (
        1 + pd.cut(values, [-np.inf, *dimension.cuts, np.inf], labels=False)
        for values, dimension in zip(columns, dimensions, strict=True)
    )
    days = BINS + 1 - days
    return packed(days, orders, money, grid.cells[days, orders])


def with_qcut(grid: Grid, columns: Columns) -> Answer:
    """pandas, from quantiles of these customers to names."""
    days, orders, money = (1 + pd.qcut(values, BINS, labels=False) for values in columns)
    days = BINS + 1 - days
    return packed(days, orders, money, grid.cells[days, orders])


def packed(recency: Answer, frequency: Answer, monetary: Answer, name: Answer) -> Answer:
    """Everybody's answer in one shape: three scores and the name of a customer in a column of int8."""
    return np.stack([part.astype(np.int8, copy=False) for part in (recency, frequency, monetary, name)])


# -------------------------------------------------------------------------------- contest


def contest(title: str, rows: int, contestants: dict[str, Callable[[], Answer]], different: float = 0.0) -> None:
    """Every round runs everybody once; prints medians, customers a second and the ratio of each to the first."""
    results = {name: run() for name, run in contestants.items()}
    first = next(iter(results))
    for name, result in results.items():
        if np.mean(result != results[first]) > different:
            raise AssertionError(f"{name} disagrees: {title}")
    results.clear()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            gc.collect()
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    fastest = min(value for name, value in medians.items() if name != first)
    print(f"\n{title}\n\n| contestant | median s | million customers a second | times the engine |\n|---|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:.4f} | {rows / value / 1e6:.1f} | {value / medians[first]:.2f} |")
    print(f"\nSpeed of the engine relative to the fastest peer: {fastest / medians[first]:.2f}")


def rfm(customers: int) -> None:
    columns = shop(customers)
    model, grid = fit(*columns, Quantiles(BINS)), validate(DEFAULT, BINS)
    contest(
        f"RFM scores and names of {customers:,} customers by fitted cut points",
        customers,
        {
            "engine": lambda: engine_scored(model, grid, columns),
            "numpy.digitize": lambda: with_digitize(model, grid, columns),
            "pandas.cut": lambda: with_cut(model, grid, columns),
        },
    )
    contest(
        f"RFM of {customers:,} customers from quantiles to names",
        customers,
        {
            "engine": lambda: engine_fitted(grid, columns),
            "pandas.qcut": lambda: with_qcut(grid, columns),
        },
    )


def clusters(customers: int, dimensions: int) -> None:
    random = np.random.default_rng(dimensions)
    centres = random.normal(size=(CLUSTERS, dimensions)) * 2
    points = centres[random.integers(0, CLUSTERS, customers)] + random.normal(size=(customers, dimensions))
    peer = KMeans(CLUSTERS, init=centres, n_init=1, max_iter=1).fit(points[:10_000])
    fitted = np.ascontiguousarray(peer.cluster_centers_)
    contest(
        f"Nearest of {CLUSTERS} centres in {dimensions} dimensions for {customers:,} customers",
        customers,
        {"engine": lambda: assign(fitted, points), "scikit-learn": lambda: peer.predict(points)},
        NEAR_TIES,
    )


def main() -> None:
    customers = int((sys.argv[1:] or ["2000000"])[0])
    versions = {"numpy": np, "pandas": pd, "scikit-learn": sklearn}
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {module.__version__}" for name, module in versions.items()))
    rfm(customers)
    for dimensions in DIMENSIONS:
        clusters(customers, dimensions)


if __name__ == "__main__":
    # Libraries read the number of threads when they are loaded.
    if os.environ.get("OMP_NUM_THREADS") != "1" or os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.scoring", *sys.argv[1:]])
    main()
