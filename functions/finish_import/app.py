"""Last step of ImportFile: join the rejects, store the analyses, close the job."""

from typing import Any

from segmentation import import_jobs, telemetry
from segmentation.runtime import emit, now, store, worker


@worker
def finish_import(event: dict[str, Any]) -> dict[str, str]:
    """Close the import whose state machine's state this is, and tell its figures."""
    closed = import_jobs.finish(store(), event, now())
    emit(telemetry.of_import(store(), closed, now()), telemetry.UNITS)
    return closed


handler = finish_import
