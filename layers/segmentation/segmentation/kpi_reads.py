"""Indicators as they are read: the newest figures, ages by the clock of the reader, and the history by day.

Plain numbers throughout: measuring stands in `kpis`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from segmentation.engine.kpis import rates
from segmentation.errors import FieldError, InvalidInput
from segmentation.models.kpis import (
    Arm,
    Campaigns,
    Counts,
    Coverage,
    DayKpis,
    Freshness,
    Kpis,
    LastImport,
    OneCampaign,
    Overlap,
    ProfileAges,
    Rate,
    Ratio,
    Relevance,
    SegmentCampaigns,
    SegmentKpi,
)
from segmentation.models.segments import Segment
from segmentation.store import kpis, segments
from segmentation.store.kpis import Day
from segmentation.store.store import Store

DEFAULT_DAYS = 31
"""Days of history without `from`: those that show the growth of a month."""

MOST_DAYS = 92
"""Most days of history in one answer: there is a size of every segment for each."""

_EMPTY = "no run over all segments has ended yet; the schedule starts one, and so does POST /runs"


def get(store: Store, first: date | None, last: date | None, at: datetime, stale_after: timedelta) -> Kpis:
    """The newest indicators, and those of the days from `first` to `last` (today, and a month before it).

    Ages of segments and imports are those of now; ages of profiles too, of what the newest run knew. Raises
    InvalidInput for a period that ends before it begins or is longer than `MOST_DAYS`.
    """
    first, last = _period(first, last, at)
    newest = kpis.latest(store.table)
    history = kpis.days(store.table, first, last)
    listed = [_segment(segment, newest, history, at, stale_after) for segment in _open(store, at)]
    oldest = max((item.ageHours for item in listed if item.ageHours is not None), default=None)
    freshness = Freshness(
        profiles=_profiles(newest.figures["profiles"], at) if newest else None,
        staleAfterHours=int(stale_after.total_seconds()) // 3600,
        staleSegments=[item.segmentId for item in listed if item.stale],
        oldestEvaluationHours=oldest,
        imports=[_import(item, at) for item in kpis.imports(store.table)],
    )
    found = Kpis(at=at, freshness=freshness, segments=listed, history=[_day(day) for day in history])
    if newest is None:
        return found.model_copy(update={"reason": _EMPTY})
    figures = newest.figures
    measured = {
        "measuredAt": datetime.fromisoformat(newest.measured_at),
        "jobId": newest.job_id,
        "coverage": _coverage(figures),
        "campaigns": _campaigns(figures["campaigns"]),
        "overlap": Overlap.model_validate(figures["overlap"]),
    }
    return found.model_copy(update=measured)


def stale(store: Store, at: datetime, stale_after: timedelta) -> list[str]:
    """Segments that could have members and were not evaluated for longer than `stale_after`."""
    return [segment.segmentId for segment in _open(store, at) if _is_stale(segment, at, stale_after)]


def profile_age(day: Day, at: datetime) -> float | None:
    """Hours since which something new is known of 95% of the customers."""
    return _profiles(day.figures["profiles"], at).p95Hours


def _period(first: date | None, last: date | None, at: datetime) -> tuple[date, date]:
    last = last or at.date()
    first = first or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise _invalid(f"from {first} is after to {last}")
    if (last - first).days >= MOST_DAYS:
        raise _invalid(f"{first} to {last} are {(last - first).days + 1} days; one answer has at most {MOST_DAYS}")
    return first, last


def _invalid(message: str) -> InvalidInput:
    return InvalidInput(message, [FieldError("from", message)])


def _open(store: Store, at: datetime) -> list[Segment]:
    """Segments that can have members now; those that cannot are not to be evaluated either."""
    return [segment for segment in segments.all_segments(store.table, at) if segment.status not in segments.CLOSED]


def _is_stale(segment: Segment, at: datetime, stale_after: timedelta) -> bool:
    """A segment that was never evaluated counts from its creation."""
    return at - (segment.evaluatedAt or segment.createdAt) > stale_after


def _segment(
    segment: Segment, newest: Day | None, history: Sequence[Day], at: datetime, stale_after: timedelta
) -> SegmentKpi:
    name = segment.segmentId
    sizes = [day.figures["sizes"].get(name) for day in history]
    known = [size for size in sizes if size is not None]
    return SegmentKpi(
        segmentId=name,
        segmentName=segment.segmentName,
        status=segment.status,
        size=newest.figures["sizes"].get(name) if newest else None,
        growth=rates.growth(known[0], known[-1]) if len(known) > 1 else None,
        sizes=sizes,
        evaluatedAt=segment.evaluatedAt,
        ageHours=_hours(segment.evaluatedAt, at),
        stale=_is_stale(segment, at, stale_after),
    )


def _import(item: Mapping[str, Any], at: datetime) -> LastImport:
    kept = {name: item[name] for name in LastImport.model_fields if name in item}
    succeeded = item.get("succeededAt")
    return LastImport(**kept, ageHours=_hours(datetime.fromisoformat(succeeded) if succeeded else None, at))


def _hours(since: datetime | None, at: datetime) -> float | None:
    return None if since is None else round(max((at - since).total_seconds(), 0.0) / 3600, 2)


def _coverage(figures: Mapping[str, Any]) -> Coverage:
    customers, covered = figures["customers"], figures["covered"]
    return Coverage(customers=customers, covered=covered, share=rates.share(covered, customers))


def _profiles(profiles: Mapping[str, Any], at: datetime) -> ProfileAges:
    """Ages at `at` of what the run knew: while nothing new is measured, profiles grow older with the clock."""
    p50, p95 = (datetime.fromisoformat(moment) if moment else None for moment in (profiles["p50At"], profiles["p95At"]))
    return ProfileAges(p50Hours=_hours(p50, at), p95Hours=_hours(p95, at), unknown=profiles["unknown"])


def _campaigns(counted: Mapping[str, Any]) -> Campaigns:
    return Campaigns(
        days=counted["days"],
        to=datetime.fromisoformat(f"{counted['to']}Z"),
        segmented=_arm(counted["segmented"]),
        nonSegmented=_arm(counted["nonSegmented"]),
        relevance=_relevance(counted),
        bySegment=[
            SegmentCampaigns(segmentId=name, **dict(_arm(counts))) for name, counts in counted["segments"].items()
        ],
        byCampaign=[
            OneCampaign(campaignId=name, segmented=_arm(segmented), nonSegmented=_arm(others))
            for name, (segmented, others) in counted["campaigns"].items()
        ],
        more=counted["more"],
        ignored=counted["ignored"],
    )


def _counts(counts: Sequence[int]) -> dict[str, int]:
    return dict(zip(rates.COUNTS, counts, strict=True))


def _arm(counts: Sequence[int]) -> Arm:
    named = _counts(counts)
    did = {"openRate": "opened", "clickRate": "clicked", "engagementRate": "engaged", "conversionRate": "converted"}
    found = {rate: _rate(rates.wilson(named[name], named["sent"])) for rate, name in did.items()}
    return Arm(**named, **found)


def _relevance(counted: Mapping[str, Any]) -> Relevance:
    """Segmented against non-segmented sendings."""
    one, other = _counts(counted["segmented"]), _counts(counted["nonSegmented"])

    def ratio(name: str) -> Ratio:
        found = rates.risk_ratio(one[name], one["sent"], other[name], other["sent"])
        return Ratio(**dict(_rate(found)), verdict=rates.verdict(found))

    return Relevance(engagement=ratio("engaged"), conversion=ratio("converted"))


def _rate(interval: rates.Interval) -> Rate:
    value, low, high = (
        None if part is None else round(part, 6) for part in (interval.value, interval.low, interval.high)
    )
    return Rate(value=value, low=low, high=high)


def _day(day: Day) -> DayKpis:
    figures, measured_at = day.figures, datetime.fromisoformat(day.measured_at)
    campaigns = figures["campaigns"]
    return DayKpis(
        day=day.day,
        measuredAt=measured_at,
        jobId=day.job_id,
        coverage=_coverage(figures),
        profiles=_profiles(figures["profiles"], measured_at),
        segmented=Counts(**_counts(campaigns["segmented"])),
        nonSegmented=Counts(**_counts(campaigns["nonSegmented"])),
        relevance=_relevance(campaigns),
        redundantPairs=figures["overlap"]["redundant"],
    )
