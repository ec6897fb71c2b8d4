"""The last step of an import or a run: merge what the workers measured, store analyses, close the job."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from segmentation import drift, dry_runs, evaluation, kpis, run_fits, run_turns, runs
from segmentation.engine.analysis.partials import Partial, from_json, joined
from segmentation.engine.analysis.reporting import attribute_statistics, report
from segmentation.errors import NotFound
from segmentation.models.common import iso
from segmentation.store import catalogue, jobs, keys, segments
from segmentation.store.store import Store
from segmentation.usage import Meter

_OF_FITS = ("measures", "fitError")
"""What a state says of models: segments are evaluated all the same, with the models that there were."""

MAX_FAILURES = 50
"""Parts that failed of which a job tells, the first ones: an item of the table has a limit."""

_MAX_CAUSE = 500
_FIGURES = {"kpis": kpis.merge, "drift": drift.merge}
_STEPS = {"measures": runs.MEASURE, "partitions": runs.EVALUATE}


def finish_run(store: Store, state: Mapping[str, Any], at: datetime) -> dict[str, str]:
    """Close a run: analyses and states of the segments it evaluated, or the reason why it failed."""
    plan = state.get("plan") or state
    job_id = plan.get("jobId") or _scheduled(store, state)
    if job_id is None:
        # The schedule's run failed before it had a job; the failed execution is what an operator sees.
        return {"status": "failed"}
    meter = Meter(store)
    job, parts = jobs.whole(store.table, job_id)
    failures = failures_of(state, job["details"])
    # Models that could not be fitted keep no segment from its evaluation.
    unevaluated = failure_of({name: value for name, value in state.items() if name not in _OF_FITS})
    if unevaluated is None and plan.get("everywhere") and plan["evaluates"]:
        missing = _without_record(store, parts)
        failures += missing
        unevaluated = failed_parts("partition", missing) if missing else None
    failure = failure_of(state) or unevaluated
    if failure is not None:
        run_fits.give_up(store, job_id, failure, at)
    links: Mapping[str, str] = {}
    if job["details"].get("dryRun"):
        links = _finish_dry(store, job_id) if failure is None else {}
    elif plan.get("evaluates", True):
        _finish_segments(store, job, unevaluated, bool(plan.get("everywhere")), at)
    closed = _close(store, job, parts, meter, failures, failure, links, at)
    run_turns.release(store, job_id)
    return closed


def _scheduled(store: Store, state: Mapping[str, Any]) -> str | None:
    """The job of a run of the schedule that failed while it was planned, if it came so far as to have one."""
    if "execution" not in state:
        return None
    job_id = runs.scheduled_id(state["execution"]["name"])
    try:
        jobs.item(store.table, job_id)
    except NotFound:
        return None
    return job_id


def _finish_dry(store: Store, job_id: str) -> Mapping[str, str]:
    """A dry run stores no result but its report; answers the keys of the report's files by the names of their links."""
    report = dry_runs.gather(store, job_id)
    jobs.add_details(store.table, job_id, report.details)
    return report.links


def _finish_segments(
    store: Store, job: Mapping[str, Any], unevaluated: str | None, everywhere: bool, at: datetime
) -> None:
    """Store what the run measured, or say why its segments still wait."""
    if unevaluated is None:
        store_results(store, job["jobId"], at, everywhere)
    elif everywhere:
        _say_why_still_evaluating(store, job["jobId"], unevaluated, at)
    if unevaluated is None and everywhere:
        # Those that were marked while the run was under way may have members in partitions that it had passed.
        for segment_id in job["details"].get("deleting", []):
            segments.remove(store.table, segment_id)


def _without_record(store: Store, parts: Sequence[jobs.Part]) -> list[dict[str, Any]]:
    """Partitions whose evaluation is not recorded, as failures: what all attempts of the run did decides."""
    done = {part.number for part in parts if part.step == runs.EVALUATE}
    missing = [number for number in range(store.partitions) if number not in done]
    return [_failure(runs.EVALUATE, number, "NotEvaluated", "its worker left no record") for number in missing]


def _close(
    store: Store,
    job: Mapping[str, Any],
    parts: Sequence[jobs.Part],
    meter: Meter,
    failures: Sequence[Mapping[str, Any]],
    failure: str | None,
    links: Mapping[str, str],
    at: datetime,
) -> dict[str, str]:
    """Write the run's end, with the sums of what its workers did and used, and which of them failed."""
    failed: dict[str, int] = {}
    for found in failures:
        failed[found["step"]] = failed.get(found["step"], 0) + 1
    fields = {
        "failures": list(failures[:MAX_FAILURES]) or None,
        "failed": failed or None,
        "usage": {**jobs.usage(parts), "finish": meter.counts()},
        "done": jobs.done(parts),
    }
    status = "failed" if failure else "succeeded"
    jobs.finish(store.table, job["jobId"], at, status, failure, jobs.sums(parts), links or None, fields)
    return {"jobId": job["jobId"], "status": status}


def close(
    store: Store, job_id: str, at: datetime, failure: str | None, links: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write an import's end, with the sums of what its workers did."""
    status = "failed" if failure else "succeeded"
    jobs.finish(store.table, job_id, at, status, failure, jobs.sums(jobs.parts(store.table, job_id)), links)
    return {"jobId": job_id, "status": status}


def failures_of(state: Mapping[str, Any], details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the state machine caught, part by part."""
    found = []
    for name, step in _STEPS.items():
        if name == "measures" and details.get("round") == runs.DESCRIBE:
            step = runs.DESCRIBE
        for failure in (state.get(name) or {}).get("failures") or []:
            found.append(_failure(step, failure["partition"], *_why(failure)))
    for name, step in (("fitError", runs.FIT), ("error", _step_of_error(state))):
        if name in state:
            found.append(_failure(step, None, state[name].get("Error", "Error"), state[name].get("Cause", "")))
    return found


def _step_of_error(state: Mapping[str, Any]) -> str:
    """The step that ended with an error which no part of it is known to have."""
    if "plan" not in state:
        return "plan"
    if "partitions" in state or not state["plan"].get("evaluates", True):
        return "finish"
    is_measured = "measures" in state or not state["plan"].get("fits")
    return runs.EVALUATE if is_measured else runs.MEASURE


def _failure(step: str, partition: int | None, error: str, cause: str) -> dict[str, Any]:
    return {"step": step, "partition": partition, "error": error, "cause": sentence(error, cause)[:_MAX_CAUSE]}


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
    return f"{part} {named} failed: {sentence(*_why(failures[0]))}"


def _why(failure: Mapping[str, Any]) -> tuple[str, str]:
    """Error and cause of a part; where thousands failed there was no room for them."""
    return failure.get("error", "Failed"), failure.get("cause", "the log of the functions says why")


def sentence(error: str, cause: str) -> str:
    """An error of Lambda as a person reads it: its message alone where the cause is Lambda's JSON."""
    try:
        return str(json.loads(cause)["errorMessage"])[:1000]
    except (ValueError, KeyError, TypeError):
        return f"{error}: {cause}"[:1000]


def store_results(store: Store, job_id: str, at: datetime, everywhere: bool) -> None:
    """Write each segment's analysis, size and state from the statistics of all partitions.

    A job that was not `everywhere` (it evaluated some partitions only) ends no segment's first evaluation.
    """
    job = jobs.item(store.table, job_id)
    evaluated: dict[str, int] = job["details"].get("segments", {})
    known = {segment.segmentId: segment for segment in segments.all_segments(store.table, at)}
    merged, figures = _merged(store)
    if everywhere and job["kind"] == "run" and job["details"].get("segmentIds") is None and figures:
        kpis.finish(store, figures["kpis"], at, job_id, merged[evaluation.CLOCK])
        drift.finish(store, figures["drift"], at, job_id)
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


def _merged(store: Store) -> tuple[dict[str, Partial], dict[str, Any]]:
    """Statistics of all partitions together, by the instant that segments are pinned to (CLOCK: the others); and
    indicators and drift, where the last to evaluate every partition was a run over everything.

    Folded as they are read: one partition's can be megabytes.
    """
    merged: dict[str, Partial] = {}
    figures: dict[str, Any] = {}
    is_whole = True
    for partition in range(store.partitions):
        try:
            statistics = json.loads(gzip.decompress(store.files.get(keys.statistics(partition))))
        except NotFound:
            continue
        for entry in statistics["partials"]:
            pinned, partial = entry["pinned"], from_json(entry["partial"])
            merged[pinned] = joined(merged[pinned], partial) if pinned in merged else partial
        is_whole &= "kpis" in statistics
        for name, fold in _FIGURES.items():
            if is_whole:
                figures[name] = fold(figures[name], statistics[name]) if name in figures else statistics[name]
    return merged, figures if is_whole else {}
