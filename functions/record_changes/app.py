"""The table's stream of memberships becomes history and counters."""

from typing import Any

from segmentation import changes
from segmentation.runtime import store, worker


@worker
def record_changes(event: dict[str, Any]) -> dict[str, int]:
    """Record a batch of stream records."""
    return {"changes": changes.record(store(), event["Records"])}


handler = record_changes
