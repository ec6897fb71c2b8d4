"""POST /segments: store a rule or a manual segment, with its exact count."""

from segmentation import authoring
from segmentation.models.segments import CreateSegment, Segment
from segmentation.runtime import Api, now, store

api = Api()


@api.post("/segments", status=201)
def create_segment(segment: CreateSegment) -> Segment:
    """Create a segment. Its members are written in the background; `customerCount` is exact at once."""
    return authoring.create(store(), segment, now())


handler = api.handler
