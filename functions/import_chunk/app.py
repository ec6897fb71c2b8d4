"""Second step of ImportFile, once per chunk: parse, validate, stage, reject."""

from typing import Any

from segmentation import import_jobs
from segmentation.runtime import now, store, worker


@worker
def import_chunk(event: dict[str, Any]) -> dict[str, int]:
    """Import the chunk `{jobId, chunk}`."""
    return import_jobs.chunk(store(), event["jobId"], event["chunk"], now())


handler = import_chunk
