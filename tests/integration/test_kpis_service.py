"""Indicators through the service: measured by workers, kept by runs, noted by imports, read with ages of the reader's
clock.
"""

import json
import re
from datetime import date, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation import authoring, evaluation, finishing, kpi_reads, kpis, partitions, telemetry
from segmentation.engine.analysis.measuring import measure
from segmentation.engine.analysis.partials import from_json, merge
from segmentation.engine.kpis import rates
from segmentation.errors import InvalidInput
from segmentation.models.kpis import Kpis
from segmentation.models.segments import CreateSegment
from segmentation.store import catalogue, jobs, segments
from segmentation.store import kpis as stored
from support.service import Service

STALE = timedelta(hours=48)
CUSTOMERS = "customerId,country,age\n" + "".join(
    f"c{number},{'DE' if number % 3 else 'AT'},{20 + number}\n" for number in range(30)
)
CAMPAIGNS = """customerId,event,occurredAt,action,campaignId,segmentId
c1,campaign,2026-02-01T10:00:00Z,sent,spring,germans
c1,campaign,2026-02-01T11:00:00Z,opened,spring,germans
c1,campaign,2026-02-01T11:05:00Z,opened,spring,germans
c2,campaign,2026-02-01T10:00:00Z,sent,spring,germans
c2,campaign,2026-02-01T12:00:00Z,converted,spring,
c4,campaign,2026-02-01T10:00:00Z,sent,spring,
c5,campaign,2026-02-01T10:00:00Z,sent,spring,
c5,campaign,2026-02-02T10:00:00Z,clicked,spring,
c7,campaign,2025-06-01T10:00:00Z,sent,summer,
c8,campaign,2026-02-02T10:00:00Z,opened,spring,
"""


def create(service: Service, segment_id: str, criteria: list[Any]) -> None:
    made = CreateSegment(segmentName=segment_id.title(), segmentId=segment_id, criteria=criteria)
    authoring.create(service.store, made, service.now)


def shop(service: Service) -> None:
    service.follows_stream = False
    service.drop("imports/customers/crm/customers.csv", CUSTOMERS)
    service.drop("imports/events/events.csv", CAMPAIGNS)
    service.settle()
    create(service, "germans", [{"attribute": "country", "operator": "eq", "value": "DE"}])
    create(service, "everybody", [{"attribute": "age", "operator": "gte", "value": 20}])
    create(service, "nobody", [{"attribute": "age", "operator": "gt", "value": 200}])
    service.settle()


def measure_all(service: Service, job_id: str = "run-1") -> dict[str, Any]:
    """What a run over all partitions does with the hooks, for segments that are active."""
    store, at = service.store, service.now
    now = evaluation.instant(at)
    parts, analyses = [], []
    for partition in range(store.partitions):
        frame_at = partitions.load_at(store, partition, partitions.EVERYTHING)
        known = list(segments.all_segments(store.table, at))
        names = catalogue.load(store.table, [segment.segmentId for segment in known])
        definitions = evaluation.define(known, names, at)
        found = evaluation.members(definitions, frame_at, partitions.decisions(store, definitions, partition))
        masks = {name: members.mask for name, members in found.items()}
        active = {name: mask for name, mask in masks.items() if definitions[name].open}
        parts.append(kpis.measure(frame_at(now), active, now))
        analyses.append(measure(frame_at(now), masks, now))
    merged = reduce(kpis.merge, parts)
    kpis.finish(store, merged, at, job_id, from_json(merge(analyses)))
    return merged


def read(service: Service, first: date | None = None, last: date | None = None) -> Kpis:
    return kpi_reads.get(service.store, first, last, service.now, STALE)


def test_before_the_first_run_the_state_is_empty_and_says_so(service: Service) -> None:
    found = read(service)
    assert found.measuredAt is None
    assert found.reason == "no run over all segments has ended yet; the schedule starts one, and so does POST /runs"
    assert (found.coverage, found.campaigns, found.overlap, found.history) == (None, None, None, [])
    assert found.freshness.profiles is None
    assert found.freshness.imports == []


def test_the_figures_of_a_small_shop_are_those_counted_by_hand(service: Service) -> None:
    shop(service)
    measure_all(service)
    found = read(service)
    assert found.coverage is not None and found.campaigns is not None and found.overlap is not None
    assert found.coverage.model_dump() == {"customers": 30, "covered": 30, "share": 1.0}
    segmented, others = found.campaigns.segmented, found.campaigns.nonSegmented
    assert (segmented.sent, segmented.opened, segmented.clicked, segmented.converted) == (2, 1, 0, 1)
    assert (others.sent, others.opened, others.clicked, others.converted) == (2, 0, 1, 0)
    assert segmented.openRate.value == 0.5
    assert found.campaigns.relevance.engagement.value == 1.0
    assert found.campaigns.relevance.engagement.verdict == "unclear"
    assert found.campaigns.relevance.conversion.verdict == "unknown"
    assert found.campaigns.ignored.withoutSent == 1
    assert [item.segmentId for item in found.campaigns.bySegment] == ["germans"]
    (campaign,) = found.campaigns.byCampaign
    assert (campaign.campaignId, campaign.segmented.sent, campaign.nonSegmented.sent) == ("spring", 2, 2)
    (pair,) = found.overlap.pairs
    assert pair.model_dump() == {
        "segmentIds": ["everybody", "germans"],
        "sizes": [30, 20],
        "both": 20,
        "jaccard": 0.666667,
        "verdict": "contained",
    }
    assert {item.segmentId: item.size for item in found.segments} == {"everybody": 30, "germans": 20, "nobody": 0}


def test_a_nightly_run_keeps_the_indicators_of_all_partitions(service: Service) -> None:
    shop(service)
    assert read(service).measuredAt is None
    service.wait(3)
    service.resegment({})
    found = read(service)
    assert found.measuredAt == service.now
    assert found.coverage is not None and found.campaigns is not None and found.overlap is not None
    assert found.coverage.model_dump() == {"customers": 30, "covered": 30, "share": 1.0}
    assert (found.campaigns.segmented.sent, found.campaigns.nonSegmented.sent) == (2, 2)
    assert (found.campaigns.segmented.converted, found.campaigns.nonSegmented.clicked) == (1, 1)
    assert [pair.verdict for pair in found.overlap.pairs] == ["contained"]
    assert found.freshness.profiles is not None
    # All profiles came three hours ago, whatever happened to their customers before.
    assert found.freshness.profiles.model_dump() == {"p50Hours": 3.0, "p95Hours": 3.0, "unknown": 0}
    (today,) = found.history
    assert today.jobId == found.jobId
    assert {item.segmentId: item.sizes for item in found.segments} == {
        "everybody": [30],
        "germans": [20],
        "nobody": [0],
    }


def test_a_run_over_nobody_has_figures_without_shares(service: Service) -> None:
    service.follows_stream = False
    service.resegment({})
    found = read(service)
    assert found.measuredAt == service.now
    assert found.coverage is not None and found.freshness.profiles is not None and found.campaigns is not None
    assert found.coverage.model_dump() == {"customers": 0, "covered": 0, "share": None}
    assert found.freshness.profiles.model_dump() == {"p50Hours": None, "p95Hours": None, "unknown": 0}
    assert found.campaigns.segmented.openRate.model_dump() == {"value": None, "low": None, "high": None}
    closed = {"jobId": found.jobId or "", "status": "succeeded"}
    figures = telemetry.of_run(service.store, closed, service.now, STALE)
    assert figures["RunsSucceeded"] == 1
    assert not {"Coverage", "ProfileAgeP95"} & figures.keys()


def test_a_last_step_that_is_repeated_keeps_one_day(service: Service) -> None:
    shop(service)
    service.resegment({}, "nightly")
    first = read(service)
    plan = {"jobId": first.jobId, "evaluates": True, "everywhere": True}
    finishing.finish_run(service.store, {"plan": plan}, service.now)
    assert read(service) == first


def test_a_segment_paused_by_the_run_is_none_that_reaches_anybody(service: Service) -> None:
    shop(service)
    create(service, "unread", [{"attribute": "age", "operator": "gte", "value": 20}])
    service.settle()
    service.store.table.delete({"PK": "CATALOGUE", "SK": "ATTRIBUTE#age"})
    service.resegment({})
    found = read(service)
    assert found.coverage is not None and found.overlap is not None
    assert found.coverage.covered == 20
    assert found.overlap.pairs == []
    assert {item.segmentId: item.size for item in found.segments}["everybody"] == 30


def test_coverage_counts_a_customer_of_several_segments_once(service: Service) -> None:
    shop(service)
    service.now += timedelta(hours=1)
    segment = segments.get(service.store.table, "everybody", service.now)
    inactive = segment.model_copy(update={"active": False, "version": segment.version + 1})
    segments.update(service.store.table, inactive, segment.version, evaluate=False)
    assert measure_all(service)["covered"] == 20
    found = read(service)
    assert found.coverage is not None and found.overlap is not None
    assert found.coverage.share == 0.666667
    assert found.overlap.pairs == []
    assert [item.segmentId for item in found.segments] == ["germans", "nobody"]


def test_profiles_and_segments_grow_older_while_nothing_runs(service: Service) -> None:
    shop(service)
    measure_all(service)
    before = read(service)
    service.wait(72)
    after = read(service)
    assert before.freshness.profiles is not None and after.freshness.profiles is not None
    # Without the column of changes only customers with events have an age: 5 of 6 within the last month.
    assert before.freshness.profiles.unknown == 24
    assert before.freshness.profiles.p95Hours is not None and after.freshness.profiles.p95Hours is not None
    assert after.freshness.profiles.p95Hours - before.freshness.profiles.p95Hours == pytest.approx(72)
    assert before.freshness.staleSegments == []
    assert after.freshness.staleSegments == ["everybody", "germans", "nobody"]
    assert [item.ageHours for item in after.segments] == [72.0, 72.0, 72.0]


def test_changes_of_profiles_count_as_news(service: Service) -> None:
    shop(service)
    now = evaluation.instant(service.now)
    frame = partitions.load_at(service.store, 0, partitions.EVERYTHING)(now)
    updated = np.full(frame.size, now - np.timedelta64(3, "h"))
    merged = kpis.measure(frame, {}, now, updated)
    kpis.finish(service.store, merged, service.now, "run-1", from_json(measure(frame, {}, now)))
    profiles = read(service).freshness.profiles
    assert profiles is not None
    assert (profiles.p50Hours, profiles.p95Hours, profiles.unknown) == (3.0, 3.0, 0)


def test_the_history_has_the_last_run_of_each_day(service: Service) -> None:
    shop(service)
    for day, job in ((0, "run-1"), (0, "run-2"), (1, "run-3"), (3, "run-4")):
        at = service.now + timedelta(days=day)
        figures = {**stored_figures(), "sizes": {"germans": 10 + 5 * day}}
        stored.put_day(service.store.table, at, job, figures)
    service.wait(72)
    found = read(service, date(2026, 3, 1), date(2026, 3, 4))
    assert [(day.day, day.jobId) for day in found.history] == [
        ("2026-03-01", "run-2"),
        ("2026-03-02", "run-3"),
        ("2026-03-04", "run-4"),
    ]
    germans = next(item for item in found.segments if item.segmentId == "germans")
    assert (germans.size, germans.growth, germans.sizes) == (25, 1.5, [10, 15, 25])
    nobody = next(item for item in found.segments if item.segmentId == "nobody")
    assert (nobody.size, nobody.growth, nobody.sizes) == (None, None, [None, None, None])
    assert [day.day for day in read(service, date(2026, 3, 2), date(2026, 3, 3)).history] == ["2026-03-02"]
    assert [day.day for day in read(service).history] == ["2026-03-01", "2026-03-02", "2026-03-04"]


def stored_figures() -> dict[str, Any]:
    nothing = kpis.campaigns.nothing(np.datetime64("2026-03-01", "us"))
    profiles = {"unknown": 0, "p50At": None, "p95At": None}
    pairs: dict[str, Any] = {"redundant": 0, "contained": 0, "pairs": []}
    return {"customers": 10, "covered": 5, "profiles": profiles, "campaigns": nothing, "overlap": pairs, "sizes": {}}


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (date(2026, 3, 2), date(2026, 3, 1), "from 2026-03-02 is after to 2026-03-01"),
        (date(2025, 1, 1), date(2025, 12, 31), "2025-01-01 to 2025-12-31 are 365 days; one answer has at most 92"),
    ],
)
def test_a_period_that_cannot_be_answered_is_refused(service: Service, first: date, last: date, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(service, first, last)


def test_the_last_import_of_every_source_is_known_and_what_failed(service: Service) -> None:
    service.follows_stream = False
    service.drop("imports/customers/crm/2026/one.csv", CUSTOMERS)
    service.settle()
    service.wait(5)
    service.drop("imports/customers/crm/date=2026-03-01/broken.csv", "no,such\n1,2\n")
    service.drop("imports/orders/shop.csv", "orderId,customerId,orderedAt,amount\no1,c1,2026-01-01,5\n")
    service.settle()
    service.wait(1)
    crm, shop_orders = read(service).freshness.imports
    assert (crm.dataset, crm.source, crm.ageHours) == ("customers", "crm", 6.0)
    assert crm.failedAt == service.now - timedelta(hours=1)
    assert jobs.item(service.store.table, str(crm.failedJobId))["status"] == "failed"
    assert jobs.item(service.store.table, str(crm.jobId))["status"] == "succeeded"
    assert (shop_orders.dataset, shop_orders.source, shop_orders.ageHours) == ("orders", "", 1.0)
    assert shop_orders.failedAt is None


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("imports/orders/a.csv", ("orders", "")),
        ("imports/orders/shopify/a.csv", ("orders", "shopify")),
        ("imports/orders/2026/03/a.csv", ("orders", "")),
        ("imports/orders/job=import-00112233445566778899/a.csv", ("orders", "")),
        ("imports/orders/2026/läden/a.csv", ("orders", "läden")),
        ("imports/secrets/x/a.csv", (None, "")),
        ("imports/a.csv", (None, "")),
    ],
)
def test_a_source_is_the_folder_that_is_a_name(key: str, expected: tuple[str | None, str]) -> None:
    assert stored.source_of(key) == expected


def run_of(service: Service, kind: str, details: dict[str, Any], status: str = "succeeded") -> dict[str, str]:
    job_id = f"{kind}-1"
    jobs.create(service.store.table, job_id, kind, service.now, details=details)  # type: ignore[arg-type]
    jobs.begin(service.store.table, job_id, 1, service.now)
    counts = {"customers": 30, "entered": 4, "left": 1, "accepted": 7, "rejected": 2}
    jobs.finish(service.store.table, job_id, service.now + timedelta(minutes=2), status, counts=counts)
    return {"jobId": job_id, "status": status}


def test_a_run_over_all_segments_tells_all_its_figures(service: Service) -> None:
    shop(service)
    measure_all(service, "run-1")
    closed = run_of(service, "run", {"segmentIds": None})
    figures = telemetry.of_run(service.store, closed, service.now + timedelta(minutes=2), STALE)
    age = figures.pop("ProfileAgeP95")
    assert age > 86_400
    assert figures == {
        "RunsSucceeded": 1,
        "RunsFailed": 0,
        "RunDuration": 120.0,
        "Customers": 30,
        "Entered": 4,
        "Left": 1,
        "StaleSegments": 0,
        "Coverage": 100.0,
    }


def test_a_run_of_one_segment_is_not_counted_as_the_nightly_one(service: Service) -> None:
    shop(service)
    closed = run_of(service, "run", {"segmentIds": ["germans"]})
    service.wait(49)
    assert telemetry.of_run(service.store, closed, service.now, STALE) == {"Entered": 4, "Left": 1, "StaleSegments": 3}


@pytest.mark.parametrize(("kind", "details"), [("run", {"dryRun": True}), ("model", {})])
def test_what_changes_no_membership_tells_nothing(service: Service, kind: str, details: dict[str, Any]) -> None:
    assert telemetry.of_run(service.store, run_of(service, kind, details), service.now, STALE) == {}


def test_a_run_that_failed_is_told_as_one_even_without_a_job(service: Service) -> None:
    failed = run_of(service, "run", {"segmentIds": None}, "failed")
    figures = telemetry.of_run(service.store, failed, service.now, STALE)
    assert (figures["RunsSucceeded"], figures["RunsFailed"]) == (0, 1)
    assert telemetry.of_run(service.store, {"status": "failed"}, service.now, STALE) == {"RunsFailed": 1}


def test_an_import_tells_its_rows_and_how_long_it_took(service: Service) -> None:
    closed = run_of(service, "import", {})
    assert telemetry.of_import(service.store, closed, service.now + timedelta(seconds=90)) == {
        "Entered": 4,
        "Left": 1,
        "RowsAccepted": 7,
        "RowsRejected": 2,
        "ImportsSucceeded": 1,
        "ImportsFailed": 0,
        "ImportDuration": 90.0,
    }


def test_the_campaign_file_of_the_document_gives_the_counts_that_it_shows(service: Service) -> None:
    text = (Path(__file__).parents[2] / "docs" / "kpis.md").read_text(encoding="utf-8")
    (file,) = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    service.follows_stream = False
    service.drop("imports/events/campaigns.csv", file)
    service.settle()
    merged = measure_all(service)["campaigns"]
    counts = {side: dict(zip(rates.COUNTS, merged[side], strict=True)) for side in ("segmented", "nonSegmented")}
    assert {**counts, "ignored": merged["ignored"]} == json.loads(shown)
