"""GET /segments/{segmentId}/analysis: what the last evaluation measured."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import segments
from segmentation.models.common import SegmentPath
from segmentation.models.segments import Analysis
from segmentation.runtime import Api, store

api = Api()


@api.get("/segments/{segmentId}/analysis")
def analyze_segment(segmentId: SegmentPath, metrics: Annotated[str | None, Query(max_length=1000)] = None) -> Analysis:
    """Read demographics, behaviours and metrics of a segment; `metrics` names some, separated by commas."""
    return segments.analyze(store(), segmentId, metrics.split(",") if metrics else None)


handler = api.handler
