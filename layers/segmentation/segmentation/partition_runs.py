"""One partition of an import or a run: merge what is new, evaluate every segment, write only what differs.

Everything here may be repeated: a worker that died half-way leaves a state from which the next one reaches the same
end.
"""

import gzip
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segmentation import evaluation, partitions, scoring
from segmentation.engine.analysis.measuring import measure
from segmentation.errors import NotFound, TooBusy
from segmentation.evaluation import Definitions, Members
from segmentation.store import (
    catalogue,
    customers,
    jobs,
    keys,
    memberships,
    merge,
    pointers,
    scorers,
    segments,
    snapshot,
)
from segmentation.store.memberships import Decision
from segmentation.store.snapshot import Pointer, Snapshot
from segmentation.store.store import Store

EVALUATE = "evaluate"
IMPORT = "import"
_ATTEMPTS = 5


@dataclass(frozen=True)
class Task:
    """What a worker is asked to do, as the state machine's items say it."""

    job_id: str
    partition: int
    kind: str
    dataset: str | None = None
    segment_ids: tuple[str, ...] | None = None
    now: datetime | None = None
    dropped_at: datetime | None = None

    @staticmethod
    def of(event: Mapping[str, Any], job: Mapping[str, Any]) -> "Task":
        """The task of a state machine's item, and of its job, where everything that may be long is kept."""
        named, now = job["details"].get("segmentIds"), job["details"].get("now")
        return Task(
            event["jobId"],
            event["partition"],
            event["kind"],
            event.get("dataset"),
            tuple(named) if named is not None else None,
            datetime.fromisoformat(now) if now else None,
            datetime.fromisoformat(job["createdAt"]),
        )


def work(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, int]:
    """What the state machine's item asks for. Raises NotFound if its job is gone."""
    return evaluate(store, Task.of(event, jobs.item(store.table, event["jobId"])), at)


def evaluate(store: Store, task: Task, at: datetime) -> dict[str, int]:
    """Do the task and record its figures with the job: customers read, memberships entered and left, decisions
    taken from a file.
    """
    counts = {"customers": 0, "entered": 0, "left": 0}
    if task.kind == IMPORT and task.dataset == "members":
        counts["skipped"] = _take_members(store, task, at)
    for _ in range(_ATTEMPTS if _has_work(store, task) else 0):
        merged, pointer = _merge(store, task, at)
        counts["customers"] = merged.customers.num_rows
        for name, number in _evaluate(store, task, merged, at).items():
            counts[name] += number
        # What others wrote meanwhile, files or profiles, may have been overwritten with an older truth: look again.
        moved = partitions.current(store, task.partition) != pointer
        if not moved and not customers.of_partition(store.table, task.partition):
            break
    expires_at = int(at.timestamp()) + jobs.KEEP_SECONDS
    jobs.record_part(store.table, task.job_id, EVALUATE, task.partition, counts, expires_at)
    return counts


def _has_work(store: Store, task: Task) -> bool:
    """A run always evaluates; an import only partitions that it brings something to.

    Decided by the staged files and not by what a merge changes: the worker before may have died between its merge and
    its evaluation.
    """
    if task.kind != IMPORT:
        return True
    return any(True for _ in store.files.list(keys.staged_prefix(task.job_id, task.partition)))


def _merge(store: Store, task: Task, at: datetime) -> tuple[Snapshot, Pointer | None]:
    """Bring the partition's snapshot up to date; returns it and its pointer."""
    staged = merge.Staged()
    if task.kind == IMPORT and task.dataset != "members":
        staged = merge.take_staged(store.files, task.job_id, task.partition, task.dropped_at)
    for _ in range(_ATTEMPTS):
        previous = partitions.current(store, task.partition)
        try:
            before = snapshot.read(store.files, previous)
        except NotFound:
            # Others moved the pointer and cleared the version that it named: read it again.
            if partitions.current(store, task.partition) == previous:
                raise
            continue
        pending = customers.of_partition(store.table, task.partition)
        result = merge.merge(before, staged, pending, evaluation.instant(at))
        pointer = previous
        if result.changed:
            version = f"{_number(previous.version) + 1 if previous else 1:08d}-{secrets.token_hex(4)}"
            pointer = snapshot.write(store.files, task.partition, version, result.snapshot)
            if not pointers.move(store.table, pointer, previous, store.partitions):
                store.files.delete(store.files.list(f"{keys.snapshot_prefix(task.partition)}{version}/"))
                continue
        for profile in pending:
            customers.merged(store.table, profile)
        if pointer and (task.kind == "erasure" or any(profile.attributes is None for profile in pending)):
            _purge(store, pointer)
        elif previous and result.changed:
            _clear_before(store, previous)
        return result.snapshot, pointer
    raise TooBusy(f"partition {task.partition} is being changed by others all the time; try again")


def _clear_before(store: Store, previous: Pointer) -> None:
    """Delete versions before the previous one: a reader that began a moment ago may still need that.

    Versions are numbered. Those after it are left alone: another worker may be writing one that no pointer names yet.
    """
    prefix, oldest = keys.snapshot_prefix(previous.partition), _number(previous.version)
    store.files.delete([key for key in store.files.list(prefix) if _number(key.removeprefix(prefix)) < oldest])


def _purge(store: Store, pointer: Pointer) -> None:
    """Delete all traces of versions before the current one: they hold a person who was erased."""
    prefix, current = keys.snapshot_prefix(pointer.partition), _number(pointer.version)

    def is_doomed(key: str) -> bool:
        is_current = key.startswith(f"{prefix}{pointer.version}/")
        return _number(key.removeprefix(prefix)) <= current and not is_current

    store.files.purge(prefix, is_doomed)


def _number(version: str) -> int:
    """Versions are `<number>-<random>`; each is one more than the one that it was made from."""
    return int(version.split("-")[0])


def _evaluate(store: Store, task: Task, merged: Snapshot, at: datetime) -> dict[str, int]:
    now = task.now or at
    known = list(segments.all_segments(store.table, at))
    items = catalogue.items(store.table)
    names = catalogue.from_items(items, [segment.segmentId for segment in known])
    definitions = evaluation.define(known, names, now)
    frame_at = partitions.frame_at(merged, scoring.load(store.files, scorers.usable(items, names.attributes)))
    found = evaluation.members(definitions, frame_at, partitions.decisions(store, definitions, task.partition))
    cause = {IMPORT: "import", "erasure": "erasure"}.get(task.kind, "run")
    counts = {"entered": 0, "left": 0}
    for segment_id, definition in definitions.items():
        if task.segment_ids is not None and segment_id not in task.segment_ids:
            continue
        # One segment's members at a time: those of all segments together would not fit a worker.
        state = memberships.state_of_partition(store.table, segment_id, task.partition)
        frame = frame_at(definition.now)
        changes = evaluation.changes(definition, frame, found[segment_id], state, cause, task.job_id)
        memberships.write(store.table, changes, at, store.partitions)
        counts["entered"] += sum(change.entered for change in changes)
        counts["left"] += sum(not change.entered for change in changes)
    for segment_id in segments.deleting(store.table):
        counts["left"] += memberships.remove_partition(store.table, segment_id, task.partition, at, task.job_id)
    _measure(store, task.partition, definitions, found, frame_at, evaluation.instant(now), at)
    return counts


def _measure(
    store: Store,
    partition: int,
    definitions: Definitions,
    found: Mapping[str, Members],
    frame_at: evaluation.FrameAt,
    now: np.datetime64,
    at: datetime,
) -> None:
    """Keep the partition's statistics for the step that merges them, one partial per instant that segments look
    from.
    """
    masks = {segment_id: members.mask for segment_id, members in found.items()}
    pinned = sorted({definition.now for definition in definitions.values() if definition.segment.now})
    partials = [{"pinned": evaluation.CLOCK, "partial": measure(frame_at(now), masks, now)}]
    partials += [{"pinned": str(instant), "partial": measure(frame_at(instant), masks, instant)} for instant in pinned]
    body = gzip.compress(json.dumps({"at": at.isoformat(), "partials": partials}).encode(), compresslevel=3, mtime=0)
    store.files.put(keys.statistics(partition), body)


def _take_members(store: Store, task: Task, at: datetime) -> int:
    """Turn the rows of a members file into includes; returns how many named a segment that does not exist."""
    known = {segment.segmentId for segment in segments.all_segments(store.table, at)}
    decisions: dict[tuple[str, str, str], Decision] = {}
    skipped = 0
    for key in store.files.list(keys.staged_prefix(task.job_id, task.partition)):
        table = pq.read_table(pa.BufferReader(store.files.get(key)))
        for row in table.to_pylist():
            segment_id, who = row["segmentId"], (row["customerId"], row.get("legalEntityId") or "")
            if segment_id in known:
                decisions[segment_id, *who] = Decision(segment_id, who, keys.INCLUDE_PREFIX, True, "import")
            else:
                skipped += 1
    decided = {
        segment_id: memberships.decisions_of_partition(store.table, segment_id, task.partition).includes
        for segment_id in {decision.segment_id for decision in decisions.values()}
    }
    new = [decision for decision in decisions.values() if decision.who not in decided[decision.segment_id]]
    memberships.put_decisions(store.table, new, at, store.partitions)
    return skipped
