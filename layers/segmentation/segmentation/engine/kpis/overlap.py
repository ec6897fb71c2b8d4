"""Which segments hold nearly the same customers, from counts of their sizes and of what they share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

REDUNDANT = 0.8
"""Two segments with a Jaccard index above this are hardly two."""

CONTAINED = 0.95
"""A segment of which this share or more is in another one adds little to it."""

MOST_PAIRS = 100
"""Pairs that are named, those with the highest Jaccard index."""


def pairs(segments: Sequence[str], sizes: NDArray[np.int64], shared: NDArray[np.int64]) -> dict[str, Any]:
    """`{redundant, contained, pairs: [{segmentIds, sizes, both, jaccard, verdict}]}` of all pairs of segments.

    `sizes[n]` are customers of each segment, `shared[n, n]` customers of both. The Jaccard index is shared / (one +
    other - shared). `verdict` is `identical` (1), `redundant` (above `REDUNDANT`), `contained` (`CONTAINED` of the
    smaller one is in the larger), or `distinct`; `redundant` and `contained` count all pairs, identical ones as
    redundant. Pairs that share nobody are left out.
    """
    one, other = np.triu_indices(len(segments), 1)
    both = shared[one, other]
    overlapping = both > 0
    one, other, both = one[overlapping], other[overlapping], both[overlapping]
    jaccard = both / (sizes[one] + sizes[other] - both)
    share = both / np.minimum(sizes[one], sizes[other])
    redundant = jaccard > REDUNDANT
    contained = ~redundant & (share >= CONTAINED)
    found = []
    for place in np.lexsort((other, one, -both, -jaccard))[:MOST_PAIRS].tolist():
        left, right = int(one[place]), int(other[place])
        verdict = "redundant" if redundant[place] else "contained" if contained[place] else "distinct"
        found.append(
            {
                "segmentIds": [segments[left], segments[right]],
                "sizes": [int(sizes[left]), int(sizes[right])],
                "both": int(both[place]),
                "jaccard": round(float(jaccard[place]), 6),
                "verdict": "identical" if jaccard[place] == 1 else verdict,
            }
        )
    return {"redundant": int(redundant.sum()), "contained": int(contained.sum()), "pairs": found}
