"""Last step of ImportFile: join the rejects, store the analyses, close the job."""

from typing import Any

from segmentation import import_jobs
from segmentation.runtime import now, store, worker


@worker
def finish_import(event: dict[str, Any]) -> dict[str, str]:
    """Close the import whose state machine's state this is."""
    return import_jobs.finish(store(), event, now())


handler = finish_import
