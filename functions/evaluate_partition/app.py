"""Step of ImportFile and Resegment, once per partition: merge, evaluate, write the difference."""

from typing import Any

from segmentation import partition_runs
from segmentation.runtime import now, store, worker


@worker
def evaluate_partition(event: dict[str, Any]) -> dict[str, int]:
    """Bring one partition up to date."""
    return partition_runs.work(store(), event, now())


handler = evaluate_partition
