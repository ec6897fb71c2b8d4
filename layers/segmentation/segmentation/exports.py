"""Exports: a segment's members, or the customers of a move, as a file; asked for by HTTP or by a file in the bucket."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from segmentation import migration_questions
from segmentation.engine.catalogue import Kind
from segmentation.errors import FieldError, InvalidInput, SegmentationError, TooBusy
from segmentation.models.exports import (
    ATTRIBUTE_PREFIX,
    MAX_REQUEST_BYTES,
    MEMBERSHIP_COLUMNS,
    CreateExport,
    parse_request,
)
from segmentation.models.jobs import Job
from segmentation.models.migrations import NONE, Moves
from segmentation.store import catalogue, jobs, keys, memberships, segments
from segmentation.store.memberships import Membership
from segmentation.store.store import Store
from segmentation.store.table import Table

STEP = "export"
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}


def create_export(store: Store, request: CreateExport, at: datetime) -> Job:
    """Record the job and leave the request where the writer is woken by it. Raises NotFound or InvalidInput."""
    _check_segments(store, request, at)
    column_kinds(request, store.table)
    job_id = jobs.new_id("export")
    jobs.create(store.table, job_id, "export", at, details=_details(request))
    content = request.model_dump_json(by_alias=True, exclude_none=True).encode()
    store.files.put(keys.export_request(job_id), content, content_type="application/json")
    return jobs.get(store.table, job_id)


def write_export(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Write the file that the request in an `Object Created` event asks for; returns the job's id and end state.

    A request that cannot be met ends the job as failed, with the reason. Anything else fails the job too, but raises,
    so that the event is delivered again; the same event after a success changes nothing.
    """
    found = event["detail"]["object"]
    job_id = _job_of(store.table, found, at)
    if not _claim(store.table, job_id, found, at):
        return {"jobId": job_id, "status": "skipped"}
    try:
        rows, key = _write(store, job_id, found["key"], at)
    except TooBusy as error:
        jobs.finish(store.table, job_id, datetime.now(UTC), "failed", f"{error.message}; it is tried again")
        raise
    except SegmentationError as error:
        jobs.finish(store.table, job_id, datetime.now(UTC), "failed", error.message)
        return {"jobId": job_id, "status": "failed"}
    except Exception as error:
        # The event comes again; until then the job must not claim to be running.
        reason = f"the export stopped unexpectedly ({type(error).__name__}); it is tried again"
        jobs.finish(store.table, job_id, datetime.now(UTC), "failed", reason)
        raise
    jobs.finish(store.table, job_id, datetime.now(UTC), counts={"rows": rows}, links={"file": key})
    return {"jobId": job_id, "status": "succeeded", "rows": rows}


def column_kinds(request: CreateExport, table: Table) -> dict[str, Kind]:
    """Kind of every column asked for, in that order. Raises InvalidInput that names the unknown ones."""
    membership = dict.fromkeys(MEMBERSHIP_COLUMNS, Kind.STRING) | {"since": Kind.DATE}
    others = [name for name in request.columns if name not in membership]
    known = catalogue.load(table).attributes if others else {}
    unknown = [name for name in others if name.removeprefix(ATTRIBUTE_PREFIX) not in known]
    if unknown:
        hint = f"known are {', '.join(MEMBERSHIP_COLUMNS)} and the names that GET /attributes lists"
        errors = [FieldError("columns", f"{name!r} is no column; {hint}") for name in unknown]
        raise InvalidInput(f"unknown columns: {', '.join(map(repr, unknown))}; {hint}", errors)
    return {name: membership.get(name) or known[name.removeprefix(ATTRIBUTE_PREFIX)] for name in request.columns}


def _write(store: Store, job_id: str, request_key: str, at: datetime) -> tuple[int, str]:
    """Rows written and the key of the file."""
    # Arrow takes a third of a second to load; create_export, which shares this module, must not pay for it.
    from segmentation import export_rows, partitions
    from segmentation.store import writers

    size = store.files.head(request_key).size
    if size > MAX_REQUEST_BYTES:
        raise InvalidInput(f"the export request {request_key!r} has {size} bytes; the limit is {MAX_REQUEST_BYTES}")
    request = parse_request(store.files.get(request_key), request_key)
    kinds = column_kinds(request, store.table)
    members_of, as_of = _members(store, request, at)
    jobs.begin(store.table, job_id, store.partitions, at, _details(request))
    until = int(at.timestamp()) + jobs.KEEP_SECONDS
    batches = export_rows.batches(
        range(store.partitions),
        kinds,
        members_of=members_of,
        load=lambda part, names: partitions.load(store, part, as_of, attributes=names, events={}),
        done=lambda part, rows: jobs.record_part(store.table, job_id, STEP, part, {"rows": rows}, until),
    )
    key = keys.export_file(job_id, request.file_name())
    content_type = "application/gzip" if request.gzip else CONTENT_TYPES[request.format]
    with store.files.put_stream(key, content_type) as stream:
        return writers.write(stream, batches, kinds, writers.Format(request.format), request.gzip), key


def _check_segments(store: Store, request: CreateExport, at: datetime) -> None:
    """Raises NotFound for the segment, or InvalidInput for the migration."""
    if request.segmentId is not None:
        segments.get(store.table, request.segmentId, at)
    if request.migration:
        migration_questions.move(store.table, request.migration, at)


def _members(
    store: Store, request: CreateExport, at: datetime
) -> tuple[Callable[[int], Iterable[Membership]], datetime]:
    """Whom the file is to list, by partition, and the instant as of which it describes them."""
    if request.migration:
        return _movers(store, request.migration, at), at
    segment_id = request.segmentId or ""
    segment = segments.get(store.table, segment_id, at)
    return lambda part: memberships.of_partition(store.table, segment_id, part, at), segment.now or at


def _movers(store: Store, asked: Moves, at: datetime) -> Callable[[int], Iterable[Membership]]:
    """Customers who moved, each once, with the membership in the target that they have now."""
    from segmentation import migrations

    moved_in = migrations.moved(store, asked, at)
    target = "" if asked.toSegment == NONE else asked.toSegment

    def movers(part: int) -> list[Membership]:
        ids = moved_in(part)
        held: dict[str, Membership] = {}
        if ids and target:
            for member in memberships.of_partition(store.table, target, part, at):
                # Of several memberships the one without a legal entity comes first.
                held.setdefault(member.customer_id, member)
        return [held.get(customer_id) or Membership(target, customer_id, "", "", "") for customer_id in ids]

    return movers


def _job_of(table: Table, found: Mapping[str, Any], at: datetime) -> str:
    """The job that create_export made for this request, or one made here for a file that somebody dropped."""
    name = found["key"].removeprefix(keys.EXPORT_REQUESTS).removesuffix(".json")
    if table.get(keys.job(name), consistent=True):
        return str(name)
    version = found.get("version-id") or f"{found.get('etag')}-{found.get('sequencer')}"
    job_id = f"export-{hashlib.sha256(f'{found["key"]}\n{version}'.encode()).hexdigest()[:20]}"
    jobs.create(table, job_id, "export", at, details={"request": found["key"]})
    return job_id


def _claim(table: Table, job_id: str, found: Mapping[str, Any], at: datetime) -> bool:
    """Take the job unless it is done or another delivery's execution has it."""
    if jobs.item(table, job_id)["status"] == "succeeded":
        return False
    delivery = str(found.get("sequencer") or found.get("version-id") or found["key"])
    return jobs.claim(table, job_id, delivery, delivery, at)


def _details(request: CreateExport) -> dict[str, Any]:
    asked = request.model_dump(mode="json", by_alias=True, exclude_none=True, include={"segmentId", "migration"})
    return {**asked, "format": request.format, "columns": request.columns}
