"""Migrations: what clients ask, and what they are told."""

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import ConfigDict, Field

from segmentation.engine.migration.limits import MOST_FORECAST, MOST_SEGMENTS
from segmentation.models.common import MODEL_ID_PATTERN, SEGMENT_ID_PATTERN, Input, Instant, ModelId, Output, SegmentId

NONE = "none"
"""The state of customers who are in none of the named segments."""

Period = Literal["day", "week", "month"]

From = Annotated[Instant, Query(alias="from", description="Day (its beginning, UTC) or instant from which to compare")]
To = Annotated[Instant, Query(description="Day (its beginning, UTC) or instant to compare with; not in the future")]
Named = Annotated[str | None, Query(max_length=2000, description="Ids of segments, separated by commas")]
NamedModel = Annotated[str | None, Query(pattern=MODEL_ID_PATTERN, description="The groups of its published version")]
Ordered = Annotated[bool, Query(description="The segments are named from lowest to highest")]
PeriodOf = Annotated[Period | None, Query(description="Length of a period; default: the shortest that is allowed")]
ForecastPeriods = Annotated[int, Query(ge=0, le=MOST_FORECAST, description="How many periods to forecast")]
Side = Annotated[str, Query(pattern=SEGMENT_ID_PATTERN, description="A segment, or none")]


class Moves(Input):
    """Customers who were in `fromSegment` at `from` and in `toSegment` at `to`; either may be `none`.

    `segments` or `model` name the set among which each customer has one state, as in get_migration; without them the
    set is these two.
    """

    start: Instant = Field(alias="from")
    to: Instant
    fromSegment: SegmentId
    toSegment: SegmentId
    segments: Annotated[list[SegmentId], Field(max_length=MOST_SEGMENTS)] | None = None
    model: ModelId | None = None
    ordered: bool = False


class MovedCustomer(Output):
    customerId: str


class MoveList(Output):
    items: list[MovedCustomer]
    nextToken: str | None = None


class _Named(Output):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class SegmentFlow(Output):
    """What came into a segment and what left it; rates are shares of `sizeFrom`, null where that is 0."""

    segmentId: str
    segmentName: str
    sizeFrom: int
    sizeTo: int
    stayed: int
    entered: int
    exited: int
    entryRate: float | None
    exitRate: float | None


class MigrationPeriod(_Named):
    """Sizes at its begin and flows within one period, in the order of `states`."""

    start: Instant = Field(alias="from")
    to: Instant
    sizes: list[int]
    entered: list[int]
    exited: list[int]


class Ladder(Output):
    """Moves up and down in an ordered set; shares are of those who were in one of its segments at `from`."""

    upgraded: int
    downgraded: int
    same: int
    entered: int
    exited: int
    upgradeShare: float | None
    downgradeShare: float | None
    exitShare: float | None
    meanStepsUp: float | None
    meanStepsDown: float | None


class MigrationPath(Output):
    """A sequence of states; `medianPeriods` says for each move how long after the one before it came."""

    states: list[str]
    goesOn: bool
    customers: int
    share: float
    medianPeriods: list[float]


class MigrationPaths(Output):
    """The most frequent sequences; `customers` are all who moved, `distinct` is how many sequences they took."""

    customers: int
    distinct: int
    items: list[MigrationPath]


class RetentionAge(Output):
    """Of stays that were watched for `age` periods: the share that lasts longer, with a 95% interval."""

    age: int
    atRisk: int
    left: int
    share: float
    low: float | None
    high: float | None


class RetentionCohort(Output):
    """Customers who were there first, or entered in the period that ends at `at`; `remaining` after 1, 2, ...
    periods.
    """

    at: Instant
    customers: int
    remaining: list[int]


class Retention(Output):
    segmentId: str
    medianPeriods: int | None
    ages: list[RetentionAge]
    cohorts: list[RetentionCohort]


class ForecastPeriod(Output):
    """Sizes at an instant to come, in the order of `states`."""

    at: Instant
    expected: list[float]
    low: list[int]
    high: list[int]


class MigrationForecast(Output):
    """Sizes to come if customers go on to move as they did; `low` and `high` hold the size with the chance `level`."""

    level: float
    observedPeriods: int
    dispersion: float | None
    periods: list[ForecastPeriod]


class Migration(_Named):
    """Who moved between the named segments. Lists by state are in the order of `states`; a row of `matrix` is a state
    at `from`, a column one at `to`.
    """

    start: Instant = Field(alias="from")
    to: Instant
    period: Period
    ordered: bool
    customers: int
    states: list[str]
    severalFrom: int
    severalTo: int
    matrix: list[list[int]]
    shares: list[list[float]]
    segments: list[SegmentFlow]
    periods: list[MigrationPeriod]
    ladder: Ladder | None
    paths: MigrationPaths
    retention: list[Retention]
    forecast: MigrationForecast | None
    notes: list[str]
    diagram: str
