"""A hold-out test by date: what would the model have said on an earlier day, and what happened then?

The model is fitted on the purchases up to the cut and predicts how many follow until the end. Beside it stands the
naive forecast, every customer's own rate continued, so that a reader sees whether the model is worth having.
It must not know a store or a clock: the days are arguments.
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Bools, Floats
from segmentation.engine.lifetime.bgnbd import BgNbd, expected_orders, fit, grouped
from segmentation.engine.lifetime.purchases import Purchases, Summary, summarise, until
from segmentation.errors import FieldError, InsufficientData, InvalidInput

BIAS_LIMIT = 0.25
"""Share of the orders by which the predicted total may be off before the sentence warns of it."""

LAST_CLASS = 7
"""Customers with this many repeat purchases or more are one class."""


@dataclass(frozen=True)
class Forecast:
    """One way to forecast against what happened: `predicted` orders of all customers in the hold-out.

    Per customer: `bias` is the mean of predicted minus actual, `error` the mean absolute error, `squared_error` the
    root of the mean squared error. An expectation is meant to win by the last: a forecast of 0 for everyone has a
    small mean absolute error where most customers do not come back.
    """

    predicted: float
    bias: float
    error: float
    squared_error: float


@dataclass(frozen=True)
class ClassResult:
    """The customers with `frequency` repeat purchases before the cut ("0" to "6", "7+"); figures as in `Forecast`."""

    frequency: str
    customers: int
    actual: float
    predicted: float
    bias: float
    error: float


@dataclass(frozen=True)
class BackTest:
    """How the model did between the UTC days `cut_day` and `end_day`, that is over `horizon` units.

    `customers` are those who first bought before or on the cut; `actual` are their purchase days after it. `skill` is
    the share of the naive forecast's mean squared error that the model avoids: 1 is a perfect forecast, 0 or less
    means that it does not help. `sentence` says the result in words.
    """

    cut_day: str
    end_day: str
    unit_days: float
    horizon: float
    customers: int
    actual: float
    predicted: float
    bias: float
    error: float
    squared_error: float
    naive: Forecast
    skill: float
    helps: bool
    sentence: str
    classes: tuple[ClassResult, ...]
    model: BgNbd


def backtest(purchases: Purchases, cut_day: int, end_day: int, unit_days: float = 7.0) -> BackTest:
    """Fits on the days up to and including `cut_day` and predicts those after it up to and including `end_day`.

    Raises InvalidInput if the cut is not before the end; InsufficientData if nobody had bought by the cut, or nobody
    of them did after it; and what the fit raises, since a model that cannot be fitted at the cut cannot be tested.
    """
    if not cut_day < end_day:
        message = f"cutDay={cut_day} is not before endDay={end_day}"
        raise InvalidInput(message, [FieldError("cutDay", message)])
    summary = summarise(purchases, cut_day, unit_days)
    if not len(summary.rows):
        raise InsufficientData(f"nobody bought before or on {_date(cut_day)}, the day of the cut")
    actual = _orders_after(purchases, summary, end_day)
    if not actual.any():
        raise InsufficientData(f"none of {len(summary.rows)} customers bought after the cut on {_date(cut_day)}")
    histories = grouped(summary.frequency, summary.recency, summary.age)
    columns = histories.frequency, histories.recency, histories.age
    model = fit(*columns, histories.weight)
    horizon = (end_day - cut_day) / unit_days
    predicted = expected_orders(model, horizon, *columns)[histories.inverse]
    ours, naive = _forecast(predicted, actual), _forecast(naive_forecast(summary, horizon), actual)
    skill = 1 - (ours.squared_error / naive.squared_error) ** 2 if naive.squared_error else float("nan")
    total = float(actual.sum())
    return BackTest(
        cut_day=_date(cut_day),
        end_day=_date(end_day),
        unit_days=unit_days,
        horizon=horizon,
        customers=len(actual),
        actual=total,
        predicted=ours.predicted,
        bias=ours.bias,
        error=ours.error,
        squared_error=ours.squared_error,
        naive=naive,
        skill=skill,
        helps=skill > 0,
        sentence=_sentence(ours, naive, total, skill),
        classes=_classes(summary.frequency, actual, predicted),
        model=model,
    )


def cut_for(purchases: Purchases, end_day: int, share: float = 0.5) -> int:
    """The day that leaves the last `share` of the time since the first purchase of all for the hold-out.

    Raises InsufficientData if there are not at least two days between the first purchase and `end_day`.
    """
    if not 0 < share < 1:
        message = f"share={share} is not between 0 and 1"
        raise InvalidInput(message, [FieldError("share", message)])
    first = int(purchases.day.min()) if len(purchases.day) else end_day
    if end_day - first < 2:
        raise InsufficientData(f"purchases span {max(end_day - first, 0)} days: too few to hold some out")
    return min(max(end_day - round((end_day - first) * share), first + 1), end_day - 1)


def naive_forecast(summary: Summary, horizon: float) -> Floats:
    """Orders (n,) in `horizon` units if every customer went on as before: x / max(T, horizon) * horizon.

    The rate of a customer who is younger than the horizon is taken over the horizon: continued from a few days, one
    second order would make hundreds, and a forecast that is so easily beaten shows nothing.
    """
    orders: Floats = summary.frequency * (horizon / np.maximum(summary.age, horizon))
    return orders


def _orders_after(purchases: Purchases, summary: Summary, end_day: int) -> Floats:
    """Purchase days (n,) of the summary's customers after the summary's, up to the end."""
    total = np.diff(until(purchases, end_day).offsets)[summary.rows]
    after: Floats = total - (summary.frequency + 1)
    return after


def _forecast(predicted: Floats, actual: Floats) -> Forecast:
    difference = predicted - actual
    return Forecast(
        predicted=float(predicted.sum()),
        bias=float(difference.mean()),
        error=float(np.abs(difference).mean()),
        squared_error=float(np.sqrt(np.square(difference).mean())),
    )


def _classes(frequency: Floats, actual: Floats, predicted: Floats) -> tuple[ClassResult, ...]:
    """One result for each class that has customers."""
    results = []
    for number in range(LAST_CLASS + 1):
        is_last = number == LAST_CLASS
        members: Bools = frequency >= number if is_last else frequency == number
        if members.any():
            ours = _forecast(predicted[members], actual[members])
            name = f"{number}+" if is_last else str(number)
            bought = float(actual[members].sum())
            results.append(ClassResult(name, int(members.sum()), bought, ours.predicted, ours.bias, ours.error))
    return tuple(results)


def _sentence(ours: Forecast, naive: Forecast, actual: float, skill: float) -> str:
    verdict = f"it avoids {skill:.0%} of the squared error" if skill > 0 else "it does not help"
    off = ours.predicted / actual - 1
    sentence = (
        f"{actual:,.0f} orders came, {ours.predicted:,.0f} were predicted ({off:+.0%}); every customer's own rate "
        f"continued gives {naive.predicted:,.0f} ({naive.predicted / actual - 1:+.0%}). "
        f"Against that forecast {verdict} ({ours.squared_error:.3g} orders a customer, not {naive.squared_error:.3g})."
    )
    if abs(off) <= BIAS_LIMIT:
        return sentence
    return f"{sentence} The total is off by more than {BIAS_LIMIT:.0%}: compare customers by it, do not plan with it."


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
