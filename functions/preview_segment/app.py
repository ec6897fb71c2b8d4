"""POST /segments/preview: count a rule without storing anything."""

from segmentation import authoring
from segmentation.models.segments import Preview, PreviewSegment
from segmentation.runtime import READ, Api, now, store

api = Api()


@api.post("/segments/preview", permission=READ)
def preview_segment(rule: PreviewSegment) -> Preview:
    """Count whom a rule matches, condition by condition; with `segmentId`, who would join and leave that segment."""
    return authoring.preview(store(), rule, now())


handler = api.handler
