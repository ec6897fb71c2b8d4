"""The numbers that sum a segment up. It must not know how a report is laid out.

Formulas, units and ranges stand in docs/analysis.md.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from segmentation.engine.analysis.crowd import Cells
from segmentation.engine.analysis.describing import ratio
from segmentation.engine.analysis.partials import Partial, holders_of
from segmentation.engine.analysis.tables import Table, order_statistics, positions_of
from segmentation.engine.catalogue import is_computed

GROWTH_DAYS = 30

MOST_OVERLAPS = 100
"""Overlaps in a report, the largest first."""


def metrics_of(partial: Partial, row: int, sizes_history: Mapping[str, int]) -> dict[str, Any]:
    """Every metric of `selection.METRICS` for the segment in `row` (0 is everybody).

    `sizes_history` maps ISO days to the sizes that were stored on them. None where a metric has nothing to relate to.
    """
    size, total = int(partial.sizes[row]), int(partial.sizes[0])
    orders, revenue = _sum(partial, "orderCount", row), _sum(partial, "grossSpent", row)
    order_counts = partial.tables.get("number:orderCount")
    buyers, repeaters = _with_at_least(order_counts, row, 1), _with_at_least(order_counts, row, 2)
    return {
        "size": size,
        "share": ratio(size, total),
        "buyers": buyers,
        "orders": round(orders),
        "revenue": round(revenue, 6),
        "netRevenue": round(_sum(partial, "totalSpent", row), 6),
        "revenueShare": ratio(revenue, _sum(partial, "grossSpent", 0)),
        "returnShare": ratio(_sum(partial, "returnedAmount", row), revenue),
        "averageOrderValue": ratio(revenue, orders),
        "orderFrequency": ratio(orders, size),
        "repeatRate": ratio(repeaters, buyers),
        "recencyDays": _median(partial, "recencyDays", row),
        "growth30d": _growth(size, sizes_history, partial.now),
        "homogeneity": _homogeneity(partial, row),
        "distinctness": _distinctness(partial, row),
        "overlap": _overlap(partial, row),
    }


def _sum(partial: Partial, feature: str, row: int) -> float:
    moments = partial.moments.get(f"number:{feature}")
    return float(moments.sums[row]) if moments else 0.0


def _with_at_least(table: Table | None, row: int, least: int) -> int:
    return 0 if table is None else int(table.cells[row][positions_of(table) >= least].sum())


def _median(partial: Partial, feature: str, row: int) -> float | None:
    table = partial.tables.get(f"number:{feature}")
    if table is None or not table.cells[row].any():
        return None
    return round(order_statistics(positions_of(table), table.cells[row], (0.5,))[0], 6)


def _growth(size: int, sizes_history: Mapping[str, int], now: np.datetime64) -> float | None:
    """Change against the latest size that is at least 30 days old."""
    last_day = str(date.fromisoformat(str(now.astype("datetime64[D]"))) - timedelta(days=GROWTH_DAYS))
    days = [day for day in sizes_history if day <= last_day]
    before = sizes_history[max(days)] if days else 0
    return ratio(size - before, before)


def _variables(partial: Partial) -> list[str]:
    """Numeric attributes and the logarithms of recency, frequency and monetary value."""
    return [name for name in partial.moments if not name.startswith("date:") and not _is_computed(name)]


def _is_computed(variable: str) -> bool:
    kind, _, name = variable.partition(":")
    return kind == "number" and is_computed(name)


def _spread(partial: Partial, variable: str) -> tuple[Cells, Cells, float]:
    """Holders and means per row, and everybody's variance; the variance is 0 where rounding is all that varies."""
    count, moments = partial.holders[holders_of(variable)], partial.moments[variable]
    means = moments.sums / np.maximum(count, 1)
    variance = float(moments.squares[0]) / max(int(count[0]), 1)
    return count, means, variance if variance > (1e-9 * abs(float(means[0]))) ** 2 else 0.0


def _homogeneity(partial: Partial, row: int) -> float | None:
    """1 - mean over variables of (variance within the segment / variance of everybody), not below 0."""
    ratios = []
    for variable in _variables(partial):
        count, _, variance = _spread(partial, variable)
        if count[row] and variance:
            ratios.append(float(partial.moments[variable].squares[row]) / int(count[row]) / variance)
    return round(min(max(1 - sum(ratios) / len(ratios), 0.0), 1.0), 6) if ratios else None


def _distinctness(partial: Partial, row: int) -> float | None:
    """Mean over variables of |mean in the segment - mean of the rest| / standard deviation of everybody."""
    distances = []
    for variable in _variables(partial):
        count, means, variance = _spread(partial, variable)
        rest = int(count[0] - count[row])
        if rest and count[row] and variance:
            sums = partial.moments[variable].sums
            distances.append(abs(float(means[row]) - float(sums[0] - sums[row]) / rest) / variance**0.5)
    return round(sum(distances) / len(distances), 6) if distances else None


def _overlap(partial: Partial, row: int) -> dict[str, dict[str, Any]]:
    """Customers that are in another segment too, per other segment, most first."""
    size = int(partial.sizes[row])
    found = []
    for other, segment_id in enumerate(partial.segments, start=1):
        if other != row:
            both = int(partial.overlap[row - 1, other - 1]) if row else int(partial.sizes[other])
            union = size + int(partial.sizes[other]) - both
            found.append((segment_id, {"count": both, "share": ratio(both, size), "jaccard": ratio(both, union)}))
    found.sort(key=lambda pair: -int(pair[1]["count"] or 0))
    return dict(found[:MOST_OVERLAPS])
