"""Segments from creation to deletion, on moto: counts, versions, decisions, references."""

from datetime import UTC, datetime, timedelta

import pytest

from segmentation import (
    assignment,
    attributes,
    authoring,
    changes,
    customers,
    members,
    partition_runs,
    runs,
    segments,
)
from segmentation.errors import Conflict, InvalidCriteria, InvalidInput, NotFound, StaleVersion, TooBusy
from segmentation.models.segments import (
    AssignCustomers,
    CustomerIds,
    PreviewSegment,
    SegmentPatch,
    Validity,
)
from support.germans import GERMANS, count, create, fill, ids, put
from support.service import Service


@pytest.fixture
def shop(service: Service) -> Service:
    return fill(service)


def test_a_new_segment_has_its_exact_count_at_once_and_its_members_after_the_run(shop: Service) -> None:
    created = create(shop)
    assert (created.customerCount, created.status) == (4, "evaluating")
    shop.settle()
    found = segments.get(shop.store, "germans", shop.now)
    assert (found.customerCount, found.status) == (4, "active")
    assert ids(shop, "germans") == {"c0", "c1", "c2", "c3"}


def test_a_profile_written_by_the_api_moves_the_customer_at_once(shop: Service) -> None:
    create(shop)
    shop.settle()
    put(shop, "c9", country="DE")
    put(shop, "c0", country="FR")
    assert ids(shop, "germans") == {"c1", "c2", "c3", "c9"}
    shop.settle()
    assert count(shop, "germans") == 4
    listed = members.list_customer_segments(shop.store, "c9", 10, None, shop.now)
    assert [item.segmentId for item in listed.items] == ["germans"]


def test_counters_are_right_although_the_stream_delivers_twice(shop: Service) -> None:
    create(shop)
    shop.settle()
    changes.record(shop.store, shop.records())
    changes.record(shop.store, shop.records()[-3:])
    assert count(shop, "germans") == 4


def test_others_hear_of_every_entry_and_exit_with_an_id_that_a_repetition_shares(shop: Service) -> None:
    create(shop)
    shop.settle()
    put(shop, "c0", country="FR")
    shop.record()
    told = shop.store.events.told
    assert sorted(event.detail["customerId"] for event in told if event.kind == "customer.entered_segment") == [
        "c0",
        "c1",
        "c2",
        "c3",
    ]
    left = [event for event in told if event.kind == "customer.exited_segment"]
    assert [(event.detail["customerId"], event.detail["cause"]) for event in left] == [("c0", "profile")]
    before = {event.detail["eventId"] for event in told}
    changes.record(shop.store, shop.records())
    assert {event.detail["eventId"] for event in told} == before
    assert len(before) == 5


def test_a_customer_who_does_not_match_is_refused_with_the_condition_that_failed(shop: Service) -> None:
    create(shop)
    shop.settle()
    result = assignment.assign(shop.store, "germans", AssignCustomers(customerIds=["c0", "c5", "nobody"]), shop.now)
    assert (result.successCount, result.failedCount) == (1, 2)
    assert any("c5" in error and "country" in error and "US" in error for error in result.errors)
    assert any("nobody: there is no such customer" in error for error in result.errors)


def test_an_override_includes_and_an_unassigned_customer_stays_out_after_the_next_run(shop: Service) -> None:
    create(shop)
    shop.settle()
    assignment.assign(shop.store, "germans", AssignCustomers(customerIds=["c5"], override=True), shop.now)
    assignment.unassign(shop.store, "germans", CustomerIds(customerIds=["c0"]), shop.now)
    expected = {"c1", "c2", "c3", "c5"}
    assert ids(shop, "germans") == expected
    runs.begin(shop.store, shop.now)
    shop.settle()
    assert ids(shop, "germans") == expected
    assert count(shop, "germans") == 4
    why = assignment.explain(shop.store, "germans", "c0", None, shop.now)
    assert (why.member, why.matches, why.excluded) == (False, True, True)
    assignment.assign(shop.store, "germans", AssignCustomers(customerIds=["c0"]), shop.now)
    assert "c0" in ids(shop, "germans")


def test_a_manual_segment_has_whom_people_assign(shop: Service) -> None:
    created = create(shop, "friends", [], kind="manual")
    shop.settle()
    assert created.customerCount == 0
    result = assignment.assign(
        shop.store, "friends", AssignCustomers(customerIds=["c1", "c2"], legalEntityId="gmbh"), shop.now
    )
    assert result.successCount == 2
    listed = members.list_members(shop.store, "friends", "members", 10, None, shop.now)
    assert {(m.customerId, m.legalEntityId, m.source) for m in listed.items} == {
        ("c1", "gmbh", "manual"),
        ("c2", "gmbh", "manual"),
    }
    assignment.unassign(shop.store, "friends", CustomerIds(customerIds=["c1"], legalEntityId="gmbh"), shop.now)
    assert ids(shop, "friends") == {"c2"}


def test_deactivating_empties_a_segment_and_activating_brings_everybody_back(shop: Service) -> None:
    create(shop)
    shop.settle()
    assignment.assign(shop.store, "germans", AssignCustomers(customerIds=["c5"], override=True), shop.now)
    authoring.update(shop.store, "germans", SegmentPatch(active=False), None, shop.now)
    shop.settle()
    assert ids(shop, "germans") == set()
    assert segments.get(shop.store, "germans", shop.now).status == "inactive"
    authoring.update(shop.store, "germans", SegmentPatch(active=True), None, shop.now)
    shop.settle()
    assert ids(shop, "germans") == {"c0", "c1", "c2", "c3", "c5"}


def test_a_stale_version_is_refused_and_earlier_versions_stay_readable(shop: Service) -> None:
    create(shop)
    shop.settle()
    older = [{"attribute": "age", "operator": "gte", "value": "25"}]
    changed = authoring.update(shop.store, "germans", SegmentPatch(criteria=older), '"1"', shop.now)
    assert (changed.version, changed.customerCount) == (2, 5)
    with pytest.raises(StaleVersion, match="version 1"):
        authoring.update(shop.store, "germans", SegmentPatch(segmentName="x"), '"1"', shop.now)
    shop.settle()
    assert segments.get(shop.store, "germans", shop.now, 1).criteria != changed.criteria
    assert ids(shop, "germans") == {"c5", "c6", "c7", "c8", "c9"}


def test_a_segment_that_others_use_is_deleted_by_force_only_and_pauses_them(shop: Service) -> None:
    create(shop)
    create(
        shop,
        "young",
        [{"segment": "germans", "operator": "member"}, {"attribute": "age", "operator": "lt", "value": 22}],
    )
    shop.settle()
    assert ids(shop, "young") == {"c0", "c1"}
    with pytest.raises(Conflict, match="young"):
        segments.delete(shop.store, "germans", None, False, shop.now)
    segments.delete(shop.store, "germans", None, True, shop.now)
    shop.settle()
    with pytest.raises(NotFound):
        segments.get(shop.store, "germans", shop.now)
    paused = segments.get(shop.store, "young", shop.now)
    assert paused.status == "paused"
    assert "germans" in (paused.statusReason or "")
    assert ids(shop, "young") == {"c0", "c1"}
    # A paused rule takes nobody, and does not become a list kept by hand.
    refused = assignment.assign(shop.store, "young", AssignCustomers(customerIds=["c5"]), shop.now)
    assert refused.failedCount == 1
    assert "paused" in refused.errors[0]
    create(shop)
    shop.settle()
    assert ids(shop, "germans") == {"c0", "c1", "c2", "c3"}


def test_a_circle_of_segments_is_refused_with_its_path(shop: Service) -> None:
    create(shop)
    create(shop, "other", [{"segment": "germans", "operator": "member"}])
    with pytest.raises(InvalidCriteria, match="germans"):
        authoring.update(
            shop.store, "germans", SegmentPatch(criteria=[{"segment": "other", "operator": "member"}]), None, shop.now
        )


def test_a_preview_counts_conditions_and_who_would_join_and_leave(shop: Service) -> None:
    create(shop)
    shop.settle()
    rule = {
        "any": [
            {"attribute": "country", "operator": "eq", "value": "US"},
            {"attribute": "age", "operator": "lte", "value": 20},
        ]
    }
    seen = authoring.preview(shop.store, PreviewSegment(criteria=rule, segmentId="germans"), shop.now)
    assert (seen.customerCount, seen.totalCustomers, seen.share) == (7, 10, 0.7)
    assert (seen.joins, seen.leaves) == (6, 3)
    assert sorted(condition.count for condition in seen.conditions) == [1, 6, 7]


def test_an_erased_customer_is_gone_from_table_history_and_files(shop: Service) -> None:
    create(shop)
    shop.settle()
    customers.erase(shop.store, "c0", shop.now)
    with pytest.raises(NotFound):
        customers.get(shop.store, "c0", shop.now)
    assert "c0" not in ids(shop, "germans")
    shop.settle()
    assert count(shop, "germans") == 3
    left = [key for key in shop.store.files.list("snapshot/") if b"c0" in shop.store.files.get(key)]
    assert left == []
    items = shop.dynamodb.scan(TableName="segmentation")["Items"]
    # The tombstone that tells the stream of the exit is the last trace; it expires within the hour.
    assert {i["SK"]["S"].split("#")[0] for i in items if i.get("customerId", {}).get("S") == "c0"} <= {"CUSTOMER"}


def test_ids_with_signs_and_emoji_work_everywhere(shop: Service) -> None:
    odd = ["a#b", "a/b", "🛒 cart", "per%cent", "quo'te\"s"]
    for customer_id in odd:
        put(shop, customer_id, country="DE")
    create(shop)
    shop.settle()
    assert set(odd) <= ids(shop, "germans")
    for customer_id in odd:
        assert members.list_customer_segments(shop.store, customer_id, 10, None, shop.now).items
        assert customers.get(shop.store, customer_id, shop.now).attributes == {"country": "DE"}
    result = assignment.unassign(shop.store, "germans", CustomerIds(customerIds=odd), shop.now)
    assert result.successCount == len(odd)
    assert count_after(shop) == 4


def count_after(service: Service) -> int:
    service.settle()
    return count(service, "germans")


def test_requests_to_the_table_are_few(shop: Service) -> None:
    for number in range(100):
        put(shop, f"x{number}", country="DE")
    create(shop)
    shop.settle()
    with shop.counted() as made:
        members.list_customer_segments(shop.store, "c0", 100, None, shop.now)
    assert made == ["Query"]
    with shop.counted() as made:
        assignment.assign(
            shop.store,
            "germans",
            AssignCustomers(customerIds=[f"x{n}" for n in range(96)] + ["c5", "c6", "c7", "c8"], override=True),
            shop.now,
        )
    assert len(made) <= 10
    with shop.counted() as made:
        segments.analyze(shop.store, "germans", None)
    assert made == ["GetItem"]


def test_a_name_that_nobody_knows_is_an_error_when_the_rule_is_saved(shop: Service) -> None:
    with pytest.raises(InvalidCriteria, match="colour"):
        create(shop, "x", [{"attribute": "colour", "operator": "eq", "value": "red"}])
    with pytest.raises(InvalidInput, match="criteria"):
        create(shop, "x", GERMANS, kind="manual")
    with pytest.raises(InvalidInput, match="Mars"):
        create(shop, "x", GERMANS, timeZone="Mars/Olympus")
    create(shop)
    with pytest.raises(Conflict, match="taken"):
        create(shop)


def test_an_import_that_ends_meanwhile_does_not_end_a_segments_first_evaluation(shop: Service) -> None:
    create(shop)
    shop.drop("imports/customers/c.csv", "customerId,country\nnew,DE\n")
    shop.deliver(shop.dropped.pop())
    found = segments.get(shop.store, "germans", shop.now)
    assert (found.status, found.customerCount) == ("evaluating", 4)
    shop.settle()
    found = segments.get(shop.store, "germans", shop.now)
    assert (found.status, found.customerCount) == ("active", 5)


def test_a_run_that_fails_says_so_on_the_segments_that_wait_for_it(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(shop)
    with monkeypatch.context() as patch:
        patch.setattr(partition_runs, "_merge", lambda *_: (_ for _ in ()).throw(TooBusy("the table is throttled")))
        shop.settle()
    found = segments.get(shop.store, "germans", shop.now)
    assert found.status == "evaluating"
    assert "throttled" in (found.statusReason or "")
    runs.begin(shop.store, shop.now)
    shop.settle()
    found = segments.get(shop.store, "germans", shop.now)
    assert (found.status, found.statusReason, found.customerCount) == ("active", None, 4)


def test_a_validity_window_opens_and_closes_with_time(shop: Service) -> None:
    window = Validity(startsAt=shop.now + timedelta(hours=1), endsAt=shop.now + timedelta(hours=3))
    created = create(shop, validity=window)
    assert (created.status, created.customerCount) == ("scheduled", 0)
    shop.settle()
    assert ids(shop, "germans") == set()
    shop.wait(2)
    runs.begin(shop.store, shop.now)
    shop.settle()
    assert ids(shop, "germans") == {"c0", "c1", "c2", "c3"}
    shop.wait(2)
    assert segments.get(shop.store, "germans", shop.now).status == "expired"
    assert members.list_customer_segments(shop.store, "c0", 10, None, shop.now).items == []
    runs.begin(shop.store, shop.now)
    shop.settle()
    assert ids(shop, "germans") == set()


def test_segments_pinned_to_different_instants_may_refer_to_each_other(shop: Service) -> None:
    put(shop, "c0", country="DE", joined="2025-01-10")
    put(shop, "c1", country="DE", joined="2025-06-10")
    recently = [{"attribute": "joined", "operator": "in_last", "value": "30d"}]
    create(shop, "january", recently, now=datetime(2025, 1, 31, tzinfo=UTC))
    create(shop, "june", recently, now=datetime(2025, 6, 30, tzinfo=UTC))
    either = {"any": [{"segment": "january", "operator": "member"}, {"segment": "june", "operator": "member"}]}
    created = create(shop, "either", either)
    assert created.customerCount == 2
    shop.settle()
    assert (ids(shop, "january"), ids(shop, "june"), ids(shop, "either")) == ({"c0"}, {"c1"}, {"c0", "c1"})


def test_lists_of_segments_and_members_have_pages(shop: Service) -> None:
    for number in range(5):
        create(shop, f"s{number}", site="shop-1" if number % 2 else "shop-2")
    shop.settle()
    first = segments.list_segments(shop.store, None, 3, None, shop.now)
    rest = segments.list_segments(shop.store, None, 3, first.nextToken, shop.now)
    assert len(first.items) == 3
    assert {s.segmentId for s in [*first.items, *rest.items]} == {f"s{n}" for n in range(5)}
    assert rest.nextToken is None
    of_site = segments.list_segments(shop.store, "shop-1", 10, None, shop.now)
    assert [s.segmentId for s in of_site.items] == ["s1", "s3"]
    seen: list[str] = []
    token = None
    while True:
        page = members.list_members(shop.store, "s0", "members", 1, token, shop.now)
        seen += [member.customerId for member in page.items]
        token = page.nextToken
        if token is None:
            break
    assert sorted(seen) == ["c0", "c1", "c2", "c3"]


def test_what_cannot_be_counted_in_time_is_counted_by_the_run(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authoring, "PATIENCE_SECONDS", -1)
    with pytest.raises(TooBusy, match="create the segment"):
        authoring.preview(shop.store, PreviewSegment(criteria=GERMANS), shop.now)
    created = create(shop)
    assert created.customerCount == 0
    assert "the count comes with" in (created.statusReason or "")
    shop.settle()
    found = segments.get(shop.store, "germans", shop.now)
    assert (found.customerCount, found.status, found.statusReason) == (4, "active", None)


def test_the_analysis_says_what_the_last_evaluation_measured(shop: Service) -> None:
    create(shop)
    shop.settle()
    found = segments.analyze(shop.store, "germans", ["size", "share"])
    assert found.segmentSize == 4
    assert found.metrics == {"size": 4, "share": 0.4}
    assert found.demographics
    listed = {item.name: item for item in attributes.list_attributes(shop.store).items}
    assert listed["country"].coverage == 1.0
