"""Events on their way to the bus: batches of ten, refused ones again, and an end to patience."""

import json
from typing import Any

import pytest

from segmentation.errors import TooBusy
from segmentation.store.events import Event, Events


class Bus:
    """An EventBridge client that refuses some entries a number of times."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.batches: list[list[dict[str, str]]] = []

    def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.batches.append(Entries)
        refused = self.refusals > 0
        self.refusals -= refused
        answers = [
            {"ErrorCode": "ThrottlingException"} if refused and not n else {"EventId": "1"} for n in range(len(Entries))
        ]
        return {"FailedEntryCount": int(refused), "Entries": answers}


def events(count: int) -> list[Event]:
    return [Event("customer.entered_segment", {"eventId": str(number), "customerId": "🛒"}) for number in range(count)]


def test_events_go_out_in_order_ten_at_a_time() -> None:
    bus = Bus()
    Events(bus, "bus").put(events(23))
    assert [len(batch) for batch in bus.batches] == [10, 10, 3]
    sent = [json.loads(entry["Detail"])["eventId"] for batch in bus.batches for entry in batch]
    assert sent == [str(number) for number in range(23)]


def test_only_what_was_refused_is_sent_again() -> None:
    bus = Bus(refusals=2)
    Events(bus, "bus").put(events(3))
    assert [len(batch) for batch in bus.batches] == [3, 1, 1]


def test_events_that_are_refused_again_and_again_are_an_error() -> None:
    with pytest.raises(TooBusy, match="refused 1 event"):
        Events(Bus(refusals=9), "bus").put(events(3))


def test_no_events_are_no_request() -> None:
    bus = Bus()
    Events(bus, "bus").put([])
    assert bus.batches == []
