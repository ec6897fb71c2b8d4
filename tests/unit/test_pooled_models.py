"""Models fitted on what parts of the customers bring together, against a fit on all of them in one process."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.models import COUNTRY, FEATURES, NOW, SELECTION, frame_of, purchases_of
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import BooleanColumn, Frame, NumberColumn, Rows
from segmentation.engine.lifetime import bgnbd
from segmentation.engine.lifetime.purchases import Purchases, summarise, taken
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.kinds import FITTED, REPORTS
from segmentation.engine.modelling.pooled import described, pooled
from segmentation.engine.preprocess import chain
from segmentation.engine.preprocess import values as preparing
from segmentation.engine.preprocess.recipe import Feature, MadClip, Winsorise
from segmentation.engine.rfm.scoring import Binning, KMeansBins, Quantiles, Thresholds
from segmentation.engine.sketches import histogram, histories
from segmentation.engine.sketches.hashing import hashes
from segmentation.engine.sketches.histogram import VALUES, Bounds
from segmentation.errors import InsufficientData, InvalidInput
from segmentation.recipes import RFM_ATTRIBUTES

CUSTOMERS, SAMPLE = 20_000, 12_000
CLUSTERS = cluster.ClusterParameters("kmeans", 4, (2, 12), "silhouette", 5, 1, SELECTION, 0)
TIERS = lifetime.LifetimeParameters(12, 0.01, None, (0.5, 0.3, 0.2), ("low", "medium", "high"))
RISK = churn.ChurnParameters("churned", None, 1.0, 3, (0.3, 0.7), SELECTION, 0)
Shop = tuple[Purchases, Frame]


@pytest.fixture(scope="module")
def shop() -> Shop:
    random = np.random.default_rng(5)
    bought = purchases_of(CUSTOMERS, random)
    return bought, frame_of(bought, random)


@pytest.fixture(scope="module")
def sampled() -> Rows:
    """The rows of the sample, in order of their hashes."""
    return np.argsort(hashes([f"customer {number}" for number in range(CUSTOMERS)]))[:SAMPLE]


def parts(number: int, customers: int = CUSTOMERS) -> Iterator[Rows]:
    """Customers by chance in so many parts, and one that has none."""
    owner = np.random.default_rng(number).integers(0, number, customers)
    return (np.flatnonzero(owner == part) for part in range(number + 1))


def alike(one: Any, other: Any) -> bool:
    return bool(to_document(one) == to_document(other))


# ------------------------------------------------------------------------------- RFM


def pooled_rfm(frame: Frame, binning: Binning, number: int) -> Any:
    brought = pooled((rfm.pool(frame.take(rows), RFM_ATTRIBUTES) for rows in parts(number, frame.size)), VALUES)
    model = rfm.fit_pooled(brought, RFM_ATTRIBUTES, binning, None)
    return rfm.complete(model, described(rfm.describe(model, frame.take(rows)) for rows in parts(number, frame.size)))


@pytest.mark.parametrize("number", [1, 4, 16])
@pytest.mark.parametrize(
    "binning",
    [
        Quantiles(5),
        Quantiles(4, "r"),
        KMeansBins(5),
        Thresholds((10.0, 100.0), (2.0, 10.0), (50.0, 500.0)),
    ],
)
def test_rfm_of_counted_values_is_that_of_all_customers(shop: Shop, binning: Binning, number: int) -> None:
    found = pooled_rfm(shop[1], binning, number)
    for one, other in zip(rfm.fit(shop[1], RFM_ATTRIBUTES, binning, None), found, strict=True):
        assert alike(one, other)


def test_cut_points_of_more_distinct_values_are_within_the_resolution() -> None:
    random = np.random.default_rng(1)
    size = 200_000
    frame = Frame(
        size,
        {
            "recencyDays": NumberColumn(random.integers(0, 900, size).astype(np.float64)),
            "orderCount": NumberColumn(np.ceil(random.exponential(4, size))),
            "totalSpent": NumberColumn(random.gamma(1.5, 80, size) + 1),
        },
    )
    one, _, _ = rfm.fit(frame, RFM_ATTRIBUTES, Quantiles(5), None)
    found = [pooled_rfm(frame, Quantiles(5), number) for number in (1, 3)]
    assert alike(found[0][0], found[1][0])
    model, report, groups = found[0]
    np.testing.assert_array_equal(model.rfm.recency.cuts, one.rfm.recency.cuts)
    np.testing.assert_allclose(model.rfm.monetary.cuts, one.rfm.monetary.cuts, rtol=2.0**-16)
    assert not np.array_equal(model.rfm.monetary.cuts, one.rfm.monetary.cuts)
    scores = rfm.score(model, frame)["rfm.monetary"]
    assert isinstance(scores, NumberColumn)
    assert tuple(np.bincount(scores.values.astype(int))[1:].tolist()) == model.rfm.monetary.counts
    assert sum(group.size for group in groups) == report.customers == size


def test_counted_values_are_refused_like_those_of_customers(shop: Shop) -> None:
    def brought(**columns: list[float]) -> Any:
        values = {name: NumberColumn(np.array(column)) for name, column in columns.items()}
        frame = Frame(len(next(iter(columns.values()))), dict(zip(RFM_ATTRIBUTES, values.values(), strict=True)))
        return pooled([rfm.pool(frame, RFM_ATTRIBUTES)], VALUES)

    with pytest.raises(InsufficientData, match="none of 2 customers has recencyDays, orderCount, totalSpent"):
        rfm.fit_pooled(brought(r=[np.nan] * 2, f=[1, 2], m=[1, 2]), RFM_ATTRIBUTES, Quantiles(3), None)
    with pytest.raises(InsufficientData, match="2 customers with purchases are fewer than bins=3"):
        rfm.fit_pooled(brought(r=[1, 2], f=[1, 2], m=[1, 2]), RFM_ATTRIBUTES, Quantiles(3), None)
    with pytest.raises(InvalidInput, match=r"recency=-4 lies after the day of analysis \(rows in error: 3\)"):
        rfm.fit_pooled(brought(r=[-4, -4, -4, 1], f=[1] * 4, m=[1] * 4), RFM_ATTRIBUTES, Quantiles(3), None)
    with pytest.raises(InvalidInput, match="bins=3 exceeds the 2 distinct values of recency"):
        rfm.fit_pooled(brought(r=[1, 1, 2, 2], f=[1] * 4, m=[1] * 4), RFM_ATTRIBUTES, KMeansBins(3), None)


# -------------------------------------------------------------------------- clusters


def pooled_clusters(frame: Frame, sample: Rows, number: int) -> Any:
    features = (*FEATURES, COUNTRY)
    brought = pooled((cluster.pool(frame.take(rows), features) for rows in parts(number)), preparing.FEATURES)
    model, report, _ = cluster.fit(frame.take(sample), features, CLUSTERS, "m", pooled=brought)
    kept = from_document(REPORTS["cluster"], to_document(report))
    assert alike(kept, report)
    assert alike(from_document(FITTED["cluster"], to_document(model)), model)
    return cluster.complete(
        model, report, described(cluster.describe(model, frame.take(rows)) for rows in parts(number)), "m"
    )


def test_clusters_of_a_sample_are_as_good_as_those_of_all_and_described_exactly(shop: Shop, sampled: Rows) -> None:
    _, frame = shop
    _, one, _ = cluster.fit(frame, (*FEATURES, COUNTRY), CLUSTERS, "m")
    found = [pooled_clusters(frame, sampled, number) for number in (1, 4, 16)]
    assert all(alike(found[0], other) for other in found)
    model, report, groups = found[0]
    assert report.quality.inertia == pytest.approx(one.quality.inertia, rel=1e-3)
    for name in ("explained", "calinski_harabasz", "homogeneity", "separation", "davies_bouldin"):
        assert getattr(report.quality, name) == pytest.approx(getattr(one.quality, name), rel=0.02)
    labels = cluster.score_labels(model, frame)
    assert tuple(np.bincount(labels).tolist()) == report.quality.sizes == model.clusters.sizes
    assert tuple(group.size for group in groups) == report.quality.sizes
    assert (report.customers, report.fitted_on) == (CUSTOMERS, SAMPLE)
    assert {profile.size for profile in report.profiles} == set(report.quality.sizes)


@pytest.mark.parametrize(
    "feature",
    [
        Feature("points", scaling="standard"),
        Feature("points", log1p=True, scaling="robust", indicator=True),
        Feature("points", outliers=Winsorise(0.05, 0.9), scaling="standard"),
        Feature("points", outliers=MadClip(2.5), missing="mode", scaling="robust"),
        Feature("points", missing="constant", constant=3.0),
        Feature("flag", missing="mode", scaling="standard"),
    ],
)
def test_features_are_prepared_by_the_values_of_all_customers(feature: Feature) -> None:
    random = np.random.default_rng(2)
    size = 5_000
    points = np.where(random.random(size) < 0.2, np.nan, np.round(random.gamma(2, 30, size)))
    flags = random.integers(-1, 2, size).astype(np.int8)
    frame = Frame(size, {"points": NumberColumn(points), "flag": BooleanColumn(flags)})
    features = (feature, Feature("flag")) if feature.name == "points" else (feature, Feature("points"))
    sets = [cluster.pool(frame.take(rows), features) for rows in parts(3, size)]
    brought = pooled(sets, preparing.FEATURES)
    all_values = {name: preparing.counted(each, brought.known) for name, each in brought.values.items()}
    known = frame.take(np.flatnonzero(~np.isnan(points) | (flags >= 0)))
    one = chain.fit(known.columns, features)
    few = chain.fit(known.take(np.arange(50)).columns, features, all_values)
    for ours, theirs in zip(one.steps, few.steps, strict=True):
        for mine, yours in zip(to_document(ours).values(), to_document(theirs).values(), strict=True):
            assert mine == (pytest.approx(yours, rel=1e-12, abs=1e-12) if isinstance(yours, float) else yours)


# --------------------------------------------------------------------------- lifetime


def pooled_lifetime(bought: Purchases, sample: Rows, number: int) -> Any:
    brought = pooled((lifetime.pool(taken(bought, rows), NOW) for rows in parts(number)), lifetime.SPENDING)
    model, report = lifetime.fit_pooled(brought, taken(bought, sample), NOW, TIERS)
    assert alike(from_document(REPORTS["lifetime"], to_document(report)), report)
    assert alike(from_document(FITTED["lifetime"], to_document(model)), model)
    whole = described(lifetime.describe(model, taken(bought, rows), NOW) for rows in parts(number))
    return lifetime.complete(model, report, whole, TIERS)


def test_forecasts_of_counted_histories_are_those_of_all_customers(shop: Shop, sampled: Rows) -> None:
    bought, _ = shop
    model, report, groups = lifetime.fit(bought, NOW, TIERS)
    found = [pooled_lifetime(bought, sampled, number) for number in (1, 4, 16)]
    assert all(alike(found[0], other) for other in found)
    ours, ours_report, ours_groups = found[0]
    assert ours.bgnbd == model.bgnbd
    assert model.gamma_gamma is not None
    for name in ("p", "q", "v", "correlation"):
        assert getattr(ours.gamma_gamma, name) == pytest.approx(getattr(model.gamma_gamma, name), rel=1e-8)
    assert [group.size for group in ours_groups] == [group.size for group in groups]
    for name in ("customers", "repeat_customers", "mean_p_alive", "expected_orders", "total_clv", "fitted_on"):
        assert getattr(ours_report, name) == pytest.approx(getattr(report, name), rel=1e-9)


def test_coarse_histories_cost_next_to_nothing(shop: Shop) -> None:
    bought, _ = shop
    end_day = lifetime.day_of(NOW)
    summary = summarise(bought, end_day, 1.0)
    days = [np.rint(each).astype(np.int64) for each in (summary.frequency, summary.recency, summary.age)]
    exact = bgnbd.fit(days[0], days[1] / 7, days[2] / 7)
    coarse = histories.of_customers(days[0], days[1], days[2], most=8_000)
    assert len(coarse.count) < 0.5 * CUSTOMERS
    recency, age = coarse.recency / (coarse.count * 7.0), coarse.age / (coarse.count * 7.0)
    found = bgnbd.fit(coarse.frequency, recency, age, coarse.count.astype(np.float64))
    assert (found.customers, found.newcomers) == (exact.customers, exact.newcomers)
    for name, error in zip(bgnbd.NAMES, exact.standard_errors, strict=True):
        assert abs(getattr(found, name) - getattr(exact, name)) < 0.1 * error


def test_coarse_mean_values_cost_next_to_nothing(shop: Shop) -> None:
    bought, _ = shop
    summary = summarise(bought, lifetime.day_of(NOW), 7.0)
    exact, _ = lifetime._spending(summary.frequency, summary.mean_value)
    bounds = Bounds(exact=1_000, cells=4_000)
    cells = histogram.of_values(summary.mean_value, bounds, summary.frequency.astype(np.int64))
    assert cells.level > 1
    found, _ = lifetime._spending(cells.group.astype(float), (cells.low + cells.high) / 2, cells.count.astype(float))
    assert exact is not None
    assert found is not None
    for name, error in zip(("p", "q", "v"), exact.standard_errors, strict=True):
        assert abs(getattr(found, name) - getattr(exact, name)) < 0.1 * error


def test_values_that_are_no_amounts_are_counted_by_customers() -> None:
    bought = Purchases(np.arange(0, 401, 2), np.tile(np.array([100, 130], dtype=np.int32), 200), np.full(400, -5.0))
    brought = pooled([lifetime.pool(bought, np.datetime64("1971-01-01", "us"))], lifetime.SPENDING)
    cells = brought.values[lifetime.CLV]
    assert cells.count.tolist() == [200]
    _, status = lifetime._spending(cells.group.astype(float), cells.low, cells.count.astype(float))
    assert str(status.reason).startswith("200 of 200 repeat customers have a mean value that is not positive")


# ------------------------------------------------------------------------------ churn


def test_risk_is_learnt_from_a_sample_and_counted_in_all(shop: Shop, sampled: Rows) -> None:
    _, frame = shop
    features = (*FEATURES, COUNTRY)
    model, report, _ = churn.fit(frame.take(sampled), features, RISK)
    assert alike(from_document(REPORTS["churn"], to_document(report)), report)
    found = [
        churn.complete(
            model, report, described(churn.describe(model, frame.take(rows), RISK) for rows in parts(number))
        )
        for number in (1, 4, 16)
    ]
    assert all(alike(found[0], other) for other in found)
    counted, groups = found[0]
    scores = churn.score(model, frame)["churn.risk"]
    assert isinstance(scores, NumberColumn)
    assert groups[0].size == np.count_nonzero(scores.values < 0.3)
    assert (counted.customers, counted.fitted_on, counted.without_label) == (CUSTOMERS, SAMPLE, 0)
    column = frame.columns["churned"]
    assert isinstance(column, BooleanColumn)
    assert counted.churned == np.count_nonzero(column.values == 1)
    assert counted.evaluation is report.evaluation
