"""What the processes of the benchmark of runs do: one step of a run each, or preparing and checking the work."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fake_cloud, shop
from segmentation import changes, evaluation, partitions
from segmentation.engine.frame import Bools
from segmentation.evaluation import instant
from segmentation.store import catalogue, keys, merge, pointers, segments, snapshot
from segmentation.store.memberships import State


class _WithoutPandas(MetaPathFinder):
    """As in the functions' layers: where pandas is installed, Arrow loads it with the first array that it makes."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


sys.meta_path.insert(0, _WithoutPandas())

STREAM_BATCH = 500
"""Records that the table's stream hands to its function at once, as the template says."""


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
    usage: dict[str, int] = field(default_factory=dict)
    """What the workers noted with the job: capacity units of the table, requests to the bucket."""

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


def brought(place: Place, partition: int, night: int) -> Taken:
    """A hundredth of the customers changed: taken in as `evaluate_partition` takes in an import."""
    store, _, bucket, _ = fake_cloud.store(place.address, place.folder, place.partitions)
    previous = pointers.get(store.table, [partition], place.partitions)[partition]
    staged = shop.fresh(snapshot.read(store.files, previous), partition, night)
    begin = time.process_time()
    merged = merge.merge(snapshot.read(store.files, previous), staged, [], instant(shop.NOW))
    pointer = snapshot.write(store.files, partition, f"{night + 1:08d}-night", merged.snapshot)
    seconds = time.process_time() - begin
    pointers.move(store.table, pointer, previous, place.partitions)
    store.files.delete(list(store.files.list(f"snapshot/part={partition:04d}/{previous.version}/")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Taken(None, seconds, peak, {f"file {name}": n for name, n in bucket.requests.items()})


def truth(place: Place, partition: int) -> tuple[dict[str, Bools], int]:
    """Who is in which segment by the rules and the models as they are, worked out anew from the files; and how many
    memberships in the table differ from that.
    """
    store, table, _, _ = fake_cloud.store(place.address, place.folder, place.partitions)
    known = list(segments.all_segments(store.table, shop.NOW))
    names = catalogue.load(store.table, [segment.segmentId for segment in known])
    definitions = evaluation.define(known, names, shop.NOW)
    frame_at = partitions.load_at(store, partition, partitions.EVERYTHING)
    found = evaluation.members(definitions, frame_at, lambda _: State())
    frame, held, differing = frame_at(instant(shop.NOW)), table.bench_members(partition=partition), 0
    for segment_id, members in found.items():
        expected = {frame.ids[row] for row in np.flatnonzero(members.mask).tolist()}
        differing += len(expected.symmetric_difference(held.get(keys.members_of(segment_id, partition), ())))
    table.bench_pack()
    return {segment_id: members.mask for segment_id, members in found.items()}, differing


def told(place: Place, records: list[dict[str, Any]]) -> Taken:
    """What the function behind the table's stream does with these records, so many a batch."""
    store, table, _, _ = fake_cloud.store(place.address, place.folder, place.partitions)
    table.bench_counts()
    begin = time.process_time() - table.seconds
    for first in range(0, len(records), STREAM_BATCH):
        changes.record(store, records[first : first + STREAM_BATCH])
    seconds = time.process_time() - table.seconds - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Taken(None, seconds, peak, table.bench_counts())
