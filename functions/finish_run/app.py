"""Last step of Resegment: store the analyses, close the job."""

from typing import Any

from segmentation import finishing, telemetry
from segmentation.runtime import emit, now, stale_after, store, worker


@worker
def finish_run(event: dict[str, Any]) -> dict[str, str]:
    """Close the run whose state machine's state this is, and tell its figures."""
    closed = finishing.finish_run(store(), event, now())
    emit(telemetry.of_run(store(), closed, now(), stale_after()), telemetry.UNITS)
    return closed


handler = finish_run
