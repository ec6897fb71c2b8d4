"""What holds of every migration: nobody is lost or counted twice, and partitions add up whatever their number."""

from collections import Counter
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segmentation.engine.frame import Bools
from segmentation.engine.migration import counting, flows, paths, retention
from segmentation.engine.migration.counting import Tally
from segmentation.engine.migration.states import states_of

SHAPES = st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(0, 30))
MASKS = SHAPES.flatmap(lambda shape: arrays.arrays(np.bool_, shape))


def parts(masks: Bools, homes: list[int], number: int) -> Tally:
    """The tally of customers who live in so many partitions, partition after partition."""
    place = np.array([homes[row % len(homes)] % number for row in range(masks.shape[2])], dtype=np.int64)
    found = [counting.tally(masks[:, :, place == part]) for part in range(number)]
    total = found[0]
    for tally in found[1:]:
        total = counting.merge(total, tally)
    return total


@settings(deadline=None, max_examples=40)
@given(masks=MASKS, homes=st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_the_number_of_partitions_changes_nothing(masks: Bools, homes: list[int]) -> None:
    whole = counting.tally(masks)
    for number in (1, 4, 16):
        found = parts(masks, homes, number)
        for name in ("several", "matrix", "steps", "stays"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
        assert paths.most_frequent(found.paths, 50) == paths.most_frequent(whole.paths, 50)


@settings(deadline=None, max_examples=60)
@given(masks=MASKS, highest=st.booleans())
def test_every_customer_is_counted_once(masks: Bools, highest: bool) -> None:
    found = counting.tally(masks, highest)
    sizes, customers = counting.sizes(found), masks.shape[2]
    assert (sizes.sum(axis=1) == customers).all() and found.matrix.sum() == customers
    np.testing.assert_array_equal(found.matrix.sum(axis=1), sizes[0])
    np.testing.assert_array_equal(found.matrix.sum(axis=0), sizes[-1])
    np.testing.assert_array_equal(found.steps.sum(axis=2), sizes[:-1])
    np.testing.assert_array_equal(found.steps.sum(axis=1), sizes[1:])
    named = masks.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(sizes[:, :-1].sum(axis=1), named)


@settings(deadline=None, max_examples=30)
@given(masks=MASKS, outside=st.integers(0, 5))
def test_customers_who_were_never_in_a_segment_need_no_row(masks: Bools, outside: int) -> None:
    found = counting.tally(masks, outside=outside)
    wanted = counting.tally(np.pad(masks, ((0, 0), (0, 0), (0, outside))))
    for name in ("several", "matrix", "steps", "stays"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert paths.most_frequent(found.paths, 50) == paths.most_frequent(wanted.paths, 50)


@settings(deadline=None, max_examples=60)
@given(masks=MASKS)
def test_what_enters_less_what_leaves_is_the_growth(masks: Bools) -> None:
    matrix = counting.tally(masks).matrix
    found = [flows.flow(matrix, state) for state in range(len(matrix))]
    for flow in found:
        assert flow.size_to - flow.size_from == flow.entered - flow.exited
        assert flow.stayed + flow.exited == flow.size_from and flow.stayed + flow.entered == flow.size_to
    assert sum(flow.entered for flow in found) == sum(flow.exited for flow in found)


@settings(deadline=None, max_examples=60)
@given(masks=MASKS)
def test_moves_within_an_ordered_set_are_up_down_or_none(masks: Bools) -> None:
    matrix = counting.tally(masks, highest=True).matrix
    found = flows.ladder(matrix)
    assert found.upgraded + found.downgraded + found.same + found.exited == matrix[:-1].sum()
    turned = flows.ladder(np.pad(matrix[-2::-1, -2::-1], (0, 1)))
    assert (turned.upgraded, turned.downgraded) == (found.downgraded, found.upgraded)


@settings(deadline=None, max_examples=60)
@given(masks=MASKS)
def test_the_matrix_over_two_periods_is_that_of_the_customers_and_not_a_product(masks: Bools) -> None:
    """Between a and c the customers are followed through b one by one; only the margins are those of the steps."""
    states = states_of(masks)
    found = counting.tally(masks[:3])
    last = min(2, len(states) - 1)
    followed = Counter(zip(states[0].tolist(), states[last].tolist(), strict=True))
    assert {place: count for place, count in np.ndenumerate(found.matrix) if count} == followed
    np.testing.assert_array_equal(found.matrix.sum(axis=1), found.steps[0].sum(axis=1))
    np.testing.assert_array_equal(found.matrix.sum(axis=0), found.steps[-1].sum(axis=0))


@settings(deadline=None, max_examples=60)
@given(masks=MASKS)
def test_sequences_are_those_of_the_customers_one_by_one(masks: Bools) -> None:
    wanted: Counter[tuple[tuple[int, ...], bool]] = Counter()
    for row in states_of(masks).T.tolist():
        states = [state for state, _ in groupby(row)]
        if len(states) > 1:
            wanted[tuple(states[: paths.LONGEST]), len(states) > paths.LONGEST] += 1
    found = paths.most_frequent(counting.tally(masks).paths, 10**6)
    assert {(path.states, path.goes_on): path.customers for path in found} == wanted
    assert [path.customers for path in found] == sorted(wanted.values(), reverse=True)


@settings(deadline=None, max_examples=60)
@given(masks=MASKS)
def test_retention_is_that_of_the_stays_one_by_one(masks: Bools) -> None:
    states, instants = states_of(masks), len(masks)
    stays: dict[int, list[tuple[int, int, bool]]] = {}
    for row in states.T.tolist():
        begin = 0
        for state, run in groupby(row):
            length = len(list(run))
            stays.setdefault(state, []).append((begin, length, begin + length < instants))
            begin += length
    tally = counting.tally(masks)
    for state, found in stays.items():
        share = 1.0
        ages = retention.curve(tally.stays[state], instants)
        for age in ages:
            watched = [(length, ended) for begin, length, ended in found if begin + age.age < instants]
            at_risk = sum(length >= age.age for length, _ in watched)
            left = sum(ended and length == age.age for length, ended in watched)
            share *= 1 - left / at_risk
            assert (age.at_risk, age.left) == (at_risk, left)
            assert age.share == pytest.approx(share)
        assert sum(cohort.customers for cohort in retention.cohorts(tally.stays[state], instants)) == len(found)
