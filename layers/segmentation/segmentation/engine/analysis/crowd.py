"""Counting rows for every segment at once. It must not know what the rows mean.

Eight segments share a byte per row, so one `bincount` over (code, byte) counts eight segments, and the table of
bytes is then folded into segments by a small matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Bools, Floats

Cells = NDArray[Any]
Indices = NDArray[np.integer[Any]]

_CHUNK = 2**18
"""Rows at a time: what a pass writes and reads again should still be in the cache."""

_BYTE_TO_SEGMENTS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.float64)


@dataclass(frozen=True, eq=False)
class Crowd:
    """Which of `segments` segments each row belongs to: bit s % 8 of `patterns[s // 8, row]`."""

    patterns: NDArray[np.uint8]
    segments: int

    @property
    def rows(self) -> int:
        return int(self.patterns.shape[1])

    def take(self, rows: Indices | Bools) -> "Crowd":
        """The crowd of other rows, each owned by the row that `rows` names; a mask keeps the rows where it is true."""
        return Crowd(self.patterns[:, rows], self.segments)

    def repeat(self, lengths: Indices) -> "Crowd":
        """Row i becomes `lengths[i]` rows: from customers to the rows that they own."""
        return Crowd(np.repeat(self.patterns, lengths, axis=1), self.segments)

    def members(self, segment: int, rows: Indices | slice = slice(None)) -> Bools:
        """bool[rows]: which of the chosen rows are in the segment at this position."""
        inside: Bools = (self.patterns[segment // 8, rows] & np.uint8(1 << segment % 8)) != 0
        return inside

    def count(self, codes: Indices, size: int) -> Cells:
        """int64[segments + 1, size]: rows per code, everybody in row 0. A code below 0 is not counted."""
        return np.rint(self._tabulate(codes, size, None)).astype(np.int64)

    def total(self, codes: Indices, size: int, weights: Floats) -> Cells:
        """float64[segments + 1, size]: sum of `weights` per code, everybody in row 0."""
        return self._tabulate(codes, size, weights)

    def _tabulate(self, codes: Indices, size: int, weights: Floats | None) -> Cells:
        everybody = np.zeros(size + 1)
        cells = np.zeros((len(self.patterns), (size + 1) * 256))
        for start in range(0, self.rows, _CHUNK):
            rows = slice(start, start + _CHUNK)
            weight = None if weights is None else weights[rows]
            # The first slot takes the missing rows: cheaper than filtering every array.
            slots = codes[rows].astype(np.int64) + 1
            everybody += np.bincount(slots, weight, size + 1)
            slots *= 256
            for group, pattern in enumerate(self.patterns[:, rows]):
                cells[group] += np.bincount(slots + pattern, weight, (size + 1) * 256)
        folded = cells.reshape(-1, size + 1, 256) @ _BYTE_TO_SEGMENTS
        by_segment = folded.transpose(0, 2, 1).reshape(-1, size + 1)[: self.segments]
        return np.concatenate((everybody[None], by_segment))[:, 1:]

    def extremes(self, values: Floats, codes: Indices, cells: Cells) -> tuple[Floats, Floats]:
        """Lowest and highest value per segment (row 0 everybody), NaN where it has none; two float64[segments + 1].

        `codes` ascend with `values` and `cells` are their counts, so only rows of the outermost codes are looked at.
        """
        found = np.full((2, self.segments + 1), np.nan)
        by_code = np.argsort(codes.astype(np.int16) if cells.shape[1] < 2**15 else codes, kind="stable")
        ends = len(codes) - int(cells[0].sum()) + np.concatenate(([0], np.cumsum(cells[0])))
        for row, counts in enumerate(cells):
            filled = np.flatnonzero(counts)
            for side, code in enumerate(filled[[0, -1]] if len(filled) else ()):
                rows = by_code[ends[code] : ends[code + 1]]
                inside = values[rows] if row == 0 else values[rows][self.members(row - 1, rows)]
                found[side, row] = inside.max() if side else inside.min()
        return found[0], found[1]


def crowd_of(masks: Sequence[Bools], rows: int) -> Crowd:
    """The crowd of `rows` customers from one bool[rows] per segment."""
    for position, mask in enumerate(masks):
        if mask.shape != (rows,) or mask.dtype != np.bool_:
            raise ValueError(f"mask {position} is {mask.dtype}{list(mask.shape)}, expected bool[{rows}]")
    patterns = np.zeros((-(-len(masks) // 8), rows), dtype=np.uint8)
    for position, mask in enumerate(masks):
        patterns[position // 8] |= mask.view(np.uint8) << np.uint8(position % 8)
    return Crowd(patterns, len(masks))
