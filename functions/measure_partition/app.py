"""Step of Resegment, once per partition: what the partition brings to the fit of models."""

from typing import Any

from segmentation import fitting
from segmentation.runtime import now, store, worker


@worker
def measure_partition(event: dict[str, Any]) -> dict[str, int]:
    """Keep what one partition brings to every model of the job."""
    return fitting.measure(store(), event, now())


handler = measure_partition
