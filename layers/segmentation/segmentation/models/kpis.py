"""Indicators of the segmentation as a whole, as they are returned; docs/kpis.md explains every figure."""

from typing import Literal

from pydantic import Field

from segmentation.models.common import Instant, Output
from segmentation.models.segments import Status


class Rate(Output):
    """A share of those who were sent something, or a ratio of two such shares, with its 95% interval."""

    value: float | None
    low: float | None
    high: float | None


class Coverage(Output):
    """Customers that are in at least one active segment."""

    customers: int
    covered: int
    share: float | None


class ProfileAges(Output):
    """How long ago something new of a customer was learnt: half and 95% of the customers are at most that old."""

    p50Hours: float | None
    p95Hours: float | None
    unknown: int


class LastImport(Output):
    """When a source last brought a file of a dataset, and when one failed."""

    dataset: str
    source: str
    succeededAt: Instant | None = None
    jobId: str | None = None
    ageHours: float | None = None
    failedAt: Instant | None = None
    failedJobId: str | None = None


class Freshness(Output):
    profiles: ProfileAges | None
    staleAfterHours: int
    staleSegments: list[str]
    oldestEvaluationHours: float | None
    imports: list[LastImport]


class Counts(Output):
    """Customers and campaigns: how many were sent, and of them how many did what, each once."""

    sent: int
    opened: int
    clicked: int
    converted: int
    engaged: int


class Arm(Counts):
    """Counts with their rates."""

    openRate: Rate
    clickRate: Rate
    engagementRate: Rate
    conversionRate: Rate


class Ratio(Rate):
    """Segmented against non-segmented; `better` and `worse` where the interval does not hold 1."""

    verdict: Literal["better", "worse", "unclear", "unknown"]


class Relevance(Output):
    engagement: Ratio
    conversion: Ratio


class SegmentCampaigns(Arm):
    segmentId: str


class OneCampaign(Output):
    campaignId: str
    segmented: Arm
    nonSegmented: Arm


class More(Output):
    """Whether there were more than are listed; the counts of all together are complete in any case."""

    segments: bool
    campaigns: bool


class Ignored(Output):
    """Events that name no campaign or another action, and responses of customers who were sent nothing."""

    withoutCampaign: int
    otherAction: int
    withoutSent: int


class Campaigns(Output):
    days: int
    to: Instant
    segmented: Arm
    nonSegmented: Arm
    relevance: Relevance
    bySegment: list[SegmentCampaigns]
    byCampaign: list[OneCampaign]
    more: More
    ignored: Ignored


class Pair(Output):
    """Two segments that share customers."""

    segmentIds: list[str]
    sizes: list[int]
    both: int
    jaccard: float
    verdict: Literal["identical", "redundant", "contained", "distinct"]


class Overlap(Output):
    """`redundant` and `contained` count all pairs; `pairs` names those with the highest Jaccard index."""

    redundant: int
    contained: int
    pairs: list[Pair]


class SegmentKpi(Output):
    """`sizes` has one entry per day of the history, null where the segment was not measured."""

    segmentId: str
    segmentName: str
    status: Status
    size: int | None
    growth: float | None
    sizes: list[int | None]
    evaluatedAt: Instant | None
    ageHours: float | None
    stale: bool


class DayKpis(Output):
    """What the last run of a day measured; ages are those of that moment."""

    day: str
    measuredAt: Instant
    jobId: str
    coverage: Coverage
    profiles: ProfileAges
    segmented: Counts
    nonSegmented: Counts
    relevance: Relevance
    redundantPairs: int


class Kpis(Output):
    """The newest indicators and their history. Before the first run `measuredAt` is null and `reason` says so."""

    at: Instant
    measuredAt: Instant | None = None
    jobId: str | None = None
    reason: str | None = None
    coverage: Coverage | None = None
    freshness: Freshness
    campaigns: Campaigns | None = None
    overlap: Overlap | None = None
    segments: list[SegmentKpi]
    history: list[DayKpis] = Field(default_factory=list)
