"""From merged statistics to what people read: the report of one segment and the list of attributes.

It must not know how the statistics were measured. Formulas, units and ranges stand in docs/analysis.md.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from segmentation.engine.analysis import describing
from segmentation.engine.analysis.describing import ratio
from segmentation.engine.analysis.metrics import metrics_of
from segmentation.engine.analysis.partials import MONTHS, Partial, from_json
from segmentation.engine.analysis.tables import Scale
from segmentation.engine.catalogue import Kind, is_computed
from segmentation.errors import NotFound

MAX_BYTES = 290_000
"""Most bytes of a report as JSON: it is one item of a table."""

_TOPS = (50, 20, 10, 5, 2)
_LISTED = 10
_COUNTS = ("kind", "customers", "missing", "missingShare")

_DISTRIBUTIONS = {
    "recency": ("number:recencyDays", "recencyDays", "days"),
    "frequency": ("buyers:orderCount", "orderCount", "orders"),
    "monetary": ("buyers:grossSpent", "grossSpent", "money"),
    "orderValue": ("orders:value", "grossSpent", "money"),
    "tenure": ("number:tenureDays", "tenureDays", "days"),
}


def report(merged: Partial | Mapping[str, Any], segment_id: str, sizes_history: Mapping[str, int]) -> dict[str, Any]:
    """`{segmentSize, demographics, behaviors, metrics}` of one segment, of everybody for `*`.

    `sizes_history` maps ISO days to sizes that were stored on them. At most `MAX_BYTES` of JSON: with very many
    attributes fewer top values are listed, then details of attributes are left out, which `shortened` says there.
    NotFound for a segment that was not measured.
    """
    partial = _unpacked(merged)
    try:
        row = partial.row(segment_id)
    except KeyError:
        raise NotFound(f"segment {segment_id!r} has no statistics: run the evaluation first") from None
    metrics = metrics_of(partial, row, sizes_history)
    result: dict[str, Any] = {}
    for top in _TOPS:
        result = {
            "segmentSize": int(partial.sizes[row]),
            "demographics": _demographics(partial, row, top),
            "behaviors": _behaviors(partial, row, top),
            "metrics": metrics,
        }
        if _bytes(result) <= MAX_BYTES:
            return result
    rest = _bytes({**result, "demographics": {}})
    return {**result, "demographics": _shortened(result["demographics"], MAX_BYTES - rest)}


def attribute_statistics(merged: Partial | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per attribute and feature, over all customers: `{kind, coverage, ...}`.

    Strings, booleans and lists have `distinctValues` and `topValues: [{value, count}]` (or `hidden`, the reason why
    not), numbers and dates have `range: {min, max}` and `median`, all None where nobody has a value.
    """
    partial = _unpacked(merged)
    listed = {}
    for name, column in _columns(partial).items():
        holders = int(partial.holders[column][0])
        kind = Kind(column.split(":", 1)[0])
        entry: dict[str, Any] = {"kind": str(kind), "coverage": ratio(holders, int(partial.sizes[0]))}
        described = _attribute(partial, column, 0, _LISTED)
        if "quantiles" in described:
            entry["range"] = {"min": described["min"], "max": described["max"]}
            entry["median"] = described["quantiles"]["p50"]
        elif "distinctValues" in described:
            entry["distinctValues"] = described["distinctValues"]
            entry["topValues"] = [{"value": item["value"], "count": item["count"]} for item in described["values"]]
            if "hidden" in described:
                entry["hidden"] = described["hidden"]
        listed[name] = entry
    return listed


def _unpacked(merged: Partial | Mapping[str, Any]) -> Partial:
    """Who reports on many segments unpacks once."""
    return merged if isinstance(merged, Partial) else from_json(merged)


def _columns(partial: Partial) -> dict[str, str]:
    """Column of every attribute by name; of two types, that which more customers have."""
    columns: dict[str, str] = {}
    for column in sorted(partial.holders, key=lambda column: (int(partial.holders[column][0]), column)):
        columns[column.split(":", 1)[1]] = column
    return dict(sorted(columns.items()))


def _demographics(partial: Partial, row: int, top: int) -> dict[str, Any]:
    return {
        name: _attribute(partial, column, row, top)
        for name, column in _columns(partial).items()
        if not is_computed(name)
    }


def _attribute(partial: Partial, column: str, row: int, top: int) -> dict[str, Any]:
    kind = Kind(column.split(":", 1)[0])
    holders, everybody = int(partial.holders[column][row]), int(partial.holders[column][0])
    missing = int(partial.sizes[row]) - holders
    described: dict[str, Any] = {
        "kind": str(kind),
        "customers": holders,
        "missing": missing,
        "missingShare": ratio(missing, int(partial.sizes[row])),
    }
    if kind is Kind.GEO:
        return described
    table = partial.tables[column]
    if kind in (Kind.NUMBER, Kind.DATE):
        describe = describing.numbers if kind is Kind.NUMBER else describing.dates
        return {**described, **describe(table, partial.extremes[column], row, float(partial.moments[column].sums[row]))}
    described["distinctValues"] = describing.distinct(table, row)
    reason = describing.hidden(table, everybody)
    if reason:
        return {**described, "hidden": reason, "values": []}
    described |= describing.top_values(table, row, holders, everybody, top)
    if kind is Kind.BOOLEAN:
        for item in described["values"]:
            item["value"] = item["value"] == "true"
    return described


def _behaviors(partial: Partial, row: int, top: int) -> dict[str, Any]:
    behaviors: dict[str, Any] = {name: _behavior(partial, name, row) for name in _DISTRIBUTIONS}
    behaviors["channelMix"] = _mix(partial, "channel", row, top)
    behaviors["categoryMix"] = _mix(partial, "category", row, top)
    behaviors["activityByMonth"] = _activity(partial, row)
    return behaviors


def _behavior(partial: Partial, name: str, row: int) -> dict[str, Any]:
    """Distribution over buyers, of `orderValue` over orders."""
    source, feature, unit = _DISTRIBUTIONS[name]
    table, moments = partial.tables.get(source), partial.moments.get(f"number:{feature}")
    if table is None:
        return {"unit": unit, "count": 0, "median": None, **describing.nothing()}
    total = None if moments is None else float(moments.sums[row])
    spread = describing.numbers(table, partial.extremes[source], row, total)
    return {"unit": unit, "count": int(table.cells[row].sum()), "median": spread["quantiles"]["p50"], **spread}


def _mix(partial: Partial, field: str, row: int, top: int) -> dict[str, Any]:
    """Order lines and revenue per channel or category, over the lines that have one."""
    table = partial.tables.get(f"lines:{field}")
    if table is None:
        return {"lines": 0, "revenue": 0.0, "distinctValues": 0, "values": []}
    if table.scale is Scale.REGISTER:
        return {"distinctValues": describing.distinct(table, row), "hidden": "too many different values", "values": []}
    revenue = partial.tables[f"revenue:{field}"].cells[row]
    lines, all_lines = int(table.cells[row].sum()), int(table.cells[0].sum())
    spent = dict(zip(table.keys.tolist(), revenue.tolist(), strict=True))
    mix = describing.top_values(table, row, lines, all_lines, top)
    rest = mix["other"]
    return {
        "lines": lines,
        "revenue": round(float(revenue.sum()), 6),
        "distinctValues": describing.distinct(table, row),
        "values": [
            {
                "value": item["value"],
                "lines": item["count"],
                "lineShare": item["share"],
                "revenue": round(spent[item["value"]], 6),
                "revenueShare": ratio(spent[item["value"]], float(revenue.sum())),
                "lift": item["lift"],
            }
            for item in mix["values"]
        ],
        "other": {"distinctValues": rest["distinctValues"], "lines": rest["count"], "lineShare": rest["share"]},
    }


def _activity(partial: Partial, row: int) -> list[dict[str, Any]]:
    """Orders and revenue of the last `MONTHS` months (UTC), oldest first, with zeros where nobody bought."""
    counts, revenue = partial.tables.get("orders:month"), partial.tables.get("revenue:month")
    orders = {} if counts is None else dict(zip(counts.keys.tolist(), counts.cells[row].tolist(), strict=True))
    spent = {} if revenue is None else dict(zip(revenue.keys.tolist(), revenue.cells[row].tolist(), strict=True))
    last = int(partial.now.astype("datetime64[M]").astype(np.int64))
    return [
        {
            "month": str(np.datetime64(month, "M")),
            "orders": int(orders.get(month, 0)),
            "revenue": round(float(spent.get(month, 0.0)), 6),
        }
        for month in range(last - MONTHS + 1, last + 1)
    ]


def _bytes(result: Mapping[str, Any]) -> int:
    return len(json.dumps(result))


def _shortened(demographics: Mapping[str, Any], room: int) -> dict[str, Any]:
    """As many attributes with all their details as there is room for in bytes of JSON, the others with their counts."""
    plain = {
        name: {**{key: described[key] for key in _COUNTS}, "shortened": True}
        for name, described in demographics.items()
    }
    kept: dict[str, Any] = {}
    for name, counts in plain.items():
        room -= _bytes({name: counts})
        if room >= 0:
            kept[name] = counts
    for name in kept:
        room -= _bytes(demographics[name]) - _bytes(kept[name])
        if room < 0:
            break
        kept[name] = demographics[name]
    return kept
