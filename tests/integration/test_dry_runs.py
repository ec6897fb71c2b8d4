"""Dry runs through the service, on moto: what they report is what a run then does, and nothing else is written."""

import csv
import gzip
import io
from typing import Any

import pytest

from segmentation import assignment, authoring, dry_runs, runs
from segmentation.models.jobs import Job, StartRun
from segmentation.models.segments import AssignCustomers, PreviewSegment
from segmentation.store import jobs
from support.germans import create, ids, put
from support.service import Service

PEOPLE = [f"c{number:02d}" for number in range(30)]
CUSTOMERS = "customerId,country\n" + "".join(f"{who},{'DE' if n % 3 else 'US'}\n" for n, who in enumerate(PEOPLE))
ORDERS = "orderId,customerId,orderedAt,amount\n" + "".join(
    f"o{n},{who},2026-02-{1 + n % 28:02d}T10:00:00Z,{10.05 * n + 1}\n" for n, who in enumerate(PEOPLE)
)
RECENT = [{"attribute": "lastOrderAt", "operator": "in_last", "value": "14d"}]
ASLEEP = [{"segment": "recent", "operator": "not_member"}, {"attribute": "country", "operator": "eq", "value": "DE"}]


@pytest.fixture
def shop(service: Service) -> Service:
    """Five days after the last evaluation: some customers are not recent any more."""
    service.follows_stream = False
    service.drop("imports/customers/customers.csv", CUSTOMERS)
    service.drop("imports/orders/orders.csv", ORDERS)
    service.settle()
    create(service, "recent", RECENT)
    create(service, "asleep", ASLEEP)
    service.settle()
    service.wait(hours=24 * 5)
    return service


def run(shop: Service, **request: Any) -> Job:
    started = runs.start(shop.store, StartRun(**request), shop.now)
    shop.settle()
    return jobs.get(shop.store.table, started.jobId)


def rows(shop: Service, job: Job) -> list[tuple[str, ...]]:
    text = gzip.decompress(shop.store.files.get(job.links["changes"])).decode()
    return sorted(tuple(row.values()) for row in csv.DictReader(io.StringIO(text)))


def written(shop: Service) -> tuple[list[Any], dict[str, bytes]]:
    """Everything that is kept, but for jobs and reports of dry runs."""
    items = shop.dynamodb.scan(TableName="segmentation")["Items"]
    kept = [item for item in items if not item["PK"]["S"].startswith(("JOB#", "LEASE#"))]
    files = shop.store.files
    others = [key for key in files.list("") if not key.startswith("reports/dry-runs/")]
    return sorted(kept, key=lambda item: (item["PK"]["S"], item["SK"]["S"])), {key: files.get(key) for key in others}


def test_a_dry_run_reports_what_the_run_then_does_and_writes_nothing_else(shop: Service) -> None:
    put(shop, "new", country="DE")
    before = {name: ids(shop, name) for name in ("recent", "asleep")}
    kept = written(shop)
    dry = run(shop, dryRun=True)
    assert dry.status == "succeeded"
    assert written(shop) == kept
    reported = {(segment, who, change) for segment, who, _, change, _ in rows(shop, dry)}
    real = run(shop)
    after = {name: ids(shop, name) for name in ("recent", "asleep")}
    assert reported == {
        *((name, who, "join") for name in after for who in after[name] - before[name]),
        *((name, who, "leave") for name in after for who in before[name] - after[name]),
    }
    assert {change for _, _, change in reported} == {"join", "leave"}
    assert (dry.counts["entered"], dry.counts["left"]) == (real.counts["entered"], real.counts["left"])


def test_a_dry_run_and_a_preview_say_the_same(shop: Service) -> None:
    american = "c00"
    assignment.assign(shop.store, "recent", AssignCustomers(customerIds=[american], override=True), shop.now)
    dry = run(shop, dryRun=True)
    for name in ("recent", "asleep"):
        preview = authoring.preview(shop.store, PreviewSegment(segmentId=name, sampleSize=100), shop.now)
        assert dry.details["wouldChange"][name] == {
            "joins": preview.joins,
            "leaves": preview.leaves,
            "joinsRevenue": preview.joinsRevenue,
            "leavesRevenue": preview.leavesRevenue,
        }
        assert preview.joins or preview.leaves
    assert american not in {who for segment, who, *_ in rows(shop, dry) if segment == "recent"}


def test_a_dry_run_of_some_segments_as_of_another_instant_is_about_these(shop: Service) -> None:
    dry = run(shop, dryRun=True, segmentIds=["recent"], now=shop.now.replace(year=2027))
    assert dry.details["wouldChange"].keys() == {"recent"}
    assert dry.details["wouldChange"]["recent"]["leaves"] == len(ids(shop, "recent"))


def test_deliveries_that_come_twice_change_nothing_in_the_report(shop: Service) -> None:
    dry = run(shop, dryRun=True)
    found, file = rows(shop, dry), shop.store.files.get(dry.links["changes"])
    for partition in range(shop.store.partitions):
        shop.evaluate_partition({"jobId": dry.jobId, "kind": "run", "partition": partition})
    again = dry_runs.gather(shop.store, dry.jobId)
    assert again.details["wouldChange"] == dry.details["wouldChange"]
    assert shop.store.files.get(again.links["changes"]) == file
    assert rows(shop, dry) == found


def test_an_empty_shop_has_an_empty_report(service: Service) -> None:
    service.follows_stream = False
    create(service, "buyers", [{"attribute": "orderCount", "operator": "gte", "value": 1}])
    service.settle()
    dry = run(service, dryRun=True)
    assert (dry.status, dry.details["wouldChange"], rows(service, dry)) == ("succeeded", {}, [])
