"""Orders expected of a customer who is still one: the BG/NBD expectation as an integral over the chance to leave.

With shares p of leaving after an order distributed as Beta(a, b) and rates as Gamma(r, alpha), E[X(t)] is the mean of
g(p) = (1 - (1 + p t / alpha)^-r) / p: Fader, Hardie and Lee (2005), before they write equations 9 and 10 with Gauss's
hypergeometric function. That function has trouble where a nears 1 or its last argument nears 1; the integral has not.
It must not know of models and customers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Floats

Integers = NDArray[np.int64]

SPACING = 0.35
"""Largest distance of points on the scale ln(p / (1 - p)), where the trapezoidal rule converges exponentially."""
NARROW = 0.7
"""Largest distance of points in standard deviations of the chance to leave, on that scale."""
STEP = 16
"""Numbers of points are multiples of this, so that few sizes occur."""
DEPTH = 27.0
"""Points end where the integrand has fallen to e^-27 = 2e-12 of its height."""
CELLS = 1 << 14
"""Numbers computed on at a time: their arrays stay in cache."""
_NEWTON_STEPS = 10
_ANGLES = (2 * np.arange(16) + 1) * np.pi / 32
_NODES = (1 - np.cos(_ANGLES)) / 2
"""Sixteen Chebyshev nodes of an octave, as its fraction on the scale of logarithms."""
_WEIGHTS = np.sin(_ANGLES) * (-1.0) ** np.arange(16)


@dataclass(frozen=True, eq=False)
class Kinds:
    """Sorts of customers (k,) by `b` and `exponent`, each with the `number` of its points from `low` to `high`."""

    a: float
    b: Floats
    exponent: Floats
    low: Floats
    high: Floats
    number: Integers


def kinds_of(a: float, b: Floats, exponent: Floats, longest: float) -> Kinds:
    """For Beta(a, b[k]) and exponents r[k] (k,), and times t / alpha of at most `longest`."""
    # g(0) = r t / alpha, and its slope there is of the order of the square: both may make up for little density.
    left = DEPTH + 2 * np.log1p(exponent * longest)
    height = _log_density(a, b, np.log((a + 1) / b))
    low = _ends(a, b, height - left, (height - left) / (a + 1))
    high = _ends(a, b, height - DEPTH, (DEPTH - height) / b)
    spacing = np.minimum(SPACING, NARROW * np.sqrt(1 / (a + 1) + 1 / b))
    number = np.ceil(((high - low) / spacing + 1) / STEP).astype(np.int64) * STEP
    return Kinds(a, b, exponent, low, high, number)


def expected(kinds: Kinds, code: Integers, time: Floats) -> Floats:
    """Orders (n,) expected of living customers, by their kind `code` (n,) and `time` (n,) as t / alpha.

    To 1e-8 of the value. A customer's result does not depend on the others. Fastest where equal codes are neighbours.
    """
    result = np.empty(len(code))
    numbers = kinds.number[code]
    for number in np.unique(numbers).tolist():
        alike = np.flatnonzero(numbers == number)
        rows = max(1, CELLS // number)
        for begin in range(0, len(alike), rows):
            chosen = alike[begin : begin + rows]
            result[chosen] = _integral(kinds, code[chosen], time[chosen], number)
    return result


def interpolated(kinds: Kinds, code: Integers, time: Floats) -> Floats:
    """As `expected` for many positive times of few kinds: computed at the nodes of octaves of time, and between them by
    their polynomial, which is off by less than the integral itself. A result does not depend on the other customers.
    """
    octave = np.floor(np.log2(time)).astype(np.int64)
    lowest = int(octave.min(initial=0))
    spans, inside = np.unique(code * (int(octave.max(initial=0)) - lowest + 1) + octave - lowest, return_inverse=True)
    one = np.empty(len(spans), dtype=np.int64)
    one[inside] = np.arange(len(code))
    times = np.exp2(octave[one][:, np.newaxis] + _NODES)
    known = expected(kinds, np.repeat(code[one], len(_NODES)), times.ravel()).reshape(times.shape)
    result, rows = np.empty(len(code)), CELLS // len(_NODES)
    for begin in range(0, len(code), rows):
        chosen = slice(begin, begin + rows)
        result[chosen] = _between(known[inside[chosen]], np.log2(time[chosen]) - octave[chosen])
    return result


def _between(known: Floats, place: Floats) -> Floats:
    """The polynomial through `known` (n, nodes) at `place` (n,), from 0 to 1: the barycentric formula."""
    distance = place[:, np.newaxis] - _NODES
    at_node = distance == 0
    distance[at_node] = 1.0
    weights = _WEIGHTS / distance
    weights[at_node.any(axis=1)] = 0.0
    weights[at_node] = 1.0
    found: Floats = np.sum(weights * known, axis=1) / np.sum(weights, axis=1)
    return found


def _integral(kinds: Kinds, code: Integers, time: Floats, number: int) -> Floats:
    """The mean of g under Beta(a, b), as that of g - g' (1 - p) / (a + b) under Beta(a + 1, b).

    Both are equal by integration by parts, and the second falls fast towards p = 0 however small a is.
    """
    present, inside = np.unique(code, return_inverse=True)
    a, b, exponent = kinds.a, kinds.b[present][:, np.newaxis], kinds.exponent[code][:, np.newaxis]
    low, high = kinds.low[present][:, np.newaxis], kinds.high[present][:, np.newaxis]
    points = low + (high - low) * (np.arange(number) / (number - 1))
    p = 1 / (1 + np.exp(-points))
    density = _log_density(a, b, points)
    weight = np.exp(density - density.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True) * p
    steep = weight * (1 - p) / (a + b)
    kept = weight + steep / p
    # By customer from here on. -g' = (g - r s (1 + p s)^(-r - 1)) / p with s = t / alpha.
    s = time[:, np.newaxis]
    falling = p[inside]
    falling *= s
    none = np.log1p(falling)
    falling += 1
    none *= -exponent
    np.expm1(none, out=none)
    np.divide(none + 1, falling, out=falling)
    falling *= steep[inside]
    none *= kept[inside]
    total: Floats = -np.sum(none, axis=1) - exponent[:, 0] * time * np.sum(falling, axis=1)
    return total


def _ends(a: float, b: Floats, level: Floats, outside: Floats) -> Floats:
    """Where the log-density falls to `level`, from further out; as it is concave, Newton's steps stay outside.

    Ends that are still too far out cost points and no accuracy.
    """
    y = outside
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-y))
        y = y - (_log_density(a, b, y) - level) / ((a + 1) * (1 - p) - b * p)
    return y


def _log_density(a: float, b: Floats, y: Floats) -> Floats:
    """Of Beta(a + 1, b) on the scale y = ln(p / (1 - p)), but for a constant."""
    rest = np.logaddexp(0, y)
    return (a + 1) * (y - rest) - b * rest
