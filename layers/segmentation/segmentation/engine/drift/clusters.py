"""Clusters of today against those of training: where their customers lie, and how well they fit.

Everything is measured in the fitted model's own space, with its own centroids. It must not know what columns mean.
"""

from collections.abc import Mapping
from math import nan, sqrt
from typing import Any

import numpy as np

from segmentation.engine.drift.stability import CERTAINTY
from segmentation.engine.frame import Codes, Floats

_BLOCK = 262_144
"""Distances computed at a time."""


def measure(points: Floats, labels: Codes, centres: Floats) -> dict[str, Any]:
    """Sums over customers (n, d) with `labels` (n) about `centres` (k, d): they add up over parts of the customers.

    Per cluster the customers, the sum of their points, and of the squared distances to the own centre; over all the sum
    of the simplified silhouette widths.
    """
    k, columns = centres.shape
    squares, widths = np.zeros(k), 0.0
    step = max(1, _BLOCK // k)
    for begin in range(0, len(points), step):
        chunk, own = points[begin : begin + step], labels[begin : begin + step]
        distances = _squared(chunk, centres)
        rows = np.arange(len(chunk))
        nearest = distances[rows, own].copy()
        squares += np.bincount(own, nearest, minlength=k)
        distances[rows, own] = np.inf
        widths += float(_widths(np.sqrt(nearest), np.sqrt(distances.min(axis=1))).sum()) if k > 1 else 0.0
    sums = [np.bincount(labels, points[:, column], minlength=k) for column in range(columns)]
    return {
        "sizes": np.bincount(labels, minlength=k).tolist(),
        "sums": np.array(sums).T.tolist(),
        "squares": squares.tolist(),
        "widths": widths,
    }


def quality(measured: Mapping[str, Any]) -> dict[str, float | int | None]:
    """Mean squared distance to the own centroid, and mean simplified silhouette: (b - a) / max(a, b), a the distance to
    the own centroid and b that to the nearest other one (Hruschka, de Castro and Campello 2004).
    """
    customers = sum(measured["sizes"])
    if not customers:
        return {"customers": 0, "meanSquaredDistance": None, "silhouette": None}
    several = len(measured["sizes"]) > 1
    return {
        "customers": customers,
        "meanSquaredDistance": sum(measured["squares"]) / customers,
        "silhouette": measured["widths"] / customers if several else None,
    }


def movements(training: Mapping[str, Any], today: Mapping[str, Any]) -> list[tuple[float, float]]:
    """By how much each cluster's mean has moved, and what chance alone moves it by; NaN for a cluster that is empty.

    The unit is the cluster's spread at training, the root of the mean squared distance of its customers to their
    mean. A move of one spread means that the typical customer of today lies where only outlying ones did. Distances
    between centroids would be no such measure: one far cluster makes them large, and all others seem to stand still. A
    cluster of equal customers has the spread of all clusters together.
    """
    spreads = _spreads(training)
    found = []
    for cluster, spread in enumerate(spreads):
        before, after = training["sizes"][cluster], today["sizes"][cluster]
        if not before or not after or not spread:
            found.append((nan, nan))
            continue
        pairs = zip(training["sums"][cluster], today["sums"][cluster], strict=True)
        moved = sqrt(sum((total / before - now / after) ** 2 for total, now in pairs))
        found.append((moved / spread, CERTAINTY * sqrt(1 / before + 1 / after)))
    return found


def _spreads(training: Mapping[str, Any]) -> list[float]:
    """The spread of every cluster about its mean, from the sums about its centre and of its points."""
    sizes, inner = training["sizes"], training["within"]
    total = sum(sizes)
    together = sqrt(sum(inner) / total) if total else 0.0
    own = [sqrt(value / size) if size else 0.0 for value, size in zip(inner, sizes, strict=True)]
    return [spread if spread > 1e-9 * together else together for spread in own]


def within(points: Floats, labels: Codes, measured: Mapping[str, Any]) -> list[float]:
    """The sum of squared distances of each cluster's points to their mean (k,)."""
    sizes = np.maximum(np.array(measured["sizes"]), 1)
    means = np.array(measured["sums"]) / sizes[:, np.newaxis]
    total = np.zeros(len(sizes))
    for begin in range(0, len(points), _BLOCK):
        own = labels[begin : begin + _BLOCK]
        away = points[begin : begin + _BLOCK] - means[own]
        total += np.bincount(own, np.einsum("ij,ij->i", away, away), minlength=len(sizes))
    return [float(value) for value in total]


def _squared(points: Floats, centres: Floats) -> Floats:
    """Squared distances (n, k) by one product, about the centres' mean so that little is lost to rounding."""
    shift = centres.mean(axis=0)
    moved, around = points - shift, centres - shift
    lengths = np.einsum("ij,ij->i", moved, moved)[:, np.newaxis] + np.einsum("ij,ij->i", around, around)
    result: Floats = np.maximum(lengths - 2 * (moved @ around.T), 0.0)
    return result


def _widths(own: Floats, other: Floats) -> Floats:
    longer = np.maximum(own, other)
    result: Floats = np.divide(other - own, longer, out=np.zeros(len(own)), where=longer > 0)
    return result
