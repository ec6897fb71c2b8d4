"""How many clusters: k-means for a range of k, judged by one criterion, with the whole curve kept.

It must not know what the columns mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segmentation.engine.clustering import indices, kmeans
from segmentation.engine.clustering.kmeans import KMeans
from segmentation.engine.clustering.widths import mean_widths
from segmentation.engine.frame import Codes, Floats
from segmentation.errors import FieldError, InsufficientData, InvalidInput

Criterion = Literal["silhouette", "calinski_harabasz", "davies_bouldin", "gap"]

CRITERIA: tuple[Criterion, ...] = ("silhouette", "calinski_harabasz", "davies_bouldin", "gap")
_MOST = 50
"""Numbers of clusters that can be compared at once, and the highest of them."""
_ROWS, _GAP_ROWS = 20_000, 5_000
"""Customers that a curve is measured on, and a gap with its references."""
_GAP_RESTARTS = 3


@dataclass(frozen=True, eq=False)
class Curve:
    """The figures for every k of `ks`; NaN where a figure is not defined or, for the gap, was not asked for.

    They are of `rows` customers, of all of them up to 20,000 and otherwise of a sample; inertia is scaled up to all.
    """

    criterion: Criterion
    ks: tuple[int, ...]
    inertia: tuple[float, ...]
    silhouette: tuple[float, ...]
    calinski_harabasz: tuple[float, ...]
    davies_bouldin: tuple[float, ...]
    gap: tuple[float, ...]
    gap_error: tuple[float, ...]
    chosen: int
    rows: int


def choose(
    points: Floats, ks: Sequence[int], criterion: Criterion, *, seed: int = 0, restarts: int = 10
) -> tuple[Curve, KMeans, Codes]:
    """The curve over `ks`, and the model and labels (n) of the chosen k: those of `kmeans.fit` with the same arguments.

    `points` (n, d). Chosen is the k with the highest silhouette or Calinski-Harabasz index, the lowest Davies-Bouldin
    index, or the first whose gap is not below the next one's less its error (Tibshirani, Walther and Hastie 2001),
    the smaller k where two are equal. Raises InvalidInput for an unknown criterion, for `ks` that are empty, repeated
    or out of range, and as `kmeans.fit` does; InsufficientData if the criterion is defined for none of them. Memory:
    as `kmeans.fit`, and 4 bytes for each of 20,000 customers and every cluster of every k.
    """
    ks = _checked(ks, criterion)
    points = np.asarray(points, dtype=np.float64)
    sample, distinct = points, len(points)
    if len(points) > _ROWS:
        drawn = np.random.default_rng(seed).choice(len(points), _ROWS, replace=False)
        sample = points[np.sort(drawn)]
        distinct = len(np.unique(sample, axis=0))
    fits: list[tuple[KMeans, Codes]] = []
    for k in ks:
        # A sample with too few distinct customers cannot be clustered alone.
        found = kmeans.fit(sample if k <= distinct else points, k, seed=seed, restarts=restarts)
        fits.append(found if len(found[1]) == len(sample) else (found[0], kmeans.assign(found[0].centres, sample)))
    curve = _curve(sample, ks, criterion, fits, seed, min(restarts, _GAP_RESTARTS), len(points) / len(sample))
    if sample is points:
        return curve, *fits[ks.index(curve.chosen)]
    return curve, *kmeans.fit(points, curve.chosen, seed=seed, restarts=restarts)


def _checked(ks: Sequence[int], criterion: str) -> tuple[int, ...]:
    if criterion not in CRITERIA:
        message = f"'{criterion}' is none of {', '.join(CRITERIA)}"
        raise InvalidInput(message, [FieldError("criterion", message)])
    ordered = tuple(sorted(set(ks)))
    if not ordered or len(ordered) < len(ks) or ordered[0] < 1 or ordered[-1] > _MOST:
        message = f"{list(ks)[:_MOST]} must be different numbers of clusters from 1 to {_MOST}"
        raise InvalidInput(message, [FieldError("k", message)])
    return ordered


def _curve(
    points: Floats,
    ks: tuple[int, ...],
    criterion: Criterion,
    fits: Sequence[tuple[KMeans, Codes]],
    seed: int,
    restarts: int,
    scale: float,
) -> Curve:
    spreads = [indices.spread(points, labels, len(model.centres)) for model, labels in fits]
    widths = mean_widths(points, [labels for _, labels in fits])
    calinski = tuple(spread.calinski_harabasz for spread in spreads)
    davies = tuple(spread.davies_bouldin for spread in spreads)
    gaps = [(float("nan"), float("nan"))] * len(ks)
    if criterion == "gap":
        gaps = [_gap(points, k, seed, restarts) for k in ks]
    gap, gap_error = (tuple(pair[side] for pair in gaps) for side in (0, 1))
    if criterion == "gap":
        chosen = _first_gap(ks, gap, gap_error)
    else:
        figures = {"silhouette": widths, "calinski_harabasz": calinski, "davies_bouldin": davies}[criterion]
        chosen = _best(ks, np.array(figures) * (-1 if criterion == "davies_bouldin" else 1), criterion)
    inertia = tuple(spread.inertia * scale for spread in spreads)
    return Curve(criterion, ks, inertia, widths, calinski, davies, gap, gap_error, chosen, len(points))


def _gap(points: Floats, k: int, seed: int, restarts: int) -> tuple[float, float]:
    def centres(rows: Floats, clusters: int) -> Floats:
        return kmeans.fit(rows, clusters, seed=seed, restarts=restarts)[0].centres

    return indices.gap(points, k, centres, seed=seed, rows=_GAP_ROWS)


def _best(ks: tuple[int, ...], figures: Floats, criterion: Criterion) -> int:
    if np.isnan(figures).all():
        raise InsufficientData(f"{criterion} is defined for none of k = {', '.join(map(str, ks))} on these customers")
    return ks[int(np.nanargmax(figures))]


def _first_gap(ks: tuple[int, ...], gap: Sequence[float], error: Sequence[float]) -> int:
    for at in range(len(ks) - 1):
        if gap[at] >= gap[at + 1] - error[at + 1]:
            return ks[at]
    return ks[-1]
