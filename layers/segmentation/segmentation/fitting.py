"""Fitting models over partitions: every partition brings what its customers have, one step fits, versions are kept.

Both steps may be repeated: what they write depends on the job alone.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from segmentation import evaluation, fit_parameters, modelling, partitions, recipes, scoring
from segmentation.engine.catalogue import Kind
from segmentation.engine.document import presented, to_document
from segmentation.engine.frame import Column, ListColumn, StringColumn
from segmentation.engine.lifetime.purchases import of_orders
from segmentation.engine.modelling.absent import absent_column
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.groups import FoundGroup
from segmentation.errors import Conflict, InsufficientData, InvalidInput, NotFound, Unfit
from segmentation.finishing import failed_parts
from segmentation.models.models import (
    Group,
    ModelSummary,
    Version,
)
from segmentation.runs import versions_of
from segmentation.store import catalogue, jobs, keys, measures, models
from segmentation.store import segments as stored
from segmentation.store.store import Store

MEASURE, FIT = "measure", "fit"
MAX_PROFILE_ATTRIBUTES = 64
MAX_PROFILE_VALUES = 1_000
"""Distinct texts of an attribute in one partition, beyond which it is a name or a number and describes no cluster."""

_PROFILE_KINDS = (Kind.NUMBER, Kind.STRING, Kind.BOOLEAN, Kind.DATE, Kind.LIST)


def measure(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, int]:
    """Keep what one partition brings to every model of the job. Raises NotFound if the job is gone."""
    job_id, partition = event["jobId"], event["partition"]
    job = jobs.item(store.table, job_id)
    counts = {"customers": 0}
    for model_id, number in job["details"].get("fits", {}).items():
        found = _of_job(store, job, model_id, number)
        if found is None:
            continue
        model, _, _ = found
        try:
            population = _population(store, model, _now(model, job))
        except NotFound:
            # It concerns this model alone: the step that fits it says so.
            continue
        counts["customers"] += _measure(store, job, model, population, partition)
    # A run counts its customers when it evaluates them.
    recorded = counts if job["kind"] == "model" else {}
    jobs.record_part(store.table, job_id, MEASURE, partition, recorded, int(at.timestamp()) + jobs.KEEP_SECONDS)
    return counts


def fit(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Fit every model of the job on what the partitions brought; publish those that were published before.

    A model that cannot be fitted gets the reason and stops no other. `event` is `{"jobId", "failures"}`: what the
    partitions could not bring.
    """
    job_id = event["jobId"]
    job = jobs.item(store.table, job_id)
    fits: dict[str, int] = job["details"].get("fits", {})
    failures = event.get("failures") or []
    failure = failed_parts("partition", failures) if failures else None
    outcome = {model_id: _outcome(store, job, model_id, number, failure, at) for model_id, number in fits.items()}
    details: dict[str, Any] = {"models": outcome}
    if job["kind"] != "model":
        details["segmentIds"] = _to_evaluate(store, job, fits, at)
        details["segments"] = versions_of(store, details["segmentIds"], at)
    jobs.add_details(store.table, job_id, details)
    jobs.record_part(store.table, job_id, FIT, 0, {}, int(at.timestamp()) + jobs.KEEP_SECONDS)
    for model_id in fits:
        store.files.delete(store.files.list(keys.measures(job_id, model_id)))
    return {"jobId": job_id, "models": len(outcome)}


def _outcome(
    store: Store, job: Mapping[str, Any], model_id: str, number: int, failure: str | None, at: datetime
) -> dict[str, Any]:
    """What became of one model, as the job says it."""
    found = _of_job(store, job, model_id, number)
    if found is None:
        return {"version": number, "status": "deleted"}
    model, versions, version = found
    reason = None
    if version.status == "fitting":
        version = _fitted(store, job, model, versions, version, failure, at)
    try:
        _publish_again(store, model, versions, version, at, job["jobId"])
    except NotFound:
        return {"version": number, "status": "deleted"}
    except Conflict as error:
        reason = f"it was not published: {error.message}"
    return {"version": number, "status": version.status, "reason": version.statusReason or reason}


def _of_job(
    store: Store, job: Mapping[str, Any], model_id: str, number: int
) -> tuple[ModelSummary, list[Version], Version] | None:
    """The model with its versions, and the one that the job fits; None if it was deleted.

    Another model may have its id by now.
    """
    try:
        model, versions = models.get(store.table, model_id)
    except NotFound:
        return None
    wanted = [version for version in versions if (version.version, version.jobId) == (number, job["jobId"])]
    return (model, versions, wanted[0]) if wanted else None


def _to_evaluate(store: Store, job: Mapping[str, Any], fits: Collection[str], at: datetime) -> list[str] | None:
    """The segments that the run was asked for, None for all, and those of the models that it fits."""
    named: list[str] | None = job["details"].get("segmentIds")
    if named is None:
        return None
    known = stored.all_segments(store.table, at)
    own = [segment.segmentId for segment in known if segment.model and segment.model.modelId in fits]
    return list(dict.fromkeys([*named, *own]))


def _measure(
    store: Store, job: Mapping[str, Any], model: ModelSummary, population: evaluation.Definitions, partition: int
) -> int:
    """Write the columns and purchases of the partition's part of the population; returns its size."""
    now = _now(model, job)
    known = catalogue.load(store.table).attributes
    read = [name for name in recipes.read_by(model) if name in known]
    profiled = _profile_names(model, known, read)
    wanted = partitions.columns_of(population)
    behaviours = {event: set(fields) for event, fields in (wanted.events or {}).items()}
    if model.kind == "lifetime":
        behaviours.setdefault("order", set()).add("amount")
    attributes = {*(wanted.attributes or ()), *read, *profiled}
    frame_at = partitions.load_at(store, partition, partitions.Columns(attributes, behaviours))
    frame = frame_at(evaluation.instant(now))
    if model.population.segmentId:
        found = evaluation.members(population, frame_at, partitions.decisions(store, population, partition))
        frame = frame.take(np.flatnonzero(found[model.population.segmentId].mask))
    columns = {name: frame.columns.get(name) or absent_column(known[name], frame.size) for name in read}
    columns |= {
        name: column
        for name in profiled
        if name not in columns
        and _describes(column := frame.columns.get(name) or absent_column(known[name], frame.size))
    }
    purchases = of_orders(frame.events["order"]) if model.kind == "lifetime" else None
    measures.put(store.files, keys.measure(job["jobId"], model.modelId, partition), frame, columns, purchases)
    return frame.size


def _population(store: Store, model: ModelSummary, now: datetime) -> evaluation.Definitions:
    """The segment that the model is fitted on, with what its rule refers to. Raises NotFound."""
    segment_id = model.population.segmentId
    if not segment_id:
        return {}
    known = list(stored.all_segments(store.table, now))
    names = catalogue.load(store.table, [segment.segmentId for segment in known])
    definitions = evaluation.needed(evaluation.define(known, names, now), [segment_id])
    if segment_id not in definitions:
        raise NotFound(f"the population's segment {segment_id!r} was deleted")
    return definitions


def _fitted(
    store: Store,
    job: Mapping[str, Any],
    model: ModelSummary,
    versions: list[Version],
    version: Version,
    failure: str | None,
    at: datetime,
) -> Version:
    """The version as the fit left it, recorded."""
    if failure:
        return models.end_version(store.table, model.modelId, version, "failed", failure, at)
    try:
        _population(store, model, _now(model, job))
        found = sorted(store.files.list(keys.measures(job["jobId"], model.modelId)))
        if len(found) < store.partitions:
            raise NotFound(f"{len(found)} of {store.partitions} partitions brought their customers")
        frame, purchases = measures.get(store.files, found)
        if not frame.size:
            raise InsufficientData("the population has no customers")
        used_ids = {group.groupId for other in versions for group in other.groups}
        attributes = catalogue.load(store.table).attributes
        recipes.check(model, attributes)
        value, report, groups = fit_parameters.fit(
            model, attributes, frame, purchases, _now(model, job), _published(store, model), used_ids
        )
    except Unfit as error:
        return models.end_version(store.table, model.modelId, version, error.status, error.message, at)
    except (InvalidInput, NotFound) as error:
        return models.end_version(store.table, model.modelId, version, "failed", error.message, at)
    document = {"model": to_document(value), "report": {**presented(report), "fitted": presented(value)}}
    models.put_file(store.files, model.modelId, version.version, document)
    done = version.model_copy(
        update={
            "status": "fitted",
            "statusReason": None,
            "fittedAt": at,
            "customers": report.customers,
            "groups": [_group(model, group, sum(other.size for other in groups)) for group in groups],
        }
    )
    if not models.put_version(store.table, model.modelId, done) and not models.exists(store.table, model.modelId):
        store.files.delete([keys.model_file(model.modelId, version.version)])
    return done


def _publish_again(
    store: Store, model: ModelSummary, versions: list[Version], version: Version, at: datetime, job_id: str
) -> None:
    """A refit of a published model takes over; the run that fitted it evaluates its segments."""
    if version.status == "fitted" and model.publishedVersion is not None and model.publishedVersion < version.version:
        modelling.take_over(store, model, versions, version, at, job_id, {})


def _published(store: Store, model: ModelSummary) -> ClusterModel | None:
    """The version whose clusters have segments: the next one's are to be called alike."""
    if model.kind != "cluster" or model.publishedVersion is None:
        return None
    document = models.read_file(store.files, model.modelId, model.publishedVersion)
    found = scoring.fitted(model.kind, document["model"])
    return found if isinstance(found, ClusterModel) else None


def _group(model: ModelSummary, group: FoundGroup, customers: int) -> Group:
    """The group as it is published: of the population, also where the model has a score for others."""
    criteria = list(group.criteria)
    if model.population.segmentId:
        criteria.append({"segment": model.population.segmentId, "operator": "member"})
    return Group(
        groupId=group.group_id,
        name=group.name,
        size=group.size,
        share=round(group.size / customers, 6) if customers else 0.0,
        criteria=criteria,
        segmentId=modelling.segment_id_of(model.modelId, group.group_id),
    )


def _now(model: ModelSummary, job: Mapping[str, Any]) -> datetime:
    """The instant that all partitions look from."""
    return model.now or datetime.fromisoformat(job["details"].get("now") or job["createdAt"])


def _profile_names(model: ModelSummary, known: Mapping[str, Kind], read: list[str]) -> list[str]:
    """Attributes that may describe a cluster: those it is fitted on first, then the others by name."""
    if model.kind != "cluster":
        return []
    others = sorted(
        name
        for name, kind in known.items()
        if kind in _PROFILE_KINDS and name not in read and not name.startswith("cluster.")
    )
    return others[: max(MAX_PROFILE_ATTRIBUTES - len(read), 0)]


def _describes(column: Column) -> bool:
    return not isinstance(column, StringColumn | ListColumn) or len(column.values) <= MAX_PROFILE_VALUES
