"""What an operator makes of a condition. It must not know kinds."""

from collections.abc import Callable
from dataclasses import dataclass

from segmentation.engine.criteria.prepared import Bits
from segmentation.engine.criteria.times import Waits
from segmentation.engine.frame import Bools


@dataclass(frozen=True, eq=False)
class Check:
    """A positive condition over the rows of one frame.

    `answer` is the bits of all rows, or a function of (start, stop) that gives the truth of those rows. `waits` tells
    when the answer can change though no data comes; None: never. Where `among` is given, only its rows can match.
    """

    answer: Bits | Callable[[int, int], Bools]
    waits: Waits | None = None
    among: Bits | None = None
