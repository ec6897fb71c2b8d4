"""Whatever happens in whatever order, a lease has one holder at a time, and the one that a simple account says."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.store import leases
from support.service import NOW, running

STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "seize", "release", "wait"]), st.sampled_from("abc"), st.integers(1, 90)),
    max_size=20,
)


def test_a_lease_has_the_holder_that_a_simple_account_says() -> None:
    with running() as service:
        table = service.store.table

        @settings(max_examples=25, deadline=None)
        @given(STEPS)
        def check(steps: list[tuple[str, str, int]]) -> None:
            held = leases.read(table, "test")
            if held:
                leases.release(table, "test", held.holder)
            at, holder, until = NOW, None, NOW
            for verb, who, minutes in steps:
                if verb == "wait":
                    at += timedelta(minutes=minutes)
                elif verb == "release":
                    leases.release(table, "test", who)
                    holder = None if holder == who else holder
                else:
                    # Who seizes a lease knows that its holder, whom it has read, is at work no more.
                    seen = leases.read(table, "test") if verb == "seize" else None
                    taken = leases.take(table, "test", who, at, at + timedelta(minutes=minutes), seen)
                    assert taken == (holder in (None, who) or until <= at or verb == "seize")
                    if taken:
                        holder, until = who, at + timedelta(minutes=minutes)
                found = leases.read(table, "test")
                assert (found.holder if found else None) == holder

        check()


def test_what_was_seen_must_still_be_so() -> None:
    with running() as service:
        table, hour = service.store.table, timedelta(hours=1)
        assert leases.take(table, "test", "a", NOW, NOW + hour)
        seen = leases.read(table, "test")
        # The holder prolongs its lease after others looked: it is at work.
        assert leases.take(table, "test", "a", NOW, NOW + 2 * hour)
        assert not leases.take(table, "test", "b", NOW, NOW + hour, seen)
        assert leases.take(table, "test", "b", NOW, NOW + hour, leases.read(table, "test"))
