"""Ordered groups over a score: fixed limits, shares of customers, and ties."""

import math

import numpy as np
import pytest

from segmentation.engine.bands import Bands, by_limits, by_share, code
from segmentation.engine.document import from_document, to_document
from segmentation.errors import InsufficientData, InvalidInput

RISKS = ("low", "medium", "high")


def counts(bands: Bands, values: list[float]) -> list[int]:
    return np.bincount(code(bands, np.array(values)), minlength=len(bands.names)).tolist()


def test_a_score_at_a_limit_is_in_the_upper_band_and_a_missing_one_in_none() -> None:
    bands = by_limits(RISKS, (0.4, 0.7))
    scores = np.array([0.0, 0.39, 0.4, 0.69, 0.7, 1.0, np.nan, -np.inf, np.inf])
    assert code(bands, scores).tolist() == [0, 0, 1, 1, 2, 2, -1, 0, 2]
    assert code(bands, np.array([])).tolist() == []


def test_shares_are_met_exactly_without_ties() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    bands = by_share(np.array(values), RISKS, (0.5, 0.3, 0.2))
    assert bands.cuts == (51.0, 81.0)
    assert counts(bands, values) == [50, 30, 20]


def test_ties_stay_together_at_the_cut_nearest_to_the_share() -> None:
    values = [0.0] * 60 + [1.0] * 5 + [2.0] * 15 + [3.0] * 20
    assert counts(by_share(np.array(values), RISKS, (0.5, 0.3, 0.2)), values) == [60, 20, 20]


def test_no_band_is_empty_even_if_one_score_holds_most() -> None:
    values = [0.0] * 98 + [1.0, 2.0]
    assert counts(by_share(np.array(values), RISKS, (0.1, 0.1, 0.8)), values) == [98, 1, 1]
    values = [0.0, 1.0] + [2.0] * 98
    assert counts(by_share(np.array(values), RISKS, (0.8, 0.1, 0.1)), values) == [1, 1, 98]


def test_missing_scores_do_not_count_towards_shares() -> None:
    values = np.array([1.0, 2.0, np.nan, 3.0, 4.0, np.nan])
    assert by_share(values, ("low", "high"), (0.5, 0.5)).cuts == (3.0,)


def test_customers_given_twice_do_not_move_the_cuts() -> None:
    values = np.random.default_rng(1).integers(0, 30, 200) * 1.0
    assert by_share(np.tile(values, 2), RISKS, (0.2, 0.5, 0.3)) == by_share(values, RISKS, (0.2, 0.5, 0.3))


@pytest.mark.parametrize("values", [[], [1.0, 1.0, 2.0], [math.nan] * 5])
def test_fewer_distinct_scores_than_bands_are_insufficient(values: list[float]) -> None:
    with pytest.raises(InsufficientData, match="distinct scores are fewer than the 3 bands"):
        by_share(np.array(values), RISKS, (0.5, 0.3, 0.2))


def test_infinite_scores_have_no_shares() -> None:
    with pytest.raises(InvalidInput, match="a score is infinite"):
        by_share(np.array([1.0, 2.0, math.inf]), RISKS, (0.5, 0.3, 0.2))


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.0, 0.5, -0.5), (1.0, 0.0, 0.0), (math.nan, 0.5, 0.5)])
def test_shares_that_are_not_positive_or_do_not_sum_to_one_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="shares must be positive and sum to 1") as caught:
        by_share(np.arange(9.0), RISKS, shares)
    assert caught.value.errors[0].field == "shares"


@pytest.mark.parametrize("cuts", [(0.7, 0.4), (0.4, 0.4), (0.4, math.inf), (math.nan, 0.5)])
def test_limits_that_do_not_ascend_are_refused(cuts: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="limits must be finite and ascend"):
        by_limits(RISKS, cuts)


def test_limits_and_shares_must_match_the_names() -> None:
    with pytest.raises(InvalidInput, match="3 names need 2 limits, not 1"):
        by_limits(RISKS, (0.5,))
    with pytest.raises(InvalidInput, match="3 names need as many shares, not 2"):
        by_share(np.arange(9.0), RISKS, (0.5, 0.5))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("one",), "1 bands are not between 2 and 20"),
        (tuple(map(str, range(21))), "21 bands are not between 2 and 20"),
        (("Low", "low"), "'Low', 'low'"),
        (("low", " "), "not blank"),
    ],
)
def test_names_must_be_distinct_and_not_blank(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        by_limits(names, tuple(float(cut) for cut in range(len(names) - 1)))


def test_bands_survive_a_round_trip_as_a_document() -> None:
    bands = by_limits(RISKS, (0.1 + 0.2, 0.7))
    assert from_document(Bands, to_document(bands)) == bands
