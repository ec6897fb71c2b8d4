"""Laws of sketches: merged in whatever parts and order, they are those of all rows together."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.sketches import histogram, histories, sample
from segmentation.engine.sketches.exact import exact_sum
from segmentation.engine.sketches.hashing import hashes
from segmentation.engine.sketches.histogram import Bounds, Histogram
from segmentation.engine.sketches.histories import Histories

QUICK = settings(deadline=None, max_examples=60)
BOUNDS = Bounds(exact=12, cells=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)
AMOUNTS = st.one_of(NUMBERS, st.floats(0.01, 1e4), st.integers(-20, 20).map(float))
COLUMN = st.lists(AMOUNTS, max_size=80).map(lambda values: np.array(values, dtype=np.float64))


@st.composite
def divided[T](draw: st.DrawFn, rows: int) -> list[np.ndarray]:
    """Rows dealt out to parts, some of which are empty, in some order."""
    owners = np.array(draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows)), dtype=np.int64)
    order = np.array(draw(st.permutations(range(rows))), dtype=np.int64)
    return [order[owners[order] == part] for part in draw(st.permutations(range(5)))]


def same(one: Histogram | Histories, other: Histogram | Histories) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in type(one).__dataclass_fields__)


@QUICK
@given(COLUMN, st.data())
def test_histograms_do_not_depend_on_parts_and_order(values: np.ndarray, data: st.DataObject) -> None:
    parts = [histogram.of_values(values[rows], BOUNDS) for rows in data.draw(divided(len(values)))]
    whole = histogram.of_values(values, BOUNDS)
    assert same(histogram.merged(parts, BOUNDS), whole)
    nested = histogram.merged([histogram.merged(parts[:2], BOUNDS), histogram.merged(parts[2:], BOUNDS)], BOUNDS)
    assert same(nested, whole)


@QUICK
@given(COLUMN)
def test_a_histogram_counts_every_value_in_a_cell_that_holds_it(values: np.ndarray) -> None:
    found = histogram.of_values(values, BOUNDS)
    assert found.total == len(values)
    assert np.all(found.low <= found.high)
    assert np.all(found.high[:-1] < found.low[1:])
    for value in values:
        assert np.count_nonzero((found.low <= value) & (value <= found.high)) == 1


@QUICK
@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=400), st.floats(0, 1))
def test_quantiles_are_within_the_resolution(values: list[float], share: float) -> None:
    column = np.array(values)
    coarse = histogram.of_values(column, Bounds(exact=0, cells=1 << 20))
    assert coarse.level == 1
    (found,) = histogram.quantiles(coarse, np.array([share]))
    true = np.quantile(column, share)
    assert true * (1 - 1e-12) <= found <= true * (1 + 2.0**-16 + 1e-12)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(0, 400)), max_size=60), st.data())
def test_histories_do_not_depend_on_parts_and_order(drawn: list[tuple[int, int, int]], data: st.DataObject) -> None:
    rows = [(x, min(some, other) + 1 if x else 0, max(some, other) + x) for x, some, other in drawn]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T

    def counted(chosen: np.ndarray) -> Histories:
        frequency, recency, age = columns[:, chosen]
        return histories.of_customers(frequency, recency, age, most=9)

    whole = counted(np.arange(len(rows)))
    parts = [counted(chosen) for chosen in data.draw(divided(len(rows)))]
    assert same(histories.merged(parts, most=9), whole)
    nested = histories.merged([histories.merged(parts[:2], most=9), *parts[2:]], most=9)
    assert same(nested, whole)
    assert int(whole.count.sum()) == len(rows)
    assert int(whole.age.sum()) == int(columns[2].sum())
    assert len(whole.count) <= 9 or whole.level == histories.COARSEST


@QUICK
@given(st.lists(NUMBERS, max_size=50), st.data())
def test_sums_do_not_depend_on_parts_and_order(values: list[float], data: st.DataObject) -> None:
    column = np.array(values)
    parts = data.draw(divided(len(column)))
    assert sum((exact_sum(column[rows]) for rows in parts), Fraction(0)) == sum(map(Fraction, values), Fraction(0))


@QUICK
@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=80), st.integers(1, 90), st.data())
def test_the_sample_does_not_depend_on_parts_and_order(ids: list[str], most: int, data: st.DataObject) -> None:
    own = hashes(ids)
    parts = data.draw(divided(len(ids)))

    def sampled(chosen: Sequence[np.ndarray]) -> list[int]:
        drawn = [sample.draw(own[rows], most + 1)[1] for rows in chosen]
        limit = sample.limit_of(drawn, most)
        return sorted(hash_ for part in drawn for hash_ in part.hashes[sample.below(part.hashes, limit)].tolist())

    assert sampled(parts) == sampled([np.arange(len(ids))]) == sorted(own.tolist())[:most]
