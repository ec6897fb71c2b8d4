"""POST /exports: write a segment's members to a file."""

from segmentation import exports
from segmentation.models.exports import CreateExport
from segmentation.models.jobs import Job
from segmentation.runtime import READ, Api, now, store

api = Api()


@api.post("/exports", permission=READ, status=202)
def create_export(request: CreateExport) -> Job:
    """Export a segment's members. The finished job has a link to the file."""
    return exports.create_export(store(), request, now())


handler = api.handler
