"""A sample of customers that does not depend on how they are parted: those with the smallest hashes of all.

Bottom-k sampling (Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007). It must not know what of a
customer is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Bools, Rows
from segmentation.engine.sketches.hashing import Hashes

_DEVIATIONS = 8
"""Parts are of unequal size by chance: more than so many standard deviations happens to one in 10^15."""
_SPARE = 64


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one part brings: the `hashes`, ascending, of its customers with the smallest ones.

    All of them if `complete`, else all whose hash is below the last.
    """

    hashes: Hashes
    complete: bool


def reserve(most: int, parts: int) -> int:
    """Customers that each of so many parts has to bring, so that together they bring the smallest `most` hashes."""
    share = most / parts
    return math.ceil(share) + _DEVIATIONS * math.ceil(math.sqrt(share)) + _SPARE


def draw(hashes: Hashes, most: int) -> tuple[Rows, Drawn]:
    """The rows with the `most` smallest hashes, in their order, and what is known of them."""
    order = np.argsort(hashes, kind="stable")[:most]
    return order, Drawn(hashes[order], len(order) == len(hashes))


def limit_of(parts: Sequence[Drawn], most: int) -> int:
    """The sample of all parts are those of their customers whose hash is below this; at most `most`.

    Fewer only if there are not more, or if a part had far more than its share and did not bring enough of them.
    """
    known = min((int(part.hashes[-1]) for part in parts if not part.complete), default=1 << 64)
    every = np.concatenate([np.empty(0, dtype=np.uint64), *(part.hashes for part in parts)])
    if len(every) > most:
        known = min(known, int(np.partition(every, most)[most]))
    return known


def below(hashes: Hashes, limit: int) -> Bools:
    """Which hashes are in the sample."""
    inside: Bools = hashes <= np.uint64(limit - 1) if limit else np.zeros(len(hashes), dtype=np.bool_)
    return inside
