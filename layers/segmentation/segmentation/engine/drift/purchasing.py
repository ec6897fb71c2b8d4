"""A lifetime model on the purchases of today: how likely it finds them, and what it forecast against what happened.

It must not know a store or a clock.
"""

from collections.abc import Mapping
from math import nan, sqrt
from typing import Any

import numpy as np

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.bgnbd import BgNbd, expected_orders, grouped
from segmentation.engine.lifetime.likelihood import counts_of, evaluate
from segmentation.engine.lifetime.purchases import Purchases, Summary, summarise, until


def measure(model: BgNbd, purchases: Purchases, fitted_day: int, end_day: int, unit_days: float) -> dict[str, Any]:
    """Sums over customers, which add up over parts of them; days since 1970, the model's times in `unit_days`.

    `logLikelihood` is of those whose first purchase is before `end_day`. `forecast` are the orders that the model, from
    the purchases until `fitted_day`, expected of those `known` then until `end_day`; `happened` those that came.
    """
    today = summarise(purchases, end_day, unit_days)
    old = today.age > 0
    partial = {
        "customers": int(np.count_nonzero(old)),
        "logLikelihood": log_likelihood(model, today),
        "known": 0,
        "forecast": 0.0,
        "happened": 0,
        "squares": 0.0,
    }
    if end_day <= fitted_day:
        return partial
    then = summarise(purchases, fitted_day, unit_days)
    if len(then.rows):
        horizon = (end_day - fitted_day) / unit_days
        forecast = expected_orders(model, horizon, then.frequency, then.recency, then.age)
        happened = orders_after(purchases, then, end_day)
        partial["known"] = len(then.rows)
        partial["forecast"] = float(forecast.sum())
        partial["happened"] = int(happened.sum())
        partial["squares"] = float(np.square(happened - forecast).sum())
    return partial


def log_likelihood(model: BgNbd, summary: Summary) -> float:
    """The log-likelihood of all customers that were seen for some time (age above 0): Fader, Hardie and Lee (2005)."""
    old = summary.age > 0
    if not old.any():
        return 0.0
    histories = grouped(summary.frequency[old], summary.recency[old], summary.age[old])
    return evaluate(counts_of(histories), np.log([model.r, model.alpha, model.a, model.b]))[0]


def orders_after(purchases: Purchases, summary: Summary, end_day: int) -> Floats:
    """Purchase days (n,) of the summary's customers after the summary's, up to the end."""
    total = np.diff(until(purchases, end_day).offsets)[summary.rows]
    after: Floats = total - (summary.frequency + 1)
    return after


def quality(measured: Mapping[str, Any]) -> dict[str, float | int | None]:
    """The mean log-likelihood of a customer, and the forecast against what happened, where time has passed."""
    customers, forecast, happened = measured["customers"], measured["forecast"], measured["happened"]
    return {
        "customers": customers,
        "logLikelihood": measured["logLikelihood"] / customers if customers else None,
        "forecastOrders": forecast if measured["known"] else None,
        "orders": happened if measured["known"] else None,
    }


def forecast_error(measured: Mapping[str, Any]) -> tuple[float, float]:
    """By which share of the forecast the orders were more or less, and which share chance alone makes; NaN before time
    has passed.

    Chance is three standard errors of the sum of the customers' differences, which are independent.
    """
    if not measured["forecast"]:
        return nan, nan
    off = (measured["happened"] - measured["forecast"]) / measured["forecast"]
    return off, 3 * sqrt(measured["squares"]) / measured["forecast"]
