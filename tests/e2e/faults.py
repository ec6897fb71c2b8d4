"""What goes wrong on a stack: workers that die in the middle, deliveries that come twice, and the table behind it all.

Processes are found as children of this stack's own emulator and ended one by one, by their pid.
"""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import batched
from pathlib import Path
from typing import Any

from e2e.deployed import Deployed

from dev import emulator
from dev.local import STACK_NAME

BATCH = 500
"""Records of the stream that a delivery holds, as the template says."""


class Faults:
    """One stack, and what can be done to it."""

    def __init__(self, stack: Deployed) -> None:
        self._stack = stack
        found = stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        self._functions = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}
        self._table = str(stack.description["table"])

    # ------------------------------------------------------------- processes

    def workers(self, function: str) -> dict[int, int]:
        """Processes of a function, by pid, with the processor time that they have used, in ticks."""
        parent, name = emulator.running(self._stack.local), self._functions[function]
        found: dict[int, int] = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit():
                    fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                    if int(fields[1]) == parent and _is_function(folder, name):
                        found[int(folder.name)] = int(fields[11]) + int(fields[12])
            except OSError:
                continue  # It ended meanwhile.
        return found

    def kill(self, function: str) -> int:
        """End the processes of a function as a machine that fails does; returns how many there were."""
        killed = 0
        for pid in self.workers(function):
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue  # It ended by itself a moment ago.
        return killed

    # ------------------------------------------------------------ deliveries

    def deliver(self, function: str, event: Any) -> Any:
        """Call a function with an event; it must end well."""
        answer = self._stack.client("lambda").invoke(
            FunctionName=self._functions[function], Payload=json.dumps(event, default=_seconds).encode()
        )
        content = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, content
        return content

    def changes(self, segment_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The records of the table's stream that tell of memberships of these segments, oldest first."""
        prefixes = tuple(f"SEGMENT#{segment_id}#" for segment_id in segment_ids)
        client = self._stack.client("dynamodbstreams")
        described = self._stack.client("dynamodb").describe_table(TableName=self._table)["Table"]
        arn = described["LatestStreamArn"]
        found: list[dict[str, Any]] = []
        for shard in client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
            place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = client.get_shard_iterator(**place)["ShardIterator"]
            while iterator:
                page = client.get_records(ShardIterator=iterator, Limit=1000)
                for record in page["Records"]:
                    keys = record["dynamodb"]["Keys"]
                    if keys["PK"]["S"].startswith(prefixes) and keys["SK"]["S"].startswith("CUSTOMER#"):
                        found.append(record)
                iterator = page.get("NextShardIterator") if page["Records"] else None
        return found

    def deliver_changes(self, records: Sequence[dict[str, Any]]) -> None:
        """Deliver records of the stream once more, in batches as they come."""
        for batch in batched(records, BATCH, strict=False):
            self.deliver("RecordChanges", {"Records": list(batch)})

    # ----------------------------------------------------------------- table

    def items(self, key: str, prefix: str = "", index: bool = False) -> Iterator[dict[str, Any]]:
        """Items of one partition key of the table or its index, as DynamoDB writes them."""
        names = ("GSI1PK", "GSI1SK") if index else ("PK", "SK")
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"{names[0]} = :key"
            + (f" AND begins_with({names[1]}, :prefix)" if prefix else ""),
            "ExpressionAttributeValues": {":key": {"S": key}} | ({":prefix": {"S": prefix}} if prefix else {}),
        }
        if index:
            query["IndexName"] = "GSI1"
        else:
            query["ConsistentRead"] = True
        for page in self._stack.client("dynamodb").get_paginator("query").paginate(**query):
            yield from page["Items"]

    def done(self, job_id: str, step: str) -> set[int]:
        """Partitions whose worker has recorded what it did in a step of a job."""
        return {int(item["SK"]["S"].split("#")[1]) for item in self.items(f"JOB#{job_id}", f"{step}#")}

    def has_written(self, job_id: str, segment_id: str, partition: int, customer_id: str) -> bool:
        """Whether a worker of this job wrote the membership of a customer, whose id has no signs."""
        key = {"PK": {"S": f"SEGMENT#{segment_id}#{partition:04d}"}, "SK": {"S": f"CUSTOMER#{customer_id}#"}}
        item = self._stack.client("dynamodb").get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return bool(item) and item["jobId"]["S"] == job_id


def _is_function(process: Path, name: str) -> bool:
    return f"AWS_LAMBDA_FUNCTION_NAME={name}".encode() in (process / "environ").read_bytes().split(b"\0")


def _seconds(value: Any) -> float:
    """Instants as the stream's JSON has them."""
    assert isinstance(value, datetime), value
    return value.timestamp()
