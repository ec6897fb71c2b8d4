"""Distributions as a reader sees them: top values with their lift, quantiles, histograms with readable edges.

It must not know which table means what; a table and the row of a segment come in, plain JSON values go out.
"""

import re
from math import floor, log10
from typing import Any

import numpy as np

from segmentation.engine.analysis.crowd import Cells
from segmentation.engine.analysis.partials import Extremes
from segmentation.engine.analysis.tables import (
    MAX_VALUE_LENGTH,
    Scale,
    Table,
    days_of_months,
    distinct_of,
    filled_range,
    order_statistics,
    positions_of,
)

BINS = 20

QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

_MONTH_STEPS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12_000, 120_000, 1_200_000, 12_000_000)
_MONDAY = 4  # 1970-01-05
_WIDEST = 1e300

_PERSONAL = re.compile(r"[^@\s]+@[^@\s]+|\+?(?:[\s()./-]*\d){9,15}")
"""Shape of an e-mail address or a telephone number."""

_FEW = 20


def ratio(part: float, whole: float) -> float | None:
    """Share or lift with six digits, None where there is nothing to relate to."""
    return round(float(part) / float(whole), 6) if whole else None


def tidy(value: float) -> float:
    """A number without the dust of binary fractions."""
    return float(f"{value:.15g}")


def day_name(days: float) -> str:
    """ISO day of days since 1970-01-01."""
    return str(np.datetime64(floor(days), "D"))


def hidden(table: Table, holders: int) -> str | None:
    """Why the values of a categorical column are not shown, None if they are.

    `holders` are all customers with a value. Identifiers and addresses are no categories and name people.
    """
    if table.scale is Scale.REGISTER:
        return f"too many different values, or values of more than {MAX_VALUE_LENGTH} characters"
    distinct = len(table.keys)
    if distinct > _FEW and 2 * distinct > holders:
        return "nearly every customer has another value"
    if any(_PERSONAL.fullmatch(key) for key in table.keys):
        return "values look like e-mail addresses or telephone numbers"
    return None


def distinct(table: Table, row: int) -> int:
    """Number of different values, exact unless the table has registers."""
    if table.scale is Scale.REGISTER:
        return distinct_of(table.cells[row])
    return int((table.cells[row] > 0).sum())


def top_values(table: Table, row: int, holders: int, all_holders: int, top: int) -> dict[str, Any]:
    """The `top` values of one segment by count, and the rest in one line.

    A share is a part of the customers with a value, a lift is the share over that of all customers.
    """
    counts, base = table.cells[row], table.cells[0]
    ranked = np.lexsort((np.arange(len(counts)), -counts))[: int((counts > 0).sum())]
    values = [
        {
            "value": table.keys[key],
            "count": int(counts[key]),
            "share": ratio(counts[key], holders),
            "lift": ratio(counts[key] * all_holders, base[key] * holders),
        }
        for key in ranked[:top].tolist()
    ]
    rest = int(counts[ranked[top:]].sum())
    return {
        "values": values,
        "other": {"distinctValues": max(len(ranked) - top, 0), "count": rest, "share": ratio(rest, holders)},
    }


def nothing() -> dict[str, Any]:
    """The distribution where nobody has a value."""
    return {"mean": None, "min": None, "max": None, "quantiles": dict.fromkeys(QUANTILES), "histogram": []}


def numbers(table: Table, extremes: Extremes, row: int, total: float | None) -> dict[str, Any]:
    """Mean, range, quantiles and histogram of numbers whose sum is `total`."""
    counts = table.cells[row]
    if not counts.any():
        return nothing()
    low, high = float(extremes.lowest[row]), float(extremes.highest[row])
    positions = np.clip(positions_of(table), extremes.lowest[0], extremes.highest[0])
    middle = np.clip(order_statistics(positions, counts, QUANTILES.values()), low, high)
    inner = np.clip(order_statistics(positions, counts, (0.01, 0.99)), low, high)
    whole = table.scale is Scale.NUMBER and bool((table.keys == np.floor(table.keys))[counts > 0].all())
    edges = _number_edges((float(inner[0]), float(inner[1])), (low, high), whole)
    return {
        "mean": None if total is None else tidy(total / int(counts.sum())),
        "min": tidy(low),
        "max": tidy(high),
        "quantiles": {name: tidy(value) for name, value in zip(QUANTILES, middle.tolist(), strict=True)},
        "histogram": [
            {"from": tidy(start), "to": tidy(end), **content}
            for start, end, content in _bins(edges, positions, counts, table.cells[0])
        ],
    }


def dates(table: Table, extremes: Extremes, row: int, total: float) -> dict[str, Any]:
    """The same of dates, as ISO days; the end of a bin is the day after its last."""
    counts = table.cells[row]
    if not counts.any():
        return nothing()
    low, high = float(extremes.lowest[row]), float(extremes.highest[row])
    positions = positions_of(table)
    middle = np.clip(order_statistics(positions, counts, QUANTILES.values()), low, high)
    inner = np.clip(order_statistics(positions, counts, (0.01, 0.99)), low, high)
    edges = _date_edges((float(inner[0]), float(inner[1])), (low, high))
    return {
        "mean": day_name(total / int(counts.sum())),
        "min": day_name(low),
        "max": day_name(high),
        "quantiles": {name: day_name(value) for name, value in zip(QUANTILES, middle.tolist(), strict=True)},
        "histogram": [
            {"from": day_name(start), "to": day_name(end), **content}
            for start, end, content in _bins(edges, positions, counts, table.cells[0])
        ],
    }


def _bins(
    edges: list[float], positions: Cells, counts: Cells, base: Cells
) -> list[tuple[float, float, dict[str, Any]]]:
    """Half-open bins, the last one closed; lift against all customers between the segment's extremes."""
    seen = filled_range(counts)
    places = np.clip(np.searchsorted(edges, positions[seen], side="right") - 1, 0, len(edges) - 2)
    own = np.bincount(places, counts[seen], len(edges) - 1)
    all_of_them = np.bincount(places, base[seen], len(edges) - 1)
    total, base_total = own.sum(), base.sum()
    return [
        (
            edges[place],
            edges[place + 1],
            {
                "count": int(own[place]),
                "share": ratio(own[place], total),
                "lift": ratio(own[place] * base_total, all_of_them[place] * total),
            },
        )
        for place in range(len(edges) - 1)
    ]


def _number_edges(inner: tuple[float, float], outer: tuple[float, float], whole: bool) -> list[float]:
    """Edges at multiples of 1, 2 or 5 times a power of ten over the inner 98%; the outer bins reach the extremes."""
    low, high = inner if inner[0] < inner[1] else outer
    span = high - low
    # A span that a float can hardly tell from nothing, or that overflows, has no readable steps.
    if not max(abs(low), abs(high)) * 1e-9 < span < _WIDEST:
        return [*outer]
    power = floor(log10(span / BINS))
    if whole:
        power = max(power, 0)
    factor = next(factor for factor in (1, 2, 5, 10) if span <= BINS * factor * 10.0**power)
    step = factor * 10.0**power
    steps = range(floor(low / step), floor(high / step) + 2)
    return _reaching([round(number * step, max(-power, 0)) for number in steps], *outer)


def _date_edges(inner: tuple[float, float], outer: tuple[float, float]) -> list[float]:
    """Edges at days, Mondays, or the first days of months, quarters, years ... over the inner 98%."""
    low, high = (floor(day) for day in (inner if inner[0] < inner[1] else outer))
    if high - low < BINS:
        edges = [float(day) for day in range(low, high + 2)]
    elif high - low < 7 * BINS:
        edges = [float(day) for day in range(low - (low - _MONDAY) % 7, high + 8, 7)]
    else:
        months = np.array([low, high]).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        first, last = months.tolist()
        step = next(step for step in _MONTH_STEPS if last - first < step * BINS)
        edges = days_of_months(np.arange(first - first % step, last + step + 1, step)).tolist()
    return _reaching(edges, outer[0], outer[1] + 1)


def _reaching(edges: list[float], low: float, high: float) -> list[float]:
    """The same bins, the outermost ones widened to hold everybody."""
    return [min(edges[0], low), *edges[1:-1], max(edges[-1], high)]
