"""GET /kpis: how well the segmentation is doing, now and by day."""

from datetime import date
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import kpi_reads
from segmentation.models.kpis import Kpis
from segmentation.runtime import Api, now, stale_after, store

api = Api()


@api.get("/kpis")
def get_kpis(
    first: Annotated[date | None, Query(alias="from", description="First day of the history (UTC)")] = None,
    last: Annotated[date | None, Query(alias="to", description="Last day of the history, itself included")] = None,
) -> Kpis:
    """Read coverage, freshness, relevance of campaigns, overlap and sizes of segments, with their history."""
    return kpi_reads.get(store(), first, last, now(), stale_after())


handler = api.handler
