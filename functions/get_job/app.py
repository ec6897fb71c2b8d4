"""GET /jobs/{jobId}: one job with progress, counts and links."""

from segmentation import job_reads
from segmentation.models.common import JobPath
from segmentation.models.jobs import Job
from segmentation.runtime import Api, store

api = Api()


@api.get("/jobs/{jobId}")
def get_job(jobId: JobPath) -> Job:
    """Read a job. Links to rejects and results are good for an hour."""
    return job_reads.get(store(), jobId)


handler = api.handler
