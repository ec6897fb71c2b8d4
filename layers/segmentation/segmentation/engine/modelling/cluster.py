"""A cluster model: features become points, points become clusters, clusters get names that say what sets them apart."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.clustering import choosing, hierarchy, kmeans
from segmentation.engine.clustering.choosing import Criterion, Curve
from segmentation.engine.clustering.hierarchy import Hierarchy
from segmentation.engine.clustering.kmeans import KMeans
from segmentation.engine.clustering.micro_clusters import means
from segmentation.engine.clustering.profiles import Profile
from segmentation.engine.clustering.profiles import describe as profiles_of
from segmentation.engine.clustering.quality import Quality, Stability, Verdict, measure, refitted, verdict
from segmentation.engine.frame import MISSING, BooleanColumn, Floats, Frame, NumberColumn, StringColumn
from segmentation.engine.modelling.groups import FoundGroup, named
from segmentation.engine.modelling.lying import lying, remeasured
from segmentation.engine.modelling.points import (
    PointModel,
    SelectionParameters,
    fit_points,
    in_words,
    known_rows,
    points_of,
)
from segmentation.engine.modelling.pooled import Described, Pooled
from segmentation.engine.preprocess.recipe import Feature
from segmentation.engine.preprocess.selection import Dropped
from segmentation.engine.preprocess.values import FEATURES, Counted, counted
from segmentation.engine.sketches.histogram import Histogram, of_values
from segmentation.errors import FieldError, InvalidInput

Labels = NDArray[np.int32]
Method = Literal["kmeans", "ward", "average", "complete"]

MAX_TRAITS = 5
_STABILITY_ROWS, _TREE_STABILITY_ROWS = 20_000, 4_000
"""Rows of a sample that refits are compared on; a tree costs the square of them."""


@dataclass(frozen=True)
class ClusterParameters:
    """How points become clusters: so many, or the best number from the first to the last of `k_range`."""

    method: Method
    k: int | None
    k_range: tuple[int, int]
    criterion: Criterion
    restarts: int
    bootstraps: int
    selection: SelectionParameters
    seed: int


@dataclass(frozen=True, eq=False)
class ClusterModel:
    """How a customer becomes a point, and a point a cluster; `group_ids[label]` is what the cluster is called in
    rules, from version to version.
    """

    points: PointModel
    clusters: KMeans | Hierarchy
    group_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ClusterReport:
    """What was found; `curve` if the number of clusters was chosen. Profiles are in the order of the groups.

    `preparation` says in words what was done to the features, `dropped` which columns were left out, and why. Clusters
    were found in `fitted_on` customers.
    """

    preparation: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    customers: int
    without_features: int
    k: int
    method: str
    curve: Curve | None
    quality: Quality
    stability: Stability | None
    verdicts: tuple[Verdict, ...]
    profiles: tuple[Profile, ...]
    fitted_on: int


def fit(
    frame: Frame,
    features: tuple[Feature, ...],
    parameters: ClusterParameters,
    model_id: str,
    previous: ClusterModel | None = None,
    used_ids: Collection[str] = (),
    pooled: Pooled | None = None,
) -> tuple[ClusterModel, ClusterReport, tuple[FoundGroup, ...]]:
    """The model of these customers, what it found, and its groups. Clusters keep the ids of the `previous` model's
    clusters that they share most customers with; a new one gets an id that is not among `used_ids` either.

    Where these customers are a sample of those that were `pooled`, numbers are prepared by the values of all.

    Raises InvalidInput for features or parameters that cannot be, InsufficientData for too few customers.
    """
    rows = known_rows(frame, features)
    known = frame if len(rows) == frame.size else frame.take(rows)
    all_values = _counted(pooled) if pooled else {}
    point_model, points = fit_points(known, features, parameters.selection, parameters.seed, all_values)
    curve, clusters, labels = _found(points, parameters)
    k = len(clusters.centres)
    if previous is not None:
        ids = _matched(score_labels(previous, known), labels, previous.group_ids, k, used_ids)
    else:
        ids = tuple(f"c{label + 1}" for label in range(k))
    centres, _ = means(points, np.ones(len(points)), labels, k)
    found = measure(points, labels, centres, seed=parameters.seed)
    steady = _stability(points, k, parameters)
    asked_for = {feature.name for feature in features}
    profiles = profiles_of(known.columns, labels, k, top=MAX_TRAITS, named_by=asked_for)
    report = ClusterReport(
        preparation=in_words(point_model),
        dropped=point_model.selection.dropped,
        customers=known.size,
        without_features=frame.size - known.size,
        k=k,
        method=parameters.method,
        curve=curve,
        quality=found,
        stability=steady,
        verdicts=verdict(found, steady, tuple(profile.name for profile in profiles)),
        profiles=profiles,
        fitted_on=known.size,
    )
    return ClusterModel(point_model, clusters, ids), report, _groups(model_id, ids, profiles)


def pool(frame: Frame, features: tuple[Feature, ...]) -> Pooled:
    """What these customers bring to a fit on a sample of many more: histograms of their numbers."""
    values: dict[str, Histogram] = {}
    for feature in features:
        column = frame.columns.get(feature.name)
        if isinstance(column, NumberColumn):
            values[feature.name] = of_values(column.values, FEATURES)
        elif isinstance(column, BooleanColumn):
            values[feature.name] = of_values(np.where(column.values >= 0, column.values, np.nan), FEATURES)
    return Pooled(frame.size, len(known_rows(frame, features)), values)


def describe(model: ClusterModel, frame: Frame) -> Described:
    """How many customers are in which cluster, and exact sums of how they lie about the model's centres."""
    rows = known_rows(frame, model.points.chain.features)
    known = frame if len(rows) == frame.size else frame.take(rows)
    points = points_of(model.points, known)
    return lying(points, _assigned(model.clusters, points), model.clusters, frame.size)


def complete(
    model: ClusterModel, report: ClusterReport, described: Described, model_id: str
) -> tuple[ClusterModel, ClusterReport, tuple[FoundGroup, ...]]:
    """The model and the report with the counts and sums of all customers that were described, and the groups.

    Silhouette, stability and what profiles say remain those of the fitted customers.
    """
    customers, known = described.counts["customers"].tolist()
    found = remeasured(report.quality, described, model.clusters)
    profiles = tuple(
        replace(profile, size=size, share=share)
        for profile, size, share in zip(report.profiles, found.sizes, found.shares, strict=True)
    )
    counted = replace(
        report,
        customers=known,
        without_features=customers - known,
        quality=found,
        verdicts=verdict(found, report.stability, tuple(profile.name for profile in profiles)),
        profiles=profiles,
    )
    clusters = replace(model.clusters, sizes=found.sizes, inertia=found.inertia)
    return replace(model, clusters=clusters), counted, _groups(model_id, model.group_ids, profiles)


def _counted(pooled: Pooled) -> dict[str, Counted]:
    return {name: counted(values, pooled.known) for name, values in pooled.values.items()}


def _groups(model_id: str, ids: tuple[str, ...], profiles: tuple[Profile, ...]) -> tuple[FoundGroup, ...]:
    return tuple(
        named(f"cluster.{model_id}", group_id, profile.name, profile.size)
        for group_id, profile in zip(ids, profiles, strict=True)
    )


def score(model: ClusterModel, frame: Frame) -> StringColumn:
    """The cluster's id of every customer; missing where all features are."""
    codes = np.full(frame.size, MISSING, dtype=np.int32)
    rows = known_rows(frame, model.points.chain.features)
    whole = len(rows) == frame.size
    codes[rows] = score_labels(model, frame if whole else frame.take(rows))
    return StringColumn(codes, model.group_ids)


def score_labels(model: ClusterModel, frame: Frame) -> Labels:
    """The cluster (n,) of every customer; labels of the fitted customers are those of the fit."""
    return _assigned(model.clusters, points_of(model.points, frame))


def _found(points: Floats, parameters: ClusterParameters) -> tuple[Curve | None, KMeans | Hierarchy, Labels]:
    """The clusters, and the curve if their number was chosen, which is decided on k-means whatever the method."""
    if parameters.k is not None:
        return None, *_clustered(points, parameters.k, parameters)
    lowest, highest = parameters.k_range
    if not 2 <= lowest <= highest:
        message = f"kRange={[lowest, highest]} is no range; it begins at 2 or more, and its end is not below"
        raise InvalidInput(message, [FieldError("parameters.kRange", message)])
    curve, clusters, labels = choosing.choose(
        points,
        range(lowest, highest + 1),
        parameters.criterion,
        seed=parameters.seed,
        restarts=parameters.restarts,
    )
    if parameters.method == "kmeans":
        return curve, clusters, labels
    return curve, *_clustered(points, curve.chosen, parameters)


def _clustered(points: Floats, k: int, parameters: ClusterParameters) -> tuple[KMeans | Hierarchy, Labels]:
    if parameters.method == "kmeans":
        return kmeans.fit(points, k, seed=parameters.seed, restarts=parameters.restarts)
    tree, _ = hierarchy.fit(points, k, parameters.method, seed=parameters.seed)
    # What the service stores is what it will say of a customer tomorrow: the nearest prototype's cluster.
    return tree, hierarchy.assign(tree, points)


def _stability(points: Floats, k: int, parameters: ClusterParameters) -> Stability | None:
    """Whether refits agree; one cluster is always the same."""
    if k < 2:
        return None

    def refit(drawn: Floats) -> Callable[[Floats], Labels]:
        clusters, _ = _clustered(drawn, k, parameters)
        return lambda asked: _assigned(clusters, asked)

    rows = _STABILITY_ROWS if parameters.method == "kmeans" else _TREE_STABILITY_ROWS
    return refitted(points, k, refit, bootstraps=parameters.bootstraps, seed=parameters.seed, rows=rows)


def _assigned(clusters: KMeans | Hierarchy, points: Floats) -> Labels:
    if isinstance(clusters, KMeans):
        return kmeans.assign(clusters.centres, points)
    return hierarchy.assign(clusters, points)


def _matched(before: Labels, after: Labels, ids: tuple[str, ...], k: int, used_ids: Collection[str]) -> tuple[str, ...]:
    """Ids of the clusters now: those of before that share most customers, each once; what is new gets a new one."""
    shared = np.zeros((len(ids), k), dtype=np.int64)
    np.add.at(shared, (before, after), 1)
    result: dict[int, str] = {}
    while shared.any():
        old, new = np.unravel_index(int(shared.argmax()), shared.shape)
        result[int(new)] = ids[int(old)]
        shared[old, :] = shared[:, new] = 0
    taken, number = {*ids, *used_ids}, 1
    for label in range(k):
        if label not in result:
            while f"c{number}" in taken:
                number += 1
            result[label] = f"c{number}"
            taken.add(result[label])
    return tuple(result[label] for label in range(k))
