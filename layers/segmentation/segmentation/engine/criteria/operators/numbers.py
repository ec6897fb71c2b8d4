"""Numbers: 64-bit floats; NaN is missing and matches no positive operator."""

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import Prepared
from segmentation.engine.criteria.times import DAY, NEVER, Clock, Int64, UInt64
from segmentation.engine.criteria.tree import Condition, Value
from segmentation.engine.frame import Bools, Column, Floats, NumberColumn

FEW = 8
"""Up to so many values are compared one by one."""

LARGEST_DAY = 10_000_000
"""No count of days that is of use is larger."""

Predicate = Callable[[Floats], Bools]


def check(condition: Condition, column: Column, _prepared: Prepared, _clock: Clock) -> Check:
    """A number condition over a column."""
    values = cast(NumberColumn, column).values
    holds = predicate(condition.operator, condition.value)
    return Check(lambda start, stop: holds(values[start:stop]))


def predicate(operator: str, value: Value) -> Predicate:
    """A positive number operator with its value as a function of arrays.

    Raises
    ------
    ValueError
        No such operator.
    """
    if operator == "is_set":
        return lambda found: ~np.isnan(found)
    if operator == "in":
        return _in(cast(tuple[float, ...], value))
    if operator == "between":
        low, high = cast(tuple[float, float], value)
        return lambda found: np.asarray((found >= low) & (found <= high))
    limit = cast(float, value)
    match operator:
        case "eq":
            return lambda found: found == limit
        case "gt":
            return lambda found: found > limit
        case "gte":
            return lambda found: found >= limit
        case "lt":
            return lambda found: found < limit
        case "lte":
            return lambda found: found <= limit
    raise ValueError(f"no number operator {operator!r}")


def _in(values: tuple[float, ...]) -> Predicate:
    if len(values) <= FEW:

        def among_few(found: Floats) -> Bools:
            rows: Bools = found == values[0]
            for value in values[1:]:
                rows |= found == value
            return rows

        return among_few
    ordered = np.array(sorted(values), dtype=np.float64)

    def among_many(found: Floats) -> Bools:
        place = np.searchsorted(ordered, found)
        return np.asarray(ordered[np.minimum(place, len(ordered) - 1)] == found)

    return among_many


def day_steps(operator: str, value: Value) -> Floats:
    """The whole numbers at which a count of days, growing by one, changes the answer; ascending."""
    numbers = value if isinstance(value, tuple) else (value,)
    near: set[int] = set()
    for number in numbers:
        if isinstance(number, float):
            near.update(int(max(-1.0, min(number, LARGEST_DAY))) + step for step in (-1, 0, 1, 2))
    steps = np.array(sorted(near), dtype=np.float64)
    holds = predicate(operator, value)
    return np.asarray(steps[holds(steps) != holds(steps - 1)])


def day_waits(operator: str, value: Value, counted: Floats, since: Int64, now: int) -> UInt64:
    """Waits of a condition on whole days since an instant.

    `counted` are the days at `now` (NaN: missing), `since` the instants that they are counted from.
    """
    steps = day_steps(operator, value)
    place = np.searchsorted(steps, counted, side="right")
    ahead = (place < len(steps)) & ~np.isnan(counted)
    step = np.append(steps, 0)[np.where(ahead, place, 0)].astype(np.int64)
    waits: NDArray[np.uint64] = (since + step * DAY - (now + 1)).view(np.uint64)
    return np.where(ahead, waits, NEVER)
