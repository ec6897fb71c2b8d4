"""Segments when things happen at the same time, late, twice, or in another spelling."""

from datetime import timedelta

import pytest

from segmentation import (
    assignment,
    authoring,
    customers,
    finishing,
    members,
    runs,
    segments,
)
from segmentation.errors import InvalidInput
from segmentation.models.segments import (
    AssignCustomers,
    CustomerIds,
    SegmentPatch,
    Validity,
)
from segmentation.store import catalogue
from support.germans import count, create, fill, ids, put
from support.races import before_writing
from support.service import Service, worker_items


@pytest.fixture
def shop(service: Service) -> Service:
    return fill(service)


def test_ids_that_cannot_be_are_refused_one_by_one(shop: Service) -> None:
    create(shop)
    bad = ["", "x" * 300, "a\tb"]
    result = assignment.assign(shop.store, "germans", AssignCustomers(customerIds=bad), shop.now)
    assert (result.successCount, result.failedCount) == (0, 3)
    assert any("300" in error for error in result.errors)


def test_the_same_id_in_two_unicode_forms_is_one_customer(shop: Service) -> None:
    create(shop)
    put(shop, "caf\u00e9", country="FR")
    both = AssignCustomers(customerIds=["caf\u00e9", "cafe\u0301"], override=True)
    assert assignment.assign(shop.store, "germans", both, shop.now).successCount == 1


def test_an_assignment_for_a_legal_entity_leaves_the_customers_own_membership_alone(shop: Service) -> None:
    create(shop)
    shop.settle()
    before = members.list_customer_segments(shop.store, "c0", 10, None, shop.now).items
    shop.wait(1)
    assignment.assign(shop.store, "germans", AssignCustomers(customerIds=["c0"], legalEntityId="LE1"), shop.now)
    after = members.list_customer_segments(shop.store, "c0", 10, None, shop.now).items
    assert [m for m in after if not m.legalEntityId] == before
    assert [m.legalEntityId for m in after if m.legalEntityId] == ["LE1"]
    refused = assignment.unassign(shop.store, "germans", CustomerIds(customerIds=["c1"], legalEntityId="LE2"), shop.now)
    assert (refused.successCount, refused.failedCount) == (0, 1)


def test_an_assignment_for_a_legal_entity_leaves_a_membership_by_hand_alone(shop: Service) -> None:
    create(shop)
    by_hand = AssignCustomers(customerIds=["c8"], override=True)
    assignment.assign(shop.store, "germans", by_hand, shop.now)
    of_entity = AssignCustomers(customerIds=["c8"], override=True, legalEntityId="LE1")
    assignment.assign(shop.store, "germans", of_entity, shop.now)
    found = members.list_customer_segments(shop.store, "c8", 10, None, shop.now).items
    assert [membership.legalEntityId for membership in found] == [None, "LE1"]


def test_a_validity_that_is_extended_reaches_who_is_a_member_already(shop: Service) -> None:
    create(shop, validity=Validity(endsAt=shop.now + timedelta(hours=10)))
    shop.settle()
    since = members.list_customer_segments(shop.store, "c0", 10, None, shop.now).items[0].since
    longer = SegmentPatch(validity=Validity(endsAt=shop.now + timedelta(hours=1000)))
    authoring.update(shop.store, "germans", longer, None, shop.now)
    shop.settle()
    shop.wait(20)
    assert members.list_customer_segments(shop.store, "c0", 10, None, shop.now).items[0].since == since
    assert count(shop, "germans") == 4


def test_a_validity_that_has_ended_empties_every_list_before_the_next_run(shop: Service) -> None:
    create(shop, validity=Validity(endsAt=shop.now + timedelta(hours=10)))
    shop.settle()
    shop.wait(11)
    assert ids(shop, "germans") == set()
    assert count(shop, "germans") == 0


def test_a_segment_renamed_during_its_first_run_gets_its_evaluation(shop: Service) -> None:
    create(shop)
    authoring.update(shop.store, "germans", SegmentPatch(segmentName="New"), None, shop.now)
    shop.settle()
    assert segments.get(shop.store, "germans", shop.now).status == "active"
    assert segments.analyze(shop.store, "germans", ["size"]).metrics == {"size": 4}


def test_a_segment_deleted_during_a_full_run_leaves_no_membership(shop: Service) -> None:
    create(shop)
    shop.settle()
    job = runs.begin(shop.store, shop.now)
    payload = shop.workflows.started.pop(job.jobId)[1]
    planned = runs.plan(shop.store, {"request": payload, "execution": "x"}, shop.now)
    for item in worker_items(planned):
        shop.evaluate_partition(item)
    segments.delete(shop.store, "germans", None, False, shop.now)
    finishing.finish_run(shop.store, {"plan": planned, "partitions": {"failures": []}}, shop.now)
    shop.settle()
    assert members.list_customer_segments(shop.store, "c0", 10, None, shop.now).items == []
    assert shop.store.table.get({"PK": "SEGMENT#germans", "SK": "META"}) is None


def test_late_records_of_a_deleted_segment_do_not_count_for_its_namesake(shop: Service) -> None:
    create(shop)
    shop.settle()
    segments.delete(shop.store, "germans", None, False, shop.now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(shop), "record", lambda _: 0)
        shop.settle()
        shop.wait(1)
        create(shop)
        shop.settle()
    shop.record()
    assert count(shop, "germans") == 4


def test_a_profile_written_while_a_worker_evaluates_is_not_undone(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(shop)
    shop.settle()
    moved: list[str] = []

    def meanwhile() -> None:
        if not moved:
            moved.append("c0")
            put(shop, "c0", country="US")

    before_writing(monkeypatch, meanwhile)
    runs.begin(shop.store, shop.now)
    shop.settle()
    assert moved
    assert ids(shop, "germans") == {"c1", "c2", "c3"}


def test_history_that_comes_after_an_erasure_is_erased_as_well(shop: Service) -> None:
    create(shop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(shop), "record", lambda _: 0)
        shop.settle()
        customers.erase(shop.store, "c0", shop.now)
        shop.settle()
    shop.record()
    assert list(shop.store.table.query("CUSTOMER#c0", "HISTORY#")) == []


def test_two_profiles_that_bring_one_name_with_two_kinds_cannot_both_be_taken(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = catalogue.add_attributes

    def faster(table: object, kinds: object) -> None:
        monkeypatch.setattr(catalogue, "add_attributes", add)
        put(shop, "c1", country="DE", zip="10115")
        add(table, kinds)

    monkeypatch.setattr(catalogue, "add_attributes", faster)
    with pytest.raises(InvalidInput, match="12345"):
        put(shop, "c2", country="DE", zip=12345)
    assert customers.get(shop.store, "c1", shop.now).attributes["zip"] == "10115"
