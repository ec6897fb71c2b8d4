"""Hierarchical clusters: Ward's, average or complete linkage, exact or on micro-clusters, and how new rows are scored.

A tree gives labels only to its own rows. What is kept is at most 1,000 prototypes, each the mean of a small branch with
the cluster that the branch belongs to: a customer gets the cluster of the nearest. It must not know what columns mean.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, get_args

import numpy as np

from segmentation.engine.clustering import kmeans
from segmentation.engine.clustering.chain_linkage import average_or_complete
from segmentation.engine.clustering.dendrogram import Tree, cut, top
from segmentation.engine.clustering.micro_clusters import SAMPLE, Leaves, cells, means, micro_clusters, sampled
from segmentation.engine.clustering.ward import scale_of, ward
from segmentation.engine.frame import Codes, Floats
from segmentation.errors import FieldError, InsufficientData, InvalidInput

Linkage = Literal["ward", "average", "complete"]

EXACT_LIMIT = 20_000
"""Distinct rows up to which the tree is over all of them."""

LARGEST_K = 100

LARGEST_VALUE = 1e140

PROTOTYPES = 1_000
"""Of an exact tree: its highest branches."""

MICRO_CLUSTERS = 500
"""Leaves of the tree above the limit."""

ATTEMPTS = 3
"""Sets of micro-clusters, of which the one with the smallest sum of squares is taken: where clusters are not clear, a
tree moves by several per cent with any small change.
"""

DRAWN_MERGES = 50

LOSS_ROWS = 8_000

LOSS_SHARE = 16
"""At most every so many-th row is in the sample: the sample must not take longer than the fit."""


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Fitted clusters, largest first, ties by centre.

    `centres` (k, d), `sizes` and `inertia` (sum of squared distances to the own centre) are those of the labels that
    `fit` returned. `prototypes` (p, d) and `clusters` (p): what scores. `agreement`: share of the fitted rows whose
    score is their label.

    `exact`: whether the tree is over all distinct rows. If not, `loss` is the inertia of these labels on a seeded
    sample relative to the exact method on that sample, minus one. The sample is a sixteenth of the rows, at most 8,000;
    in fewer than that the exact method finds chance clusters, so that the loss reads some per cent too high where there
    are no clear ones. `hidden` is the share of the total sum of squares that lies within micro-clusters, where the
    tree cannot see it. Both are 0 for an exact tree.

    The top of the tree, for a drawing: leaves 0 .. m, then `merges` (m, 2) of them by height, where merge t makes node
    m + 1 + t, and `heights` (m), m at most 99; `leaf_sizes` are rows, `leaf_clusters` labels.
    """

    linkage: Linkage
    k: int
    seed: int
    rows: int
    centres: Floats
    sizes: tuple[int, ...]
    inertia: float
    prototypes: Floats
    clusters: Codes
    agreement: float
    exact: bool
    loss: float
    hidden: float
    merges: Codes
    heights: Floats
    leaf_sizes: tuple[int, ...]
    leaf_clusters: Codes


def fit(
    points: Floats, k: int, linkage: Linkage, *, seed: int = 0, exact_limit: int = EXACT_LIMIT
) -> tuple[Hierarchy, Codes]:
    """The k clusters of the tree over rows (n, d), and the label of every row (n) int32.

    Up to `exact_limit` distinct rows the tree is exact, equal rows being one with a weight, and labels are the tree's;
    `assign` gives the same to a share `agreement` of the rows. Above it the tree is over 500 micro-clusters and labels
    are what `assign` gives. Ward's linkage minimises the growth of the sum of squares; the others use Euclidean
    distances, on micro-clusters those of their means.

    Work grows with the square of the limit. Memory beyond copies of the rows: 20 MB for Ward's linkage; the matrix of
    distances for the others, 0.8 GB at 10,000 rows in float64, 1.6 GB at 20,000 in float32, where distances that differ
    by less than 1e-7 of their size may change places.

    Raises InvalidInput for an unknown linkage, k below 1, above the distinct rows or above 100, and values that are
    not finite.
    """
    points = _checked(points, k, linkage)
    leaves = _distinct(points, exact_limit)
    if leaves is not None:
        if len(leaves.rows) < k:
            _refuse("k", f"k={k} exceeds the {len(leaves.rows)} distinct customers")
        return _fitted(points, leaves, k, linkage, seed)
    random = np.random.default_rng(seed)
    leaves = _micro_clusters(points, k, linkage, random)
    model, labels = _fitted(points, leaves, k, linkage, seed)
    everyone = np.zeros(len(points), dtype=np.int32)
    total = _inertia_of(points, everyone, 1)
    hidden = _inertia(points, leaves.numbers, leaves.rows) / total if total > 0 else 0.0
    return replace(model, exact=False, loss=_loss(points, model, random), hidden=hidden), labels


def assign(model: Hierarchy, points: Floats) -> Codes:
    """Cluster of the nearest prototype for every row of (n, d): (n) int32; no row depends on another."""
    return model.clusters[kmeans.assign(model.prototypes, points)]


def _fitted(points: Floats, leaves: Leaves, k: int, linkage: Linkage, seed: int) -> tuple[Hierarchy, Codes]:
    rows, weights = leaves.rows, leaves.weights
    built, scale = _tree(rows, weights, linkage)
    clusters, centres, sizes = _ordered(rows, weights, cut(built, k), k)
    labels = clusters[leaves.numbers]
    if leaves.prototypes is None:
        prototypes, branches = _branches(built, rows, weights)
        of_prototype = _of_groups(branches, clusters)
        scored = of_prototype[kmeans.assign(prototypes, rows)]
        agreement = float(weights[scored == clusters].sum() / len(points))
    else:
        prototypes, of_prototype, agreement = leaves.prototypes, clusters, 1.0
    ends, merges, heights = top(built, min(max(DRAWN_MERGES, k - 1), len(rows) - 1))
    model = Hierarchy(
        linkage=linkage,
        k=k,
        seed=seed,
        rows=len(points),
        centres=centres,
        sizes=sizes,
        inertia=_inertia(points, labels, centres),
        prototypes=prototypes,
        clusters=of_prototype,
        agreement=agreement,
        exact=True,
        loss=0.0,
        hidden=0.0,
        merges=merges,
        heights=heights * scale,
        leaf_sizes=tuple(int(size) for size in np.bincount(ends, weights=weights)),
        leaf_clusters=_of_groups(ends, clusters),
    )
    return model, labels


def _tree(rows: Floats, weights: Floats, linkage: Linkage) -> tuple[Tree, float]:
    """The tree of the rows about their median and scaled to about 1, and by what its heights are to be multiplied.

    So squares do not lose the differences that matter to a large common part, or to a few rows that are far away.
    """
    scale = scale_of(rows)
    moved = rows / scale
    moved -= np.median(moved, axis=0)
    further = scale_of(moved)
    moved /= further
    if linkage == "ward":
        return ward(moved, weights), scale * further
    return average_or_complete(moved, weights, linkage == "complete"), scale * further


def _branches(built: Tree, rows: Floats, weights: Floats) -> tuple[Floats, Codes]:
    """Means of the highest branches of the tree, and the branch of every row; with few rows each is its own."""
    if len(rows) <= PROTOTYPES:
        return rows, np.arange(len(rows), dtype=np.int32)
    branches = cut(built, PROTOTYPES)
    return means(rows, weights, branches, PROTOTYPES)[0], branches


def _ordered(rows: Floats, weights: Floats, labels: Codes, k: int) -> tuple[Codes, Floats, tuple[int, ...]]:
    """Labels by size, largest first, ties by centre; centres and sizes in that order."""
    centres, sizes = means(rows, weights, labels, k)
    order = np.lexsort((*centres.T[::-1], -sizes))
    rank = np.empty(k, dtype=np.int32)
    rank[order] = np.arange(k)
    return rank[labels], centres[order], tuple(int(size) for size in sizes[order])


def _of_groups(groups: Codes, labels: Codes) -> Codes:
    """The label of every group, whose rows all have the same."""
    result = np.empty(int(groups.max()) + 1, dtype=np.int32)
    result[groups] = labels
    return result


def _distinct(points: Floats, limit: int) -> Leaves | None:
    """Distinct rows in lexical order, so that the order of customers decides nothing; None if above the limit."""
    if len(points) > 2 * limit and _distinct(points[: 2 * limit], limit) is None:
        return None
    points = points + 0.0  # minus zero equals zero, and must not be a row of its own
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    new = np.ones(len(points), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    if np.count_nonzero(new) > limit:
        return None
    numbers = np.empty(len(points), dtype=np.int32)
    numbers[order] = np.cumsum(new) - 1
    return Leaves(ordered[new], np.bincount(numbers).astype(np.float64), numbers, None)


def _micro_clusters(points: Floats, k: int, linkage: Linkage, random: np.random.Generator) -> Leaves:
    sample = sampled(points, SAMPLE, random)
    attempts = []
    for _ in range(ATTEMPTS):
        leaves = micro_clusters(sample, MICRO_CLUSTERS, random)
        if len(leaves.rows) >= k:
            labels = cut(_tree(leaves.rows, leaves.weights, linkage)[0], k)[leaves.numbers]
            attempts.append((_inertia_of(sample, labels, k), leaves.rows))
    if not attempts:
        raise InsufficientData(f"a sample of {len(sample)} customers has too few distinct ones for k={k}")
    return cells(points, min(attempts, key=lambda attempt: attempt[0])[1])


def _loss(points: Floats, model: Hierarchy, random: np.random.Generator) -> float:
    """Inertia of the model's clusters on a sample, relative to the exact method with as many there, minus one."""
    sample = sampled(points, min(-(-len(points) // LOSS_SHARE), LOSS_ROWS), random)
    labels = np.unique(assign(model, sample), return_inverse=True)[1].astype(np.int32)
    found = int(labels.max()) + 1
    leaves = _distinct(sample, LOSS_ROWS)
    if leaves is None:
        raise AssertionError("a sample cannot have more distinct rows than rows")
    exact = cut(_tree(leaves.rows, leaves.weights, model.linkage)[0], found)[leaves.numbers]
    ours, best = _inertia_of(sample, labels, found), _inertia_of(sample, exact, found)
    if best > 0:
        return ours / best - 1
    return 0.0 if ours == 0 else math.inf


def _inertia_of(points: Floats, labels: Codes, k: int) -> float:
    return _inertia(points, labels, means(points, np.ones(len(points)), labels, k)[0])


def _inertia(points: Floats, labels: Codes, centres: Floats) -> float:
    """Sum of squared distances to the own centre; memory: the rows once."""
    apart = points - centres[labels]
    return float(np.einsum("ij,ij->", apart, apart))


def _checked(points: Floats, k: int, linkage: Linkage) -> Floats:
    points = np.ascontiguousarray(points, dtype=np.float64)
    if linkage not in get_args(Linkage):
        _refuse("linkage", f"linkage {linkage!r} is none of {', '.join(get_args(Linkage))}")
    if k < 1:
        _refuse("k", f"k={k} is below 1")
    if points.ndim != 2 or points.shape[1] == 0:
        _refuse("features", f"clusters need a table of at least one column, not the shape {points.shape}")
    if k > len(points):
        _refuse("k", f"k={k} exceeds the {len(points)} customers")
    if k > LARGEST_K:
        _refuse("k", f"k={k} is above {LARGEST_K}, the most clusters that a tree is cut into")
    if not np.isfinite(points).all():
        row, column = np.argwhere(~np.isfinite(points))[0]
        value = points[row, column]
        _refuse("features", f"row {row}, column {column} is {value}; fill missing values before clustering")
    largest = float(np.abs(points).max())
    if largest > LARGEST_VALUE:
        _refuse("features", f"{largest:g} is above {LARGEST_VALUE:g}, the largest value whose squares can be added up")
    return points


def _refuse(field: str, message: str) -> NoReturn:
    raise InvalidInput(message, [FieldError(field, message)])
