"""The revenue that customers stand for, where a change of segments is weighed in money. It reads no store."""

import math
from collections.abc import Iterable

import numpy as np

from segmentation.engine.frame import Floats, Frame, NumberColumn

FEATURE = "totalSpent"
"""What a customer has spent, returns subtracted."""


def of_customers(frame: Frame) -> Floats:
    """Revenue per row of the frame, 0 for whom nothing is known; one value more at the end, 0, is row -1: nobody's."""
    column = frame.columns.get(FEATURE)
    known = column.values if isinstance(column, NumberColumn) else np.zeros(frame.size)
    return np.append(np.nan_to_num(known, nan=0.0), 0.0)


def money(amounts: Iterable[float]) -> float:
    """The sum in whole cents, whatever the order of the amounts."""
    return round(math.fsum(amounts), 2)
