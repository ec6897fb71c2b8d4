"""Jobs: imports, exports, runs, fits of models and erasures, as they are kept and returned."""

from typing import Literal

from pydantic import Field

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


class StartRun(Input):
    """Re-evaluate segments over all customers: all active ones unless `segmentIds` names some."""

    segmentIds: list[SegmentId] | None = Field(default=None, min_length=1, max_length=500)
    now: Instant | None = Field(default=None, description="Evaluate as of this instant; default: the clock")
    refitModels: list[ModelId] | None = Field(
        default=None, min_length=1, max_length=50, description="Models to fit again before segments are evaluated"
    )
