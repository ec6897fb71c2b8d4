"""Drift in the engine: the stability index by hand, bins that tell a constant from its neighbours, and what moves."""

from dataclasses import replace
from math import isnan, log

import numpy as np
import pytest

from segmentation import drift
from segmentation.engine.catalogue import Kind
from segmentation.engine.drift import bins, clusters, measuring, purchasing, risks, verdict
from segmentation.engine.drift.stability import by_chance, level, stability_index
from segmentation.engine.frame import BooleanColumn, Frame, ListColumn, NumberColumn, StringColumn
from segmentation.engine.lifetime import bgnbd
from segmentation.engine.lifetime.purchases import Purchases, of_orders, summarise
from segmentation.engine.modelling import cluster, lifetime
from segmentation.engine.modelling.absent import absent_column
from segmentation.errors import NotFound, TooBusy
from segmentation.store.scorers import Scorer
from support.fitted_shops import CLUSTERS, FEATURES, KINDS, LABEL, NOW, THREE, fitted, shop

# ---------------------------------------------------------------- the index


def test_the_index_is_that_of_a_computation_by_hand() -> None:
    """Shares 0.5, 0.3, 0.2 become 0.4, 0.3, 0.3: 0.1 ln 1.25 + 0 + 0.1 ln 1.5 = 0.0223144 + 0.0405465."""
    assert stability_index([50, 30, 20], [40, 30, 30]) == pytest.approx(0.0628609, abs=5e-8)
    assert stability_index([50, 30, 20], [400, 300, 300]) == pytest.approx(0.0628609, abs=5e-8)


def test_an_empty_bin_has_half_a_customer_and_one_in_ten_thousand_at_least() -> None:
    few = (0.5 - 0.05) * log(0.5 / 0.05) + (0.5 - 1.0) * log(0.5)
    assert stability_index([0, 10], [5, 5]) == pytest.approx(few)
    many = (0.5 - 1e-4) * log(0.5 / 1e-4) + (0.5 - 1.0) * log(0.5)
    assert stability_index([0, 100_000], [5, 5]) == pytest.approx(many)
    assert stability_index([0, 10, 0], [0, 7, 0]) == 0.0


def test_nobody_has_no_index_and_other_bins_are_refused() -> None:
    assert isnan(stability_index([0, 0], [1, 2]))
    assert isnan(by_chance([1, 2], [0, 0]))
    with pytest.raises(ValueError, match="2 bins at training and 3 today"):
        stability_index([1, 2], [1, 2, 3])


def test_what_chance_does_is_the_quantile_of_chi_square() -> None:
    """The 99.9% quantile of chi-square with 9 degrees of freedom is 27.877 in every table."""
    assert by_chance([100] * 10, [100] * 10) * 500 == pytest.approx(27.877, rel=0.01)
    assert by_chance([7, 0], [9, 0]) == 0.0


def test_the_word_for_an_index_follows_the_convention_unless_chance_explains_it() -> None:
    assert [level(index, 0.0) for index in (0.0999, 0.1, 0.2499, 0.25)] == ["stable", "changing", "changing", "shifted"]
    assert level(0.3, 0.31) == "stable"
    assert level(float("nan"), float("nan")) == "stable"


def test_two_draws_of_one_population_stay_below_what_chance_does() -> None:
    random = np.random.default_rng(1)
    over = 0
    for _ in range(500):
        found = bins.learn("x", NumberColumn(random.normal(size=500)))
        counts = bins.count(found, NumberColumn(random.normal(size=500)), 500)
        over += stability_index(found.counts, counts) > by_chance(found.counts, counts)
    assert over <= 3


# ---------------------------------------------------------------- bins


def test_a_number_has_ten_bins_of_equal_shares_and_one_for_missing_values() -> None:
    values = np.append(np.arange(1.0, 101.0), np.nan)
    found = bins.learn("x", NumberColumn(values))
    assert found.cuts == tuple(range(10, 100, 10))
    assert found.counts == (10,) * 10 + (1,)
    assert bins.count(found, NumberColumn(np.array([10.0, 10.5, -5.0, 1e9])), 4) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_a_constant_is_told_from_what_lies_around_it() -> None:
    found = bins.learn("x", NumberColumn(np.full(50, 7.0)))
    assert found.counts == (0, 50, 0, 0)
    assert bins.count(found, NumberColumn(np.array([6.9, 7.0, 7.1, np.nan])), 4) == [1, 1, 1, 1]


def test_a_value_that_most_customers_have_is_a_bin_of_its_own() -> None:
    counts = np.repeat([0.0, 1.0, 2.0, 5.0], [60, 25, 10, 5])
    found = bins.learn("x", NumberColumn(counts))
    assert sum(found.counts) == 100 and 60 in found.counts and 25 in found.counts
    assert len(found.counts) <= 11


def test_a_column_without_values_has_one_bin_beside_the_missing() -> None:
    found = bins.learn("x", NumberColumn(np.full(5, np.nan)))
    assert (found.cuts, found.counts) == ((), (0, 5))
    assert bins.count(found, NumberColumn(np.array([1.0, np.nan])), 2) == [1, 1]
    assert stability_index(found.counts, bins.count(found, None, 5)) == 0.0


def test_a_text_has_its_twenty_most_frequent_values_the_rest_and_the_missing() -> None:
    values = tuple(f"v{number:02d}" for number in range(25))
    codes = np.concatenate([np.repeat(np.arange(25), np.arange(25, 0, -1)), [-1, -1]]).astype(np.int32)
    found = bins.learn("x", StringColumn(codes, values))
    assert found.values == values[:20]
    assert found.counts == (*range(25, 5, -1), 5 + 4 + 3 + 2 + 1, 2)
    other = StringColumn(np.array([0, 1, -1], dtype=np.int32), ("v03", "new"))
    assert bins.count(found, other, 3) == [0, 0, 0, 1, *[0] * 16, 1, 1]
    assert bins.count(found, None, 3) == [0] * 21 + [3]


def test_booleans_lists_and_places_are_counted_by_their_values() -> None:
    truths = bins.learn("x", BooleanColumn(np.array([1, 1, 0, -1], dtype=np.int8)))
    assert (truths.values, truths.counts) == (("true", "false"), (2, 1, 0, 1))
    tags = ListColumn(np.array([0, 2, 3, 3]), np.array([0, 1, 0], np.int32), ("a", "b"), np.array([False, False, True]))
    listed = bins.learn("x", tags)
    assert (listed.values, listed.counts) == (("a", "b"), (2, 1, 0, 1))
    places = bins.learn("x", absent_column(Kind.GEO, 3))
    assert (places.values, places.counts) == ((), (0, 3))


def test_a_number_that_became_a_text_is_missing() -> None:
    found = bins.learn("x", NumberColumn(np.arange(10.0)))
    assert bins.count(found, absent_column(Kind.STRING, 4), 4)[-1] == 4


# ---------------------------------------------------------------- clusters


POINTS = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [10.0, 4.0]])
LABELS = np.array([0, 0, 1, 1], dtype=np.int32)
CENTRES = np.array([[1.0, 0.0], [10.0, 2.0]])


def test_cluster_figures_are_those_of_a_computation_by_hand() -> None:
    measured = clusters.measure(POINTS, LABELS, CENTRES)
    assert measured["sizes"] == [2, 2]
    assert measured["sums"] == [[2.0, 0.0], [20.0, 4.0]]
    assert measured["squares"] == pytest.approx([2.0, 8.0])
    widths = [1 - 1 / 104**0.5, 1 - 1 / 68**0.5, 1 - 2 / 9, 1 - 2 / 97**0.5]
    assert measured["widths"] == pytest.approx(sum(widths))
    found = clusters.quality(measured)
    assert (found["customers"], found["meanSquaredDistance"]) == (4, pytest.approx(2.5))


def test_a_cluster_moves_in_spreads_of_its_own() -> None:
    before = clusters.measure(POINTS, LABELS, CENTRES)
    before["within"] = clusters.within(POINTS, LABELS, before)
    assert before["within"] == [2.0, 8.0]
    after = clusters.measure(POINTS + np.array([0.5, 0.0]), LABELS, CENTRES)
    (first, _), (second, _) = clusters.movements(before, after)
    assert (first, second) == (pytest.approx(0.5 / 1.0), pytest.approx(0.5 / 2.0))


def test_an_empty_cluster_has_no_movement_and_one_of_equals_has_the_spread_of_all() -> None:
    points = np.array([[1.0, 0.0], [1.0, 0.0], [10.0, 0.0], [10.0, 4.0]])
    before = clusters.measure(points, LABELS, CENTRES)
    before["within"] = clusters.within(points, LABELS, before)
    after = clusters.measure(np.array([[2.0, 0.0]]), LABELS[:1], CENTRES)
    (first, _), (second, _) = clusters.movements(before, after)
    assert first == pytest.approx(1 / 2**0.5)
    assert isnan(second)


def test_one_cluster_has_no_silhouette_and_no_customers_have_no_quality() -> None:
    one = clusters.measure(POINTS, np.zeros(4, dtype=np.int32), CENTRES[:1])
    assert clusters.quality(one)["silhouette"] is None
    none = clusters.measure(POINTS[:0], LABELS[:0], CENTRES)
    assert clusters.quality(none) == {"customers": 0, "meanSquaredDistance": None, "silhouette": None}


# ---------------------------------------------------------------- churn


def test_auc_and_brier_are_those_of_a_computation_by_hand() -> None:
    """Pairs of one who churned (0.8, 0.3) with one who stays (0.1, 0.3, 0.5): 3 won, 1 won, 1 tied of 6."""
    risk = np.array([0.8, 0.3, 0.1, 0.3, 0.5, np.nan, 0.9])
    known = np.array([True, True, True, True, True, True, False])
    churned = np.array([True, True, False, False, False, True, True])
    found = risks.quality(risks.measure(risk, known, churned))
    assert (found["customers"], found["churned"]) == (5, 2)
    assert found["auc"] == pytest.approx((3 + 1 + 0.5) / 6)
    assert found["brier"] == pytest.approx((0.04 + 0.49 + 0.01 + 0.09 + 0.25) / 5)


def test_one_class_has_no_auc_and_no_labels_have_no_quality() -> None:
    everyone = np.ones(3, dtype=bool)
    assert risks.quality(risks.measure(np.array([0.1, 1.0, 0.0]), everyone, everyone))["auc"] is None
    none = risks.quality(risks.measure(np.array([0.1]), ~everyone[:1], everyone[:1]))
    assert none == {"customers": 0, "churned": 0, "auc": None, "brier": None}


def test_labels_are_read_of_any_type_and_what_is_none_is_not_known() -> None:
    numbers = NumberColumn(np.array([1.0, 0.0, 2.0, np.nan]))
    known, churned = risks.labels(numbers, None, 4)
    assert (known.tolist(), churned[:2].tolist()) == ([True, True, False, False], [True, False])
    texts = StringColumn(np.array([0, 1, -1], dtype=np.int32), ("left", "here"))
    known, churned = risks.labels(texts, "left", 3)
    assert (known.tolist(), churned.tolist()) == ([True, True, False], [True, False, False])
    assert not risks.labels(None, None, 2)[0].any()


# ---------------------------------------------------------------- purchases


def test_the_log_likelihood_of_the_fitted_customers_is_that_of_the_fit() -> None:
    purchases = of_orders(shop(800).events["order"])
    summary = summarise(purchases, lifetime.day_of(NOW))
    model = bgnbd.fit(summary.frequency, summary.recency, summary.age)
    measured = purchasing.measure(model, purchases, lifetime.day_of(NOW), lifetime.day_of(NOW), 7.0)
    assert measured["customers"] == model.customers
    assert measured["logLikelihood"] == pytest.approx(model.log_likelihood, rel=1e-9)
    assert purchasing.quality(measured)["forecastOrders"] is None
    assert isnan(purchasing.forecast_error(measured)[0])


def test_the_forecast_since_the_fit_is_held_against_the_orders_that_came() -> None:
    purchases = Purchases(np.array([0, 3, 4, 4]), np.array([0, 70, 140, 140], np.int32), np.ones(4))
    model = bgnbd.BgNbd(0.5, 5.0, 0.8, 2.5, 0.0, (0.1,) * 4, 100, 100, 1, 0)
    measured = purchasing.measure(model, purchases, 100, 170, 7.0)
    expected = bgnbd.expected_orders(model, 10.0, [1.0], [10.0], [100 / 7])
    assert (measured["known"], measured["happened"]) == (1, 1)
    assert measured["forecast"] == pytest.approx(float(expected[0]))
    off, chance = purchasing.forecast_error(measured)
    assert off == pytest.approx(1 / float(expected[0]) - 1)
    assert chance == pytest.approx(3 * abs(off))


# ---------------------------------------------------------------- whole models


@pytest.mark.parametrize("kind", KINDS)
def test_the_customers_of_the_training_have_not_drifted(kind: str) -> None:
    frame = shop(400)
    value = fitted(kind, frame)
    kept = measuring.baseline(value, frame, NOW, "m", LABEL)
    found = verdict.finish(value, kept, measuring.measure(value, kept, frame, NOW, "m"))
    assert (found.training_customers, found.customers, found.reasons) == (400, 400, ())
    assert all(shift.psi == 0.0 for shift in (*found.features, *found.scores))
    assert all(moved.movement == 0.0 for moved in found.centroids)
    assert found.training == found.today
    assert [shift.name for shift in found.features] == ([] if kind == "lifetime" else sorted(THREE))


@pytest.mark.parametrize("kind", ["rfm", "cluster", "churn"])
def test_other_customers_are_found_out(kind: str) -> None:
    frame = shop(400)
    value = fitted(kind, frame)
    kept = measuring.baseline(value, frame, NOW, "m", LABEL)
    spent = frame.columns["totalSpent"]
    assert isinstance(spent, NumberColumn)
    richer = Frame(400, {**frame.columns, "totalSpent": NumberColumn(spent.values * 20)}, frame.events)
    found = verdict.finish(value, kept, measuring.measure(value, kept, richer, NOW, "m"))
    assert found.features[0].name == "totalSpent"
    assert found.features[0].level == "shifted"
    assert any("'totalSpent'" in reason and f"PSI {found.features[0].psi:.3f}" in reason for reason in found.reasons)
    if kind == "cluster":
        assert any("mean squared distance" in reason for reason in found.reasons)


def test_a_forecast_that_failed_is_a_reason() -> None:
    frame = shop(600)
    value = fitted("lifetime", frame)
    kept = measuring.baseline(value, frame, NOW, "m")
    later = NOW + np.timedelta64(200, "D")
    found = verdict.finish(value, kept, measuring.measure(value, kept, frame, later, "m"))
    assert found.today["orders"] == 0
    assert any(reason.startswith("since the fit 0 orders came where ") for reason in found.reasons)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1])
def test_a_partition_of_nobody_and_one_of_a_single_customer_are_measured(kind: str, size: int) -> None:
    frame = shop(400)
    value = fitted(kind, frame)
    kept = measuring.baseline(value, frame, NOW, "m", LABEL)
    few = frame.take(np.arange(size))
    measured = measuring.measure(value, kept, few, NOW, "m")
    found = verdict.finish(value, kept, measured)
    assert (measured["customers"], found.reasons) == (size, ())


@pytest.mark.parametrize("kind", ["rfm", "cluster", "churn"])
def test_customers_without_any_value_are_measured(kind: str) -> None:
    frame = shop(400)
    value = fitted(kind, frame)
    kept = measuring.baseline(value, frame, NOW, "m", LABEL)
    found = verdict.finish(value, kept, measuring.measure(value, kept, Frame(400), NOW, "m"))
    assert {shift.level for shift in found.features} == {"shifted"}
    assert found.today.get("customers", 0) == 0


def test_a_tree_of_clusters_is_measured_by_its_own_customers() -> None:
    frame = shop(300)
    asked = replace(CLUSTERS, method="ward")
    value, _, _ = cluster.fit(frame, FEATURES, asked, "m")
    kept = measuring.baseline(value, frame, NOW, "m")
    later = shop(300, seed=8)
    found = verdict.finish(value, kept, measuring.measure(value, kept, later, NOW, "m"))
    assert sum(moved.customers for moved in found.centroids) == 300
    assert {moved.group_id for moved in found.centroids} == set(value.group_ids)
    assert all(moved.movement < verdict.MOVED for moved in found.centroids)
    assert found.scores[0].name == "cluster.m"


def test_a_model_that_is_deleted_while_it_is_loaded_is_tried_again() -> None:
    class Empty:
        def get(self, key: str) -> bytes:
            raise NotFound(key)

    with pytest.raises(TooBusy, match="the model 'gone' was deleted a moment ago"):
        drift.load(Empty(), [Scorer("rfm", "gone", "rfm", 1, ())])  # type: ignore[arg-type]


def test_what_a_partition_cannot_measure_is_counted_by_its_reason() -> None:
    frame = shop(300)
    value, _, _ = cluster.fit(frame, FEATURES, CLUSTERS, "m")
    kept = {**measuring.baseline(value, frame, NOW, "m"), "population": None, "pinned": None}
    texts = StringColumn(np.zeros(300, dtype=np.int32), ("many",))
    odd = replace(frame, columns={**frame.columns, "orderCount": texts})
    scorer = Scorer("cluster.m", "m", "cluster", 2, THREE)
    one = drift.measure([(scorer, value, kept)], lambda _: odd, NOW)
    found = drift.merge(one, one)["m"]["2"]
    assert found["partitions"] == 2
    ((error, times),) = found["errors"].items()
    assert (times, "'orderCount' was of type number when fitted" in error) == (2, True)
    gone = drift.measure([(scorer, value, {**kept, "population": "vips"})], lambda _: frame, NOW, {})
    assert gone["m"]["2"]["errors"] == {"its population, the segment 'vips', is not there": 1}
    assert drift.measure([(scorer, value, None)], lambda _: frame, NOW) == {"m": {"2": {"partitions": 1}}}


def test_a_model_as_of_an_instant_is_measured_as_of_that() -> None:
    frame = shop(300)
    value, _, _ = cluster.fit(frame, FEATURES, CLUSTERS, "m")
    kept = {**measuring.baseline(value, frame, NOW, "m"), "population": None, "pinned": "2026-01-01T00:00:00.000000Z"}
    seen = []

    def frame_at(instant: np.datetime64) -> Frame:
        seen.append(instant)
        return frame

    drift.measure([(Scorer("cluster.m", "m", "cluster", 1, THREE), value, kept)], frame_at, NOW)
    assert seen == [np.datetime64("2026-01-01T00:00:00", "us")]
