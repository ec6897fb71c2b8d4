"""The past of memberships on moto, from writes and runs through the stream to the answers."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from segmentation import assignment, customers, histories, members, runs, segments
from segmentation.models.common import iso
from segmentation.models.segments import AssignCustomers, CustomerIds, Validity
from support import functions
from support.germans import create, fill, put
from support.service import Service, running

MOMENT = timedelta(microseconds=1)
ODD = ("a/b", "a/b/c#d", "per%cent", "ä 🛒", "history")


@pytest.fixture
def shop(service: Service) -> Service:
    """Germans (c0 to c3), created an hour ago."""
    create(fill(service))
    service.settle()
    service.wait(hours=1)
    return service


def run(service: Service) -> None:
    runs.begin(service.store, service.now)
    service.settle()


def who(service: Service, at: datetime, segment_id: str = "germans") -> set[str]:
    """Members at an instant, page by page."""
    found: list[str] = []
    token: str | None = None
    while True:
        page = members.list_members_at(service.store, segment_id, "members", iso(at), 2, token, service.now)
        found += [member.customerId for member in page.items]
        token = page.nextToken
        if token is None:
            assert len(found) == len(set(found))
            return set(found)


def where(service: Service, customer_id: str, at: datetime) -> list[tuple[str, str | None]]:
    """Segments, and for which legal entity, that a customer was in at an instant."""
    found = members.list_customer_segments_at(service.store, customer_id, iso(at), 100, None, service.now)
    return [(item.segmentId, item.legalEntityId) for item in found.items]


def assign(service: Service, customer_id: str, entity: str = "") -> None:
    request = AssignCustomers(customerIds=[customer_id], override=True, legalEntityId=entity)
    assert assignment.assign(service.store, "germans", request, service.now).failedCount == 0


def unassign(service: Service, customer_id: str, entity: str = "") -> None:
    request = CustomerIds(customerIds=[customer_id], legalEntityId=entity)
    assert assignment.unassign(service.store, "germans", request, service.now).failedCount == 0


def test_the_past_stays_as_it_was_through_profiles_runs_and_checkpoints(shop: Service) -> None:
    moments: dict[datetime, set[str]] = {shop.now: {"c0", "c1", "c2", "c3"}}
    inside = set(moments[shop.now])
    for day in range(4):
        shop.wait(hours=1)
        put(shop, f"c{day}", country="FR")
        put(shop, f"c{day + 5}", country="DE")
        inside = inside - {f"c{day}"} | {f"c{day + 5}"}
        moments[shop.now] = inside
        shop.wait(hours=23)
        run(shop)
        moments[shop.now] = inside
    shop.settle()
    assert len(list(shop.store.files.list("members/"))) > 3, "there are checkpoints of several days"
    for at, expected in moments.items():
        assert who(shop, at) == expected
        for customer_id in ("c0", "c3", "c5", "c8", "c9"):
            assert (where(shop, customer_id, at) == [("germans", None)]) == (customer_id in expected)


def test_a_change_counts_from_its_own_instant_on(shop: Service) -> None:
    put(shop, "c0", country="FR")
    left, before = shop.now, shop.now - MOMENT
    shop.settle()
    shop.wait(hours=1)
    assert ("c0" in who(shop, before), "c0" in who(shop, left)) == (True, False)
    assert (where(shop, "c0", before), where(shop, "c0", left)) == ([("germans", None)], [])


def test_who_left_and_came_back_has_three_changes_and_a_gap(shop: Service) -> None:
    left = shop.now
    put(shop, "c0", country="FR")
    shop.settle()
    shop.wait(hours=1)
    back = shop.now
    put(shop, "c0", country="DE")
    shop.settle()
    shop.wait(hours=1)
    items = histories.of_customer(shop.store, "c0", None, None, "asc", 10, None).items
    assert [item.change for item in items] == ["entered", "exited", "entered"]
    assert [item.time for item in items[1:]] == [left, back]
    assert [item.customerId for item in segment_changes(shop)][-2:] == ["c0", "c0"]
    assert [where(shop, "c0", at) for at in (left, back)] == [[], [("germans", None)]]
    assert ["c0" in who(shop, at) for at in (left, back)] == [False, True]


def segment_changes(service: Service) -> list[Any]:
    return histories.of_segment(service.store, "germans", None, None, "change", "asc", 100, None, service.now).items


def test_an_entry_and_an_exit_at_one_instant_leave_no_stay_behind(shop: Service) -> None:
    put(shop, "c9", country="DE")
    put(shop, "c9", country="US")
    shop.settle()
    at = shop.now
    shop.wait(hours=1)
    assert "c9" not in who(shop, at)
    assert where(shop, "c9", at) == []


def test_what_the_stream_has_not_told_yet_counts_for_the_customer(shop: Service) -> None:
    shop.follows_stream = False
    put(shop, "c9", country="DE")
    put(shop, "c0", country="FR")
    changed, before = shop.now, shop.now - MOMENT
    shop.wait(hours=0.5)
    assert where(shop, "c9", before) == []
    assert where(shop, "c9", changed) == [("germans", None)]
    assert where(shop, "c0", before) == [("germans", None)]
    assert where(shop, "c0", changed) == []


def test_memberships_of_legal_entities_come_and_go_one_by_one(shop: Service) -> None:
    assign(shop, "c8", "le-1")
    assign(shop, "c8", "le-2")
    shop.settle()
    run(shop)
    both = shop.now
    shop.wait(hours=24)
    unassign(shop, "c8", "le-1")
    shop.settle()
    one = shop.now
    shop.wait(hours=24)
    unassign(shop, "c8", "le-2")
    shop.settle()
    none = shop.now
    shop.wait(hours=1)
    assert where(shop, "c8", both) == [("germans", "le-1"), ("germans", "le-2")]
    assert where(shop, "c8", one) == [("germans", "le-2")]
    assert where(shop, "c8", none) == []
    assert ["c8" in who(shop, at) for at in (both, one, none)] == [True, True, False]


def test_the_cause_and_the_run_of_a_change_are_told(shop: Service) -> None:
    assign(shop, "c8")
    shop.settle()
    assert [(item.cause, item.source) for item in segment_changes(shop) if item.customerId == "c8"] == [
        ("manual", "manual")
    ]
    of_run = [item for item in segment_changes(shop) if item.customerId == "c0"]
    assert [(item.cause, item.source, item.segmentVersion) for item in of_run] == [("rule", "rule", 1)]
    assert of_run[0].jobId


def test_a_deleted_segment_stays_in_its_members_past_without_a_name(shop: Service) -> None:
    before = shop.now
    shop.wait(hours=1)
    segments.delete(shop.store, "germans", None, True, shop.now)
    shop.settle()
    shop.wait(hours=1)
    past = members.list_customer_segments_at(shop.store, "c0", iso(before), 100, None, shop.now)
    assert [(item.segmentId, item.segmentName) for item in past.items] == [("germans", None)]
    assert where(shop, "c0", shop.now) == []
    assert [i.cause for i in histories.of_customer(shop.store, "c0", None, None, "desc", 1, None).items] == [
        "segment_deleted"
    ]


def test_an_erased_person_is_in_no_answer(shop: Service) -> None:
    before = shop.now
    run(shop)
    shop.wait(hours=24)
    customers.erase(shop.store, "c0", shop.now)
    for _ in range(2):
        # First while the files still hold the person, then without.
        assert who(shop, before) == {"c1", "c2", "c3"}
        assert where(shop, "c0", before) == []
        assert histories.of_customer(shop.store, "c0", None, None, "asc", 10, None).items == []
        assert "c0" not in {item.customerId for item in segment_changes(shop)}
        shop.settle()


def test_nobody_is_a_member_after_the_validity_although_the_run_comes_later(service: Service) -> None:
    fill(service)
    ends = service.now + timedelta(hours=2)
    create(service, validity=Validity(endsAt=ends))
    service.settle()
    service.wait(hours=24)
    assert (who(service, ends - MOMENT), who(service, ends)) == ({"c0", "c1", "c2", "c3"}, set())
    assert (where(service, "c0", ends - MOMENT), where(service, "c0", ends)) == ([("germans", None)], [])


def test_a_customers_past_has_pages(shop: Service) -> None:
    for name in ("a", "b", "z"):
        create(shop, name)
    shop.settle()
    shop.wait(hours=1)
    found: list[str] = []
    token: str | None = None
    for _ in range(4):
        page = members.list_customer_segments_at(shop.store, "c0", iso(shop.now), 1, token, shop.now)
        found += [item.segmentId for item in page.items]
        token = page.nextToken
    assert (found, token) == (["a", "b", "germans", "z"], None)


def test_pages_of_today_all_look_from_the_first_ones_now(shop: Service) -> None:
    day = iso(shop.now)[:10]
    first = members.list_members_at(shop.store, "germans", "members", day, 1, None, shop.now)
    shop.wait(hours=1)
    put(shop, "c1", country="FR")
    put(shop, "c2", country="FR")
    shop.settle()
    token, found = first.nextToken, [item.customerId for item in first.items]
    while token:
        page = members.list_members_at(shop.store, "germans", "members", day, 1, token, shop.now)
        token, found = page.nextToken, found + [item.customerId for item in page.items]
    assert sorted(found) == ["c0", "c1", "c2", "c3"]


@pytest.fixture(scope="module")
def deployed() -> Iterator[Service]:
    """The functions, with a service behind them that tests leave as it is: Germans, some with odd ids."""
    with running() as service, pytest.MonkeyPatch.context() as patch:
        for name in ("list_members", "list_customer_segments", "list_customer_history", "list_segment_history"):
            module = functions.load(name)
            patch.setattr(module, "store", lambda: service.store)
            if hasattr(module, "now"):
                patch.setattr(module, "now", lambda: service.now)
        for customer_id in ("c0", *ODD):
            put(service, customer_id, country="DE")
        create(service)
        service.settle()
        service.wait(hours=1)
        yield service


@pytest.mark.parametrize("odd", ODD)
def test_ids_with_signs_have_a_past_like_any_other(deployed: Service, odd: str) -> None:
    told = functions.request("list_customer_history", query={}, customerId=odd)
    assert [item["segmentId"] for item in told.body["items"]] == ["germans"]
    at = {"asOf": iso(deployed.now)}
    past = functions.request("list_customer_segments", query=at, customerId=odd)
    assert [item["segmentId"] for item in past.body["items"]] == ["germans"]
    listed = functions.request("list_members", query=at, segmentId="germans")
    assert odd in [item["customerId"] for item in listed.body["items"]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"asOf": "2020-01-01"}, "is before the records of segment 'germans' begin, at 2026-03-01T12:00:00.000000Z"),
        ({"asOf": "2100-01-01"}, "'2100-01-01' is in the future"),
        ({"asOf": "tomorrow"}, "'tomorrow' is neither a day such as"),
        ({"asOf": "2026-03-01T13:00:00 01:00"}, "is written %2B"),
        ({"asOf": "2026-03-01", "list": "included"}, "cannot be combined with list=included"),
    ],
)
def test_what_cannot_be_answered_names_the_field_and_why(deployed: Service, query: dict[str, str], said: str) -> None:
    answer = functions.request("list_members", query=query, segmentId="germans")
    assert answer.status == 422
    assert [(error["field"], said in error["message"]) for error in answer.body["errors"]] == [("asOf", True)]


def test_a_token_belongs_to_its_instant(deployed: Service) -> None:
    at = iso(deployed.now)
    token = functions.request("list_members", query={"asOf": at, "limit": "1"}, segmentId="germans").body["nextToken"]
    for query in ({}, {"asOf": iso(deployed.now - MOMENT)}):
        answer = functions.request("list_members", query={**query, "nextToken": token}, segmentId="germans")
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, "nextToken")
    answer = functions.request("list_customer_segments", query={"asOf": at, "nextToken": token}, customerId="c0")
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, "nextToken")


def test_a_segment_that_nobody_knows_is_not_found(deployed: Service) -> None:
    for name, query in (("list_members", {"asOf": "2026-03-01"}), ("list_segment_history", {})):
        assert functions.request(name, query=query, segmentId="nobody").status == 404


def test_before_the_first_record_a_customer_is_in_nothing_and_is_told_since_when(deployed: Service) -> None:
    created = segments.get(deployed.store, "germans", deployed.now).createdAt
    past = members.list_customer_segments_at(deployed.store, "c0", "2020-01-01", 10, None, deployed.now)
    assert (past.items, past.recordedSince) == ([], created)
    unknown = members.list_customer_segments_at(deployed.store, "nobody", "2020-01-01", 10, None, deployed.now)
    assert (unknown.items, unknown.recordedSince) == ([], None)
