"""One state per customer and instant, out of who is in which segment. It must not know what the segments are."""

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools
from segmentation.engine.migration.limits import MOST_SEGMENTS
from segmentation.errors import FieldError, InvalidInput

States = NDArray[np.int8]
"""Number of a segment; the number after the last segment's is "in none of them"."""


def states_of(masks: Bools, highest: bool = False) -> States:
    """State (instants x customers) out of `masks` (instants x segments x customers).

    A customer in several segments is in the first of them, or in the last with `highest`. Raises InvalidInput for no
    segment or more than MOST_SEGMENTS.
    """
    instants, segments, customers = masks.shape
    if not 0 < segments <= MOST_SEGMENTS:
        message = f"{segments} segments; name 1 to {MOST_SEGMENTS}"
        raise InvalidInput(message, [FieldError("segments", message)])
    states = np.full((instants, customers), segments, dtype=np.int8)
    # What is written last stays.
    for segment in range(segments) if highest else range(segments - 1, -1, -1):
        states[masks[:, segment]] = segment
    return states


def several_of(masks: Bools) -> NDArray[np.int64]:
    """Customers who are in more than one segment, at each instant; `masks` are instants x segments x customers."""
    several: NDArray[np.int64] = (masks.sum(axis=1, dtype=np.int8) > 1).sum(axis=1, dtype=np.int64)
    return several
