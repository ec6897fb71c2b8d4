"""Models: what clients ask for, what is kept, what is returned."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, RootModel, Tag, model_validator

from segmentation.models.common import Input, Instant, Json, ModelId, Output, SegmentId
from segmentation.models.drift import Drift, DriftDay
from segmentation.models.segments import Description, Name

ModelKind = Literal["rfm", "cluster", "lifetime", "churn"]
VersionStatus = Literal["fitting", "fitted", "insufficient_data", "unreliable", "failed"]
Criterion = Literal["silhouette", "calinski_harabasz", "davies_bouldin", "gap"]
Refit = Annotated[
    Literal["manual", "on_schedule", "on_drift"],
    # What "manual" was called before models could ask for a refit themselves.
    BeforeValidator(lambda value: "manual" if value == "never" else value),
    Field(description="on_schedule: every scheduled run fits it again; on_drift: one that finds a refit suggested"),
]
Binning = Literal["quantiles", "thresholds", "kmeans"]

MAX_FEATURES = 50
MAX_SEED = 2**31 - 1

AttributeName = Annotated[str, Field(min_length=1, max_length=200)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="The same data and the same seed give the same model")]
Share = Annotated[float, Field(gt=0, lt=1)]


class Winsorise(Input):
    """Values beyond these quantiles become the quantiles."""

    lower: float = Field(default=0.01, ge=0, lt=0.5)
    upper: float = Field(default=0.99, gt=0.5, le=1)


class MadClip(Input):
    """Values further than `limit` scaled median absolute deviations from the median become that bound."""

    limit: float = Field(gt=0, le=100)


class OneHot(Input):
    """One column for every value that at least `minShare` of the customers have; the others are one column together."""

    minShare: float = Field(default=0.01, ge=0, lt=1)
    maxValues: int = Field(default=20, ge=1, le=50)


class Ordinal(Input):
    """Values as 0, 1, 2 ... in this order."""

    order: Annotated[list[str], Field(min_length=2, max_length=200)]


class Outliers(Input):
    """One way to tame outliers."""

    winsorise: Winsorise | None = None
    mad: MadClip | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.winsorise is None) == (self.mad is None):
            raise ValueError("give winsorise or mad, one of them")
        return self


class Encoding(Input):
    """One way to make numbers of texts."""

    oneHot: OneHot | None = None
    ordinal: Ordinal | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.oneHot is None) == (self.ordinal is None):
            raise ValueError("give oneHot or ordinal, one of them")
        return self


class FeatureRecipe(Input):
    """An attribute as a model takes it in; a name alone stands for the defaults of its type."""

    attribute: AttributeName
    missing: Literal["median", "mode", "constant"] | None = None
    constant: float | Annotated[str, Field(max_length=200)] | None = None
    indicator: bool = Field(default=False, description="Add a column that says where the value was missing")
    outliers: Outliers | None = None
    log1p: bool = False
    scaling: Literal["standard", "robust", "none"] | None = None
    encoding: Encoding | None = None


def _form_of(feature: Any) -> str:
    """Which of the two forms was meant, so that an error is about that one."""
    return "name" if isinstance(feature, str) else "recipe"


AnyFeature = Annotated[
    Annotated[AttributeName, Tag("name")] | Annotated[FeatureRecipe, Tag("recipe")], Discriminator(_form_of)
]
Features = Annotated[list[AnyFeature], Field(max_length=MAX_FEATURES)]
SomeFeatures = Annotated[list[AnyFeature], Field(min_length=1, max_length=MAX_FEATURES)]
NoFeatures = Annotated[list[AnyFeature], Field(max_length=0)]


class Selection(Input):
    """Which columns are left out before a fit. What was dropped, and why, is part of the model."""

    minVariance: float = Field(default=1e-6, ge=0, le=1)
    maxCorrelation: float = Field(default=0.95, gt=0, le=1)
    score: Literal["laplacian", "permutation"] | None = Field(
        default=None, description="permutation: by how much shuffling a column harms the model; churn models only"
    )
    keep: int | None = Field(default=None, ge=1, le=500, description="How many of the best by score are kept")

    @model_validator(mode="after")
    def _by_score(self) -> Self:
        if self.keep is not None and self.score is None:
            raise ValueError(f"keep={self.keep} needs a score to choose by")
        return self


class Population(Input):
    """The customers that a model is fitted on: all, or the members of a segment."""

    segmentId: SegmentId | None = None


def _ascending[T: list[Any]](values: T) -> T:
    """Raises ValueError unless every value is above the one before it."""
    for lower, upper in pairwise(values):
        if not lower < upper:
            raise ValueError(f"values must ascend; {upper} is not above {lower}")
    return values


ScoreRange = Annotated[list[Annotated[int, Field(ge=0, le=10)]], Field(min_length=2, max_length=2)]
Edges = Annotated[list[float], Field(min_length=2, max_length=9), AfterValidator(_ascending)]


class GridCells(Input):
    """A rectangle of the grid: recency scores and frequency scores, both ends included.

    The cell `[0, 0], [0, 0]` holds the customers who have not bought; a grid may leave it out.
    """

    recency: ScoreRange
    frequency: ScoreRange


class GridGroup(Input):
    """A name for cells of the recency-frequency grid."""

    groupId: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,22}$")]
    name: Name
    cells: Annotated[list[GridCells], Field(min_length=1, max_length=100)]


class Thresholds(Input):
    """Upper edges of all bins but the last, ascending."""

    recency: Edges
    frequency: Edges
    monetary: Edges


class RfmParameters(Input):
    """How recency, frequency and monetary value become scores, and cells of the grid get names."""

    binning: Binning = "quantiles"
    bins: int = Field(default=5, ge=3, le=10)
    quantileMethod: Literal["linear", "r"] = Field(
        default="linear", description="r: edges as the R package rfm sets them"
    )
    thresholds: Thresholds | None = None
    grid: Annotated[list[GridGroup], Field(min_length=1, max_length=100)] | None = None


class ClusterParameters(Input):
    """How customers are grouped by likeness."""

    method: Literal["kmeans", "ward", "average", "complete"] = "kmeans"
    k: int | None = Field(
        default=None, ge=1, le=500, description="Number of clusters; without it the best of kRange is chosen"
    )
    kRange: Annotated[
        list[Annotated[int, Field(ge=2, le=50)]], Field(min_length=2, max_length=2), AfterValidator(_ascending)
    ] = Field(default=[2, 12], description="Numbers of clusters to choose from, both ends included")
    criterion: Criterion = "silhouette"
    restarts: int = Field(default=10, ge=1, le=100)
    bootstraps: int = Field(default=10, ge=2, le=100)
    selection: Selection = Field(default_factory=Selection)
    seed: Seed = 0

    @model_validator(mode="after")
    def _no_label(self) -> Self:
        if self.selection.score == "permutation":
            raise ValueError("a cluster model has nothing to predict: its selection.score is laplacian or none")
        return self


class Tier(Input):
    """A tier of customers by value, from the top: this share of them."""

    name: Name
    share: Share


class LifetimeParameters(Input):
    """What is forecast, and over which time."""

    horizonMonths: int = Field(default=12, ge=1, le=120)
    monthlyDiscountRate: float = Field(default=0.01, ge=0, le=1)
    holdoutDays: int | None = Field(
        default=None, ge=1, le=3650, description="Length of the back-test; default: a third of the history"
    )
    tiers: Annotated[list[Tier], Field(min_length=1, max_length=9)] = Field(
        default=[Tier(name="High value", share=0.2), Tier(name="Medium value", share=0.3)],
        description="Tiers from the top; the rest of the customers is the last tier",
    )
    restName: Name = "Low value"

    @model_validator(mode="after")
    def _room_for_the_rest(self) -> Self:
        held = sum(tier.share for tier in self.tiers)
        if held > 1 - 1e-6:
            raise ValueError(f"tiers hold {held:.4g} of the customers; the rest, {self.restName!r}, needs some too")
        names = [self.restName.casefold(), *(tier.name.casefold() for tier in self.tiers)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two tiers are called {twice[0]!r}; names must differ")
        return self


class ChurnParameters(Input):
    """What says that a customer has churned, and how the risk is divided."""

    label: AttributeName = Field(description="Attribute that says whether a customer has churned")
    churnedValue: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="The text that means churned, where the label is a text"
    )
    c: float = Field(default=1.0, gt=0, le=1e6, description="Inverse strength of the penalty")
    folds: int = Field(default=5, ge=2, le=20)
    riskLimits: Annotated[list[Share], Field(min_length=2, max_length=2), AfterValidator(_ascending)] = Field(
        default=[0.3, 0.7], description="Where medium and high risk begin"
    )
    selection: Selection = Field(default_factory=Selection)
    seed: Seed = 0


class _NewModel(Input):
    modelName: Name
    modelId: ModelId | None = None
    description: Description | None = None
    population: Population = Field(default_factory=Population)
    features: Features = Field(default_factory=list)
    refit: Refit = "manual"
    now: Instant | None = Field(
        default=None, description="Fit as of this instant, for historical data; default: the clock"
    )


class CreateRfmModel(_NewModel):
    """Recency, frequency, monetary value. `features` are these three, in this order, if given."""

    kind: Literal["rfm"]
    parameters: RfmParameters = Field(default_factory=RfmParameters)


class CreateClusterModel(_NewModel):
    """Groups of customers who are alike in `features`."""

    kind: Literal["cluster"]
    features: SomeFeatures
    parameters: ClusterParameters = Field(default_factory=ClusterParameters)


class CreateLifetimeModel(_NewModel):
    """Expected orders, value and the probability to be alive, from purchases alone: it takes no features."""

    kind: Literal["lifetime"]
    features: NoFeatures = Field(default_factory=list)
    parameters: LifetimeParameters = Field(default_factory=LifetimeParameters)


class CreateChurnModel(_NewModel):
    """The risk of churn, learnt from an attribute that says who has churned."""

    kind: Literal["churn"]
    features: SomeFeatures
    parameters: ChurnParameters


AnyModel = CreateRfmModel | CreateClusterModel | CreateLifetimeModel | CreateChurnModel


class CreateModel(RootModel[Annotated[AnyModel, Field(discriminator="kind")]]):
    """A new model of one kind."""


class Group(Output):
    """A part of the customers that the model found: what becomes a segment when the model is published."""

    groupId: str
    name: str
    size: int
    share: float
    criteria: list[Json]
    segmentId: str


class Comparison(Output):
    """A refit held against the published version, on the same customers: whether it may take its place."""

    against: int = Field(description="The version that was published then")
    publish: bool
    reason: str | None = None
    figures: dict[str, Json] = Field(default_factory=dict)


class Version(Output):
    """One fit of a model."""

    version: int
    status: VersionStatus
    statusReason: str | None = None
    jobId: str | None = None
    createdAt: Instant
    fittedAt: Instant | None = None
    customers: int | None = None
    comparison: Comparison | None = None
    groups: list[Group] = Field(default_factory=list)


class Held(Output):
    """Somebody went back to this version: refits do not publish themselves until a person publishes a newer one."""

    version: int
    before: int = Field(description="The version that was published before")
    at: Instant


class ModelSummary(Output):
    """A model with the state of its latest version."""

    modelId: str
    modelName: str
    kind: ModelKind
    description: str | None = None
    population: Population
    features: list[str | FeatureRecipe]
    parameters: dict[str, Json]
    refit: Refit
    now: Instant | None = None
    status: VersionStatus
    statusReason: str | None = None
    latestVersion: int
    publishedVersion: int | None = None
    publishedAt: Instant | None = None
    held: Held | None = None
    refitSuggested: bool = Field(default=False, description="The last whole run found that a refit is due; see drift")
    scores: list[str]
    createdAt: Instant
    jobId: str | None = None


class Model(ModelSummary):
    """A model with one version in full: what was fitted, how well, and the groups that it found."""

    version: int
    pausedReason: str | None = Field(default=None, description="Why the published version gives no scores at present")
    heldReason: str | None = Field(default=None, description="Why refits do not publish themselves at present")
    drift: Drift | None = Field(default=None, description="Of the published version, since the first whole run with it")
    driftHistory: list[DriftDay] = Field(default_factory=list, description="The last 30 days that were measured")
    versions: list[Version]
    groups: list[Group]
    report: dict[str, Json] | None = Field(
        default=None, description="Everything that the fit found; docs/algorithms.md explains every figure"
    )


class ModelList(Output):
    items: list[ModelSummary]
    nextToken: str | None = None


class PublishModel(Input):
    """The version to publish: the latest one that is fitted unless `version` names another."""

    version: int | None = Field(default=None, ge=1)
    names: dict[str, Name] = Field(
        default_factory=dict, max_length=100, description="Names of segments by groupId, where others are wanted"
    )


class Published(Output):
    """The version that scores customers from now on, its segments, and the run that fills them."""

    modelId: str
    version: int
    segments: list[str]
    jobId: str


class DeletedModel(Output):
    """The model is gone; `jobId` removes its segments, where it had any."""

    modelId: str
    segments: list[str]
    jobId: str | None = None
