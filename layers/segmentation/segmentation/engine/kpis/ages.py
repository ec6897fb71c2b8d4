"""How old what is known of customers is: a histogram of instants that merges, and its quantiles.

Instants are counted and not ages, so that an age can be told for any later clock. A bin is an hour for the last
`FINE_DAYS` days and a day before that. It must not know where the instants are kept.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, EventTable, Frame, Instants, take_ranges

FINE_DAYS = 400
"""Days before the evaluation for which whole hours are told apart."""

_DAY = 24


def freshness(frame: Frame, now: np.datetime64, updated: Instants | None) -> Instants:
    """datetime64[us][frame.size]: when the newest fact of each customer happened, NaT where there is none.

    A fact is a change of the profile (`updated`, per row of the frame), an order, a return or any other event up to
    `now`: what lies in the future says nothing of today. ValueError where `updated` has another length.
    """
    if updated is not None and updated.shape != (frame.size,):
        raise ValueError(f"updated has the shape {updated.shape}, expected ({frame.size},)")
    newest = np.full(frame.size, np.datetime64("NaT", "us")) if updated is None else updated.astype("datetime64[us]")
    for table in frame.events.values():
        newest = np.fmax(newest, _last(table, frame.size, now.astype("datetime64[us]")))
    return newest


def _last(table: EventTable, size: int, now: np.datetime64) -> Instants:
    """The last row of each customer up to `now`: rows ascend in time, so nearly always it is the very last one."""
    last = np.full(size, np.datetime64("NaT", "us"))
    having = np.flatnonzero(np.diff(table.offsets))
    last[having] = table.time[table.offsets[having + 1] - 1]
    ahead: Bools = last > now
    rows = np.flatnonzero(ahead)
    if len(rows):
        offsets, positions = take_ranges(table.offsets, rows)
        known = np.where(table.time[positions] <= now, table.time[positions], np.datetime64("NaT", "us"))
        last[rows] = np.fmax.reduceat(known, offsets[:-1])
    return last


def measure(instants: Instants, now: np.datetime64) -> dict[str, Any]:
    """`{fineFrom, hours, counts, unknown}`: customers per hour since 1970 in which their newest fact happened."""
    known = instants[~np.isnat(instants)].astype("datetime64[h]").astype(np.int64)
    fine_from = (int(now.astype("datetime64[D]").astype(np.int64)) - FINE_DAYS) * _DAY
    unknown = len(instants) - len(known)
    return _histogram(known, np.ones(len(known), dtype=np.int64), fine_from, unknown)


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One histogram for both, whatever their order and grouping."""
    hours = np.array([*one["hours"], *other["hours"]], dtype=np.int64)
    counts = np.array([*one["counts"], *other["counts"]], dtype=np.int64)
    fine_from = max(one["fineFrom"], other["fineFrom"])
    return _histogram(hours, counts, fine_from, one["unknown"] + other["unknown"])


def quantile(histogram: Mapping[str, Any], share: float) -> np.datetime64 | None:
    """The instant since which something is new of `share` of the customers: now minus it is their age at most.

    The start of its bin, so an age that is told from it is up to an hour (before `fineFrom` a day) too high. None
    without a customer of whom anything is known.
    """
    counts = np.array(histogram["counts"], dtype=np.int64)[::-1]
    total = int(counts.sum())
    if not total:
        return None
    rank = max(int(np.ceil(share * total)), 1)
    position = int(np.searchsorted(np.cumsum(counts), rank))
    since: np.datetime64 = np.datetime64(histogram["hours"][::-1][position], "h").astype("datetime64[us]")
    return since


def _histogram(hours: NDArray[np.int64], counts: NDArray[np.int64], fine_from: int, unknown: int) -> dict[str, Any]:
    """Equal bins made one, those before `fine_from` by days."""
    bins, codes = np.unique(np.where(hours < fine_from, hours // _DAY * _DAY, hours), return_inverse=True)
    sums = np.zeros(len(bins), dtype=np.int64)
    np.add.at(sums, codes, counts)
    return {"fineFrom": fine_from, "hours": bins.tolist(), "counts": sums.tolist(), "unknown": unknown}
