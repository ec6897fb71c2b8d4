"""Previews against a segment that has members: who would join and leave, and what they have spent."""

from typing import Any

import pytest
from pydantic import ValidationError

from segmentation import assignment, authoring, job_reads, runs, segments
from segmentation.errors import Conflict, InvalidCriteria, TooBusy
from segmentation.models.jobs import Job, StartRun
from segmentation.models.segments import AssignCustomers, CustomerIds, Preview, PreviewSegment, Validity
from support.germans import create, ids
from support.service import Service

PEOPLE = [f"c{number:02d}" for number in range(40)]
CUSTOMERS = "customerId,country\n" + "".join(f"{who},{'DE' if n % 3 else 'US'}\n" for n, who in enumerate(PEOPLE))
ORDERS = "orderId,customerId,orderedAt,amount\n" + "".join(
    f"o{n}-{turn},{who},2026-02-{1 + n % 28:02d}T10:00:00Z,{-1.25 if turn == 2 else 10.1 * n + turn}\n"
    for n, who in enumerate(PEOPLE[:-5])
    for turn in range(3)
)
SPENT = {who: 2 * 10.1 * n + 1 - 1.25 for n, who in enumerate(PEOPLE[:-5])} | dict.fromkeys(PEOPLE[-5:], 0.0)
GERMAN = {"attribute": "country", "operator": "eq", "value": "DE"}
BIG = {"attribute": "totalSpent", "operator": "gte", "value": 300}
RECENT = {"attribute": "lastOrderAt", "operator": "in_last", "value": "14d"}


@pytest.fixture
def shop(service: Service) -> Service:
    service.follows_stream = False
    service.drop("imports/customers/customers.csv", CUSTOMERS)
    service.drop("imports/orders/orders.csv", ORDERS)
    service.settle()
    return service


def preview(shop: Service, **request: Any) -> Preview:
    return authoring.preview(shop.store, PreviewSegment(**request), shop.now)


def run(shop: Service) -> Job:
    started = runs.start(shop.store, StartRun(segmentIds=["asked"]), shop.now)
    shop.settle()
    return job_reads.get(shop.store, started.jobId)


def money(customers: set[str]) -> float:
    return round(sum(SPENT[who] for who in customers), 2)


def test_a_preview_says_who_would_join_and_leave_and_what_they_have_spent(shop: Service) -> None:
    create(shop, "asked", [GERMAN])
    shop.settle()
    before = ids(shop, "asked")
    found = preview(shop, criteria=[BIG], segmentId="asked", sampleSize=3)
    after = {who for who, spent in SPENT.items() if spent >= 300}
    assert after - before
    assert before - after
    assert (found.joins, found.leaves) == (len(after - before), len(before - after))
    assert (found.joinsRevenue, found.leavesRevenue) == (money(after - before), money(before - after))
    assert found.joining is not None
    assert found.leaving is not None
    largest = sorted(after - before, key=lambda who: -SPENT[who])[:3]
    assert [(c.customerId, c.revenue) for c in found.joining] == [(who, money({who})) for who in largest]
    assert [c.customerId for c in found.leaving] == sorted(before - after, key=lambda who: -SPENT[who])[:3]


def test_a_rule_alone_is_compared_with_nothing(shop: Service) -> None:
    found = preview(shop, criteria=[BIG])
    compared = (found.joins, found.leaves, found.joinsRevenue, found.leavesRevenue, found.joining, found.leaving)
    assert compared == (None,) * 6


def test_what_people_decided_is_respected(shop: Service) -> None:
    create(shop, "asked", [GERMAN])
    shop.settle()
    kept, kept_out = "c01", max(SPENT, key=lambda who: SPENT[who])
    american = "c00"
    assignment.assign(shop.store, "asked", AssignCustomers(customerIds=[kept, american], override=True), shop.now)
    assignment.unassign(shop.store, "asked", CustomerIds(customerIds=[kept_out]), shop.now)
    before = ids(shop, "asked")
    found = preview(shop, criteria=[BIG], segmentId="asked", sampleSize=100)
    after = {who for who, spent in SPENT.items() if spent >= 300} - {kept_out} | {american}
    assert found.customerCount == len(after)
    assert {c.customerId for c in found.joining or ()} == after - before
    assert {c.customerId for c in found.leaving or ()} == before - after
    assert kept_out not in {c.customerId for c in found.joining or ()}
    assert american not in {c.customerId for c in found.leaving or ()}


def test_without_a_rule_it_is_what_the_next_run_would_change(shop: Service) -> None:
    create(shop, "asked", [RECENT])
    shop.settle()
    before = ids(shop, "asked")
    assert preview(shop, segmentId="asked").leaves == 0
    shop.wait(hours=24 * 5)
    found = preview(shop, segmentId="asked", sampleSize=100)
    assert ids(shop, "asked") == before
    ended = run(shop)
    left = before - ids(shop, "asked")
    assert left
    assert (found.joins, found.leaves) == (0, len(left)) == (0, ended.counts["left"])
    assert {c.customerId for c in found.leaving or ()} == left
    assert found.leavesRevenue == money(left)


def test_what_the_next_run_would_change_knows_the_validity_of_the_segment(shop: Service) -> None:
    create(shop, "asked", [GERMAN], validity=Validity(startsAt=shop.now.replace(month=4)))
    shop.settle()
    assert (preview(shop, segmentId="asked").joins, preview(shop, segmentId="asked").customerCount) == (0, 0)
    germans = {who for number, who in enumerate(PEOPLE) if number % 3}
    shop.wait(hours=24 * 40)
    found = preview(shop, segmentId="asked")
    assert (found.joins, found.joinsRevenue) == (len(germans), money(germans))
    run(shop)
    assert ids(shop, "asked") == germans


def test_a_preview_looks_from_the_segments_own_instant_and_days(shop: Service) -> None:
    create(shop, "asked", [RECENT], now=shop.now.replace(month=2, day=15), timeZone="Europe/Berlin")
    shop.settle()
    found = preview(shop, segmentId="asked", criteria=[RECENT])
    assert (found.joins, found.leaves) == (0, 0)
    assert found.now == shop.now.replace(month=2, day=15)
    assert preview(shop, segmentId="asked", criteria=[RECENT], now=shop.now).leaves


def test_a_paused_segment_is_changed_by_no_run_and_says_why(shop: Service) -> None:
    create(shop, "others", [BIG])
    create(shop, "asked", [{"segment": "others", "operator": "member"}])
    shop.settle()
    segments.delete(shop.store, "others", None, True, shop.now)
    shop.settle()
    with pytest.raises(Conflict, match=r"'asked' is paused.*others"):
        preview(shop, segmentId="asked")
    with pytest.raises(InvalidCriteria, match="others"):
        preview(shop, segmentId="asked", criteria=[{"segment": "others", "operator": "member"}])


def test_what_cannot_be_compared_in_time_is_a_dry_run(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    create(shop, "asked", [GERMAN])
    shop.settle()
    monkeypatch.setattr(authoring, "PATIENCE_SECONDS", -1)
    with pytest.raises(TooBusy, match="start a run with dryRun"):
        preview(shop, segmentId="asked")


def test_nothing_at_all_cannot_be_previewed() -> None:
    with pytest.raises(ValidationError, match="send criteria, or the segmentId of a segment"):
        PreviewSegment()
