"""POST /imports: announce a file and get an address to upload it to."""

from segmentation import uploads
from segmentation.models.imports import CreateImport
from segmentation.models.jobs import Job
from segmentation.runtime import Api, now, store

api = Api()


@api.post("/imports", status=202)
def create_import(request: CreateImport) -> Job:
    """Announce a file. The answer's `details.upload` is a form to post it with; its arrival starts the import."""
    return uploads.create(store(), request, now())


handler = api.handler
