"""What a run cost, estimated from what its workers used and from stated prices. It reads nothing.

Prices are those of AWS's public price lists for us-east-1 as of November 2026, in US dollars: functions on arm64 and on
demand, state transitions of standard workflows, requests to a table on demand (standard class) and to S3 Standard,
custom events. Volume discounts and free tiers are left out, and so is storage, which is there without a run.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

from segmentation.models.jobs import Cost

PRICES: Mapping[str, float] = MappingProxyType(
    {
        "gigabyteSecond": 0.0000133334,
        "invocation": 0.20e-6,
        "stateTransition": 0.000025,
        "tableWriteUnit": 0.625e-6,
        "tableReadUnit": 0.125e-6,
        "filePut": 0.005e-3,
        "fileGet": 0.0004e-3,
        "event": 1.00e-6,
    }
)

MEMORY_MB: Mapping[str, int] = MappingProxyType(
    {"measure": 3008, "describe": 3008, "fit": 3008, "evaluate": 3008, "finish": 1769}
)
"""Memory of the function behind each step, as the template gives it."""

STATES = 9
"""States that every run enters which evaluates."""

STATES_OF_A_ROUND = 5
"""States of a round of measuring and fitting; a second round enters one more on its way back."""

STATES_OF_A_PART = 3
"""A worker of the map is an execution of its own: its begin, the worker, its report."""

_HISTORY_UNITS = 2
"""Write units of an entry or exit in the history: the item, and its copy in the index."""

_COUNTER_UNITS = 6
"""Write units of a counter: two items in a transaction, at double price, one of them in the index."""

_STREAM_BATCH = 500


def estimate(
    usage: Mapping[str, Mapping[str, int]], done: Mapping[str, int], changes: int, groups: int, partitions: int
) -> Cost:
    """The cost of a run, and of what follows from it in the table's stream.

    Parameters
    ----------
    usage : per step, what its workers used: `milliseconds`, `tableReads`, `tableWrites` (units), `fileReads`,
        `fileWrites` (requests); summed over all workers.
    done : per step, how many workers recorded what they did.
    changes : memberships entered and left. Each is written to the history and told as an event.
    groups : segments that were evaluated; the counter of a segment and partition is written once per batch of changes,
        which is counted as once.
    partitions : of the deployment.

    Returns
    -------
    Cost, with `parts`: functions (time of the workers and their calls), workflow (state transitions), table (units of
    the workers), stream (history, counters, calls of the function that writes them), files, events.

    Not seen: attempts that failed, starts of processes, the first step, the time of the function behind the stream.
    """
    used = {name: sum(step.get(name, 0) for step in usage.values()) for name in _names(usage)}
    gigabyte_seconds = sum(
        step.get("milliseconds", 0) / 1000 * MEMORY_MB.get(name, 0) / 1024 for name, step in usage.items()
    )
    workers = sum(done.values())
    mapped = workers - done.get("fit", 0)
    transitions = STATES + STATES_OF_A_PART * mapped
    transitions += STATES_OF_A_ROUND * ("measure" in done) + (STATES_OF_A_ROUND + 1) * ("describe" in done)
    counters = min(changes, groups * partitions)
    writes = _HISTORY_UNITS * changes + _COUNTER_UNITS * counters
    parts = {
        "functions": gigabyte_seconds * PRICES["gigabyteSecond"] + (workers + 2) * PRICES["invocation"],
        "workflow": transitions * PRICES["stateTransition"],
        "table": used.get("tableReads", 0) * PRICES["tableReadUnit"]
        + used.get("tableWrites", 0) * PRICES["tableWriteUnit"],
        "stream": writes * PRICES["tableWriteUnit"] + math.ceil(changes / _STREAM_BATCH) * PRICES["invocation"],
        "files": used.get("fileReads", 0) * PRICES["fileGet"] + used.get("fileWrites", 0) * PRICES["filePut"],
        "events": changes * PRICES["event"],
    }
    return Cost(total=round(sum(parts.values()), 6), parts={name: round(part, 6) for name, part in parts.items()})


def _names(usage: Mapping[str, Mapping[str, int]]) -> set[str]:
    return {name for step in usage.values() for name in step}
