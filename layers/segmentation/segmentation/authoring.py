"""Writing segments: create, update and preview. All three compile the rule and count exactly, over every partition."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from segmentation import evaluation, partitions, revenue, runs
from segmentation.engine import criteria
from segmentation.engine.catalogue import Catalogue
from segmentation.errors import Conflict, FieldError, InvalidCriteria, InvalidInput, TooBusy
from segmentation.evaluation import Definition
from segmentation.models.segments import (
    CreateSegment,
    Preview,
    PreviewSegment,
    Segment,
    SegmentPatch,
)
from segmentation.preview_figures import Tally
from segmentation.segments import new_id, version_of
from segmentation.store import catalogue, jobs, memberships
from segmentation.store import segments as stored
from segmentation.store.store import Store

PATIENCE_SECONDS = 20
"""The gateway gives up after 30 seconds; what cannot be counted by then is counted by the run."""

_REQUIRED = ("segmentName", "criteria", "site", "timeZone", "active")
_EVALUATED = {"criteria", "timeZone", "active", "validity", "now"}


def create(store: Store, request: CreateSegment, at: datetime) -> Segment:
    """Store a new segment with its exact count and start the run that writes its memberships.

    Raises InvalidInput, InvalidCriteria, or Conflict if the id is taken.
    """
    segment = Segment(
        **request.model_dump(exclude={"segmentId"}),
        segmentId=request.segmentId or new_id(),
        customerCount=0,
        status="evaluating",
        version=1,
        createdAt=at,
        updatedAt=at,
        jobId=jobs.new_id("run"),
    )
    segment = _checked(store, segment, at)
    stored.create(store.table, segment)
    runs.begin(store, at, segment_ids=[segment.segmentId], job_id=segment.jobId)
    return stored.get(store.table, segment.segmentId, at)


def update(store: Store, segment_id: str, patch: SegmentPatch, if_match: str | None, at: datetime) -> Segment:
    """Store the next version of a segment. What changes its members starts a run.

    Raises NotFound, InvalidInput, InvalidCriteria, StaleVersion if `if_match` is not the current version, or Conflict
    for the rule of a model's segment.
    """
    current = stored.get(store.table, segment_id, at)
    expected = version_of(if_match)
    if expected is not None and expected != current.version:
        raise stored.stale(segment_id, expected)
    sent: dict[str, Any] = {name: getattr(patch, name) for name in patch.model_fields_set}
    for name in _REQUIRED:
        if name in sent and sent[name] is None:
            raise InvalidInput(f"{name} cannot be removed", [FieldError(name, f"{name} cannot be removed")])
    if current.model and sent.get("criteria", current.criteria) != current.criteria:
        raise Conflict(f"segment {segment_id!r} is a group of the model {current.model.modelId!r}, which has its rule")
    # A first evaluation that is still going would not count for the new version: that needs one of its own.
    evaluate = current.status == "evaluating" or any(
        name in _EVALUATED and sent[name] != getattr(current, name) for name in sent
    )
    changed = current.model_copy(update={**sent, "version": current.version + 1, "updatedAt": at})
    if evaluate:
        changed = _checked(store, changed.model_copy(update={"jobId": jobs.new_id("run")}), at)
    stored.update(store.table, changed, current.version, evaluate)
    if evaluate:
        runs.begin(store, at, segment_ids=[segment_id], job_id=changed.jobId)
    return stored.get(store.table, segment_id, at)


def preview(store: Store, request: PreviewSegment, at: datetime) -> Preview:
    """Count a rule without storing anything; with a segment, also who would join and leave it, and their revenue.

    Without a rule it is the segment's own: what the next run would change. Raises InvalidInput, InvalidCriteria,
    NotFound, or Conflict for a segment that is paused.
    """
    compared = stored.get(store.table, request.segmentId, at) if request.segmentId else None
    trial = _trial(request, compared, at)
    definitions = _definitions_of_trial(store, request, trial, at)
    target = definitions[trial.segmentId]
    columns = partitions.columns_of(definitions)
    if compared:
        columns = replace(columns, attributes={*(columns.attributes or ()), revenue.FEATURE})
    tally = Tally(request.sampleSize)
    until = time.monotonic() + PATIENCE_SECONDS
    for partition, frame_at in partitions.each(store, columns):
        if time.monotonic() > until:
            instead = "start a run with dryRun" if compared else "create the segment: its run counts"
            raise TooBusy(f"only {tally.total} customers were counted in {PATIENCE_SECONDS} s; {instead}")
        found = evaluation.members(definitions, frame_at, partitions.decisions(store, definitions, partition))
        mask, frame = found[trial.segmentId].mask, frame_at(target.now)
        tally.add(frame.ids, mask)
        if target.rule:
            seen = {name: members.mask for name, members in found.items()}
            tally.count(criteria.condition_counts(target.rule, frame, target.now, seen))
        if compared:
            current = memberships.of_partition(store.table, compared.segmentId, partition, at)
            tally.compare(frame, mask, {member.customer_id for member in current})
    joining, leaving = tally.joining, tally.leaving
    return Preview(
        customerCount=tally.customers,
        share=tally.share(),
        totalCustomers=tally.total,
        conditions=tally.condition_counts(),
        sample=tally.sample,
        joins=joining.customers if compared else None,
        leaves=leaving.customers if compared else None,
        joinsRevenue=joining.total_revenue if compared else None,
        leavesRevenue=leaving.total_revenue if compared else None,
        joining=joining.sample() if compared else None,
        leaving=leaving.sample() if compared else None,
        now=trial.now or at,
    )


def _trial(request: PreviewSegment, compared: Segment | None, at: datetime) -> Segment:
    """The segment as it would be: the one that is compared, or one that only has its id, time zone and instant."""
    time_zone = request.timeZone or (compared.timeZone if compared else "UTC")
    now = request.now or (compared.now if compared else None)
    if compared and request.criteria is None:
        return compared.model_copy(update={"timeZone": time_zone, "now": now})
    return Segment(
        segmentId=request.segmentId or partitions.NEW,
        segmentName="preview",
        customerCount=0,
        status="evaluating",
        kind="rule",
        criteria=request.criteria or [],
        timeZone=time_zone,
        now=now,
        version=1,
        createdAt=at,
        updatedAt=at,
    )


def _definitions_of_trial(store: Store, request: PreviewSegment, trial: Segment, at: datetime) -> dict[str, Definition]:
    try:
        return _definitions(store, trial, at)
    except InvalidCriteria as error:
        if request.criteria is None:
            reason = "; ".join(detail.message for detail in error.errors) or error.message
            raise Conflict(f"segment {trial.segmentId!r} is paused, so no run changes it: {reason}") from None
        raise


def _checked(store: Store, segment: Segment, at: datetime) -> Segment:
    """The segment with its rule in canonical form and its exact count. Raises InvalidInput, InvalidCriteria."""
    if segment.kind == "manual" and segment.criteria:
        message = "a manual segment has no criteria; leave criteria empty, or leave out kind"
        raise InvalidInput(message, [FieldError("criteria", message)])
    definitions = _definitions(store, segment, at)
    target = definitions[segment.segmentId]
    count, reason = 0, None
    if target.open and (target.rule or segment.version > 1):
        until = time.monotonic() + PATIENCE_SECONDS
        for partition, frame_at in partitions.each(store, partitions.columns_of(definitions)):
            if time.monotonic() > until:
                count, reason = 0, f"too many customers to count them at once: the count comes with {segment.jobId}"
                break
            count += int(
                evaluation.members(definitions, frame_at, partitions.decisions(store, definitions, partition))[
                    segment.segmentId
                ].mask.sum()
            )
    canonical = target.rule.criteria if target.rule else []
    return segment.model_copy(update={"criteria": canonical, "customerCount": count, "statusReason": reason})


def _definitions(store: Store, segment: Segment, at: datetime) -> dict[str, Definition]:
    """The segment and all that its rule refers to, compiled. Raises InvalidInput, InvalidCriteria."""
    _check_time_zone(segment.timeZone)
    others = [other for other in stored.all_segments(store.table, at) if other.segmentId != segment.segmentId]
    known = catalogue.load(store.table, [other.segmentId for other in others])
    evaluation.compile_rule(segment, known)
    definitions = evaluation.define([*others, segment], _with(known, segment), at)
    evaluation.check_order(definitions)
    return evaluation.needed(definitions, [segment.segmentId])


def _with(known: Catalogue, segment: Segment) -> Catalogue:
    """The catalogue in which the others' rules are read: they may refer to the segment itself."""
    return Catalogue(known.attributes, known.events, known.segments | {segment.segmentId})


def _check_time_zone(name: str) -> None:
    try:
        datetime.now(UTC).astimezone(ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        message = f"{name!r} is no IANA time zone; an example is Europe/Berlin"
        raise InvalidInput(message, [FieldError("timeZone", message)]) from None
