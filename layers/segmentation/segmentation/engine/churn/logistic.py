"""Logistic regression with a ridge penalty: how likely a customer is to churn, from labels that the shop supplies.

It must not know what the columns mean, how they were prepared, nor how good its probabilities are (`metrics`).
"""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Bools, Floats
from segmentation.errors import FieldError, InsufficientData, InvalidInput, UnreliableFit

FEWEST = 10
"""Customers that each of the two classes needs."""

ROUNDS = 100
"""Newton steps; 5 to 10 are usual."""

CONVERGED = 1e-10
"""Square of the Newton decrement at which the next step would move no coefficient by 1e-5 of its standard error."""

WORST_CONDITION = 1e13
"""Condition number of the scaled information beyond which its inverse has no correct digits to speak of."""

CHUNK = 1_024
"""Rows at a time: they stay in the cache, and a product is too small for threads to be worth their start."""


@dataclass(frozen=True, eq=False)
class Logistic:
    """log(p / (1 - p)) = `intercept` + `coefficients[d]` . x, with standard errors.

    `c` is the inverse strength of the penalty, `objective` the minimum that was found; `churned` of `customers` left.
    Standard errors are those of the penalised information: where data say nothing of a column, its error is sqrt(c).
    """

    intercept: float
    coefficients: Floats
    intercept_error: float
    standard_errors: Floats
    c: float
    objective: float
    iterations: int
    customers: int
    churned: int


@dataclass(frozen=True, eq=False)
class _State:
    """Objective, gradient and information at one vector of parameters; `margin` is the smallest of +-log odds."""

    parameters: Floats
    objective: float
    gradient: Floats
    information: Floats
    margin: float


def fit(points: Floats, churned: Bools, *, c: float = 1.0) -> Logistic:
    """The minimum of |w|^2 / 2 + c * sum(log(1 + exp(-y (x . w + b)))), y being 1 or -1.

    It is the objective of scikit-learn's LogisticRegression. `points` (n, d) should be on one scale: the penalty on w
    is the same for all columns, and the intercept b has none. Newton's method with step halving; beside the input it
    needs memory for one chunk and a few bytes a row. Raises InvalidInput for values that are not finite, c <= 0 or no
    columns, InsufficientData with fewer than 10 customers of a class, and UnreliableFit if the columns separate the
    classes (the penalty alone would then decide how sure the model is), if they explain each other beyond what c can
    resolve, or if the iteration does not converge.
    """
    _check(points, churned, c)
    sign = np.where(churned, 1.0, -1.0)
    rate = float(churned.mean())
    start = np.zeros(points.shape[1] + 1)
    start[-1] = np.log(rate / (1 - rate))
    state = _evaluate(points, sign, c, start)
    for iteration in range(1, ROUNDS + 1):
        step = _solved(state, c)
        decrement = float(-step @ state.gradient)
        state = _descended(points, sign, c, state, step)
        if state.margin > 0:
            raise UnreliableFit(
                f"the features tell the {int(churned.sum())} customers who churned from all others without an error: "
                "one of them may record the churn itself, or there are too many for so few customers"
            )
        if decrement <= CONVERGED:
            return _finished(state, c, iteration, churned)
    raise UnreliableFit(f"the logistic model did not converge in {ROUNDS} steps with c={c:g}")


def probability(model: Logistic, points: Floats) -> Floats:
    """Probabilities (n) of churn for `points` (n, d), each row by itself to the last bit; NaN where a value is NaN.

    Raises ValueError for another number of columns than the model has.
    """
    if points.ndim != 2 or points.shape[1] != len(model.coefficients):
        raise ValueError(f"points of shape {points.shape} for {len(model.coefficients)} coefficients")
    result = np.empty(len(points))
    for first in range(0, len(points), CHUNK):
        rows = slice(first, first + CHUNK)
        # Column by column: the last bits of a matrix product depend on how many rows it has.
        odds = np.full(len(result[rows]), model.intercept)
        for column, coefficient in zip(np.ascontiguousarray(points[rows].T), model.coefficients, strict=True):
            odds += column * coefficient
        result[rows] = _logistic(odds)
    return result


def _logistic(odds: Floats) -> Floats:
    with np.errstate(over="ignore"):
        result: Floats = 1 / (1 + np.exp(-odds))
    return result


def _evaluate(points: Floats, sign: Floats, c: float, parameters: Floats) -> _State:
    """One pass over the rows. The objective is divided by c, so that a strong penalty does not drown the data."""
    width = len(parameters)
    penalty = np.append(np.full(width - 1, 1 / c), 0.0)
    objective = float(penalty @ parameters**2) / 2
    gradient, information, margin = penalty * parameters, np.diag(penalty), np.inf
    for first in range(0, len(points), CHUNK):
        rows = slice(first, first + CHUNK)
        block = np.ones((len(sign[rows]), width))
        block[:, :-1] = points[rows]
        odds = block @ parameters
        margins = odds * sign[rows]
        objective += float(np.logaddexp(0, -margins).sum())
        gradient -= block.T @ (sign[rows] * _logistic(-margins))
        likely = _logistic(odds)
        information += block.T @ (block * (likely * _logistic(-odds))[:, None])
        margin = min(margin, float(margins.min()))
    return _State(parameters, objective, gradient, information, margin)


def _scaled(state: _State, c: float) -> tuple[Floats, Floats]:
    """The information with ones on its diagonal, and the scale of each parameter."""
    diagonal = np.diagonal(state.information)
    if not (diagonal > 0).all():
        raise UnreliableFit(f"the penalty of c={c:g} is too weak for these features: probabilities run to 0 and 1")
    scale = np.sqrt(diagonal)
    return state.information / scale / scale[:, None], scale


def _solved(state: _State, c: float) -> Floats:
    """Newton's step."""
    matrix, scale = _scaled(state, c)
    try:
        step: Floats = -np.linalg.solve(matrix, state.gradient / scale) / scale
    except np.linalg.LinAlgError as error:
        raise _redundant(c) from error
    return step


def _descended(points: Floats, sign: Floats, c: float, state: _State, step: Floats) -> _State:
    """The state after as much of the step as does not make the objective worse."""
    tolerance = 1e-12 * abs(state.objective)
    for _ in range(30):
        candidate = _evaluate(points, sign, c, state.parameters + step)
        if candidate.objective <= state.objective + tolerance:
            return candidate
        step = step / 2
    raise UnreliableFit(f"the logistic model found no descent from objective {state.objective:g} with c={c:g}")


def _finished(state: _State, c: float, iterations: int, churned: Bools) -> Logistic:
    matrix, scale = _scaled(state, c)
    if not np.linalg.cond(matrix) < WORST_CONDITION:
        raise _redundant(c)
    errors = np.sqrt(np.diagonal(np.linalg.inv(matrix))) / scale
    return Logistic(
        intercept=float(state.parameters[-1]),
        coefficients=state.parameters[:-1].copy(),
        intercept_error=float(errors[-1]),
        standard_errors=errors[:-1].copy(),
        c=c,
        objective=c * state.objective,
        iterations=iterations,
        customers=len(churned),
        churned=int(np.count_nonzero(churned)),
    )


def _redundant(c: float) -> UnreliableFit:
    return UnreliableFit(f"some features are combinations of others, and the penalty of c={c:g} is too weak to decide")


def _check(points: Floats, churned: Bools, c: float) -> None:
    if points.ndim != 2 or points.shape[0] != len(churned) or churned.dtype != np.bool_:
        raise ValueError(f"points of shape {points.shape} for {len(churned)} labels of type {churned.dtype}")
    if not (np.isfinite(c) and c > 0):
        _refuse("c", f"c={c} is not a positive number")
    if points.shape[1] == 0:
        _refuse("features", "a logistic model needs at least one feature")
    check_classes(churned, FEWEST)
    wrong = np.count_nonzero(~np.isfinite(points))
    if wrong:
        _refuse("features", f"{wrong} of {points.size} values are missing or infinite")


def check_classes(churned: Bools, fewest: int) -> None:
    """Raises InsufficientData unless at least `fewest` customers churned, and as many did not."""
    left = int(np.count_nonzero(churned))
    stayed = len(churned) - left
    if min(left, stayed) < fewest:
        raise InsufficientData(f"{left} customers churned and {stayed} did not: at least {fewest} of each are needed")


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, [FieldError(field, message)])
