"""Indicators of the segmentation as a whole: what a worker measures of its partition, how partitions are merged, and
what a run keeps of them.

Reading them stands in `kpi_reads`, which needs no arrays.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from segmentation.engine.analysis.partials import Partial
from segmentation.engine.frame import Bools, Frame, Instants
from segmentation.engine.kpis import ages, campaigns, overlap
from segmentation.models.common import iso
from segmentation.store import kpis
from segmentation.store.store import Store

LISTED = 100
"""Campaigns and segments with counts of their own in what is kept, those with most sendings first."""


def measure(
    frame: Frame, masks: Mapping[str, Bools], now: np.datetime64, updated: Instants | None = None
) -> dict[str, Any]:
    """The indicators of one partition, ready for JSON and `merge`.

    `masks` holds one bool[frame.size] per active segment, `updated` the instant of the last change of each profile.
    """
    covered = np.zeros(frame.size, dtype=np.bool_)
    for mask in masks.values():
        covered |= mask
    return {
        "segments": sorted(masks),
        "customers": frame.size,
        "covered": int(covered.sum()),
        "ages": ages.measure(ages.freshness(frame, now, updated), now),
        "campaigns": campaigns.measure(frame, now),
    }


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The indicators of both together, the same in any order and grouping.

    A segment that one of them found paused or closed is not among the active ones.
    """
    return {
        "segments": sorted({*one["segments"]} & {*other["segments"]}),
        "customers": one["customers"] + other["customers"],
        "covered": one["covered"] + other["covered"],
        "ages": ages.merge(one["ages"], other["ages"]),
        "campaigns": campaigns.merge(one["campaigns"], other["campaigns"]),
    }


def finish(store: Store, merged: Mapping[str, Any], at: datetime, job_id: str, counted: Partial) -> None:
    """Keep the indicators of all partitions as those of the day.

    `counted` are the merged statistics of segments from the same evaluation: sizes and overlaps are counted there.
    """
    active = [name for name in merged["segments"] if name in counted.segments]
    rows = np.array([counted.segments.index(name) for name in active], dtype=np.intp)
    pairs = overlap.pairs(active, counted.sizes[rows + 1], counted.overlap[np.ix_(rows, rows)])
    histogram = merged["ages"]
    figures = {
        "customers": merged["customers"],
        "covered": merged["covered"],
        "activeSegments": len(active),
        "profiles": {
            "unknown": histogram["unknown"],
            "p50At": _instant(ages.quantile(histogram, 0.5)),
            "p95At": _instant(ages.quantile(histogram, 0.95)),
        },
        "campaigns": _shortened(merged["campaigns"]),
        "overlap": pairs,
        "sizes": dict(zip(counted.segments, counted.sizes[1:].tolist(), strict=True)),
    }
    kpis.put_day(store.table, at, job_id, figures)


def _instant(moment: np.datetime64 | None) -> str | None:
    return None if moment is None else iso(moment.astype("datetime64[us]").item().replace(tzinfo=UTC))


def _shortened(counted: Mapping[str, Any]) -> dict[str, Any]:
    """The counts with those segments and campaigns only that were sent most; says where there are more."""
    short: dict[str, Any] = {**counted, "more": dict(counted["more"])}
    for name in ("segments", "campaigns"):
        order = sorted(counted[name], key=lambda key: (-_sent(counted[name][key]), key))
        short[name] = {key: counted[name][key] for key in order[:LISTED]}
        short["more"][name] = counted["more"][name] or len(order) > LISTED
    return short


def _sent(counts: list[Any]) -> int:
    """Sendings of a segment's counts, or of a campaign's two."""
    return sum(map(_sent, counts)) if isinstance(counts[0], list) else int(counts[0])
