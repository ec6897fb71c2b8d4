"""A lifetime model: BG/NBD for how often and how long, Gamma-Gamma for how much, with a back-test."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from segmentation.engine.bands import Bands, by_share, code
from segmentation.engine.frame import Column, DateColumn, Floats, Frame, NumberColumn
from segmentation.engine.lifetime import backtest, bgnbd, gamma_gamma
from segmentation.engine.lifetime.backtest import BackTest
from segmentation.engine.lifetime.bgnbd import BgNbd, expected_orders, probability_alive
from segmentation.engine.lifetime.gamma_gamma import GammaGamma
from segmentation.engine.lifetime.purchases import Purchases, Summary, of_orders, summarise
from segmentation.engine.lifetime.value import WEEKS_PER_MONTH, clv, next_order
from segmentation.engine.modelling.groups import FoundGroup, banded
from segmentation.errors import InvalidInput, Unfit

DAYS_PER_WEEK = 7.0
HOLDOUT_SHARE = 1 / 3
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
    they are to be read, sums over customers.
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
    spending, value = _spending(summary)
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
    )
    return model, report, banded(tiers_of, tiers, sizes)


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


def _spending(summary: Summary) -> tuple[GammaGamma | None, Checked]:
    try:
        return gamma_gamma.fit(summary.frequency, summary.mean_value), Checked("fitted")
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
