"""Runs: one at a time, joined, waited for, taken up where they failed, and read."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from segmentation import authoring, finishing, partition_runs, run_fits, run_reads, runs, segments
from segmentation.errors import Conflict, NotFound, TooBusy
from segmentation.models.jobs import Job, Run, StartedRun, StartRun
from segmentation.models.segments import SegmentPatch
from segmentation.store import jobs, leases
from segmentation.store.leases import RESEGMENT
from segmentation.store.table import Table
from support import shoppers
from support.germans import create, fill, ids, put
from support.service import Service, worker_items

OLD = [{"attribute": "age", "operator": "gte", "value": 25}]


@pytest.fixture
def shop(service: Service) -> Service:
    """Ten customers and two segments, evaluated."""
    service.follows_stream = False
    fill(service)
    create(service)
    create(service, "old", OLD)
    service.settle()
    return service


def start(shop: Service, **asked: Any) -> StartedRun:
    return runs.start(shop.store, StartRun(**asked), shop.now)


def get(shop: Service, job: Job | str) -> Run:
    return run_reads.get(shop.store, job if isinstance(job, str) else job.jobId)


def holder(shop: Service) -> str | None:
    lease = leases.read(shop.store.table, RESEGMENT)
    return lease.holder if lease else None


def failing(
    monkeypatch: pytest.MonkeyPatch, shop: Service, partitions: set[int], work: str = "evaluate_partition"
) -> list[int]:
    """Let a step's workers fail for these partitions until the set is empty; the list fills with who was asked."""
    asked: list[int] = []
    real: Callable[[dict[str, Any]], Any] = getattr(shop, work)

    def attempt(item: dict[str, Any]) -> Any:
        asked.append(item["partition"])
        if item["partition"] in partitions:
            raise TooBusy("the table is being throttled; try again in a few seconds")
        return real(item)

    monkeypatch.setattr(shop, work, attempt)
    return asked


# ------------------------------------------------------------- one at a time


def test_two_runs_that_are_started_in_the_same_second_are_one(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    transact = Table.transact
    other: list[StartedRun | None] = []

    def interleaved(table: Table, actions: Any) -> None:
        # Both have read that nobody has the turn; the other writes first.
        if not other:
            other.append(None)
            other[0] = start(shop)
        transact(table, actions)

    monkeypatch.setattr(Table, "transact", interleaved)
    mine = start(shop)
    assert other[0]
    assert (mine.jobId, mine.joined, other[0].joined) == (other[0].jobId, True, False)
    executions = [name for name in shop.workflows.started if name.startswith("run-") and name == mine.jobId]
    listed = run_reads.list_runs(shop.store, 10, None).items
    assert executions == [mine.jobId]
    assert [run.jobId for run in listed if run.status == "queued"] == [mine.jobId]


def test_a_request_that_the_run_under_way_covers_joins_it(shop: Service) -> None:
    first = start(shop)
    for asked in ({}, {"segmentIds": ["germans"]}, {"segmentIds": ["old", "germans"]}):
        again = start(shop, **asked)
        assert (again.jobId, again.joined) == (first.jobId, True)
    shop.settle()
    assert get(shop, first).status == "succeeded"


@pytest.mark.parametrize(
    ("running", "asked", "difference"),
    [
        ({"segmentIds": ["germans"]}, {}, "evaluates 1 segments, not all"),
        ({"segmentIds": ["germans"]}, {"segmentIds": ["germans", "old"]}, "does not evaluate old"),
        ({}, {"dryRun": True}, "is no dry run"),
        ({"dryRun": True}, {}, "is a dry run"),
        ({}, {"now": "2026-01-01T00:00:00Z"}, "evaluates as of the clock, not of 2026-01-01"),
        ({}, {"refitModels": ["cluster"]}, "does not fit cluster again"),
    ],
)
def test_a_request_that_the_run_under_way_does_not_cover_is_refused_with_the_difference(
    shop: Service, running: dict[str, Any], asked: dict[str, Any], difference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_fits, "wanted", lambda _, names, __: dict.fromkeys(names, 2))
    first = start(shop, **running)
    with pytest.raises(Conflict, match=f"{first.jobId} is under way and it {difference}"):
        start(shop, **asked)


def test_a_segment_that_changed_after_the_run_was_planned_is_not_covered(shop: Service) -> None:
    first = start(shop)
    plan = {"request": {"jobId": first.jobId, "leased": True}, "execution": first.jobId}
    runs.plan(shop.store, plan, shop.now)
    assert start(shop, segmentIds=["old"]).joined
    younger = SegmentPatch(criteria=[{"attribute": "age", "operator": "lt", "value": 25}])
    authoring.update(shop.store, "old", younger, None, shop.now)
    with pytest.raises(Conflict, match="began before the latest change of old"):
        start(shop, segmentIds=["old"])


def test_a_run_that_fits_a_model_is_joined_by_a_request_for_the_same_fit(shop: Service) -> None:
    shoppers.create(shop, "cluster", {"parameters": {"k": 2}, "features": ["age"]} | {"kind": "cluster"})
    first = start(shop, refitModels=["cluster"])
    plan = {"request": {"jobId": first.jobId, "leased": True}, "execution": first.jobId}
    runs.plan(shop.store, plan, shop.now)
    again = start(shop, refitModels=["cluster"])
    assert (again.jobId, again.joined) == (first.jobId, True)


def test_a_run_of_one_segment_for_a_change_waits_for_nobody(shop: Service) -> None:
    first = start(shop)
    create(shop, "young", [{"attribute": "age", "operator": "lt", "value": 22}])
    assert holder(shop) == first.jobId
    shop.settle()
    assert ids(shop, "young") == {"c0", "c1"}


# --------------------------------------------------------- turns that get lost


def test_a_run_whose_execution_was_never_started_is_started_by_who_joins_it(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> None:
        raise ConnectionError("the state machine is out of reach")

    with monkeypatch.context() as patch:
        patch.setattr(shop.workflows, "start", dies)
        with pytest.raises(ConnectionError):
            start(shop)
    lost = holder(shop)
    assert lost is not None
    assert lost not in shop.workflows.started
    again = start(shop)
    assert (again.jobId, again.joined) == (lost, True)
    shop.settle()
    assert get(shop, lost).status == "succeeded"


def test_a_run_that_never_began_gives_its_turn_away_after_a_few_minutes(shop: Service) -> None:
    lost = start(shop)
    payload = shop.workflows.started.pop(lost.jobId)[1]
    shop.wait(6 / 60)
    second = start(shop)
    assert (second.joined, holder(shop)) == (False, second.jobId)
    closed = get(shop, lost)
    assert (closed.status, closed.resumable) == ("failed", True)
    assert "never began" in str(closed.error)
    # Its execution comes after all: there is nothing left for it to do.
    assert shop.resegment(payload, lost.jobId) == {"status": "skipped"}
    shop.settle()
    assert [get(shop, job).status for job in (lost, second)] == ["failed", "succeeded"]


def test_a_run_whose_execution_was_stopped_blocks_nobody(shop: Service) -> None:
    lost = start(shop)
    payload = {**shop.workflows.started.pop(lost.jobId)[1]}
    event = {"request": payload, "execution": lost.jobId, "executionId": lost.jobId}
    assert runs.plan(shop.store, event, shop.now)["partitions"] == [0, 1, 2]
    assert start(shop).joined
    shop.workflows.stopped.add(lost.jobId)
    second = start(shop, segmentIds=["old"])
    assert not second.joined
    shop.settle()
    assert [get(shop, job).status for job in (lost, second)] == ["failed", "succeeded"]
    assert holder(shop) is None


def test_a_turn_is_over_when_its_time_is_over(shop: Service) -> None:
    lost = start(shop)
    payload = shop.workflows.started.pop(lost.jobId)[1]
    runs.plan(shop.store, {"request": payload, "execution": lost.jobId}, shop.now)
    shop.now += run_fits.LONGEST_JOB - timedelta(seconds=1)
    assert start(shop).joined
    shop.now += timedelta(seconds=1)
    assert not start(shop).joined
    assert get(shop, lost).status == "failed"


def test_the_turn_is_given_back_whatever_becomes_of_the_run(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    start(shop)
    shop.settle()
    assert holder(shop) is None

    with monkeypatch.context() as patch:
        failing(patch, shop, {0, 1, 2})
        start(shop)
        shop.settle()
    assert holder(shop) is None

    def busy(*_: Any) -> Any:
        raise TooBusy("the table is being throttled")

    with monkeypatch.context() as patch:
        patch.setattr(run_fits, "due", busy)
        assert shop.resegment({}, "never-planned") == {"jobId": "run-never-planned", "status": "failed"}
    assert holder(shop) is None
    assert get(shop, "run-never-planned").failures[0].step == "plan"

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "store_results", busy)
        job = start(shop)
        with pytest.raises(TooBusy):
            shop.settle()
    assert holder(shop) == job.jobId
    # The state machine calls the last step once more, with what it caught.
    state = {"jobId": job.jobId, "plan": {"jobId": job.jobId, "evaluates": True}, "partitions": {"failures": []}}
    finishing.finish_run(shop.store, {**state, "error": {"Error": "TooBusy", "Cause": "throttled"}}, shop.now)
    assert holder(shop) is None
    assert get(shop, job).failures[0].step == "finish"


def test_a_release_leaves_the_turn_of_another_alone(shop: Service) -> None:
    job = start(shop)
    leases.release(shop.store.table, RESEGMENT, "run-another")
    assert holder(shop) == job.jobId


# ----------------------------------------------------------------- the schedule


def test_a_scheduled_run_ends_at_once_if_one_under_way_does_the_same(shop: Service) -> None:
    job = start(shop)
    assert shop.resegment({}, "nightly") == {"status": "skipped"}
    with pytest.raises(NotFound):
        get(shop, "run-nightly")
    shop.settle()
    assert shop.resegment({}, "nightly")["status"] == "succeeded"
    assert [get(shop, found).status for found in (job, "run-nightly")] == ["succeeded", "succeeded"]


def test_a_scheduled_run_waits_for_one_that_does_something_else(shop: Service) -> None:
    job = start(shop, segmentIds=["old"])
    assert shop.resegment({}, "nightly") == {"status": "waiting"}
    shop.settle()
    assert get(shop, job).status == "succeeded"
    assert shop.resegment({}, "nightly") == {"jobId": "run-nightly", "status": "succeeded"}


def test_a_scheduled_run_waits_if_models_are_due_that_the_other_does_not_fit(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(shop)
    monkeypatch.setattr(run_fits, "due", lambda *_: {"cluster": 2})
    assert shop.resegment({}, "nightly") == {"status": "waiting"}


def test_a_scheduled_run_has_the_turn_like_any_other(shop: Service) -> None:
    runs.plan(shop.store, {"request": {}, "execution": "nightly", "executionId": "arn"}, shop.now)
    again = start(shop)
    assert (again.jobId, again.joined) == ("run-nightly", True)


def test_a_scheduled_run_that_is_planned_twice_is_one_run(shop: Service) -> None:
    event = {"request": {}, "execution": "nightly", "executionId": "arn"}
    assert runs.plan(shop.store, event, shop.now) == runs.plan(shop.store, event, shop.now)
    assert holder(shop) == "run-nightly"


# ----------------------------------------------------------------------- resume


def test_a_resumed_run_does_only_what_failed(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {1}
    asked = failing(monkeypatch, shop, broken)
    put(shop, "c9", country="DE", age=40)
    job = start(shop)
    shop.settle()
    failed = get(shop, job)
    assert (failed.status, failed.resumable, failed.attempt) == ("failed", True, 1)
    (failure,) = failed.failures
    assert (failure.step, failure.partition, failure.error) == ("evaluate", 1, "TooBusy")
    assert "throttled" in failure.cause
    assert [step.model_dump() for step in failed.steps] == [{"step": "evaluate", "done": 2, "total": 3, "failed": 1}]
    assert asked == [0, 1, 2]
    broken.clear()
    asked.clear()
    again = start(shop, resumeRunId=job.jobId)
    assert (again.jobId, again.status, again.joined) == (job.jobId, "queued", False)
    shop.settle()
    assert asked == [1]
    done = get(shop, job)
    assert (done.status, done.resumable, done.attempt, done.failures, done.error) == ("succeeded", False, 2, [], None)
    assert done.counts["customers"] == 10
    assert [step.model_dump() for step in done.steps] == [{"step": "evaluate", "done": 3, "total": 3, "failed": 0}]
    assert "c9" in ids(shop, "germans")
    assert holder(shop) is None


def test_segments_wait_for_a_run_that_failed_and_are_active_after_it_was_resumed(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = create(shop, "young", [{"attribute": "age", "operator": "lt", "value": 22}])
    with monkeypatch.context() as patch:
        failing(patch, shop, {2})
        shop.settle()
    assert segments.get(shop.store, "young", shop.now).status == "evaluating"
    start(shop, resumeRunId=segment.jobId)
    shop.settle()
    assert segments.get(shop.store, "young", shop.now).status == "active"


def test_a_resumed_run_measures_what_is_missing_and_evaluates_all_after_the_fit(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoppers.create(shop, "cluster", {"kind": "cluster", "parameters": {"k": 2}, "features": ["age"]})
    broken = {2}
    measured = failing(monkeypatch, shop, broken, "measure_partition")
    evaluated = failing(monkeypatch, shop, set())
    job = start(shop, refitModels=["cluster"])
    shop.settle()
    failed = get(shop, job)
    assert [(f.step, f.partition) for f in failed.failures] == [("measure", 2)]
    assert failed.details["models"]["cluster"]["status"] == "failed"
    assert (measured, evaluated) == ([0, 1, 2], [0, 1, 2])
    broken.clear()
    measured.clear()
    evaluated.clear()
    start(shop, resumeRunId=job.jobId)
    shop.settle()
    assert (measured, evaluated) == ([2], [0, 1, 2])
    done = get(shop, job)
    assert done.status == "succeeded"
    assert done.details["models"]["cluster"] == {"version": 2, "status": "fitted", "reason": None}
    assert [(step.step, step.done, step.total) for step in done.steps] == [
        ("measure", 3, 3),
        ("fit", 1, 1),
        ("evaluate", 3, 3),
    ]


def test_a_resumed_run_fits_no_model_again_that_is_fitted(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    shoppers.create(shop, "cluster", {"kind": "cluster", "parameters": {"k": 2}, "features": ["age"]})
    broken = {0}
    measured = failing(monkeypatch, shop, set(), "measure_partition")
    evaluated = failing(monkeypatch, shop, broken)
    job = start(shop, refitModels=["cluster"])
    shop.settle()
    assert len(shoppers.get(shop, "cluster").versions) == 2
    broken.clear()
    measured.clear()
    evaluated.clear()
    start(shop, resumeRunId=job.jobId)
    shop.settle()
    assert (measured, evaluated) == ([], [0])
    assert get(shop, job).status == "succeeded"
    assert len(shoppers.get(shop, "cluster").versions) == 2


def test_a_run_that_was_stopped_half_way_goes_on_where_its_records_end(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(shop)
    payload = shop.workflows.started.pop(job.jobId)[1]
    plan = runs.plan(shop.store, {"request": payload, "execution": "x", "executionId": job.jobId}, shop.now)
    partition_runs.work(shop.store, {"jobId": job.jobId, "kind": "run", "partition": 0}, shop.now)
    assert plan["partitions"] == [0, 1, 2]
    assert start(shop, resumeRunId=job.jobId).joined
    shop.workflows.stopped.add(job.jobId)
    asked = failing(monkeypatch, shop, set())
    assert not start(shop, resumeRunId=job.jobId).joined
    shop.settle()
    assert asked == [1, 2]
    assert (get(shop, job).status, get(shop, job).attempt) == ("succeeded", 2)


def test_a_run_of_which_only_the_last_step_failed_has_nothing_but_that_left(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise TooBusy("the table is being throttled")

    job = start(shop)
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "store_results", busy)
        with pytest.raises(TooBusy):
            shop.settle()
    shop.workflows.started.pop(job.jobId)
    shop.workflows.stopped.add(job.jobId)
    asked = failing(monkeypatch, shop, set())
    start(shop, resumeRunId=job.jobId)
    shop.settle()
    assert asked == []
    assert get(shop, job).status == "succeeded"


def test_two_who_resume_a_run_in_the_same_second_resume_it_once(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing(patch, shop, {0})
        job = start(shop)
        shop.settle()
    transact = Table.transact
    other: list[StartedRun | None] = []

    def interleaved(table: Table, actions: Any) -> None:
        if not other:
            other.append(None)
            other[0] = start(shop, resumeRunId=job.jobId)
        transact(table, actions)

    monkeypatch.setattr(Table, "transact", interleaved)
    mine = start(shop, resumeRunId=job.jobId)
    assert other[0]
    assert (mine.joined, other[0].joined) == (True, False)
    shop.settle()
    assert get(shop, job).attempt == 2


def test_what_cannot_be_resumed_is_refused(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        failing(patch, shop, {0})
        failed = start(shop)
        shop.settle()
    done = start(shop)
    shop.settle()
    with pytest.raises(Conflict, match=f"{done.jobId} has succeeded"):
        start(shop, resumeRunId=done.jobId)
    running = start(shop)
    with pytest.raises(Conflict, match=f"{running.jobId} is under way"):
        start(shop, resumeRunId=failed.jobId)
    with pytest.raises(NotFound, match="there is no job 'run-nobody'"):
        start(shop, resumeRunId="run-nobody")
    jobs.create(shop.store.table, "import-1", "import", shop.now, "failed")
    with pytest.raises(NotFound, match="'import-1' is a job of the kind 'import', not a run"):
        start(shop, resumeRunId="import-1")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"resumeRunId": "run-1", "segmentIds": ["old"]}, "leave out segmentIds"),
        ({"resumeRunId": "run-1", "dryRun": False}, "leave out dryRun"),
        ({"resumeRunId": "a b"}, "String should match pattern"),
        ({"dryRun": True, "refitModels": ["m"]}, "a dry run writes nothing and fits no models"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        StartRun(**asked)


# ---------------------------------------------------------------------- reading


def test_a_run_says_what_was_asked_how_long_it_took_and_what_it_cost(shop: Service) -> None:
    job = str(create(shop, "young", [{"attribute": "age", "operator": "lt", "value": 22}]).jobId)
    assert (get(shop, job).cost, get(shop, job).steps) == (None, [])
    payload = shop.workflows.started.pop(job)[1]
    plan = runs.plan(shop.store, {"request": payload, "execution": job}, shop.now)
    for item in worker_items(plan):
        shop.evaluate_partition(item)
    running = get(shop, job)
    assert (running.status, running.durationSeconds) == ("running", None)
    assert running.cost is not None
    shop.now += timedelta(seconds=90)
    finishing.finish_run(shop.store, {"plan": plan, "partitions": {"failures": []}}, shop.now)
    run = get(shop, job)
    assert run.requested.segmentIds == ["young"]
    assert run.durationSeconds == 90.0
    assert run.counts == {"customers": 10, "entered": 2, "left": 0}
    assert run.cost is not None
    assert run.cost.total >= running.cost.total > 0
    assert run.cost.parts["events"] == 0.000002


def test_what_was_asked_stays_as_it_was_asked(shop: Service) -> None:
    job = start(shop, segmentIds=["germans"], now="2026-02-01T00:00:00Z")
    shop.settle()
    requested = get(shop, job).requested.model_dump(mode="json")
    assert requested == {
        "segmentIds": ["germans"],
        "refitModels": None,
        "now": "2026-02-01T00:00:00.000000Z",
        "dryRun": False,
    }


def test_only_runs_are_listed_and_pages_join_up_whatever_lies_between(shop: Service) -> None:
    made = []
    for number in range(5):
        shop.now += timedelta(seconds=1)
        jobs.create(shop.store.table, f"import-{number}", "import", shop.now)
        shop.now += timedelta(seconds=1)
        made.append(start(shop).jobId)
        shop.settle()
    everything = run_reads.list_runs(shop.store, 1000, None)
    assert everything.nextToken is None
    listed, token = [], None
    while True:
        page = run_reads.list_runs(shop.store, 2, token)
        assert len(page.items) <= 2
        listed += [run.jobId for run in page.items]
        token = page.nextToken
        if token is None:
            break
    assert listed == [run.jobId for run in everything.items]
    assert listed[:5] == made[::-1]
    assert {run.status for run in everything.items} == {"succeeded"}
    assert all(run.cost for run in everything.items)


def test_a_job_of_another_kind_is_no_run(shop: Service) -> None:
    jobs.create(shop.store.table, "import-1", "import", shop.now)
    with pytest.raises(NotFound, match="'import-1' is a job of the kind 'import', not a run"):
        get(shop, "import-1")
    with pytest.raises(NotFound, match="there is no job 'run-nobody'"):
        get(shop, "run-nobody")


def test_a_dry_run_reports_and_leaves_memberships_and_states_as_they_were(shop: Service) -> None:
    before = segments.get(shop.store, "germans", shop.now)
    put(shop, "c9", country="DE", age=40)
    shop.follows_stream = False
    job = start(shop, dryRun=True)
    shop.settle()
    run = get(shop, job)
    assert (run.status, run.requested.dryRun) == ("succeeded", True)
    assert run.details["wouldChange"].keys() <= {"germans", "old"}
    assert "changes" in run.links
    assert segments.get(shop.store, "germans", shop.now).model_dump() == before.model_dump()
