"""One run over customers at a time: who has the turn, who joins, who waits.

The turn is a lease. It is taken for a short while by a run that is started and prolonged when it is planned, so that
one that never came so far blocks nobody; one whose job or execution has ended is passed on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from segmentation.errors import NotFound, TooBusy
from segmentation.models.common import iso
from segmentation.run_fits import LONGEST_JOB, give_up
from segmentation.store import jobs, leases
from segmentation.store.leases import RESEGMENT, Lease
from segmentation.store.store import Store
from segmentation.store.table import ConditionFailed, Item

START_TIME = timedelta(minutes=5)
"""How long a run that was started may take until its first step: then its turn may be another's."""

_ATTEMPTS = 5
ENDED = ("succeeded", "failed")


@dataclass(frozen=True)
class Asked:
    """What a run is to do, as far as it decides whether another run does the same.

    `versions` are those that the named segments have now; a run evaluates the versions that it found when it was
    planned.
    """

    segment_ids: Sequence[str] | None = None
    versions: Mapping[str, int] = field(default_factory=dict)
    refit: Sequence[str] = ()
    now: datetime | None = None
    dry_run: bool = False


def take(store: Store, job_id: str, at: datetime, actions: Sequence[Item], *, planned: bool = False) -> Item | None:
    """Give the turn to the job, with `actions` in the same transaction; the job that has it, if it is another's.

    Raises ConditionFailed where the actions, and not the turn, are what is refused.
    """
    until = at + (LONGEST_JOB if planned else START_TIME)
    for _ in range(_ATTEMPTS):
        lease = leases.read(store.table, RESEGMENT)
        if lease and lease.holder != job_id:
            holder = _at_work(store, lease, at)
            if holder:
                return holder
        taking = leases.take_action(store.table, RESEGMENT, job_id, at, until, lease)
        try:
            store.table.transact([taking, *actions])
        except ConditionFailed as failure:
            if failure.reasons[0] == "None":
                raise
            continue
        if lease and lease.holder != job_id:
            _close(store, lease.holder, at)
        return None
    raise TooBusy("runs are being started all the time; try again in a few seconds")


def current(store: Store, at: datetime) -> Item | None:
    """The job that has the turn, if any is at work."""
    lease = leases.read(store.table, RESEGMENT)
    return _at_work(store, lease, at) if lease else None


def release(store: Store, job_id: str) -> None:
    """The job has ended: the next may have the turn."""
    leases.release(store.table, RESEGMENT, job_id)


def is_dead(store: Store, job: Mapping[str, Any]) -> bool:
    """Whether the job waits or runs and its execution does not: it was stopped, or ran out of time."""
    execution = job.get("execution")
    return job["status"] not in ENDED and execution is not None and not store.workflows.is_running(execution)


def difference(asked: Asked, job: Mapping[str, Any]) -> str | None:
    """What the run of the job does not do of what is asked; None if it does all of it."""
    details = job["details"]
    if asked.dry_run != bool(details.get("dryRun")):
        return "it is a dry run, which writes nothing" if details.get("dryRun") else "it is no dry run and writes"
    now = iso(asked.now) if asked.now else None
    if details.get("now") != now:
        return f"it evaluates as of {details.get('now') or 'the clock'}, not of {now or 'the clock'}"
    named, planned = details.get("segmentIds"), details.get("segments")
    if asked.segment_ids is None and named is not None:
        return f"it evaluates {len(named)} segments, not all"
    for segment_id in asked.segment_ids or ():
        if named is not None and segment_id not in named:
            return f"it does not evaluate {segment_id}"
        if planned is not None and planned.get(segment_id) != asked.versions.get(segment_id):
            return f"it began before the latest change of {segment_id}"
    unfitted = [model_id for model_id in asked.refit if model_id not in details.get("fits", {})]
    return f"it does not fit {', '.join(unfitted[:20])} again" if unfitted else None


def _at_work(store: Store, lease: Lease, at: datetime) -> Item | None:
    """The job that holds the lease, if it is still at work under it."""
    if lease.until <= iso(at):
        return None
    try:
        job = jobs.item(store.table, lease.holder)
    except NotFound:
        return None
    return None if job["status"] in ENDED or is_dead(store, job) else job


def _close(store: Store, job_id: str, at: datetime) -> None:
    """Say of a job that lost its turn before its last step that nobody will end it."""
    reason = (
        "it came to no end: its execution was stopped, ran out of time or never began; "
        f'POST /runs with {{"resumeRunId": "{job_id}"}} does what is missing'
    )
    if jobs.give_up(store.table, job_id, at, reason):
        give_up(store, job_id, reason, at)
