"""Jobs in the table. A worker's figures are an item of its own, so that a retry overwrites what it wrote before."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from segmentation.errors import NotFound
from segmentation.models.common import iso
from segmentation.models.jobs import Job, JobKind, Progress
from segmentation.store import cursor, keys
from segmentation.store.table import (
    ABSENT,
    PRESENT,
    Condition,
    ConditionFailed,
    Item,
    Table,
)

KEEP_SECONDS = 90 * 24 * 3600
_SUMMED = ("rows", "accepted", "rejected", "entered", "left", "customers", "skipped")


def new_id(kind: str) -> str:
    """A fresh job id."""
    return f"{kind}-{secrets.token_hex(10)}"


def create(
    table: Table,
    job_id: str,
    kind: JobKind,
    at: datetime,
    status: str = "queued",
    details: Mapping[str, Any] | None = None,
) -> bool:
    """Record a job; False if there is one of this id already."""
    created = iso(at)
    item = {
        **keys.job(job_id),
        **keys.job_index(job_id, created),
        "jobId": job_id,
        "kind": kind,
        "status": status,
        "createdAt": created,
        "details": dict(details or {}),
        "expiresAt": int(at.timestamp()) + KEEP_SECONDS,
    }
    try:
        table.put(item, ABSENT)
    except ConditionFailed:
        return False
    return True


def claim(table: Table, job_id: str, execution: str, version: str, at: datetime) -> bool:
    """Take a job for a version of what it works on. False if another execution has it, or has done this version."""
    condition = Condition(
        "attribute_not_exists(#e) OR #e = :e OR #s = :failed OR (#s = :succeeded AND #v <> :v)",
        {":e": execution, ":v": version, ":failed": "failed", ":succeeded": "succeeded"},
        {"#e": "execution", "#s": "status", "#v": "version"},
    )
    taken = {"execution": execution, "version": version, "status": "running", "startedAt": iso(at)}
    try:
        table.update(keys.job(job_id), set={**taken, "error": None, "finishedAt": None}, condition=condition)
    except ConditionFailed:
        return False
    return True


def begin(table: Table, job_id: str, total: int, at: datetime, details: Mapping[str, Any] | None = None) -> None:
    """The job is planned: `total` parts are to be done, over all its steps. Adds to what is known of it."""
    known = item(table, job_id)
    changes: dict[str, Any] = {"status": "running", "total": total, "startedAt": known.get("startedAt") or iso(at)}
    table.update(keys.job(job_id), set={**changes, "details": {**known.get("details", {}), **(details or {})}})


def add_details(table: Table, job_id: str, details: Mapping[str, Any]) -> None:
    """Say more of a job. Raises NotFound."""
    known = item(table, job_id).get("details", {})
    table.update(keys.job(job_id), set={"details": {**known, **details}})


def record_part(table: Table, job_id: str, step: str, number: int, counts: Mapping[str, int], expires_at: int) -> None:
    """What one worker did in a step."""
    table.put({**keys.job_part(job_id, step, number), "counts": dict(counts), "expiresAt": expires_at})


def finish(
    table: Table,
    job_id: str,
    at: datetime,
    status: str = "succeeded",
    error: str | None = None,
    counts: Mapping[str, int] | None = None,
    links: Mapping[str, str] | None = None,
) -> None:
    """The job ended. `links` are object keys by name; readers get presigned addresses. Raises NotFound."""
    changes = {
        "status": status,
        "finishedAt": iso(at),
        "error": error,
        "counts": dict(counts) if counts is not None else None,
        "links": dict(links) if links is not None else None,
    }
    changes = {name: value for name, value in changes.items() if value is not None or name == "error"}
    try:
        table.update(keys.job(job_id), set=changes, condition=PRESENT)
    except ConditionFailed:
        raise NotFound(f"there is no job {job_id!r}") from None


def item(table: Table, job_id: str) -> Item:
    """The job's item as stored. Raises NotFound."""
    found = table.get(keys.job(job_id), consistent=True)
    if found is None:
        raise NotFound(f"there is no job {job_id!r}; jobs are kept for {KEEP_SECONDS // 86400} days")
    return found


def get(table: Table, job_id: str) -> Job:
    """The job with the sums of what its workers wrote, in one query. Raises NotFound."""
    parts = list(table.query(keys.job(job_id)["PK"]))
    meta = next((part for part in parts if part["SK"] == "META"), None)
    if meta is None:
        raise NotFound(f"there is no job {job_id!r}; jobs are kept for {KEEP_SECONDS // 86400} days")
    return _job(meta, [part for part in parts if part["SK"] != "META"])


def sums(table: Table, job_id: str) -> dict[str, int]:
    """Counts summed over all workers of the job."""
    return _sums([part for part in table.query(keys.job(job_id)["PK"]) if part["SK"] != "META"])


def page(table: Table, limit: int, token: str | None) -> tuple[list[Job], str | None]:
    """Jobs, newest first, without their workers' figures until they end."""
    found = table.page(keys.JOBS, index=keys.GSI1, limit=limit, start=cursor.decode(keys.JOBS, token), backwards=True)
    return [_job(meta, []) for meta in found.items], cursor.encode(keys.JOBS, found.last_key)


def _sums(parts: list[Item]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for part in parts:
        for name, value in part.get("counts", {}).items():
            if name in _SUMMED:
                totals[name] = totals.get(name, 0) + value
    return totals


def _job(meta: Item, parts: list[Item]) -> Job:
    progress = None
    if "total" in meta:
        done = meta["total"] if meta["status"] == "succeeded" else min(len(parts), meta["total"])
        progress = Progress(done=done, total=meta["total"])
    return Job(
        jobId=meta["jobId"],
        kind=meta["kind"],
        status=meta["status"],
        createdAt=meta["createdAt"],
        startedAt=meta.get("startedAt"),
        finishedAt=meta.get("finishedAt"),
        progress=progress,
        counts=meta.get("counts") or _sums(parts),
        links=meta.get("links", {}),
        details=meta.get("details", {}),
        error=meta.get("error"),
    )
