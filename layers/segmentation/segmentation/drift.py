"""Drift of published models: kept at a fit, measured by every partition, told at the end of a run.

The figures come from `engine.drift`; here stands what is kept of them, and when a refit is suggested.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np

from segmentation import evaluation, recipes, scoring
from segmentation.engine.drift import measuring, verdict
from segmentation.engine.frame import Bools, Frame
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling.kinds import Fitted
from segmentation.errors import NotFound, SegmentationError, TooBusy
from segmentation.models.common import iso
from segmentation.models.drift import Drift, Movement, Quality, Shift
from segmentation.models.models import ModelSummary, Version
from segmentation.store import catalogue, models
from segmentation.store.events import Event
from segmentation.store.files import Files
from segmentation.store.scorers import Scorer
from segmentation.store.store import Store

Measured = Sequence[tuple[Scorer, Fitted, dict[str, Any] | None]]
"""Published models in the order in which they score, with the baselines of their fits; None of one without."""

AGAIN_AFTER = timedelta(days=7)
"""A refit that did not take the published version's place is suggested again after so long."""

_DIGITS = 6
_LONGEST_ERROR = 300


def baseline(
    model: ModelSummary, value: Fitted, frame: Frame, now: datetime, purchases: Purchases | None = None
) -> dict[str, Any]:
    """What is kept with a fitted version, as `baseline` of its document: its customers in bins, and its quality.

    `purchases` are those of the frame's customers, of a lifetime model.
    """
    if purchases is not None:
        frame = replace(frame, events={**frame.events, "order": measuring.orders_of(purchases)})
    label, churned = model.parameters.get("label"), model.parameters.get("churnedValue")
    kept = measuring.baseline(value, frame, evaluation.instant(now), model.modelId, label, churned)
    return {**kept, "population": model.population.segmentId, "pinned": iso(model.now) if model.now else None}


def load(files: Files, scorers: Sequence[Scorer]) -> Measured:
    """The fitted versions of these models with their baselines. Raises TooBusy if one was deleted meanwhile."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        documents = list(pool.map(lambda scorer: _document(files, scorer), scorers))
    return [
        (scorer, scoring.fitted(scorer.kind, document["model"]), document.get("baseline"))
        for scorer, document in zip(scorers, documents, strict=True)
    ]


def measure(
    found: Measured, frame_at: evaluation.FrameAt, now: np.datetime64, masks: Mapping[str, Bools] | None = None
) -> dict[str, Any]:
    """What one partition brings, by model and version: JSON that `merge` adds up.

    `frame_at` gives the partition's customers with their scores at an instant, `masks` (n,) the members of segments,
    where a model is of one. A model that is fitted as of an instant is measured as of that. What goes wrong with a
    model is part of what is measured, and fails no run.
    """
    return {
        scorer.model_id: {str(scorer.version): _measured(scorer, value, kept, frame_at, now, masks or {})}
        for scorer, value, kept in found
    }


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two sets of partitions bring together."""
    return measuring.merge(one, other)


def finish(store: Store, merged: Mapping[str, Any], at: datetime, job_id: str) -> None:
    """Keep the drift of every published model, and tell of those for which a refit is suggested now and was not before.

    A version that not all partitions measured, as one that was published while they did, keeps what it has. A
    repetition keeps and tells the same. Raises TooBusy if the event bus does.
    """
    known = catalogue.load(store.table).attributes
    for model in models.everything(store.table):
        if model.publishedVersion is None:
            continue
        paused = recipes.unknown_inputs(model, known)
        partial = merged.get(model.modelId, {}).get(str(model.publishedVersion))
        if paused is None and (partial is None or partial["partitions"] < store.partitions):
            continue
        try:
            drift = _drift(store, model, partial or {}, paused, at, job_id)
        except NotFound:
            # The model was deleted a moment ago.
            continue
        # Told before it is kept: a step that dies in between tells again, under the same id.
        if drift.refitSuggested and not model.refitSuggested:
            store.events.put([_event(model, drift)])
        models.put_drift(store.table, model.modelId, drift)


def _measured(
    scorer: Scorer,
    value: Fitted,
    kept: Mapping[str, Any] | None,
    frame_at: evaluation.FrameAt,
    now: np.datetime64,
    masks: Mapping[str, Bools],
) -> dict[str, Any]:
    if kept is None:
        return {"partitions": 1}
    population = kept["population"]
    if population and population not in masks:
        return {"partitions": 1, "errors": {f"its population, the segment {population!r}, is not there": 1}}
    instant = evaluation.instant(datetime.fromisoformat(kept["pinned"])) if kept["pinned"] else now
    try:
        frame = _narrowed(frame_at(instant), value, kept, scorer)
        if population:
            frame = frame.take(np.flatnonzero(masks[population]))
        return {"partitions": 1, **measuring.measure(value, kept, frame, instant, scorer.model_id)}
    except SegmentationError as error:
        return {"partitions": 1, "errors": {error.message[:_LONGEST_ERROR]: 1}}


def _narrowed(frame: Frame, value: Fitted, kept: Mapping[str, Any], scorer: Scorer) -> Frame:
    """The frame with what the measurement reads: taking some customers of all columns would take long."""
    wanted = {*measuring.features_of(value), *scorer.scores, kept["label"]}
    columns = {name: column for name, column in frame.columns.items() if name in wanted}
    events = {name: table for name, table in frame.events.items() if name == "order" and scorer.needs_orders}
    return Frame(frame.size, columns, events)


def _drift(
    store: Store, model: ModelSummary, partial: Mapping[str, Any], paused: str | None, at: datetime, job_id: str
) -> Drift:
    """The drift as it is kept: figures, or a note why there are none."""
    version = model.publishedVersion or 0
    blank = Drift(version=version, measuredAt=at, jobId=job_id)
    if paused is not None:
        return blank.model_copy(update={"note": f"it is paused: {paused}"})
    if partial.get("errors"):
        error, times = max(partial["errors"].items(), key=lambda item: (item[1], item[0]))
        return blank.model_copy(update={"note": f"{times} of {partial['partitions']} partitions failed: {error}"})
    document = models.read_file(store.files, model.modelId, version)
    kept = document.get("baseline")
    if kept is None or "customers" not in partial:
        why = f"version {version} was fitted before there were baselines; fit the model again to have its drift"
        return blank.model_copy(update={"note": why})
    found = verdict.finish(scoring.fitted(model.kind, document["model"]), kept, partial)
    reasons = list(found.reasons)
    note: str | None = None
    if reasons:
        note = _tried(model, models.get(store.table, model.modelId)[1], at)
    elif not found.customers:
        note = "its population has no customers today"
    changes = {"refitSuggested": bool(reasons) and note is None, "reasons": reasons, "note": note}
    return blank.model_copy(update={**_figures(found), **changes})


def _tried(model: ModelSummary, versions: Sequence[Version], at: datetime) -> str | None:
    """Why no refit is suggested in spite of reasons: there was one lately, and it did not take over.

    Without this a model that is held, or whose refits are worse, would be fitted again every night.
    """
    tried = [v for v in versions if v.version > (model.publishedVersion or 0) and at - v.createdAt < AGAIN_AFTER]
    if not tried:
        return None
    last = tried[-1]
    state = "was fitted" if last.status == "fitted" else f"is {last.status}"
    why = f" ({last.statusReason})" if last.statusReason else ""
    return (
        f"version {last.version} {state} on {last.createdAt:%Y-%m-%d}{why} and is not published: publish it by hand; "
        f"a refit is suggested again after {AGAIN_AFTER.days} days"
    )


def _figures(found: verdict.Drift) -> dict[str, Any]:
    return {
        "trainingCustomers": found.training_customers,
        "customers": found.customers,
        "features": [_shift(shift) for shift in found.features],
        "scores": [_shift(shift) for shift in found.scores],
        "centroids": [
            Movement(
                groupId=moved.group_id,
                movement=_rounded(moved.movement),
                byChance=_rounded(moved.by_chance),
                trainingCustomers=moved.training_customers,
                customers=moved.customers,
            )
            for moved in found.centroids
        ],
        "quality": Quality(training=_all_rounded(found.training), today=_all_rounded(found.today))
        if found.today
        else None,
    }


def _shift(shift: verdict.Shift) -> Shift:
    return Shift(name=shift.name, psi=_rounded(shift.psi), byChance=_rounded(shift.by_chance), level=shift.level)


def _all_rounded(figures: Mapping[str, float | int | None]) -> dict[str, float | int | None]:
    return {name: _rounded(value) for name, value in figures.items()}


def _rounded(value: float | int | None) -> float | int | None:
    """Six digits: what is beyond them depends on the order in which partitions are added up."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{_DIGITS}g}") if isfinite(value) else None


def _event(model: ModelSummary, drift: Drift) -> Event:
    """That a refit is suggested, with the figures; the id is the same however often the step is repeated."""
    told = f"{drift.jobId}\n{model.modelId}\n{drift.version}"
    shifted = [shift for shift in (*drift.features, *drift.scores) if shift.level == "shifted"]
    detail = {
        "eventId": hashlib.sha256(told.encode()).hexdigest()[:32],
        "modelId": model.modelId,
        "modelName": model.modelName,
        "kind": model.kind,
        "version": drift.version,
        "measuredAt": iso(drift.measuredAt),
        "jobId": drift.jobId,
        "reasons": drift.reasons,
        "psi": {shift.name: shift.psi for shift in shifted},
        "quality": drift.quality.model_dump() if drift.quality else None,
        "refit": model.refit,
    }
    return Event("model.refit_suggested", detail)


def _document(files: Files, scorer: Scorer) -> dict[str, Any]:
    try:
        return models.read_file(files, scorer.model_id, scorer.version)
    except NotFound:
        raise TooBusy(f"the model {scorer.model_id!r} was deleted a moment ago; try again") from None
