"""The past through the deployed stack: the table's stream writes it, and the functions may read what they need."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from e2e.deployed import Deployed

ODD = "past/of #1"
IDS = ("past-1", "past-2", ODD)


def told(stack: Deployed, count: int) -> list[dict[str, Any]]:
    """The segment's changes once the stream has told so many."""

    def changes() -> list[dict[str, Any]] | None:
        found = list(stack.everything("/segments/past-jena/history", limit=2))
        return found if len(found) >= count else None

    found = stack.wait(f"{count} changes", changes)
    assert found
    return found


@pytest.fixture(scope="module")
def left(stack: Deployed) -> tuple[str, str]:
    """Three customers entered a segment, and one left; the instants between and after."""
    for customer_id in IDS:
        stack.call("PUT", f"/customers/{quote(customer_id, safe='')}", {"attributes": {"pastTown": "Jena"}})
    rule = [{"attribute": "pastTown", "operator": "eq", "value": "Jena"}]
    stack.created({"segmentName": "Past", "segmentId": "past-jena", "criteria": rule})
    told(stack, 3)
    between = datetime.now(UTC).isoformat()
    stack.call("PUT", "/customers/past-1", {"attributes": {"pastTown": "Bonn"}})
    told(stack, 4)
    return between, datetime.now(UTC).isoformat()


def test_who_was_in_a_segment_is_answered_for_both_sides_of_a_change(stack: Deployed, left: tuple[str, str]) -> None:
    found = [
        {m["customerId"] for m in stack.everything("/segments/past-jena/members", asOf=at, limit=1)} for at in left
    ]
    assert found == [set(IDS), {"past-2", ODD}]


def test_which_segments_a_customer_was_in_is_answered_for_both_sides_of_a_change(
    stack: Deployed, left: tuple[str, str]
) -> None:
    found = [[item["segmentId"] for item in stack.get("/customers/past-1/segments", asOf=at)["items"]] for at in left]
    assert found == [["past-jena"], []]


def test_changes_are_told_of_the_segment_and_of_each_customer(stack: Deployed, left: tuple[str, str]) -> None:
    assert [item["change"] for item in told(stack, 4)] == ["entered", "entered", "entered", "exited"]
    newest_first = stack.get("/customers/past-1/history", order="desc")["items"]
    assert [item["change"] for item in newest_first] == ["exited", "entered"]
    after = stack.get("/customers/past-1/history", **{"from": left[0]})["items"]
    assert [item["change"] for item in after] == ["exited"]
    (odd,) = stack.get(f"/customers/{quote(ODD, safe='')}/history")["items"]
    assert (odd["customerId"], odd["change"], odd["cause"]) == (ODD, "entered", "rule")
    days = stack.get("/segments/past-jena/history", by="day")["days"]
    assert [sum(day[name] for day in days) for name in ("entered", "exited")] == [3, 1]
