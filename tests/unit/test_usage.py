"""A worker knows what it used: capacity units as the table says them, requests to the bucket by their price."""

from typing import Any

from segmentation import usage
from segmentation.store.files import PART_BYTES, Files
from segmentation.store.store import Store
from segmentation.store.table import Table
from support.service import RecordedEvents, RecordedWorkflows, running


class Answering:
    """A client of which every call gets the same answer."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> dict[str, Any]:
            self.asked.append(arguments)
            return self.answer

        return call


def store(client: Any) -> Store:
    return Store(Table(client, "t"), Files(None, "b"), RecordedWorkflows(), RecordedEvents(), 1)


def test_units_are_what_the_table_says_that_a_request_cost() -> None:
    client = Answering(ConsumedCapacity={"CapacityUnits": 2.5}, Items=[])
    used = store(client)
    meter = usage.Meter(used)
    used.table.put({"PK": "a", "SK": "b"})
    used.table.page("a")
    used.table.page("a")
    assert client.asked[0]["ReturnConsumedCapacity"] == "TOTAL"
    assert (used.table.writes, used.table.reads) == (2.5, 5.0)
    assert {name: meter.counts()[name] for name in ("tableReads", "tableWrites")} == {"tableReads": 5, "tableWrites": 3}


def test_a_batch_costs_the_sum_of_its_parts() -> None:
    used = store(Answering(ConsumedCapacity=[{"CapacityUnits": 4.0}, {"CapacityUnits": 6.0}]))
    used.table.batch_write([{"PK": "a", "SK": "b"}])
    assert used.table.writes == 10.0


def test_a_meter_sees_only_what_comes_after_it() -> None:
    used = store(Answering())
    used.table.put({"PK": "a", "SK": "b"})
    meter = usage.Meter(used)
    assert {name: meter.counts()[name] for name in usage.NAMES[1:]} == dict.fromkeys(usage.NAMES[1:], 0)
    assert meter.counts()["milliseconds"] >= 0


def test_requests_to_the_bucket_count_by_their_price() -> None:
    with running() as service:
        files = service.store.files
        before = (files.reads, files.writes)
        files.put("a", b"1")
        files.get("a")
        files.head("a")
        files.get_range("a", 0, 1)
        assert list(files.list("a")) == ["a"]
        with files.put_stream("small") as sink:
            sink.write(b"1")
        files.delete(["a"])
        assert (files.reads - before[0], files.writes - before[1]) == (3, 3)
        with files.put_stream("large") as sink:
            sink.write(bytes(PART_BYTES + 1))
        # Beginning, two parts, completing.
        assert files.writes - before[1] == 7
