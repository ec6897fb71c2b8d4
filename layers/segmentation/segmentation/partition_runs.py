"""One partition of an import or a run: merge what is new, evaluate every segment, write only what differs.

Everything here may be repeated: a worker that died half-way leaves a state from which the next one reaches the same
end.
"""

import gzip
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segmentation import drift, dry_runs, evaluation, kpis, partitions
from segmentation.engine.analysis.measuring import measure
from segmentation.errors import NotFound, TooBusy
from segmentation.partition_evaluation import Evaluation, Rules
from segmentation.store import (
    checkpoints,
    customers,
    jobs,
    keys,
    memberships,
    merge,
    pointers,
    segments,
    snapshot,
)
from segmentation.store.checkpoints import Writing
from segmentation.store.memberships import Change, Decision
from segmentation.store.snapshot import Pointer, Snapshot
from segmentation.store.store import Store
from segmentation.usage import Meter

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
    dry_run: bool = False

    @property
    def is_full(self) -> bool:
        """Whether it is part of a run over all segments."""
        return self.kind == "run" and self.segment_ids is None

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
            bool(job["details"].get("dryRun")),
        )


def work(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, int]:
    """What the state machine's item asks for. Raises NotFound if its job is gone."""
    return evaluate(store, Task.of(event, jobs.item(store.table, event["jobId"])), at)


def evaluate(store: Store, task: Task, at: datetime) -> dict[str, int]:
    """Do the task and record its figures with the job: customers read, memberships entered and left, decisions
    taken from a file, and what it used.
    """
    meter = Meter(store)
    counts = {"customers": 0, "entered": 0, "left": 0}
    if task.kind == IMPORT and task.dataset == "members":
        counts["skipped"] = _take_members(store, task, at)
    if task.dry_run:
        counts |= _try(store, task, at)
    elif _has_work(store, task):
        counts |= _merge_and_evaluate(store, task, at)
    expires_at = int(at.timestamp()) + jobs.KEEP_SECONDS
    jobs.record_part(store.table, task.job_id, EVALUATE, task.partition, counts | meter.counts(), expires_at)
    return counts


def _merge_and_evaluate(store: Store, task: Task, at: datetime) -> dict[str, int]:
    """Bring the partition's files up to date, then every segment's memberships."""
    counts = {"customers": 0, "entered": 0, "left": 0}
    writing = checkpoints.begin(store.table, store.files, task.partition, at)
    try:
        for _ in range(_ATTEMPTS):
            rules = Rules.load(store, at, task.now or at)
            merged, pointer = _merge(store, task, at, rules)
            counts["customers"] = merged.customers.num_rows
            evaluated = Evaluation(store, task.partition, rules, merged, writing.before)
            written = evaluated.write(task.kind, task.job_id, task.segment_ids, store.partitions)
            for name, number in written.items():
                counts[name] += number
            # What others did meanwhile, to files, profiles, rules or by hand, may have been overwritten with an older
            # truth: look again.
            is_current = partitions.current(store, task.partition) == pointer
            is_current = is_current and not customers.of_partition(store.table, task.partition)
            if evaluated.holds(task.job_id, store.partitions) and is_current:
                break
            writing = replace(writing, before=evaluated.checkpoint())
        for segment_id in segments.deleting(store.table):
            counts["left"] += memberships.remove_partition(
                store.table, segment_id, task.partition, at, task.job_id, store.partitions
            )
        _end_turn(store, task, writing, evaluated)
    except BaseException:
        checkpoints.abandon(store.table, writing)
        raise
    _measure(store, task, evaluated, merged, at)
    return counts


def _end_turn(store: Store, task: Task, writing: Writing, evaluated: Evaluation) -> None:
    """Leave a checkpoint of what the memberships are, if all of them are known."""
    checkpoint = evaluated.checkpoint()
    if checkpoint is None:
        checkpoints.abandon(store.table, writing)
        return
    checkpoints.publish(store.table, store.files, writing, checkpoint)
    if task.kind == "erasure":
        checkpoints.forget(store.table, store.files, task.partition, evaluated.ids)


def _try(store: Store, task: Task, at: datetime) -> dict[str, int]:
    """Say who would enter and leave, and write nothing of it."""
    read = partitions.read(store, task.partition)
    before = checkpoints.last(store.table, store.files, task.partition, at)
    evaluated = Evaluation(store, task.partition, Rules.load(store, at, task.now or at), read, before)
    counts = {"customers": evaluated.frame.size, "entered": 0, "left": 0}

    def found() -> Iterator[tuple[str, list[Change]]]:
        for result in evaluated.changes(task.kind, task.job_id, task.segment_ids):
            for segment_id, (changes, _) in result.items():
                counts["entered"] += sum(change.entered and not change.stays for change in changes)
                counts["left"] += sum(not change.entered for change in changes)
                yield segment_id, changes

    dry_runs.record(store, task.job_id, task.partition, found(), evaluated.frame)
    return counts


def _has_work(store: Store, task: Task) -> bool:
    """A run always evaluates; an import only partitions that it brings something to.

    Decided by the staged files and not by what a merge changes: the worker before may have died between its merge and
    its evaluation.
    """
    if task.kind != IMPORT:
        return True
    return any(True for _ in store.files.list(keys.staged_prefix(task.job_id, task.partition)))


def _merge(store: Store, task: Task, at: datetime, rules: Rules) -> tuple[Snapshot, Pointer | None]:
    """Bring the partition's snapshot up to date; returns it and its pointer.

    Where nothing is to be merged, of the behaviours only what is read of them is in the answer.
    """
    staged = merge.Staged()
    if task.kind == IMPORT and task.dataset != "members":
        staged = merge.take_staged(store.files, task.job_id, task.partition, task.dropped_at)
    for _ in range(_ATTEMPTS):
        previous = partitions.current(store, task.partition)
        pending = customers.of_partition(store.table, task.partition)
        is_new = bool(pending or staged.customers or staged.orders or staged.events)
        try:
            before = snapshot.read(store.files, previous, events=None if is_new else rules.events)
        except NotFound:
            # Others moved the pointer and cleared the version that it named: read it again.
            if partitions.current(store, task.partition) == previous:
                raise
            continue
        if not is_new:
            if previous and task.kind == "erasure":
                _purge(store, previous)
            return before, previous
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


def _measure(store: Store, task: Task, evaluated: Evaluation, customers: Snapshot, at: datetime) -> None:
    """Keep the partition's statistics for the step that merges them, one partial per instant that segments look
    from; of a run over everything also the indicators and the drift of models.
    """
    now, frame_at = evaluated.now, evaluated.frame_at
    definitions = evaluated.definitions.values()
    masks = {segment_id: members.mask for segment_id, members in evaluated.found.items()}
    pinned = sorted({definition.now for definition in definitions if definition.segment.now})
    partials = [{"pinned": evaluation.CLOCK, "partial": measure(frame_at(now), masks, now)}]
    partials += [{"pinned": str(instant), "partial": measure(frame_at(instant), masks, instant)} for instant in pinned]
    statistics: dict[str, Any] = {"at": at.isoformat(), "partials": partials}
    if task.is_full:
        active = {d.segment.segmentId: masks[d.segment.segmentId] for d in definitions if d.open and not d.paused}
        updated = customers.customers.column("updatedAt").to_numpy().astype("datetime64[us]")
        statistics["kpis"] = kpis.measure(frame_at(now), active, now, updated)
        statistics["drift"] = drift.measure(evaluated.rules.measured, frame_at, now, masks)
    body = gzip.compress(json.dumps(statistics).encode(), compresslevel=3, mtime=0)
    store.files.put(keys.statistics(task.partition), body)


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
