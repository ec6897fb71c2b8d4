"""How often customers order and whether they still do: the BG/NBD model, fitted by maximum likelihood.

Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model", Marketing
Science 24(2). A customer is three figures: `frequency` x, the number of orders after the first; `recency` t_x, the time
from the first to the last order (0 where x = 0); `age` T, the time from the first order to the end of the observation.
Any one unit of time will do, and the model then speaks in it. It must not know of dates, money or the other models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentation.engine.frame import Bools, Floats
from segmentation.engine.lifetime.coding import begin_of_runs, coded, counted, distinct
from segmentation.engine.lifetime.likelihood import Histories, Top, climb, counts_of
from segmentation.engine.lifetime.living import Kinds, expected, interpolated, kinds_of
from segmentation.errors import FieldError, InsufficientData, InvalidInput, UnreliableFit

NAMES = ("r", "alpha", "a", "b")
LEAST_CUSTOMERS = 100
LEAST_REPEAT_BUYERS = 40
"""Ten for each of the four parameters: with fewer, the standard errors are as large as the parameters."""
BOUND = 1e4
"""r, a and b lie between 1/BOUND and BOUND, alpha between 1/BOUND and BOUND times the mean age."""
SAMPLE = 4_096
"""Customers whose fit starts the fit of all."""
MOST = 1e12
LONGEST = 1e100
"""Larger counts and times, and times below 1/LONGEST, are no data, and their powers would not be numbers."""
CHUNK = 1 << 14
"""Customers computed on at a time: their arrays stay in cache."""


@dataclass(frozen=True)
class BgNbd:
    """Rates of orders are drawn from Gamma(r, alpha); after each order one leaves, with a chance drawn from Beta(a, b).

    `alpha` is in the unit of the ages. `standard_errors` are of r, alpha, a, b. `customers` were fitted in `rows`
    distinct histories; `newcomers` of age 0 were left out, as nothing could be seen of them yet.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    standard_errors: tuple[float, ...]
    customers: int
    rows: int
    iterations: int
    newcomers: int


@dataclass(frozen=True, eq=False)
class Grouped(Histories):
    """Distinct histories (m,); `inverse` (n,) leads from a customer to the history."""

    inverse: NDArray[np.int64]


def grouped(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weight: ArrayLike | None = None) -> Grouped:
    """The distinct histories of n customers. Raises InvalidInput as `fit` does."""
    x, recencies, ages = _checked(frequency, recency, age)
    weights = _checked_weight(weight, x.shape)
    rows = distinct(coded(x), coded(recencies), coded(ages))
    one = rows.one
    counts = np.bincount(rows.inverse, weights, len(one)).astype(np.float64, copy=False)
    return Grouped(x[one], recencies[one], ages[one], counts, rows.inverse)


def fit(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike, weight: ArrayLike | None = None) -> BgNbd:
    """The model of n customers, each counted `weight` times; columns (n,), the times in one unit.

    Customers of age 0 count as newcomers and carry no information. Standard errors come from the observed information.
    Needs memory for a dozen columns. Raises InvalidInput for what cannot be a history, InsufficientData below 100
    customers or 40 repeat buyers, UnreliableFit where the likelihood has no maximum inside the bounds.
    """
    x, recencies, ages = _checked(frequency, recency, age)
    weights = _checked_weight(weight, x.shape)
    newcomers, old = 0, ages > 0
    if not old.all():
        newcomers = _whole(float(np.sum(~old) if weights is None else weights[~old].sum()))
        x, recencies, ages = x[old], recencies[old], ages[old]
        weights = None if weights is None else weights[old]
    histories = _histories(x, recencies, ages, weights)
    _require_enough(histories, newcomers)
    total = float(histories.weight.sum())
    mean_age = float(histories.weight @ histories.age) / total
    unit = np.log([1.0, mean_age, 1.0, 1.0])
    low, high = unit - np.log(BOUND), unit + np.log(BOUND)
    start = np.clip(_start(histories), low, high)
    if len(histories.weight) > 2 * SAMPLE:
        sampled = climb(counts_of(_sample(histories)), start, low, high)
        start = sampled.logs if sampled.state == "converged" else start
    top = climb(counts_of(histories), start, low, high)
    errors = _standard_errors(top, low, high)
    r, alpha, a, b = np.exp(top.logs).tolist()
    rows = len(histories.weight)
    return BgNbd(r, alpha, a, b, top.value, errors, _whole(total), rows, top.steps, newcomers)


def probability_alive(model: BgNbd, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
    """Chance (n,) that the customer still orders; 1 without a repeat order, as the model lets nobody leave before one.

    Fader, Hardie and Lee (2008), "Computing P(alive) Using the BG/NBD Model". Raises InvalidInput as `fit` does.
    """
    return _alive(model, *_checked(frequency, recency, age))


def expected_orders(model: BgNbd, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
    """Orders (n,) to expect within `horizon` from the end of the observation: equation 10 of the paper.

    Computed once per distinct frequency and age, to 1e-8 of the value. Raises InvalidInput as `fit` does, and for a
    horizon that is not a number of at least 0.
    """
    x, recencies, ages = _checked(frequency, recency, age)
    _check_horizon(horizon)
    columns = coded(x), coded(ages)
    pairs = distinct(*columns)
    kinds, code = _kinds(model, x[pairs.one], horizon)
    living = expected(kinds, code, horizon / (model.alpha + ages[pairs.one]))
    result: Floats = _alive(model, x, recencies, ages) * living[pairs.inverse]
    return result


def expected_of_living(model: BgNbd, horizons: Sequence[float], frequency: Floats, age: Floats) -> Floats:
    """Orders (horizons, n) to expect of customers who are still alive within each of several positive horizons.

    `frequency` (n,) ascends. Faster than one horizon after the other, to the same accuracy.
    """
    kinds, code = _kinds(model, frequency, max(horizons))
    times = np.array(horizons)[:, np.newaxis] / (model.alpha + age)
    return interpolated(kinds, np.tile(code, len(horizons)), times.ravel()).reshape(times.shape)


def _kinds(model: BgNbd, frequency: Floats, horizon: float) -> tuple[Kinds, NDArray[np.int64]]:
    """The sorts of customers by `frequency` (n,), which ascends, and the sort of each."""
    begins = begin_of_runs(frequency)
    frequencies = frequency[begins]
    kinds = kinds_of(model.a, model.b + frequencies, model.r + frequencies, horizon / model.alpha)
    return kinds, np.cumsum(begins) - 1


def expected_new(model: BgNbd, horizon: float) -> float:
    """Orders to expect of a new customer within `horizon` after the first: equation 9 of the paper."""
    return float(expected_orders(model, horizon, [0.0], [0.0], [0.0])[0])


def _alive(model: BgNbd, x: Floats, recency: Floats, age: Floats) -> Floats:
    result = np.empty(len(x))
    for begin in range(0, len(x), CHUNK):
        rows = slice(begin, begin + CHUNK)
        silence = np.log((model.alpha + age[rows]) / (model.alpha + recency[rows]))
        with np.errstate(over="ignore"):
            odds_gone = np.exp((model.r + x[rows]) * silence) * (model.a / (model.b + np.maximum(x[rows], 1) - 1))
        result[rows] = 1 / (1 + np.where(x[rows] > 0, odds_gone, 0.0))
    return result


def _histories(x: Floats, recency: Floats, age: Floats, weight: Floats | None) -> Histories:
    """As `grouped`, without the way back."""
    if weight is not None:
        return grouped(x, recency, age, weight)
    (x, recency, age), counts = counted(coded(x), coded(recency), coded(age))
    return Histories(x, recency, age, counts)


def _sample(histories: Histories) -> Histories:
    """Every so many customers in the order of the histories: a sample spread over them as all customers are."""
    reached = np.cumsum(histories.weight)
    wanted = (np.arange(SAMPLE) + 0.5) * (reached[-1] / SAMPLE)
    found = np.minimum(np.searchsorted(reached, wanted), len(reached) - 1)
    begins = np.flatnonzero(begin_of_runs(found))
    rows, counts = found[begins], np.diff(begins, append=SAMPLE).astype(np.float64)
    return Histories(histories.frequency[rows], histories.recency[rows], histories.age[rows], counts)


def _start(histories: Histories) -> Floats:
    """Logs of r, alpha, a, b: rates as spread as usual around the mean rate, and one in four leaving after an order."""
    age, orders = histories.weight @ histories.age, histories.weight @ histories.frequency
    return np.log(np.array([0.5, 0.5 * age / orders, 1.0, 3.0]))


def _standard_errors(top: Top, low: Floats, high: Floats) -> tuple[float, ...]:
    """Of r, alpha, a, b; raises UnreliableFit where the climb did not end at a maximum."""
    values = np.exp(top.logs)
    reached = ", ".join(f"{name}={value:.4g}" for name, value in zip(NAMES, values, strict=True))
    if top.state == "bound":
        at_bound = [name for name, at in zip(NAMES, (top.logs <= low) | (top.logs >= high), strict=True) if at]
        raise UnreliableFit(
            f"{' and '.join(at_bound)} ran to a bound ({reached}): the data do not tell this from 0 or infinity"
        )
    if top.state == "stuck":
        raise UnreliableFit(f"the fit did not converge in {top.steps} steps ({reached})")
    covariance = np.linalg.inv(-top.hessian)
    variances = np.diag(covariance)
    if not np.all(variances > 0):
        raise UnreliableFit(f"the likelihood is flat where the fit ended ({reached}): no standard errors")
    return tuple((values * np.sqrt(variances)).tolist())


def _require_enough(histories: Histories, newcomers: int) -> None:
    customers = _whole(histories.weight.sum())
    repeat = _whole(histories.weight[histories.frequency > 0].sum())
    if customers < LEAST_CUSTOMERS:
        beside = f" beside {newcomers} of age 0" if newcomers else ""
        raise InsufficientData(f"{customers} customers{beside} are too few: at least {LEAST_CUSTOMERS} are needed")
    if repeat < LEAST_REPEAT_BUYERS:
        raise InsufficientData(
            f"{repeat} of {customers} customers ordered again: at least {LEAST_REPEAT_BUYERS} repeat buyers are needed"
        )


def _checked(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """The columns as arrays of float64; raises InvalidInput with one error per broken rule."""
    x, recencies, ages = (np.ascontiguousarray(column, dtype=np.float64) for column in (frequency, recency, age))
    if x.ndim != 1 or not x.shape == recencies.shape == ages.shape:
        message = f"frequency {x.shape}, recency {recencies.shape} and age {ages.shape} are not columns of one length"
        raise InvalidInput(message, [FieldError("frequency", message)])
    for begin in range(0, len(x), CHUNK):
        rows = slice(begin, begin + CHUNK)
        if not all(holds.all() for _, holds, _ in _rules(x[rows], recencies[rows], ages[rows])):
            raise _broken(x, recencies, ages)
    return x, recencies, ages


def _rules(x: Floats, recency: Floats, age: Floats) -> tuple[tuple[str, Bools, str], ...]:
    """What a history must be: the field, whether each row holds, and what is said of a row that does not."""
    with np.errstate(invalid="ignore"):
        return (
            ("frequency", (x >= 0) & (x == np.rint(x)) & (x <= MOST), f"is not a whole number from 0 to {MOST:g}"),
            ("age", (age == 0) | (age >= 1 / LONGEST) & (age <= LONGEST), "is not 0 or a positive length of time"),
            ("recency", (recency >= 0) & (recency <= age), "is not between 0 and the age"),
            ("recency", (recency > 0) == (x > 0), "does not fit the frequency: it is 0 without a repeat order only"),
        )


def _broken(x: Floats, recency: Floats, age: Floats) -> InvalidInput:
    """One error for each broken rule, with the first value that breaks it."""
    columns = {"frequency": x, "recency": recency, "age": age}
    errors = []
    for field, holds, complaint in _rules(x, recency, age):
        if not holds.all():
            value = f"{field}={columns[field][np.argmin(holds)]:g}"
            errors.append(FieldError(field, f"{value} {complaint} ({np.sum(~holds)} of {len(x)} rows)"))
    return InvalidInput("; ".join(error.message for error in errors), errors)


def _checked_weight(weight: ArrayLike | None, shape: tuple[int, ...]) -> Floats | None:
    if weight is None:
        return None
    weights = np.asarray(weight, dtype=np.float64)
    if weights.shape != shape or not np.all((weights >= 1 / MOST) & (weights <= MOST)):
        message = (
            f"weight {weights.shape} is not a column of numbers from {1 / MOST:g} to {MOST:g}, one per row {shape}"
        )
        raise InvalidInput(message, [FieldError("weight", message)])
    return weights


def _check_horizon(horizon: float) -> None:
    if not 0 <= horizon < np.inf:
        message = f"horizon={horizon} is not a number of at least 0"
        raise InvalidInput(message, [FieldError("horizon", message)])


def _whole(number: float) -> int:
    return round(float(number))
