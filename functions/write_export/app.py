"""A request file under requests/exports/ becomes a file of a segment's members."""

from typing import Any

from segmentation import exports
from segmentation.runtime import now, store, worker


@worker
def write_export(event: dict[str, Any]) -> dict[str, Any]:
    """Write the export that an `Object Created` event asks for."""
    return exports.write_export(store(), event, now())


handler = write_export
