"""GET /runs: runs over customers, newest first."""

from segmentation import run_reads
from segmentation.models.common import Limit, NextToken
from segmentation.models.jobs import RunList
from segmentation.runtime import Api, store

api = Api()


@api.get("/runs")
def list_runs(limit: Limit = 50, nextToken: NextToken = None) -> RunList:
    """List runs, newest first."""
    return run_reads.list_runs(store(), limit, nextToken)


handler = api.handler
