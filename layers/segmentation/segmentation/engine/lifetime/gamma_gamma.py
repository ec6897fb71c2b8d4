"""Gamma-Gamma: what a customer spends per purchase, fitted by maximum likelihood.

Fader and Hardie (2013), "The Gamma-Gamma Model of Monetary Value". The amounts of a customer's purchases are
gamma(p, nu), and nu varies between customers as gamma(q, v); how much is independent of how often. The likelihood of a
mean z over x purchases is their equation (1a), the conditional mean (5).

It knows frequencies and means only: neither days nor other models.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.special import digamma, log_gamma, trigamma
from segmentation.errors import FieldError, InsufficientData, InvalidInput, UnreliableFit

MINIMUM_CUSTOMERS = 30
"""Repeat customers that a fit asks for: ten for each of its three parameters."""

MAXIMUM_FREQUENCY = 1_000_000
"""Purchases of one customer; beyond it a figure is taken for a mistake. Bounds the table of distinct frequencies."""

SMALLEST_VALUE, LARGEST_VALUE = 1e-30, 1e15
"""Mean values that a fit takes for amounts of money, in any currency."""

CORRELATION_LIMIT = 0.3
"""Correlation of frequency and mean value from which independence, on which the model rests, is in doubt."""

SAMPLE = 20_000
"""Customers whose fit starts the fit of all; fewer are fitted at once."""

BLOCK = 16_384
"""Customers that are computed on at once: the columns on the way stay in the second-level cache."""

START = (4.0, 3.0, 1.0)
"""p, q, v from which the first fit starts, in units of the geometric mean value."""

LOWEST, HIGHEST = 1e-4, 1e5
"""A parameter outside of these (v in units of the geometric mean) runs to a bound: the data do not determine it."""

ITERATIONS = 200
DECREMENT = 1e-12
"""Newton's method ends when a step promises less than this much log-likelihood per customer."""


@dataclass(frozen=True)
class GammaGamma:
    """p and q are shapes, v is a scale in units of money; `standard_errors` are of p, q, v.

    `customers` are the repeat customers of the fit, `correlation` is Pearson's between their frequency and mean value
    (NaN where one of the two is constant).
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    standard_errors: tuple[float, ...]
    customers: int
    correlation: float
    iterations: int

    @property
    def mean(self) -> float:
        """The mean value of a purchase of a customer nobody knows."""
        return self.p * self.v / (self.q - 1)


@dataclass(frozen=True, eq=False)
class _Data:
    """Repeat customers: frequency, total value in units of the geometric mean, and sums that no parameter changes."""

    frequency: Floats
    total: Floats
    weight: Floats | None
    levels: Floats
    level_weights: Floats
    customers: float
    log_mean: float
    frequency_log_mean: float
    frequency_log_frequency: float


@dataclass(frozen=True, eq=False)
class _Point:
    """The log-likelihood at log p, log q, log v, with gradient (3,) and Hessian (3, 3) in these logs."""

    logs: Floats
    value: float
    gradient: Floats
    hessian: Floats


def fit(frequency: Floats, mean_value: Floats, weight: Floats | None = None) -> GammaGamma:
    """The model of the repeat customers among (n,) customers; those with frequency 0 are left out.

    `frequency` counts repeat purchases, `mean_value` is their mean in money, `weight` how many customers a row stands
    for (1 each without it). Newton's method in the logarithms of the parameters on all rows, begun at the fit of a part
    of them. Needs memory for four columns of the repeat customers.

    Raises InvalidInput for lengths that differ, frequencies that are no counts, and repeat customers whose mean value
    is not positive (it says how many); InsufficientData for fewer than 30 repeat customers; UnreliableFit where the
    parameters run to a bound, or give new customers no finite mean.
    """
    x, z, w = _repeat_customers(frequency, mean_value, weight)
    log_z = np.log(z)
    log_scale = float(np.average(log_z, weights=w))
    scale = float(np.exp(log_scale))
    log_z -= log_scale
    z /= scale
    point, iterations = _maximum(_data(x, z, log_z, w), _start(x, z, log_z, w))
    customers = len(x) if w is None else float(w.sum())
    p, q, v = np.exp(point.logs).tolist()
    if q <= 1:
        raise UnreliableFit(f"q={q:.4g} is not above 1: customers differ so much that their mean spend is not finite")
    return GammaGamma(
        p=p,
        q=q,
        v=v * scale,
        log_likelihood=point.value - customers * log_scale,
        standard_errors=_standard_errors(point, scale),
        customers=round(customers),
        correlation=_correlation(x, z, w),
        iterations=iterations,
    )


def mean_spend(model: GammaGamma, frequency: Floats, mean_value: Floats) -> Floats:
    """Expected value of a customer's purchases (n,) in money: between the customer's own mean and everyone's.

    Customers without repeat purchases get everyone's mean whatever their `mean_value`. A repeat customer whose mean
    value is not positive and finite gets NaN: the model knows no such customers.
    """
    is_repeat = frequency > 0
    with np.errstate(invalid="ignore"):
        known = np.where(is_repeat, mean_value, 0.0) * frequency
        expected = model.p * (model.v + known) / (model.p * frequency + model.q - 1)
        expected[is_repeat & ~((mean_value > 0) & np.isfinite(mean_value))] = np.nan
    return expected


def caution(model: GammaGamma) -> str | None:
    """What a reader should know of the model's assumption before relying on it; None if nothing."""
    if not abs(model.correlation) >= CORRELATION_LIMIT:
        return None
    direction = "more" if model.correlation > 0 else "less"
    return (
        f"Customers who buy more often spend {direction} per purchase (correlation {model.correlation:.2f}, limit "
        f"{CORRELATION_LIMIT}); the model takes the two as independent, so values of frequent buyers may be off."
    )


def _repeat_customers(
    frequency: Floats, mean_value: Floats, weight: Floats | None
) -> tuple[Floats, Floats, Floats | None]:
    lengths = [len(column) for column in (frequency, mean_value, weight) if column is not None]
    if len(set(lengths)) > 1:
        raise _invalid("frequency", f"frequency, meanValue and weight have different lengths {lengths}")
    repeat = np.flatnonzero(frequency != 0)
    x, z = frequency[repeat], mean_value[repeat]
    w = None if weight is None else weight[repeat]
    wrong = np.flatnonzero(~((x > 0) & (x <= MAXIMUM_FREQUENCY) & (x == np.floor(x))))
    if len(wrong):
        raise _invalid("frequency", f"frequency={x[wrong[0]]} is not a count from 0 to {MAXIMUM_FREQUENCY}")
    wrong = np.flatnonzero(~((z >= SMALLEST_VALUE) & (z <= LARGEST_VALUE)))
    if len(wrong):
        bad, of_all = (len(wrong), len(z)) if w is None else (round(float(part.sum())) for part in (w[wrong], w))
        raise _invalid(
            "meanValue",
            f"{bad} of {of_all} repeat customers have a mean value that is not positive, or no amount of money "
            f"(one is {z[wrong[0]]}); leave returns out of the amounts, or these customers out of the fit",
        )
    if w is not None and not (np.isfinite(w) & (w > 0)).all():
        raise _invalid("weight", "a weight is not positive")
    customers = len(x) if w is None else float(w.sum())
    if customers < MINIMUM_CUSTOMERS:
        raise InsufficientData(
            f"{customers:g} customers bought again; values per purchase need at least {MINIMUM_CUSTOMERS} of them"
        )
    return x, z, w


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, [FieldError(field, message)])


def _start(x: Floats, z: Floats, log_z: Floats, w: Floats | None) -> Floats:
    """Logs of the parameters that fit a part of many customers; for few customers, or an odd part, a fixed place."""
    step = len(x) // SAMPLE
    if step > 1:
        with suppress(UnreliableFit):
            part = _data(x[::step], z[::step], log_z[::step], None if w is None else w[::step])
            return _maximum(part, np.log(START))[0].logs
    return np.log(START)


def _data(x: Floats, z: Floats, log_z: Floats, w: Floats | None) -> _Data:
    counts = np.bincount(x.astype(np.int64), weights=w)
    found = np.flatnonzero(counts)
    levels, level_weights = found.astype(np.float64), counts[found].astype(np.float64)
    weighted = log_z if w is None else log_z * w
    return _Data(
        frequency=x,
        total=x * z,
        weight=w,
        levels=levels,
        level_weights=level_weights,
        customers=float(level_weights.sum()),
        log_mean=float(weighted.sum()),
        frequency_log_mean=float(x @ weighted),
        frequency_log_frequency=float(level_weights @ (levels * np.log(levels))),
    )


def _maximum(data: _Data, logs: Floats) -> tuple[_Point, int]:
    """The maximum of the likelihood by Newton's method, steps halved until they go up.

    Where the likelihood is not concave, directions of growing slope are taken as falling ones: the step goes up still.
    """
    point = _likelihood(data, logs)
    for iteration in range(1, ITERATIONS + 1):
        curvatures, axes = np.linalg.eigh(point.hessian)
        bent = np.maximum(np.abs(curvatures), 1e-9 * np.abs(curvatures).max())
        step = axes @ ((axes.T @ point.gradient) / bent)
        promised = float(step @ point.gradient)
        if promised <= DECREMENT * data.customers:
            return _settled(data, point, curvatures, step), iteration
        step *= min(1.0, 2.0 / float(np.abs(step).max()))
        point = _uphill(data, point, step)
        _refuse_bounds(point.logs)
    raise UnreliableFit(f"the fit did not converge in {ITERATIONS} iterations")


def _refuse_bounds(logs: Floats) -> None:
    """As v falls, p grows and a customer's purchases get all alike; as v grows, so does q, and customers get alike."""
    p, q, v = np.exp(logs).tolist()
    if p > HIGHEST or v < LOWEST:
        why = "purchases of one customer seem not to vary at all"
    elif q > HIGHEST or v > HIGHEST:
        why = "customers seem not to differ in what they spend"
    elif p < LOWEST or q < LOWEST:
        why = "values vary without measure"
    else:
        return
    raise UnreliableFit(f"the fit runs to a bound (p={p:.4g}, q={q:.4g}, v={v:.4g} times the geometric mean): {why}")


def _settled(data: _Data, point: _Point, curvatures: Floats, step: Floats) -> _Point:
    """The end of a last step, so short that the quadratic it follows is the likelihood: no more passes are needed."""
    if curvatures.max() >= -1e-9 * data.customers:
        raise UnreliableFit("the likelihood is flat at its maximum: the data do not determine the model")
    value = point.value + float(step @ point.gradient) / 2
    return _Point(point.logs + step, value, np.zeros(3), point.hessian)


def _uphill(data: _Data, point: _Point, step: Floats) -> _Point:
    for _ in range(30):
        ahead = _likelihood(data, point.logs + step)
        if ahead.value >= point.value:
            return ahead
        step = step / 2
    raise UnreliableFit("the fit found no way up from a point that is not a maximum")


def _likelihood(data: _Data, logs: Floats) -> _Point:
    """Value, gradient and Hessian; special functions once per distinct frequency, two columns of all customers."""
    p, q, v = np.exp(logs).tolist()
    x, w, n = data.levels, data.level_weights, data.customers
    # Sums of log(total + v), 1 / (total + v) and its square, plain and times the frequency.
    (log_, xlog), (one, xone), (two, xtwo) = _sums(data, v).tolist()
    # One call each: for a few distinct frequencies it is calls that cost time.
    places = np.concatenate((p * x + q, p * x, (q,)))
    gamma_sum, gamma_px, gamma_q = _split(log_gamma(places))
    psi_sum, psi_px, psi_q = _split(digamma(places))
    psi1_sum, psi1_px, psi1_q = _split(trigamma(places))
    log_v = float(logs[2])
    value = (
        float(w @ (gamma_sum - gamma_px))
        - n * gamma_q
        + n * q * log_v
        + p * (data.frequency_log_mean + data.frequency_log_frequency)
        - data.log_mean
        - (p * xlog + q * log_)
    )
    slope_p = float(w @ (x * (psi_sum - psi_px))) + data.frequency_log_mean + data.frequency_log_frequency - xlog
    slope_q = float(w @ psi_sum) - n * psi_q + n * log_v - log_
    slope_v = n * q / v - (p * xone + q * one)
    pp = float(w @ (x * x * (psi1_sum - psi1_px)))
    pq = float(w @ (x * psi1_sum))
    qq = float(w @ psi1_sum) - n * psi1_q
    pv, qv = -xone, n / v - one
    vv = -n * q / v**2 + (p * xtwo + q * two)
    scales = np.array([p, q, v])
    gradient = scales * (slope_p, slope_q, slope_v)
    natural = np.array([[pp, pq, pv], [pq, qq, qv], [pv, qv, vv]])
    return _Point(logs, value, gradient, natural * np.outer(scales, scales) + np.diag(gradient))


def _split(values: Floats) -> tuple[Floats, Floats, float]:
    half = len(values) // 2
    return values[:half], values[half:-1], float(values[-1])


def _sums(data: _Data, v: float) -> Floats:
    """(3, 2): sums over customers of log(total + v), 1 / (total + v), 1 / (total + v)^2, each plain and times x."""
    sums = np.zeros((3, 2))
    rows = min(BLOCK, len(data.total))
    parts, sides = np.empty((3, rows)), np.ones((rows, 2))
    for begin in range(0, len(data.total), BLOCK):
        total = data.total[begin : begin + BLOCK]
        size = len(total)
        part, side = parts[:, :size], sides[:size]
        side[:, 1] = data.frequency[begin : begin + BLOCK]
        if data.weight is not None:
            side[:, 0] = data.weight[begin : begin + BLOCK]
            side[:, 1] *= side[:, 0]
        np.add(total, v, out=part[0])
        np.divide(1.0, part[0], out=part[1])
        np.log(part[0], out=part[0])
        np.square(part[1], out=part[2])
        sums += part @ side
    return sums


def _standard_errors(point: _Point, scale: float) -> tuple[float, ...]:
    """Of p, q, v: the inverse of the observed information in logs, by the delta method."""
    of_logs = np.sqrt(np.diag(np.linalg.inv(-point.hessian)))
    return tuple((np.exp(point.logs) * (1.0, 1.0, scale) * of_logs).tolist())


def _correlation(x: Floats, z: Floats, w: Floats | None) -> float:
    dx, dz = x - np.average(x, weights=w), z - np.average(z, weights=w)
    left = dx if w is None else dx * w
    right = dz if w is None else dz * w
    spread = float(left @ dx) * float(right @ dz)
    return float(left @ dz) / float(np.sqrt(spread)) if spread > 0 else float("nan")
