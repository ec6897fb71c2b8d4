"""Jobs in the table. A worker's figures are an item of its own, so that a retry overwrites what it wrote before."""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
_PAGE, _PAGES = 200, 10
_SUMMED = ("rows", "accepted", "rejected", "entered", "left", "customers", "skipped")


@dataclass(frozen=True)
class Part:
    """What one worker recorded: its step, the number of its chunk or partition, what it did and used."""

    step: str
    number: int
    counts: Mapping[str, int]


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
    try:
        table.put(_new(job_id, kind, at, status, details, {}), ABSENT)
    except ConditionFailed:
        return False
    return True


def create_action(
    table: Table, job_id: str, kind: JobKind, at: datetime, details: Mapping[str, Any], fields: Mapping[str, Any]
) -> Item:
    """The part of a transaction that records a queued job; it fails if there is one of this id."""
    return table.put_action(_new(job_id, kind, at, "queued", details, fields), ABSENT)


def _new(
    job_id: str, kind: JobKind, at: datetime, status: str, details: Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> Item:
    created = iso(at)
    return {
        **keys.job(job_id),
        **keys.job_index(job_id, created),
        "jobId": job_id,
        "kind": kind,
        "status": status,
        "createdAt": created,
        "details": dict(details or {}),
        "expiresAt": int(at.timestamp()) + KEEP_SECONDS,
        **fields,
    }


def execution_action(table: Table, job_id: str, execution: str) -> Item:
    """The part of a transaction that notes which execution works on the job; it fails if there is no such job."""
    return table.update_action(keys.job(job_id), set={"execution": execution}, condition=PRESENT)


def reopen_action(table: Table, known: Item) -> Item:
    """The part of a transaction that queues a job for its next attempt; it fails if the job is not as `known` any
    more.
    """
    attempt = known.get("attempt", 1)
    condition = Condition(
        "#s = :seen AND (attempt = :attempt OR (attribute_not_exists(attempt) AND :attempt = :first))",
        {":seen": known["status"], ":attempt": attempt, ":first": 1},
        {"#s": "status"},
    )
    ended = ("startedAt", "finishedAt", "error", "failures", "failed", "usage", "counts", "execution")
    changes = {"status": "queued", "attempt": attempt + 1, **dict.fromkeys(ended)}
    return table.update_action(keys.job(known["jobId"]), set=changes, condition=condition)


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


def begin(
    table: Table,
    job_id: str,
    total: int,
    at: datetime,
    details: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> None:
    """The job is planned: `total` parts are to be done, over all its steps. Adds to what is known of it.

    `fields` are kept beside the details, and are not shown with the job.
    """
    known = item(table, job_id)
    changes: dict[str, Any] = {"status": "running", "total": total, "startedAt": known.get("startedAt") or iso(at)}
    changes["details"] = {**known.get("details", {}), **(details or {})}
    table.update(keys.job(job_id), set={**changes, **(fields or {})})


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
    fields: Mapping[str, Any] | None = None,
) -> None:
    """The job ended. `links` are object keys by name; readers get presigned addresses. Raises NotFound.

    `fields` are kept beside the details, and are not shown with the job.
    """
    changes = {
        "status": status,
        "finishedAt": iso(at),
        "error": error,
        "counts": dict(counts) if counts is not None else None,
        "links": dict(links) if links is not None else None,
        **(fields or {}),
    }
    changes = {name: value for name, value in changes.items() if value is not None or name == "error"}
    try:
        table.update(keys.job(job_id), set=changes, condition=PRESENT)
    except ConditionFailed:
        raise NotFound(f"there is no job {job_id!r}") from None


def give_up(table: Table, job_id: str, at: datetime, error: str) -> bool:
    """Close a job as failed of which nobody will do the last step; False if it has ended, or is gone."""
    condition = Condition("#s IN (:queued, :running)", {":queued": "queued", ":running": "running"}, {"#s": "status"})
    changes = {"status": "failed", "finishedAt": iso(at), "error": error}
    try:
        table.update(keys.job(job_id), set=changes, condition=condition)
    except ConditionFailed:
        return False
    return True


def item(table: Table, job_id: str) -> Item:
    """The job's item as stored. Raises NotFound."""
    found = table.get(keys.job(job_id), consistent=True)
    if found is None:
        raise NotFound(f"there is no job {job_id!r}; jobs are kept for {KEEP_SECONDS // 86400} days")
    return found


def get(table: Table, job_id: str) -> Job:
    """The job with the sums of what its workers wrote, in one query. Raises NotFound."""
    return _job(*whole(table, job_id))


def whole(table: Table, job_id: str) -> tuple[Item, list[Part]]:
    """The job's item as stored and what its workers recorded, in one query. Raises NotFound."""
    found = list(table.query(keys.job(job_id)["PK"]))
    meta = next((part for part in found if part["SK"] == "META"), None)
    if meta is None:
        raise NotFound(f"there is no job {job_id!r}; jobs are kept for {KEEP_SECONDS // 86400} days")
    return meta, [_part(part) for part in found if part["SK"] != "META"]


def parts(table: Table, job_id: str) -> list[Part]:
    """What the job's workers recorded, by step and number."""
    return [_part(part) for part in table.query(keys.job(job_id)["PK"]) if part["SK"] != "META"]


def forget_step(table: Table, job_id: str, step: str) -> None:
    """What a step's workers recorded counts no more: the step is to be done anew."""
    found = [part.number for part in parts(table, job_id) if part.step == step]
    table.batch_write(deletes=[keys.job_part(job_id, step, number) for number in found])


def sums(found: Iterable[Part]) -> dict[str, int]:
    """What the workers did, summed; what they used is left out."""
    totals: dict[str, int] = {}
    for part in found:
        for name, value in part.counts.items():
            if name in _SUMMED:
                totals[name] = totals.get(name, 0) + value
    return totals


def page(table: Table, limit: int, token: str | None) -> tuple[list[Job], str | None]:
    """Jobs, newest first, without their workers' figures until they end."""
    found = table.page(keys.JOBS, index=keys.GSI1, limit=limit, start=cursor.decode(keys.JOBS, token), backwards=True)
    return [_job(meta, []) for meta in found.items], cursor.encode(keys.JOBS, found.last_key)


def page_of_kind(table: Table, kind: JobKind, limit: int, token: str | None) -> tuple[list[Item], str | None]:
    """Items of the jobs of one kind, newest first: at most `limit`, fewer where many jobs of other kinds lie between
    them.
    """
    scope = f"{keys.JOBS}#{kind}"
    start = cursor.decode(scope, token)
    found: list[Item] = []
    for _ in range(_PAGES):
        page = table.page(keys.JOBS, index=keys.GSI1, limit=_PAGE, start=start, backwards=True)
        wanted = [item for item in page.items if item["kind"] == kind]
        found += wanted[: limit - len(found)]
        if len(found) == limit:
            last = found[-1]
            position = {name: last[name] for name in ("PK", "SK", "GSI1PK", "GSI1SK")}
            # The token of a list that ends here leads to an empty page, and no further.
            return found, cursor.encode(scope, position)
        start = page.last_key
        if start is None:
            break
    return found, cursor.encode(scope, start)


def usage(found: Iterable[Part]) -> dict[str, dict[str, int]]:
    """What the workers of each step used, summed: the fields of their counts that `sums` leaves out."""
    totals: dict[str, dict[str, int]] = {}
    for part in found:
        total = totals.setdefault(part.step, {})
        for name, value in part.counts.items():
            if name not in _SUMMED:
                total[name] = total.get(name, 0) + value
    return totals


def done(found: Iterable[Part]) -> dict[str, int]:
    """How many workers of each step recorded what they did."""
    return dict(Counter(part.step for part in found))


def _part(item: Item) -> Part:
    step, _, number = item["SK"].rpartition("#")
    return Part(step.lower(), int(number), item.get("counts", {}))


def _job(meta: Item, found: list[Part]) -> Job:
    progress = None
    if "total" in meta:
        done = meta["total"] if meta["status"] == "succeeded" else min(len(found), meta["total"])
        progress = Progress(done=done, total=meta["total"])
    return Job(
        jobId=meta["jobId"],
        kind=meta["kind"],
        status=meta["status"],
        createdAt=meta["createdAt"],
        startedAt=meta.get("startedAt"),
        finishedAt=meta.get("finishedAt"),
        progress=progress,
        counts=meta.get("counts") or sums(found),
        links=meta.get("links", {}),
        details=meta.get("details", {}),
        error=meta.get("error"),
    )
