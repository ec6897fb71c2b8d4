"""Truth values: 1, 0, or -1 for missing, which matches no positive operator."""

from typing import cast

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import Prepared
from segmentation.engine.criteria.times import Clock
from segmentation.engine.criteria.tree import Condition
from segmentation.engine.frame import BooleanColumn, Column


def check(condition: Condition, column: Column, _prepared: Prepared, _clock: Clock) -> Check:
    """A boolean condition over a column."""
    values = cast(BooleanColumn, column).values
    match condition.operator:
        case "is_true":
            accepted = {1}
        case "is_false":
            accepted = {0}
        case "eq":
            accepted = {int(cast(bool, condition.value))}
        case "in":
            accepted = {int(value) for value in cast(tuple[bool, ...], condition.value)}
        case _:
            raise ValueError(f"no boolean operator {condition.operator!r}")
    if len(accepted) == 2:
        return Check(lambda start, stop: values[start:stop] >= 0)
    (only,) = accepted
    return Check(lambda start, stop: values[start:stop] == only)
