"""A lifetime model: BG/NBD for how often and how long, Gamma-Gamma for how much, with a back-test."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from segmentation.engine.bands import Bands, by_counted_share, by_share, code
from segmentation.engine.frame import Column, DateColumn, Floats, Frame, NumberColumn
from segmentation.engine.lifetime import backtest, bgnbd, gamma_gamma
from segmentation.engine.lifetime.backtest import BackTest
from segmentation.engine.lifetime.bgnbd import BgNbd, expected_orders, probability_alive
from segmentation.engine.lifetime.gamma_gamma import GammaGamma
from segmentation.engine.lifetime.purchases import Purchases, Summary, of_orders, summarise
from segmentation.engine.lifetime.value import WEEKS_PER_MONTH, clv, next_order
from segmentation.engine.modelling.groups import FoundGroup, banded
from segmentation.engine.modelling.pooled import Described, Pooled
from segmentation.engine.sketches.exact import exact_sum
from segmentation.engine.sketches.histogram import VALUES, Bounds, of_values
from segmentation.engine.sketches.histories import of_customers
from segmentation.errors import InvalidInput, Unfit

DAYS_PER_WEEK = 7.0
HOLDOUT_SHARE = 1 / 3
SPENDING = Bounds(exact=1 << 20, cells=1 << 20)
"""Of mean values by frequency: exact for a million repeat customers, whoever they are."""
P_ALIVE, EXPECTED, CLV, NEXT = "lifetime.pAlive", "lifetime.expectedOrders", "lifetime.clv", "lifetime.nextOrderAt"
RISK = "churn.risk"


@dataclass(frozen=True)
class LifetimeParameters:
    """The horizon in months of 4.345 weeks, the discount of a month, the length of the back-test (None: a third of the
    history), and the shares and names of tiers, lowest first.
    """

    months: int
    monthly_rate: float
    holdout_days: int | None
    shares: tuple[float, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LifetimeModel:
    """Parameters in weeks. Without `gamma_gamma` orders are forecast, and their value is not."""

    bgnbd: BgNbd
    gamma_gamma: GammaGamma | None
    months: int
    monthly_rate: float
    tiers_of: str
    tiers: Bands


@dataclass(frozen=True)
class Checked:
    """A part of the model that data may not suffice for: whether it stands, and if not, why."""

    status: Literal["fitted", "insufficient_data", "unreliable"]
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class LifetimeReport:
    """What was found, beside the parameters: the back-test, whether values could be modelled, and with what `caution`
    they are to be read, sums over customers. The parameters are those of `fitted_on` customers.
    """

    end_day: str
    customers: int
    repeat_customers: int
    mean_p_alive: float
    expected_orders: float
    total_clv: float | None
    value: Checked
    caution: str | None
    back_test: BackTest | None
    back_test_status: Checked
    fitted_on: int


def fit(
    purchases: Purchases, now: np.datetime64, parameters: LifetimeParameters
) -> tuple[LifetimeModel, LifetimeReport, tuple[FoundGroup, ...]]:
    """The model of purchases until the day of `now`, what it found, and tiers of customers by value.

    Raises InsufficientData or UnreliableFit if orders cannot be forecast. If only their value cannot, tiers are by
    expected orders, and the report says why.
    """
    end_day = day_of(now)
    summary = summarise(purchases, end_day, DAYS_PER_WEEK)
    fitted = bgnbd.fit(summary.frequency, summary.recency, summary.age)
    spending, value = _spending(summary.frequency, summary.mean_value)
    tested, tested_status = _tested(purchases, end_day, parameters)
    blank = LifetimeModel(fitted, spending, parameters.months, parameters.monthly_rate, CLV, Bands((), ()))
    figures = _figures(blank, summary)
    tiers_of = EXPECTED if spending is None else CLV
    tiers = by_share(figures[tiers_of], parameters.names, parameters.shares)
    model = LifetimeModel(fitted, spending, parameters.months, parameters.monthly_rate, tiers_of, tiers)
    codes = code(tiers, figures[tiers_of])
    sizes = tuple(np.bincount(codes[codes >= 0], minlength=len(tiers.names)).tolist())
    report = LifetimeReport(
        end_day=str(np.datetime64(end_day, "D")),
        customers=len(summary.rows),
        repeat_customers=int(np.count_nonzero(summary.frequency)),
        mean_p_alive=float(figures[P_ALIVE].mean()),
        expected_orders=float(figures[EXPECTED].sum()),
        total_clv=None if spending is None else float(figures[CLV].sum()),
        value=value,
        caution=None if spending is None else gamma_gamma.caution(spending),
        back_test=tested,
        back_test_status=tested_status,
        fitted_on=len(summary.rows),
    )
    return model, report, banded(tiers_of, tiers, sizes)


def pool(purchases: Purchases, now: np.datetime64) -> Pooled:
    """What these customers bring to a fit on many more: counts of their histories, and of their mean values."""
    summary = summarise(purchases, day_of(now), 1.0)
    frequency, recency, age = (
        np.rint(column).astype(np.int64) for column in (summary.frequency, summary.recency, summary.age)
    )
    spending = of_values(summary.mean_value, SPENDING, frequency)
    customers = len(purchases.offsets) - 1
    return Pooled(customers, len(summary.rows), {CLV: spending}, of_customers(frequency, recency, age))


def fit_pooled(
    pooled: Pooled, sample: Purchases, now: np.datetime64, parameters: LifetimeParameters
) -> tuple[LifetimeModel, LifetimeReport]:
    """The model of all customers that were pooled, and what is found before they are described: the tiers and the sums
    over customers are yet to come, and the back-test is on a `sample` of them. Raises as `fit`.
    """
    end_day = day_of(now)
    counts = pooled.histories
    weight = counts.count.astype(np.float64)
    recency, age = (column / (counts.count * DAYS_PER_WEEK) for column in (counts.recency, counts.age))
    fitted = bgnbd.fit(counts.frequency.astype(np.float64), recency, age, weight)
    cells = pooled.values[CLV]
    middles = cells.low + (cells.high - cells.low) / 2
    spending, value = _spending(cells.group.astype(np.float64), middles, cells.count.astype(np.float64))
    tested, tested_status = _tested(sample, end_day, parameters)
    tiers_of = EXPECTED if spending is None else CLV
    model = LifetimeModel(fitted, spending, parameters.months, parameters.monthly_rate, tiers_of, Bands((), ()))
    report = LifetimeReport(
        end_day=str(np.datetime64(end_day, "D")),
        customers=pooled.known,
        repeat_customers=int(counts.count[counts.frequency > 0].sum()),
        mean_p_alive=float("nan"),
        expected_orders=float("nan"),
        total_clv=None,
        value=value,
        caution=None if spending is None else gamma_gamma.caution(spending),
        back_test=tested,
        back_test_status=tested_status,
        fitted_on=pooled.known,
    )
    return model, report


def describe(model: LifetimeModel, purchases: Purchases, now: np.datetime64) -> Described:
    """How many customers have bought, and bought again; sums of their figures, and a histogram of what tiers are by."""
    summary = summarise(purchases, day_of(now), DAYS_PER_WEEK)
    figures = _figures(model, summary)
    return Described(
        counts={"customers": np.array([len(summary.rows), np.count_nonzero(summary.frequency)])},
        sums={name: (exact_sum(values[~np.isnan(values)]),) for name, values in figures.items()},
        values={model.tiers_of: of_values(figures[model.tiers_of], VALUES)},
    )


def complete(
    model: LifetimeModel, report: LifetimeReport, described: Described, parameters: LifetimeParameters
) -> tuple[LifetimeModel, LifetimeReport, tuple[FoundGroup, ...]]:
    """The model with tiers of all customers that were described, the report with their sums, and the groups.

    A tier begins where a cell of the histogram does, so that how many are in it is a count. Raises InsufficientData
    with fewer distinct values than tiers.
    """
    cells, sums = described.values[model.tiers_of], described.sums
    tiers = by_counted_share(cells.low, cells.count, parameters.names, parameters.shares)
    sizes = np.bincount(code(tiers, cells.low), cells.count, minlength=len(tiers.names)).astype(np.int64)
    customers, repeat = described.counts["customers"].tolist()
    counted = replace(
        report,
        customers=customers,
        repeat_customers=repeat,
        mean_p_alive=float(sums[P_ALIVE][0] / customers),
        expected_orders=float(sums[EXPECTED][0]),
        total_clv=float(sums[CLV][0]) if CLV in sums else None,
    )
    return replace(model, tiers=tiers), counted, banded(model.tiers_of, tiers, tuple(sizes.tolist()))


def score(model: LifetimeModel, frame: Frame, now: np.datetime64) -> dict[str, Column]:
    """P(alive), expected orders and value over the horizon, the next order, and the risk of churn, 1 - P(alive).

    All are missing for whoever has not bought; so is a value that is not modelled, and an order that is not likely.
    """
    end_day = day_of(now)
    summary = summarise(of_orders(frame.events["order"]), end_day, DAYS_PER_WEEK)
    spread = {name: np.full(frame.size, np.nan) for name in (P_ALIVE, EXPECTED, CLV)}
    for name, values in _figures(model, summary).items():
        spread[name][summary.rows] = values
    due = np.full(frame.size, np.datetime64("NaT", "us"), dtype="datetime64[us]")
    days = np.ceil(next_order(model.bgnbd, summary.frequency, summary.recency, summary.age) * DAYS_PER_WEEK)
    likely = days < _FURTHEST_DAYS
    due[summary.rows[likely]] = (end_day + days[likely].astype(np.int64)).astype("datetime64[D]")
    columns: dict[str, Column] = {name: NumberColumn(values) for name, values in spread.items()}
    return {**columns, NEXT: DateColumn(due), RISK: NumberColumn(1 - spread[P_ALIVE])}


_FURTHEST_DAYS = 36_525
"""A hundred years: an order that is due later is not due."""


def day_of(now: np.datetime64) -> int:
    """The UTC day, since 1970."""
    return int(now.astype("datetime64[D]").astype(np.int64))


def _figures(model: LifetimeModel, summary: Summary) -> dict[str, Floats]:
    """P(alive), expected orders and value of the summary's customers; value is left out where it is not modelled."""
    history = summary.frequency, summary.recency, summary.age
    figures = {
        P_ALIVE: probability_alive(model.bgnbd, *history),
        EXPECTED: expected_orders(model.bgnbd, model.months * WEEKS_PER_MONTH, *history),
    }
    if model.gamma_gamma is not None:
        rate = model.monthly_rate
        figures[CLV] = clv(
            model.bgnbd, model.gamma_gamma, *history, summary.mean_value, months=model.months, monthly_rate=rate
        )
    return figures


def _spending(frequency: Floats, mean_value: Floats, weight: Floats | None = None) -> tuple[GammaGamma | None, Checked]:
    try:
        return gamma_gamma.fit(frequency, mean_value, weight), Checked("fitted")
    except Unfit as error:
        return None, Checked(error.status, error.message)
    except InvalidInput as error:
        return None, Checked("insufficient_data", error.message)


def _tested(purchases: Purchases, end_day: int, parameters: LifetimeParameters) -> tuple[BackTest | None, Checked]:
    """The back-test; a history that is too short for one does not forbid the model."""
    try:
        if parameters.holdout_days is None:
            cut_day = backtest.cut_for(purchases, end_day, HOLDOUT_SHARE)
        else:
            cut_day = end_day - parameters.holdout_days
        return backtest.backtest(purchases, cut_day, end_day, DAYS_PER_WEEK), Checked("fitted")
    except Unfit as error:
        return None, Checked(error.status, error.message)
