"""Who was sent a campaign and what they did with it: counts of customers and campaigns that merge.

A unit is one customer and one campaign: sent, opened, clicked and converted count once each, however often they
happened. It must not know what rates are made of the counts.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import BooleanColumn, Column, DateColumn, Frame, NumberColumn, StringColumn
from segmentation.engine.kpis.rates import COUNTS

EVENT = "campaign"
ACTIONS = COUNTS[:-1]
"""What an event may say; the last of the counts, engaged, is opened or clicked."""

WINDOW_DAYS = 90
"""Days before the evaluation whose events count."""

KEPT = 1000
"""Campaigns, and segments, with counts of their own: those of the lowest hashes, which are the same however customers
are spread over partitions. The counts of all together know no such limit."""

MAX_ID = 200
"""Longest id in characters that is counted by itself."""

_IDLE = [0] * len(COUNTS)

Codes = NDArray[np.int64]


def nothing(now: np.datetime64) -> dict[str, Any]:
    """The counts of customers without campaigns."""
    return {
        "days": WINDOW_DAYS,
        "to": str(now.astype("datetime64[us]")),
        "segmented": list(_IDLE),
        "nonSegmented": list(_IDLE),
        "segments": {},
        "campaigns": {},
        "more": {"segments": False, "campaigns": False},
        "ignored": {"withoutCampaign": 0, "otherAction": 0, "withoutSent": 0},
    }


def measure(frame: Frame, now: np.datetime64) -> dict[str, Any]:
    """Counts of the events named `campaign` of the last `WINDOW_DAYS` days, as `nothing` lays them out.

    `segments` maps segment ids to counts, `campaigns` campaign ids to the counts of the segmented and of the other
    units. The first sending of a unit says for which segment it was, or for none. `ignored` counts events that name
    no campaign or another action, and units with a response that were never sent.
    """
    counted = nothing(now)
    table = frame.events.get(EVENT)
    if table is None:
        return counted
    until = now.astype("datetime64[us]")
    rows = np.flatnonzero((table.time > until - np.timedelta64(WINDOW_DAYS, "D")) & (table.time <= until))
    owners = np.repeat(np.arange(frame.size), np.diff(table.offsets))[rows]
    actions = _actions(table.columns.get("action"), rows)
    campaigns, names = _texts(table.columns.get("campaignId"), rows)
    segments, segment_names = _texts(table.columns.get("segmentId"), rows)
    nameless = campaigns < 0
    counted["ignored"]["withoutCampaign"] = int(nameless.sum())
    counted["ignored"]["otherAction"] = int(((actions < 0) & ~nameless).sum())
    usable = (actions >= 0) & ~nameless
    units = owners * max(len(names), 1) + campaigns
    sent = usable & (actions == 0)
    # Rows of a customer ascend in time: the first place of a unit is its first sending.
    reached, first = np.unique(units[sent], return_index=True)
    responses = [np.unique(units[usable & (actions == action)]) for action in range(1, len(ACTIONS))]
    answered = np.unique(np.concatenate(responses))
    counted["ignored"]["withoutSent"] = int((~np.isin(answered, reached)).sum())
    did = np.ones((len(reached), len(COUNTS)), dtype=np.int64)
    for action, response in enumerate(responses, start=1):
        did[:, action] = np.isin(reached, response)
    did[:, -1] = did[:, 1] | did[:, 2]
    purpose = segments[sent][first]
    segmented = purpose >= 0
    counted["segmented"] = did[segmented].sum(axis=0).tolist()
    counted["nonSegmented"] = did[~segmented].sum(axis=0).tolist()
    by_segment = _summed(purpose[segmented], did[segmented], len(segment_names))
    sides = _summed((reached % max(len(names), 1)) * 2 + ~segmented, did, 2 * len(names))
    _keep(counted, "segments", _listed(segment_names, by_segment))
    _keep(counted, "campaigns", _listed(names, sides.reshape(len(names), 2, len(COUNTS))))
    return counted


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of both together, whatever their order and grouping."""
    merged: dict[str, Any] = {"days": one["days"], "to": max(one["to"], other["to"])}
    for side in ("segmented", "nonSegmented"):
        merged[side] = _plus(one[side], other[side])
    merged["more"] = {name: one["more"][name] or other["more"][name] for name in one["more"]}
    merged["ignored"] = {name: count + other["ignored"][name] for name, count in one["ignored"].items()}
    for name in ("segments", "campaigns"):
        both = dict(one[name])
        for key, counts in other[name].items():
            both[key] = _plus(both[key], counts) if key in both else counts
        _keep(merged, name, both)
    return merged


def _actions(column: Column | None, rows: NDArray[np.intp]) -> Codes:
    """Position in `ACTIONS` per row, -1 for any other; case and blanks around do not matter."""
    codes, names = _texts(column, rows)
    known = [name.strip().casefold() for name in names]
    lookup = np.array([*(ACTIONS.index(name) if name in ACTIONS else -1 for name in known), -1])
    return lookup[codes]


def _texts(column: Column | None, rows: NDArray[np.intp]) -> tuple[Codes, tuple[str, ...]]:
    """Code and text of each row, -1 where there is none; an import may have typed ids as numbers or days.

    Too long a text has no code either, because it cannot be an id.
    """
    none = np.full(len(rows), -1, dtype=np.int64)
    if isinstance(column, StringColumn):
        lookup = [code if 0 < len(name.strip()) <= MAX_ID else -1 for code, name in enumerate(column.values)]
        return np.array([*lookup, -1], dtype=np.int64)[column.codes[rows]], column.values
    if isinstance(column, BooleanColumn):
        return column.values[rows].astype(np.int64), ("false", "true")
    if not isinstance(column, NumberColumn | DateColumn):
        return none, ()
    taken = column.take(rows)
    present = ~taken.missing()
    distinct, codes = np.unique(taken.values[present], return_inverse=True)
    none[present] = codes
    return none, tuple(_written(value) for value in distinct)


def _written(value: np.float64 | np.datetime64) -> str:
    """A number as it was written, 17 and not 17.0; an instant by its day where it is a whole one."""
    if isinstance(value, np.datetime64):
        day = value.astype("datetime64[D]")
        return str(day if day == value else value)
    return str(int(value)) if value == np.floor(value) and abs(value) < 2**53 else repr(float(value))


def _summed(codes: Codes, did: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """int64[size, len(COUNTS)]: sums of the rows of `did` per code."""
    columns = [np.bincount(codes, did[:, column], size) for column in range(len(COUNTS))]
    return np.rint(np.stack(columns, axis=1)).astype(np.int64)


def _listed(names: tuple[str, ...], cells: NDArray[np.int64]) -> dict[str, Any]:
    """Counts by name, of those that were sent at all."""
    sums = cells.reshape(len(names), -1).sum(axis=1) if len(names) else np.zeros(0)
    return {names[code]: cells[code].tolist() for code in np.flatnonzero(sums).tolist()}


def _keep(counted: dict[str, Any], name: str, entries: Mapping[str, Any]) -> None:
    """Keep the `KEPT` entries of the lowest hashes: every one of all partitions' lowest is among its partition's."""
    order = sorted(entries, key=lambda key: (zlib.crc32(key.encode("utf-8", "surrogatepass")), key))
    counted[name] = {key: entries[key] for key in sorted(order[:KEPT])}
    counted["more"][name] = counted["more"][name] or len(order) > KEPT


def _plus(one: list[Any], other: list[Any]) -> list[Any]:
    if one and isinstance(one[0], list):
        return [_plus(left, right) for left, right in zip(one, other, strict=True)]
    return [left + right for left, right in zip(one, other, strict=True)]
