"""The rows of an export: memberships joined with what the snapshot knows of the customers, batch by batch.

A customer who is listed without being a member has a membership of empty fields.

It needs Arrow, so only the function that writes exports loads it. It knows neither jobs nor files.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import batched

import pyarrow as pa

from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import Frame
from segmentation.models.exports import ATTRIBUTE_PREFIX, MEMBERSHIP_COLUMNS
from segmentation.store import writers
from segmentation.store.frame_columns import Lookup
from segmentation.store.memberships import Membership

BATCH = 50_000
"""Memberships that are held at once."""

MembersOf = Callable[[int], Iterable[Membership]]
LoadFrame = Callable[[int, Sequence[str]], Frame]


def batches(
    partitions: Iterable[int],
    kinds: Mapping[str, Kind],
    members_of: MembersOf,
    load: LoadFrame,
    done: Callable[[int, int], None],
) -> Iterator[pa.Table]:
    """Tables with the columns of `kinds`, for the members of every partition in turn.

    A partition's snapshot is loaded only if it has members and a column asks for more than the memberships, and then
    with those columns only. `done(partition, rows)` is called when a partition's rows have been handed out.
    """
    names = {name: name.removeprefix(ATTRIBUTE_PREFIX) for name in kinds if name not in MEMBERSHIP_COLUMNS}
    schema = writers.schema(kinds)
    for partition in partitions:
        rows = 0
        lookup: Lookup | None = None
        for members in batched(members_of(partition), BATCH, strict=False):
            columns = _membership_columns(members)
            if names:
                lookup = lookup or Lookup(load(partition, tuple(names.values())))
                wanted = [(attribute, kinds[name]) for name, attribute in names.items()]
                columns |= dict(zip(names, lookup.columns(columns["customerId"], wanted), strict=True))
            yield pa.table([columns[name] for name in kinds], schema=schema)
            rows += len(members)
        done(partition, rows)


def _membership_columns(members: Sequence[Membership]) -> dict[str, pa.Array]:
    return {
        "customerId": pa.array([member.customer_id for member in members], pa.string()),
        "since": pa.array([member.since or None for member in members], pa.string()).cast(
            writers.ARROW_TYPES[Kind.DATE]
        ),
        "source": pa.array([member.source or None for member in members], pa.string()),
        "legalEntityId": pa.array([member.legal_entity_id or None for member in members], pa.string()),
        "segmentId": pa.array([member.segment_id or None for member in members], pa.string()),
    }
