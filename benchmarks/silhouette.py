"""Exact silhouettes, side by side: `python -m benchmarks.silhouette [rows]`.

Both contestants get the same float64 points and labels and one thread; their means and the means of every cluster are
compared before times are. Then a sample of many customers against the exact silhouette of the same, for its error.
"""

import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import sklearn
from sklearn.metrics import silhouette_samples

from segmentation.engine.clustering.silhouette import silhouette
from segmentation.engine.frame import Codes, Floats

ROUNDS = 3
AGREEMENT = 1e-5
SHAPES = ((3, 5, 3.0), (5, 8, 3.0), (10, 12, 2.0))
"""Columns, clusters, and how far apart these are, in standard deviations of one."""
SAMPLED = 100_000


def crowd(rows: int, columns: int, clusters: int, apart: float) -> tuple[Floats, Codes]:
    """Clouds of unequal size."""
    random = np.random.default_rng(20261122)
    shares = random.dirichlet(np.full(clusters, 3.0))
    labels = random.choice(clusters, rows, p=shares).astype(np.int32)
    return random.normal(0, apart, (clusters, columns))[labels] + random.normal(0, 1, (rows, columns)), labels


def scores(rows: int) -> tuple[Floats, Codes]:
    """Three scores from 1 to 5: many customers are equal, where single precision is of no use."""
    points = np.random.default_rng(20261122).integers(1, 6, (rows, 3)).astype(np.float64)
    total = points.sum(axis=1)
    return points, (total > 7).astype(np.int32) + (total > 9) + (total > 11)


def ours(points: Floats, labels: Codes) -> Floats:
    """Means per cluster and, last, of all."""
    found = silhouette(points, labels, exact_limit=len(points))
    return np.array([*found.per_cluster, found.mean])


def theirs(points: Floats, labels: Codes) -> Floats:
    widths = silhouette_samples(points, labels)
    return np.array([*(widths[labels == label].mean() for label in range(labels.max() + 1)), widths.mean()])


def measured(run: Callable[[], object]) -> float:
    gc.collect()
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def peak(run: Callable[[], object]) -> float:
    """Most memory that a run held beside its arguments, MB."""
    tracemalloc.start()
    run()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held / 1e6


def contest(title: str, points: Floats, labels: Codes) -> float:
    """Prints one row of the table; returns how many times faster the engine is."""
    difference = np.abs(ours(points, labels) - theirs(points, labels)).max()
    if not difference < AGREEMENT:
        raise AssertionError(f"{title}: the means differ by {difference:.1e}")
    times = [(measured(lambda: ours(points, labels)), measured(lambda: theirs(points, labels))) for _ in range(ROUNDS)]
    mine, peer = (statistics.median(column) for column in zip(*times, strict=True))
    memory = [peak(lambda: ours(points, labels)), peak(lambda: theirs(points, labels))]
    print(
        f"| {title} | {mine:.3f} | {peer:.2f} | {peer / mine:.1f} | {memory[0]:.0f} | {memory[1]:.0f} "
        f"| {difference:.0e} |",
        flush=True,
    )
    return float(peer / mine)


def sampled() -> None:
    """A sample of 20,000 beside all pairs of five times as many customers."""
    points, labels = crowd(SAMPLED, 5, 8, 3.0)
    exact = silhouette(points, labels, exact_limit=SAMPLED)
    seconds = [measured(partial(silhouette, points, labels, seed=seed)) for seed in range(ROUNDS)]
    found = [silhouette(points, labels, seed=seed) for seed in range(10)]
    misses = [abs(sample.mean - exact.mean) for sample in found]
    errors = [sample.standard_error for sample in found]
    inside = sum(miss < 2 * error for miss, error in zip(misses, errors, strict=True))
    print(
        f"\n{SAMPLED:,} customers, of whom {found[0].rows:,} are sampled: {statistics.median(seconds):.2f} s, stated "
        f"standard error {statistics.median(errors):.4f}, off the exact silhouette of {exact.mean:.4f} by "
        f"{statistics.median(misses):.4f} (median of 10 seeds); {inside} of 10 within two standard errors."
    )


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"{rows:,} customers, one thread, medians of {ROUNDS}; numpy {np.__version__}, scikit-learn ", end="")
    print(f"{sklearn.__version__}. Memory is the peak beside the points; the last column is how far means differ.\n")
    print("| data | engine s | scikit-learn s | times faster | engine MB | scikit-learn MB | difference |")
    print("|---|---|---|---|---|---|---|")
    ratios = [
        contest(f"{columns} columns, {clusters} clusters", *crowd(rows, columns, clusters, apart))
        for columns, clusters, apart in SHAPES
    ]
    ratios.append(contest("3 scores of 1 to 5, 4 clusters", *scores(rows)))
    print(f"\nSpeed of the engine relative to scikit-learn, at least: {min(ratios):.1f}")
    sampled()


if __name__ == "__main__":
    # Libraries read the number of threads when they are loaded.
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.silhouette", *sys.argv[1:]])
    main()
