"""What changed between two dates, of a customer and of a segment: ranges, order, pages, tokens."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from segmentation import histories
from segmentation.errors import InvalidInput, NotFound
from segmentation.models.history import CustomerHistory, SegmentHistory
from segmentation.store import cursor, customers
from segmentation.store.store import Store
from support.past import START, Happening, memory, minutes, remember, segment

DAY = 24 * 60
NOW = minutes(30 * DAY)


@pytest.fixture
def store() -> Store:
    """Two segments with changes on the first, the third and the tenth day."""
    made = memory(2)
    segment(made, "vip")
    segment(made, "new")
    remember(made, [Happening(minutes(n), "vip", f"c{n}", True) for n in (1, 2, 3)])
    remember(made, [Happening(minutes(2 * DAY + n), "vip", f"c{n}", False, "le#1") for n in (1, 2)])
    remember(made, [Happening(minutes(9 * DAY), "vip", "c1", True), Happening(minutes(9 * DAY), "new", "c1", True)])
    return made


def of_segment(store: Store, *, limit: int = 100, token: str | None = None, **asked: Any) -> SegmentHistory:
    query = {"begin": None, "end": None, "by": "change", "order": "asc", **asked}
    return histories.of_segment(store, "vip", **query, limit=limit, token=token, at=NOW)


def of_customer(store: Store, *, limit: int = 100, token: str | None = None, **asked: Any) -> CustomerHistory:
    return histories.of_customer(
        store, "c1", **{"begin": None, "end": None, "order": "asc", **asked}, limit=limit, token=token
    )


def told(found: SegmentHistory | CustomerHistory) -> list[tuple[float, str, str]]:
    """Minutes since the start, customer and change of each item."""
    return [((i.time - START) / timedelta(minutes=1), i.customerId, i.change) for i in found.items]


ALL = [
    (1, "c1", "entered"),
    (2, "c2", "entered"),
    (3, "c3", "entered"),
    (2 * DAY + 1, "c1", "exited"),
    (2 * DAY + 2, "c2", "exited"),
    (9 * DAY, "c1", "entered"),
]


def test_a_segments_history_is_told_oldest_first_or_newest_first(store: Store) -> None:
    assert told(of_segment(store)) == ALL
    assert told(of_segment(store, order="desc")) == ALL[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_together_are_the_whole(store: Store, order: str, limit: int) -> None:
    found: list[tuple[float, str, str]] = []
    token: str | None = None
    for _ in range(20):
        page = of_segment(store, order=order, limit=limit, token=token)
        assert len(page.items) <= limit
        found += told(page)
        token = page.nextToken
        if token is None:
            break
    assert found == (ALL if order == "asc" else ALL[::-1])


def test_a_range_is_half_open_and_days_begin_in_utc(store: Store) -> None:
    assert told(of_segment(store, begin="2026-03-03", end="2026-03-10")) == ALL[3:5]
    assert told(of_segment(store, begin="2026-03-03", end="2026-03-10T00:00:00.000001Z")) == ALL[3:]
    assert told(of_segment(store, begin="2026-03-01T00:02:00Z", end="2026-03-01T00:03:00Z")) == ALL[1:2]
    assert told(of_segment(store, begin="2026-03-01T00:02:00Z", end="2026-03-01T00:03:00Z", order="desc")) == ALL[1:2]


def test_an_offset_is_understood_on_both_sides_of_a_daylight_saving_change(store: Store) -> None:
    happenings = [
        Happening(datetime.fromisoformat(f"2026-03-29T0{h}:30:00+00:00"), "new", "c7", h == 0) for h in (0, 1)
    ]
    remember(store, happenings)
    found = histories.of_customer(
        store, "c7", "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "asc", 10, None
    )
    assert [item.change for item in found.items] == ["entered"], "03:00+02:00 is one hour after 01:00+01:00"


def test_counts_of_days_leave_out_days_on_which_nothing_happened(store: Store) -> None:
    days = of_segment(store, by="day").days
    counts = [("2026-03-01", 3, 0), ("2026-03-03", 0, 2), ("2026-03-10", 1, 0)]
    assert [(day.day, day.entered, day.exited) for day in days] == counts
    first = of_segment(store, by="day", limit=2)
    assert [day.day for day in first.days] == ["2026-03-01", "2026-03-03"]
    rest = of_segment(store, by="day", limit=2, token=first.nextToken)
    assert [day.day for day in rest.days] == ["2026-03-10"]


def test_a_page_skips_empty_days_but_not_without_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "QUERIES_A_PAGE", 4)
    first = of_segment(store, begin="2026-03-04")
    assert (first.items, first.nextToken is None) == ([], False)
    second = of_segment(store, begin="2026-03-04", token=first.nextToken)
    assert told(second) == ALL[5:]


def test_nothing_is_read_before_the_segment_or_after_now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    page = store.table.page
    monkeypatch.setattr(store.table, "page", lambda pk, *a, **k: read.append(pk) or page(pk, *a, **k))
    assert told(of_segment(store, begin="1971-01-01", end="2199-01-01")) == ALL
    assert [key[-10:] for key in read if "HISTORY" in key][::30] == ["2026-03-01", "2026-03-31"]
    assert of_segment(store, begin="1980-01-01", end="1990-01-01").items == []


def test_a_customers_history_goes_over_all_segments(store: Store) -> None:
    items = of_customer(store).items
    assert [(i.segmentId, i.change, i.legalEntityId) for i in items] == [
        ("vip", "entered", None),
        ("vip", "exited", "le#1"),
        ("new", "entered", None),
        ("vip", "entered", None),
    ]
    assert of_customer(store, order="desc").items == items[::-1]
    assert of_customer(store, begin="2026-03-02", end="2026-03-10").items == items[1:2]
    first = of_customer(store, limit=3)
    assert first.items + of_customer(store, limit=3, token=first.nextToken).items == items
    back = of_customer(store, limit=2, order="desc", begin="2026-03-02")
    rest = of_customer(store, limit=2, order="desc", begin="2026-03-02", token=back.nextToken)
    assert (back.items + rest.items, rest.nextToken) == (items[:0:-1], None)


def test_who_is_being_erased_has_no_history_even_if_the_stream_is_late(store: Store) -> None:
    customers.put(store.table, "c1", None, NOW, store.partitions)
    assert of_customer(store).items == []
    assert {item.customerId for item in of_segment(store).items} == {"c2", "c3"}


def test_a_token_of_another_question_is_refused(store: Store) -> None:
    token = of_segment(store, limit=1).nextToken
    for asked in ({"order": "desc"}, {"begin": "2026-03-01"}, {"end": "2026-03-05"}, {"by": "day"}):
        with pytest.raises(InvalidInput, match="nextToken"):
            of_segment(store, token=token, **asked)
    with pytest.raises(InvalidInput, match="nextToken"):
        of_customer(store, token=token)


@pytest.mark.parametrize(
    "position",
    [
        {},
        {"day": "2025-12-31"},
        {"day": "2026-03-3x"},
        {"day": 3},
        {"day": "2026-03-03", "after": "c1"},
        {"day": "2026-03-03", "after": ["2026-03-03T00:00:00.000000Z", "c1", "", 1]},
        {"day": "2026-03-03", "after": ["2026-03-04T00:00:00.000000Z", "c1", "", "entered"]},
    ],
)
def test_a_forged_token_is_refused(store: Store, position: dict[str, Any]) -> None:
    forged = cursor.encode("SEGMENT#vip#HISTORY#change#None#None#asc", position)
    with pytest.raises(InvalidInput, match="nextToken"):
        of_segment(store, token=forged)


def test_a_forged_token_of_a_customer_is_refused(store: Store) -> None:
    for after in ("PROFILE", 7, None):
        forged = cursor.encode("CUSTOMER#c1#HISTORY#None#None#asc", {"after": after})
        with pytest.raises(InvalidInput, match="nextToken"):
            of_customer(store, token=forged)


def test_the_history_of_a_segment_that_nobody_knows_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no segment 'gone'"):
        histories.of_segment(store, "gone", None, None, "change", "asc", 10, None, NOW)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-02-30", "2026-13-01", "0001-01-01", "2026-05-01T12:00:00 02:00", "9" * 40]
)
def test_what_is_no_date_is_refused_with_its_value(store: Store, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        of_customer(store, begin=text)
    assert repr(text) in refused.value.errors[0].message
    assert refused.value.errors[0].field == "from"


@pytest.mark.parametrize(("begin", "end"), [("2026-03-02", "2026-03-01"), ("2026-03-02", "2026-03-02")])
def test_a_range_that_ends_before_it_begins_is_refused(store: Store, begin: str, end: str) -> None:
    with pytest.raises(InvalidInput, match="is not before"):
        of_segment(store, begin=begin, end=end)


def test_a_day_of_the_past_is_its_end_and_today_is_now() -> None:
    at = datetime.fromisoformat("2026-05-02T09:00:00+00:00")
    assert histories.past_instant("2026-05-01", at).isoformat() == "2026-05-01T23:59:59.999999+00:00"
    assert histories.past_instant("2026-05-02", at) == at
    assert histories.past_instant("2026-05-02T08:00:00", at).isoformat() == "2026-05-02T08:00:00+00:00"
    assert histories.past_instant("2026-05-02T09:00:00Z", at) == at
    for future in ("2026-05-03", "2026-05-02T09:00:00.000001Z", "2026-05-02T10:00:00+00:00"):
        with pytest.raises(InvalidInput, match="is in the future; now it is 2026-05-02T09:00:00"):
            histories.past_instant(future, at)
