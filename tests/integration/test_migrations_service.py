"""Migrations from the first membership to the file of those who moved, on moto, with a clock that moves."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from segmentation import authoring, customers, exports, migrations, segments
from segmentation.errors import InvalidInput, TooBusy
from segmentation.models.exports import CreateExport
from segmentation.models.migrations import Migration, MoveList, Moves
from segmentation.models.segments import CreateSegment
from segmentation.store import jobs
from support.germans import put
from support.service import NOW, Service, running

DAYS = {
    # Tier of each customer on four days: b bronze, s silver, g gold, - none of them.
    "c0": "bbsg",
    "c1": "bsgg",
    "c2": "bbbb",
    "c3": "ssb-",
    "c4": "sssg",
    "c5": "gggs",
    "c6": "-bbs",
    "c7": "----",
    "c8": "g---",
    "c9": "s-ss",
}
TIERS = {"b": "bronze", "s": "silver", "g": "gold", "-": "none"}
LADDER = ["bronze", "silver", "gold"]


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    """Four days of a shop; the clock ends an hour after the last change."""
    with running() as service:
        for day in range(4):
            for customer_id, tiers in DAYS.items():
                if day == 0 or tiers[day] != tiers[day - 1]:
                    put(service, customer_id, tier=TIERS[tiers[day]])
            if day == 0:
                for tier in LADDER:
                    rule = [{"attribute": "tier", "operator": "eq", "value": tier}]
                    asked = CreateSegment(segmentName=tier.title(), segmentId=tier, criteria=rule)
                    authoring.create(service.store, asked, service.now)
            service.settle()
            service.wait(24)
        service.wait(-23)
        yield service


def at(day: int) -> datetime:
    """An hour after the changes of a day."""
    return NOW + timedelta(days=day, hours=1)


def asked(service: Service, **changes: Any) -> Migration:
    question = {
        "start": at(0),
        "end": at(3),
        "segment_ids": LADDER,
        "model_id": None,
        "period": "day",
        "periods": 2,
        "ordered": True,
        "at": service.now,
        **changes,
    }
    return migrations.get(service.store, **question)


def listed(service: Service, before: str, after: str, limit: int = 100, **more: Any) -> MoveList:
    question = {"from": at(0), "to": at(3), "fromSegment": before, "toSegment": after, **more}
    return migrations.list_moves(service.store, Moves.model_validate(question), limit, None, service.now)


def ids(found: MoveList) -> list[str]:
    return sorted(item.customerId for item in found.items)


def test_the_matrix_says_from_where_to_where_customers_moved(shop: Service) -> None:
    found = asked(shop)
    assert found.states == ["bronze", "silver", "gold", "none"]
    assert found.matrix == [[1, 0, 2, 0], [0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1]]
    assert found.shares[0] == [0.333333, 0.0, 0.666667, 0.0]
    assert (found.customers, found.severalFrom, found.severalTo, found.notes) == (10, 0, 0, [])


def test_sizes_and_flows_follow_period_by_period(shop: Service) -> None:
    found = asked(shop)
    for day, period in enumerate(found.periods):
        tiers = [tiers[day] for tiers in DAYS.values()]
        assert period.sizes == [tiers.count(tier) for tier in TIERS]
    assert [period.entered[0] for period in found.periods] == [1, 1, 0]
    gold = found.segments[2]
    assert (gold.sizeFrom, gold.sizeTo, gold.entered, gold.exited) == (2, 3, 3, 2)
    assert (gold.entryRate, gold.exitRate) == (1.5, 1.0)


def test_upgrades_and_downgrades_are_counted_for_an_ordered_set(shop: Service) -> None:
    found = asked(shop).ladder
    assert found is not None
    assert (found.upgraded, found.downgraded, found.same, found.entered, found.exited) == (3, 1, 2, 1, 2)
    assert (found.upgradeShare, found.meanStepsUp) == (0.375, 1.666667)
    assert asked(shop, ordered=False).ladder is None


def test_paths_retention_and_forecast_come_with_it(shop: Service) -> None:
    found = asked(shop)
    assert found.paths.customers == 8
    first = found.paths.items[0]
    assert (first.states, first.customers, first.medianPeriods) == (["bronze", "silver", "gold"], 2, [1.5, 1.0])
    silver = found.retention[1]
    # Stays in silver: c0, c1 and c9 1 day, c3 2, c4 3; c9 again, watched for 1 day; c5 and c6 have just begun.
    assert [(age.age, age.atRisk, age.left) for age in silver.ages] == [(1, 6, 3), (2, 2, 1), (3, 1, 1)]
    assert [cohort.customers for cohort in silver.cohorts] == [3, 1, 2, 2]
    assert found.forecast is not None
    assert [round(sum(period.expected)) for period in found.forecast.periods] == [10, 10]
    assert found.forecast.periods[0].at == at(4)
    for period in found.forecast.periods:
        ends = zip(period.low, period.expected, period.high, strict=True)
        assert all(low <= expected <= high for low, expected, high in ends)


def test_the_diagram_has_a_line_for_every_move_and_none_for_customers_outside(shop: Service) -> None:
    lines = asked(shop).diagram.splitlines()
    assert lines[0] == "sankey-beta"
    assert '"Bronze (from)","Gold (to)",2' in lines
    assert len(lines) == 2 + 8


def test_the_list_of_a_move_is_as_long_as_its_cell_of_the_matrix(shop: Service) -> None:
    found, states = asked(shop), [*LADDER, "none"]
    for row, before in enumerate(states):
        for column, after in enumerate(states):
            moved = listed(shop, before, after, segments=LADDER, ordered=True)
            letters = {name: letter for letter, name in TIERS.items()}
            wanted = [c for c, days in DAYS.items() if (days[0], days[3]) == (letters[before], letters[after])]
            assert ids(moved) == wanted and len(wanted) == found.matrix[row][column]


def test_a_move_without_a_set_is_between_its_two_segments(shop: Service) -> None:
    assert ids(listed(shop, "bronze", "gold")) == ["c0", "c1"]
    assert ids(listed(shop, "none", "gold")) == ["c0", "c1", "c4"]
    assert ids(listed(shop, "gold", "none")) == ["c5", "c8"]


@pytest.mark.parametrize("patience", [20, -1])
def test_pages_of_a_move_together_are_the_whole_list(
    shop: Service, patience: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "PATIENCE_SECONDS", patience)
    question = Moves.model_validate({"from": at(0), "to": at(3), "fromSegment": "none", "toSegment": "gold"})
    found, token = [], None
    for _ in range(20):
        page = migrations.list_moves(shop.store, question, 1, token, shop.now)
        assert len(page.items) <= 1
        found += ids(page)
        token = page.nextToken
        if token is None:
            break
    assert sorted(found) == ["c0", "c1", "c4"] and token is None


def test_the_token_of_one_move_is_refused_by_another(shop: Service) -> None:
    token = listed(shop, "none", "gold", limit=1).nextToken
    other = Moves.model_validate({"from": at(0), "to": at(3), "fromSegment": "gold", "toSegment": "none"})
    with pytest.raises(InvalidInput, match="nextToken"):
        migrations.list_moves(shop.store, other, 1, token, shop.now)


def test_an_export_of_a_move_has_its_customers_as_they_are_now(shop: Service) -> None:
    request = {
        "migration": {"from": at(0), "to": at(3), "fromSegment": "bronze", "toSegment": "gold"},
        "columns": ["customerId", "tier", "source", "segmentId"],
        "format": "jsonl",
    }
    job = exports.create_export(shop.store, CreateExport.model_validate(request), shop.now)
    assert shop.deliver(f"requests/exports/{job.jobId}.json")["rows"] == 2
    ended = jobs.get(shop.store.table, job.jobId)
    assert ended.links["file"].endswith("/bronze-to-gold.jsonl")
    assert ended.details["migration"]["fromSegment"] == "bronze"
    rows = [json.loads(line) for line in shop.store.files.get(ended.links["file"]).splitlines()]
    wanted = {"tier": "gold", "source": "rule", "segmentId": "gold"}
    assert sorted(rows, key=lambda row: row["customerId"]) == [
        {"customerId": "c0", **wanted},
        {"customerId": "c1", **wanted},
    ]


def test_who_has_left_the_target_since_is_exported_without_a_membership(shop: Service) -> None:
    request = {
        "migration": {"from": at(0), "to": at(1), "fromSegment": "bronze", "toSegment": "silver"},
        "columns": ["customerId", "tier", "since", "source"],
        "format": "jsonl",
    }
    job = exports.create_export(shop.store, CreateExport.model_validate(request), shop.now)
    shop.deliver(f"requests/exports/{job.jobId}.json")
    body = shop.store.files.get(jobs.get(shop.store.table, job.jobId).links["file"])
    assert [json.loads(line) for line in body.splitlines()] == [
        {"customerId": "c1", "tier": "gold", "since": None, "source": None}
    ]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"start": NOW - timedelta(days=400)}, "from", "before the first record"),
        ({"start": at(3), "end": at(3)}, "from", "is not before to"),
        ({"end": at(9)}, "to", "in the future"),
        ({"segment_ids": ["bronze", "copper"]}, "segments", "'copper'"),
        ({"segment_ids": ["bronze", "bronze"]}, "segments", "more than once"),
        ({"segment_ids": ["bronze", "none"]}, "segments", "'none' stands for"),
        ({"segment_ids": [f"s{n}" for n in range(21)]}, "segments", "21 segments"),
        ({"segment_ids": None}, "segments", "name either"),
        ({"model_id": "rfm"}, "segments", "name either"),
        ({"segment_ids": None, "model_id": "rfm", "ordered": False}, "model", "'rfm'"),
        ({"segment_ids": None, "model_id": "rfm"}, "ordered", "no order"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_with_its_field(
    shop: Service, changes: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        asked(shop, **changes)
    assert [error.field for error in caught.value.errors] == [field]


@pytest.mark.parametrize(
    ("before", "after", "more", "field"),
    [
        ("none", "none", {}, "fromSegment"),
        ("bronze", "copper", {}, "segments"),
        ("bronze", "gold", {"segments": ["bronze", "silver"]}, "toSegment"),
        ("bronze", "gold", {"from": at(3), "to": at(0)}, "from"),
    ],
)
def test_a_move_that_makes_no_sense_is_refused_with_its_field(
    shop: Service, before: str, after: str, more: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        listed(shop, before, after, **more)
    assert [error.field for error in caught.value.errors] == [field]


def test_an_export_of_a_move_that_makes_no_sense_is_refused_at_once(shop: Service) -> None:
    request = {"migration": {"from": at(0), "to": at(9), "fromSegment": "bronze", "toSegment": "gold"}}
    with pytest.raises(InvalidInput, match="in the future"):
        exports.create_export(shop.store, CreateExport.model_validate(request), shop.now)


def test_too_many_customers_for_the_time_are_refused_with_what_to_do(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "PATIENCE_SECONDS", -1)
    with pytest.raises(TooBusy, match=r"only 0 of 3 partitions .* fewer segments or periods"):
        asked(shop)


def test_a_customer_in_several_segments_is_counted_once_and_the_answer_says_so(shop: Service) -> None:
    rule = [{"attribute": "tier", "operator": "in", "value": ["silver", "gold"]}]
    authoring.create(shop.store, CreateSegment(segmentName="Better", segmentId="better", criteria=rule), shop.now)
    shop.settle()
    shop.wait(1)
    start = shop.now - timedelta(minutes=30)
    found = asked(shop, start=start, end=shop.now, segment_ids=["gold", "better"], ordered=False, periods=1)
    assert (found.severalFrom, found.severalTo, found.matrix[0][0], found.matrix[1][1]) == (3, 3, 3, 3)
    assert found.forecast is None
    assert any("the first named" in note for note in found.notes)
    assert any("no whole day" in note for note in found.notes)
    higher = asked(shop, start=start, end=shop.now, segment_ids=["gold", "better"])
    assert (higher.matrix[0][0], higher.matrix[1][1]) == (0, 6)


def test_an_erased_customer_is_neither_counted_nor_listed_nor_exported(shop: Service) -> None:
    before = asked(shop).customers
    customers.erase(shop.store, "c1", shop.now)
    shop.settle()
    assert asked(shop).customers == before - 1
    assert ids(listed(shop, "bronze", "gold")) == ["c0"]
    assert segments.get(shop.store, "gold", shop.now).customerCount == 2
