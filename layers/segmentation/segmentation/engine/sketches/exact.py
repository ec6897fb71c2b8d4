"""Sums of floating-point numbers without rounding: equal in whatever order and groups they are added.

A sum is a fraction; two of them add exactly, and only what is shown of it is rounded.
"""

from fractions import Fraction

import numpy as np

from segmentation.engine.frame import Floats

_DIGITS, _HALF = 53, 26
_CHUNK = 1 << 20
"""Numbers added at once: halves of so many mantissas sum to less than 2^53, where floats are still whole numbers."""


def exact_sum(values: Floats) -> Fraction:
    """The sum of finite `values` (n). Raises ValueError if one is not finite."""
    if not np.isfinite(values).all():
        raise ValueError("only finite numbers have a sum")
    total = Fraction(0)
    for begin in range(0, len(values), _CHUNK):
        total += _chunk(values[begin : begin + _CHUNK])
    return total


def _chunk(values: Floats) -> Fraction:
    """By exponent, mantissas as whole numbers in two halves."""
    fractions, exponents = np.frexp(values)
    mantissas = np.ldexp(fractions, _DIGITS).astype(np.int64)
    lowest = int(exponents.min())
    places = exponents - lowest
    high = np.bincount(places, (mantissas >> _HALF).astype(np.float64))
    low = np.bincount(places, (mantissas & ((1 << _HALF) - 1)).astype(np.float64))
    whole = 0
    for place in np.flatnonzero((high != 0) | (low != 0)).tolist():
        whole += ((int(high[place]) << _HALF) + int(low[place])) << place
    shift = lowest - _DIGITS
    return Fraction(whole << shift) if shift >= 0 else Fraction(whole, 1 << -shift)
