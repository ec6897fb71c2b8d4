"""Runs while workers die and deliveries come twice: memberships, counters and history are those of a quiet run.

`SCALE_CUSTOMERS` and `SCALE_ORDERS` choose the size, `PARTITIONS` that of the stack: see docs/operations.md.
"""

import csv
import gzip
import os
import threading
import time
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from e2e import scale_shop
from e2e.deployed import ENDED, PATIENCE_SECONDS, Deployed
from e2e.faults import Faults
from e2e.scale_shop import FIRST, IDS, SECOND, SEGMENTS, Shop

CUSTOMERS = int(os.environ.get("SCALE_CUSTOMERS", "2000"))
ORDERS = int(os.environ.get("SCALE_ORDERS", "20000"))
PARTITIONS = int(os.environ.get("PARTITIONS") or "4")
KILLS = 2
REPLAYED = 20_000
"""Records of the stream that are delivered again, at the most."""

MODEL = {"modelName": "Scale: RFM", "kind": "rfm"}

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found by /proc"),
    # Its counts are of its own customers alone: on a stack that others fill too they are others.
    pytest.mark.skipif("SCALE_CUSTOMERS" not in os.environ, reason="needs a stack of its own: set SCALE_CUSTOMERS"),
]


@dataclass(frozen=True)
class State:
    """What the stack says of the segments, by segment: members, counters, and per customer every change in order."""

    members: dict[str, set[str]]
    counts: dict[str, int]
    partitions: dict[str, dict[int, int]]
    changes: dict[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return scale_shop.generated(CUSTOMERS, ORDERS)


@pytest.fixture(scope="module")
def patient(stack: Deployed) -> Deployed:
    stack.patience = max(PATIENCE_SECONDS, ORDERS / 500)
    return stack


@pytest.fixture(scope="module")
def faults(patient: Deployed) -> Faults:
    return Faults(patient)


@pytest.fixture(scope="module")
def imported(patient: Deployed, shop: Shop) -> Deployed:
    """The shop is imported, and its segments are there, without members."""
    people = patient.imported("imports/customers/scale.csv", shop.customers())
    orders = patient.imported("imports/orders/scale.csv", shop.orders())
    assert [job["error"] for job in (people, orders)] == [None, None]
    assert (people["counts"]["accepted"], orders["counts"]["accepted"]) == (CUSTOMERS, ORDERS)
    # One after the other: every further run at the same time would have to start workers of its own.
    made = [patient.created(segment)[0] for segment in SEGMENTS]
    assert [segment["customerCount"] for segment in made] == [0] * len(SEGMENTS)
    return patient


@pytest.fixture(scope="module")
def added(shop: Shop) -> set[str]:
    """Customers whom no rule takes at either instant, and whom somebody includes while the second run is under way."""
    taken = set[str]().union(*shop.members(FIRST).values(), *shop.members(SECOND).values())
    return set(sorted(shop.countries.keys() - taken)[:3])


@pytest.fixture(scope="module")
def first(imported: Deployed, faults: Faults, shop: Shop) -> State:
    """After a run whose workers were killed, with every worker and every change delivered once more."""
    job = _start(imported, FIRST)
    for _ in range(KILLS):
        _kill_in_the_middle(imported, faults, job, shop.members(FIRST)[IDS[0]])
    faults.kill("RecordChanges")
    _carried_through(imported, job)
    for partition in range(PARTITIONS):
        again = faults.deliver("EvaluatePartition", {"jobId": job, "kind": "run", "partition": partition})
        assert (again["entered"], again["left"]) == (0, 0)
    return _settled(imported, faults)


@pytest.fixture(scope="module")
def dry(imported: Deployed, first: State) -> dict[str, Any]:
    """What a dry run says that the second run would change."""
    answer = imported.call("POST", "/runs", {"segmentIds": IDS, "now": SECOND.isoformat(), "dryRun": True}, 202)
    return imported.succeeded(answer["jobId"])


@pytest.fixture(scope="module")
def second(imported: Deployed, faults: Faults, shop: Shop, dry: dict[str, Any], added: set[str]) -> State:
    """After another run: two workers on every partition at a time, some of them killed; a person adds customers."""
    joining = shop.members(SECOND)[IDS[0]] - shop.members(FIRST)[IDS[0]]
    job = _start(imported, SECOND)
    twice = [
        threading.Thread(target=_try, args=(faults, {"jobId": job, "kind": "run", "partition": partition}))
        for partition in range(PARTITIONS)
    ]
    _kill_in_the_middle(imported, faults, job, joining)
    for thread in twice:
        thread.start()
    answer = imported.call("POST", "/segments/scale-recent/members", {"customerIds": sorted(added), "override": True})
    assert answer["successCount"] == len(added), answer
    faults.kill("RecordChanges")
    for thread in twice:
        thread.join()
    _carried_through(imported, job)
    return _settled(imported, faults)


def test_members_after_killed_workers_are_those_of_a_quiet_run(shop: Shop, first: State) -> None:
    wanted = shop.members(FIRST)
    assert min(map(len, wanted.values())) > CUSTOMERS / 50
    assert first.members == wanted


def test_counters_after_killed_workers_are_those_of_a_quiet_run(shop: Shop, first: State) -> None:
    _counted(first, shop.members(FIRST))


def test_history_has_every_entry_once(shop: Shop, first: State) -> None:
    members = shop.members(FIRST)
    wanted = {segment_id: {who: ["entered"] for who in members[segment_id]} for segment_id in IDS}
    assert first.changes == wanted


def test_a_dry_run_says_who_would_come_and_go_and_what_they_have_spent(
    imported: Deployed, shop: Shop, first: State, dry: dict[str, Any]
) -> None:
    before, after, spent = shop.members(FIRST), shop.members(SECOND), shop.spent(SECOND)
    figures = dry["details"]["wouldChange"]
    moves = set()
    for segment_id in IDS:
        joining, leaving = after[segment_id] - before[segment_id], before[segment_id] - after[segment_id]
        moves |= {(segment_id, who, "join") for who in joining} | {(segment_id, who, "leave") for who in leaving}
        assert (figures[segment_id]["joins"], figures[segment_id]["leaves"]) == (len(joining), len(leaving))
        for name, customers in (("joinsRevenue", joining), ("leavesRevenue", leaving)):
            assert figures[segment_id][name] == pytest.approx(sum(spent[who] for who in customers) / 100, abs=0.006)
    lines = gzip.decompress(imported.download(dry["links"]["changes"])).decode().splitlines()
    rows = list(csv.DictReader(lines))
    assert {(row["segmentId"], row["customerId"], row["change"]) for row in rows} == moves
    assert len(rows) == len(moves) == dry["counts"]["entered"] + dry["counts"]["left"]
    assert {segment_id: imported.members(segment_id) for segment_id in IDS} == before


def test_members_are_those_of_a_quiet_run_though_two_workers_had_every_partition(
    shop: Shop, second: State, added: set[str]
) -> None:
    assert second.members == _with(shop.members(SECOND), added)


def test_counters_are_those_of_a_quiet_run_though_two_workers_had_every_partition(
    shop: Shop, second: State, added: set[str]
) -> None:
    _counted(second, _with(shop.members(SECOND), added))


def test_history_has_every_entry_and_exit_once(shop: Shop, second: State, added: set[str]) -> None:
    before, after = shop.members(FIRST), _with(shop.members(SECOND), added)
    for segment_id in IDS:
        wanted = {who: ["entered"] for who in after[segment_id]}
        wanted |= {who: ["entered", "exited"] for who in before[segment_id] - after[segment_id]}
        assert second.changes[segment_id] == wanted, segment_id


def test_changes_that_are_delivered_again_change_nothing(imported: Deployed, faults: Faults, second: State) -> None:
    records = faults.changes(IDS)
    assert records
    faults.deliver_changes(records[-REPLAYED:])
    assert _settled(imported, faults) == second


def test_a_model_whose_measuring_workers_were_killed_is_that_of_a_quiet_fit(imported: Deployed, faults: Faults) -> None:
    quiet = imported.call("POST", "/models", {**MODEL, "modelId": "scale-quiet"}, 202)
    imported.succeeded(quiet["jobId"])
    before = faults.workers("MeasurePartition")
    killed = imported.call("POST", "/models", {**MODEL, "modelId": "scale-killed"}, 202)
    _kill_while_measuring(imported, faults, killed["jobId"], before)
    imported.succeeded(killed["jobId"])
    models = [imported.get(f"/models/{model}") for model in ("scale-quiet", "scale-killed")]
    groups = [[(group["groupId"], group["name"], group["size"]) for group in model["groups"]] for model in models]
    assert sum(size for *_, size in groups[0]) >= CUSTOMERS / 2
    assert groups[1] == groups[0]
    assert models[1]["report"] == models[0]["report"]


# ------------------------------------------------------------------------------ runs


def _start(stack: Deployed, at: datetime) -> str:
    answer = stack.call("POST", "/runs", {"segmentIds": IDS, "now": at.isoformat()}, 202)
    return str(answer["jobId"])


def _carried_through(stack: Deployed, job: str) -> None:
    """The run's end; one that failed, because more died than is tried again, is resumed as an operator would."""
    if stack.ended(job)["status"] == "failed":
        stack.call("POST", "/runs", {"resumeRunId": job}, 202)
        stack.succeeded(job)


def _kill_in_the_middle(stack: Deployed, faults: Faults, job: str, joining: set[str]) -> None:
    """End the workers of a run while one of them is writing memberships: it has begun, and it has not ended.

    It has begun once the first of the customers who are `joining` is in.
    """
    first = {_partition(who): who for who in sorted(joining, reverse=True)}
    deadline = time.monotonic() + stack.patience
    while time.monotonic() < deadline:
        undone = _undone(faults, job, "EVALUATE")
        writing = {number for number in undone if faults.has_written(job, IDS[0], number, first[number])}
        if writing and faults.kill("EvaluatePartition") and writing & _undone(faults, job, "EVALUATE"):
            return
        assert stack.get(f"/jobs/{job}")["status"] not in ENDED, "the run ended before a worker could be killed"
    raise AssertionError(f"no worker of {job} was seen writing")


def _kill_while_measuring(stack: Deployed, faults: Faults, job: str, before: dict[int, int]) -> None:
    """End the workers of a fit while one of them computes, and its partition is not measured yet."""
    deadline = time.monotonic() + stack.patience
    while time.monotonic() < deadline:
        busy = [pid for pid, used in faults.workers("MeasurePartition").items() if used > before.get(pid, 0)]
        unmeasured = _undone(faults, job, "MEASURE")
        if busy and unmeasured and faults.kill("MeasurePartition") and unmeasured & _undone(faults, job, "MEASURE"):
            return
        assert stack.get(f"/jobs/{job}")["status"] not in ENDED, "the fit ended before a worker could be killed"
    raise AssertionError(f"no worker of {job} was seen measuring")


def _undone(faults: Faults, job: str, step: str) -> set[int]:
    return set(range(PARTITIONS)) - faults.done(job, step)


def _try(faults: Faults, event: dict[str, Any]) -> None:
    """A delivery that may meet its death, as any may."""
    try:
        faults.deliver("EvaluatePartition", event)
    except AssertionError:
        return


# ----------------------------------------------------------------------------- state


def _settled(stack: Deployed, faults: Faults) -> State:
    """What the stack says once the stream has been followed."""
    members = {segment_id: stack.members(segment_id) for segment_id in IDS}
    sizes = {segment_id: len(found) for segment_id, found in members.items()}

    def counts() -> dict[str, int]:
        return {segment_id: stack.get(f"/segments/{segment_id}")["customerCount"] for segment_id in IDS}

    stack.wait("the counters", lambda: counts() == sizes)
    return State(members, counts(), _partitions(faults), _changes(faults))


def _partitions(faults: Faults) -> dict[str, dict[int, int]]:
    return {
        segment_id: {
            int(item["SK"]["S"].split("#")[1]): int(item["members"]["N"])
            for item in faults.items(f"SEGMENT#{segment_id}", "COUNT#")
        }
        for segment_id in IDS
    }


def _changes(faults: Faults) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {segment_id: defaultdict(list) for segment_id in IDS}
    days = {datetime.fromtimestamp(time.time() - ago, tz=FIRST.tzinfo).date() for ago in (0, 43_200, 86_400)}
    for segment_id in IDS:
        for day in sorted(days):
            for item in faults.items(f"SEGMENT#{segment_id}#HISTORY#{day}", index=True):
                found[segment_id][item["customerId"]["S"]].append(item["change"]["S"])
    return {segment_id: dict(changes) for segment_id, changes in found.items()}


def _counted(state: State, wanted: dict[str, set[str]]) -> None:
    assert state.counts == {segment_id: len(members) for segment_id, members in wanted.items()}
    for segment_id, members in wanted.items():
        sizes = Counter(map(_partition, members))
        assert {number: size for number, size in state.partitions[segment_id].items() if size} == sizes, segment_id


def _partition(who: str) -> int:
    return zlib.crc32(who.encode()) % PARTITIONS


def _with(members: dict[str, set[str]], added: set[str]) -> dict[str, set[str]]:
    return members | {"scale-recent": members["scale-recent"] | added}
