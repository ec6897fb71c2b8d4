"""Runs when something goes wrong on the way: partitions that fail, workers that die or come twice, segments that go."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from segmentation import authoring, fitting, run_reads, runs, segments
from segmentation.errors import NotFound
from segmentation.models.jobs import Run, StartRun
from segmentation.models.segments import SegmentPatch
from segmentation.store import jobs, keys, pointers, table
from support import shoppers
from support.germans import GERMANS, count, create, ids
from support.service import Service, running

JOINED = "2026-02-27T12:00:00Z"
NEW = [{"attribute": "joined", "operator": "in_last", "value": "7d"}]


def fill(shop: Service, customers: int = 30) -> Service:
    """Customers in files, all of whom joined on one day: one in three is German."""
    rows = [f"c{number:02d},{'DE' if number % 3 == 0 else 'US'},{20 + number},{JOINED}" for number in range(customers)]
    shop.drop("imports/customers/c.csv", "customerId,country,age,joined\n" + "\n".join(rows) + "\n")
    shop.settle()
    return shop


@pytest.fixture
def shop(service: Service) -> Service:
    """Thirty customers, all in the segment `new` until they are customers for seven days."""
    service.follows_stream = False
    fill(service)
    create(service, "new", NEW)
    service.settle()
    assert len(ids(service, "new")) == 30
    return service


def start(shop: Service, **asked: Any) -> str:
    return runs.start(shop.store, StartRun(**asked), shop.now).jobId


def get(shop: Service, job_id: str) -> Run:
    return run_reads.get(shop.store, job_id)


def held_by(partition: int, customers: int = 30, partitions: int = 3) -> set[str]:
    names = [f"c{number:02d}" for number in range(customers)]
    return {name for name in names if keys.partition_of(name, partitions) == partition}


def meanwhile(monkeypatch: pytest.MonkeyPatch, shop: Service, action: Callable[[], object]) -> None:
    """Do something between the evaluation of partition 0 and that of partition 1."""
    evaluate = shop.evaluate_partition
    done: list[object] = []

    def interrupted(item: dict[str, Any]) -> Any:
        if item["partition"] == 1 and not done:
            done.append(action())
        return evaluate(item)

    monkeypatch.setattr(shop, "evaluate_partition", interrupted)


# ------------------------------------------------------ segments that go away


def test_a_segment_that_loses_its_ground_during_a_run_is_paused_and_keeps_its_members(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(shop, "german", GERMANS)
    create(shop, "both", [{"segment": "german", "operator": "member"}, *NEW])
    shop.settle()
    before = ids(shop, "both")
    assert len(before) == 10
    shop.wait(24 * 7)
    meanwhile(monkeypatch, shop, lambda: segments.delete(shop.store, "german", None, True, shop.now))
    job = start(shop)
    shop.settle()
    assert get(shop, job).status == "succeeded"
    paused = segments.get(shop.store, "both", shop.now)
    assert paused.status == "paused"
    assert "german" in str(paused.statusReason)
    # Partition 0 was evaluated by the rule before; the others were not evaluated and lost nobody.
    assert ids(shop, "both") == before - held_by(0)
    assert ids(shop, "new") == set()


def test_a_segment_that_is_switched_off_during_a_run_ends_without_members(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(
        monkeypatch, shop, lambda: authoring.update(shop.store, "new", SegmentPatch(active=False), None, shop.now)
    )
    job = start(shop)
    shop.settle()
    assert get(shop, job).status == "succeeded"
    assert ids(shop, "new") == set()
    assert segments.get(shop.store, "new", shop.now).status == "inactive"


def test_a_segment_that_is_deleted_during_a_run_leaves_nothing(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, shop, lambda: segments.delete(shop.store, "new", None, False, shop.now))
    job = start(shop)
    shop.settle()
    assert get(shop, job).status == "succeeded"
    with pytest.raises(NotFound):
        segments.get(shop.store, "new", shop.now)
    for partition in range(3):
        left = [item for item in shop.store.table.query(keys.members_of("new", partition)) if "leftAt" not in item]
        assert left == []


# ------------------------------------------------------------ odd partitions


def test_empty_partitions_and_one_of_a_single_customer_are_partitions_like_others() -> None:
    with running(4) as shop:
        shop.follows_stream = False
        shop.drop("imports/customers/c.csv", f"customerId,country,joined\nc01,DE,{JOINED}\n")
        shop.settle()
        create(shop, "new", NEW)
        shop.settle()
        assert ids(shop, "new") == {"c01"}
        shop.wait(24 * 7)
        job = start(shop)
        shop.settle()
        run = get(shop, job)
        assert (run.status, run.counts) == ("succeeded", {"customers": 1, "entered": 0, "left": 1})
        assert [(step.done, step.total) for step in run.steps] == [(4, 4)]
        assert ids(shop, "new") == set()


def test_a_run_over_nobody_succeeds() -> None:
    with running(2) as shop:
        job = start(shop)
        shop.settle()
        assert get(shop, job).counts == {"customers": 0, "entered": 0, "left": 0}
        assert get(shop, job).status == "succeeded"


# ---------------------------------------------------------- files that are gone


def test_a_missing_snapshot_fails_its_partition_by_name_and_is_resumed_once_it_is_back(shop: Service) -> None:
    pointer = pointers.get(shop.store.table, [1], 3)[1]
    key = keys.snapshot_file(1, pointer.version, "customers")
    body = shop.store.files.get(key)
    shop.store.files.delete([key])
    shop.wait(24 * 7)
    job = start(shop)
    shop.settle()
    failed = get(shop, job)
    assert (failed.status, failed.resumable) == ("failed", True)
    (failure,) = failed.failures
    assert (failure.partition, failure.error) == (1, "NotFound")
    assert key in failure.cause
    assert key in str(failed.error)
    # The others are up to date, and the partition without its file lost nobody.
    assert ids(shop, "new") == held_by(1)
    shop.store.files.put(key, body)
    start(shop, resumeRunId=job)
    shop.settle()
    assert get(shop, job).status == "succeeded"
    assert ids(shop, "new") == set()


# --------------------------------------------------------- a table under strain


class Throttled:
    """The table's client, which refuses to write memberships of one partition: all of a batch, or the whole request."""

    def __init__(self, client: Any, partition: int, whole: bool) -> None:
        self.client, self.whole = client, whole
        self.mark = f"#{partition:04d}"
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def batch_write_item(self, **arguments: Any) -> Any:
        items = [next(iter(request.values())) for request in arguments["RequestItems"]["segmentation"]]
        if not any(item.get("Item", item.get("Key"))["PK"]["S"].endswith(self.mark) for item in items):
            return self.client.batch_write_item(**arguments)
        self.refused += 1
        if self.whole:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "BatchWriteItem")
        return {"UnprocessedItems": arguments["RequestItems"]}


@pytest.fixture
def throttle(shop: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], Throttled]]:
    client = shop.store.table._client
    monkeypatch.setattr(table, "_back_off", lambda _: None)

    def refusing(whole: bool) -> Throttled:
        refused = Throttled(client, 2, whole)
        shop.store.table._client = refused
        return refused

    yield refusing
    shop.store.table._client = client


@pytest.mark.parametrize(("whole", "attempts"), [(False, 8), (True, 1)])
def test_a_throttled_table_is_asked_again_and_then_named_with_the_partition(
    shop: Service, throttle: Callable[[bool], Throttled], whole: bool, attempts: int
) -> None:
    shop.wait(24 * 7)
    refusing = throttle(whole)
    job = start(shop)
    shop.settle()
    (failure,) = get(shop, job).failures
    assert (failure.partition, failure.error) == (2, "TooBusy")
    # A request that is refused as a whole has been repeated by the client itself.
    assert refusing.refused == attempts
    assert ids(shop, "new") == held_by(2)
    shop.store.table._client = refusing.client
    start(shop, resumeRunId=job)
    shop.settle()
    assert (get(shop, job).status, ids(shop, "new")) == ("succeeded", set())


# ------------------------------------------- workers that die, or that come twice


class Died(Exception):
    """What a worker raises that the platform kills."""


def planned(shop: Service) -> tuple[str, dict[str, Any]]:
    job = start(shop)
    _, payload = shop.workflows.started.pop(job)
    return job, runs.plan(shop.store, {"request": payload, "execution": job, "executionId": job}, shop.now)


def item(plan: dict[str, Any], partition: int) -> dict[str, Any]:
    return {"jobId": plan["jobId"], "kind": plan["kind"], "partition": partition}


def finish(shop: Service, plan: dict[str, Any]) -> dict[str, Any]:
    return shop._finish_run({"jobId": plan["jobId"], "plan": plan, "partitions": {"failures": []}}, plan["jobId"])


def changes(shop: Service) -> Counter[tuple[str, str]]:
    """What the stream told, customer by customer."""
    shop.record()
    return Counter((event.detail["customerId"], event.kind) for event in shop.store.events.told)  # type: ignore[attr-defined]


def test_workers_that_come_twice_change_and_count_nothing_twice(shop: Service) -> None:
    shop.record()
    shop.wait(24 * 7)
    job, plan = planned(shop)
    for partition in (0, 1, 1, 2, 0, 2):
        shop.evaluate_partition(item(plan, partition))
    assert finish(shop, plan)["status"] == "succeeded"
    told = changes(shop)
    assert {number for (_, kind), number in told.items() if "exited" in kind} == {1}
    assert sum(number for (_, kind), number in told.items() if "exited" in kind) == 30
    assert count(shop, "new") == 0
    assert get(shop, job).steps[0].done == 3


def test_a_worker_that_dies_half_way_is_finished_by_the_next(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.record()
    shop.wait(24 * 7)
    _, plan = planned(shop)
    written = table.Table.batch_write_marshalled
    batches: list[int] = []

    def dies(self: table.Table, items: Any) -> int:
        some = list(items)
        number = written(self, some[: len(some) // 2])
        batches.append(number)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(table.Table, "batch_write_marshalled", dies)
        with pytest.raises(Died):
            shop.evaluate_partition(item(plan, 0))
    assert batches[0] > 0
    assert held_by(0) & ids(shop, "new")
    for partition in range(3):
        shop.evaluate_partition(item(plan, partition))
    assert finish(shop, plan)["status"] == "succeeded"
    assert ids(shop, "new") == set()
    exits = {who: number for (who, kind), number in changes(shop).items() if "exited" in kind}
    assert exits == dict.fromkeys(held_by(0) | held_by(1) | held_by(2), 1)
    assert count(shop, "new") == 0


def test_a_worker_that_dies_before_its_record_is_not_taken_for_done(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.wait(24 * 7)
    job, plan = planned(shop)

    def dies(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "record_part", dies)
        with pytest.raises(Died):
            shop.evaluate_partition(item(plan, 0))
    for partition in (1, 2):
        shop.evaluate_partition(item(plan, partition))
    # The state machine says nothing of partition 0; the records decide.
    assert finish(shop, plan)["status"] == "failed"
    (failure,) = get(shop, job).failures
    assert (failure.partition, failure.cause) == (0, "NotEvaluated: its worker left no record")
    start(shop, resumeRunId=job)
    shop.settle()
    assert get(shop, job).status == "succeeded"


def test_more_failures_than_a_job_can_tell_of_are_counted() -> None:
    with running(60) as shop:
        job = start(shop)
        _, payload = shop.workflows.started.pop(job)
        plan = runs.plan(shop.store, {"request": payload, "execution": job}, shop.now)
        cause = json.dumps({"errorMessage": "x" * 5000, "errorType": "TooBusy"})
        failures = [{"partition": number, "error": "TooBusy", "cause": cause[:1000]} for number in range(60)]
        shop._finish_run({"jobId": job, "plan": plan, "partitions": {"failures": failures}}, job)
        run = get(shop, job)
        assert (len(run.failures), run.steps[0].failed) == (50, 60)
        assert all(len(failure.cause) <= 500 for failure in run.failures)


# ---------------------------------------------------------- the second round of fits


def test_a_failed_second_round_is_resumed_where_it_failed(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "SAMPLE", 8)
    shoppers.create(shop, "cluster", {"kind": "cluster", "features": ["age"], "parameters": {"k": 2, "bootstraps": 2}})
    measure = shop.measure_partition
    asked: list[int] = []
    broken = {1}

    def second_fails(item: dict[str, Any]) -> Any:
        asked.append(item["partition"])
        if len(asked) > 3 and item["partition"] in broken:
            raise NotFound("the object 'snapshot/part=0001/x' does not exist in the bucket; was it deleted?")
        return measure(item)

    monkeypatch.setattr(shop, "measure_partition", second_fails)
    job = start(shop, refitModels=["cluster"])
    shop.settle()
    assert asked == [0, 1, 2, 0, 1, 2]
    assert [(failure.step, failure.partition) for failure in get(shop, job).failures] == [("describe", 1)]
    broken.clear()
    asked.clear()
    start(shop, resumeRunId=job)
    shop.settle()
    assert asked == [1]
    run = get(shop, job)
    assert (run.status, run.error) == ("succeeded", None)
    assert [(step.step, step.done) for step in run.steps] == [
        ("measure", 3),
        ("describe", 3),
        ("fit", 1),
        ("evaluate", 3),
    ]
    assert shoppers.get(shop, "cluster").versions[-1].status == "fitted"
