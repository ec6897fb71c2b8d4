"""A 64-bit hash of customer ids: what decides who is in a sample, wherever the customer is stored.

Independent of the checksum that spreads customers over partitions. It must not know what the hash is for.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

CHUNK = 8_192
"""Ids hashed at once: their bytes are laid out as wide as the longest of them."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD = 8


def hashes(ids: Sequence[str]) -> Hashes:
    """A hash (n) of each id's UTF-8 bytes, the same on every machine and in any company.

    Eight bytes at a time are mixed by the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
    number generators", 2014). Not for secrets: who chooses ids can choose who is sampled.
    """
    result = np.empty(len(ids), dtype=np.uint64)
    for begin in range(0, len(ids), CHUNK):
        encoded = [value.encode("utf-8", "surrogatepass") for value in ids[begin : begin + CHUNK]]
        result[begin : begin + CHUNK] = _chunk(encoded)
    return result


def _chunk(encoded: list[bytes]) -> Hashes:
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    words = max(-(-int(lengths.max()) // _WORD), 1)
    # Padding counts for nothing: the length is mixed in, and words behind an id's end are passed over.
    padded = np.array(encoded, dtype=f"S{words * _WORD}").view("<u8").reshape(len(encoded), words)
    state = _mixed(lengths.astype(np.uint64) + _GOLDEN)
    for word in range(words):
        mixed = _mixed((state ^ padded[:, word]) + _GOLDEN)
        state = np.where(lengths > word * _WORD, mixed, state)
    return state


def _mixed(state: Hashes) -> Hashes:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))
