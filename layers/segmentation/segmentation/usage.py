"""What a worker uses of the table, the bucket and the processor, to be kept with its part of a job. It knows no
prices.
"""

import math
import time

from segmentation.store.store import Store

NAMES = ("milliseconds", "tableReads", "tableWrites", "fileReads", "fileWrites")
"""Fields of a worker's counts that say what it used; `jobs` keeps them apart from what it did."""


class Meter:
    """Measures from its construction on: `meter = Meter(store)`, work, `{**counts, **meter.counts()}` to the record."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._begin = self._state()

    def counts(self) -> dict[str, int]:
        """Milliseconds, capacity units of the table, and requests to the bucket since the meter was made, rounded up.

        A process serves one worker at a time, so all of it is this worker's. What happens afterwards (writing the
        record itself, the platform's start of the process) is not seen.
        """
        used = [now - then for now, then in zip(self._state(), self._begin, strict=True)]
        return {name: math.ceil(value) for name, value in zip(NAMES, used, strict=True)}

    def _state(self) -> tuple[float, ...]:
        table, files = self._store.table, self._store.files
        return (time.perf_counter() * 1000, table.reads, table.writes, files.reads, files.writes)
