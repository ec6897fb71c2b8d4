"""Last step of Resegment: store the analyses, close the job."""

from typing import Any

from segmentation import finishing
from segmentation.runtime import now, store, worker


@worker
def finish_run(event: dict[str, Any]) -> dict[str, str]:
    """Close the run whose state machine's state this is."""
    return finishing.finish_run(store(), event, now())


handler = finish_run
