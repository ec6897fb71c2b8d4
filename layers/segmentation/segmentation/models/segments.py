"""Segments: what clients send, what is kept, what is returned."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from segmentation.models.common import (
    CustomerId,
    Input,
    Instant,
    Json,
    Output,
    SegmentId,
)

Kind = Literal["rule", "manual"]
Status = Literal["evaluating", "active", "paused", "inactive", "scheduled", "expired"]
Site = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Description = Annotated[str, Field(max_length=2000)]
TimeZone = Annotated[str, Field(max_length=64, description="IANA name of the time zone in which days begin")]
Criteria = Annotated[
    list[Json] | dict[str, Json],
    Field(description="A rule as docs/criteria.md describes it: a list of conditions that must all hold, or a tree"),
]


class Validity(Input):
    """A segment has members from `startsAt` until before `endsAt`; either may be open."""

    startsAt: Instant | None = None
    endsAt: Instant | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.startsAt and self.endsAt and self.startsAt >= self.endsAt:
            raise ValueError(f"startsAt {self.startsAt.isoformat()} is not before endsAt {self.endsAt.isoformat()}")
        return self


class CreateSegment(Input):
    """A new segment. A manual segment has no criteria: its members are assigned."""

    segmentName: Name
    criteria: Criteria = Field(default_factory=list)
    description: Description | None = None
    segmentId: SegmentId | None = None
    site: Site = ""
    timeZone: TimeZone = "UTC"
    active: bool = True
    validity: Validity | None = None
    kind: Kind = "rule"
    now: Instant | None = Field(
        default=None, description="Evaluate as of this instant, for back-tests and historical data; default: the clock"
    )


class SegmentPatch(Input):
    """A JSON merge patch: a field that is sent replaces, null removes, a field that is not sent stays."""

    segmentName: Name | None = None
    criteria: Criteria | None = None
    description: Description | None = None
    site: Site | None = None
    timeZone: TimeZone | None = None
    active: bool | None = None
    validity: Validity | None = None
    now: Instant | None = None


class ModelGroup(Output):
    """The group of a published model that a segment holds."""

    modelId: str
    groupId: str


class Segment(Output):
    """A segment as it is kept and returned."""

    segmentId: str
    segmentName: str
    customerCount: int
    status: Status
    statusReason: str | None = None
    description: str | None = None
    kind: Kind
    criteria: list[Json] | dict[str, Json]
    site: str = ""
    timeZone: str = "UTC"
    active: bool = True
    validity: Validity | None = None
    now: Instant | None = None
    model: ModelGroup | None = None
    version: int
    createdAt: Instant
    updatedAt: Instant
    evaluatedAt: Instant | None = None
    jobId: str | None = None


class SegmentList(Output):
    items: list[Segment]
    nextToken: str | None = None


class Deleted(Output):
    """The segment is gone for every reader; `jobId` removes what is left of it."""

    segmentId: str
    jobId: str


class PreviewSegment(Input):
    """A rule to try. With `segmentId`, the answer also says who would join and leave that segment; without `criteria`
    it is about that segment as it stands: what the next run would change.
    """

    criteria: Criteria | None = None
    segmentId: SegmentId | None = None
    timeZone: TimeZone | None = Field(default=None, description="Default: the segment's, or UTC")
    now: Instant | None = None
    sampleSize: int = Field(default=10, ge=0, le=100, description="How many customers a list shows")

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.criteria is None and self.segmentId is None:
            raise ValueError("nothing to preview: send criteria, or the segmentId of a segment, or both")
        return self


class ConditionCount(Output):
    """How many customers one condition or group of the rule matches alone."""

    path: str
    count: int


class CustomerRevenue(Output):
    """A customer, and what they have spent net of returns."""

    customerId: str
    revenue: float


class Preview(Output):
    """Whom a rule matches. What follows `sample` is about the segment that was named, null without one."""

    customerCount: int
    share: float
    totalCustomers: int
    conditions: list[ConditionCount]
    sample: list[str]
    joins: int | None = None
    leaves: int | None = None
    joinsRevenue: float | None = None
    leavesRevenue: float | None = None
    joining: list[CustomerRevenue] | None = None
    leaving: list[CustomerRevenue] | None = None
    now: Instant


class Analysis(Output):
    """What the last evaluation measured; docs/analysis.md explains every figure."""

    segmentId: str
    segmentSize: int
    demographics: dict[str, Json]
    behaviors: dict[str, Json]
    metrics: dict[str, Json]
    evaluatedAt: Instant


class CustomerIds(Input):
    """Customers to assign or unassign, at most 500 at once."""

    customerIds: Annotated[list[str], Field(min_length=1, max_length=500)]
    legalEntityId: str = Field(default="", max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")


class AssignCustomers(CustomerIds):
    """`override` takes customers who do not match the rule, as manual includes."""

    override: bool = False


class AssignResult(Output):
    successCount: int
    failedCount: int
    errors: list[str]


class Member(Output):
    """A member; of the past only the id is known."""

    customerId: str
    since: Instant | None = None
    source: str | None = None
    legalEntityId: str | None = None


class MemberList(Output):
    """Members now, or at the instant `asOf` of the past; `recordedSince` is when the segment's records begin."""

    items: list[Member]
    nextToken: str | None = None
    asOf: Instant | None = None
    recordedSince: Instant | None = None


class CustomerSegment(Output):
    segmentId: str
    since: Instant
    source: str
    legalEntityId: str | None = None


class ListedSegment(CustomerSegment):
    """The name is looked up for the past only; a segment that was deleted since has none any more."""

    segmentName: str | None = None


class CustomerSegmentList(Output):
    """Segments now, or at the instant `asOf` of the past; `recordedSince` is the customer's first record, if any."""

    customerId: str
    items: list[ListedSegment]
    nextToken: str | None = None
    asOf: Instant | None = None
    recordedSince: Instant | None = None


class Explanation(Output):
    """Why a customer is in a segment, or why not, condition by condition."""

    segmentId: str
    customerId: CustomerId
    member: bool
    matches: bool
    included: bool
    excluded: bool
    reason: str
    explanation: Json
    now: Instant
