"""How all customers lie about clusters that were found in a sample of them, as counts and exact sums of their parts.

It must not know how the clusters were found, nor what the columns mean.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.clustering.hierarchy import Hierarchy
from segmentation.engine.clustering.indices import Spread
from segmentation.engine.clustering.kmeans import KMeans
from segmentation.engine.clustering.quality import Quality
from segmentation.engine.frame import Codes, Floats
from segmentation.engine.modelling.pooled import Described
from segmentation.engine.sketches.exact import exact_sum


def lying(points: Floats, labels: Codes, clusters: KMeans | Hierarchy, customers: int) -> Described:
    """Of the `points` (n, d) with `labels` (n): how many each cluster has, its coordinates, and distances and squared
    distances to its centre; distances and squared distances of all to the middle of the centres. All are sums.
    """
    centres = clusters.centres
    own, far = _squares(points, centres[labels]), _squares(points, _middle(clusters)[np.newaxis])
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels, minlength=len(centres))
    sums = {
        "squares": tuple(exact_sum(part) for part in _by_cluster(own[order], sizes)),
        "distances": tuple(exact_sum(part) for part in _by_cluster(np.sqrt(own)[order], sizes)),
        "all": (exact_sum(far), exact_sum(np.sqrt(far))),
    }
    for column, values in enumerate(points.T):
        sums[f"column {column}"] = tuple(exact_sum(part) for part in _by_cluster(values[order], sizes))
    return Described({"customers": np.array([customers, len(points)]), "groups": sizes}, sums)


def remeasured(quality: Quality, described: Described, clusters: KMeans | Hierarchy) -> Quality:
    """The quality of all customers that were described; the silhouette remains that of the sample.

    Inertia, shares and what is explained are exact. Distances are from the model's centres, which a sample's chance
    moved a little from the means of all.
    """
    sizes, sums, (rows, columns) = described.counts["groups"], described.sums, clusters.centres.shape
    customers, middle = int(sizes.sum()), _middle(clusters)
    totals = [[sums[f"column {column}"][row] for column in range(columns)] for row in range(rows)]
    # About the means sums of squares are smaller than about any other place, by the square of the way there.
    squares = [
        float(square - _way(total, centre, int(size)))
        for square, total, centre, size in zip(sums["squares"], totals, clusters.centres, sizes, strict=True)
    ]
    overall = [sum(column, Fraction(0)) for column in zip(*totals, strict=True)]
    all_squares = float(sums["all"][0] - _way(overall, middle, customers))
    means = np.array(
        [
            [float(value / int(size)) if size else np.nan for value in total]
            for total, size in zip(totals, sizes, strict=True)
        ]
    )
    distances = np.array([float(value) for value in sums["distances"]])
    spread = Spread(sizes, means, np.array(squares), distances, all_squares, float(sums["all"][1]))
    return replace(
        quality,
        customers=customers,
        sizes=tuple(sizes.tolist()),
        shares=tuple((sizes / customers).tolist()),
        inertia=float(sum(sums["squares"], Fraction(0))),
        explained=spread.explained,
        homogeneity=tuple(spread.homogeneity.tolist()),
        separation=tuple(spread.separation.tolist()),
        nearest=tuple(spread.nearest.tolist()),
        calinski_harabasz=spread.calinski_harabasz,
        davies_bouldin=spread.davies_bouldin,
    )


def _middle(clusters: KMeans | Hierarchy) -> Floats:
    """The mean of the customers that the clusters were found in."""
    middle: Floats = np.average(clusters.centres, axis=0, weights=clusters.sizes)
    return middle


def _way(total: list[Fraction], place: Floats, size: int) -> Fraction:
    """The square of the way from `place` to the mean of `size` customers, once for each of them."""
    if not size:
        return Fraction(0)
    ways = (value / size - Fraction(float(at)) for value, at in zip(total, place, strict=True))
    return size * sum((way * way for way in ways), Fraction(0))


def _squares(points: Floats, places: Floats) -> Floats:
    """Squared distances (n), column by column: a row's does not depend on where it stands."""
    squares = np.zeros(len(points))
    for values, others in zip(points.T, places.T, strict=True):
        squares += np.square(values - others)
    return squares


def _by_cluster(values: Floats, sizes: NDArray[np.integer]) -> Iterator[Floats]:
    """The values of each cluster, of rows in order of their clusters."""
    yield from np.split(values, np.cumsum(sizes)[:-1])
