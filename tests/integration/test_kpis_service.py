"""Indicators through the service: measured by workers, kept by runs, noted by imports, read with ages of the reader's
clock.
"""

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segmentation import evaluation, finishing, kpis, partitions, telemetry
from segmentation.engine.kpis import rates
from segmentation.errors import InvalidInput
from segmentation.store import jobs, segments
from segmentation.store import kpis as stored
from support.campaigns import CUSTOMERS, STALE, create, read, run_of, shop
from support.service import Service, running


@pytest.fixture
def fresh() -> Iterator[Service]:
    """A service of few partitions: every evaluation costs a test's time."""
    with running(partitions=2) as service:
        yield service


def campaigns_of(service: Service) -> dict[str, Any]:
    """What the workers of a run measure of campaigns."""
    now = evaluation.instant(service.now)
    parts = []
    for partition in range(service.store.partitions):
        frame = partitions.load_at(service.store, partition, partitions.EVERYTHING)(now)
        parts.append(kpis.measure(frame, {}, now))
    merged: dict[str, Any] = reduce(kpis.merge, parts)["campaigns"]
    return merged


def stored_figures() -> dict[str, Any]:
    nothing = kpis.campaigns.nothing(np.datetime64("2026-03-01", "us"))
    profiles = {"unknown": 0, "p50At": None, "p95At": None}
    pairs: dict[str, Any] = {"redundant": 0, "contained": 0, "pairs": []}
    return {"customers": 10, "covered": 5, "profiles": profiles, "campaigns": nothing, "overlap": pairs, "sizes": {}}


def test_before_the_first_run_the_state_is_empty_and_says_so(service: Service) -> None:
    found = read(service)
    assert found.measuredAt is None
    assert found.reason == "no run over all segments has ended yet; the schedule starts one, and so does POST /runs"
    assert (found.coverage, found.campaigns, found.overlap, found.history) == (None, None, None, [])
    assert found.freshness.profiles is None
    assert found.freshness.imports == []


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


def test_a_last_step_that_is_repeated_keeps_one_day(fresh: Service) -> None:
    shop(fresh)
    first = read(fresh)
    plan = {"jobId": first.jobId, "evaluates": True, "everywhere": True}
    finishing.finish_run(fresh.store, {"plan": plan}, fresh.now)
    assert read(fresh) == first


def test_a_segment_paused_by_the_run_is_none_that_reaches_anybody(fresh: Service) -> None:
    shop(fresh)
    fresh.store.table.delete({"PK": "CATALOGUE", "SK": "ATTRIBUTE#age"})
    fresh.resegment({}, "second")
    found = read(fresh)
    assert found.coverage is not None and found.overlap is not None
    assert found.coverage.covered == 20
    assert found.overlap.pairs == []
    assert {item.segmentId: item.size for item in found.segments}["everybody"] == 30


def test_coverage_counts_active_segments_and_a_customer_of_several_once(fresh: Service) -> None:
    shop(fresh)
    segment = segments.get(fresh.store.table, "everybody", fresh.now)
    inactive = segment.model_copy(update={"active": False, "version": segment.version + 1})
    segments.update(fresh.store.table, inactive, segment.version, evaluate=False)
    fresh.resegment({}, "second")
    found = read(fresh)
    assert found.coverage is not None and found.overlap is not None
    assert found.coverage.model_dump() == {"customers": 30, "covered": 20, "share": 0.666667}
    assert found.overlap.pairs == []
    assert [item.segmentId for item in found.segments] == ["germans", "nobody"]


def test_the_history_has_the_last_run_of_each_day(fresh: Service) -> None:
    create(fresh, "germans", [{"attribute": "totalSpent", "operator": "gt", "value": 5}])
    create(fresh, "nobody", [{"attribute": "totalSpent", "operator": "gt", "value": 9}])
    for day, job in ((0, "run-1"), (0, "run-2"), (1, "run-3"), (3, "run-4")):
        at = fresh.now + timedelta(days=day)
        figures = {**stored_figures(), "sizes": {"germans": 10 + 5 * day}}
        stored.put_day(fresh.store.table, at, job, figures)
    fresh.wait(72)
    found = read(fresh, date(2026, 3, 1), date(2026, 3, 4))
    assert [(day.day, day.jobId) for day in found.history] == [
        ("2026-03-01", "run-2"),
        ("2026-03-02", "run-3"),
        ("2026-03-04", "run-4"),
    ]
    germans = next(item for item in found.segments if item.segmentId == "germans")
    assert (germans.size, germans.growth, germans.sizes) == (25, 1.5, [10, 15, 25])
    nobody = next(item for item in found.segments if item.segmentId == "nobody")
    assert (nobody.size, nobody.growth, nobody.sizes) == (None, None, [None, None, None])
    assert [day.day for day in read(fresh, date(2026, 3, 2), date(2026, 3, 3)).history] == ["2026-03-02"]
    assert [day.day for day in read(fresh).history] == ["2026-03-01", "2026-03-02", "2026-03-04"]


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
    merged = campaigns_of(service)
    counts = {side: dict(zip(rates.COUNTS, merged[side], strict=True)) for side in ("segmented", "nonSegmented")}
    assert {**counts, "ignored": merged["ignored"]} == json.loads(shown)
