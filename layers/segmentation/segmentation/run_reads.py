"""Runs as clients read them: progress per step, what failed, what they cost."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from segmentation import pricing
from segmentation.errors import NotFound
from segmentation.models.jobs import Cost, Requested, Run, RunList, Step
from segmentation.store import jobs
from segmentation.store.store import Store

STEPS = ("measure", "describe", "fit", "evaluate")


def get(store: Store, job_id: str) -> Run:
    """A run with progress, failures, cost and links. Raises NotFound, also for a job that is no run."""
    job, parts = jobs.whole(store.table, job_id)
    if job["kind"] != "run":
        raise NotFound(f"{job_id!r} is a job of the kind {job['kind']!r}, not a run; GET /jobs/{job_id} shows it")
    figures = {"done": jobs.done(parts), "usage": {**job.get("usage", {}), **jobs.usage(parts)}}
    found = _run(store, {**job, **figures}, job.get("counts") or jobs.sums(parts))
    return found.model_copy(update={"links": {name: store.files.presign_get(key) for name, key in found.links.items()}})


def list_runs(store: Store, limit: int, token: str | None) -> RunList:
    """Runs, newest first, without links and details. Steps and costs are those of the last attempt that ended."""
    items, more = jobs.page_of_kind(store.table, "run", limit, token)
    found = [_run(store, item, item.get("counts", {})) for item in items]
    return RunList(items=[run.model_copy(update={"links": {}, "details": {}}) for run in found], nextToken=more)


def _run(store: Store, job: Mapping[str, Any], counts: Mapping[str, int]) -> Run:
    details, started, ended = job.get("details", {}), job.get("startedAt"), job.get("finishedAt")
    return Run(
        jobId=job["jobId"],
        status=job["status"],
        createdAt=job["createdAt"],
        startedAt=started,
        finishedAt=ended,
        durationSeconds=_seconds(started, ended) if started and ended else None,
        attempt=job.get("attempt", 1),
        requested=_requested(job),
        steps=_steps(job, store.partitions),
        counts=dict(counts),
        failures=job.get("failures", []),
        resumable=job["status"] == "failed",
        cost=_cost(store, job, counts),
        links=job.get("links", {}),
        details=details,
        error=job.get("error"),
    )


def _seconds(started: str, ended: str) -> float:
    return round((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds(), 3)


def _requested(job: Mapping[str, Any]) -> Requested:
    """What was asked. Runs that the service starts for a change keep it in their details alone."""
    if "requested" in job:
        return Requested(**job["requested"])
    details = job.get("details", {})
    return Requested(segmentIds=details.get("segmentIds"), now=details.get("now"))


def _steps(job: Mapping[str, Any], partitions: int) -> list[Step]:
    """The steps that are planned or begun, in their order."""
    planned, done, failed = job.get("steps", {}), job.get("done", {}), job.get("failed", {})
    found = []
    for step in STEPS:
        # The second round of a fit is planned by the first.
        total = planned.get(step, partitions if step == "describe" and step in done else 0)
        if total:
            number = min(done.get(step, 0), total)
            found.append(Step(step=step, done=number, total=total, failed=failed.get(step, 0)))
    return found


def _cost(store: Store, job: Mapping[str, Any], counts: Mapping[str, int]) -> Cost | None:
    """What the run cost so far; None before anything of it is done."""
    if not job.get("done"):
        return None
    changes = 0 if job.get("details", {}).get("dryRun") else counts.get("entered", 0) + counts.get("left", 0)
    groups = len(job.get("details", {}).get("segments", {}))
    return pricing.estimate(job.get("usage", {}), job["done"], changes, groups, store.partitions)
