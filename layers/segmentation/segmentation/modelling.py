"""Models as they are: create, read, list, publish, delete. What computes a fit stands in `fitting`."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from segmentation import recipes, runs
from segmentation.engine.catalogue import scores_of
from segmentation.errors import Conflict, FieldError, InvalidInput, NotFound
from segmentation.models.drift import Drift, DriftDay
from segmentation.models.jobs import Job
from segmentation.models.models import (
    AnyModel,
    CreateModel,
    DeletedModel,
    Group,
    Held,
    Model,
    ModelList,
    ModelSummary,
    Published,
    PublishModel,
    RfmParameters,
    Version,
)
from segmentation.models.segments import ModelGroup, Segment
from segmentation.segments import attributes_in, references
from segmentation.store import catalogue, jobs, keys, models, scorers
from segmentation.store import segments as stored
from segmentation.store.scorers import Scorer
from segmentation.store.store import Store

DRIFT_DAYS = 30


def create(store: Store, request: CreateModel, at: datetime) -> ModelSummary:
    """Store a new model and start the job that fits its first version.

    Raises InvalidInput that names everything wrong, NotFound for the population's segment, Conflict for a taken id.
    """
    asked: AnyModel = request.root
    model_id = asked.modelId or f"model-{secrets.token_hex(8)}"
    model = ModelSummary(
        **asked.model_dump(exclude={"modelId", "parameters", "features"}),
        modelId=model_id,
        features=asked.features,
        parameters=asked.parameters.model_dump(mode="json", exclude_none=True),
        status="fitting",
        latestVersion=1,
        scores=list(scores_of(asked.kind, model_id)),
        createdAt=at,
        jobId=jobs.new_id("model"),
    )
    if model.population.segmentId:
        stored.get(store.table, model.population.segmentId, at)
    recipes.check(model, catalogue.load(store.table).attributes)
    if isinstance(asked.parameters, RfmParameters):
        _check_grid(asked.parameters)
    models.create(store.table, model, first_version(model, at))
    runs.begin(store, at, kind="model", job_id=model.jobId, fits={model.modelId: 1})
    return model


def get(store: Store, model_id: str, version: int | None) -> Model:
    """A model with one version in full: the one asked for, else the published one, else the latest that is fitted,
    else the latest; and how far customers have drifted from the published one. Raises NotFound.
    """
    model, versions = models.get(store.table, model_id)
    shown = _shown(model, versions, version)
    report = models.read_file(store.files, model_id, shown.version)["report"] if shown.status == "fitted" else None
    published = model.publishedVersion is not None
    drifts = models.drifts(store.table, model_id, DRIFT_DAYS) if published else []
    return Model(
        **model.model_dump(),
        version=shown.version,
        versions=versions,
        groups=shown.groups,
        report=report,
        pausedReason=recipes.unknown_inputs(model, catalogue.load(store.table).attributes) if published else None,
        heldReason=_held_back(model),
        drift=next((drift for drift in drifts[:1] if drift.version == model.publishedVersion), None),
        driftHistory=[_in_short(drift) for drift in drifts],
    )


def list_models(store: Store, kind: str | None, limit: int, token: str | None) -> ModelList:
    """Models in order of kind and id."""
    items, more = models.page(store.table, kind, limit, token)
    return ModelList(items=items, nextToken=more)


def publish(store: Store, model_id: str, request: PublishModel, at: datetime) -> Published:
    """Let a version score customers, turn its groups into segments, and start the run that fills them.

    A version before the published one is a roll back: it holds the model, so that no refit takes its place by itself,
    until a newer one is published here. Raises NotFound, InvalidInput for unknown groups, or Conflict: the version is
    published already or not fitted, the scores belong to another model, or the id of a segment is taken.
    """
    model, versions = models.get(store.table, model_id)
    version = _publishable(model, versions, request.version)
    unknown = sorted(request.names.keys() - {group.groupId for group in version.groups})
    if unknown:
        message = f"version {version.version} has no groups {unknown}; it has {[g.groupId for g in version.groups]}"
        raise InvalidInput(message, [FieldError("names", message)])
    job_id = jobs.new_id("run")
    model = model.model_copy(update={"held": _hold(model, version, at)})
    ids = take_over(store, model, versions, version, at, job_id, request.names)
    runs.begin(store, at, segment_ids=_concerned(store, model, at), job_id=job_id)
    return Published(modelId=model_id, version=version.version, segments=ids, jobId=job_id)


def take_over(
    store: Store,
    model: ModelSummary,
    versions: list[Version],
    version: Version,
    at: datetime,
    job_id: str,
    names: Mapping[str, str],
) -> list[str]:
    """Make a fitted version the published one, and its groups segments that the run `job_id` evaluates; ids of these.

    Segments of groups that this version has no more stay, inactive. It may be repeated: the version counts as published
    when its segments are there. Raises Conflict, and NotFound if the model was deleted meanwhile.
    """
    known = {segment.segmentId: segment for segment in stored.all_segments(store.table, at)}
    taken = [g.segmentId for g in version.groups if g.segmentId in known and not _is_of(known[g.segmentId], model)]
    if taken:
        raise Conflict(f"the segments {', '.join(taken)} exist and are not of the model {model.modelId!r}")
    slot = scorers.slot_of(model.kind, model.modelId)
    read = recipes.scored_from(model)
    needs_orders = model.kind == "lifetime"
    scorer = Scorer(slot, model.modelId, model.kind, version.version, read, needs_orders)
    models.check_scores_are_free(store.table, scorer)
    before = {g.groupId for other in versions if other.version == model.publishedVersion for g in other.groups}
    for group in version.groups:
        segment, name = known.get(group.segmentId), names.get(group.groupId)
        if segment is None:
            stored.create(store.table, _new_segment(model, group, name, at, job_id))
            continue
        # What people chose stays: the name, unless they want another, and whether a group is of use.
        is_active = segment.active or group.groupId not in before
        changes = {"segmentName": name or segment.segmentName, "active": is_active, **_found(group, at, job_id)}
        _change(store, segment, changes)
    wanted = {group.segmentId for group in version.groups}
    for segment in known.values():
        if _is_of(segment, model) and segment.segmentId not in wanted and segment.active:
            _change(store, segment, {"active": False, "updatedAt": at, "jobId": job_id})
    models.publish(store.table, model, scorer, at)
    return [group.segmentId for group in version.groups]


def delete(store: Store, model_id: str, force: bool, at: datetime) -> DeletedModel:
    """Delete a model with its versions, its scores and its segments.

    One that is published needs `force`, which pauses the rules that use its scores or segments. Raises NotFound,
    Conflict.
    """
    model, versions = models.get(store.table, model_id)
    known = list(stored.all_segments(store.table, at))
    own = {segment.segmentId for segment in known if _is_of(segment, model)}
    lost = own | set(model.scores if model.publishedVersion is not None else ())
    users = [
        segment
        for segment in known
        if segment.segmentId not in own and lost & (references(segment.criteria) | attributes_in(segment.criteria))
    ]
    if model.publishedVersion is not None and not force:
        readers = [m.modelId for m in models.everything(store.table) if lost.intersection(recipes.scored_from(m))]
        named = ", ".join(sorted([*(user.segmentId for user in users), *readers]))
        used = f", used by {named}," if named else ""
        raise Conflict(
            f"version {model.publishedVersion} of the model {model_id!r} is published: its {len(own)} segments and its "
            f"scores{used} would go with it; delete with force=true"
        )
    # The model goes last: as long as it is there, what was begun can be repeated.
    for user in users:
        reason = f"it uses the model {model_id!r}, which was deleted"
        stored.set_state(store.table, user.segmentId, user.version, "paused", reason, None)
    for segment_id in own:
        stored.mark_deleting(store.table, segment_id, None)
    models.remove(store.table, model, versions)
    store.files.delete(store.files.list(keys.model_files(model_id)))
    job: Job | None = runs.begin(store, at, segment_ids=sorted(own)) if own else None
    return DeletedModel(modelId=model_id, segments=sorted(own), jobId=job.jobId if job else None)


def first_version(model: ModelSummary, at: datetime) -> Version:
    """The version that the model's job is about to fit."""
    return Version(version=model.latestVersion, status="fitting", jobId=model.jobId, createdAt=at)


def segment_id_of(model_id: str, group_id: str) -> str:
    """Id of the segment that holds a group."""
    return f"{model_id}-{group_id}"


def _check_grid(parameters: RfmParameters) -> None:
    """Raises InvalidInput with the cells that overlap or have no name, and for thresholds that do not ascend."""
    # numpy takes its time to load: models of other kinds are not to wait for it.
    from segmentation.engine.modelling.rfm import checked_grid
    from segmentation.fit_parameters import rfm_binning, rfm_groups

    binning = rfm_binning(parameters)
    try:
        checked_grid(binning, rfm_groups(parameters))
    except InvalidInput as error:
        errors = [FieldError(f"parameters.{found.field}", found.message) for found in error.errors]
        raise InvalidInput(error.message, errors) from error


def _shown(model: ModelSummary, versions: list[Version], asked: int | None) -> Version:
    by_number = {version.version: version for version in versions}
    if asked is not None:
        if asked not in by_number:
            raise NotFound(f"the model {model.modelId!r} has no version {asked}; the latest is {model.latestVersion}")
        return by_number[asked]
    if model.publishedVersion in by_number:
        return by_number[model.publishedVersion]
    ready = [version for version in versions if version.status == "fitted"]
    return ready[-1] if ready else versions[-1]


def _publishable(model: ModelSummary, versions: list[Version], asked: int | None) -> Version:
    fitted = [version for version in versions if version.status == "fitted"]
    if asked is None:
        if not fitted:
            why = f": {versions[-1].statusReason}" if versions[-1].statusReason else ""
            raise Conflict(f"the model {model.modelId!r} has no fitted version; the latest is {model.status}{why}")
        asked = fitted[-1].version
    version = _shown(model, versions, asked)
    if version.status != "fitted":
        raise Conflict(
            f"version {asked} of the model {model.modelId!r} is {version.status} and cannot be published"
            + (f": {version.statusReason}" if version.statusReason else "")
        )
    if model.publishedVersion == asked:
        raise Conflict(f"version {asked} of the model {model.modelId!r} is published already")
    return version


def _found(group: Group, at: datetime, job_id: str) -> dict[str, Any]:
    """What a segment takes from the group that it holds."""
    return {
        "criteria": group.criteria,
        "customerCount": group.size,
        "statusReason": f"counted when the model was fitted; the run {job_id} counts again",
        "jobId": job_id,
        "updatedAt": at,
    }


def _new_segment(model: ModelSummary, group: Group, name: str | None, at: datetime, job_id: str) -> Segment:
    return Segment(
        **_found(group, at, job_id),
        segmentId=group.segmentId,
        segmentName=name or group.name,
        description=f"Group {group.groupId} of the model {model.modelName}",
        kind="rule",
        status="evaluating",
        model=ModelGroup(modelId=model.modelId, groupId=group.groupId),
        now=model.now,
        version=1,
        createdAt=at,
    )


def _change(store: Store, segment: Segment, changes: Mapping[str, Any]) -> None:
    changed = segment.model_copy(update={**changes, "version": segment.version + 1})
    stored.update(store.table, changed, segment.version, evaluate=True)


def _concerned(store: Store, model: ModelSummary, at: datetime) -> list[str]:
    """Segments whose members change with the scores: the model's own, those whose rules use these scores or what other
    models make of them, and those that refer to one of these.
    """
    known, scores = list(stored.all_segments(store.table, at)), set(model.scores)
    for other in sorted(models.everything(store.table), key=lambda other: scorers.ORDER.index(other.kind)):
        if other.publishedVersion is not None and scores.intersection(recipes.scored_from(other)):
            scores.update(other.scores)
    found = {s.segmentId for s in known if _is_of(s, model) or scores & attributes_in(s.criteria)}
    while more := {s.segmentId for s in known if found & references(s.criteria)} - found:
        found |= more
    return sorted(found)


def _is_of(segment: Segment, model: ModelSummary) -> bool:
    return segment.model is not None and segment.model.modelId == model.modelId


def _hold(model: ModelSummary, version: Version, at: datetime) -> Held | None:
    """That the model is held at a version, if publishing that one goes back."""
    before = model.publishedVersion
    return Held(version=version.version, before=before, at=at) if before and version.version < before else None


def _held_back(model: ModelSummary) -> str | None:
    if model.held is None:
        return None
    return (
        f"somebody went back from version {model.held.before} to version {model.held.version} on "
        f"{model.held.at:%Y-%m-%d}: refits do not publish themselves until a version after {model.held.version} is "
        "published by hand"
    )


def _in_short(drift: Drift) -> DriftDay:
    return DriftDay(
        day=f"{drift.measuredAt:%Y-%m-%d}",
        version=drift.version,
        customers=drift.customers,
        featurePsi=max((shift.psi for shift in drift.features if shift.psi is not None), default=None),
        scorePsi=max((shift.psi for shift in drift.scores if shift.psi is not None), default=None),
        movement=max((moved.movement for moved in drift.centroids if moved.movement is not None), default=None),
        quality=drift.quality.today if drift.quality else {},
        refitSuggested=drift.refitSuggested,
    )
