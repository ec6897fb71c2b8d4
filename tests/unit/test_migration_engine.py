"""Migration by hand: matrices, flows, sequences, retention and forecasts of a few customers."""

import numpy as np
import pytest

from segmentation.engine.frame import Bools
from segmentation.engine.migration import counting, flows, paths, retention
from segmentation.engine.migration.forecast import forecast
from segmentation.engine.migration.states import several_of, states_of
from segmentation.errors import InvalidInput

NEW, LOYAL, NONE = 0, 1, 2
# Six customers at four instants; the letters are the segments that they are in.
HISTORY = ["n n l l", "n l l -", "- n l l", "n n n n", "n - - n", "- - - -"]


def masks(rows: list[str], letters: str = "nl") -> Bools:
    """Instants x segments x customers out of words per instant; a word has the letters of the segments."""
    words = [row.split() for row in rows]
    return np.array(
        [[[letter in row[instant] for row in words] for letter in letters] for instant in range(len(words[0]))]
    )


def test_a_customer_in_several_segments_is_in_the_first_or_in_the_highest() -> None:
    both = masks(["nl l", "l nl", "- n"])
    assert states_of(both).tolist() == [[0, 1, 2], [1, 0, 0]]
    assert states_of(both, highest=True).tolist() == [[1, 1, 2], [1, 1, 0]]
    assert several_of(both).tolist() == [1, 1]


def test_more_segments_than_allowed_are_refused_with_their_number() -> None:
    with pytest.raises(InvalidInput, match="21 segments"):
        states_of(np.zeros((2, 21, 3), dtype=np.bool_))


def test_the_matrix_counts_customers_from_the_first_instant_to_the_last() -> None:
    found = counting.tally(masks(HISTORY))
    assert found.matrix.tolist() == [[2, 1, 1], [0, 0, 0], [0, 1, 1]]
    assert counting.sizes(found).tolist() == [[4, 0, 2], [3, 1, 2], [1, 3, 2], [2, 2, 2]]
    np.testing.assert_allclose(flows.shares(found.matrix), [[0.5, 0.25, 0.25], [0, 0, 0], [0, 0.5, 0.5]])


def test_entries_and_exits_are_shares_of_the_size_at_first() -> None:
    matrix = counting.tally(masks(HISTORY)).matrix
    assert flows.flow(matrix, NEW) == flows.Flow(4, 2, 2, 0, 2, 0.0, 0.5)
    assert flows.flow(matrix, LOYAL) == flows.Flow(0, 2, 0, 2, 0, None, None)


def test_upgrades_are_steps_up_and_entries_and_exits_are_no_steps() -> None:
    matrix = np.array([[5, 2, 1, 2], [1, 4, 0, 0], [3, 0, 6, 1], [7, 0, 1, 9]])
    found = flows.ladder(matrix)
    assert (found.upgraded, found.downgraded, found.same, found.entered, found.exited) == (3, 4, 15, 8, 3)
    assert (found.upgrade_share, found.downgrade_share, found.exit_share) == (3 / 25, 4 / 25, 3 / 25)
    assert (found.mean_steps_up, found.mean_steps_down) == (4 / 3, 7 / 4)


def test_sequences_are_counted_with_the_median_time_before_each_move() -> None:
    found = counting.tally(masks(["- n n l", "- - n l", "- n n l", "n n n n", "l l l -"])).paths
    first, second = paths.most_frequent(found, 10)
    assert first == paths.Path((NONE, NEW, LOYAL), False, 3, (1.0, 2.0))
    assert second == paths.Path((LOYAL, NONE), False, 1, (3.0,))
    assert paths.distinct(found) == 2


def test_the_median_of_an_even_number_of_times_lies_between_the_two_in_the_middle() -> None:
    (found,) = paths.most_frequent(counting.tally(masks(["- n n n", "- - - n"])).paths, 10)
    assert found.median_periods == (2.0,)


def test_a_sequence_longer_than_five_states_ends_and_says_that_it_goes_on() -> None:
    found = paths.most_frequent(counting.tally(masks(["n l n l n l n", "n l n l n n n"])).paths, 10)
    assert [(path.states, path.goes_on, path.customers) for path in found] == [
        ((0, 1, 0, 1, 0), False, 1),
        ((0, 1, 0, 1, 0), True, 1),
    ]


def test_retention_follows_kaplan_and_meier() -> None:
    # Stays in "new": four from the start (they end after 2, 1, never, 1), one from instant 1 (ends after 1) and one
    # from instant 3, of which nothing more was seen.
    stays = counting.tally(masks(HISTORY)).stays[NEW]
    ages = retention.curve(stays, 4)
    assert [(age.age, age.at_risk, age.left) for age in ages] == [(1, 5, 3), (2, 2, 1), (3, 1, 0)]
    assert [age.share for age in ages] == pytest.approx([2 / 5, 1 / 5, 1 / 5])
    assert retention.median_age(ages) == 1
    assert retention.cohorts(stays, 4) == [
        retention.Cohort(0, 4, (2, 1, 1)),
        retention.Cohort(1, 1, (0, 0)),
        retention.Cohort(3, 1, ()),
    ]


def test_the_interval_of_retention_is_that_of_greenwood_on_the_log_log_scale() -> None:
    # Kalbfleisch and Prentice: log S has the variance sum(left / (at risk * stays)): here 20 / (100 * 80).
    stays = np.zeros((2, 2), dtype=np.int64)
    stays[0] = [80, 20]
    (age,) = retention.curve(stays, 2)
    assert age.share == pytest.approx(0.8)
    width = 1.959964 * np.sqrt(20 / 8000) / -np.log(0.8)
    assert (age.low, age.high) == (pytest.approx(0.8 ** np.exp(width)), pytest.approx(0.8 ** np.exp(-width)))
    assert age.low == pytest.approx(0.708, abs=1e-3) and age.high == pytest.approx(0.866, abs=1e-3)


def test_where_nobody_left_there_is_no_interval() -> None:
    (age,) = retention.curve(np.array([[7, 0], [0, 0]]), 2)
    assert (age.share, age.low, age.high) == (1.0, None, None)
    assert retention.median_age([age]) is None


def test_a_stay_of_which_only_a_part_of_a_period_was_seen_is_not_followed() -> None:
    assert retention.curve(counting.tally(masks(["n n -"]), whole=2).stays[NEW], 2) == [
        retention.Age(1, 1, 0, 1.0, None, None)
    ]


def test_a_stationary_chain_is_forecast_to_stay_as_it_is() -> None:
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    values, vectors = np.linalg.eig(chances.T)
    share = np.real(vectors[:, np.argmax(np.real(values))])
    sizes = np.round(share / share.sum() * 1_000_000).astype(np.int64)
    steps = np.round(sizes[:, None] * chances).astype(np.int64)
    found = forecast(np.array([steps, steps]), sizes, 6)
    np.testing.assert_allclose(found.expected, np.tile(sizes, (6, 1)), rtol=1e-4)
    assert (found.low <= sizes).all() and (sizes <= found.high).all()
    assert found.dispersion == pytest.approx(0, abs=1e-9)


def test_a_forecast_by_hand_is_the_sizes_times_the_chances() -> None:
    steps = np.array([[[90_000, 10_000], [20_000, 80_000]]])
    found = forecast(steps, np.array([1000, 500]), 2)
    np.testing.assert_allclose(found.expected[0], [1000, 500], rtol=1e-3)
    np.testing.assert_allclose(found.expected[1], [1000, 500], rtol=1e-3)
    assert found.dispersion is None


def test_a_forecast_keeps_everybody_and_is_the_same_every_time() -> None:
    steps = np.array([[[5, 1, 0], [0, 3, 2], [1, 0, 0]], [[4, 2, 0], [0, 4, 2], [0, 0, 0]]])
    one, other = (forecast(steps, np.array([6, 4, 2]), 4) for _ in range(2))
    np.testing.assert_allclose(one.expected.sum(axis=1), 12)
    assert (one.low == other.low).all() and (one.high == other.high).all()


def test_a_state_that_nobody_was_seen_to_leave_or_stay_in_has_a_wide_interval() -> None:
    found = forecast(np.array([[[50, 0, 0], [0, 50, 0], [0, 0, 0]]]), np.array([0, 0, 30]), 1)
    assert (found.low[0] == 0).all() and (found.high[0] >= 25).all()


def test_dispersion_is_about_one_by_chance_and_large_when_the_chances_change() -> None:
    random = np.random.default_rng(5)
    steady, moving = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.5, 0.5]])
    same = np.array([[random.multinomial(2000, row) for row in steady] for _ in range(40)])
    other = np.array([[random.multinomial(2000, row) for row in (steady, moving)[n % 2]] for n in range(40)])
    start = np.array([2000, 2000])
    assert forecast(same, start, 1).dispersion == pytest.approx(1, abs=0.5)
    assert (forecast(other, start, 1).dispersion or 0) > 20


def test_intervals_hold_the_sizes_that_come_in_about_95_of_100_cases() -> None:
    random = np.random.default_rng(11)
    chances = np.array([[0.85, 0.1, 0.05], [0.15, 0.7, 0.15], [0.05, 0.05, 0.9]])
    held = []
    for _ in range(150):
        now, steps = np.array([60, 40, 200]), []
        for _ in range(5):
            step = random.multinomial(now, chances)
            steps.append(step)
            now = step.sum(axis=0)
        found = forecast(np.array(steps), now, 3)
        for period in range(3):
            now = random.multinomial(now, chances).sum(axis=0)
            held.append((found.low[period] <= now) & (now <= found.high[period]))
    assert 0.93 <= np.mean(held) <= 0.985
