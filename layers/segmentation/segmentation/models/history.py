"""The past as clients ask for it, and entries and exits as they read them."""

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from segmentation.models.common import Instant, Output

By = Annotated[Literal["change", "day"], Query(description="Every change, or how many there were on each day")]
Order = Annotated[Literal["asc", "desc"], Query(description="Oldest first (asc) or newest first (desc)")]
AsOf = Annotated[
    str | None,
    Query(max_length=40, description="The state at this instant, or at the end of this day (UTC), instead of now"),
]
From = Annotated[
    str | None,
    Query(alias="from", max_length=40, description="Changes from this instant, or the start of this day (UTC), on"),
]
To = Annotated[
    str | None,
    Query(alias="to", max_length=40, description="Changes before this instant, or the start of this day (UTC)"),
]


class HistoryItem(Output):
    """One entry or exit; `cause` says why, `movedFrom` and `movedTo` name the other segment of a move."""

    customerId: str
    segmentId: str
    change: Literal["entered", "exited"]
    time: Instant
    cause: str
    source: str
    legalEntityId: str | None = None
    jobId: str | None = None
    segmentVersion: int | None = None
    modelVersion: int | None = None
    movedFrom: str | None = None
    movedTo: str | None = None


class CustomerHistory(Output):
    customerId: str
    items: list[HistoryItem]
    nextToken: str | None = None


class DayCount(Output):
    """How many entered and exited on a day (UTC)."""

    day: str
    entered: int
    exited: int


class SegmentHistory(Output):
    """Entries and exits, or with `by=day` how many there were on each day."""

    segmentId: str
    recordedSince: Instant
    items: list[HistoryItem] = Field(default_factory=list)
    days: list[DayCount] = Field(default_factory=list)
    nextToken: str | None = None
