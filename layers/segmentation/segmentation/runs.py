"""Runs: start one, and the first and last step of its state machine.

Evaluating a partition stands in `partition_runs`.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from segmentation.models.common import iso
from segmentation.models.jobs import Job, JobKind, StartRun
from segmentation.store import jobs, segments
from segmentation.store.store import Store


def start(store: Store, request: StartRun, at: datetime) -> Job:
    """Re-evaluate segments over all customers. Raises NotFound for a segment that does not exist."""
    for segment_id in request.segmentIds or ():
        segments.get(store.table, segment_id, at)
    return begin(store, at, segment_ids=request.segmentIds, now=request.now)


def begin(
    store: Store,
    at: datetime,
    *,
    segment_ids: Collection[str] | None = None,
    now: datetime | None = None,
    partitions: Collection[int] | None = None,
    kind: JobKind = "run",
    job_id: str | None = None,
) -> Job:
    """Record a job and start the state machine that evaluates `segment_ids` (None: all) on `partitions` (None: all)."""
    job_id = job_id or jobs.new_id(kind)
    details = {"segmentIds": list(segment_ids) if segment_ids is not None else None, "now": iso(now) if now else None}
    jobs.create(store.table, job_id, kind, at, details=details)
    payload: dict[str, Any] = {"jobId": job_id, "kind": kind, **details}
    payload["partitions"] = sorted(partitions) if partitions is not None else None
    store.workflows.start("resegment", job_id, payload)
    return jobs.get(store.table, job_id)


def plan(store: Store, event: dict[str, Any], at: datetime) -> dict[str, Any]:
    """First step: the partitions to evaluate. A scheduled run arrives without a job and gets one here.

    `event` is `{"request": what begin sent or the schedule's input, "execution": name}`.
    """
    request = event["request"]
    kind: JobKind = request.get("kind") or "run"
    job_id = request.get("jobId") or f"run-{event['execution']}"[:80]
    jobs.create(store.table, job_id, kind, at)
    partitions = list(range(store.partitions)) if request.get("partitions") is None else request["partitions"]
    wanted = request.get("segmentIds")
    details = {"segments": versions_of(store, wanted, at), "segmentIds": wanted, "now": request.get("now")}
    deleting = segments.deleting(store.table)
    if deleting:
        details["deleting"] = deleting
    jobs.begin(store.table, job_id, len(partitions), at, details)
    item = {"jobId": job_id, "kind": kind}
    return {**item, "partitions": [{**item, "partition": partition} for partition in partitions]}


def versions_of(store: Store, wanted: Collection[str] | None, at: datetime) -> dict[str, int]:
    """The versions that an evaluation begins with: its outcome is recorded only for segments that are still at
    theirs.
    """
    known = segments.all_segments(store.table, at)
    return {segment.segmentId: segment.version for segment in known if wanted is None or segment.segmentId in wanted}
