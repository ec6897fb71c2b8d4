"""Checkpoints of memberships: trusted only while the table says the same, whatever happens in between."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation import assignment, authoring, customers, members, runs, segments
from segmentation.models.common import iso
from segmentation.models.segments import AssignCustomers, CustomerIds, SegmentPatch, Validity
from segmentation.partition_evaluation import Evaluation
from segmentation.store import checkpoints, keys, memberships
from segmentation.store.checkpoints import Checkpoint
from support.germans import count, create, fill, ids, put
from support.races import before_writing
from support.service import Service, worker_items

FRENCH = [{"attribute": "country", "operator": "eq", "value": "FR"}]


@pytest.fixture
def shop(service: Service) -> Service:
    """Germans and adults; an evaluation has left checkpoints of both."""
    fill(service)
    create(service)
    create(service, "adults", [{"attribute": "age", "operator": "gte", "value": 25}])
    service.settle()
    run(service)
    return service


def run(service: Service) -> None:
    """A run over all segments."""
    runs.begin(service.store, service.now)
    service.settle()


def latest(service: Service) -> Iterator[Checkpoint | None]:
    """What the next evaluation of each partition trusts."""
    for partition in range(service.store.partitions):
        yield checkpoints.last(service.store.table, service.store.files, partition, service.now)


def said(service: Service, segment_id: str) -> set[str]:
    """Members as the checkpoints say."""
    found = [checkpoint for checkpoint in latest(service) if checkpoint]
    return {cid for c in found for cid, is_in in zip(c.ids, c.masks[segment_id], strict=True) if is_in}


def assign(service: Service, *customer_ids: str, segment_id: str = "germans", entity: str = "") -> None:
    request = AssignCustomers(customerIds=list(customer_ids), override=True, legalEntityId=entity)
    assert assignment.assign(service.store, segment_id, request, service.now).failedCount == 0


def unassign(service: Service, *customer_ids: str, segment_id: str = "germans") -> None:
    assignment.unassign(service.store, segment_id, CustomerIds(customerIds=list(customer_ids)), service.now)


def test_a_run_without_changes_reads_no_membership_and_writes_none(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("the table's memberships were read or written")

    monkeypatch.setattr(memberships, "state_of_partition", unexpected)
    monkeypatch.setattr(memberships, "write", unexpected)
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {"c0", "c1", "c2", "c3"}


def test_what_people_decided_since_the_checkpoint_is_respected(shop: Service) -> None:
    assign(shop, "c7")
    assign(shop, "c8", entity="LE1")
    unassign(shop, "c0")
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {"c1", "c2", "c3", "c7", "c8"}
    unassign(shop, "c7")
    assert ids(shop, "germans") == {"c1", "c2", "c3", "c8"}
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {"c1", "c2", "c3", "c8"}


def test_a_membership_that_the_api_ended_and_the_rule_wants_again_is_written(shop: Service) -> None:
    put(shop, "c1", country="US", age=21)
    assert "c1" not in ids(shop, "germans")
    run(shop)
    put(shop, "c1", country="DE", age=21)
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {"c0", "c1", "c2", "c3"}


def test_a_decision_in_the_middle_of_an_evaluation_is_not_undone(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(shop, "c0", country="US", age=20)
    pending = iter([lambda: assign(shop, "c0"), lambda: unassign(shop, "c1")])
    before_writing(monkeypatch, lambda: next(pending, lambda: None)())
    run(shop)
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {"c0", "c2", "c3"}
    assert count(shop, "germans") == 3


@pytest.mark.parametrize("trusted", [True, False])
def test_an_include_that_is_written_while_members_are_read_shows_nobody_out(
    shop: Service, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    reading = "members_among" if trusted else "state_of_partition"
    assign(shop, "c8")
    if not trusted:
        for partition in range(shop.store.partitions):
            shop.store.table.delete(keys.checkpoint(partition))
    shop.wait(1)
    read = getattr(memberships, reading)
    pending = iter([lambda: assign(shop, "c8", "c9", entity="LE1"), lambda: assign(shop, "c7")])

    def meanwhile(*arguments: Any) -> Any:
        next(pending, lambda: None)()
        return read(*arguments)

    monkeypatch.setattr(memberships, reading, meanwhile)
    run(shop)
    shop.record()
    told = [item for name in ("c7", "c8", "c9") for item in shop.store.table.query(f"CUSTOMER#{name}", "HISTORY#")]
    assert [item for item in told if item["segmentId"] == "germans" and item["change"] == "exited"] == []
    assert ids(shop, "germans") == {"c0", "c1", "c2", "c3", "c7", "c8", "c9"}


def test_a_rule_changed_in_the_middle_of_an_evaluation_is_the_one_that_counts(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        put(shop, f"c{number}", country="FR" if number > 7 else "DE")
    pending = iter([lambda: authoring.update(shop.store, "germans", SegmentPatch(criteria=FRENCH), None, shop.now)])
    before_writing(monkeypatch, lambda: next(pending, lambda: None)())
    job = runs.begin(shop.store, shop.now)
    planned = runs.plan(shop.store, {"request": shop.workflows.started[job.jobId][1], "execution": "x"}, shop.now)
    for item in worker_items(planned):
        shop.evaluate_partition(item)
    assert ids(shop, "germans") == {"c8", "c9"}


def test_a_segment_deleted_in_the_middle_of_an_evaluation_leaves_no_membership(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete() -> None:
        segments.delete(shop.store, "germans", None, True, shop.now)
        shop.settle()

    put(shop, "c9", country="DE")
    pending = iter([delete])
    before_writing(monkeypatch, lambda: next(pending, lambda: None)())
    run(shop)
    for partition in range(shop.store.partitions):
        assert not list(memberships.of_partition(shop.store.table, "germans", partition, shop.now))
    assert shop.store.table.get(keys.segment("germans")) is None


def test_a_validity_that_no_evaluation_has_reached_yet_is_not_taken_for_written(shop: Service) -> None:
    longer = SegmentPatch(validity=Validity(endsAt=shop.now + timedelta(days=30)))
    authoring.update(shop.store, "adults", longer, None, shop.now)
    # The run of this change comes late; one of another segment leaves checkpoints before it.
    shop.workflows.started.clear()
    runs.begin(shop.store, shop.now, segment_ids=["germans"])
    shop.settle()
    run(shop)
    (adult,) = [
        item
        for item in memberships.of_partition(shop.store.table, "adults", home("c9", shop), shop.now)
        if item.customer_id == "c9"
    ]
    assert adult.until == iso(shop.now + timedelta(days=30))


def home(customer_id: str, service: Service) -> int:
    return keys.partition_of(customer_id, service.store.partitions)


def test_two_evaluations_at_a_time_leave_no_checkpoint_and_the_next_reads_the_table(shop: Service) -> None:
    first = checkpoints.begin(shop.store.table, shop.store.files, 0, shop.now)
    second = checkpoints.begin(shop.store.table, shop.store.files, 0, shop.now)
    assert first.before is not None and not first.contested
    assert second.before is None and second.contested
    assert checkpoints.last(shop.store.table, shop.store.files, 0, shop.now) is None
    empty = checkpoints.made(0, shop.now, pa.array([], pa.string()), {})
    before = set(shop.store.files.list(keys.checkpoint_prefix(0)))
    checkpoints.publish(shop.store.table, shop.store.files, second, empty)
    checkpoints.publish(shop.store.table, shop.store.files, first, empty)
    assert set(shop.store.files.list(keys.checkpoint_prefix(0))) == before
    run(shop)
    assert checkpoints.last(shop.store.table, shop.store.files, 0, shop.now) is None
    shop.wait(1)
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {"c0", "c1", "c2", "c3"}


def test_a_worker_that_is_killed_between_two_writes_is_not_trusted(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4, 10):
        put(shop, f"c{number}", country="DE", age=30)
    # A killed process says nothing any more: neither is its turn ended nor its checkpoint written.
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "abandon", lambda *_: None)
        patch.setattr(Evaluation, "holds", lambda *_: (_ for _ in ()).throw(MemoryError))
        job = runs.begin(shop.store, shop.now)
        planned = runs.plan(shop.store, {"request": shop.workflows.started[job.jobId][1], "execution": "x"}, shop.now)
        for item in worker_items(planned):
            with pytest.raises(MemoryError):
                shop.evaluate_partition(item)
    assert list(latest(shop)) == [None, None, None]
    run(shop)
    shop.wait(1)
    run(shop)
    assert ids(shop, "germans") == said(shop, "germans") == {f"c{number}" for number in range(10)}
    assert count(shop, "germans") == 10


def test_a_checkpoint_older_than_the_marks_beside_memberships_is_not_trusted(shop: Service) -> None:
    assert all(latest(shop))
    shop.wait(24 * 7 - 1)
    assert all(latest(shop))
    shop.wait(1)
    assert not any(latest(shop))
    run(shop)
    assert said(shop, "germans") == {"c0", "c1", "c2", "c3"}


def test_one_checkpoint_a_day_is_kept_and_found_by_its_time(shop: Service) -> None:
    shop.wait(24)
    for country in ("DE", "US", "DE"):
        shop.wait(1)
        put(shop, "c9", country=country)
        run(shop)
    for partition in range(shop.store.partitions):
        days = [key.split("/")[-1][:10] for key in shop.store.files.list(keys.checkpoint_prefix(partition))]
        assert len(days) == len(set(days))
    now = shop.now.isoformat()
    assert "c9" not in members_at(shop, home("c9", shop), now)
    shop.wait(1)
    assert "c9" in members_at(shop, home("c9", shop), shop.now.isoformat())


def members_at(service: Service, partition: int, instant: str) -> set[str]:
    found = checkpoints.at(service.store.files, partition, instant)
    assert found is not None
    return {cid for cid, is_in in zip(found.ids, found.mask("germans"), strict=True) if is_in}


def test_a_person_who_is_erased_is_in_no_checkpoint_of_any_day_nor_in_an_old_version_of_one(shop: Service) -> None:
    assign(shop, "c0", entity="LE1")
    shop.wait(24)
    put(shop, "c5", country="DE")
    run(shop)
    customers.erase(shop.store, "c0", shop.now)
    shop.settle()
    run(shop)
    bodies = [
        shop.s3.get_object(Bucket=shop.store.files.bucket, Key=entry["Key"], VersionId=entry["VersionId"])[
            "Body"
        ].read()
        for entry in shop.s3.list_object_versions(Bucket=shop.store.files.bucket, Prefix="members/").get("Versions", [])
    ]
    assert bodies
    for body in bodies:
        table = pq.read_table(pa.BufferReader(body))
        assert "c0" not in table.column("customerId").to_pylist()
        assert b"c0" not in table.schema.metadata[b"segmentation"]
    assert said(shop, "germans") == {"c1", "c2", "c3", "c5"}


def test_after_any_order_of_events_the_memberships_are_those_of_an_evaluation_from_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    shop = fill(service)
    shop.follows_stream = False
    create(shop)
    create(shop, "adults", [{"attribute": "age", "operator": "gte", "value": 25}])
    people = [f"c{number}" for number in range(10)]
    for _ in range(20):
        who, where = chance.choice(people), chance.choice(["germans", "adults"])
        match chance.randrange(6):
            case 0:
                put(shop, who, country=chance.choice(["DE", "US"]), age=chance.randrange(20, 30))
            case 1:
                assign(shop, who, segment_id=where, entity=chance.choice(["", "LE1"]))
            case 2:
                unassign(shop, who, segment_id=where)
            case 3:
                shop.wait(chance.choice([0.1, 1, 30]))
            case _:
                run(shop)
    run(shop)
    trusted = {name: listed(shop, name) for name in ("germans", "adults")}
    for partition in range(shop.store.partitions):
        shop.store.table.delete(keys.checkpoint(partition))
    with monkeypatch.context() as patch:
        patch.setattr(memberships, "write", lambda *_: pytest.fail("the table said something else"))
        run(shop)
    assert {name: listed(shop, name) for name in ("germans", "adults")} == trusted
    assert said(shop, "germans") == {customer_id for customer_id, *_ in trusted["germans"]}


def listed(service: Service, segment_id: str) -> set[tuple[str, str | None, str]]:
    """Members with legal entity and source."""
    found = members.list_members(service.store, segment_id, "members", 100, None, service.now)
    return {(member.customerId, member.legalEntityId, member.source) for member in found.items}
