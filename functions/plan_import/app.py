"""First step of ImportFile: what was dropped, and how it is cut into chunks."""

from typing import Any

from segmentation import import_jobs
from segmentation.runtime import now, store, worker


@worker
def plan_import(event: dict[str, Any]) -> dict[str, Any]:
    """Plan the import of the object that an `Object Created` event names."""
    return import_jobs.plan(store(), event, now())


handler = plan_import
