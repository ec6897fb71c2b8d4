"""Indicators on frames that can be counted by hand, and intervals against published figures."""

import functools
from typing import Any

import numpy as np
import pytest

from segmentation.engine.frame import EventTable, Frame, StringColumn
from segmentation.engine.kpis import ages, campaigns, overlap, rates
from support.criteria_frames import dates, micros, numbers, strings, table

NOW = np.datetime64("2026-03-01T12:00:00", "us")


def sent(action: str, campaign: str | None, segment: str | None, time: str = "2026-02-01T00:00:00Z") -> dict[str, Any]:
    return {"time": time, "action": action, "campaignId": campaign, "segmentId": segment}


def campaign_frame(rows: list[list[dict[str, Any]]], campaign: Any = strings, segment: Any = strings) -> Frame:
    columns = {"action": strings, "campaignId": campaign, "segmentId": segment}
    return Frame(len(rows), events={"campaign": table(rows, columns)})


# ----------------------------------------------------------------------- ages


def frame_with(times: list[list[str]], event: str = "visit") -> Frame:
    return Frame(len(times), events={event: table([[{"time": time} for time in own] for own in times], {})})


def test_an_order_an_event_or_a_change_makes_a_profile_fresh_whatever_is_newest() -> None:
    frame = frame_with([["2026-01-01", "2026-02-20"], [], ["2026-02-28T23:00:00"], []])
    updated = np.array([micros("2026-01-15"), micros("2026-01-16"), micros("2026-01-17"), micros(None)])
    newest = ages.freshness(frame, NOW, updated)
    assert newest.astype("datetime64[D]").astype(str).tolist() == ["2026-02-20", "2026-01-16", "2026-02-28", "NaT"]


def test_events_of_the_future_make_no_profile_fresh() -> None:
    frame = frame_with([["2026-01-01", "2026-02-01", "2027-01-01"], ["2027-01-01"]])
    newest = ages.freshness(frame, NOW, None)
    assert newest.astype("datetime64[D]").astype(str).tolist() == ["2026-02-01", "NaT"]


def test_updates_of_other_customers_than_the_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"updated has the shape \(1,\), expected \(2,\)"):
        ages.freshness(frame_with([[], []]), NOW, dates(["2026-01-01"]).values)


def test_half_of_the_customers_are_at_most_as_old_as_the_median() -> None:
    hours = [1, 2, 3, 50]
    histogram = ages.measure(np.array([NOW - np.timedelta64(hour, "h") for hour in hours]), NOW)
    assert ages.quantile(histogram, 0.5) == NOW - np.timedelta64(2, "h")
    assert ages.quantile(histogram, 0.95) == NOW - np.timedelta64(50, "h")
    assert ages.quantile(histogram, 0) == NOW - np.timedelta64(1, "h")


def test_a_bin_is_an_hour_of_late_and_a_day_long_ago() -> None:
    instants = np.array([micros("2026-02-28T10:10:00"), micros("2026-02-28T10:50:00"), micros("2020-05-05T17:30:00")])
    histogram = ages.measure(instants, NOW)
    assert histogram["counts"] == [1, 2]
    assert [str(np.datetime64(hour, "h")) for hour in histogram["hours"]] == ["2020-05-05T00", "2026-02-28T10"]


def test_customers_of_whom_nothing_is_known_have_no_age() -> None:
    histogram = ages.measure(np.array([micros(None), micros(None)]), NOW)
    assert histogram["unknown"] == 2
    assert ages.quantile(histogram, 0.5) is None


# ------------------------------------------------------------------ campaigns


def test_a_customer_and_a_campaign_count_once_however_often_things_happened() -> None:
    rows = [
        [sent("sent", "spring", "vip"), sent("sent", "spring", "vip"), sent("opened", "spring", None)],
        [sent("sent", "spring", None), sent("clicked", "spring", None), sent("clicked", "spring", None)],
        [sent("sent", "spring", "vip"), sent("converted", "spring", "vip"), sent("sent", "summer", "vip")],
    ]
    counted = campaigns.measure(campaign_frame(rows), NOW)
    assert counted["segmented"] == [3, 1, 0, 1, 1]
    assert counted["nonSegmented"] == [1, 0, 1, 0, 1]
    assert counted["segments"] == {"vip": [3, 1, 0, 1, 1]}
    assert counted["campaigns"] == {
        "spring": [[2, 1, 0, 1, 1], [1, 0, 1, 0, 1]],
        "summer": [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    }


def test_a_response_without_a_sending_does_not_count() -> None:
    rows = [[sent("opened", "spring", None)], [sent("sent", "summer", None), sent("clicked", "spring", None)]]
    counted = campaigns.measure(campaign_frame(rows), NOW)
    assert counted["nonSegmented"] == [1, 0, 0, 0, 0]
    assert counted["ignored"] == {"withoutCampaign": 0, "otherAction": 0, "withoutSent": 2}


def test_the_first_sending_says_for_which_segment_it_was() -> None:
    twice = [
        sent("sent", "spring", "vip", "2026-02-01"),
        sent("sent", "spring", "risk", "2026-02-02"),
        sent("sent", "spring", None, "2026-02-03"),
    ]
    counted = campaigns.measure(campaign_frame([twice]), NOW)
    assert counted["segments"] == {"vip": [1, 0, 0, 0, 0]}
    assert counted["nonSegmented"] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("time", "counts"),
    [("2025-12-01T12:00:00", 0), ("2025-12-01T12:00:00.000001", 1), ("2026-03-01T12:00:00", 1), ("2026-03-01T13", 0)],
)
def test_only_events_of_the_last_ninety_days_count(time: str, counts: int) -> None:
    counted = campaigns.measure(campaign_frame([[sent("sent", "spring", None, time)]]), NOW)
    assert counted["nonSegmented"][0] == counts


def test_events_that_name_no_campaign_or_another_action_are_counted_as_ignored() -> None:
    rows = [[sent("sent", None, None), sent("bounced", "spring", None), sent(" Sent ", "spring", None)]]
    counted = campaigns.measure(campaign_frame(rows), NOW)
    assert counted["nonSegmented"][0] == 1
    assert counted["ignored"] == {"withoutCampaign": 1, "otherAction": 1, "withoutSent": 0}


def test_campaigns_that_an_import_took_for_numbers_or_days_keep_their_names() -> None:
    row = {"time": "2026-02-01", "action": "sent", "segmentId": 7.0}
    numbered = campaign_frame([[{**row, "campaignId": 17.0}, {**row, "campaignId": 2.5}]], numbers, numbers)
    dated = campaign_frame([[{**row, "campaignId": "2026-02-01"}]], dates, numbers)
    counted = campaigns.measure(numbered, NOW)
    assert (list(counted["campaigns"]), list(counted["segments"])) == (["17", "2.5"], ["7"])
    assert list(campaigns.measure(dated, NOW)["campaigns"]) == ["2026-02-01"]


def test_customers_without_campaigns_and_events_without_fields_count_nothing() -> None:
    assert campaigns.measure(Frame(3), NOW) == campaigns.nothing(NOW)
    bare = EventTable(
        np.array([0, 1]), np.array([micros("2026-02-01")]), {"action": StringColumn(np.array([0]), ("x",))}
    )
    counted = campaigns.measure(Frame(1, events={"campaign": bare}), NOW)
    assert counted["ignored"] == {"withoutCampaign": 1, "otherAction": 0, "withoutSent": 0}


def test_ever_so_many_campaigns_leave_a_bounded_list_and_exact_sums() -> None:
    count = campaigns.KEPT + 200
    frame = campaign_frame([[sent("sent", f"c{number}", None)] for number in range(count)])
    counted = campaigns.measure(frame, NOW)
    assert counted["nonSegmented"][0] == count
    assert len(counted["campaigns"]) == campaigns.KEPT
    assert counted["more"] == {"segments": False, "campaigns": True}


def test_which_campaigns_are_listed_does_not_depend_on_the_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "KEPT", 4)
    rows = [[sent("sent", f"c{number % 9}", None)] for number in range(30)]
    parts = [campaigns.measure(campaign_frame(rows[start::5]), NOW) for start in range(5)]
    assert functools.reduce(campaigns.merge, parts) == campaigns.measure(campaign_frame(rows), NOW)
    assert len(parts[0]["campaigns"]) == 4


# -------------------------------------------------------------------- overlap


def test_pairs_are_ranked_by_jaccard_and_judged() -> None:
    sizes = np.array([100, 100, 90, 10, 50])
    shared = np.diag(sizes)
    for one, other, both in [(0, 1, 100), (0, 2, 85), (1, 2, 85), (0, 3, 10), (2, 4, 30)]:
        shared[one, other] = shared[other, one] = both
    found = overlap.pairs(["a", "b", "c", "d", "e"], sizes, shared)
    assert [(pair["segmentIds"], pair["verdict"]) for pair in found["pairs"]] == [
        (["a", "b"], "identical"),
        (["a", "c"], "redundant"),
        (["b", "c"], "redundant"),
        (["c", "e"], "distinct"),
        (["a", "d"], "contained"),
    ]
    assert found["pairs"][1] == {
        "segmentIds": ["a", "c"],
        "sizes": [100, 90],
        "both": 85,
        "jaccard": 0.809524,
        "verdict": "redundant",
    }
    assert (found["redundant"], found["contained"]) == (3, 1)


@pytest.mark.parametrize("segments", [[], ["a"], ["a", "b"]])
def test_segments_that_share_nobody_are_no_pair(segments: list[str]) -> None:
    size = len(segments)
    shared = np.zeros((size, size), dtype=np.int64)
    assert overlap.pairs(segments, np.zeros(size, dtype=np.int64), shared)["pairs"] == []


def test_of_very_many_pairs_the_nearest_are_named_and_all_are_counted() -> None:
    size = 60
    shared = np.full((size, size), 9)
    found = overlap.pairs([f"s{number}" for number in range(size)], np.full(size, 10), shared)
    assert len(found["pairs"]) == overlap.MOST_PAIRS
    assert found["redundant"] == size * (size - 1) // 2


# ---------------------------------------------------------------------- rates


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_limits_that_newcombe_published(count: int, total: int, low: float, high: float) -> None:
    """R. G. Newcombe (1998), Statistics in Medicine 17, 857-872, table I, the score method without correction."""
    found = rates.wilson(count, total)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert found.value == count / total


def test_a_rate_of_all_ends_at_one_and_a_rate_of_none_is_unknown() -> None:
    assert rates.wilson(7, 7).high == 1.0
    assert rates.wilson(0, 0) == rates.Interval(None, None, None)


def test_the_ratio_of_rates_has_katz_limits() -> None:
    """By hand: ln 7 = 1.945910; sqrt(1/7 - 1/34 + 1/1 - 1/34) = 1.041170; times 1.959964 is 2.040656."""
    found = rates.risk_ratio(7, 34, 1, 34)
    assert found.value == pytest.approx(7)
    assert found.low == pytest.approx(0.909609, abs=1e-5)
    assert found.high == pytest.approx(53.869, abs=1e-3)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((5, 10, 0, 10), rates.Interval(None, None, None)),
        ((0, 0, 5, 10), rates.Interval(None, None, None)),
        ((0, 10, 5, 10), rates.Interval(0.0, None, None)),
    ],
)
def test_a_ratio_that_cannot_be_told_says_so(counts: tuple[int, int, int, int], expected: rates.Interval) -> None:
    assert rates.risk_ratio(*counts) == expected
    assert rates.verdict(expected) == "unknown"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((400, 1000, 200, 1000), "better"), ((100, 1000, 200, 1000), "worse"), ((21, 100, 20, 100), "unclear")],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(counts: tuple[int, int, int, int], expected: str) -> None:
    assert rates.verdict(rates.risk_ratio(*counts)) == expected


@pytest.mark.parametrize(("count", "total"), [(5, 4), (-1, 4)])
def test_more_than_all_is_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"{count} of {total} is not a share"):
        rates.wilson(count, total)
    with pytest.raises(ValueError, match=f"{count} of {total} is not a share"):
        rates.risk_ratio(1, 4, count, total)


def test_growth_needs_something_to_grow_from() -> None:
    assert rates.growth(200, 250) == 0.25
    assert rates.growth(0, 250) is None
