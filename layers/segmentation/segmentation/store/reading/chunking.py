"""A stream of delimited text cut into chunks at record ends, in one pass and bounded memory. It parses no fields."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from segmentation.errors import InvalidFile
from segmentation.store.reading.blocks import MAX_RECORD_BYTES
from segmentation.store.reading.records import RecordScanner

CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Cut:
    """`records` records at bytes `start` to `end` (exclusive) of the stream; the first is record `first_row`.
    `data` where asked for."""

    start: int
    end: int
    first_row: int
    records: int
    data: bytes


def cut(
    blocks: Iterable[bytes], delimiter: str | None, key: str, keep: bool, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[Cut]:
    """Chunks of at least `chunk_bytes`, but for the last. Chunks without records are left out.

    `delimiter` None: quotes mean nothing. With `keep` every chunk carries its bytes. Raises InvalidFile for a record
    longer than `MAX_RECORD_BYTES`, and for a file that ends inside quotes.
    """
    scanner = RecordScanner(delimiter)
    start, first_row, records = 0, 1, 0
    kept = bytearray()
    for block, final in _with_last(blocks):
        if keep:
            kept += block
        begins = scanner.start
        ends, content = scanner.feed(block, final)
        _check_lengths(np.diff(ends, prepend=begins), content, scanner, first_row + records, key)
        counts = np.cumsum(content)
        counted = 0
        while True:
            index = int(np.searchsorted(ends, start + chunk_bytes))
            if index >= len(ends):
                break
            end = int(ends[index])
            records += int(counts[index]) - counted
            counted = int(counts[index])
            if records:
                yield Cut(start, end, first_row, records, bytes(kept[: end - start]))
            del kept[: end - start]
            start, first_row, records = end, first_row + records, 0
        records += int(counts[-1]) - counted if len(counts) else 0
    if scanner.inside_quotes:
        raise InvalidFile(
            f"{key!r}: a quote that opens in row {max(first_row + records - 1, 1)} is never closed; the file may "
            "be cut off"
        )
    if records:
        yield Cut(start, scanner.position, first_row, records, bytes(kept))


@dataclass(frozen=True)
class Opening:
    """How a stream begins: a head of whole blocks, where its first record that is not blank begins and ends, and
    the blocks after it."""

    head: bytes
    begin: int
    end: int
    rest: Iterator[bytes]


def opening(blocks: Iterable[bytes], delimiter: str | None, key: str) -> Opening:
    """Read as many blocks as the first record needs; without any record it is empty and stands at the end.

    Raises InvalidFile for a first record over `MAX_RECORD_BYTES`.
    """
    source = _with_last(blocks)
    rest = (block for block, _ in source)
    head = b""
    for block, final in source:
        head += block
        ends, content = RecordScanner(delimiter).feed(head, final)
        filled = np.flatnonzero(content)
        if len(filled):
            first = int(filled[0])
            begin, end = int(ends[first - 1]) if first else 0, int(ends[first])
            if end - begin > MAX_RECORD_BYTES:
                raise too_long(key, 1, end - begin)
            return Opening(head, begin, end, rest)
        if len(head) > MAX_RECORD_BYTES:
            raise too_long(key, 1, len(head))
    return Opening(head, len(head), len(head), rest)


def too_long(key: str, row: int, size: int) -> InvalidFile:
    """The error for a record that no worker should hold."""
    return InvalidFile(
        f"{key!r}: row {row} is longer than {MAX_RECORD_BYTES} bytes (at least {size}); a quote may be open, or "
        "the line ends are missing"
    )


def _check_lengths(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]],
    content: np.ndarray[tuple[int], np.dtype[np.bool_]],
    scanner: RecordScanner,
    next_row: int,
    key: str,
) -> None:
    if len(lengths) and int(lengths.max()) > MAX_RECORD_BYTES:
        index = int(lengths.argmax())
        raise too_long(key, next_row + int(content[:index].sum()), int(lengths[index]))
    if scanner.position - scanner.start > MAX_RECORD_BYTES:
        raise too_long(key, next_row + int(content.sum()), scanner.position - scanner.start)


def _with_last(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Every block, and whether it is the last; a stream without blocks is one empty block."""
    pending = b""
    for block in blocks:
        if pending:
            yield pending, False
        pending = block
    yield pending, True
