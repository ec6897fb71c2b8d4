"""Instants of a migration, and what becomes of counts when they are told."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from segmentation.engine.migration import counting
from segmentation.errors import InvalidInput
from segmentation.migration_questions import after, check_recorded, grid, moves, split
from segmentation.migration_report import build, diagram
from segmentation.models.exports import CreateExport
from segmentation.models.migrations import Period
from segmentation.models.segments import Segment

START = datetime(2026, 1, 31, tzinfo=UTC)
PERIODS: tuple[Period, ...] = ("day", "week", "month")


def segment(segment_id: str, name: str) -> Segment:
    return Segment(
        segmentId=segment_id,
        segmentName=name,
        customerCount=0,
        status="active",
        kind="rule",
        criteria=[],
        version=1,
        createdAt=START,
        updatedAt=START,
    )


def test_months_end_on_their_last_day_where_they_lack_the_day() -> None:
    found = grid(START, datetime(2026, 4, 30, tzinfo=UTC), "month")
    assert [f"{instant:%m-%d}" for instant in found.instants] == ["01-31", "02-28", "03-31", "04-30"]
    assert found.whole == 4
    assert after(datetime(2023, 11, 30, tzinfo=UTC), "month", 3) == datetime(2024, 2, 29, tzinfo=UTC)


def test_the_last_period_may_be_shorter() -> None:
    found = grid(START, START + timedelta(days=10), "week")
    assert [(instant - START).days for instant in found.instants] == [0, 7, 10]
    assert found.whole == 2


@pytest.mark.parametrize(("days", "period"), [(1, "day"), (36, "day"), (37, "week"), (252, "week"), (253, "month")])
def test_without_a_period_it_is_the_shortest_of_which_36_suffice(days: int, period: str) -> None:
    assert grid(START, START + timedelta(days=days), None).period == period


@pytest.mark.parametrize(
    ("days", "period", "field", "said"),
    [(37, "day", "period", "a longer period"), (2000, "month", "period", "nearer"), (2000, None, "from", "nearer")],
)
def test_more_than_36_periods_are_refused(days: int, period: Period | None, field: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        grid(START, START + timedelta(days=days), period)
    assert [error.field for error in caught.value.errors] == [field]


@settings(deadline=None, max_examples=60)
@given(minutes=st.integers(1, 36 * 24 * 60), period=st.sampled_from(PERIODS))
def test_instants_ascend_from_the_first_to_the_last(minutes: int, period: Period) -> None:
    end = START + timedelta(minutes=minutes)
    found = grid(START, end, period)
    assert found.instants == sorted(set(found.instants))
    assert (found.instants[0], found.instants[-1]) == (START, end)
    assert found.instants[: found.whole] == [after(START, period, number) for number in range(found.whole)]
    assert len(found.instants) - found.whole in (0, 1)


def test_where_nothing_was_recorded_the_answer_says_so() -> None:
    with pytest.raises(InvalidInput, match="no membership was recorded yet"):
        check_recorded(START, None)
    check_recorded(START, START)


def test_ids_are_split_at_commas() -> None:
    assert split("a, b,c") == ["a", "b", "c"]
    assert split(None) is None


def test_an_id_that_no_segment_can_have_is_refused_with_its_value() -> None:
    with pytest.raises(InvalidInput, match=r"'\.\./etc'") as caught:
        moves(START, START, "a", "b", "a,../etc", None, False)
    assert [error.field for error in caught.value.errors] == ["segments"]


def test_an_export_is_of_a_segment_or_of_a_migration() -> None:
    migration = {"from": "2026-01-01", "to": "2026-02-01", "fromSegment": "a", "toSegment": "none"}
    assert CreateExport.model_validate({"migration": migration}).file_name() == "a-to-none.csv"
    for wrong in ({}, {"segmentId": "a", "migration": migration}, {"migration": {**migration, "colour": "red"}}):
        with pytest.raises(ValidationError):
            CreateExport.model_validate(wrong)


def test_the_diagram_quotes_names_and_tells_segments_of_one_name_apart() -> None:
    matrix = np.array([[1, 2, 0], [0, 0, 3], [4, 0, 9]])
    lines = diagram(matrix, [segment("a", 'The "best", they say'), segment("b", "Loyal")]).splitlines()
    assert lines[2] == '"The ""best"", they say (from)","The ""best"", they say (to)",1'
    assert lines[3:] == [
        '"The ""best"", they say (from)","Loyal (to)",2',
        '"Loyal (from)","none (to)",3',
        '"none (from)","The ""best"", they say (to)",4',
    ]
    assert '"a (from)","b (to)",2' in diagram(matrix, [segment("a", "Same"), segment("b", "Same")])


def test_a_shorter_last_period_counts_in_flows_and_not_in_retention_and_forecast() -> None:
    masks = np.array([[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]], dtype=np.bool_)
    when = grid(START, START + timedelta(days=10), "week")
    found = build(counting.tally(masks, whole=when.whole), [segment("a", "A")], when, False, 1)
    assert [period.exited for period in found.periods] == [[1, 0], [2, 0]]
    assert [(age.age, age.atRisk, age.left) for age in found.retention[0].ages] == [(1, 3, 1)]
    assert found.forecast is not None and found.forecast.observedPeriods == 1
    assert found.forecast.periods[0].at == START + timedelta(days=17)
    assert any("shorter than a week" in note for note in found.notes)
