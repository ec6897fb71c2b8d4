"""Fitting models over partitions: every partition brings what its customers have, one step fits, versions are kept.

Up to `SAMPLE` customers the step that fits has all of them, and is done. Of more it has a sample, and statistics of
all; then every partition says what its customers are under the fitted model, and the step completes it with that. The
result depends on the customers alone, not on the number of partitions. All steps may be repeated: what they write
depends on the job, and on what was written before.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from segmentation import drift, fit_parameters, guard, modelling, pooling, populations, recipes, scoring
from segmentation.engine.document import presented, to_document
from segmentation.engine.lifetime.purchases import taken
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.groups import FoundGroup
from segmentation.engine.modelling.kinds import Fitted, Report
from segmentation.engine.modelling.pooled import described, pooled
from segmentation.engine.sketches import hashing, sample
from segmentation.errors import Conflict, InsufficientData, InvalidInput, NotFound, Unfit
from segmentation.evaluation import FrameAt
from segmentation.finishing import failed_parts
from segmentation.models.models import (
    Group,
    ModelSummary,
    Version,
)
from segmentation.runs import DESCRIBE, FIT, MEASURE, versions_of
from segmentation.store import catalogue, jobs, keys, measures, models
from segmentation.store import segments as stored
from segmentation.store.measures import Brought
from segmentation.store.store import Store
from segmentation.usage import Meter

SAMPLE = 200_000
"""Customers that the step that fits holds at most."""


def measure(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, int]:
    """Keep what one partition brings to every model of the job: to the fit of those that are not fitted, and to the
    completion of those that are. Raises NotFound if the job is gone.
    """
    meter = Meter(store)
    job_id, partition = event["jobId"], event["partition"]
    job = jobs.item(store.table, job_id)
    customers, step = 0, MEASURE
    asked: list[tuple[populations.Asked, Fitted | None]] = []
    for model_id, number in job["details"].get("fits", {}).items():
        found = _of_job(store, job, model_id, number)
        if found is None or found[2].status != "fitting":
            continue
        model, known = found[0], catalogue.load(store.table).attributes
        fitted = measures.get_fitted(store.files, keys.fitted(job_id, model_id), model.kind)
        step = DESCRIBE if fitted else step
        try:
            recipes.check(model, known)
            population = populations.define(store, model, _now(model, job))
        except (NotFound, InvalidInput):
            # It concerns this model alone: the step that fits it says so.
            continue
        wanted = populations.Asked(model, known, population, _now(model, job), profiled=fitted is None)
        asked.append((wanted, fitted[0] if fitted else None))
    frame_at = populations.read(store, partition, [wanted for wanted, _ in asked])
    for wanted, value in asked:
        if value is None:
            customers += _measure(store, job, wanted, frame_at, partition)
        else:
            _describe(store, job, value, wanted, frame_at, partition)
    counts = {"customers": customers}
    # A run counts its customers when it evaluates them.
    recorded = counts if job["kind"] == "model" and step == MEASURE else {}
    _record(store, job_id, step, partition, {**recorded, **meter.counts()}, at)
    return counts


def fit(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Fit every model of the job on what the partitions brought; publish those that were published before.

    A model that cannot be fitted gets the reason and stops no other. `event` is `{"jobId", "failures"}`: what the
    partitions could not bring. Answers `again` if partitions are to be measured once more, with what was fitted.
    """
    meter = Meter(store)
    job_id = event["jobId"]
    job = jobs.item(store.table, job_id)
    fits: dict[str, int] = job["details"].get("fits", {})
    failures = event.get("failures") or []
    failure = failed_parts("partition", failures) if failures else None
    outcome = {model_id: _outcome(store, job, model_id, number, failure, at) for model_id, number in fits.items()}
    details: dict[str, Any] = {"models": outcome}
    again = any(found["status"] == "fitting" for found in outcome.values())
    if again:
        jobs.add_details(store.table, job_id, {"round": DESCRIBE})
        return {"jobId": job_id, "models": len(outcome), "again": True}
    if job["kind"] != "model":
        details["segmentIds"] = _to_evaluate(store, job, fits, at)
        details["segments"] = versions_of(store, details["segmentIds"], at)
    jobs.add_details(store.table, job_id, details)
    _record(store, job_id, FIT, 0, meter.counts(), at)
    for model_id, found in outcome.items():
        if found.get("status") != "failed":
            store.files.delete(store.files.list(keys.measures(job_id, model_id)))
    return {"jobId": job_id, "models": len(outcome), "again": False}


def _record(store: Store, job_id: str, step: str, number: int, counts: Mapping[str, int], at: datetime) -> None:
    jobs.record_part(store.table, job_id, step, number, counts, int(at.timestamp()) + jobs.KEEP_SECONDS)


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


def _measure(store: Store, job: Mapping[str, Any], asked: populations.Asked, frame_at: FrameAt, partition: int) -> int:
    """Write a sample of the partition's part of the population, and statistics of all of it; returns its size."""
    model = asked.model
    frame, purchases = populations.load(store, asked, frame_at, partition)
    place = job["jobId"], model.modelId, partition
    statistics = pooling.pool(model, asked.known, frame, purchases, asked.now)
    measures.put_pooled(store.files, keys.measured_statistics(*place), statistics)
    rows, drawn = sample.draw(hashing.hashes(frame.ids), sample.reserve(SAMPLE, store.partitions))
    # A sample is known by its hashes: ids would be copied for nothing.
    brought = populations.describing(model, replace(frame, ids=()).take(rows))
    bought = taken(purchases, rows) if purchases else None
    measures.put(store.files, keys.measure(*place), drawn, frame.size, brought.columns, bought)
    return frame.size


def _describe(
    store: Store,
    job: Mapping[str, Any],
    fitted: Fitted,
    asked: populations.Asked,
    frame_at: FrameAt,
    partition: int,
) -> None:
    """Write what the partition's part of the population is under the fitted model."""
    frame, purchases = populations.load(store, asked, frame_at, partition)
    found = pooling.describe(asked.model, fitted, frame, purchases, asked.now)
    measures.put_described(store.files, keys.description(job["jobId"], asked.model.modelId, partition), found)


def _fitted(
    store: Store,
    job: Mapping[str, Any],
    model: ModelSummary,
    versions: list[Version],
    version: Version,
    failure: str | None,
    at: datetime,
) -> Version:
    """The version as the fit left it, recorded; as it is, if it is yet to be described."""
    if failure:
        return models.end_version(store.table, model.modelId, version, "failed", failure, at)
    try:
        found = _result(store, job, model, versions)
        return _kept(store, job, model, version, found, at) if found else version
    except Unfit as error:
        return models.end_version(store.table, model.modelId, version, error.status, error.message, at)
    except (InvalidInput, NotFound) as error:
        return models.end_version(store.table, model.modelId, version, "failed", error.message, at)


def _result(
    store: Store, job: Mapping[str, Any], model: ModelSummary, versions: list[Version]
) -> fit_parameters.Result | None:
    """What was found, None if partitions are to describe their customers first. Raises Unfit, InvalidInput, NotFound
    if something is missing.
    """
    job_id, model_id = job["jobId"], model.modelId
    populations.define(store, model, _now(model, job))
    attributes = catalogue.load(store.table).attributes
    recipes.check(model, attributes)
    fitted = measures.get_fitted(store.files, keys.fitted(job_id, model_id), model.kind)
    if fitted is not None:
        return _completed(store, job, model, *fitted)
    brought = _brought(store, job_id, model)
    used_ids = {group.groupId for other in versions for group in other.groups}
    arguments = _now(model, job), _published(store, model), used_ids
    if brought.is_everybody:
        return fit_parameters.fit(model, attributes, brought.frame, brought.purchases, *arguments)
    statistics = pooled(
        (
            measures.get_pooled(store.files, keys.measured_statistics(job_id, model_id, partition))
            for partition in range(store.partitions)
        ),
        pooling.BOUNDS[model.kind],
    )
    value, report = pooling.fit(model, attributes, statistics, brought.frame, brought.purchases, *arguments)
    measures.put_fitted(store.files, keys.fitted(job_id, model_id), value, report)
    return None


def _brought(store: Store, job_id: str, model: ModelSummary) -> Brought:
    """The sample of all partitions. Raises NotFound if one of them brought none, InsufficientData for nobody."""
    found = sorted(store.files.list(keys.measured(job_id, model.modelId)))
    if len(found) < store.partitions:
        raise NotFound(f"{len(found)} of {store.partitions} partitions brought their customers")
    brought = measures.get(store.files, found, SAMPLE)
    if not brought.customers:
        raise InsufficientData("the population has no customers")
    return replace(brought, frame=populations.describing(model, brought.frame))


def _completed(
    store: Store, job: Mapping[str, Any], model: ModelSummary, fitted: Fitted, report: Report | None
) -> fit_parameters.Result | None:
    """The fitted model with what all partitions say of it; None if some have not been asked.

    Raises NotFound if what one of them said is missing, InsufficientData.
    """
    job_id = job["jobId"]
    found = sorted(store.files.list(keys.described(job_id, model.modelId)))
    if len(found) < store.partitions:
        asked = [part for part in jobs.parts(store.table, job_id) if part.step == DESCRIBE]
        if len(asked) < store.partitions:
            return None
        raise NotFound(f"{len(found)} of {store.partitions} partitions described their customers")
    whole = described(measures.get_described(store.files, key) for key in found)
    return pooling.complete(model, fitted, report, whole)


def _kept(
    store: Store,
    job: Mapping[str, Any],
    model: ModelSummary,
    version: Version,
    found: fit_parameters.Result,
    at: datetime,
) -> Version:
    """The fitted version, in the bucket and in the table: with what later customers are compared with, and how it does
    beside the published one.
    """
    value, report, groups = found
    now, brought = _now(model, job), _brought(store, job["jobId"], model)
    compared = guard.compared(store, model, value, brought.frame, brought.purchases, now)
    document = {
        "model": to_document(value),
        "report": {**presented(report), "fitted": presented(value)},
        "baseline": drift.baseline(model, value, brought.frame, now, brought.purchases),
    }
    models.put_file(store.files, model.modelId, version.version, document)
    done = version.model_copy(
        update={
            "status": "fitted",
            "statusReason": guard.reason_against(model, compared),
            "fittedAt": at,
            "customers": report.customers,
            "comparison": compared,
            "groups": [_group(model, group, sum(other.size for other in groups)) for group in groups],
        }
    )
    if not models.put_version(store.table, model.modelId, done) and not models.exists(store.table, model.modelId):
        store.files.delete([keys.model_file(model.modelId, version.version)])
    return done


def _publish_again(
    store: Store, model: ModelSummary, versions: list[Version], version: Version, at: datetime, job_id: str
) -> None:
    """A refit of a published model takes over, unless the guard is against it; the run that fitted it evaluates its
    segments.
    """
    if version.status != "fitted" or model.publishedVersion is None or model.publishedVersion >= version.version:
        return
    if guard.reason_against(model, version.comparison) is None:
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
