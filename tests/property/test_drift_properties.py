"""Laws of drift: parts add up to the whole, one distribution does not drift from itself, and a shift is always seen."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.drift import bins, measuring, verdict
from segmentation.engine.drift.stability import stability_index
from segmentation.engine.frame import NumberColumn, StringColumn
from support.fitted_shops import KINDS, LABEL, NOW, fitted, shop

COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=12)


@pytest.fixture(scope="module")
def models() -> dict[str, tuple]:  # type: ignore[type-arg]
    """A model of every kind on one shop, with its baseline as it comes from a file, and another shop's customers."""
    frame, others = shop(400), shop(300, seed=9)
    values = {kind: fitted(kind, frame) for kind in KINDS}
    kept = {
        kind: json.loads(json.dumps(measuring.baseline(value, frame, NOW, "m", LABEL)))
        for kind, value in values.items()
    }
    return {kind: (values[kind], kept[kind], others) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@given(parts=st.integers(1, 16), seed=st.integers(0, 10))
@settings(deadline=None, max_examples=12)
def test_the_drift_does_not_depend_on_the_number_of_partitions(models, kind, parts, seed) -> None:  # type: ignore[no-untyped-def]
    value, kept, frame = models[kind]
    later = NOW + np.timedelta64(40, "D")
    whole = measuring.measure(value, kept, frame, later, "m")
    place = np.random.default_rng(seed).integers(0, parts, frame.size)
    merged: dict = {}  # type: ignore[type-arg]
    for part in range(parts):
        rows = frame.take(np.flatnonzero(place == part))
        measured = json.loads(json.dumps(measuring.measure(value, kept, rows, later, "m")))
        merged = measuring.merge(merged, measured)
    assert (merged["features"], merged["scores"]) == (whole["features"], whole["scores"])
    one, other = verdict.finish(value, kept, whole), verdict.finish(value, kept, merged)
    assert (one.features, one.scores, one.reasons) == (other.features, other.scores, other.reasons)
    assert other.today == pytest.approx(one.today, rel=1e-9)
    assert [c.movement for c in other.centroids] == pytest.approx([c.movement for c in one.centroids], nan_ok=True)


@given(counts=COUNTS, other=COUNTS)
@settings(deadline=None, max_examples=100)
def test_the_index_is_never_negative_and_the_same_from_both_sides(counts: list[int], other: list[int]) -> None:
    size = min(len(counts), len(other))
    one, two = counts[:size], other[:size]
    if sum(one) and sum(two):
        index = stability_index(one, two)
        assert index >= -1e-12
        assert index == pytest.approx(stability_index(two, one))
        assert stability_index(one, one) == 0.0


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_two_halves_of_one_distribution_have_not_drifted_and_a_shifted_one_has(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.gamma(2, 50, 20_000)
    found = bins.learn("x", NumberColumn(values[:10_000]))
    same = bins.count(found, NumberColumn(values[10_000:]), 10_000)
    assert stability_index(found.counts, same) < 0.02
    richer = bins.count(found, NumberColumn(values[10_000:] * 2), 10_000)
    assert stability_index(found.counts, richer) > 0.25


@given(values=st.lists(st.floats(-1e9, 1e9) | st.just(np.nan), min_size=1, max_size=60))
@settings(deadline=None, max_examples=100)
def test_every_customer_is_in_one_bin_and_there_are_eleven_at_most(values: list[float]) -> None:
    column = NumberColumn(np.array(values))
    found = bins.learn("x", column)
    assert sum(found.counts) == len(values)
    assert len(found.counts) <= 11
    assert bins.count(found, column, len(values)) == list(found.counts)


@given(codes=st.lists(st.integers(-1, 29), min_size=1, max_size=80))
@settings(deadline=None, max_examples=50)
def test_the_bins_of_a_text_do_not_depend_on_how_its_values_are_numbered(codes: list[int]) -> None:
    names = tuple(f"v{number}" for number in range(30))
    straight = StringColumn(np.array(codes, dtype=np.int32), names)
    turned = np.array([29 - code if code >= 0 else -1 for code in codes], dtype=np.int32)
    backwards = StringColumn(turned, names[::-1])
    assert bins.learn("x", straight) == bins.learn("x", backwards)
    assert sum(bins.learn("x", straight).counts) == len(codes)
