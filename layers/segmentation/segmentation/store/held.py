"""Memberships of one segment as masks over the customers of a frame: what an evaluation compares its finding with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Frame
from segmentation.store.memberships import State, Who

SOURCES = ("", "rule", "manual", "import")
"""Sources of a membership by their code; 0 is no member."""

CODES = {source: code for code, source in enumerate(SOURCES)}


class Other(NamedTuple):
    """A membership that a mask cannot say: its source's code, and until when it holds."""

    source: int
    until: str | None


@dataclass(frozen=True, eq=False)
class Held:
    """Who is a member, as the table says.

    `sources` (int8 per row of the frame) has the code of the source of members without legal entity, all of them until
    `until`; `others` are those of a legal entity, those until another instant, and those whom the frame does not have.
    """

    sources: NDArray[np.int8]
    until: str | None = None
    others: Mapping[Who, Other] = field(default_factory=dict)


def held(state: State, frame: Frame) -> Held:
    """What was read from the table, for the customers of the frame."""
    sources = np.zeros(frame.size, dtype=np.int8)
    others: dict[Who, Other] = {}
    until: str | None = None
    first = True
    for who, member in state.members.items():
        row = None if who[1] else frame.position(who[0])
        if first and row is not None:
            until, first = member.until, False
        if row is None or member.until != until:
            others[who] = Other(CODES[member.source], member.until)
        else:
            sources[row] = CODES[member.source]
    return Held(sources, until, others)


def corrected(known: Held, touched: State, who_was: frozenset[Who], frame: Frame) -> Held:
    """The same with what the table says now of those that somebody else wrote, members (`touched`) or not."""
    sources, others = known.sources.copy(), dict(known.others)
    for who in who_was:
        others.pop(who, None)
        row = None if who[1] else frame.position(who[0])
        member = touched.members.get(who)
        if row is not None:
            sources[row] = 0
        if member is None:
            continue
        if row is None or member.until != known.until:
            others[who] = Other(CODES[member.source], member.until)
        else:
            sources[row] = CODES[member.source]
    return Held(sources, known.until, others)
