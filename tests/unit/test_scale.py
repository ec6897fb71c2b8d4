"""docs/scale.md says what the benchmark measured and what things cost; the arithmetic behind it, by hand."""

import re

import pytest

from benchmarks import scale
from benchmarks.scale import AGAIN, CHANGED, FULL, Line, Rates, Used
from segmentation import pricing

MEASURED = Rates(
    customers=100_000,
    memberships=500_000,
    runs={
        FULL: {"evaluate": Used(2, 4.0, 200, 1_000_000, 20, 4), "finish": Used(1, 1.0, 70, 180, 2, 0)},
        CHANGED: {"evaluate": Used(2, 2.0, 200, 10_000, 20, 4), "finish": Used(1, 1.0, 70, 180, 2, 0)},
        AGAIN: {
            "measure": Used(2, 3.0, 20, 0, 40, 10),
            "fit": Used(1, 5.0, 10, 20, 30, 3),
            "evaluate": Used(2, 2.0, 200, 10_000, 20, 4),
            "finish": Used(1, 1.0, 70, 180, 2, 0),
        },
    },
    written={FULL: 500_000, CHANGED: 5_000, AGAIN: 5_000},
    seconds_of_a_batch=0.001,
    file_bytes=15e6,
    fit=Line(5.0, 0.0),
    finish=Line(0.9, 0.05),
)


def test_the_document_says_what_the_benchmark_measured_and_what_things_cost() -> None:
    page = scale.PAGE.read_text()
    assert scale.written(page, scale.rates(scale.RATES.read_text())) == page, "run: python -m benchmarks.scale"


def test_a_night_of_a_million_customers_by_hand() -> None:
    night = scale.plan(MEASURED, CHANGED, 1_000_000)
    assert (night.partitions, night.workers, night.changes) == (5, 5, 50_000)
    # 2 s per 100,000 customers; 10,000 changes a partition in 400 batches of 1 ms; 500 requests of 5 ms, 12 of 20 ms.
    assert night.longest == pytest.approx(4.0 + 0.4 + 2.5 + 0.24)
    # One wave of workers, and a last step that takes 0.05 s and one file for each of five partitions.
    assert night.duration == pytest.approx(7.14 + 0.9 + 0.25 + 0.1)
    assert night.writes == 100_000 + 180
    # Two units for each change, two more for its history: 50,000 changes at 40,000 units a second.
    assert night.table_seconds == pytest.approx(5.0)
    assert night.transitions == pricing.STATES + 5 * pricing.STATES_OF_A_PART
    assert night.parts["events"] == pytest.approx(0.05)
    assert night.cost == pytest.approx(sum(night.parts.values()), abs=1e-5)


def test_steps_that_fit_models_add_their_workers_and_their_time() -> None:
    night, again = (scale.plan(MEASURED, run, 1_000_000) for run in (CHANGED, AGAIN))
    assert again.workers == night.workers + 5
    # 3 s per 100,000 customers, ten requests of 5 ms and 25 of 20 ms; then the fit, which reads 75 files.
    assert again.duration == pytest.approx(night.duration + 6.0 + 0.05 + 0.5 + 5.0 + 1.5)


def test_more_customers_than_workers_at_a_time_make_waves() -> None:
    few, many = (scale.plan(MEASURED, CHANGED, size) for size in (8_000_000, 16_000_000))
    assert few.partitions == scale.CONCURRENCY
    assert many.duration - few.duration == pytest.approx(few.longest + 40 * (0.05 + 0.02))


def test_every_price_that_a_run_is_estimated_with_is_in_the_document() -> None:
    shown = re.findall(r"\$([\d.]+) \|", scale.tables(MEASURED)["prices"])
    scales = {"gigabyteSecond": 1.0, "stateTransition": 1e3, "filePut": 1e3, "fileGet": 1e3}
    expected = [price * scales.get(name, 1e6) for name, price in pricing.PRICES.items()]
    assert [float(price) for price in shown[: len(expected)]] == pytest.approx(expected)


def test_a_benchmark_without_a_figure_is_refused_with_its_name() -> None:
    page = scale.RATES.read_text().replace("ms for each batch", "ms")
    with pytest.raises(ValueError, match="ms for each batch"):
        scale.rates(page)
