"""A table, a bucket and state machines on one machine, for benchmarks: the clients under the real store are exchanged.

The table lives in a process of its own, so that neither its memory nor its work counts as a worker's, and it stays when
a worker ends. Memberships, histories and counters of them are dictionaries; every other item is moto's, conditions and
all. Requests, items and capacity units are counted as DynamoDB would bill them.
"""

import io
import marshal
import os
import re
import threading
import time
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from segmentation.store.events import Event, Events
from segmentation.store.files import Files
from segmentation.store.store import Store
from segmentation.store.table import Table
from segmentation.store.workflows import Workflows

NAME = "benchmark"
REGION = "eu-central-1"
PAGE_BYTES = 2**20
WRITE_UNIT, READ_UNIT = 1024, 4096
_MEMBERS = re.compile(r"^SEGMENT#.*#(\d{4})$")
_HISTORY = "HISTORY#"

Json = dict[str, Any]


# ------------------------------------------------------------------------------------------------------------ table


class Shelf:
    """Items of one partition of customers: by partition key and sort key, packed away while nobody asks for them."""

    def __init__(self) -> None:
        self._open: dict[str, dict[str, bytes]] | None = {}
        self._packed = b""

    @property
    def items(self) -> dict[str, dict[str, bytes]]:
        if self._open is None:
            self._open = marshal.loads(zlib.decompress(self._packed))
            self._packed = b""
        return self._open

    def pack(self) -> None:
        if self._open is not None:
            self._packed, self._open = zlib.compress(marshal.dumps(self._open), 1), None


class TableServer:
    """What DynamoDB does, as far as the service asks it to. One request at a time."""

    def __init__(self, backend: Any, streamed: int) -> None:
        self._backend = backend
        self._shelves: dict[str, Shelf] = {}
        self._counts: Counter[str] = Counter()
        self._streamed = streamed
        self._stream: list[Json] = []

    def answer(self, method: str, arguments: Json) -> Any:
        if method.startswith("bench_"):
            return getattr(self, method)(**arguments)
        self._counts[f"requests {method}"] += 1
        own = getattr(self, f"_{method}", None)
        found = own(arguments) if own else None
        return found if found is not None else getattr(self._backend, method)(**arguments)

    def bench_counts(self) -> dict[str, int]:
        """What was asked for since the last time."""
        counts, self._counts = dict(self._counts), Counter()
        return counts

    def bench_pack(self) -> None:
        """Nobody needs the partitions at hand for a while."""
        for shelf in self._shelves.values():
            shelf.pack()

    def bench_members(self, partition: int) -> dict[str, list[str]]:
        """Members of a partition by partition key: customer ids."""
        return {
            key: [
                item["customerId"]["S"]
                for item in map(marshal.loads, items.values())
                if "since" in item and _is_member(item)
            ]
            for key, items in self._shelf(f"{partition:04d}").items.items()
        }

    def bench_stream(self) -> list[Json]:
        """The first changes of memberships as the table's stream tells of them."""
        return self._stream

    def _shelf(self, name: str) -> Shelf:
        return self._shelves.setdefault(name, Shelf())

    def _batch_write_item(self, arguments: Json) -> Json:
        others, units = [], self._counts["write units"]
        for table, requests in arguments["RequestItems"].items():
            for request in requests:
                key = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
                shelf = _shelf_of(key["PK"]["S"], key["SK"]["S"])
                if shelf is None:
                    others.append(request)
                elif "PutRequest" in request:
                    self._put(shelf, key)
                else:
                    self._delete(shelf, key)
            if others:
                self._counts["items written elsewhere"] += len(others)
                self._backend.batch_write_item(RequestItems={table: others})
        consumed = {"TableName": NAME, "CapacityUnits": float(self._counts["write units"] - units)}
        return {"UnprocessedItems": {}, "ConsumedCapacity": [consumed]}

    def _put(self, shelf: str, item: Json) -> None:
        key, sort = item["PK"]["S"], item["SK"]["S"]
        items = self._shelf(shelf).items.setdefault(key, {})
        before = items.get(sort)
        items[sort] = packed = marshal.dumps(item)
        is_member = sort.startswith("CUSTOMER#")
        self._counts["memberships written" if is_member else "other items written"] += 1
        units = -(-_size(item) // WRITE_UNIT)
        self._counts["write units"] += units
        if "GSI1PK" in item or (before is not None and b"GSI1PK" in before):
            self._counts["write units"] += units
        if is_member and len(self._stream) < self._streamed:
            old = {} if before is None else {"OldImage": marshal.loads(before)}
            change = {"SequenceNumber": str(len(self._stream) + 1), "NewImage": marshal.loads(packed), **old}
            self._stream.append({"eventName": "MODIFY" if old else "INSERT", "dynamodb": change})

    def _delete(self, shelf: str, key: Json) -> None:
        self._counts["items deleted"] += 1
        self._counts["write units"] += 1
        self._shelf(shelf).items.get(key["PK"]["S"], {}).pop(key["SK"]["S"], None)

    def _query(self, arguments: Json) -> Json | None:
        if "IndexName" in arguments:
            return None
        key = arguments["ExpressionAttributeValues"][":pk"]["S"]
        prefix = arguments["ExpressionAttributeValues"].get(":sk", {}).get("S", "")
        shelf = _shelf_of(key, prefix)
        if shelf is None:
            return None
        items = self._shelf(shelf).items.get(key, {})
        found = sorted(sort for sort in items if sort.startswith(prefix))
        if not arguments.get("ScanIndexForward", True):
            found.reverse()
        if "ExclusiveStartKey" in arguments:
            found = found[bisect_left(found, arguments["ExclusiveStartKey"]["SK"]["S"]) + 1 :]
        page: list[Json] = []
        size = 0
        for sort in found[: arguments.get("Limit")]:
            page.append(marshal.loads(items[sort]))
            size += _size(page[-1])
            if size > PAGE_BYTES:
                break
        # Half a unit: nobody asks for members consistently.
        units = max(1, -(-size // READ_UNIT)) / 2
        self._counts["items read"] += len(page)
        last = {"LastEvaluatedKey": {"PK": page[-1]["PK"], "SK": page[-1]["SK"]}} if len(page) < len(found) else {}
        return {"Items": page, "Count": len(page), "ConsumedCapacity": {"CapacityUnits": units}, **last}


def _shelf_of(key: str, sort: str) -> str | None:
    """Where an item lies that is no matter of moto's; None for the others."""
    members = _MEMBERS.match(key)
    if members:
        return members[1]
    return "history" if sort.startswith(_HISTORY) else None


def _is_member(item: Json) -> bool:
    return item["SK"]["S"].startswith("CUSTOMER#") and "leftAt" not in item


def _size(item: Json) -> int:
    """Bytes as DynamoDB counts them: names and values."""
    return sum(
        len(name) + sum(len(v) if isinstance(v, str) else 8 for v in value.values()) for name, value in item.items()
    )


def serve(address: str, properties: Json, streamed: int) -> None:
    """Answer workers until one says `stop`: the main function of the table's process."""
    os.environ.update(AWS_ACCESS_KEY_ID="benchmark", AWS_SECRET_ACCESS_KEY="benchmark", AWS_DEFAULT_REGION=REGION)
    from moto import mock_aws

    with mock_aws(), Listener(address, "AF_UNIX") as listener:
        backend = boto3.client("dynamodb", config=Config(region_name=REGION, parameter_validation=False))
        backend.create_table(TableName=NAME, **properties)
        server, lock, ended = TableServer(backend, streamed), threading.Lock(), threading.Event()
        while not ended.is_set():
            connection = listener.accept()
            threading.Thread(target=_converse, args=(connection, server, lock, ended, address), daemon=True).start()


def _converse(
    connection: Connection, server: TableServer, lock: threading.Lock, ended: threading.Event, address: str
) -> None:
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        if method == "stop":
            ended.set()
            connection.send((True, None))
            Client(address, "AF_UNIX").close()
            return
        try:
            with lock:
                answer = server.answer(method, arguments)
            connection.send((True, answer))
        except ClientError as error:
            connection.send((False, error.response))


class TableClient:
    """The low-level DynamoDB client of a worker: sends what it is asked to the table's process.

    `seconds` is what that took of this process: work of the fake, in place of the AWS client's.
    """

    def __init__(self, address: str) -> None:
        self.seconds = 0.0
        self._connection = Client(address, "AF_UNIX")
        self._lock = threading.Lock()

    def __getattr__(self, method: str) -> Any:
        def call(**arguments: Any) -> Any:
            with self._lock:
                begin = time.process_time()
                self._connection.send((method, arguments))
                succeeded, answer = self._connection.recv()
                self.seconds += time.process_time() - begin
            if not succeeded:
                raise ClientError(answer, method)
            return answer

        return call


# ----------------------------------------------------------------------------------------------------------- bucket


class FolderClient:
    """The low-level S3 client over a folder; `requests` counts them by method."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.requests: Counter[str] = Counter()
        self._parts: dict[str, list[bytes]] = {}

    def head_object(self, Bucket: str, Key: str) -> Json:  # noqa: ARG002
        self.requests["head_object"] += 1
        path = self._path(Key)
        return {"ContentLength": path.stat().st_size, "ETag": self._etag(path)}

    def get_object(self, Bucket: str, Key: str, Range: str = "", IfMatch: str = "") -> Json:  # noqa: ARG002
        self.requests["get_object"] += 1
        path = self._path(Key)
        if IfMatch and IfMatch != self._etag(path):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
        with path.open("rb") as file:
            if not Range:
                return {"Body": io.BytesIO(file.read())}
            begin, end = map(int, Range.removeprefix("bytes=").split("-"))
            file.seek(begin)
            return {"Body": io.BytesIO(file.read(end - begin + 1))}

    def put_object(self, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str = "", **_: Any) -> Json:  # noqa: ARG002
        self.requests["put_object"] += 1
        path = self._folder / Key
        if IfNoneMatch and path.exists():
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)
        return {"ETag": self._etag(path)}

    def create_multipart_upload(self, Bucket: str, Key: str, **_: Any) -> Json:  # noqa: ARG002
        self.requests["create_multipart_upload"] += 1
        self._parts[Key] = []
        return {"UploadId": Key}

    def upload_part(self, Bucket: str, Key: str, UploadId: str, PartNumber: int, Body: bytes) -> Json:  # noqa: ARG002
        self.requests["upload_part"] += 1
        self._parts[UploadId].append(Body)
        return {"ETag": f'"{PartNumber}"'}

    def complete_multipart_upload(self, Bucket: str, Key: str, UploadId: str, **_: Any) -> Json:  # noqa: ARG002
        self.requests["complete_multipart_upload"] += 1
        path = self._folder / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(self._parts.pop(UploadId)))
        return {"ETag": self._etag(path)}

    def delete_objects(self, Bucket: str, Delete: Json) -> Json:  # noqa: ARG002
        self.requests["delete_objects"] += 1
        for entry in Delete["Objects"]:
            (self._folder / entry["Key"]).unlink(missing_ok=True)
        return {}

    def get_paginator(self, method: str) -> "FolderClient":
        if method != "list_objects_v2":
            raise NotImplementedError(method)
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[Json]:  # noqa: ARG002
        self.requests["list_objects_v2"] += 1
        top = (self._folder / f"{Prefix}x").parent
        found = (str(path.relative_to(self._folder)) for path in top.rglob("*") if path.is_file())
        yield {"Contents": [{"Key": key} for key in sorted(found) if key.startswith(Prefix)]}

    def _path(self, key: str) -> Path:
        path = self._folder / key
        if not path.is_file():
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return path

    def _etag(self, path: Path) -> str:
        found = path.stat()
        return f'"{found.st_size}-{found.st_mtime_ns}"'


# ------------------------------------------------------------------------------------------------------------ store


class RecordedWorkflows(Workflows):
    """Remembers what was started; whoever drives the benchmark carries it out."""

    def __init__(self) -> None:
        self.started: list[Json] = []

    def start(self, machine: str, execution: str, payload: Mapping[str, Any]) -> None:  # noqa: ARG002
        self.started.append(dict(payload))

    def is_running(self, execution: str) -> bool:  # noqa: ARG002
        return False


class CountedEvents(Events):
    """Counts what was told."""

    def __init__(self) -> None:
        self.told = 0

    def put(self, events: Sequence[Event] | Iterable[Event]) -> None:
        self.told += len(list(events))


def store(address: str, folder: Path, partitions: int) -> tuple[Store, TableClient, FolderClient, RecordedWorkflows]:
    """The real store over these clients."""
    table, bucket, workflows = TableClient(address), FolderClient(folder), RecordedWorkflows()
    return (
        Store(Table(table, NAME), Files(bucket, NAME), workflows, CountedEvents(), partitions),
        table,
        bucket,
        workflows,
    )
