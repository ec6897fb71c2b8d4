"""Reports of dry runs: figures and rows of all partitions, whatever died or came twice in between."""

import csv
import gzip
import io
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from segmentation import dry_runs
from segmentation.engine.frame import Frame, NumberColumn
from segmentation.store.memberships import Change, Why
from segmentation.store.store import Store
from support.files import MemoryFiles

JOB = "run-1"
WHY = Why("rule", JOB)


@pytest.fixture
def store() -> Store:
    nothing = cast(Any, None)
    return Store(nothing, MemoryFiles(), nothing, nothing, 4)


def frame(spent: dict[str, float]) -> Frame:
    return Frame(len(spent), {"totalSpent": NumberColumn(np.array([*spent.values()]))}, {}, tuple(spent))


def joins(segment_id: str, *customers: str, legal_entity_id: str = "", stays: bool = False) -> list[Change]:
    return [Change(segment_id, (who, legal_entity_id), True, "rule", WHY, None, stays) for who in customers]


def leaves(segment_id: str, *customers: str) -> list[Change]:
    return [Change(segment_id, (who, ""), False, "rule", WHY) for who in customers]


def rows(store: Store, report: dry_runs.Report) -> list[dict[str, str]]:
    text = gzip.decompress(store.files.get(report.links["changes"])).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_partitions_add_up_to_one_report_with_one_file(store: Store) -> None:
    customers = frame({"a": 10.1, "b": 20.2, "c": np.nan})
    dry_runs.record(store, JOB, 0, [("vip", joins("vip", "a", "b") + leaves("vip", "c"))], customers)
    dry_runs.record(store, JOB, 3, [("vip", leaves("vip", "d")), ("new", joins("new", "d"))], frame({"d": 0.7}))
    report = dry_runs.gather(store, JOB)
    assert report.details == {
        "wouldChange": {
            "vip": {"joins": 2, "leaves": 2, "joinsRevenue": 30.3, "leavesRevenue": 0.7},
            "new": {"joins": 1, "leaves": 0, "joinsRevenue": 0.7, "leavesRevenue": 0.0},
        },
        "segmentsNotShown": 0,
    }
    assert [tuple(row.values()) for row in rows(store, report)] == [
        ("vip", "a", "", "join", "10.1"),
        ("vip", "b", "", "join", "20.2"),
        ("vip", "c", "", "leave", "0"),
        ("vip", "d", "", "leave", "0.7"),
        ("new", "d", "", "join", "0.7"),
    ]


def test_a_partition_that_comes_twice_counts_once_and_the_later_attempt_holds(store: Store) -> None:
    customers = frame({"a": 1.0, "b": 2.0})
    dry_runs.record(store, JOB, 0, [("vip", joins("vip", "a"))], customers)
    dry_runs.record(store, JOB, 0, [("vip", joins("vip", "a", "b"))], customers)
    first = dry_runs.gather(store, JOB)
    assert first.details["wouldChange"]["vip"]["joins"] == 2
    assert [row["customerId"] for row in rows(store, first)] == ["a", "b"]
    before = store.files.get(first.links["changes"])
    assert dry_runs.gather(store, JOB) == first
    assert store.files.get(first.links["changes"]) == before


def test_a_worker_that_dies_before_its_figures_leaves_nothing_in_the_report(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = frame({"a": 1.0, "b": 2.0})
    dry_runs.record(store, JOB, 0, [("vip", joins("vip", "a"))], customers)

    def dying() -> Iterator[tuple[str, list[Change]]]:
        yield "vip", joins("vip", "a", "b")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        dry_runs.record(store, JOB, 0, dying(), customers)
    with monkeypatch.context() as patch:
        patch.setattr(store.files, "put", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dry_runs.record(store, JOB, 0, [("vip", joins("vip", "b"))], customers)
    report = dry_runs.gather(store, JOB)
    assert [row["customerId"] for row in rows(store, report)] == ["a"]
    assert report.details["wouldChange"]["vip"]["joins"] == 1


def test_who_stays_with_another_end_or_source_is_not_reported(store: Store) -> None:
    stays = joins("vip", "a", stays=True)
    dry_runs.record(store, JOB, 0, [("vip", stays)], frame({"a": 1.0}))
    report = dry_runs.gather(store, JOB)
    assert report.details["wouldChange"] == {}
    assert rows(store, report) == []


def test_revenue_of_a_customer_with_two_legal_entities_counts_once(store: Store) -> None:
    both = joins("vip", "a", legal_entity_id="DE") + joins("vip", "a", legal_entity_id="FR")
    dry_runs.record(store, JOB, 0, [("vip", both)], frame({"a": 5.5}))
    report = dry_runs.gather(store, JOB)
    assert report.details["wouldChange"]["vip"] == {
        "joins": 2,
        "leaves": 0,
        "joinsRevenue": 5.5,
        "leavesRevenue": 0.0,
    }
    assert [row["legalEntityId"] for row in rows(store, report)] == ["DE", "FR"]


def test_who_is_gone_stands_for_no_revenue_and_a_shop_without_orders_has_none(store: Store) -> None:
    dry_runs.record(store, JOB, 0, [("vip", leaves("vip", "gone"))], frame({"a": 5.5}))
    dry_runs.record(store, JOB, 1, [("vip", joins("vip", "b"))], Frame(1, {}, {}, ("b",)))
    report = dry_runs.gather(store, JOB)
    assert report.details["wouldChange"]["vip"] == {"joins": 1, "leaves": 1, "joinsRevenue": 0, "leavesRevenue": 0}


def test_no_id_of_a_customer_becomes_a_formula_of_a_spreadsheet(store: Store) -> None:
    odd = ["=1+1", "@x", 'quo"te', "a,b"]
    dry_runs.record(store, JOB, 0, [("vip", joins("vip", *odd))], frame(dict.fromkeys(odd, 1.0)))
    found = [row["customerId"] for row in rows(store, dry_runs.gather(store, JOB))]
    assert found == ["'=1+1", "'@x", 'quo"te', "a,b"]


def test_a_run_without_anything_to_change_has_a_file_with_a_header_alone(store: Store) -> None:
    dry_runs.record(store, JOB, 0, [], Frame(0))
    report = dry_runs.gather(store, JOB)
    assert (
        gzip.decompress(store.files.get(report.links["changes"]))
        == b"segmentId,customerId,legalEntityId,change,revenue\n"
    )
    assert report.details == {"wouldChange": {}, "segmentsNotShown": 0}


def test_the_job_shows_the_segments_that_change_most(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_runs, "SEGMENTS_SHOWN", 2)
    customers = frame({"a": 1.0, "b": 1.0})
    changes = [("one", joins("one", "a")), ("two", joins("two", "a", "b")), ("also-one", leaves("also-one", "a"))]
    dry_runs.record(store, JOB, 0, changes, customers)
    report = dry_runs.gather(store, JOB)
    assert list(report.details["wouldChange"]) == ["two", "also-one"]
    assert report.details["segmentsNotShown"] == 1
    assert len(rows(store, report)) == 4


def test_parts_larger_than_one_read_are_copied_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_runs, "PART_BYTES", 7)
    who = [f"customer-{number}" for number in range(50)]
    dry_runs.record(store, JOB, 0, [("vip", joins("vip", *who))], frame(dict.fromkeys(who, 1.0)))
    assert [row["customerId"] for row in rows(store, dry_runs.gather(store, JOB))] == who
