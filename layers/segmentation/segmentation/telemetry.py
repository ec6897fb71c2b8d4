"""What an ended run or import means in figures for an operator: names, units and values. It must not know where they
are sent.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from segmentation import kpi_reads
from segmentation.store import jobs, kpis
from segmentation.store.store import Store

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "RunsSucceeded": "Count",
        "RunsFailed": "Count",
        "RunDuration": "Seconds",
        "Customers": "Count",
        "Entered": "Count",
        "Left": "Count",
        "StaleSegments": "Count",
        "Coverage": "Percent",
        "ProfileAgeP95": "Seconds",
        "ImportsSucceeded": "Count",
        "ImportsFailed": "Count",
        "ImportDuration": "Seconds",
        "RowsAccepted": "Count",
        "RowsRejected": "Count",
    }
)
"""Every figure that is told, with CloudWatch's name of its unit."""

Figures = dict[str, float]


def of_run(store: Store, closed: Mapping[str, str], at: datetime, stale_after: timedelta) -> Figures:
    """The figures of a run that was closed; `closed` is what its last step answers.

    Success, failure, duration and customers are told of runs over all segments only: those that the service starts by
    itself for a single segment say nothing of the nightly one. A dry run changes nothing and tells nothing.
    """
    if "jobId" not in closed:
        # The schedule's run failed before it had a job.
        return {"RunsFailed": 1}
    job = jobs.item(store.table, closed["jobId"])
    details: Mapping[str, Any] = job.get("details", {})
    if details.get("dryRun") or job["kind"] == "model":
        return {}
    figures = _changes(job)
    if job["kind"] != "run":
        return figures
    if details.get("segmentIds") is None:
        figures |= _outcome("Runs", "RunDuration", job, closed["status"], at)
        figures["Customers"] = job.get("counts", {}).get("customers", 0)
    figures["StaleSegments"] = len(kpi_reads.stale(store, at, stale_after))
    newest = kpis.latest(store.table)
    if newest and newest.job_id == job["jobId"]:
        figures |= _measured(newest, at)
    return figures


def of_import(store: Store, closed: Mapping[str, str], at: datetime) -> Figures:
    """The figures of an import that was closed; `closed` is what its last step answers."""
    job = jobs.item(store.table, closed["jobId"])
    counts: Mapping[str, int] = job.get("counts", {})
    rows = {"RowsAccepted": counts.get("accepted", 0), "RowsRejected": counts.get("rejected", 0)}
    return _changes(job) | rows | _outcome("Imports", "ImportDuration", job, closed["status"], at)


def _changes(job: Mapping[str, Any]) -> Figures:
    """Entries and exits, whatever the job was for."""
    counts: Mapping[str, int] = job.get("counts", {})
    return {"Entered": counts.get("entered", 0), "Left": counts.get("left", 0)}


def _outcome(what: str, duration: str, job: Mapping[str, Any], status: str, at: datetime) -> Figures:
    """Both outcomes, so that a sum over time shows zeros and not gaps."""
    begun = datetime.fromisoformat(job.get("startedAt") or job["createdAt"])
    failed = status == "failed"
    return {
        f"{what}Succeeded": int(not failed),
        f"{what}Failed": int(failed),
        duration: round((at - begun).total_seconds(), 3),
    }


def _measured(day: kpis.Day, at: datetime) -> Figures:
    """Coverage and age of profiles, where there are customers."""
    figures: Figures = {}
    if day.figures["customers"]:
        figures["Coverage"] = round(100 * day.figures["covered"] / day.figures["customers"], 4)
    age = kpi_reads.profile_age(day, at)
    if age is not None:
        figures["ProfileAgeP95"] = round(age * 3600)
    return figures
