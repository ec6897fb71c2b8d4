"""Runs: start one or take up one that failed, and plan it, the first step of its state machine.

One run over customers at a time stands in `run_turns`; evaluating a partition in `partition_runs`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from segmentation import run_fits, run_turns
from segmentation.errors import Conflict, NotFound
from segmentation.models.common import iso
from segmentation.models.jobs import Job, JobKind, Requested, StartedRun, StartRun
from segmentation.run_turns import Asked
from segmentation.store import jobs, segments
from segmentation.store.store import Store
from segmentation.store.table import ConditionFailed, Item

MACHINE = "resegment"
MEASURE, DESCRIBE, FIT, EVALUATE = "measure", "describe", "fit", "evaluate"
_ROOM = 100_000
"""Characters that the failures of a map may have together: a state holds 256 KB, and all partitions may fail."""

_MEASURES_KEPT = timedelta(days=6)
"""Staged files are deleted after seven days; a run that is taken up later measures anew."""


def start(store: Store, request: StartRun, at: datetime) -> StartedRun:
    """Re-evaluate segments over all customers, models that are named being fitted again first.

    While a run is under way that does all that is asked, the request joins it. Raises NotFound for a segment, model or
    run that does not exist, Conflict for a model that is being fitted and for a run under way that does something else.
    """
    if request.resumeRunId:
        return _resume(store, request.resumeRunId, at)
    versions = {name: segments.get(store.table, name, at).version for name in request.segmentIds or ()}
    asked = Asked(request.segmentIds, versions, tuple(request.refitModels or ()), request.now, request.dryRun)
    try:
        fits = run_fits.wanted(store, asked.refit, at)
    except Conflict:
        running = run_turns.current(store, at)
        if running is None:
            raise
        return _join(store, asked, running)
    job_id = jobs.new_id("run")
    details = _details(request.segmentIds, request.now, fits)
    if request.dryRun:
        details["dryRun"] = True
    new = jobs.create_action(store.table, job_id, "run", at, details, {"requested": _requested(details)})
    running = run_turns.take(store, job_id, at, [new])
    if running:
        return _join(store, asked, running)
    return _launched(store, job_id)


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

    For what the service does by itself for a change: it waits for no other run. `fits` are models with the versions to
    be fitted first; a job of the kind `model` does nothing else.
    """
    job_id = job_id or jobs.new_id(kind)
    details = _details(segment_ids, now, fits)
    jobs.create(store.table, job_id, kind, at, details=details)
    payload = {"jobId": job_id, "kind": kind, "segmentIds": details["segmentIds"], "now": details["now"]}
    store.workflows.start(
        MACHINE, job_id, {**payload, "partitions": sorted(partitions) if partitions is not None else None}
    )
    return jobs.get(store.table, job_id)


def _details(segment_ids: Collection[str] | None, now: datetime | None, fits: Mapping[str, int] | None) -> Item:
    details: Item = {
        "segmentIds": list(segment_ids) if segment_ids is not None else None,
        "now": iso(now) if now else None,
    }
    return {**details, "fits": dict(fits)} if fits else details


def _requested(details: Mapping[str, Any]) -> Item:
    """What was asked, kept apart: steps add to a job's details."""
    return Requested(
        segmentIds=details["segmentIds"],
        refitModels=list(details.get("fits", {})) or None,
        now=details["now"],
        dryRun=details.get("dryRun", False),
    ).model_dump(mode="json", exclude_none=True)


def _launched(store: Store, job_id: str, *, joined: bool = False) -> StartedRun:
    """Start the state machine for a job that has the turn. An execution of the name is left as it is, so whoever joins
    a run that did not get so far helps it on.
    """
    job = jobs.item(store.table, job_id)
    if job["status"] == "queued":
        attempt = job.get("attempt", 1)
        payload = {"jobId": job_id, "kind": job["kind"], "partitions": None, "leased": True}
        payload |= {name: job["details"].get(name) for name in ("segmentIds", "now")}
        store.workflows.start(MACHINE, job_id if attempt == 1 else f"{job_id[:70]}-{attempt}", payload)
    return StartedRun(**jobs.get(store.table, job_id).model_dump(), joined=joined)


def _join(store: Store, asked: Asked, running: Item) -> StartedRun:
    """The run under way, if it does what is asked. Raises Conflict."""
    difference = run_turns.difference(asked, running)
    if difference:
        raise Conflict(f"the run {running['jobId']} is under way and {difference}; ask again when it has ended")
    return _launched(store, running["jobId"], joined=True)


def _resume(store: Store, job_id: str, at: datetime) -> StartedRun:
    """Queue a failed run once more. Raises NotFound, and Conflict for one that succeeded or while another is under way.

    A run whose execution was stopped or ran out of time counts as failed, whatever its job says.
    """
    for _ in range(3):
        job = jobs.item(store.table, job_id)
        if job["kind"] != "run":
            raise NotFound(f"{job_id!r} is a job of the kind {job['kind']!r}, not a run")
        if job["status"] == "succeeded":
            raise Conflict(f"the run {job_id} has succeeded; nothing of it is left to do")
        if job["status"] != "failed" and not run_turns.is_dead(store, job):
            return _launched(store, job_id, joined=True)
        try:
            running = run_turns.take(store, job_id, at, [jobs.reopen_action(store.table, job)])
        except ConditionFailed:
            continue
        if running:
            raise Conflict(f"the run {running['jobId']} is under way; resume {job_id} when it has ended")
        return _launched(store, job_id)
    raise Conflict(f"the run {job_id} is being resumed by others")


def plan(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """First step: the partitions to work on, and whether models are fitted and segments evaluated.

    A scheduled run arrives without a job and gets one here, which fits the models that are due. `event` is
    `{"request": what was started or the schedule's input, "execution": name, "executionId": ARN}`. Partitions are
    numbers: those that no earlier attempt has done. `wait` says that another run has the turn, `skip` that it does all
    that this one would.
    """
    request = event["request"]
    kind: JobKind = request.get("kind") or "run"
    is_scheduled = "jobId" not in request
    job_id = scheduled_id(event["execution"]) if is_scheduled else request["jobId"]
    if is_scheduled or request.get("leased"):
        refused = _take_turn(store, job_id, event.get("executionId"), is_scheduled, at)
        if refused:
            return refused
    jobs.create(store.table, job_id, kind, at)
    job = jobs.item(store.table, job_id)
    fits: dict[str, int] = job["details"].get("fits", {})
    if is_scheduled and not fits:
        fits = run_fits.due(store, at)
        # Noted before a version is begun: a step that dies half-way finds its own again.
        jobs.add_details(store.table, job_id, {"fits": fits})
    return _planned(store, job, request, fits, event.get("executionId"), at)


def scheduled_id(execution: str) -> str:
    """The job of a run of the schedule, which nobody named: its execution's name says which."""
    return f"run-{execution}"[:80]


def _take_turn(store: Store, job_id: str, execution: str | None, is_scheduled: bool, at: datetime) -> Item | None:
    """Make the turn the job's; what the plan is if it is another's."""
    try:
        job: Item | None = jobs.item(store.table, job_id)
    except NotFound:
        job = None
    if not is_scheduled and (job is None or job["status"] in run_turns.ENDED):
        # It was given up while it waited.
        return {"skip": True, "jobId": job_id}
    if job is None:
        actions = [jobs.create_action(store.table, job_id, "run", at, {}, {"execution": execution})]
    else:
        actions = [jobs.execution_action(store.table, job_id, execution)] if execution else []
    running = run_turns.take(store, job_id, at, actions, planned=True)
    if running is None:
        return None
    asked = Asked(refit=tuple(run_fits.due(store, at)))
    if is_scheduled and run_turns.difference(asked, running) is None:
        return {"skip": True, "jobId": running["jobId"]}
    return {"wait": True, "jobId": running["jobId"]}


def _planned(
    store: Store, job: Item, request: Mapping[str, Any], fits: Mapping[str, int], execution: str | None, at: datetime
) -> dict[str, Any]:
    """Note what the job is to do, and answer what of it is not done yet."""
    job_id, kind, details = job["jobId"], job["kind"], job["details"]
    done = _done(store, job_id)
    fits_left = run_fits.begin(store, job_id, fits, at) if not done[FIT] else {}
    is_fitting = bool(fits_left)
    evaluates = kind != "model"
    if is_fitting and done[EVALUATE]:
        # Evaluated by an earlier attempt, without the models that come now.
        jobs.forget_step(store.table, job_id, EVALUATE)
        done[EVALUATE] = set()
    if at - datetime.fromisoformat(job["createdAt"]) > _MEASURES_KEPT:
        done[MEASURE] = done[DESCRIBE] = set()
    everyone = range(store.partitions) if request.get("partitions") is None else request["partitions"]
    left = {step: [number for number in everyone if number not in done[step]] for step in (MEASURE, DESCRIBE, EVALUATE)}
    planned: Item = {}
    if "segments" not in details:
        wanted = request.get("segmentIds") if evaluates else []
        planned = {"segments": versions_of(store, wanted, at), "segmentIds": wanted, "now": request.get("now")}
        planned["fits"] = fits_left
        deleting = segments.deleting(store.table)
        if deleting and evaluates and not details.get("dryRun"):
            planned["deleting"] = deleting
    steps = {MEASURE: len(everyone), FIT: 1} if is_fitting or done[FIT] else {}
    if evaluates:
        steps[EVALUATE] = len(everyone)
    fields = {"steps": steps, "execution": execution}
    jobs.begin(store.table, job_id, sum(steps.values()), at, planned, fields)
    return {
        "jobId": job_id,
        "kind": kind,
        "fits": is_fitting,
        "evaluates": evaluates,
        "everywhere": len(everyone) == store.partitions,
        "room": room_of(len(everyone)),
        "measures": left[DESCRIBE] if details.get("round") == DESCRIBE else left[MEASURE],
        "describes": left[DESCRIBE],
        "partitions": left[EVALUATE],
    }


def room_of(partitions: int) -> int:
    """Characters that a partition has for the reason of its failure."""
    return max(0, min(1000, _ROOM // max(1, partitions) - 100))


def _done(store: Store, job_id: str) -> dict[str, set[int]]:
    """The parts of every step that are recorded."""
    done: dict[str, set[int]] = {step: set() for step in (MEASURE, DESCRIBE, FIT, EVALUATE)}
    for part in jobs.parts(store.table, job_id):
        done.setdefault(part.step, set()).add(part.number)
    return done


def versions_of(store: Store, wanted: Collection[str] | None, at: datetime) -> dict[str, int]:
    """The versions that an evaluation begins with: its outcome is recorded only for segments that are still at
    theirs.
    """
    known = segments.all_segments(store.table, at)
    return {segment.segmentId: segment.version for segment in known if wanted is None or segment.segmentId in wanted}
