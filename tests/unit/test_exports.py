"""Exports from the request to the file, against an emulated table and bucket."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from moto import mock_aws
from pydantic import ValidationError

from segmentation import exports
from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidInput, NotFound, TooBusy
from segmentation.models.exports import CreateExport, parse_request
from segmentation.models.jobs import Job
from segmentation.models.segments import Segment
from segmentation.store import catalogue, customers, jobs, memberships, segments
from segmentation.store.events import Events
from segmentation.store.files import Files
from segmentation.store.memberships import Change, Why
from segmentation.store.store import Store
from segmentation.store.table import Table
from segmentation.store.workflows import Workflows

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = 3
PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"country": "DE", "score": 4.5, "note": "=cmd()"},
    "bob": {"country": "AT"},
    "c/d #1 😀": {"score": -2, "note": 'says "hi",\nbye'},
    "eve": {"country": "FR"},
}
MEMBERS = ("ann", "bob", "c/d #1 😀")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        names = ("PK", "SK", "GSI1PK", "GSI1SK")
        dynamodb.create_table(
            TableName="table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "GSI1",
                    "KeySchema": [
                        {"AttributeName": "GSI1PK", "KeyType": "HASH"},
                        {"AttributeName": "GSI1SK", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        store = Store(Table(dynamodb, "table"), Files(s3, "bucket"), Workflows(None, {}), Events(None, ""), PARTITIONS)
        segments.create(store.table, segment())
        catalogue.add_attributes(store.table, {"country": Kind.STRING, "score": Kind.NUMBER, "note": Kind.STRING})
        for customer_id, attributes in PEOPLE.items():
            customers.put(store.table, customer_id, attributes, AT, PARTITIONS)
        entered = [Change("vip", (customer_id, ""), True, "rule", Why("rule")) for customer_id in MEMBERS]
        memberships.write(store.table, entered, AT, PARTITIONS)
        yield store


def segment() -> Segment:
    return Segment(
        segmentId="vip",
        segmentName="Important people",
        customerCount=0,
        status="active",
        kind="rule",
        criteria=[],
        version=1,
        createdAt=AT,
        updatedAt=AT,
    )


def object_created(key: str, sequencer: str = "01") -> dict[str, Any]:
    return {"detail": {"object": {"key": key, "etag": "e", "size": 1, "version-id": "v1", "sequencer": sequencer}}}


def exported(store: Store, **request: Any) -> tuple[Job, bytes]:
    job = exports.create_export(store, CreateExport(segmentId="vip", **request), AT)
    exports.write_export(store, object_created(f"requests/exports/{job.jobId}.json"), AT)
    ended = jobs.get(store.table, job.jobId)
    return ended, store.files.get(ended.links["file"])


def dropped(store: Store, name: str, content: bytes) -> Job:
    key = f"requests/exports/{name}.json"
    store.files.put(key, content)
    result = exports.write_export(store, object_created(key), AT)
    return jobs.get(store.table, result["jobId"])


def test_a_csv_export_holds_the_members_and_a_finished_job_links_to_it(store: Store) -> None:
    job, data = exported(store)
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert rows[0] == ["customerId", "since"]
    assert sorted(rows[1:]) == [[customer_id, "2026-03-01T12:00:00Z"] for customer_id in sorted(MEMBERS)]
    assert (job.status, job.counts, job.links) == (
        "succeeded",
        {"rows": 3},
        {"file": f"exports/{job.jobId}/vip.csv"},
    )
    assert job.progress is not None and (job.progress.done, job.progress.total) == (PARTITIONS, PARTITIONS)


def test_chosen_attributes_and_features_come_in_the_order_asked_for(store: Store) -> None:
    _, data = exported(store, columns=["score", "customerId", "orderCount", "country"], format="jsonl")
    rows = sorted((json.loads(line) for line in data.splitlines()), key=lambda row: row["customerId"])
    assert [list(row) for row in rows] == [["score", "customerId", "orderCount", "country"]] * 3
    assert [list(row.values()) for row in rows] == [
        [4.5, "ann", 0, "DE"],
        [None, "bob", 0, "AT"],
        [-2, "c/d #1 😀", 0, None],
    ]


def test_formulas_are_neutralised_and_numbers_stay_numbers(store: Store) -> None:
    _, data = exported(store, columns=["customerId", "score", "note"])
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(data.decode(), newline=""))}
    assert rows["ann"] == ["4.5", "'=cmd()"]
    assert rows["c/d #1 😀"] == ["-2", 'says "hi",\nbye']


def test_a_compressed_export_says_so_in_its_name(store: Store) -> None:
    job, data = exported(store, gzip=True, fileName="for print.csv")
    assert job.links["file"].endswith("/for print.csv.gz")
    assert gzip.decompress(data).startswith(b"customerId,since\n")


def test_a_parquet_export_keeps_types(store: Store) -> None:
    _, data = exported(store, columns=["customerId", "since", "score"], format="parquet")
    table = pq.read_table(io.BytesIO(data))
    assert [str(field.type) for field in table.schema] == ["string", "timestamp[us, tz=UTC]", "double"]
    assert table.num_rows == 3


def test_a_segment_without_members_gives_a_file_with_a_header(store: Store) -> None:
    segments.create(store.table, segment().model_copy(update={"segmentId": "nobody"}))
    job = exports.create_export(store, CreateExport(segmentId="nobody"), AT)
    exports.write_export(store, object_created(f"requests/exports/{job.jobId}.json"), AT)
    ended = jobs.get(store.table, job.jobId)
    assert (ended.status, ended.counts) == ("succeeded", {"rows": 0})
    assert store.files.get(ended.links["file"]) == b"customerId,since\n"


def test_a_request_for_an_unknown_segment_is_refused_before_there_is_a_job(store: Store) -> None:
    with pytest.raises(NotFound, match="'gone'"):
        exports.create_export(store, CreateExport(segmentId="gone"), AT)
    assert jobs.page(store.table, 10, None)[0] == []


def test_a_request_for_unknown_columns_names_them_all(store: Store) -> None:
    with pytest.raises(InvalidInput) as caught:
        exports.create_export(store, CreateExport(segmentId="vip", columns=["customerId", "shoe", "hat"]), AT)
    assert "'shoe', 'hat'" in caught.value.message and len(caught.value.errors) == 2


def test_a_dropped_request_gets_a_job_of_its_own(store: Store) -> None:
    job = dropped(store, "weekly", b'{"segmentId": "vip", "columns": ["customerId"]}')
    assert (job.status, job.counts) == ("succeeded", {"rows": 3})
    assert (job.details["segmentId"], job.details["request"]) == ("vip", "requests/exports/weekly.json")
    assert store.files.get(job.links["file"]).splitlines()[0] == b"customerId"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b'{"segmentId": "vip", "colour": "red"}', "colour: Extra inputs are not permitted (found 'red')"),
        (b'{"segmentId": "../etc"}', "segmentId"),
        (b'{"segmentId": "gone"}', "there is no segment 'gone'"),
        (b'{"segmentId": "vip", "columns": ["shoe"]}', "'shoe'"),
        (b'{"segmentId": "vip", "fileName": "../../x"}', "fileName"),
        (b" " * 70_000, "70000 bytes; the limit is 65536"),
    ],
)
def test_a_dropped_request_that_cannot_be_met_fails_its_job_with_the_reason(
    store: Store, content: bytes, reason: str
) -> None:
    job = dropped(store, "bad", content)
    assert job.status == "failed" and reason in (job.error or ""), job.error
    assert list(store.files.list("exports/")) == []


def test_a_request_that_was_deleted_before_it_was_read_fails_its_job(store: Store) -> None:
    result = exports.write_export(store, object_created("requests/exports/lost.json"), AT)
    job = jobs.get(store.table, result["jobId"])
    assert job.status == "failed" and "does not exist" in (job.error or "")


def test_the_same_event_twice_writes_once(store: Store) -> None:
    job = exports.create_export(store, CreateExport(segmentId="vip"), AT)
    event = object_created(f"requests/exports/{job.jobId}.json")
    assert exports.write_export(store, event, AT)["status"] == "succeeded"
    store.files.delete([f"exports/{job.jobId}/vip.csv"])
    assert exports.write_export(store, event, AT)["status"] == "skipped"
    assert list(store.files.list("exports/")) == []


def test_an_interrupted_export_says_so_raises_and_succeeds_when_it_comes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = exports.create_export(store, CreateExport(segmentId="vip"), AT)
    event = object_created(f"requests/exports/{job.jobId}.json")
    with monkeypatch.context() as broken:

        def of_partition(*_: Any) -> Iterator[Any]:
            raise TooBusy("the table is being throttled")

        broken.setattr(memberships, "of_partition", of_partition)
        with pytest.raises(TooBusy):
            exports.write_export(store, event, AT)
    failed = jobs.get(store.table, job.jobId)
    assert failed.status == "failed" and "tried again" in (failed.error or "")
    assert list(store.files.list("exports/")) == []
    assert exports.write_export(store, event, AT)["status"] == "succeeded"
    assert jobs.get(store.table, job.jobId).error is None


@pytest.mark.parametrize(
    "request_body",
    [
        {"columns": []},
        {"columns": ["customerId", "customerId"]},
        {"columns": ["x"] * 201},
        {"format": "xlsx"},
        {"format": "parquet", "gzip": True},
        {"fileName": ".hidden"},
        {"fileName": "a/b"},
        {"unknown": 1},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(request_body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CreateExport(segmentId="vip", **request_body)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "vip.csv"),
        ({"format": "jsonl", "gzip": True}, "vip.jsonl.gz"),
        ({"fileName": "report"}, "report.csv"),
        ({"fileName": "report.csv"}, "report.csv"),
        ({"fileName": "report.csv", "gzip": True}, "report.csv.gz"),
        ({"fileName": "report.csv.gz", "gzip": True}, "report.csv.gz"),
    ],
)
def test_the_file_name_gets_the_extension_that_it_lacks(fields: dict[str, Any], name: str) -> None:
    assert CreateExport(segmentId="vip", **fields).file_name() == name


def test_every_wrong_field_of_a_request_file_is_named_with_its_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_request(b'{"segmentId": 7, "format": "xlsx"}', "requests/exports/x.json")
    assert {error.field for error in caught.value.errors} == {"segmentId", "format"}
    assert "found 7" in caught.value.message and "found 'xlsx'" in caught.value.message


def test_asking_for_an_export_does_not_load_arrow() -> None:
    code = "import sys, segmentation.exports; sys.exit(bool({'numpy', 'pandas', 'pyarrow'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False).returncode
        == 0
    )
