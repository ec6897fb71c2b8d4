"""Where records end in a stream of delimited text. It decodes nothing: bytes in, positions out."""

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]

_TAB, _LF, _CR, _BLANK, _QUOTE = 9, 10, 13, 32, 34
_NEVER = -2


class RecordScanner:
    """Finds record ends as Arrow's CSV reader sees them, block by block.

    A quote opens a field only where the field begins; inside, two quotes stand for one, and line ends are data. A
    record ends with
    LF, CR LF or a lone CR. Bytes must be ASCII-compatible (UTF-8 or a one-byte encoding).

    `delimiter` None means no quoting and LF alone (JSON Lines, whitespace-aligned files); lines of nothing but
    blanks then
    count as blank, while in a delimited file only an empty line does.
    """

    def __init__(self, delimiter: str | None) -> None:
        self._quoting = delimiter is not None
        self._openers = [_LF, _CR] + ([ord(delimiter)] if delimiter else [])
        self._done = 0
        self._held = b""
        self._last = _LF
        self._closed = _NEVER
        self._filled = False
        self.inside_quotes = False
        """True where a quote is open after the last byte."""
        self.start = 0
        """Where the record begins that has not ended yet."""

    @property
    def position(self) -> int:
        """Number of bytes fed."""
        return self._done + len(self._held)

    def feed(self, block: bytes, final: bool = False) -> tuple[Positions, Flags]:
        """Ends (positions after the line end, counted from the stream's begin) and whether each record is not blank.

        With `final`, what stands after the last line end is a record of its own.
        """
        block = self._held + block
        self._held = b""
        if self._quoting and not final and block.endswith(b"\r"):
            # It may be half of a CR LF.
            block, self._held = block[:-1], b"\r"
        if not block:
            return self._rest(final)
        data = np.frombuffer(block, dtype=np.uint8)
        ends = self._line_ends(block, data)
        if self._quoting and (self.inside_quotes or b'"' in block):
            ends = ends[~self._quoted(data, ends)]
        if final and (len(ends) == 0 or ends[-1] != len(data) - 1):
            ends = np.append(ends, len(data) - 1)
        content = self._not_empty(data, ends) if self._quoting else self._not_blank(data, ends)
        ends = ends + (self._done + 1)
        self._done += len(data)
        self._last = int(data[-1])
        if len(ends):
            self.start = int(ends[-1])
        return ends, content

    def _rest(self, final: bool) -> tuple[Positions, Flags]:
        """The record that the stream's end cuts off, where there is one."""
        if not final or self.start == self._done:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        self.start = self._done
        return np.array([self._done]), np.array([self._quoting or self._filled])

    def _line_ends(self, block: bytes, data: NDArray[np.uint8]) -> Positions:
        ends = data == _LF
        if self._quoting and b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            lone = data == _CR
            lone[:-1] &= ~ends[1:]
            ends |= lone
        return np.flatnonzero(ends)

    def _quoted(self, data: NDArray[np.uint8], positions: Positions) -> Flags:
        """Whether each position lies inside quotes; moves the state to the end of the block."""
        quotes = np.flatnonzero(data == _QUOTE)
        may_open = np.isin(np.where(quotes > 0, data[quotes - 1], self._last), self._openers)
        opening = np.zeros(len(quotes), dtype=np.bool_)
        opening[int(self.inside_quotes) :: 2] = True
        doubled = np.concatenate(([self._closed - self._done], quotes))[:-1] == quotes - 1
        if np.any(opening & ~may_open & ~doubled):
            quotes = self._toggles(quotes, may_open)
        inside = self.inside_quotes
        closing = quotes[int(not inside) :: 2]
        if len(closing):
            self._closed = int(closing[-1]) + self._done
        self.inside_quotes = inside ^ bool(len(quotes) & 1)
        hidden: Flags = ((np.searchsorted(quotes, positions) & 1) == 1) ^ inside
        return hidden

    def _toggles(self, quotes: Positions, may_open: Flags) -> Positions:
        """The quotes that open or close a field, one by one: for blocks with quotes in the middle of a field."""
        inside, closed = self.inside_quotes, self._closed - self._done
        toggles = []
        for position, legal in zip(quotes.tolist(), may_open.tolist(), strict=True):
            if inside:
                inside, closed = False, position
            elif legal or position == closed + 1:
                inside = True
            else:
                continue
            toggles.append(position)
        return np.array(toggles, dtype=np.int64)

    def _not_empty(self, data: NDArray[np.uint8], ends: Positions) -> Flags:
        starts = np.concatenate(([self.start - self._done], ends + 1))[:-1]
        lengths = ends - starts
        line_end_alone = (lengths == 0) & np.isin(data[ends], (_LF, _CR))
        pair_alone = (lengths == 1) & (ends > 0) & (data[ends - 1] == _CR)
        content: Flags = ~(line_end_alone | pair_alone)
        return content

    def _not_blank(self, data: NDArray[np.uint8], ends: Positions) -> Flags:
        filled = (data != _LF) & (data != _BLANK) & (data != _CR) & (data != _TAB)
        if len(ends) == 0:
            self._filled = self._filled or bool(filled.any())
            return np.zeros(0, dtype=np.bool_)
        content: Flags = np.logical_or.reduceat(filled[: ends[-1] + 1], np.concatenate(([0], ends[:-1] + 1)))
        content[0] |= self._filled
        self._filled = bool(filled[ends[-1] + 1 :].any())
        return content
