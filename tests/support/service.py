"""The service in one process: the real use cases over moto's table and bucket, and the state machines driven step by
step.

`Service.settle()` plays what the cloud does by itself: dropped files start imports, started runs are carried out, the
table's stream is recorded. Faults can be put between steps: deliver twice, stop half-way, call a worker again.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from moto import mock_aws
from samcli.yamlhelper import yaml_parse

from segmentation import changes, exports, finishing, fitting, import_jobs, partition_runs, runs
from segmentation.errors import SegmentationError
from segmentation.store.events import Event, Events
from segmentation.store.files import Files
from segmentation.store.store import Store
from segmentation.store.table import Table
from segmentation.store.workflows import Workflows
from support import fast_moto

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class RecordedWorkflows(Workflows):
    """Remembers what was started; a name starts once. Executions in `stopped` are under way no more."""

    def __init__(self) -> None:
        self.started: dict[str, tuple[str, dict[str, Any]]] = {}
        self.stopped: set[str] = set()

    def start(self, machine: str, execution: str, payload: Mapping[str, Any]) -> None:
        self.started.setdefault(execution, (machine, json.loads(json.dumps(payload))))

    def is_running(self, execution: str) -> bool:
        return execution not in self.stopped


class RecordedEvents(Events):
    """Remembers what was told."""

    def __init__(self) -> None:
        self.told: list[Event] = []

    def put(self, events: Sequence[Event]) -> None:
        self.told += events


@dataclass
class Service:
    """The store and the clients under it. `now` is the clock that every step sees.

    Without `follows_stream` nothing is recorded by itself: counters and histories stay behind, and tests are faster.
    """

    store: Store
    workflows: RecordedWorkflows
    dynamodb: Any
    streams: Any
    s3: Any
    now: datetime = NOW
    follows_stream: bool = True
    dropped: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _done: set[str] = field(default_factory=set)
    _read: int = 0
    _executions: int = 0
    _records: list[dict[str, Any]] = field(default_factory=list)

    def drop(self, key: str, body: bytes | str, mapping: Mapping[str, Any] | None = None) -> None:
        """Put a file into the bucket, its mapping first."""
        if mapping is not None:
            self.store.files.put(f"{key}.mapping.json", json.dumps(mapping).encode())
        self.store.files.put(key, body.encode() if isinstance(body, str) else body)
        self.dropped.append(key)

    def settle(self) -> None:
        """Carry out everything that was dropped or started, until nothing is left but runs that wait for their turn
        while another, which a test holds back, has it.
        """
        waiting: set[str] = set()
        while self.dropped or self.workflows.started.keys() - self._done - waiting:
            while self.dropped:
                self.deliver(self.dropped.pop(0))
            for execution in [name for name in self.workflows.started if name not in self._done]:
                machine, payload = self.workflows.started[execution]
                ended = self.resegment(payload, execution) if machine == "resegment" else self.import_file(payload)
                if ended["status"] == "waiting":
                    waiting.add(execution)
                else:
                    self._done.add(execution)
                    waiting.clear()
        if self.follows_stream:
            self.record()

    def event(self, key: str) -> dict[str, Any]:
        """The EventBridge event of an object that was created."""
        found = self.s3.head_object(Bucket=self.store.files.bucket, Key=key)
        detail = {
            "bucket": {"name": self.store.files.bucket},
            "object": {
                "key": key,
                "size": found["ContentLength"],
                "etag": found["ETag"].strip('"'),
                "version-id": found.get("VersionId", "null"),
                "sequencer": "0062E99A88DC407460",
            },
        }
        return {
            "id": "11111111-2222-3333-4444-555555555555",
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": detail,
        }

    def deliver(self, key: str) -> dict[str, Any]:
        """What the rules do with an object that was created."""
        event = self.event(key)
        if key.startswith("requests/exports/"):
            return exports.write_export(self.store, event, self.now)
        return self.import_file(event)

    def import_file(self, event: dict[str, Any], execution: str = "") -> dict[str, Any]:
        """The state machine ImportFile. An execution of the same name is one that was redriven."""
        state = dict(event)
        self._executions += 1
        asked = {"event": event, "execution": execution or f"execution-{self._executions}"}
        try:
            state["plan"] = plan = import_jobs.plan(self.store, asked, self.now)
        except SegmentationError as error:
            state["error"] = caught(error)
            return import_jobs.finish(self.store, state, self.now)
        if plan["skip"]:
            return {"status": "skipped"}
        state["chunks"] = {"failures": self._map(plan["chunks"], "chunk", self.import_chunk)}
        if not state["chunks"]["failures"]:
            state["partitions"] = {"failures": self._map(plan["partitions"], "partition", self.evaluate_partition)}
        return import_jobs.finish(self.store, state, self.now)

    def resegment(self, payload: dict[str, Any], execution: str = "nightly") -> dict[str, Any]:
        """The state machine Resegment; without a job in the payload, the schedule's run."""
        state = {**payload, "execution": {"name": execution}}
        try:
            asked = {"request": state, "execution": execution, "executionId": execution}
            state["plan"] = plan = runs.plan(self.store, asked, self.now)
        except SegmentationError as error:
            state["error"] = caught(error)
            return self._finish_run(state, execution)
        if plan.get("skip"):
            return {"status": "skipped"}
        if plan.get("wait"):
            return {"status": "waiting"}
        if plan["fits"]:
            self._fit(state, plan)
        if plan["evaluates"]:
            failures = self._map(worker_items(plan), "partition", self.evaluate_partition)
            state["partitions"] = {"failures": failures}
        return self._finish_run(state, execution)

    def _fit(self, state: dict[str, Any], plan: dict[str, Any]) -> None:
        """Measure and fit, round after round."""
        measured, is_another = "measures", True
        while is_another:
            failures = self._map(worker_items(plan, measured), "partition", self.measure_partition)
            state["measures"] = {"failures": failures}
            if failures:
                return
            try:
                state["fitted"] = self.fit_models({"jobId": plan["jobId"], "failures": []})
            except SegmentationError as error:
                state["fitError"] = caught(error)
                return
            measured, is_another = "describes", state["fitted"].get("again", False)

    def _finish_run(self, state: dict[str, Any], execution: str) -> dict[str, Any]:
        ended = finishing.finish_run(self.store, state, self.now)
        self.workflows.stopped.add(execution)
        return ended

    def import_chunk(self, item: dict[str, Any]) -> Any:
        return import_jobs.chunk(self.store, item["jobId"], item["chunk"], self.now)

    def evaluate_partition(self, item: dict[str, Any]) -> Any:
        return partition_runs.work(self.store, item, self.now)

    def measure_partition(self, item: dict[str, Any]) -> Any:
        return fitting.measure(self.store, item, self.now)

    def fit_models(self, event: dict[str, Any]) -> Any:
        return fitting.fit(self.store, event, self.now)

    def records(self) -> list[dict[str, Any]]:
        """All records of the table's stream so far, as Lambda receives them."""
        arn = self.dynamodb.describe_table(TableName=self.store.table.name)["Table"]["LatestStreamArn"]
        shard = self.streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        # A new iterator every time: after a transaction that failed moto goes on with a copy of the table, and an older
        # iterator stays with the original.
        behind: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if self._records:
            last = self._records[-1]["dynamodb"]["SequenceNumber"]
            behind = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last}
        iterator = self.streams.get_shard_iterator(StreamArn=arn, ShardId=shard, **behind)["ShardIterator"]
        while True:
            page = self.streams.get_records(ShardIterator=iterator, Limit=1000)
            self._records += page["Records"]
            iterator = page["NextShardIterator"]
            if not page["Records"]:
                return self._records

    def record(self) -> int:
        """Deliver what the stream holds since the last time."""
        found = self.records()
        new, self._read = found[self._read :], len(found)
        return changes.record(self.store, new)

    def wait(self, hours: float) -> None:
        """Let time pass."""
        self.now += timedelta(hours=hours)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """Names of the DynamoDB requests made inside the block."""
        begin = len(self.requests)
        made: list[str] = []
        yield made
        made += self.requests[begin:]

    def _map(self, items: list[dict[str, Any]], part: str, work: Any) -> list[dict[str, Any]]:
        failures = []
        for item in items:
            try:
                work(item)
            except SegmentationError as error:
                found = caught(error)
                failures.append({part: item[part], "error": found["Error"], "cause": found["Cause"]})
        return failures


def worker_items(plan: Mapping[str, Any], of: str = "partitions") -> list[dict[str, Any]]:
    """The inputs of the workers of a run, as the state machine makes them of a plan's numbers."""
    return [{"jobId": plan["jobId"], "kind": plan["kind"], "partition": number} for number in plan[of]]


def caught(error: SegmentationError) -> dict[str, str]:
    """An error of a worker as Step Functions catches it."""
    cause = {"errorMessage": error.message, "errorType": type(error).__name__}
    return {"Error": type(error).__name__, "Cause": json.dumps(cause)}


@functools.cache
def clients() -> tuple[Any, Any, Any]:
    """Clients for the table, its stream and the bucket, made once: making one costs more than most tests."""
    config = Config(region_name=REGION, parameter_validation=False)
    return tuple(boto3.client(name, config=config) for name in ("dynamodb", "dynamodbstreams", "s3"))  # type: ignore[return-value]


@functools.cache
def template() -> dict[str, Any]:
    """The deployed template, CloudFormation's short forms included."""
    parsed: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
    return parsed


@contextmanager
def running(partitions: int = 3) -> Iterator[Service]:
    """A fresh service on moto, with the table that the template describes."""
    fast_moto.install()
    with mock_aws():
        dynamodb, streams, s3 = clients()
        declared = template()["Resources"]["Table"]["Properties"]
        dynamodb.create_table(
            TableName="segmentation",
            BillingMode=declared["BillingMode"],
            KeySchema=declared["KeySchema"],
            AttributeDefinitions=declared["AttributeDefinitions"],
            GlobalSecondaryIndexes=declared["GlobalSecondaryIndexes"],
            StreamSpecification={"StreamEnabled": True, **declared["StreamSpecification"]},
        )
        s3.create_bucket(Bucket="segmentation", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket="segmentation", VersioningConfiguration={"Status": "Enabled"})
        workflows = RecordedWorkflows()
        store = Store(
            Table(dynamodb, "segmentation"), Files(s3, "segmentation"), workflows, RecordedEvents(), partitions
        )
        service = Service(store, workflows, dynamodb, streams, s3)

        def note(model: Any, **_: Any) -> None:
            service.requests.append(model.name)

        dynamodb.meta.events.register("before-call.dynamodb.*", note)
        yield service
        dynamodb.meta.events.unregister("before-call.dynamodb.*", note)
