"""What the processes of the benchmark of runs do: one step of a run each, or preparing and checking the work."""

import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import fake_cloud, shop
from segmentation.store import pointers, snapshot


@dataclass(frozen=True)
class Place:
    """Where a worker finds table and bucket."""

    address: str
    folder: Path
    partitions: int


@dataclass
class Step:
    """What the workers of one step took: seconds on the processor, the highest memory, requests."""

    workers: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    peak_mib: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)

    def add(self, taken: "Taken") -> None:
        self.workers += 1
        self.seconds += taken.seconds
        self.longest = max(self.longest, taken.seconds)
        self.peak_mib = max(self.peak_mib, taken.peak_mib)
        self.requests.update(taken.requests)


@dataclass(frozen=True)
class Taken:
    """What one worker took, and what it answered."""

    answer: Any
    seconds: float
    peak_mib: float
    requests: dict[str, int]


def carried_out(place: Place, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Taken:
    """One worker: the use case in this process, which nobody used before."""
    store, table, bucket, workflows = fake_cloud.store(place.address, place.folder, place.partitions)
    table.bench_counts()
    begin = time.process_time() - table.seconds
    answer = work(store, *arguments)
    seconds = time.process_time() - table.seconds - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    requests = Counter(table.bench_counts()) + Counter({f"file {name}": n for name, n in bucket.requests.items()})
    table.bench_pack()
    return Taken((answer, workflows.started), seconds, peak, dict(requests))


def filled(place: Place, partition: int, ids: list[str]) -> None:
    """The partition's customers as an import would have left them."""
    store = fake_cloud.store(place.address, place.folder, place.partitions)[0]
    pointer = snapshot.write(store.files, partition, "00000001-first", shop.snapshot_of(ids, partition))
    pointers.move(store.table, pointer, None, place.partitions)


def brought(place: Place, partition: int) -> int:
    """A hundredth of the customers changed: the partition's next version."""
    store = fake_cloud.store(place.address, place.folder, place.partitions)[0]
    before = pointers.get(store.table, [partition], place.partitions)[partition]
    after = shop.changed(snapshot.read(store.files, before), partition)
    pointer = snapshot.write(store.files, partition, "00000002-second", after)
    pointers.move(store.table, pointer, before, place.partitions)
    return after.orders.num_rows - before.orders
