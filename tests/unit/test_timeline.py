"""Who was in which segments: what the checkpoint before an instant and the history since say together."""

from datetime import UTC, datetime, timedelta

import pytest

from segmentation.models.common import iso
from segmentation.store import customers, keys
from segmentation.store.history import Record, effective
from segmentation.store.store import Store
from segmentation.timeline import Timeline, first_record
from support.past import START, Happening, checkpoint, members, memory, minutes, remember, segment

DAY = 24 * 60


def who(store: Store, segment_id: str, at: datetime) -> list[str]:
    """Members of one segment at one instant, of all partitions."""
    timeline = Timeline(store, [segment_id], [at])
    found: list[str] = []
    for partition in range(store.partitions):
        ids, masks = timeline.partition(partition)
        found += [customer_id for customer_id, member in zip(ids, masks[0, 0].tolist(), strict=True) if member]
    return sorted(found)


def test_a_change_counts_at_its_own_instant_and_not_a_microsecond_before() -> None:
    store = memory()
    segment(store, "vip")
    remember(store, [Happening(minutes(5), "vip", "c1", True), Happening(minutes(9), "vip", "c1", False)])
    moment = timedelta(microseconds=1)
    assert who(store, "vip", minutes(5) - moment) == []
    assert who(store, "vip", minutes(5)) == ["c1"]
    assert who(store, "vip", minutes(9) - moment) == ["c1"]
    assert who(store, "vip", minutes(9)) == []


def test_who_left_and_came_back_is_in_before_and_after_and_not_between() -> None:
    store = memory(3)
    segment(store, "vip")
    remember(store, [Happening(minutes(n), "vip", "c1", n != 20) for n in (10, 20, 30)])
    assert [who(store, "vip", minutes(n)) for n in (15, 25, 35)] == [["c1"], [], ["c1"]]


@pytest.mark.parametrize("was_in", [True, False])
def test_an_entry_and_an_exit_at_one_instant_leave_what_was(was_in: bool) -> None:
    store = memory()
    segment(store, "vip")
    before = [Happening(minutes(1), "vip", "c1", True)] if was_in else []
    remember(store, [*before, *(Happening(minutes(5), "vip", "c1", entered) for entered in (True, False))])
    assert who(store, "vip", minutes(6)) == (["c1"] if was_in else [])


def test_records_of_one_instant_are_told_apart_by_legal_entity_in_whichever_order_they_come() -> None:
    def record(entity: str, entered: bool) -> Record:
        return Record("c1", "vip", entity, entered, iso(START), "rule", "rule")

    mixed = [record("a", True), record("b", True), record("a", False), record("c", False)]
    assert [(r.legal_entity_id, r.entered) for r in effective(mixed)] == [("b", True), ("c", False)]


def test_who_leaves_for_one_legal_entity_stays_for_another_that_only_the_checkpoint_knows() -> None:
    store = memory()
    segment(store, "vip")
    happenings = [Happening(minutes(1), "vip", "c1", True), Happening(minutes(2), "vip", "c1", True, "le1")]
    checkpoint(store, 0, minutes(3), ["vip"], members(happenings, minutes(3)))
    remember(store, [Happening(minutes(60), "vip", "c1", False), Happening(minutes(70), "vip", "c1", False, "le1")])
    assert [who(store, "vip", minutes(n)) for n in (59, 65, 75)] == [["c1"], ["c1"], []]


def test_a_checkpoint_replaces_the_history_before_it() -> None:
    store = memory()
    segment(store, "vip")
    checkpoint(store, 0, minutes(DAY), ["vip"], {("vip", "c1", "")})
    assert who(store, "vip", minutes(DAY + 20)) == ["c1"]
    assert who(store, "vip", minutes(DAY + 19)) == [], "it may tell of the 20 minutes behind its beginning"


def test_what_a_worker_wrote_that_began_before_the_checkpoint_is_not_lost() -> None:
    store = memory()
    segment(store, "vip")
    remember(store, [Happening(minutes(DAY) - timedelta(seconds=1), "vip", "c1", True)])
    checkpoint(store, 0, minutes(DAY), ["vip"], set())
    assert who(store, "vip", minutes(DAY + 30)) == ["c1"]


def test_only_the_days_behind_a_checkpoint_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory()
    segment(store, "vip")
    checkpoint(store, 0, minutes(9 * DAY + 60), ["vip"], {("vip", "c1", "")})
    read: list[str] = []
    query = store.table.query
    monkeypatch.setattr(store.table, "query", lambda pk, *a, **k: read.append(pk) or query(pk, *a, **k))
    assert who(store, "vip", minutes(10 * DAY + 60)) == ["c1"]
    days = [key for key in read if key.startswith("SEGMENT#vip#HISTORY#")]
    assert days == ["SEGMENT#vip#HISTORY#2026-03-10", "SEGMENT#vip#HISTORY#2026-03-11"]


def test_a_checkpoint_that_was_replaced_meanwhile_costs_more_days_and_no_exactness() -> None:
    store = memory()
    segment(store, "vip")
    happenings = [Happening(minutes(2 * DAY), "vip", "c2", True), Happening(minutes(3 * DAY), "vip", "c1", False)]
    remember(store, happenings)
    checkpoint(store, 0, minutes(DAY), ["vip"], {("vip", "c1", "")})
    checkpoint(store, 0, minutes(5 * DAY), ["vip"], {("vip", "c2", "")})
    timeline = Timeline(store, ["vip"], [minutes(6 * DAY)])
    latest = list(store.files.list(keys.checkpoint_prefix(0)))[-1]
    store.files.delete([latest])
    ids, masks = timeline.partition(0)
    assert (ids, masks[0, 0].tolist()) == (["c1", "c2"], [False, True])


def test_nobody_is_in_a_segment_before_it_was_created_or_after_its_validity() -> None:
    store = memory()
    segment(store, "vip", created=minutes(10), ends=minutes(60))
    checkpoint(store, 0, minutes(0), ["vip"], {("vip", "member of a former segment of this name", "")})
    remember(store, [Happening(minutes(10), "vip", "c1", True)])
    assert [who(store, "vip", minutes(n)) for n in (9, 30, 60)] == [[], ["c1"], []]


def test_a_segment_that_is_gone_is_answered_from_its_records() -> None:
    store = memory()
    segment(store, "other")
    remember(store, [Happening(minutes(1), "gone", "c1", True), Happening(minutes(9), "gone", "c1", False)])
    assert [who(store, "gone", minutes(n)) for n in (5, 10)] == [["c1"], []]


def test_a_person_whose_erasure_is_under_way_is_nowhere() -> None:
    store = memory()
    segment(store, "vip")
    checkpoint(store, 0, minutes(1), ["vip"], {("vip", "c1", ""), ("vip", "c2", "le1"), ("vip", "c3", "")})
    for customer_id in ("c1", "c2"):
        customers.put(store.table, customer_id, None, minutes(50), store.partitions)
    assert who(store, "vip", minutes(30)) == ["c3"]


def test_instants_and_segments_are_answered_together() -> None:
    store = memory(4)
    for segment_id in ("a", "b"):
        segment(store, segment_id)
    happenings = [Happening(minutes(n), "ab"[n % 2], f"c{n}", True) for n in range(1, 21)]
    remember(store, happenings)
    timeline = Timeline(store, ["b", "a"], [minutes(20), minutes(10)])
    counts = sum(timeline.partition(partition)[1].sum(axis=2) for partition in range(4))
    assert counts.tolist() == [[10, 10], [5, 5]]


def test_a_partition_that_was_not_named_is_refused() -> None:
    store = memory(2)
    segment(store, "vip")
    with pytest.raises(ValueError, match="partition 1 was not named"):
        Timeline(store, ["vip"], [START], [0]).partition(1)


def test_records_begin_with_the_first_segment_or_the_first_checkpoint() -> None:
    store = memory()
    assert first_record(store) is None
    segment(store, "vip", created=minutes(10))
    assert first_record(store) == minutes(10)
    checkpoint(store, 0, minutes(5), [], set())
    assert first_record(store) == minutes(5)


def test_an_offset_means_the_same_instant_as_its_utc() -> None:
    store = memory()
    segment(store, "vip", created=datetime(2026, 3, 28, tzinfo=UTC))
    # In Berlin the clock goes from 2:00 to 3:00 at 01:00 UTC on 29 March 2026.
    at = datetime(2026, 3, 29, 1, tzinfo=UTC)
    remember(store, [Happening(at, "vip", "c1", True)])
    assert who(store, "vip", datetime.fromisoformat("2026-03-29T01:59:59+01:00")) == []
    assert who(store, "vip", datetime.fromisoformat("2026-03-29T03:00:00+02:00")) == ["c1"]
    assert iso(datetime.fromisoformat("2026-03-29T03:00:00+02:00")) == iso(at)
