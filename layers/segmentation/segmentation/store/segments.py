"""Segments in the table: current state, versions, analysis and sizes."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from segmentation.errors import Conflict, NotFound, StaleVersion
from segmentation.models.common import iso
from segmentation.models.segments import Segment, Status
from segmentation.store import cursor, keys
from segmentation.store.table import ABSENT, Condition, ConditionFailed, Item, Table

DELETING = "deleting"
CLOSED = ("inactive", "scheduled", "expired")
"""States in which nobody is a member."""
_ROOM = Condition("attribute_exists(PK) AND #state <> :deleting", {":deleting": DELETING}, {"#state": "state"})


def create(table: Table, segment: Segment) -> None:
    """Store a new segment and its first version. Raises Conflict if the id is taken."""
    item = _item(segment)
    version = {**item, **keys.segment_version(segment.segmentId, segment.version)}
    try:
        table.transact(
            [
                table.put_action(
                    {
                        **item,
                        **keys.segment(segment.segmentId),
                        **keys.segment_index(segment.segmentId, segment.site),
                        "state": "evaluating",
                        "customerCount": 0,
                        "matchedCount": segment.customerCount,
                        "jobId": segment.jobId,
                        "statusReason": segment.statusReason,
                    },
                    ABSENT,
                ),
                table.put_action(version),
            ]
        )
    except ConditionFailed:
        raise Conflict(f"the segmentId {segment.segmentId!r} is taken; choose another or update that segment") from None


def get(table: Table, segment_id: str, at: datetime, version: int | None = None) -> Segment:
    """The segment now, or an earlier version of its definition. Raises NotFound."""
    current = table.get(keys.segment(segment_id), consistent=True)
    if current is None or current["state"] == DELETING:
        raise NotFound(f"there is no segment {segment_id!r}")
    if version is None or version == current["version"]:
        return _segment(current, at)
    earlier = table.get(keys.segment_version(segment_id, version))
    if earlier is None:
        raise NotFound(f"segment {segment_id!r} has no version {version}; the current one is {current['version']}")
    counted: Item = {name: current[name] for name in ("state", "customerCount", "matchedCount") if name in current}
    return _segment({**earlier, **counted}, at)


def all_segments(table: Table, at: datetime) -> Iterator[Segment]:
    """Every segment that is not being deleted."""
    for item in table.query(keys.SEGMENTS, index=keys.GSI1):
        if item["state"] != DELETING:
            yield _segment(item, at)


def ids(table: Table) -> list[str]:
    """Ids of every segment that is not being deleted."""
    return [i["segmentId"] for i in table.query(keys.SEGMENTS, index=keys.GSI1) if i["state"] != DELETING]


def versions(table: Table, segment_ids: Iterable[str]) -> dict[str, int]:
    """Versions of these segments with every write; those that are gone or being deleted are left out."""
    items = table.batch_get([keys.segment(segment_id) for segment_id in segment_ids])
    return {item["segmentId"]: item["version"] for item in items if item["state"] != DELETING}


def as_they_are(table: Table, segment_ids: Iterable[str], at: datetime) -> list[Segment]:
    """These segments with every write, in order of their ids; those that are gone or being deleted are left out."""
    items = table.batch_get([keys.segment(segment_id) for segment_id in segment_ids])
    found = [_segment(item, at) for item in items if item["state"] != DELETING]
    return sorted(found, key=lambda segment: segment.segmentId)


def deleting(table: Table) -> list[str]:
    """Ids of segments whose memberships are still to be removed."""
    return [i["segmentId"] for i in table.query(keys.SEGMENTS, index=keys.GSI1) if i["state"] == DELETING]


def page(
    table: Table, site: str | None, limit: int, token: str | None, at: datetime
) -> tuple[list[Segment], str | None]:
    """Segments in order of site and id, of one site if given."""
    scope = f"{keys.SEGMENTS}#{site}"
    prefix = "" if site is None else f"{keys.escape(site)}#"
    found = table.page(keys.SEGMENTS, prefix, index=keys.GSI1, limit=limit, start=cursor.decode(scope, token))
    items = [_segment(item, at) for item in found.items if item["state"] != DELETING]
    return items, cursor.encode(scope, found.last_key)


def update(table: Table, segment: Segment, expected: int, evaluate: bool) -> None:
    """Store the next version. Raises StaleVersion if another writer was faster."""
    item = _item(segment)
    changes: dict[str, Any] = {**item, **_index(segment)}
    if evaluate:
        changes |= {
            "state": "evaluating",
            "statusReason": segment.statusReason,
            "jobId": segment.jobId,
            "matchedCount": segment.customerCount,
        }
    condition = Condition(
        "#state <> :deleting AND #version = :expected",
        {":deleting": DELETING, ":expected": expected},
        {"#state": "state", "#version": "version"},
    )
    absent = {name: None for name in ("description", "validity", "now") if name not in item}
    version = {**item, **keys.segment_version(segment.segmentId, segment.version)}
    current = table.update_action(keys.segment(segment.segmentId), set={**changes, **absent}, condition=condition)
    try:
        table.transact([current, table.put_action(version)])
    except ConditionFailed:
        raise stale(segment.segmentId, expected) from None


def stale(segment_id: str, expected: int) -> StaleVersion:
    """The error for a change based on version `expected`."""
    return StaleVersion(
        f"version {expected} of segment {segment_id!r} is not the current one; read it again and repeat the change"
    )


def mark_deleting(table: Table, segment_id: str, expected: int | None) -> None:
    """Hide the segment from every reader. Raises NotFound or StaleVersion."""
    condition = _ROOM
    if expected is not None:
        condition = Condition(
            f"{_ROOM.expression} AND #version = :expected",
            {**(_ROOM.values or {}), ":expected": expected},
            {**(_ROOM.names or {}), "#version": "version"},
        )
    try:
        table.update(keys.segment(segment_id), set={"state": DELETING}, condition=condition)
    except ConditionFailed:
        if expected is not None and table.get(keys.segment(segment_id)) is not None:
            raise stale(segment_id, expected) from None
        raise NotFound(f"there is no segment {segment_id!r}") from None


def remove(table: Table, segment_id: str) -> None:
    """Delete everything that is kept of the segment itself; memberships must be gone before."""
    pk = keys.segment(segment_id)["PK"]
    table.batch_write(deletes=[{"PK": item["PK"], "SK": item["SK"]} for item in table.query(pk)])


def set_state(
    table: Table, segment_id: str, version: int, state: str, reason: str | None, evaluated_at: datetime | None
) -> bool:
    """Record the outcome of an evaluation of `version`; False if the segment has moved on or is being deleted."""
    changes: dict[str, Any] = {"state": state, "statusReason": reason}
    if evaluated_at:
        changes |= {"evaluatedAt": iso(evaluated_at), "matchedCount": None}
    condition = Condition(
        "#version = :seen AND #current <> :deleting",
        {":seen": version, ":deleting": DELETING},
        {"#version": "version", "#current": "state"},
    )
    try:
        table.update(keys.segment(segment_id), set=changes, condition=condition)
    except ConditionFailed:
        return False
    return True


def put_analysis(table: Table, segment_id: str, report: Mapping[str, Any], at: datetime) -> None:
    """Keep the report of the last evaluation, compressed: an item holds at most 400 KB."""
    body = gzip.compress(json.dumps(report, separators=(",", ":")).encode(), mtime=0)
    table.put({**keys.analysis(segment_id), "report": body, "evaluatedAt": iso(at)})


def get_analysis(table: Table, segment_id: str) -> tuple[dict[str, Any], str]:
    """The last report and when it was made, in one read. Raises NotFound."""
    item = table.get(keys.analysis(segment_id))
    if item is None:
        raise NotFound(
            f"segment {segment_id!r} has no analysis yet: it does not exist, or its first evaluation has not ended"
        )
    report: dict[str, Any] = json.loads(gzip.decompress(item["report"]))
    return report, item["evaluatedAt"]


def put_size(table: Table, segment_id: str, day: str, size: int) -> None:
    """Remember how large the segment was at the last evaluation of a day."""
    table.put({**keys.size(segment_id, day), "day": day, "size": size})


def sizes(table: Table, segment_id: str) -> dict[str, int]:
    """Remembered sizes by day."""
    return {item["day"]: item["size"] for item in table.query(keys.segment(segment_id)["PK"], "SIZE#")}


def _index(segment: Segment) -> dict[str, str]:
    return keys.segment_index(segment.segmentId, segment.site)


def _item(segment: Segment) -> Item:
    """What a version consists of; state, counts and times of evaluation live on the current item only."""
    kept = segment.model_dump(
        mode="json",
        exclude={"customerCount", "status", "statusReason", "evaluatedAt", "jobId", "criteria"},
        exclude_none=True,
    )
    return {**kept, "criteria": json.dumps(segment.criteria, separators=(",", ":"), ensure_ascii=False)}


def _segment(item: Item, at: datetime) -> Segment:
    fields = {name: item[name] for name in Segment.model_fields if name in item and name != "status"}
    state = item.get("state", "active")
    status = _status(item, state, at)
    count = item.get("matchedCount") if state == "evaluating" else None
    if status in CLOSED:
        count = 0
    return Segment(
        **{
            **fields,
            "criteria": json.loads(item["criteria"]),
            "customerCount": item.get("customerCount", 0) if count is None else count,
            "status": status,
        }
    )


def _status(item: Item, state: str, at: datetime) -> Status:
    validity = item.get("validity") or {}
    now = iso(at)
    if not item.get("active", True):
        return "inactive"
    if validity.get("endsAt") and validity["endsAt"] <= now:
        return "expired"
    if validity.get("startsAt") and validity["startsAt"] > now:
        return "scheduled"
    return "paused" if state == "paused" else "evaluating" if state == "evaluating" else "active"
