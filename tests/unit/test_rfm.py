"""RFM scores: ties, cut points, missing customers, and the scores that R's package `rfm` gives."""

import csv
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import Floats
from segmentation.engine.rfm import breaks
from segmentation.engine.rfm.breaks import natural_breaks
from segmentation.engine.rfm.scoring import Binning, KMeansBins, Quantiles, Rfm, Scores, Thresholds, fit, score
from segmentation.errors import InsufficientData, InvalidInput

FIXED = Thresholds((30, 90, 180, 365), (2, 3, 5, 10), (50, 100, 200, 500))


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def codes(scores: Scores) -> list[int]:
    """Scores as R writes them: 100 R + 10 F + M."""
    return (100 * scores.recency.astype(int) + 10 * scores.frequency + scores.monetary).tolist()


@pytest.fixture
def shop() -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(5)
    return rng.integers(0, 700, 400) * 1.0, rng.geometric(0.4, 400) * 1.0, rng.lognormal(4, 1, 400)


def test_the_scores_of_r_are_reproduced_for_all_995_customers(data: Path) -> None:
    with (data / "rfm_orders" / "expected_rfm_orders_analysis_2006-12-31.csv").open() as file:
        rows = list(csv.DictReader(file))
    recency, frequency, monetary = (
        np.array([float(row[name]) for row in rows]) for name in ("recency_days", "transaction_count", "amount")
    )
    model = fit(recency, frequency, monetary, Quantiles(5, "r"))
    assert len(rows) == model.customers == 995
    np.testing.assert_allclose(model.recency.cuts, [115, 181, 297.4, 482], rtol=1e-12)
    np.testing.assert_allclose(model.frequency.cuts, [4, 5, 6, 8], rtol=1e-12)
    np.testing.assert_allclose(model.monetary.cuts, [255.8, 382, 506.4, 666], rtol=1e-12)
    assert model.recency.counts == (197, 200, 199, 199, 200)
    assert model.frequency.counts == (268, 187, 176, 244, 120)
    assert model.monetary.counts == (200, 200, 198, 202, 195)
    assert codes(score(model, recency, frequency, monetary)) == [int(row["score"]) for row in rows]
    assert codes(score(model, floats(205, 140, 98), floats(6, 3, 7), floats(472, 340, 596))) == [343, 412, 544]


def test_quantiles_of_online_retail_agree_with_its_expected_scores(data: Path) -> None:
    path = data.parent / "reference" / "expected" / "online_retail_rfm_2011-12-10.csv"
    if not path.is_file():
        pytest.skip("the expected values of Online Retail are not beside the data sets")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    recency, frequency, monetary = (np.array([float(row[name]) for row in rows]) for name in "RFM")
    assert (recency.mean(), frequency.mean(), monetary.mean()) == pytest.approx((92.0595, 4.2720, 2054.2665), abs=1e-4)
    model = fit(recency, frequency, monetary, Quantiles())
    scores = score(model, recency, frequency, monetary)
    assert scores.recency.tolist() == [int(row["Rs"]) for row in rows]
    assert scores.monetary.tolist() == [int(row["Ms"]) for row in rows]
    # A third of the customers ordered once: they share the lowest score, where ranks would have split them.
    assert model.frequency.counts == (1493, 835, 508, 802, 700)


def test_the_lowest_recency_and_the_highest_frequency_and_monetary_value_score_highest() -> None:
    values = floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    scores = score(fit(values, values, values, Quantiles()), values, values, values)
    assert scores.recency.tolist() == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert scores.frequency.tolist() == scores.monetary.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_one_time_buyers_share_the_lowest_frequency_and_leave_a_bin_empty() -> None:
    frequency = floats(1, 1, 1, 1, 1, 1, 2, 3, 4, 5)
    model = fit(frequency, frequency, frequency, Quantiles())
    assert score(model, frequency, frequency, frequency).frequency.tolist() == [1] * 6 + [4, 4, 5, 5]
    assert model.frequency.counts == (6, 0, 0, 2, 2)


def test_customers_without_purchases_have_no_score_and_do_not_move_the_cut_points(
    shop: tuple[Floats, Floats, Floats],
) -> None:
    model = fit(*shop, Quantiles())
    padded = [np.concatenate((values, [np.nan, 0.0, 5.0])) for values in shop]
    padded[0][-2:] = np.nan
    again = fit(*padded, Quantiles())
    assert to_document(again) == to_document(model)
    scores = score(model, *padded)
    assert [part[-3:].tolist() for part in (scores.recency, scores.frequency, scores.monetary)] == [[0, 0, 0]] * 3
    assert scores.recency[:-3].min() == 1


@pytest.mark.parametrize("column", [0, 1, 2])
def test_one_missing_number_leaves_a_customer_without_any_score(
    shop: tuple[Floats, Floats, Floats], column: int
) -> None:
    row = [floats(10), floats(2), floats(30)]
    row[column] = floats(np.nan)
    assert codes(score(fit(*shop, Quantiles()), *row)) == [0]


def test_a_value_at_a_fixed_threshold_has_reached_the_better_score() -> None:
    nobody = floats()
    model = fit(nobody, nobody, nobody, FIXED)
    assert (model.bins, model.customers, model.recency.counts) == (5, 0, (0, 0, 0, 0, 0))
    at = score(model, floats(30, 30.5, 365, 366), floats(10, 9, 2, 1), floats(500, 499, 50, 49.99))
    assert codes(at) == [555, 444, 222, 111]


def test_returns_above_purchases_give_negative_money_and_the_lowest_score(shop: tuple[Floats, Floats, Floats]) -> None:
    recency, frequency, monetary = shop
    monetary[0] = -20
    model = fit(recency, frequency, monetary, Quantiles())
    assert score(model, *shop).monetary[0] == 1


@pytest.mark.parametrize("binning", [Quantiles(), Quantiles(5, "r"), FIXED])
def test_a_constant_column_gives_everybody_the_same_score(binning: Binning) -> None:
    varied, same = np.arange(10.0), np.full(10, 7.0)
    model = fit(same, same, same, binning)
    scores = score(model, same, same, same)
    assert len(set(codes(scores))) == 1
    assert sorted(model.monetary.counts) == [0, 0, 0, 0, 10]
    assert fit(varied, same, varied, binning).frequency.counts == model.frequency.counts


def test_k_means_finds_the_gaps_between_values() -> None:
    values = floats(1, 2, 1, 2, 100, 101, 100, 1000)
    model = fit(values, values, values, KMeansBins(3))
    np.testing.assert_allclose(model.monetary.cuts, [(1.5 + 301 / 3) / 2, (301 / 3 + 1000) / 2])
    assert score(model, values, values, values).monetary.tolist() == [1, 1, 1, 1, 2, 2, 2, 3]
    assert score(model, values, values, values).recency.tolist() == [3, 3, 3, 3, 2, 2, 2, 1]


def test_many_distinct_values_get_breaks_as_good_as_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).lognormal(3, 1, 900)

    def spread(cuts: Floats) -> float:
        code = np.searchsorted(cuts, values)
        return float(sum(values[code == group].var() * np.count_nonzero(code == group) for group in range(5)))

    exact = spread(natural_breaks(values, 5, "monetary"))
    monkeypatch.setattr(breaks, "EXACT", 128)
    assert exact <= spread(natural_breaks(values, 5, "monetary")) <= exact * 1.001


def test_fewer_distinct_values_than_bins_is_an_error_that_says_both_numbers() -> None:
    varied, few = np.arange(10.0), np.tile([1.0, 2.0], 5)
    with pytest.raises(InvalidInput, match="bins=3 exceeds the 2 distinct values of frequency") as caught:
        fit(varied, few, varied, KMeansBins(3))
    assert caught.value.errors[0].field == "bins"


@pytest.mark.parametrize("bins", [-1, 0, 2, 11])
def test_bins_outside_three_to_ten_are_refused(shop: tuple[Floats, Floats, Floats], bins: int) -> None:
    for binning in (Quantiles(bins), KMeansBins(bins)):
        with pytest.raises(InvalidInput, match=f"bins={bins} is not between 3 and 10"):
            fit(*shop, binning)


def test_fewer_customers_than_bins_are_insufficient_and_missing_ones_do_not_count() -> None:
    four, missing = floats(1, 2, 3, 4, np.nan), np.full(5, np.nan)
    with pytest.raises(InsufficientData, match="4 customers with purchases are fewer than bins=5"):
        fit(four, four, four, Quantiles())
    for binning in (Quantiles(), KMeansBins()):
        with pytest.raises(InsufficientData, match="0 customers"):
            fit(missing, missing, missing, binning)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, -3, "recency=-3 lies after the day of analysis"),
        (0, np.inf, "recency=inf is not possible"),
        (1, -1, "frequency=-1 is not possible"),
        (2, -np.inf, "monetary=-inf is not possible"),
        (2, 1e101, r"monetary=1e\+101 is not possible"),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    shop: tuple[Floats, Floats, Floats], column: int, value: float, message: str
) -> None:
    shop[column][7] = value
    with pytest.raises(InvalidInput, match=message):
        fit(*shop, Quantiles())


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        (Thresholds((30, 20), (1, 2), (1, 2)), "recency must be finite and ascend: 30, 20"),
        (Thresholds((10, 20), (1, 1), (1, 2)), "frequency must be finite and ascend: 1, 1"),
        (Thresholds((10, 20), (1, 2), (1, np.nan)), "monetary must be finite and ascend: 1, nan"),
        (Thresholds((10, 20), (1, 2, 3), (1, 2)), "frequency has 3"),
        (Thresholds((10,), (1,), (1,)), "1 thresholds for recency are not between 2 and 9"),
        (Thresholds((1, 2), tuple(range(10)), (1, 2)), "10 thresholds for frequency"),
    ],
)
def test_thresholds_that_do_not_ascend_or_match_are_refused(thresholds: Thresholds, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        fit(np.arange(9.0), np.arange(9.0), np.arange(9.0), thresholds)


def test_columns_of_unequal_length_are_refused(shop: tuple[Floats, Floats, Floats]) -> None:
    model = fit(*shop, Quantiles())
    with pytest.raises(ValueError, match="400 recencies, 399 frequencies"):
        score(model, shop[0], shop[1][1:], shop[2])


@pytest.mark.parametrize("binning", [Quantiles(7), KMeansBins(4), FIXED])
def test_a_model_scores_the_same_after_a_round_trip_as_a_document(
    shop: tuple[Floats, Floats, Floats], binning: Binning
) -> None:
    model = fit(*shop, binning)
    back = from_document(Rfm, to_document(model))
    assert back.binning == binning
    assert codes(score(back, *shop)) == codes(score(model, *shop))
