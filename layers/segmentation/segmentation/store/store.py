"""Where everything is kept, as one value that use cases take as their first argument."""

from dataclasses import dataclass

from segmentation.store.events import Events
from segmentation.store.files import Files
from segmentation.store.table import Table
from segmentation.store.workflows import Workflows


@dataclass(frozen=True)
class Store:
    """Table, bucket, state machines, event bus, and the number of partitions that customers are spread over."""

    table: Table
    files: Files
    workflows: Workflows
    events: Events
    partitions: int
