"""Runs: start one, and the first and last step of its state machine.

Evaluating a partition stands in `partition_runs`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from segmentation.errors import Conflict, NotFound
from segmentation.models.common import iso
from segmentation.models.jobs import Job, JobKind, StartRun
from segmentation.models.models import Version
from segmentation.store import jobs, models, segments
from segmentation.store.store import Store

LONGEST_JOB = timedelta(hours=13)
"""The state machine gives up after twelve hours, without a last step: what it was to fit waits no longer than this."""


def start(store: Store, request: StartRun, at: datetime) -> Job:
    """Re-evaluate segments over all customers, models that are named being fitted again first.

    Raises NotFound for a segment or model that does not exist, Conflict for a model that is being fitted.
    """
    for segment_id in request.segmentIds or ():
        segments.get(store.table, segment_id, at)
    wanted = list(dict.fromkeys(request.refitModels or ()))
    latest = {model_id: models.get(store.table, model_id)[1][-1] for model_id in wanted}
    busy = [model_id for model_id, version in latest.items() if _is_being_fitted(version, at)]
    if busy:
        raise Conflict(f"the models {', '.join(busy)} are being fitted; wait for their jobs")
    fits = {model_id: version.version + 1 for model_id, version in latest.items()}
    return begin(store, at, segment_ids=request.segmentIds, now=request.now, fits=fits)


def begin(
    store: Store,
    at: datetime,
    *,
    segment_ids: Collection[str] | None = None,
    now: datetime | None = None,
    partitions: Collection[int] | None = None,
    kind: JobKind = "run",
    job_id: str | None = None,
    fits: Mapping[str, int] | None = None,
) -> Job:
    """Record a job and start the state machine that evaluates `segment_ids` (None: all) on `partitions` (None: all).

    `fits` are models with the versions to be fitted first; a job of the kind `model` does nothing else.
    """
    job_id = job_id or jobs.new_id(kind)
    details: dict[str, Any] = {
        "segmentIds": list(segment_ids) if segment_ids is not None else None,
        "now": iso(now) if now else None,
    }
    jobs.create(store.table, job_id, kind, at, details={**details, "fits": dict(fits)} if fits else details)
    payload: dict[str, Any] = {"jobId": job_id, "kind": kind, **details}
    payload["partitions"] = sorted(partitions) if partitions is not None else None
    store.workflows.start("resegment", job_id, payload)
    return jobs.get(store.table, job_id)


def plan(store: Store, event: dict[str, Any], at: datetime) -> dict[str, Any]:
    """First step: the partitions to work on, and whether models are fitted and segments evaluated.

    A scheduled run arrives without a job and gets one here, which fits the models that ask for it. `event` is
    `{"request": what begin sent or the schedule's input, "execution": name}`.
    """
    request = event["request"]
    kind: JobKind = request.get("kind") or "run"
    job_id = request.get("jobId") or f"run-{event['execution']}"[:80]
    jobs.create(store.table, job_id, kind, at)
    fits: dict[str, int] = jobs.item(store.table, job_id).get("details", {}).get("fits", {})
    if "jobId" not in request and not fits:
        due = [model.modelId for model in models.everything(store.table) if model.refit == "on_schedule"]
        latest = {model_id: models.get(store.table, model_id)[1][-1] for model_id in due}
        fits = {name: version.version + 1 for name, version in latest.items() if not _is_being_fitted(version, at)}
        # Noted before a version is begun: a step that dies half-way finds its own again.
        jobs.add_details(store.table, job_id, {"fits": fits})
    fits = {
        model_id: number for model_id, number in fits.items() if _begin_version(store, model_id, number, job_id, at)
    }
    partitions = list(range(store.partitions)) if request.get("partitions") is None else request["partitions"]
    evaluates = kind != "model"
    wanted = request.get("segmentIds") if evaluates else []
    details = {"segments": versions_of(store, wanted, at), "segmentIds": wanted, "now": request.get("now")}
    details["fits"] = fits
    deleting = segments.deleting(store.table)
    if deleting and evaluates:
        details["deleting"] = deleting
    steps = len(partitions) * (bool(fits) + evaluates) + bool(fits)
    jobs.begin(store.table, job_id, steps, at, details)
    item = {"jobId": job_id, "kind": kind}
    parts = [{**item, "partition": partition} for partition in partitions]
    return {**item, "fits": bool(fits), "evaluates": evaluates, "partitions": parts}


def _begin_version(store: Store, model_id: str, number: int, job_id: str, at: datetime) -> bool:
    """Begin a version for the job, or find the one that it began; False if others were faster."""
    try:
        _, versions = models.get(store.table, model_id)
    except NotFound:
        return False
    for version in versions:
        if version.version == number:
            return version.jobId == job_id
    if versions[-1].status == "fitting":
        models.end_version(store.table, model_id, versions[-1], "failed", "its job never came to an end", at)
    return models.add_version(
        store.table, model_id, Version(version=number, status="fitting", jobId=job_id, createdAt=at)
    )


def _is_being_fitted(version: Version, at: datetime) -> bool:
    return version.status == "fitting" and at - version.createdAt < LONGEST_JOB


def versions_of(store: Store, wanted: Collection[str] | None, at: datetime) -> dict[str, int]:
    """The versions that an evaluation begins with: its outcome is recorded only for segments that are still at
    theirs.
    """
    known = segments.all_segments(store.table, at)
    return {segment.segmentId: segment.version for segment in known if wanted is None or segment.segmentId in wanted}
