"""The past from checkpoints and histories equals the past replayed from the beginning."""

from datetime import datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.timeline import Timeline
from support.past import Happening, checkpoint, members, memory, minutes, remember, segment

SEGMENTS = ("big", "small")
CUSTOMERS = ("c1", "c2", "ä/#%", "c4")
LENGTH = 3 * 24 * 60
"""Minutes: histories of three days."""

TIMES = st.integers(0, LENGTH)


@st.composite
def histories(draw: st.DrawFn) -> list[Happening]:
    """Entries and exits that can follow one another: nobody enters twice."""
    inside: set[tuple[str, str, str]] = set()
    found = []
    for at in sorted(draw(st.sets(TIMES, max_size=40))):
        who = draw(st.tuples(st.sampled_from(SEGMENTS), st.sampled_from(CUSTOMERS), st.sampled_from(("", "", "le1"))))
        found.append(Happening(minutes(at), who[0], who[1], who not in inside, who[2]))
        inside ^= {who}
    return found


@settings(deadline=None, max_examples=60)
@given(
    histories(),
    st.lists(st.tuples(st.integers(0, 2), TIMES), max_size=6),
    st.lists(TIMES, min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_checkpoint_and_history_give_what_a_replay_gives(
    happenings: list[Happening], saved: list[tuple[int, int]], asked: list[int], partitions: int
) -> None:
    store = memory(partitions)
    for segment_id in SEGMENTS:
        segment(store, segment_id)
    remember(store, happenings)
    for partition, at in saved:
        checkpoint(store, partition % partitions, minutes(at), SEGMENTS, members(happenings, minutes(at)))
    instants = [minutes(at) for at in asked]
    timeline = Timeline(store, SEGMENTS, instants)
    found: dict[datetime, set[tuple[str, str]]] = {instant: set() for instant in instants}
    for partition in range(partitions):
        ids, masks = timeline.partition(partition)
        assert ids == sorted(set(ids))
        assert masks.shape == (len(instants), len(SEGMENTS), len(ids))
        for i, j, row in np.argwhere(masks).tolist():
            found[instants[i]].add((SEGMENTS[j], ids[row]))
    assert found == {at: {(s, c) for s, c, _ in members(happenings, at)} for at in instants}
