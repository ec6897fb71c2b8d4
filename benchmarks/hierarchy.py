"""Hierarchical clusters beside scipy: `python -m benchmarks.hierarchy [rounds]`.

Both get the same rows and one thread, and answer with labels for k clusters. Exact trees: labels are compared before
times are. On micro-clusters: the within-cluster sum of squares is compared with that of scipy's tree over all rows,
over seeds and kinds of data, with clusters and without.
"""

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy
from scipy.cluster.hierarchy import fcluster, linkage

from segmentation.engine.clustering.hierarchy import Linkage, fit
from segmentation.engine.clustering.indices import adjusted_rand
from segmentation.engine.frame import Codes, Floats

K = 8
SEEDS = range(4)
MICRO_LIMIT = 10_000
"""Given instead of the service's limit of 20,000, so that 20,000 rows are clustered on micro-clusters."""


def clustered(rows: int, columns: int) -> Floats:
    """Twelve clusters that overlap a little."""
    random = np.random.default_rng(20240601)
    return random.normal(size=(12, columns))[random.integers(0, 12, rows)] * 3 + random.normal(size=(rows, columns))


def skewed(rows: int, columns: int) -> Floats:
    """One correlated cloud with a long tail, as amounts and counts of customers are: no clusters."""
    random = np.random.default_rng(20240602)
    return np.log1p(np.exp(random.normal(size=(rows, columns)) @ random.normal(size=(columns, columns)) * 0.5))


def even(rows: int, columns: int) -> Floats:
    """One round cloud: no clusters."""
    return np.random.default_rng(20240603).normal(size=(rows, columns))


def ours(points: Floats, method: Linkage, limit: int = 20_000, seed: int = 0) -> Codes:
    return fit(points, K, method, seed=seed, exact_limit=limit)[1]


def with_scipy(points: Floats, method: Linkage) -> Codes:
    return np.asarray(fcluster(linkage(points, method), K, "maxclust"), dtype=np.int32) - 1


def within(points: Floats, labels: Codes) -> float:
    """Sum of squared distances to the mean of the own cluster."""
    sizes = np.bincount(labels)
    means = np.stack([np.bincount(labels, weights=column) / sizes for column in points.T], axis=1)
    return float(((points - means[labels]) ** 2).sum())


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    begin = time.perf_counter()
    result = run()
    return time.perf_counter() - begin, result


def median_of(runs: Sequence[Callable[[], Codes]], rounds: int) -> list[float]:
    """Every round runs everybody once."""
    seconds = [[timed(run)[0] for run in runs] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def exact(rounds: int) -> None:
    print(
        "\nExact trees\n\n| linkage | rows | columns | engine s | scipy s | times faster |\n|---|---|---|---|---|---|"
    )
    cases: list[tuple[Linkage, int, int]] = [("ward", 10_000, 2), ("ward", 10_000, 5), ("ward", 10_000, 10)]
    cases += [("average", 10_000, 5), ("complete", 10_000, 5)]
    for method, rows, columns in cases:
        points = clustered(rows, columns)
        agreement = adjusted_rand(ours(points, method), with_scipy(points, method))
        if agreement != 1:
            raise AssertionError(f"{method}, {columns} columns: adjusted Rand index with scipy {agreement}")
        runs = [lambda: ours(points, method), lambda: with_scipy(points, method)]  # noqa: B023
        engine, peer = median_of(runs, rounds)
        print(f"| {method} | {rows:,} | {columns} | {engine:.3f} | {peer:.3f} | {peer / engine:.1f} |", flush=True)
    print("\nLabels are the same (adjusted Rand index 1).")


def on_micro_clusters(rounds: int) -> None:
    rows = 20_000
    print(
        f"\nWard's linkage at {rows:,} rows: on micro-clusters, exact, and scipy; the loss is the within-cluster sum "
        f"of squares beyond scipy's, least and most over {len(SEEDS)} seeds\n\n"
        "| data | columns | micro s | exact s | scipy s | micro times faster | loss |\n|---|---|---|---|---|---|---|"
    )
    for make, columns in ((clustered, 3), (clustered, 5), (clustered, 10), (skewed, 5), (even, 5)):
        points = make(rows, columns)
        peer, expected = timed(lambda: with_scipy(points, "ward"))  # noqa: B023
        reference = within(points, expected)
        losses = [within(points, ours(points, "ward", MICRO_LIMIT, seed)) / reference - 1 for seed in SEEDS]
        runs = [lambda: ours(points, "ward", MICRO_LIMIT), lambda: ours(points, "ward")]  # noqa: B023
        micro, full = median_of(runs, rounds)
        print(
            f"| {make.__name__} | {columns} | {micro:.3f} | {full:.3f} | {peer:.1f} | {peer / micro:.0f} | "
            f"{min(losses):+.2%} to {max(losses):+.2%} |",
            flush=True,
        )
    print(
        "\nscipy runs once per line. Where there are clusters, micro-clusters find those of the exact tree; where "
        "there are none, any tree is one of many that are about as good, and losses lie on both sides of zero."
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, one thread each, k = {K}, medians of {rounds} rounds")
    exact(rounds)
    on_micro_clusters(rounds)


if __name__ == "__main__":
    # Libraries read the number of threads when they are loaded.
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.hierarchy", *sys.argv[1:]])
    main()
