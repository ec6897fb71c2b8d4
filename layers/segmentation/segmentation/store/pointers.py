"""Which version of its snapshot each partition has now.

A pointer moves by a conditional write: no reader sees half an import, no import overwrites another.
"""

from collections.abc import Collection

from segmentation.errors import Conflict
from segmentation.store import keys
from segmentation.store.snapshot import Pointer
from segmentation.store.table import Condition, ConditionFailed, Table


def get(table: Table, partitions: Collection[int], expected: int) -> dict[int, Pointer]:
    """Pointers of the partitions that hold something.

    Raises Conflict if the data was spread over another number of partitions.
    """
    found: dict[int, Pointer] = {}
    for item in table.batch_get([keys.pointer(partition) for partition in partitions]):
        if item["partitions"] != expected:
            raise Conflict(
                f"the customers are spread over {item['partitions']} partitions, but Partitions is set to {expected}; "
                f"set it back: a customer's partition never changes"
            )
        found[item["partition"]] = Pointer(
            item["partition"], item["version"], item["customers"], item["orders"], item["events"]
        )
    return found


def move(table: Table, pointer: Pointer, previous: Pointer | None, partitions: int) -> bool:
    """Make `pointer` current if `previous` still is; False if another writer was faster."""
    item = {
        **keys.pointer(pointer.partition),
        "partition": pointer.partition,
        "partitions": partitions,
        "version": pointer.version,
        "customers": pointer.customers,
        "orders": pointer.orders,
        "events": pointer.events,
    }
    condition = Condition("attribute_not_exists(PK)")
    if previous:
        condition = Condition("#version = :previous", {":previous": previous.version}, {"#version": "version"})
    try:
        table.put(item, condition)
    except ConditionFailed:
        return False
    return True
