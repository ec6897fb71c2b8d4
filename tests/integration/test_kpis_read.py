"""Indicators as a reader finds them after a nightly run, and the figures that operators are told of it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from segmentation import telemetry
from support.campaigns import STALE, read, run_of, shop
from support.service import Service, running


@pytest.fixture(scope="module")
def measured() -> Iterator[Service]:
    """The shop three hours after its files came, when the nightly run has ended; for tests that only read."""
    with running(partitions=2) as service:
        shop(service)
        yield service


def test_the_figures_of_a_small_shop_are_those_counted_by_hand(measured: Service) -> None:
    found = read(measured)
    assert found.coverage is not None and found.campaigns is not None and found.overlap is not None
    assert found.coverage.model_dump() == {"customers": 30, "covered": 30, "share": 1.0}
    segmented, others = found.campaigns.segmented, found.campaigns.nonSegmented
    assert (segmented.sent, segmented.opened, segmented.clicked, segmented.converted) == (2, 1, 0, 1)
    assert (others.sent, others.opened, others.clicked, others.converted) == (2, 0, 1, 0)
    assert segmented.openRate.value == 0.5
    assert found.campaigns.relevance.engagement.value == 1.0
    assert found.campaigns.relevance.engagement.verdict == "unclear"
    assert found.campaigns.relevance.conversion.verdict == "unknown"
    assert found.campaigns.ignored.withoutSent == 1
    assert [item.segmentId for item in found.campaigns.bySegment] == ["germans"]
    (campaign,) = found.campaigns.byCampaign
    assert (campaign.campaignId, campaign.segmented.sent, campaign.nonSegmented.sent) == ("spring", 2, 2)
    (pair,) = found.overlap.pairs
    assert pair.model_dump() == {
        "segmentIds": ["everybody", "germans"],
        "sizes": [30, 20],
        "both": 20,
        "jaccard": 0.666667,
        "verdict": "contained",
    }
    assert {item.segmentId: item.size for item in found.segments} == {"everybody": 30, "germans": 20, "nobody": 0}


def test_a_nightly_run_keeps_the_indicators_of_its_day(measured: Service) -> None:
    found = read(measured)
    assert found.measuredAt == measured.now
    assert found.freshness.profiles is not None
    # All profiles came three hours ago, whatever happened to their customers before.
    assert found.freshness.profiles.model_dump() == {"p50Hours": 3.0, "p95Hours": 3.0, "unknown": 0}
    (today,) = found.history
    assert today.jobId == found.jobId
    sizes = {item.segmentId: item.sizes for item in found.segments}
    assert sizes == {"everybody": [30], "germans": [20], "nobody": [0]}


def test_profiles_and_segments_grow_older_while_nothing_runs(measured: Service) -> None:
    before, after = read(measured), read(measured, at=measured.now + timedelta(hours=72))
    assert before.freshness.profiles is not None and after.freshness.profiles is not None
    assert (before.freshness.profiles.p95Hours, after.freshness.profiles.p95Hours) == (3.0, 75.0)
    assert before.freshness.staleSegments == []
    assert after.freshness.staleSegments == ["everybody", "germans", "nobody"]
    assert [item.ageHours for item in after.segments] == [72.0, 72.0, 72.0]
    # What a day's run measured stays as it was.
    assert after.history[0].profiles.p95Hours == 3.0


def test_a_run_over_all_segments_tells_all_its_figures(measured: Service) -> None:
    closed = {"jobId": read(measured).jobId or "", "status": "succeeded"}
    assert telemetry.of_run(measured.store, closed, measured.now + timedelta(minutes=2), STALE) == {
        "RunsSucceeded": 1,
        "RunsFailed": 0,
        "RunDuration": 120.0,
        "Customers": 30,
        "Entered": 50,
        "Left": 0,
        "StaleSegments": 0,
        "Coverage": 100.0,
        "ProfileAgeP95": 3 * 3600 + 108,
    }


def test_a_run_of_one_segment_is_not_counted_as_the_nightly_one(measured: Service) -> None:
    closed = run_of(measured, "run", {"segmentIds": ["germans"]})
    late = measured.now + timedelta(hours=49)
    assert telemetry.of_run(measured.store, closed, late, STALE) == {"Entered": 4, "Left": 1, "StaleSegments": 3}
