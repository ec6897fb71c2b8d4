"""The last step of an import or a run: merge what the workers measured, store analyses, close the job."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from segmentation import evaluation
from segmentation.engine.analysis.partials import merge
from segmentation.engine.analysis.reporting import attribute_statistics, report
from segmentation.errors import NotFound
from segmentation.models.common import iso
from segmentation.store import catalogue, jobs, keys, models, segments
from segmentation.store.store import Store

_OF_FITS = ("measures", "fitError")
"""What a state says of models: segments are evaluated all the same, with the models that there were."""


def finish_run(store: Store, state: Mapping[str, Any], at: datetime) -> dict[str, str]:
    """Close a run: analyses and states of the segments it evaluated, or the reason why it failed."""
    plan = state.get("plan") or state
    job_id = plan.get("jobId")
    failure = failure_of(state)
    if job_id is None:
        # The schedule's run failed before it had a job; the failed execution is what an operator sees.
        return {"status": "failed"}
    if failure is not None:
        _give_up_fits(store, job_id, failure, at)
    if not plan.get("evaluates", True):
        return close(store, job_id, at, failure)
    everywhere = len(plan.get("partitions", [])) == store.partitions
    unevaluated = failure_of({name: value for name, value in state.items() if name not in _OF_FITS})
    if unevaluated is None:
        store_results(store, job_id, at, everywhere)
    elif everywhere:
        _say_why_still_evaluating(store, job_id, unevaluated, at)
    if unevaluated is None and everywhere:
        # Those that were marked while the run was under way may have members in partitions that it had passed.
        for segment_id in jobs.item(store.table, job_id)["details"].get("deleting", []):
            segments.remove(store.table, segment_id)
    return close(store, job_id, at, failure)


def close(
    store: Store, job_id: str, at: datetime, failure: str | None, links: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write the job's end, with the sums of what its workers did."""
    status = "failed" if failure else "succeeded"
    jobs.finish(store.table, job_id, at, status, failure, jobs.sums(store.table, job_id), links)
    return {"jobId": job_id, "status": status}


def failure_of(state: Mapping[str, Any]) -> str | None:
    """What the state machine caught, as a sentence: a step that failed, or the chunks and partitions that did.

    None if all went well.
    """
    for name in ("error", "fitError"):
        if name in state:
            return sentence(state[name].get("Error", "Error"), state[name].get("Cause", ""))
    for step, part in (("chunks", "chunk"), ("measures", "partition"), ("partitions", "partition")):
        failures = (state.get(step) or {}).get("failures") or []
        if failures:
            return failed_parts(part, failures)
    return None


def failed_parts(part: str, failures: Sequence[Mapping[str, Any]]) -> str:
    """Which chunks or partitions failed, and why the first of them did."""
    named = ", ".join(str(failure[part]) for failure in failures[:20])
    return f"{part} {named} failed: {sentence(failures[0]['error'], failures[0]['cause'])}"


def sentence(error: str, cause: str) -> str:
    """An error of Lambda as a person reads it: its message alone where the cause is Lambda's JSON."""
    try:
        return str(json.loads(cause)["errorMessage"])[:1000]
    except (ValueError, KeyError, TypeError):
        return f"{error}: {cause}"[:1000]


def _give_up_fits(store: Store, job_id: str, reason: str, at: datetime) -> None:
    """Versions that a failed job left behind get the reason: none is said to be fitting for ever."""
    for model_id, number in jobs.item(store.table, job_id)["details"].get("fits", {}).items():
        try:
            _, versions = models.get(store.table, model_id)
        except NotFound:
            continue
        for version in versions:
            if version.version == number and version.status == "fitting":
                models.end_version(store.table, model_id, version, "failed", reason, at)


def store_results(store: Store, job_id: str, at: datetime, everywhere: bool) -> None:
    """Write each segment's analysis, size and state from the statistics of all partitions.

    A job that was not `everywhere` (it evaluated some partitions only) ends no segment's first evaluation.
    """
    evaluated: dict[str, int] = jobs.item(store.table, job_id)["details"].get("segments", {})
    known = {segment.segmentId: segment for segment in segments.all_segments(store.table, at)}
    merged = _merged(store)
    if evaluation.CLOCK in merged:
        catalogue.put_statistics(store.table, attribute_statistics(merged[evaluation.CLOCK]), iso(at))
    definitions = evaluation.define(known.values(), catalogue.load(store.table, known), at)
    for segment_id, version in evaluated.items():
        segment = known.get(segment_id)
        if segment is None or segment.version != version:
            continue
        paused = definitions[segment_id].paused
        if paused:
            segments.set_state(store.table, segment_id, version, "paused", paused, None)
            continue
        measured = merged.get(str(definitions[segment_id].now) if segment.now else evaluation.CLOCK)
        if measured:
            found = report(measured, segment_id, segments.sizes(store.table, segment_id))
            segments.put_analysis(store.table, segment_id, found, at)
            segments.put_size(store.table, segment_id, iso(at)[:10], found["segmentSize"])
        if everywhere:
            segments.set_state(store.table, segment_id, version, "active", None, at)


def _say_why_still_evaluating(store: Store, job_id: str, failure: str, at: datetime) -> None:
    """Segments that waited for a run that failed go on waiting, for the next one, and say so."""
    evaluated: dict[str, int] = jobs.item(store.table, job_id)["details"].get("segments", {})
    for segment in segments.all_segments(store.table, at):
        if segment.status == "evaluating" and evaluated.get(segment.segmentId) == segment.version:
            reason = f"the run {job_id} failed, the next run tries again: {failure}"
            segments.set_state(store.table, segment.segmentId, segment.version, "evaluating", reason, None)


def _merged(store: Store) -> dict[str, dict[str, Any]]:
    """Statistics of all partitions together, by the instant that segments are pinned to (CLOCK: the others).

    Folded as they are read: one partition's can be megabytes.
    """
    merged: dict[str, dict[str, Any]] = {}
    for partition in range(store.partitions):
        try:
            statistics = json.loads(gzip.decompress(store.files.get(keys.statistics(partition))))
        except NotFound:
            continue
        for entry in statistics["partials"]:
            pinned, partial = entry["pinned"], entry["partial"]
            merged[pinned] = merge([merged[pinned], partial]) if pinned in merged else partial
    return merged
