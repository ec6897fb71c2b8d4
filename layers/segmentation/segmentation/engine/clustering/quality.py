"""How good a partition is: figures, its stability under new draws of the customers, and a verdict in words.

Every verdict names the threshold behind it. It must not know how the clusters were found; whoever asks for stability
brings the method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from segmentation.engine.clustering.indices import Fit, Labels, adjusted_rand, inertia, spread
from segmentation.engine.clustering.kmeans import assign
from segmentation.engine.clustering.silhouette import Silhouette, silhouette
from segmentation.engine.frame import Floats, Offsets
from segmentation.errors import FieldError, InsufficientData, InvalidInput

Refit = Callable[[Floats], Callable[[Floats], Labels]]
"""Learns from points (n, d) how to label any points (m, d)."""

_DRAWS = 100
"""Attempts to draw customers of whom enough differ."""


@dataclass(frozen=True)
class Quality:
    """Figures of k clusters; tuples are by cluster, NaN for an empty one.

    `inertia` is about the model's centres, `explained` the part of the variance between the clusters' means;
    `homogeneity`, `separation` and `nearest` are those of `Spread`. With one cluster there is no silhouette, and the
    two indices are NaN.
    """

    customers: int
    sizes: tuple[int, ...]
    shares: tuple[float, ...]
    silhouette: Silhouette | None
    inertia: float
    explained: float
    homogeneity: tuple[float, ...]
    separation: tuple[float, ...]
    nearest: tuple[int, ...]
    calinski_harabasz: float
    davies_bouldin: float


@dataclass(frozen=True)
class Stability:
    """Adjusted Rand index between the clusters of `rows` customers and those of each bootstrap draw of them."""

    mean: float
    lowest: float
    values: tuple[float, ...]
    rows: int


Question = Literal["coherent", "distinct", "largeEnough", "stable"]
Answer = Literal["yes", "partly", "no"]


@dataclass(frozen=True)
class Verdict:
    """The `answer` to one question: `figure` was held against `threshold`, the one that separates it from the next."""

    question: Question
    answer: Answer
    figure: float
    threshold: float
    sentence: str


def measure(points: Floats, labels: Labels, centres: Floats, *, seed: int = 0) -> Quality:
    """The quality of `labels` (n,), -1 for none, of `points` (n, d) about `centres` (k, d).

    Up to 20,000 rows the silhouette is exact, beyond that on a sample that `seed` decides. Raises InvalidInput for
    arguments that do not fit each other, InsufficientData if no row has a cluster.
    """
    lying = spread(points, labels, len(centres))
    customers = int(lying.sizes.sum())
    if customers == 0:
        raise InsufficientData("no customer is in a cluster")
    several = np.count_nonzero(lying.sizes) > 1
    return Quality(
        customers=customers,
        sizes=tuple(lying.sizes.tolist()),
        shares=tuple((lying.sizes / customers).tolist()),
        silhouette=silhouette(points, labels, seed=seed) if several else None,
        inertia=inertia(points, labels, centres),
        explained=lying.explained,
        homogeneity=tuple(lying.homogeneity.tolist()),
        separation=tuple(lying.separation.tolist()),
        nearest=tuple(lying.nearest.tolist()),
        calinski_harabasz=lying.calinski_harabasz,
        davies_bouldin=lying.davies_bouldin,
    )


# ---------------------------------------------------------------------------- stability


def stability(
    points: Floats, k: int, fit: Fit, *, bootstraps: int = 20, seed: int = 0, rows: int = 20_000
) -> Stability:
    """Whether other customers from the same crowd would give the same k clusters, for a method with centres.

    `fit` is called with points and k; a row belongs to the nearest of the centres that it returns. See `refitted`.
    """

    def learn(drawn: Floats) -> Callable[[Floats], Labels]:
        centres = fit(drawn, k)
        return lambda asked: assign(centres, asked)

    return refitted(points, k, learn, bootstraps=bootstraps, seed=seed, rows=rows)


def refitted(
    points: Floats, k: int, refit: Refit, *, bootstraps: int = 20, seed: int = 0, rows: int = 20_000
) -> Stability:
    """Stability of any method: `refit` learns from a draw, and what it returns labels the rows.

    Of `points` (n, d) above `rows` a seeded sample stands for all. The method learns from it and from each of
    `bootstraps` draws with replacement of as many; both label the same rows, and the adjusted Rand index says how far
    they agree (Hennig 2007 on the scheme, Hubert and Arabie 1985 on the index). Raises InvalidInput for fewer than one
    draw, InsufficientData for fewer than two clusters, or where draws hardly ever hold k distinct rows.
    """
    if bootstraps < 1:
        message = f"bootstraps={bootstraps}: at least 1 is needed"
        raise InvalidInput(message, [FieldError("bootstraps", message)])
    if k < 2:
        raise InsufficientData(f"stability needs at least 2 clusters, k={k}")
    random = np.random.default_rng(seed)
    if len(points) > rows:
        points = points[np.sort(random.choice(len(points), rows, replace=False))]
    kind = np.unique(points, axis=0, return_inverse=True)[1].ravel()
    labels = refit(points)(points)
    values = []
    for _ in range(bootstraps):
        drawn = points[_draw(kind, k, random)]
        values.append(adjusted_rand(labels, refit(drawn)(points)))
    return Stability(float(np.mean(values)), min(values), tuple(values), len(points))


def _draw(kind: Offsets, k: int, random: np.random.Generator) -> Offsets:
    """Rows of a bootstrap draw, of k kinds at least."""
    for _ in range(_DRAWS):
        drawn = random.integers(0, len(kind), len(kind))
        if np.count_nonzero(np.bincount(kind[drawn])) >= k:
            return drawn
    raise InsufficientData(f"draws from {len(kind)} customers hold fewer than k={k} distinct ones")


# ------------------------------------------------------------------------------ verdict


def verdict(quality: Quality, stability: Stability | None = None, names: Sequence[str] = ()) -> tuple[Verdict, ...]:
    """What the figures mean, one verdict per question; of stability only if it was measured.

    `names` are those of the clusters, by default "cluster 1" and so on. Of a single cluster only its size is judged.
    """
    named = names or [f"cluster {number + 1}" for number in range(len(quality.sizes))]
    found = []
    if quality.silhouette is not None:
        found += [_coherent(quality.silhouette), _distinct(quality, named)]
    found.append(_large_enough(quality, named))
    if stability is not None:
        found.append(_stable(stability))
    return tuple(found)


COHERENT = (0.5, 0.25)
"""Kaufman and Rousseeuw (1990): above 0.5 the structure is reasonable, up to 0.25 there is none to speak of."""
DISTINCT = (2.0, 1.0)
"""At 2, spheres of the clusters' mean radii touch; at 1, a typical customer of one is at the centre of the other."""
LARGE_SHARE = (0.05, 0.01)
"""Below 5% a group seldom pays for a treatment of its own, below 1% it is a handful: a convention, not a law."""
LARGE_COUNT = (30.0, 10.0)
"""30 customers know a mean to a fifth of its standard deviation, 10 to a third."""
STABLE = (0.8, 0.65)
"""Steinley (2004): from 0.8 the recovery is good, from 0.65 moderate, below poor."""


def _judged(figure: float, thresholds: tuple[float, float]) -> tuple[Answer, float]:
    """The answer, and the threshold next to it: the one that was reached, or the lower one that was missed."""
    good, fair = thresholds
    if figure >= good:
        return "yes", good
    return ("partly", good) if figure >= fair else ("no", fair)


def _coherent(width: Silhouette) -> Verdict:
    answer, threshold = _judged(width.mean, COHERENT)
    meaning = {
        "yes": "customers are clearly nearer to their own cluster than to the next",
        "partly": "customers are nearer to their own cluster than to the next, but many lie between two",
        "no": "customers are hardly nearer to their own cluster than to the next; the groups may be artificial",
    }[answer]
    measured = "" if width.exact else f" (standard error {width.standard_error:.3f}, {width.rows:,} customers sampled)"
    held = _held(answer, threshold, ".2f")
    return Verdict(
        "coherent",
        answer,
        width.mean,
        threshold,
        f"{_START[answer]} coherent: {meaning}. The mean silhouette is {width.mean:.3f}{measured}, {held}.",
    )


def _distinct(quality: Quality, names: Sequence[str]) -> Verdict:
    apart = np.array(quality.separation)
    nearest = int(np.nanargmin(apart))
    figure = float(apart[nearest])
    answer, threshold = _judged(figure, DISTINCT)
    pair = f"{_quoted(names[nearest])} and {_quoted(names[quality.nearest[nearest]])}"
    distance = (
        f"{figure:.2f} times their mean radius" if isfinite(figure) else "infinitely many times their mean radius"
    )
    return Verdict(
        "distinct",
        answer,
        figure,
        threshold,
        f"{_START[answer]} distinct: the closest two, {pair}, have centres {distance} apart, "
        f"{_held(answer, threshold, '.0f')}.",
    )


def _large_enough(quality: Quality, names: Sequence[str]) -> Verdict:
    """By share and by number: the worse of the two answers counts, the share where they agree."""
    smallest = int(np.argmin(quality.sizes))
    size, share = quality.sizes[smallest], quality.shares[smallest]
    by_share, by_count = _judged(share, LARGE_SHARE), _judged(size, LARGE_COUNT)
    worse = _ORDER.index(by_count[0]) > _ORDER.index(by_share[0])
    answer, threshold = by_count if worse else by_share
    held = _held(answer, threshold, ".0f") + " customers" if worse else _held(answer, threshold, ".0%")
    return Verdict(
        "largeEnough",
        answer,
        float(size if worse else share),
        threshold,
        f"{_START[answer]} large enough: the smallest, {_quoted(names[smallest])}, has {_customers(size)}, "
        f"{share:.1%} of all, {held}.",
    )


def _stable(measured: Stability) -> Verdict:
    answer, threshold = _judged(measured.mean, STABLE)
    return Verdict(
        "stable",
        answer,
        measured.mean,
        threshold,
        f"{_START[answer]} stable: {len(measured.values)} refits on random draws of the customers agree with it to a "
        f"mean adjusted Rand index of {measured.mean:.3f} (lowest {measured.lowest:.3f}), "
        f"{_held(answer, threshold, '.2f')}.",
    )


_ORDER: tuple[Answer, ...] = ("yes", "partly", "no")
_START = {"yes": "The clusters are", "partly": "The clusters are partly", "no": "The clusters are not"}


def _held(answer: Answer, threshold: float, form: str) -> str:
    return f"{'at or above' if answer == 'yes' else 'below'} the threshold of {threshold:{form}}"


def _customers(count: int) -> str:
    return "1 customer" if count == 1 else f"{count:,} customers"


def _quoted(name: str) -> str:
    return f"'{name}'"
