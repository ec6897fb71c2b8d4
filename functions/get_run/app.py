"""GET /runs/{jobId}: one run with progress, failures and cost."""

from segmentation import run_reads
from segmentation.models.common import JobPath
from segmentation.models.jobs import Run
from segmentation.runtime import Api, store

api = Api()


@api.get("/runs/{jobId}")
def get_run(jobId: JobPath) -> Run:
    """Read a run: progress per step, counts, what failed, and what it cost."""
    return run_reads.get(store(), jobId)


handler = api.handler
