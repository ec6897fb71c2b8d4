"""The fit step of a `create_model` job on a million customers, each kind in a process of its own.

`python -m benchmarks.models [--customers N]` writes what sixteen partitions would bring (`store.measures`) to a folder,
and lets a fresh process read it, fit, and score everybody: seconds, and the peak of the process's memory against the
3,008 MB of the function.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    EventTable,
    Frame,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.points import SelectionParameters
from segmentation.engine.preprocess.recipe import Feature, OneHot
from segmentation.engine.rfm.scoring import Quantiles
from segmentation.recipes import RFM_ATTRIBUTES
from segmentation.store import measures
from segmentation.store.files import Files, Head

PARTITIONS = 16
KINDS = ("rfm", "cluster", "ward", "lifetime", "churn")
NOW = np.datetime64("2026-03-01T00:00:00", "us")
HISTORY_DAYS = 1_095
LIMIT_MIB = 3_008
SEED = 11
SELECTION = SelectionParameters(1e-6, 0.95, None, None)
FEATURES = tuple(
    Feature(name, log1p=True, scaling="standard")
    for name in ("recencyDays", "orderCount", "totalSpent", "averageOrderValue", "tenureDays")
)
COUNTRY = Feature("country", missing="mode", encoding=OneHot())


class Folder(Files):
    """A bucket in a folder, as far as measures need it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(None, "folder")
        self._folder = folder

    def head(self, key: str) -> Head:
        return Head((self._folder / key).stat().st_size, "", None)

    def get_range(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:  # noqa: ARG002
        with (self._folder / key).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def put_stream(self, key: str, content_type: str = "") -> Any:  # noqa: ARG002
        return (self._folder / key).open("wb")

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(file.name for file in self._folder.glob(f"{prefix}*"))


@dataclass(frozen=True)
class Measured:
    """What one process took."""

    kind: str
    read: float
    fit: float
    score: float
    peak_mib: float


def purchases_of(customers: int, random: np.random.Generator) -> Purchases:
    """Purchase days as BG/NBD has them, about ten a customer over three years."""
    rate = random.gamma(0.8, 1 / 25, customers)
    leaves = random.beta(0.6, 6.0, customers)
    first = random.integers(0, HISTORY_DAYS - 30, customers).astype(np.float64)
    owner, day = [np.arange(customers)], [first]
    alive = np.arange(customers)
    at = first
    while len(alive):
        stays = random.random(len(alive)) >= leaves[alive]
        alive, at = alive[stays], at[stays]
        at = at + random.exponential(1 / rate[alive])
        inside = at < HISTORY_DAYS
        alive, at = alive[inside], at[inside]
        owner.append(alive)
        day.append(at)
    end = int(NOW.astype("datetime64[D]").astype(np.int64))
    keys = np.unique(np.concatenate(owner) * np.int64(4 * HISTORY_DAYS) + np.concatenate(day).astype(np.int64))
    offsets = np.searchsorted(keys, np.arange(customers + 1) * np.int64(4 * HISTORY_DAYS))
    days = (keys % (4 * HISTORY_DAYS) + end - HISTORY_DAYS).astype(np.int32)
    spend = np.repeat(random.gamma(4, 12, customers), np.diff(offsets))
    return Purchases(offsets, days, np.round(spend * random.gamma(5, 1 / 5, len(days)) + 0.01, 2))


def frame_of(purchases: Purchases, random: np.random.Generator) -> Frame:
    """Features of the purchases, a label, and twenty further attributes that may describe clusters."""
    size = len(purchases.offsets) - 1
    end = int(NOW.astype("datetime64[D]").astype(np.int64))
    count = np.diff(purchases.offsets).astype(np.float64)
    spent = np.add.reduceat(purchases.amount, purchases.offsets[:-1])
    first, last = purchases.day[purchases.offsets[:-1]], purchases.day[purchases.offsets[1:] - 1]
    numbers: dict[str, NDArray[Any]] = {
        "recencyDays": (end - last).astype(np.float64),
        "orderCount": count,
        "totalSpent": spent,
        "averageOrderValue": spent / count,
        "tenureDays": (end - first).astype(np.float64),
        **{f"number{n}": random.normal(50, 20, size) for n in range(10)},
    }
    columns: dict[str, Column] = {name: NumberColumn(values) for name, values in numbers.items()}
    for n in range(10):
        codes = random.integers(-1, 30, size).astype(np.int32)
        columns[f"text{n}"] = StringColumn(codes, tuple(f"value {v}" for v in range(30)))
    columns["country"] = StringColumn(random.integers(0, 12, size).astype(np.int32), tuple("ABCDEFGHIJKL"))
    risk = 1 / (1 + np.exp(-(numbers["recencyDays"] - 400) / 150))
    columns["churned"] = BooleanColumn((random.random(size) < risk).astype(np.int8))
    return Frame(size, columns)


def generate(folder: Path, customers: int) -> int:
    """Write every partition's measures; returns the number of purchases."""
    random = np.random.default_rng(SEED)
    files, total = Folder(folder), 0
    for part in range(PARTITIONS):
        bought = purchases_of(customers // PARTITIONS, random)
        frame = frame_of(bought, random)
        measures.put(files, f"columns-{part:02d}", frame, frame.columns, None)
        measures.put(files, f"purchases-{part:02d}", frame, {}, bought)
        total += len(bought.day)
    return total


def measured(kind: str, folder: Path) -> Measured:
    """One kind in this process: read, fit, score."""
    files = Folder(folder)
    begin = time.perf_counter()
    frame, bought = measures.get(files, list(files.list("purchases" if kind == "lifetime" else "columns")))
    read = time.perf_counter()
    scored = {
        "rfm": lambda: _rfm(frame),
        "cluster": lambda: _cluster(frame, "kmeans"),
        "ward": lambda: _cluster(frame, "ward"),
        "lifetime": lambda: _lifetime(frame, bought),
        "churn": lambda: _churn(frame),
    }[kind]()
    fitted = time.perf_counter()
    scored()
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(kind, read - begin, fitted - read, done - fitted, peak)


def _rfm(frame: Frame) -> Any:
    model, _, _ = rfm.fit(frame, RFM_ATTRIBUTES, Quantiles(5), None)
    return lambda: rfm.score(model, frame)


def _cluster(frame: Frame, method: cluster.Method) -> Any:
    parameters = cluster.ClusterParameters(method, None, (2, 12), "silhouette", 10, 10, SELECTION, 0)
    model, _, _ = cluster.fit(frame, FEATURES, parameters, "benchmark")
    return lambda: cluster.score(model, frame)


def _lifetime(frame: Frame, bought: Purchases | None) -> Any:
    assert bought is not None
    parameters = lifetime.LifetimeParameters(12, 0.01, None, (0.5, 0.3, 0.2), ("low", "medium", "high"))
    model, _, _ = lifetime.fit(bought, NOW, parameters)
    orders = EventTable(bought.offsets, bought.day.astype("datetime64[D]").astype("datetime64[us]"))
    with_amounts = EventTable(orders.offsets, orders.time, {"amount": NumberColumn(bought.amount)})
    shop = Frame(frame.size, {}, {"order": with_amounts})
    return lambda: lifetime.score(model, shop, NOW)


def _churn(frame: Frame) -> Any:
    parameters = churn.ChurnParameters("churned", None, 1.0, 5, (0.3, 0.7), SELECTION, 0)
    model, _, _ = churn.fit(frame, (*FEATURES, COUNTRY), parameters)
    return lambda: churn.score(model, frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(asdict(measured(options.kind, options.folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        orders = generate(Path(name), options.customers)
        print(f"{options.customers:,} customers, {orders:,} purchase days, {PARTITIONS} partitions; one thread.\n")
        print("| model | read s | fit s | score all s | peak MiB | of 3,008 MB |\n|---|---:|---:|---:|---:|---:|")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        for kind in KINDS:
            command = [sys.executable, "-m", "benchmarks.models", "--kind", kind, "--folder", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            found = Measured(**json.loads(done.stdout))
            seconds = f"{found.read:.2f} | {found.fit:.2f} | {found.score:.2f}"
            print(f"| {kind} | {seconds} | {found.peak_mib:.0f} | {found.peak_mib / LIMIT_MIB:.0%} |", flush=True)
    print(
        "\nCluster models choose k from 2 to 12 with ten restarts and ten bootstrap refits, `ward` on micro-clusters."
    )
    print("The attributes that describe clusters are read and compared too: 26 columns in all.")


if __name__ == "__main__":
    main()
