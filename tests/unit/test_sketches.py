"""Sketches: figures computed by hand, and where they go from exact to coarse."""

import zlib
from fractions import Fraction

import numpy as np
import pytest

from segmentation.engine.sketches import histogram, histories, sample
from segmentation.engine.sketches.exact import exact_sum
from segmentation.engine.sketches.hashing import CHUNK, hashes
from segmentation.engine.sketches.histogram import Bounds

# ------------------------------------------------------------------------- hashes


def splitmix(state: int) -> int:
    """The finaliser in whole numbers of Python."""
    word = (1 << 64) - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & word
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & word
    return state ^ (state >> 31)


def slowly(customer_id: str) -> int:
    data, word, golden = customer_id.encode(), (1 << 64) - 1, 0x9E3779B97F4A7C15
    state = splitmix((len(data) + golden) & word)
    for begin in range(0, len(data), 8):
        part = int.from_bytes(data[begin : begin + 8], "little")
        state = splitmix(((state ^ part) + golden) & word)
    return state


def test_hashes_are_those_of_the_definition_whatever_stands_beside_them() -> None:
    ids = ["", "a", "a\0", "12345678", "123456789", "ümläut", "🛒" * 20, "x" * 300]
    assert hashes(ids).tolist() == [slowly(each) for each in ids]
    assert [hashes([each])[0] for each in ids] == hashes(ids).tolist()


def test_hashes_do_not_depend_on_chunks() -> None:
    ids = [f"customer-{number}" for number in range(2 * CHUNK + 1)]
    assert hashes(ids)[CHUNK] == slowly(ids[CHUNK])
    assert len(set(hashes(ids).tolist())) == len(ids)


def test_a_partition_says_nothing_of_a_hash() -> None:
    ids = [f"{number:08d}" for number in range(32_000)]
    own = np.array([zlib.crc32(each.encode()) % 16 for each in ids])
    low = hashes(ids) < np.uint64(1 << 62)
    shares = [float(low[own == partition].mean()) for partition in range(16)]
    # A standard error of 0.0097 each.
    assert max(abs(share - 0.25) for share in shares) < 0.04


# ------------------------------------------------------------------------- samples


def test_a_sample_is_of_the_smallest_hashes_of_all() -> None:
    first, second = np.array([5, 1, 9], dtype=np.uint64), np.array([4, 7], dtype=np.uint64)
    rows, drawn = sample.draw(first, 2)
    assert rows.tolist() == [1, 0]
    assert (drawn.hashes.tolist(), drawn.complete) == ([1, 5], False)
    _, whole = sample.draw(second, 2)
    limit = sample.limit_of([drawn, whole], 2)
    assert [sample.below(part.hashes, limit).tolist() for part in (drawn, whole)] == [[True, False], [True, False]]


def test_a_part_that_brought_too_few_shortens_the_sample_of_all() -> None:
    _, crowded = sample.draw(np.arange(10, dtype=np.uint64), 3)
    _, other = sample.draw(np.array([1, 2, 3, 4], dtype=np.uint64), 5)
    limit = sample.limit_of([crowded, other], 6)
    assert [sample.below(part.hashes, limit).sum() for part in (crowded, other)] == [2, 1]


def test_everybody_is_in_the_sample_where_there_are_few() -> None:
    top = np.array([(1 << 64) - 1], dtype=np.uint64)
    _, drawn = sample.draw(top, 5)
    assert sample.below(top, sample.limit_of([drawn], 5)).all()
    assert sample.limit_of([], 5) == 1 << 64


@pytest.mark.parametrize("parts", [1, 4, 16, 512])
def test_parts_bring_enough_for_the_sample_of_all(parts: int) -> None:
    own = hashes([f"customer {number}" for number in range(40_000)])
    partition = np.array([zlib.crc32(b"customer %d" % number) % parts for number in range(40_000)])
    drawn = [sample.draw(own[partition == number], sample.reserve(10_000, parts))[1] for number in range(parts)]
    limit = sample.limit_of(drawn, 10_000)
    chosen = np.concatenate([part.hashes[sample.below(part.hashes, limit)] for part in drawn])
    assert sorted(chosen.tolist()) == sorted(own.tolist())[:10_000]


# ------------------------------------------------------------------------- sums


def test_a_sum_has_no_rounding() -> None:
    assert exact_sum(np.array([1e100, 1.0, -1e100])) == 1
    assert exact_sum(np.array([0.1] * 10)) == 10 * Fraction(0.1)
    assert exact_sum(np.array([5e-324, -0.0])) == Fraction(5e-324)
    assert exact_sum(np.empty(0)) == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_has_no_sum(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        exact_sum(np.array([1.0, wrong]))


# ------------------------------------------------------------------------- histograms


def test_a_histogram_is_exact_up_to_its_bound_and_coarse_beyond() -> None:
    bounds = Bounds(exact=4, cells=100)
    values = np.array([1.0, 1.0, 2.0, 3.0, np.nan, -0.0])
    exact = histogram.of_values(values, bounds)
    assert (exact.level, exact.low.tolist(), exact.count.tolist()) == (0, [0.0, 1.0, 2.0, 3.0], [1, 2, 1, 1])
    assert exact.total == 5
    near = 1 + 2.0**-20
    coarse = histogram.of_values(np.append(values, near), bounds)
    assert (coarse.level, coarse.count.tolist()) == (1, [1, 3, 1, 1])
    assert (coarse.low[1], coarse.high[1]) == (1.0, near)


def test_cells_widen_until_there_are_few_enough() -> None:
    values = 1 + np.arange(1 << 12) / (1 << 12)
    found = histogram.of_values(values, Bounds(exact=10, cells=256))
    # 2^12 values in one doubling: cells of 2^-8 are 256, and the ninth level is 2^-8 wide.
    assert (found.level, len(found.count)) == (9, 256)
    assert set(found.count.tolist()) == {16}


def test_values_of_different_groups_are_counted_apart() -> None:
    group = np.array([2, 1, 2], dtype=np.int64)
    found = histogram.of_values(np.array([5.0, 5.0, 5.0]), histogram.VALUES, group)
    assert (found.group.tolist(), found.count.tolist()) == ([1, 2], [1, 2])


def test_quantiles_of_counts_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).integers(0, 50, 1_001).astype(np.float64)
    shares = np.array([0.0, 0.01, 0.2, 0.5, 0.77, 1.0])
    found = histogram.quantiles(histogram.of_values(values, histogram.VALUES), shares)
    assert found.tolist() == np.quantile(values, shares).tolist()


# ------------------------------------------------------------------------- histories


def test_equal_histories_are_counted_together() -> None:
    frequency, recency, age = (np.array(each) for each in ([0, 1, 1, 0, 0], [0, 6, 6, 0, 0], [0, 8, 8, 9, 1]))
    exact = histories.of_customers(frequency, recency, age)
    assert exact.level == 0
    assert exact.count.tolist() == [1, 1, 1, 2]
    assert (exact.recency.tolist(), exact.age.tolist()) == ([0, 0, 0, 12], [0, 1, 9, 16])


def test_beyond_the_bound_histories_lie_in_cells_by_the_first_bits_of_their_days() -> None:
    # Ages 100 and 101 agree in 6 bits, 100 and 103 in 5; one purchase each, after 3 days or 3 days before the end.
    age = np.array([100, 101, 103, 100, 0, 1])
    recency = np.array([3, 3, 3, 97, 0, 0])
    frequency = np.array([1, 1, 1, 1, 0, 0])
    found = {most: histories.of_customers(frequency, recency, age, most=most) for most in (6, 5, 4)}
    assert [found[most].level for most in (6, 5, 4)] == [0, 5, 6]
    assert found[5].age.tolist() == [0, 1, 100, 201, 103]
    assert found[4].age.tolist() == [0, 1, 100, 304]
    assert found[4].recency.tolist() == [0, 0, 97, 9]
