"""Jobs: imports, exports, runs, fits of models and erasures, as they are kept and returned."""

from typing import Literal, Self

from pydantic import Field, model_validator

from segmentation.models.common import Input, Instant, Json, ModelId, Output, SegmentId

JobKind = Literal["import", "export", "run", "model", "erasure"]
JobStatus = Literal["awaiting_upload", "queued", "running", "succeeded", "failed"]


class Progress(Output):
    """Parts that are done (chunks of a file, partitions of customers), of all parts of the job."""

    done: int
    total: int


class Job(Output):
    jobId: str
    kind: JobKind
    status: JobStatus
    createdAt: Instant
    startedAt: Instant | None = None
    finishedAt: Instant | None = None
    progress: Progress | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)
    details: dict[str, Json] = Field(default_factory=dict)
    error: str | None = None


class JobList(Output):
    items: list[Job]
    nextToken: str | None = None


class StartedRun(Job):
    """The job that does what was asked: a new one, or the one under way that does all of it."""

    joined: bool = Field(description="The run was under way already, and does all that was asked")


class StartRun(Input):
    """Re-evaluate segments over all customers: all active ones unless `segmentIds` names some."""

    segmentIds: list[SegmentId] | None = Field(default=None, min_length=1, max_length=500)
    now: Instant | None = Field(default=None, description="Evaluate as of this instant; default: the clock")
    refitModels: list[ModelId] | None = Field(
        default=None, min_length=1, max_length=50, description="Models to fit again before segments are evaluated"
    )
    dryRun: bool = Field(default=False, description="Say what would change, and write nothing")
    resumeRunId: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,80}$",
        description="A run that failed: only what it did not do is done. Stands alone",
    )

    @model_validator(mode="after")
    def _stands_alone(self) -> Self:
        if self.resumeRunId and self.model_fields_set - {"resumeRunId"}:
            others = ", ".join(sorted(self.model_fields_set - {"resumeRunId"}))
            raise ValueError(f"resumeRunId stands alone, a run goes on with what it was asked; leave out {others}")
        if self.dryRun and self.refitModels:
            raise ValueError("a dry run writes nothing and fits no models; leave out refitModels or dryRun")
        return self


class Requested(Output):
    """What a run was asked to do; nothing of it was said of a run of the schedule."""

    segmentIds: list[str] | None = Field(default=None, description="None: all active segments")
    refitModels: list[str] | None = None
    now: Instant | None = None
    dryRun: bool = False


class Step(Output):
    """One step of a run: parts that are done and that failed, of all its parts."""

    step: Literal["measure", "describe", "fit", "evaluate"]
    done: int
    total: int
    failed: int = 0


class Failure(Output):
    """A part of a run that failed after its retries; `partition` is null where the whole step did."""

    step: Literal["plan", "measure", "describe", "fit", "evaluate", "finish"]
    partition: int | None = None
    error: str
    cause: str


class Cost(Output):
    """An estimate of what a run cost, from what its workers used and stated prices; see docs/operations.md."""

    currency: Literal["USD"] = "USD"
    total: float
    parts: dict[str, float]


class Run(Output):
    jobId: str
    status: JobStatus
    createdAt: Instant
    startedAt: Instant | None = Field(default=None, description="Begin of the latest attempt")
    finishedAt: Instant | None = None
    durationSeconds: float | None = Field(default=None, description="From startedAt to finishedAt")
    attempt: int = Field(default=1, description="2 and more: the run was resumed")
    requested: Requested
    steps: list[Step]
    counts: dict[str, int]
    failures: list[Failure] = Field(default_factory=list, description="The first 50 parts that failed")
    resumable: bool = Field(description="POST /runs with this id as resumeRunId does what is missing")
    cost: Cost | None = None
    links: dict[str, str] = Field(default_factory=dict)
    details: dict[str, Json] = Field(default_factory=dict)
    error: str | None = None


class RunList(Output):
    items: list[Run]
    nextToken: str | None = None
