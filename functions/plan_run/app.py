"""First step of Resegment: which partitions, for which segments."""

from typing import Any

from segmentation import runs
from segmentation.runtime import now, store, worker


@worker
def plan_run(event: dict[str, Any]) -> dict[str, Any]:
    """Plan a run that somebody started or that is due by the schedule."""
    return runs.plan(store(), event, now())


handler = plan_run
