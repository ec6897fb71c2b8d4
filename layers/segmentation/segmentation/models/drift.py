"""Drift of a published model: what is kept of a measurement, and what is returned."""

from typing import Literal

from pydantic import Field

from segmentation.models.common import Instant, Output


class Shift(Output):
    """How far the values of a feature or score have moved: the population stability index (PSI)."""

    name: str
    psi: float | None = None
    byChance: float | None = Field(
        default=None, description="What the index of two draws of one population stays below in 999 of 1,000 cases"
    )
    level: Literal["stable", "changing", "shifted"]


class Movement(Output):
    """How far the mean of a cluster's customers has moved, in spreads of the cluster at training."""

    groupId: str
    movement: float | None = None
    byChance: float | None = None
    trainingCustomers: int
    customers: int


class Quality(Output):
    """Figures of the published version, by name, on the customers of its training and on those of today."""

    training: dict[str, float | int | None]
    today: dict[str, float | int | None]


class Drift(Output):
    """Customers of today against those that the published version was fitted on, as the last whole run found them."""

    version: int
    measuredAt: Instant
    jobId: str
    trainingCustomers: int | None = None
    customers: int | None = None
    features: list[Shift] = Field(default_factory=list)
    scores: list[Shift] = Field(default_factory=list)
    centroids: list[Movement] = Field(default_factory=list)
    quality: Quality | None = None
    refitSuggested: bool = False
    reasons: list[str] = Field(default_factory=list, description="What calls for a refit, with the figures")
    note: str | None = Field(
        default=None, description="Why there are no figures, or why no refit is suggested in spite of the reasons"
    )


class DriftDay(Output):
    """The last measurement of a day, in short."""

    day: str
    version: int
    customers: int | None = None
    featurePsi: float | None = Field(default=None, description="The largest index of a feature")
    scorePsi: float | None = Field(default=None, description="The largest index of a score")
    movement: float | None = Field(default=None, description="The longest way of a cluster's mean")
    quality: dict[str, float | int | None] = Field(default_factory=dict)
    refitSuggested: bool
