"""Ordered groups over one score by cut points: value tiers by share of customers, risk bands by fixed limits.

It must not know what the score means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Codes, Floats
from segmentation.errors import FieldError, InsufficientData, InvalidInput

NONE = -1
"""Code of a customer without a score."""

MOST = 20
"""Bands of one score."""

SHARES_OFF = 1e-6
"""How far from 1 shares may sum, as decimals that a client rounded do."""


@dataclass(frozen=True)
class Bands:
    """`names[b]` lowest scores first, `cuts[b - 1]` ascending; a score at a cut is in the upper band."""

    names: tuple[str, ...]
    cuts: tuple[float, ...]


def by_limits(names: Sequence[str], cuts: Sequence[float]) -> Bands:
    """Bands between fixed limits, one fewer than names. Raises InvalidInput unless limits are finite and ascend."""
    _check_names(names)
    if len(cuts) != len(names) - 1:
        _refuse("cuts", f"{len(names)} names need {len(names) - 1} limits, not {len(cuts)}")
    limits = np.array(cuts, dtype=np.float64)
    if not (np.isfinite(limits).all() and (np.diff(limits) > 0).all()):
        _refuse("cuts", f"limits must be finite and ascend: {', '.join(f'{limit:g}' for limit in limits)}")
    return Bands(tuple(names), tuple(limits.tolist()))


def by_share(values: Floats, names: Sequence[str], shares: Sequence[float]) -> Bands:
    """Bands that hold `shares` (sum 1) of the customers whose score (n) is not NaN, as nearly as ties permit.

    `names` and `shares` go from the lowest score to the highest. Equal scores stay together, and no band is empty: each
    cut is the distinct score at which the share below it is nearest to what was asked for. Raises InvalidInput for
    shares that are not positive or do not sum to 1, InsufficientData with fewer distinct scores than bands.
    """
    return by_counted_share(*np.unique(values[~np.isnan(values)], return_counts=True), names, shares)


def by_counted_share(
    distinct: Floats, counts: NDArray[np.int64], names: Sequence[str], shares: Sequence[float]
) -> Bands:
    """`by_share` of ascending `distinct` scores, each of which `counts` customers have."""
    _check_names(names)
    if len(shares) != len(names):
        _refuse("shares", f"{len(names)} names need as many shares, not {len(shares)}")
    wanted = np.cumsum(np.array(shares, dtype=np.float64))
    if not (all(share > 0 for share in shares) and abs(wanted[-1] - 1) <= SHARES_OFF):
        _refuse("shares", f"shares must be positive and sum to 1: {', '.join(f'{share:g}' for share in shares)}")
    if len(distinct) and not np.isfinite(distinct[[0, -1]]).all():
        _refuse("values", "a score is infinite")
    if len(distinct) < len(names):
        raise InsufficientData(f"{len(distinct)} distinct scores are fewer than the {len(names)} bands")
    below = (np.cumsum(counts) - counts) / counts.sum()
    cuts, last = [], 0
    for band in range(1, len(names)):
        # At least one distinct score for this band, and one for each that follows.
        possible = slice(last + 1, len(distinct) - len(names) + band + 1)
        last += 1 + int(np.argmin(np.abs(below[possible] - wanted[band - 1])))
        cuts.append(float(distinct[last]))
    return Bands(tuple(names), tuple(cuts))


def code(bands: Bands, values: Floats) -> Codes:
    """Codes (n) into the names of `bands` for scores (n), -1 where the score is NaN; equal scores are in one band."""
    codes = np.searchsorted(np.array(bands.cuts), values, side="right").astype(np.int32)
    codes[np.isnan(values)] = NONE
    return codes


def _check_names(names: Sequence[str]) -> None:
    if not 2 <= len(names) <= MOST:
        _refuse("names", f"{len(names)} bands are not between 2 and {MOST}")
    blank = [name for name in names if not name.strip()]
    if blank or len({name.casefold() for name in names}) < len(names):
        _refuse("names", f"names of bands must be distinct and not blank: {', '.join(repr(name) for name in names)}")


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, [FieldError(field, message)])
