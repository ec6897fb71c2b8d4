"""Why a customer entered or left: causes, versions and moves, in the history and in what others hear."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from segmentation import assignment, authoring, customers, runs
from segmentation.models.segments import AssignCustomers, ModelGroup, Segment, SegmentPatch, Validity
from segmentation.store import segments as stored
from support.germans import create, fill, put
from support.service import RecordedEvents, Service


@pytest.fixture
def shop(service: Service) -> Service:
    return fill(service)


def history(service: Service, customer_id: str) -> list[dict[str, Any]]:
    """What is remembered of a customer, oldest first."""
    return list(service.store.table.query(f"CUSTOMER#{customer_id}", "HISTORY#"))


def run(service: Service, hours: float = 1) -> str:
    service.wait(hours)
    job_id = runs.begin(service.store, service.now).jobId
    service.settle()
    return job_id


def told(service: Service, kind: str) -> list[dict[str, Any]]:
    events = service.store.events
    assert isinstance(events, RecordedEvents)
    return [dict(event.detail) for event in events.told if event.kind == kind]


def group(service: Service, group_id: str, country: str) -> None:
    """A segment that holds a group of a model, by a rule that tests can steer."""
    stored.create(
        service.store.table,
        Segment(
            segmentId=f"m-{group_id}",
            segmentName=group_id,
            customerCount=0,
            status="evaluating",
            kind="rule",
            criteria=[{"attribute": "country", "operator": "eq", "value": country}],
            model=ModelGroup(modelId="m", groupId=group_id),
            version=1,
            createdAt=service.now,
            updatedAt=service.now,
        ),
    )


def test_an_entry_by_the_rule_names_the_version_and_the_run(shop: Service) -> None:
    create(shop)
    job_id = run(shop)
    entered = history(shop, "c0")[0]
    assert (entered["change"], entered["cause"], entered["segmentVersion"]) == ("entered", "rule", 1)
    assert entered["jobId"].startswith("run-") and entered["jobId"] != job_id


def test_an_exit_by_a_new_version_of_the_rule_names_that_version(shop: Service) -> None:
    create(shop)
    run(shop)
    older = [{"attribute": "age", "operator": "gte", "value": 22}]
    authoring.update(shop.store, "germans", SegmentPatch(criteria=older), None, shop.now + timedelta(hours=1))
    run(shop)
    assert [(item["change"], item["cause"], item["segmentVersion"]) for item in history(shop, "c0")] == [
        ("entered", "rule", 1),
        ("exited", "rule", 2),
    ]


def test_decisions_profiles_and_the_end_of_a_validity_are_causes_of_their_own(shop: Service) -> None:
    create(shop, validity=Validity(endsAt=shop.now + timedelta(hours=10)))
    run(shop)
    request = AssignCustomers(customerIds=["c9"], override=True)
    assignment.assign(shop.store, "germans", request, shop.now)
    put(shop, "c1", country="US")
    run(shop, 20)
    assert [(item["change"], item["cause"]) for item in history(shop, "c9")] == [
        ("entered", "manual"),
        ("exited", "expiry"),
    ]
    assert [item["cause"] for item in history(shop, "c1")] == ["rule", "profile"]
    assert [item["cause"] for item in history(shop, "c0")] == ["rule", "expiry"]


def test_a_customer_who_goes_from_one_group_of_a_model_to_another_is_said_to_move(shop: Service) -> None:
    group(shop, "a", "DE")
    group(shop, "b", "US")
    run(shop)
    assert told(shop, "customer.moved") == []
    shop.wait(1)
    put(shop, "c0", country="US")
    shop.record()
    (moved,) = told(shop, "customer.moved")
    assert (moved["customerId"], moved["from"], moved["to"], moved["cause"]) == ("c0", "m-a", "m-b", "profile")
    exited, entered = history(shop, "c0")[1:]
    assert {exited["change"]: exited.get("movedTo"), entered["change"]: entered.get("movedFrom")} == {
        "exited": "m-b",
        "entered": "m-a",
    }
    shop._read = 0
    shop.record()
    again = told(shop, "customer.moved")
    assert len(again) == 2 and again[0] == again[1]


def test_a_move_that_a_run_finds_is_told_with_the_run(shop: Service) -> None:
    group(shop, "a", "DE")
    group(shop, "b", "US")
    run(shop)
    shop.drop("imports/customers/c.csv", "customerId,country\nc0,US\n")
    shop.settle()
    (moved,) = told(shop, "customer.moved")
    assert (moved["from"], moved["to"], moved["cause"]) == ("m-a", "m-b", "import")
    assert moved["jobId"]


def test_entries_and_exits_of_a_batch_are_told_in_order_of_time(shop: Service) -> None:
    create(shop)
    shop.settle()
    begin = len(told(shop, "customer.exited_segment"))
    for country in ("US", "DE", "US"):
        shop.wait(1)
        put(shop, "c0", country=country)
    shop.record()
    events = shop.store.events
    assert isinstance(events, RecordedEvents)
    of_c0 = [event for event in events.told if event.detail["customerId"] == "c0"]
    assert [event.kind.split(".")[1].split("_")[0] for event in of_c0] == ["entered", "exited", "entered", "exited"]
    times = [event.detail["time"] for event in of_c0]
    assert times == sorted(times) and begin == 0
    assert len({event.detail["eventId"] for event in of_c0}) == 4


def test_a_person_who_is_erased_leaves_no_history(shop: Service) -> None:
    create(shop)
    run(shop)
    customers.erase(shop.store, "c0", shop.now)
    shop.settle()
    assert history(shop, "c0") == []


def test_the_document_names_every_field_that_is_told(shop: Service) -> None:
    group(shop, "a", "DE")
    group(shop, "b", "US")
    run(shop)
    put(shop, "c0", country="US")
    shop.record()
    document = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    rows = {line.split("`")[1]: line for line in document.splitlines() if line.startswith("| `")}
    same = {"customer.exited_segment": rows["customer.entered_segment"]}
    events = shop.store.events
    assert isinstance(events, RecordedEvents)
    assert {event.kind for event in events.told} == {name for name in rows if name.startswith("customer.")}
    for event in events.told:
        documented = rows[event.kind] + same.get(event.kind, "")
        assert all(f"`{name}`" in documented for name in event.detail if name != "eventId"), event
