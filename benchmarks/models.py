"""The steps of a `create_model` job on a million customers: measure, fit, describe, each kind and step in a process of
its own.

`python -m benchmarks.models [--customers N]` writes partitions of 200,000 customers to a folder, and lets fresh
processes do what the functions do with them, but for reading snapshots: seconds, and the peak of a process's memory
against the 3,008 MB of the functions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    Frame,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.lifetime.purchases import Purchases, taken
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.kinds import Fitted, Report
from segmentation.engine.modelling.points import SelectionParameters
from segmentation.engine.modelling.pooled import Described, Pooled, described, pooled
from segmentation.engine.preprocess.recipe import Feature, OneHot
from segmentation.engine.preprocess.values import FEATURES as NUMBERS
from segmentation.engine.rfm.scoring import Quantiles
from segmentation.engine.sketches.hashing import hashes
from segmentation.engine.sketches.histogram import VALUES, Bounds
from segmentation.engine.sketches.sample import Drawn, draw, reserve
from segmentation.fitting import SAMPLE
from segmentation.recipes import RFM_ATTRIBUTES
from segmentation.store import measures
from segmentation.store.files import Files, Head
from segmentation.store.measures import Brought

PARTITION = 200_000
STEPS = ("measure", "fit", "describe")
KINDS = ("rfm", "cluster", "ward", "lifetime", "churn")
NOW = np.datetime64("2026-03-01T00:00:00", "us")
HISTORY_DAYS = 1_095
SEED = 11
SELECTION = SelectionParameters(1e-6, 0.95, None, None)
FEATURES = tuple(
    Feature(name, log1p=True, scaling="standard")
    for name in ("recencyDays", "orderCount", "totalSpent", "averageOrderValue", "tenureDays")
)
COUNTRY = Feature("country", missing="mode", encoding=OneHot())
TIERS = lifetime.LifetimeParameters(12, 0.01, None, (0.5, 0.3, 0.2), ("low", "medium", "high"))
RISK = churn.ChurnParameters("churned", None, 1.0, 5, (0.3, 0.7), SELECTION, 0)


class Folder(Files):
    """A bucket in a folder, as far as measures need it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(None, "folder")
        self._folder = folder

    def get(self, key: str) -> bytes:
        return (self._folder / key).read_bytes()

    def put(self, key: str, data: bytes, if_absent: bool = False, content_type: str | None = None) -> None:  # noqa: ARG002
        (self._folder / key).write_bytes(data)

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
    step: str
    seconds: float
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
    """Write every partition's customers and their purchases; returns the number of purchases."""
    random = np.random.default_rng(SEED)
    files, total = Folder(folder), 0
    for part in range(customers // PARTITION):
        bought = purchases_of(PARTITION, random)
        frame = frame_of(bought, random)
        everybody = Drawn(np.sort(random.integers(0, 1 << 63, PARTITION).astype(np.uint64)), True)
        measures.put(files, f"customers-{part:02d}", everybody, PARTITION, frame.columns, None)
        measures.put(files, f"purchases-{part:02d}", everybody, PARTITION, {}, bought)
        total += len(bought.day)
    return total


@dataclass(frozen=True)
class Kind:
    """How one kind of model brings, fits, describes and completes: what `segmentation.pooling` does by parameters.

    It brings the columns that it has to `read`, all if None.
    """

    source: str
    read: tuple[str, ...] | None
    bounds: Bounds
    pool: Callable[[Brought], Pooled]
    fit: Callable[[Pooled, Brought], tuple[Fitted, Report | None]]
    describe: Callable[[Any, Brought], Described]
    complete: Callable[[Any, Any, Described], Any]


def kind_of(name: str) -> Kind:
    """The kind of this name."""
    if name == "rfm":
        return Kind(
            "customers",
            RFM_ATTRIBUTES,
            VALUES,
            lambda part: rfm.pool(part.frame, RFM_ATTRIBUTES),
            lambda pooled, _: (rfm.fit_pooled(pooled, RFM_ATTRIBUTES, Quantiles(5), None), None),
            lambda model, part: rfm.describe(model, part.frame),
            lambda model, _, described: rfm.complete(model, described),
        )
    if name == "lifetime":
        return Kind(
            "purchases",
            None,
            lifetime.SPENDING,
            lambda part: lifetime.pool(bought_of(part), NOW),
            lambda pooled, sample: lifetime.fit_pooled(pooled, bought_of(sample), NOW, TIERS),
            lambda model, part: lifetime.describe(model, bought_of(part), NOW),
            lambda model, report, described: lifetime.complete(model, report, described, TIERS),
        )
    if name == "churn":
        return Kind(
            "customers",
            (*(feature.name for feature in FEATURES), "country", "churned"),
            VALUES,
            lambda part: Pooled(part.customers, part.customers),
            lambda _, sample: churn.fit(sample.frame, (*FEATURES, COUNTRY), RISK)[:2],
            lambda model, part: churn.describe(model, part.frame, RISK),
            lambda model, report, described: churn.complete(model, report, described),
        )
    method: cluster.Method = "kmeans" if name == "cluster" else "ward"
    parameters = cluster.ClusterParameters(method, None, (2, 12), "silhouette", 10, 10, SELECTION, 0)
    return Kind(
        "customers",
        None,
        NUMBERS,
        lambda part: cluster.pool(part.frame, FEATURES),
        lambda pooled, sample: cluster.fit(sample.frame, FEATURES, parameters, "benchmark", pooled=pooled)[:2],
        lambda model, part: cluster.describe(model, part.frame),
        lambda model, report, described: cluster.complete(model, report, described, "benchmark"),
    )


def bought_of(part: Brought) -> Purchases:
    """The purchases, which lifetime models bring."""
    assert part.purchases is not None
    return part.purchases


def measured(name: str, step: str, folder: Path) -> Measured:
    """One step of one kind in this process, over all partitions; the fit is one step for all."""
    files, kind = Folder(folder), kind_of(name)
    sources = list(files.list(f"{kind.source}-"))
    seconds = 0.0
    if step == "fit":
        begin = time.perf_counter()
        statistics = pooled((measures.get_pooled(files, key) for key in files.list("statistics-")), kind.bounds)
        sample = measures.get(files, list(files.list("rows-")), SAMPLE)
        measures.put_fitted(files, "fitted", *kind.fit(statistics, sample))
        seconds = time.perf_counter() - begin
    for number, key in enumerate(sources if step != "fit" else []):
        part = measures.get(files, [key], PARTITION)
        begin = time.perf_counter()
        if step == "measure":
            _measure(files, kind, part, number, len(sources))
        else:
            value, _ = _fitted(files, name)
            measures.put_described(files, f"described-{number:02d}", kind.describe(value, part))
        seconds += time.perf_counter() - begin
    if step == "describe":
        begin = time.perf_counter()
        value, report = _fitted(files, name)
        kind.complete(value, report, described(measures.get_described(files, key) for key in files.list("described-")))
        seconds += time.perf_counter() - begin
    return Measured(name, step, seconds, _peak_mib())


def _fitted(files: Folder, name: str) -> tuple[Fitted, Report | None]:
    found = measures.get_fitted(files, "fitted", "cluster" if name == "ward" else name)
    assert found is not None
    return found


def _peak_mib() -> float:
    """Of this program: the kernel's other figure is that of the parent, if that was larger."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _measure(files: Folder, kind: Kind, part: Brought, number: int, partitions: int) -> None:
    """What `fitting` keeps of a partition; hashes are of ids made up here."""
    measures.put_pooled(files, f"statistics-{number:02d}", kind.pool(part))
    ids = [f"customer {number} {row}" for row in range(part.customers)]
    rows, drawn = draw(hashes(ids), reserve(SAMPLE, partitions))
    bought = taken(part.purchases, rows) if part.purchases else None
    columns = {name: column.take(rows) for name, column in part.frame.columns.items() if name in (kind.read or (name,))}
    measures.put(files, f"rows-{number:02d}", drawn, part.customers, columns, bought)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help=f"a multiple of {PARTITION:,}")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.kind:
        print(json.dumps(asdict(measured(options.kind, options.step, options.folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        orders = generate(Path(name), options.customers)
        print(f"{options.customers:,} customers, {orders:,} purchase days, {PARTITION:,} customers a partition.\n")
        print("One thread. Seconds are of all partitions together, MiB the peak of a process of 3,008 MB.\n")
        print("| model | measure s | peak MiB | fit s | peak MiB | describe s | peak MiB |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        for kind in KINDS:
            cells = []
            for step in STEPS:
                command = [sys.executable, "-m", "benchmarks.models", "--kind", kind, "--step", step, "--folder", name]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
                found = Measured(**json.loads(done.stdout))
                cells += [f"{found.seconds:.2f}", f"{found.peak_mib:.0f}"]
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)
    print(f"\nBeyond {SAMPLE:,} customers the fit has a sample of so many. Cluster models choose k from 2 to 12")
    print("with ten restarts and ten bootstrap refits, `ward` on micro-clusters; the attributes that describe clusters")
    print("are read and compared too: 26 columns in all.")


if __name__ == "__main__":
    main()
