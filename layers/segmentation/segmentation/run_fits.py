"""Versions of models that a run is to fit: which they are, begun before it, given up where it fails.

Nothing here computes: fitting stands in `fitting`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from segmentation.errors import Conflict, NotFound
from segmentation.models.models import ModelSummary, Version
from segmentation.store import jobs, models
from segmentation.store.store import Store

LONGEST_JOB = timedelta(hours=13)
"""The state machine gives up after twelve hours, without a last step: what it was to fit waits no longer than this."""


def wanted(store: Store, model_ids: Collection[str], at: datetime) -> dict[str, int]:
    """The next version of every model that is named.

    Raises NotFound for one that does not exist, Conflict for one that is being fitted.
    """
    latest = {model_id: models.get(store.table, model_id)[1][-1] for model_id in dict.fromkeys(model_ids)}
    busy = [model_id for model_id, version in latest.items() if _is_being_fitted(version, at)]
    if busy:
        raise Conflict(f"the models {', '.join(busy)} are being fitted; wait for their jobs")
    return {model_id: version.version + 1 for model_id, version in latest.items()}


def due(store: Store, at: datetime) -> dict[str, int]:
    """The next version of every model that asks a scheduled run for a refit and is not being fitted already."""
    names = [model.modelId for model in models.everything(store.table) if _is_due(model)]
    latest = {model_id: models.get(store.table, model_id)[1][-1] for model_id in names}
    return {name: version.version + 1 for name, version in latest.items() if not _is_being_fitted(version, at)}


def begin(store: Store, job_id: str, fits: Mapping[str, int], at: datetime) -> dict[str, int]:
    """Begin the versions for the job, or take up those that it began; answers those that are the job's own."""
    return {model_id: number for model_id, number in fits.items() if _begin(store, model_id, number, job_id, at)}


def give_up(store: Store, job_id: str, reason: str, at: datetime) -> None:
    """Versions that a failed job left behind get the reason: none is said to be fitting for ever."""
    details = jobs.item(store.table, job_id)["details"]
    outcome: dict[str, Any] = {}
    for model_id, number in details.get("fits", {}).items():
        for version in _versions(store, model_id):
            if (version.version, version.jobId, version.status) == (number, job_id, "fitting"):
                ended = models.end_version(store.table, model_id, version, "failed", reason, at)
                outcome[model_id] = {"version": number, "status": ended.status, "reason": ended.statusReason}
    if outcome:
        jobs.add_details(store.table, job_id, {"models": {**details.get("models", {}), **outcome}})


def _begin(store: Store, model_id: str, number: int, job_id: str, at: datetime) -> bool:
    """Begin a version for the job, or find the one that it began; False if others were faster."""
    versions = _versions(store, model_id)
    if not versions:
        return False
    for version in versions:
        if version.version == number:
            if version.jobId == job_id and version.status == "failed":
                # An earlier attempt of the job came to no end with it.
                again = version.model_copy(update={"status": "fitting", "statusReason": None, "fittedAt": None})
                models.put_version(store.table, model_id, again)
            return version.jobId == job_id
    if versions[-1].status == "fitting":
        models.end_version(store.table, model_id, versions[-1], "failed", "its job never came to an end", at)
    return models.add_version(
        store.table, model_id, Version(version=number, status="fitting", jobId=job_id, createdAt=at)
    )


def _versions(store: Store, model_id: str) -> list[Version]:
    """The model's versions, oldest first; none if it was deleted."""
    try:
        return models.get(store.table, model_id)[1]
    except NotFound:
        return []


def _is_due(model: ModelSummary) -> bool:
    return model.refit == "on_schedule" or (model.refit == "on_drift" and model.refitSuggested)


def _is_being_fitted(version: Version, at: datetime) -> bool:
    return version.status == "fitting" and at - version.createdAt < LONGEST_JOB
