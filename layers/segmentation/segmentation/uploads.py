"""Announcing a file: a job, and an address to upload it to. The file's arrival starts the import."""

from datetime import datetime

from segmentation.models.imports import CreateImport
from segmentation.models.jobs import Job
from segmentation.store import jobs, keys
from segmentation.store.store import Store

MAX_BYTES = 5 * 2**30
"""What S3 takes in one upload; larger files are dropped into the bucket by multipart upload."""


def create(store: Store, request: CreateImport, at: datetime) -> Job:
    """A job that waits for its file. `details.upload` is the form to post it with, good for an hour."""
    job_id = jobs.new_id("import")
    key = keys.upload(request.dataset, job_id, request.fileName)
    if request.mapping is not None:
        body = request.mapping.model_dump_json(exclude_unset=True).encode()
        store.files.put(keys.mapping_beside(key), body, content_type="application/json")
    details = {"dataset": request.dataset, "key": key}
    jobs.create(store.table, job_id, "import", at, "awaiting_upload", details)
    job = jobs.get(store.table, job_id)
    # The form carries a signature: it is handed out once and not kept.
    return job.model_copy(update={"details": {**details, "upload": store.files.presign_post(key, MAX_BYTES)}})
