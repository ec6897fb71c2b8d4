"""GET /jobs: imports, exports, runs and erasures, newest first."""

from segmentation import job_reads
from segmentation.models.common import Limit, NextToken
from segmentation.models.jobs import JobList
from segmentation.runtime import Api, store

api = Api()


@api.get("/jobs")
def list_jobs(limit: Limit = 50, nextToken: NextToken = None) -> JobList:
    """List jobs, newest first."""
    return job_reads.list_jobs(store(), limit, nextToken)


handler = api.handler
