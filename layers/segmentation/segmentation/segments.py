"""Segments as they are: read, list, delete, and the analysis of the last evaluation.

What compiles a rule stands in `authoring`.
"""

import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from segmentation import runs
from segmentation.engine.analysis.selection import select_metrics
from segmentation.errors import Conflict, FieldError, InvalidInput
from segmentation.models.segments import Analysis, Deleted, Segment, SegmentList
from segmentation.store import jobs, models
from segmentation.store import segments as stored
from segmentation.store.store import Store


def get(store: Store, segment_id: str, at: datetime, version: int | None = None) -> Segment:
    """The segment now, or as an earlier version defined it. Raises NotFound."""
    return stored.get(store.table, segment_id, at, version)


def list_segments(store: Store, site: str | None, limit: int, token: str | None, at: datetime) -> SegmentList:
    """Segments in order of site and id."""
    items, more = stored.page(store.table, site, limit, token, at)
    return SegmentList(items=items, nextToken=more)


def delete(store: Store, segment_id: str, if_match: str | None, force: bool, at: datetime) -> Deleted:
    """Delete a segment.

    One that others' rules use needs `force`, which pauses those. Raises NotFound, Conflict, StaleVersion.
    """
    segment = stored.get(store.table, segment_id, at)
    if segment.model and models.exists(store.table, segment.model.modelId):
        raise Conflict(
            f"segment {segment_id!r} is a group of the model {segment.model.modelId!r}; delete the model, or make the "
            "segment inactive"
        )
    users = [other for other in stored.all_segments(store.table, at) if segment_id in references(other.criteria)]
    if users and not force:
        named = ", ".join(sorted(user.segmentId for user in users))
        raise Conflict(f"segment {segment_id!r} is used by {named}; delete with force=true to pause them")
    expected = version_of(if_match)
    stored.mark_deleting(store.table, segment.segmentId, expected)
    for user in users:
        reason = f"it uses the segment {segment_id!r}, which was deleted"
        stored.set_state(store.table, user.segmentId, user.version, "paused", reason, None)
    job = runs.begin(store, at, segment_ids=[segment_id], job_id=jobs.new_id("run"))
    return Deleted(segmentId=segment_id, jobId=job.jobId)


def analyze(store: Store, segment_id: str, metrics: list[str] | None) -> Analysis:
    """What the last evaluation measured, in one read. Raises NotFound, or InvalidInput for an unknown metric."""
    report, evaluated_at = stored.get_analysis(store.table, segment_id)
    return Analysis(segmentId=segment_id, evaluatedAt=evaluated_at, **select_metrics(report, metrics))


def references(criteria: Any) -> set[str]:
    """Ids of the segments that a stored rule uses."""
    return set(_named("segment", [criteria]))


def attributes_in(criteria: Any) -> set[str]:
    """Attributes that a stored rule reads."""
    return set(_named("attribute", [criteria]))


def _named(key: str, nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, dict):
            if isinstance(node.get(key), str):
                yield node[key]
            yield from _named(key, node.values())
        elif isinstance(node, list):
            yield from _named(key, node)


def new_id() -> str:
    """A fresh segment id."""
    return f"seg-{secrets.token_hex(8)}"


def version_of(if_match: str | None) -> int | None:
    """The version in an If-Match header: `"3"` or `3`; None for none or `*`. Raises InvalidInput."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        message = f'{if_match!r} is not a version; send the segment\'s version, such as "3"'
        raise InvalidInput(message, [FieldError("If-Match", message)])
    return int(text)
