"""Counting rows for every segment at once. It must not know what the rows mean.

Where segments are selective, the rows of each are listed once, and every count looks at those alone. Where they are
not, lists would be longer than what they list: then eight segments share a byte per row, one `bincount` over (code,
byte) counts eight segments, and the table of bytes is folded into segments by a small matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, Floats

Cells = NDArray[Any]
Indices = NDArray[np.integer[Any]]

_CHUNK = 2**18
"""Rows at a time: what a pass writes and reads again should still be in the cache."""

_LONGEST = 2**24
"""Rows of all lists together: 64 MB."""

_BYTE_TO_SEGMENTS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float64)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Which of `segments` segments each of `rows` rows belongs to, as lists of rows or as bits.

    `owner` is None, or the row of `parent` that owns each row, ascending.
    """

    rows: int
    segments: int
    masks: Sequence[Bools] = ()
    parent: "Crowd | None" = None
    owner: Indices | None = None

    def owning(self, owner: Indices) -> "Crowd":
        """The crowd of other rows, each owned by the row that `owner` (ascending) names."""
        return Crowd(len(owner), self.segments, parent=self, owner=owner)

    def inside(self, segment: int) -> Indices:
        """The rows of the segment at this position, ascending."""
        if self._lists is not None:
            return self._lists[segment]
        return np.flatnonzero(self.patterns[segment // 8] & np.uint8(1 << segment % 8))

    def count(self, codes: Indices, size: int) -> Cells:
        """int64[segments + 1, size]: rows per code, everybody in row 0. A code below 0 is not counted."""
        return np.rint(self._tabulate(codes, size, None)).astype(np.int64)

    def total(self, codes: Indices, size: int, weights: Floats) -> Cells:
        """float64[segments + 1, size]: sum of `weights` per code, everybody in row 0."""
        return self._tabulate(codes, size, weights)

    def extremes(self, values: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest value per segment (row 0 everybody), NaN where it has none; two float64[segments + 1]."""
        found = np.full((2, self.segments + 1), np.nan)
        for row in range(self.segments + 1):
            mine = values.take(self.inside(row - 1)) if row else values
            if len(mine):
                found[:, row] = np.fmin.reduce(mine), np.fmax.reduce(mine)
        return found[0], found[1]

    @cached_property
    def patterns(self) -> NDArray[np.uint8]:
        """Bit s % 8 of `patterns[s // 8, row]` says whether the row is in segment s."""
        if self.parent is not None:
            return self.parent.patterns[:, self.owner]
        patterns = np.zeros((-(-self.segments // 8), self.rows), dtype=np.uint8)
        for position, mask in enumerate(self.masks):
            patterns[position // 8] |= mask.view(np.uint8) << np.uint8(position % 8)
        return patterns

    @cached_property
    def _lists(self) -> tuple[Indices, ...] | None:
        """The rows of each segment; None where bits are shorter."""
        most = min(self.rows * -(-self.segments // 8), _LONGEST)
        if self.parent is None or self.owner is None:
            few = sum(int(np.count_nonzero(mask)) for mask in self.masks) <= most
            return tuple(np.flatnonzero(mask) for mask in self.masks) if few else None
        lists = self.parent._lists
        if lists is None:
            return None
        lengths = np.bincount(self.owner, minlength=self.parent.rows)
        if sum(int(lengths.take(rows).sum()) for rows in lists) > most:
            return None
        begins = np.cumsum(lengths) - lengths
        return tuple(_ranges(begins.take(rows), lengths.take(rows)) for rows in lists)

    def _tabulate(self, codes: Indices, size: int, weights: Floats | None) -> Cells:
        # The first slot takes the missing rows: cheaper than filtering every array.
        slots = codes.astype(np.int64) + 1
        if self._lists is None:
            return self._tabulated_by_bytes(slots, size, weights)
        cells = np.empty((self.segments + 1, size + 1))
        cells[0] = np.bincount(slots, weights, size + 1)
        for segment, rows in enumerate(self._lists):
            weight = None if weights is None else weights.take(rows)
            cells[segment + 1] = np.bincount(slots.take(rows), weight, size + 1)
        return cells[:, 1:]

    def _tabulated_by_bytes(self, slots: Indices, size: int, weights: Floats | None) -> Cells:
        everybody = np.bincount(slots, weights, size + 1).astype(np.float64)
        cells = np.zeros((len(self.patterns), (size + 1) * 256))
        for start in range(0, self.rows, _CHUNK):
            rows = slice(start, start + _CHUNK)
            weight = None if weights is None else weights[rows]
            places = slots[rows] * 256
            for group, pattern in enumerate(self.patterns[:, rows]):
                cells[group] += np.bincount(places + pattern, weight, (size + 1) * 256)
        folded = cells.reshape(-1, size + 1, 256) @ _BYTE_TO_SEGMENTS
        by_segment = folded.transpose(0, 2, 1).reshape(-1, size + 1)[: self.segments]
        return np.concatenate((everybody[None], by_segment))[:, 1:]


def _ranges(begins: Indices, lengths: Indices) -> Indices:
    """All numbers of the ranges that begin at `begins` and are `lengths` long, one range after the other."""
    ends = np.cumsum(lengths)
    if not len(ends) or not ends[-1]:
        return np.empty(0, dtype=np.int64)
    ranges: Indices = np.arange(ends[-1]) + np.repeat(begins - (ends - lengths), lengths)
    return ranges


def crowd_of(masks: Sequence[Bools], rows: int) -> Crowd:
    """The crowd of `rows` customers from one bool[rows] per segment."""
    for position, mask in enumerate(masks):
        if mask.shape != (rows,) or mask.dtype != np.bool_:
            raise ValueError(f"mask {position} is {mask.dtype}{list(mask.shape)}, expected bool[{rows}]")
    return Crowd(rows, len(masks), masks)
