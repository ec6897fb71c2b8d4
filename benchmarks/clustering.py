"""k-means and choosing k beside scikit-learn: `python -m benchmarks.clustering [rows]`.

Both get the same rows and one thread. "Same start": both iterate from the same k centres, drawn by k-means++. "Own
start" and "ten restarts": `KMeans(k, n_init=1 or 10)` with its k-means++ beside `fit(restarts=1 or 10)`. scikit-learn
runs as it comes (Lloyd, `tol=1e-4`); the engine stops by the same rule. The inertia is compared beside every time: what
the engine's is above (+) or below (-).
"""

import os
import platform
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.metrics import silhouette_score

from segmentation.engine.clustering.choosing import choose
from segmentation.engine.clustering.kmeans import assign, fit
from segmentation.engine.frame import Floats

CELLS = [(columns, k) for columns in (3, 5, 10) for k in (4, 8, 12)]
STARTS = 3
KS = range(2, 13)
SILHOUETTE_ROWS = 20_000


def customers(rows: int, columns: int, groups: int = 6, seed: int = 0) -> Floats:
    """Standardised attributes of shoppers: two hidden traits, in overlapping groups, show in all of them with noise."""
    random = np.random.default_rng(seed)
    owners = random.choice(groups, rows, p=random.dirichlet(np.full(groups, 4.0)))
    traits = random.standard_normal((groups, 2))[owners] + random.standard_normal((rows, 2))
    points = traits @ random.standard_normal((2, columns)) + 0.7 * random.standard_normal((rows, columns))
    return (points - points.mean(axis=0)) / points.std(axis=0)


def apart(rows: int, columns: int, groups: int, seed: int = 0) -> Floats:
    """Standardised rows of groups that hardly overlap, of unequal size and width: a few iterations find them."""
    random = np.random.default_rng(seed)
    centres = 2 * random.standard_normal((groups, columns))
    widths = random.uniform(0.6, 1.4, (groups, columns))
    owners = random.choice(groups, rows, p=random.dirichlet(np.full(groups, 4.0)))
    points = centres[owners] + random.standard_normal((rows, columns)) * widths[owners]
    return (points - points.mean(axis=0)) / points.std(axis=0)


def drawn(points: Floats, k: int, seed: int) -> Floats:
    """k rows by k-means++ as scikit-learn draws them, from a part of the points."""
    part = points[:: max(1, len(points) // 20_000)]
    return np.asarray(kmeans_plusplus(part, k, random_state=seed)[0])


def timed[T](run: Callable[[], T]) -> tuple[float, T]:
    begin = time.perf_counter()
    result = run()
    return time.perf_counter() - begin, result


def race(theirs: Callable[[int], Any], ours: Callable[[int], Any], rounds: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the engine's inertia relative to theirs."""
    seconds, mine, excess = [], [], []
    for seed in range(rounds):
        slow, their = timed(lambda: theirs(seed))  # noqa: B023
        fast, our = timed(lambda: ours(seed))  # noqa: B023
        seconds.append(slow)
        mine.append(fast)
        excess.append(our[0].inertia / their.inertia_ - 1)
    return statistics.median(seconds), statistics.median(mine), statistics.median(excess)


def same_start(points: Floats, k: int) -> tuple[float, float, float]:
    starts = [drawn(points, k, seed) for seed in range(STARTS)]
    return race(
        lambda seed: KMeans(k, n_init=1, init=starts[seed]).fit(points),
        lambda seed: fit(points, k, start=starts[seed]),
        STARTS,
    )


def own_start(points: Floats, k: int, restarts: int, rounds: int) -> tuple[float, float, float]:
    return race(
        lambda seed: KMeans(k, n_init=restarts, random_state=seed).fit(points),
        lambda seed: fit(points, k, restarts=restarts, seed=seed),
        rounds,
    )


def table(title: str, rows: int, of: Callable[..., Floats], names: tuple[str, ...]) -> None:
    print(f"\n### {title}\n\n| columns | k | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    ratios = []
    for columns, k in CELLS:
        points = of(rows, columns, k if of is apart else 6, seed=k)
        races = [same_start(points, k)]
        if len(names) > 1:
            races += [own_start(points, k, 1, STARTS), own_start(points, k, 10, 1)]
        cells = [f"{slow:.2f} / {fast:.3f} = **{slow / fast:.1f}** ({excess:+.2%})" for slow, fast, excess in races]
        print(f"| {columns} | {k} | {' | '.join(cells)} |", flush=True)
        ratios.append([slow / fast for slow, fast, _ in races])
    words = [
        f"{name}: median {statistics.median(found):.1f}, lowest {min(found):.1f}"
        for name, found in zip(names, zip(*ratios, strict=True), strict=True)
    ]
    print(f"\nTimes as fast as scikit-learn, over the {len(CELLS)} cells: {'; '.join(words)}.")


def theirs_chosen(points: Floats) -> int:
    """scikit-learn choosing k: a fit and a sampled silhouette for each, the labels of the best."""
    widths = {}
    for k in KS:
        model = KMeans(k, n_init=1, random_state=0).fit(points)
        widths[k] = silhouette_score(points, model.labels_, sample_size=SILHOUETTE_ROWS, random_state=0)
    return max(widths, key=lambda k: widths[k])


def choosing(rows: int) -> None:
    points = apart(rows, 5, 6)
    slow, their = timed(lambda: theirs_chosen(points))
    fast, (curve, _, labels) = timed(lambda: choose(points, KS, "silhouette", restarts=1))
    ten, (other, _, _) = timed(lambda: choose(points, KS, "silhouette", restarts=10))
    print(f"\n### Choosing k from 2 to 12 by silhouettes, labels for {rows:,} x 5\n")
    print("| contestant | s | times the engine | k |\n|---|---|---|---|")
    print(f"| engine, one restart | {fast:.2f} | 1.0 | {curve.chosen} |")
    print(f"| engine, ten restarts | {ten:.2f} | {ten / fast:.1f} | {other.chosen} |")
    print(
        f"| scikit-learn, `n_init=1`, silhouettes of {SILHOUETTE_ROWS:,} rows | {slow:.1f} | {slow / fast:.1f} |",
        end="",
    )
    print(f" {their} |")
    print(f"\nThe engine measures the curve on {curve.rows:,} customers and fits the chosen k to all {len(labels):,}.")


def assigning(rows: int) -> None:
    print("\n### Assignment of customers to 8 centres\n")
    print("| columns | engine, million customers a second | scikit-learn `predict` |\n|---|---|---|")
    for columns in (3, 5):
        points = customers(rows, columns)
        model = KMeans(8, n_init=1, max_iter=2, init=points[:8]).fit(points)
        centres = model.cluster_centers_
        same = np.mean(assign(centres, points) == model.predict(points))
        if same < 0.99999:
            raise AssertionError(f"only {same:.6%} of the labels agree")
        fast = statistics.median(timed(lambda: assign(centres, points))[0] for _ in range(5))  # noqa: B023
        slow = statistics.median(timed(lambda: model.predict(points))[0] for _ in range(5))  # noqa: B023
        print(f"| {columns} | {rows / fast / 1e6:.1f} | {rows / slow / 1e6:.1f} |")


def memory(rows: int) -> None:
    print("\n### Memory of a fit\n\n| columns | input MB | peak beside it MB | both / input |\n|---|---|---|---|")
    for columns in (3, 5, 10):
        points = customers(rows, columns)
        tracemalloc.start()
        fit(points, 8, restarts=10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"| {columns} | {points.nbytes / 1e6:.0f} | {peak / 1e6:.0f} | {1 + peak / points.nbytes:.2f} |")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, one thread each, Python {platform.python_version()}, ", end=""
    )
    print(f"numpy {np.__version__}, scikit-learn {sklearn.__version__}. {rows:,} customers.")
    print(
        "Cells: scikit-learn s / engine s = ratio (inertia of the engine), medians of three starts; ten restarts once."
    )
    table("Shoppers in six overlapping groups", rows, customers, ("same start", "own start", "ten restarts"))
    table("k groups that lie apart", rows, apart, ("same start",))
    choosing(rows)
    assigning(rows)
    memory(rows)


if __name__ == "__main__":
    # Libraries read the number of threads when they are loaded.
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.clustering", *sys.argv[1:]])
    main()
