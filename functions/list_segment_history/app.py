"""GET /segments/{segmentId}/history: who entered and left a segment, when and why, or how many each day."""

from segmentation import histories
from segmentation.models.common import Limit, NextToken, SegmentPath
from segmentation.models.history import By, From, Order, SegmentHistory, To
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/segments/{segmentId}/history")
def list_segment_history(
    segmentId: SegmentPath,
    begin: From = None,
    end: To = None,
    by: By = "change",
    order: Order = "asc",
    limit: Limit = 100,
    nextToken: NextToken = None,
) -> SegmentHistory:
    """List a segment's entries and exits in a range of time, or with `by=day` how many there were on each day."""
    return histories.of_segment(store(), segmentId, begin, end, by, order, limit, nextToken, now())


handler = api.handler
