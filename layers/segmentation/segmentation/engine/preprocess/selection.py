"""Which columns a model should use: without the constant ones, the repetitions and the uninformative, each with the
reason why it was dropped.

It must not know what the columns were made of, nor which model comes after it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segmentation.engine.frame import Floats
from segmentation.engine.preprocess.moments import Moments, measure
from segmentation.errors import FieldError, InsufficientData, InvalidInput

SAMPLE = 1_000
"""Rows on which Laplacian scores are computed: every pair of them is compared."""

_NEIGHBOURS = 5


@dataclass(frozen=True)
class Dropped:
    """A column that is not used, the reason as a sentence, and the figure behind it."""

    name: str
    reason: str
    value: float


@dataclass(frozen=True)
class Selection:
    """Positions of the columns `kept` and their `names`, in their original order; what was `dropped`; and the score of
    every column, NaN where none was computed.
    """

    kept: tuple[int, ...]
    names: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Importance:
    """`baseline` is the score of the untouched points, `drops` by how much it falls, on the mean of the repeats, when a
    column is shuffled, `deviations` the standard deviation of that over the repeats. One entry per column.
    """

    baseline: float
    drops: tuple[float, ...]
    deviations: tuple[float, ...]


def select(
    points: Floats,
    names: Sequence[str],
    *,
    min_variance: float = 0.0,
    max_correlation: float = 0.95,
    score: Literal["laplacian"] | None = None,
    keep: int | None = None,
    seed: int = 0,
) -> Selection:
    """Chooses among the columns of `points (n, d)`.

    Dropped are, in this order: constant columns and those with a variance of at most `min_variance`; columns whose
    correlation with one named before them that stays is above `max_correlation` in absolute value (1 turns this off);
    and, where `keep` is given, all but the `keep` best by `score`. Variances and correlations are those of all rows.
    Columns scaled to a deviation of 1 differ in none: a `min_variance` above 0 is for columns that are not scaled.

    InvalidInput for a parameter out of range; InsufficientData if no column is left.
    """
    _check(points, names, min_variance, max_correlation, score, keep)
    if len(points) == 0:
        raise InsufficientData("there are no customers to choose features on")
    moments = measure(points)
    kept, dropped = _varying(moments, names, min_variance)
    kept, repeated = _distinct(moments, names, kept, max_correlation)
    dropped += repeated
    if not kept:
        reasons = "; ".join(column.reason for column in dropped[:5])
        raise InsufficientData(f"no feature is left: {reasons}")
    scores = [math.nan] * len(names)
    if score is not None:
        for position, value in zip(kept, laplacian_scores(_sample(points, SAMPLE, seed)[:, kept]), strict=True):
            scores[position] = value
    if keep is not None:
        kept, weak = keep_best(names, kept, scores, keep, "Laplacian score", lower_is_better=True)
        dropped += weak
    return Selection(tuple(kept), tuple(names[position] for position in kept), tuple(dropped), tuple(scores))


def keep_best(
    names: Sequence[str], kept: Sequence[int], scores: Sequence[float], keep: int, what: str, *, lower_is_better: bool
) -> tuple[list[int], list[Dropped]]:
    """The `keep` best of the columns at the positions `kept`, in their order, and the others with their reason.

    `scores` has one figure per name, `what` says what it is. NaN is worst; of equal scores the first named stays.
    """
    sign = 1 if lower_is_better else -1
    worst_last = sorted(kept, key=lambda position: (math.isnan(scores[position]), sign * _or_zero(scores[position])))
    best = set(worst_last[:keep])
    order = "lowest" if lower_is_better else "highest"
    dropped = [
        Dropped(
            names[position],
            f"{names[position]!r} has a {what} of {scores[position]:.3g}: not among the {keep} {order}",
            scores[position],
        )
        for position in worst_last[keep:]
    ]
    return [position for position in kept if position in best], dropped


def laplacian_scores(points: Floats, *, seed: int = 0, sample: int = SAMPLE) -> tuple[float, ...]:
    """How little each column of finite `points (n, d)` respects which customers are alike: lower is better.

    The graph joins each of at most `sample` rows, drawn by `seed`, to its 5 nearest neighbours, weighted by a heat
    kernel whose width is their mean squared distance. NaN for a column that is constant in the sample. Memory: some
    matrices of `sample` x `sample`. Source: He, Cai and Niyogi, Laplacian score for feature selection (2005).
    """
    points = _sample(points, sample, seed)
    weights = _neighbour_weights(points)
    degrees = weights.sum(axis=1)
    if not degrees.any():
        return tuple(math.nan for _ in degrees @ points)
    centred = points - degrees @ points / degrees.sum()
    spread = degrees @ np.square(centred)
    rough = spread - np.einsum("ij,ij->j", centred, weights @ centred)
    varying = points.min(axis=0) < points.max(axis=0)
    scores: Floats = np.divide(rough, spread, out=np.full(len(spread), np.nan), where=varying & (spread > 0))
    return tuple(float(score) for score in scores)


def permutation_importance(
    score_of: Callable[[Floats], float], points: Floats, *, seed: int = 0, repeats: int = 5
) -> Importance:
    """How much `score_of(points)` falls when one column of `points (n, d)` is shuffled over the rows.

    The score is that of a fitted model and higher is better; columns are shuffled `repeats` times each. Memory: one
    copy of the points. InvalidInput if there is nothing to repeat. Source: Breiman, Random forests (2001).
    """
    if repeats < 1:
        raise _invalid("repeats", f"repeats={repeats} must be at least 1")
    random = np.random.default_rng(seed)
    baseline = score_of(points)
    shuffled = points.copy()
    drops = np.empty((repeats, points.shape[1]))
    for column in range(points.shape[1]):
        for repeat in range(repeats):
            shuffled[:, column] = random.permutation(points[:, column])
            drops[repeat, column] = baseline - score_of(shuffled)
        shuffled[:, column] = points[:, column]
    return Importance(baseline, tuple(drops.mean(axis=0).tolist()), tuple(drops.std(axis=0).tolist()))


def _check(
    points: Floats,
    names: Sequence[str],
    min_variance: float,
    max_correlation: float,
    score: str | None,
    keep: int | None,
) -> None:
    if points.ndim != 2 or points.shape[1] != len(names):
        raise ValueError(f"points of shape {points.shape} do not fit {len(names)} names")
    if not 0 <= min_variance < math.inf:
        raise _invalid("minVariance", f"minVariance={min_variance:g} must be 0 or more")
    if not 0 < max_correlation <= 1:
        raise _invalid("maxCorrelation", f"maxCorrelation={max_correlation:g} must be above 0 and at most 1")
    if keep is not None and score is None:
        raise _invalid("keep", f"keep={keep} needs a score to choose by")
    if keep is not None and keep < 1:
        raise _invalid("keep", f"keep={keep} must be at least 1")
    for position, name in enumerate(names):
        if not np.isfinite(points[:, position]).all():
            raise _invalid("features", f"{name!r} holds values that are no finite numbers")


def _varying(moments: Moments, names: Sequence[str], min_variance: float) -> tuple[list[int], list[Dropped]]:
    kept, dropped = [], []
    for position, (name, variance) in enumerate(zip(names, moments.variance().tolist(), strict=True)):
        low, high = float(moments.low[position]), float(moments.high[position])
        if low == high:
            dropped.append(Dropped(name, f"{name!r} is the same for all {moments.count} customers", variance))
        elif variance <= min_variance:
            reason = f"{name!r} varies too little: its variance {variance:.3g} is not above {min_variance:g}"
            dropped.append(Dropped(name, reason, variance))
        else:
            kept.append(position)
    return kept, dropped


def _distinct(
    moments: Moments, names: Sequence[str], candidates: Sequence[int], most: float
) -> tuple[list[int], list[Dropped]]:
    """Each cluster of correlated columns is left with its first: every other names the one it repeats."""
    correlation = moments.correlation()
    kept: list[int] = []
    dropped = []
    for position in candidates:
        closest = max(kept, key=lambda other: abs(correlation[position, other]), default=None)
        value = 0.0 if closest is None else float(correlation[position, closest])
        if closest is None or abs(value) <= most:
            kept.append(position)
        else:
            reason = f"{names[position]!r} repeats {names[closest]!r}: their correlation {value:.3g} is beyond {most:g}"
            dropped.append(Dropped(names[position], reason, value))
    return kept, dropped


def _sample(points: Floats, size: int, seed: int) -> Floats:
    """At most `size` rows, in their order."""
    if len(points) <= size:
        return points
    rows = np.random.default_rng(seed).choice(len(points), size, replace=False, shuffle=False)
    return points[np.sort(rows)]


def _neighbour_weights(points: Floats) -> Floats:
    """Symmetric weights `(n, n)` of the nearest-neighbour graph, 0 where rows are not joined."""
    size = len(points)
    norms = np.square(points).sum(axis=1)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * (points @ points.T), 0.0)
    np.fill_diagonal(distances, np.inf)
    neighbours = min(_NEIGHBOURS, size - 1)
    weights = np.zeros((size, size))
    if neighbours < 1:
        return weights
    nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
    rows = np.arange(size)[:, None]
    found = distances[rows, nearest]
    width = float(found.mean())
    # Rows that are all equal are equally near.
    weights[rows, nearest] = np.exp(-found / width) if width > 0 else 1.0
    return np.maximum(weights, weights.T)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, [FieldError(field, message)])
