"""Laws of RFM scores for random shops with many ties."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segmentation.engine.document import to_document
from segmentation.engine.frame import Floats
from segmentation.engine.rfm.breaks import natural_breaks
from segmentation.engine.rfm.grid import default_grid, validate
from segmentation.engine.rfm.scoring import Binning, KMeansBins, Quantiles, Scores, Thresholds, fit, score

Columns = tuple[Floats, Floats, Floats]


@st.composite
def shops(draw: st.DrawFn) -> Columns:
    """Customers with at least ten distinct values in every column, few of them missing."""
    size = draw(st.integers(10, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = [np.concatenate((np.arange(10.0), rng.integers(0, draw(st.integers(1, 50)), size))) for _ in range(3)]
    columns[0][rng.random(size + 10) * (np.arange(size + 10) >= 10) > 0.8] = np.nan
    return columns[0], columns[1], columns[2] * 1.25 - 3


BINS = st.integers(3, 10)
BINNINGS = st.one_of(
    st.builds(Quantiles, BINS, st.sampled_from(["linear", "r"])),
    st.builds(KMeansBins, BINS),
    st.just(Thresholds((1, 4, 9), (2, 5, 8), (0, 10, 20))),
)


def tabled(scores: Scores) -> Any:
    return np.stack([scores.recency, scores.frequency, scores.monetary])


@settings(deadline=None, max_examples=60)
@given(shops(), BINNINGS, st.integers(0, 2**32))
def test_the_order_of_customers_does_not_matter(shop: Columns, binning: Binning, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(shop[0]))
    mixed = tuple(values[order] for values in shop)
    model = fit(*shop, binning)
    assert to_document(fit(*mixed, binning)) == to_document(model)
    assert np.array_equal(tabled(score(model, *mixed)), tabled(score(model, *shop))[:, order])


@settings(deadline=None, max_examples=60)
@given(shops(), BINNINGS)
def test_a_customer_scores_alone_as_among_all(shop: Columns, binning: Binning) -> None:
    model = fit(*shop, binning)
    alone = [tabled(score(model, *(values[row : row + 1] for values in shop))) for row in range(len(shop[0]))]
    assert np.array_equal(np.concatenate(alone, axis=1), tabled(score(model, *shop)))


@settings(deadline=None, max_examples=60)
@given(shops(), BINNINGS)
def test_equal_values_score_equally_and_better_values_never_worse(shop: Columns, binning: Binning) -> None:
    found = tabled(score(fit(*shop, binning), *shop))
    known = ~np.isnan(shop[0])
    for values, scores, sign in zip(shop, found, (-1, 1, 1), strict=True):
        order = np.argsort(sign * values[known], kind="stable")
        steps, rises = np.diff(sign * values[known][order]), np.diff(scores[known][order].astype(int))
        assert np.all(rises >= 0)
        assert np.all(rises[steps == 0] == 0)


@settings(deadline=None, max_examples=60)
@given(shops(), BINNINGS)
def test_counts_are_those_of_the_scores_and_missing_customers_have_none(shop: Columns, binning: Binning) -> None:
    model = fit(*shop, binning)
    found = tabled(score(model, *shop))
    assert np.array_equal((found == 0).all(axis=0), np.isnan(shop[0]))
    for dimension, scores in zip((model.recency, model.frequency, model.monetary), found, strict=True):
        assert dimension.counts == tuple(int(np.count_nonzero(scores == value)) for value in range(1, model.bins + 1))
        assert sum(dimension.counts) == model.customers


@settings(deadline=None, max_examples=60)
@given(shops(), st.one_of(st.builds(Quantiles, BINS), st.builds(KMeansBins, BINS)), st.integers(-8, 8))
def test_another_unit_of_days_orders_and_money_does_not_change_scores(
    shop: Columns, binning: Binning, power: int
) -> None:
    # Powers of two, so that the change of unit itself does not round.
    scaled = tuple(values * 2.0**power for values in shop)
    assert np.array_equal(tabled(score(fit(*scaled, binning), *scaled)), tabled(score(fit(*shop, binning), *shop)))


@settings(deadline=None, max_examples=60)
@given(shops(), BINS)
def test_doubling_every_customer_does_not_move_the_breaks_of_k_means(shop: Columns, bins: int) -> None:
    doubled = tuple(np.tile(values, 2) for values in shop)
    once, twice = fit(*shop, KMeansBins(bins)), fit(*doubled, KMeansBins(bins))
    assert twice.customers == 2 * once.customers
    np.testing.assert_allclose(twice.monetary.cuts, once.monetary.cuts, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-20, 20), min_size=4, max_size=12), st.integers(2, 4))
def test_natural_breaks_are_the_best_of_all_partitions(numbers: list[int], groups: int) -> None:
    values = np.array(numbers, dtype=np.float64)
    distinct = np.unique(values)
    assume(len(distinct) >= groups)

    def spread(cuts: Floats) -> float:
        parts = [values[np.searchsorted(cuts, values) == group] for group in range(groups)]
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts)

    best = min(spread(np.array(cuts)) for cuts in combinations(distinct[:-1], groups - 1))
    assert spread(natural_breaks(values, groups, "monetary")) == pytest.approx(best, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(shops(), BINNINGS)
def test_every_scored_customer_gets_exactly_one_name_of_the_default_grid(shop: Columns, binning: Binning) -> None:
    model = fit(*shop, binning)
    grid = validate(default_grid(model.bins), model.bins)
    scores = score(model, *shop)
    names = [grid.groups[code].group_id for code in grid.code(scores)]
    assert [name == "prospects" for name in names] == np.isnan(shop[0]).tolist()
