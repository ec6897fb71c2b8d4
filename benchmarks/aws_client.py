"""What the AWS client itself takes for a batch of writes: the real client, answered before a request leaves."""

import functools
import time
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

BATCHES = 400


@functools.cache
def seconds_of_a_write() -> float:
    """Seconds of the processor for a BatchWriteItem of 25 memberships: checked, signed, written as JSON, answered."""
    config = Config(region_name="eu-central-1", parameter_validation=False)
    client = boto3.client("dynamodb", config=config, aws_access_key_id="none", aws_secret_access_key="none")
    client.meta.events.register("before-send.dynamodb.BatchWriteItem", _answered)
    begin = time.process_time()
    for batch in range(BATCHES):
        items = [{"PutRequest": {"Item": _membership(batch * 25 + place)}} for place in range(25)]
        client.batch_write_item(RequestItems={"table": items}, ReturnConsumedCapacity="TOTAL")
    return (time.process_time() - begin) / BATCHES


class _Body:
    """The body of an answer, as the client reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> list[bytes]:
        return [self._content]


def _answered(request: Any, **_: Any) -> AWSResponse:
    consumed = b'{"UnprocessedItems": {}, "ConsumedCapacity": [{"TableName": "table", "CapacityUnits": 50}]}'
    return AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.0"}, _Body(consumed))


def _membership(number: int) -> dict[str, Any]:
    return {
        "PK": {"S": "SEGMENT#segment-07#0003"},
        "SK": {"S": f"CUSTOMER#c{number:08d}#"},
        "GSI1PK": {"S": f"CUSTOMER#c{number:08d}"},
        "GSI1SK": {"S": "SEGMENT#segment-07#"},
        "segmentId": {"S": "segment-07"},
        "customerId": {"S": f"c{number:08d}"},
        "source": {"S": "rule"},
        "cause": {"S": "rule"},
        "jobId": {"S": "run-0123456789abcdef0123"},
        "segmentVersion": {"N": "1"},
        "since": {"S": "2026-03-01T12:00:00.000000Z"},
    }
