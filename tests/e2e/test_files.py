"""Files as they come: uploaded by a form, delivered twice, broken, asked for by a file; and the scheduled run."""

import csv
import gzip
import io
import json
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from e2e.deployed import Deployed

CSV = "customerId,fileTown\nf-1,Ulm\nf-2,Ulm\nf-3,Bonn\n,Bonn\n"
BROKEN = {
    "imports/customers/broken/cut.csv.gz": (gzip.compress(CSV.encode() * 500)[:-40], "gzip"),
    "imports/orders/broken/no-customer.csv": (b"orderId,orderedAt,amount\n1,2026-01-01,5\n", "customerId"),
    "imports/shoes/broken/a.csv": (b"customerId\n1\n", "shoes"),
}
"""Files that cannot be imported, each with a word of the reason."""
ULM = [{"attribute": "fileTown", "operator": "eq", "value": "Ulm"}]


@dataclass(frozen=True)
class Broken:
    """Jobs of files that cannot be imported, by key, and the pointers to the snapshots before and after."""

    jobs: dict[str, dict[str, Any]]
    before: list[Any]
    after: list[Any]


@pytest.fixture(scope="module")
def towns(stack: Deployed) -> dict[str, Any]:
    """The import of a small file, and a segment over it."""
    job = stack.imported("imports/customers/towns.csv", CSV)
    assert job["status"] == "succeeded", job
    stack.created({"segmentName": "Files: Ulm", "segmentId": "files-ulm", "criteria": ULM})
    return job


def test_a_file_is_uploaded_by_the_form_that_create_import_hands_out(stack: Deployed) -> None:
    body = {"dataset": "customers", "fileName": "straße 1.csv", "mapping": {"columns": {"fileTown": "Ort"}}}
    made = stack.call("POST", "/imports", body, 202)
    assert made["status"] == "awaiting_upload"
    form = made["details"]["upload"]
    content = "customerId;Ort\nupload-1;Köln\nupload-2;Köln\n".encode()
    assert upload(form, content) in (200, 201, 204)
    job = stack.succeeded(made["jobId"])
    assert (job["counts"]["accepted"], job["counts"]["rejected"]) == (2, 0)
    assert stack.get("/customers/upload-2")["attributes"] == {"fileTown": "Köln"}


def test_the_form_lets_nobody_write_elsewhere(stack: Deployed) -> None:
    made = stack.call("POST", "/imports", {"dataset": "customers", "fileName": "a.csv"}, 202)
    form = made["details"]["upload"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        upload({**form, "fields": {**form["fields"], "key": "imports/customers/other.csv"}}, b"customerId\nx\n")
    assert refused.value.code == 403


def test_an_export_is_asked_for_by_a_file(stack: Deployed, towns: dict[str, Any]) -> None:
    key = "requests/exports/weekly ulm.json"
    request = {"segmentId": "files-ulm", "columns": ["customerId", "fileTown"], "format": "csv", "gzip": True}
    stack.drop(key, json.dumps(request))
    (found,) = stack.wait("the export's job", lambda: stack.jobs_of(key))
    job = stack.succeeded(found["jobId"])
    text = gzip.decompress(stack.download(job["links"]["file"])).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted((row["customerId"], row["fileTown"]) for row in rows) == [("f-1", "Ulm"), ("f-2", "Ulm")]


def test_a_request_file_that_cannot_be_met_is_a_failed_job_that_says_why(stack: Deployed) -> None:
    for name, text, words in (
        ("no-json", "{", "JSON"),
        ("no-segment", '{"segmentId": "files-none"}', "files-none"),
        ("no-column", '{"segmentId": "files-ulm", "columns": ["shoeSize"]}', "shoeSize"),
    ):
        key = f"requests/exports/{name}.json"
        stack.drop(key, text)
        (found,) = stack.wait(f"a job of {key}", lambda key=key: stack.jobs_of(key))
        job = stack.ended(found["jobId"])
        assert job["status"] == "failed"
        assert words in job["error"], job


def test_a_second_delivery_of_an_event_does_nothing(stack: Deployed, towns: dict[str, Any]) -> None:
    """EventBridge delivers at least once: the second execution finds the job and stops."""
    key, before = towns["details"]["key"], stack.get(f"/jobs/{towns['jobId']}")
    states, machine = stack.client("stepfunctions"), stack.description["importStateMachineArn"]
    executions = states.list_executions(stateMachineArn=machine)["executions"]
    inputs = (states.describe_execution(executionArn=e["executionArn"])["input"] for e in executions)
    event = next(text for text in inputs if json.loads(text)["detail"]["object"]["key"] == key)
    pointers = pointer_items(stack)
    assert execute(stack, machine, event) == "SUCCEEDED"
    assert len(stack.jobs_of(key)) == 1
    after = stack.get(f"/jobs/{towns['jobId']}")
    for job in (before, after):
        job["links"] = sorted(job["links"])
    assert after == before
    assert pointer_items(stack) == pointers


def test_the_same_file_dropped_again_changes_nothing(stack: Deployed, towns: dict[str, Any]) -> None:
    before, pointers = stack.get("/segments/files-ulm"), pointer_items(stack)
    job = stack.imported(towns["details"]["key"], CSV)
    assert job["jobId"] != towns["jobId"]
    assert job["status"] == "succeeded"
    assert (job["counts"]["entered"], job["counts"]["left"]) == (0, 0)
    assert pointer_items(stack) == pointers
    assert stack.get("/segments/files-ulm")["customerCount"] == before["customerCount"]


def test_a_members_file_includes_customers(stack: Deployed, towns: dict[str, Any]) -> None:
    stack.created({"segmentName": "Files: picked", "segmentId": "files-picked", "kind": "manual"})
    job = stack.imported("imports/members/picked.csv", "segmentId,customerId\nfiles-picked,f-3\nfiles-picked,f-1\n")
    assert job["status"] == "succeeded", job
    members = {m["customerId"]: m["source"] for m in stack.everything("/segments/files-picked/members")}
    assert members == {"f-1": "import", "f-3": "import"}


@pytest.fixture(scope="module")
def broken(stack: Deployed, towns: dict[str, Any]) -> Broken:
    """The imports of all broken files, dropped at once and ended, by key."""
    before = pointer_items(stack)
    for key, (body, _) in BROKEN.items():
        stack.drop(key, body)
    jobs = {key: stack.wait(f"a job of {key}", lambda key=key: stack.jobs_of(key))[0] for key in BROKEN}
    ended = {key: stack.ended(job["jobId"]) for key, job in jobs.items()}
    return Broken(ended, before, pointer_items(stack))


@pytest.mark.parametrize("key", BROKEN)
def test_a_file_that_cannot_be_read_fails_cleanly_and_says_so(broken: Broken, key: str) -> None:
    job = broken.jobs[key]
    assert job["status"] == "failed", job
    assert BROKEN[key][1] in job["error"], job
    assert job["finishedAt"]


def test_files_that_cannot_be_read_change_nothing(stack: Deployed, broken: Broken) -> None:
    assert broken.after == broken.before
    assert stack.members("files-ulm") == {"f-1", "f-2"}


def test_a_mapping_alone_starts_no_import(stack: Deployed) -> None:
    stack.drop("imports/customers/lonely.csv.mapping.json", "{}")
    stack.imported("imports/customers/after-lonely.csv", "customerId,fileTown\nf-1,Ulm\n")
    assert stack.jobs_of("imports/customers/lonely.csv.mapping.json") == []


def test_the_schedule_evaluates_every_segment(stack: Deployed, towns: dict[str, Any]) -> None:
    """The schedule starts the state machine with an empty input, as here."""
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert execute(stack, stack.description["resegmentStateMachineArn"], "{}") == "SUCCEEDED"
    job = next(job for job in stack.everything("/jobs") if job["kind"] == "run")
    assert (job["status"], job["createdAt"] >= began) == ("succeeded", True)
    segment = stack.get("/segments/files-ulm")
    assert (segment["status"], segment["evaluatedAt"] >= began) == ("active", True)
    analysis = stack.get("/segments/files-ulm/analysis")
    assert analysis["segmentSize"] == 2
    assert analysis["evaluatedAt"] >= began


def execute(stack: Deployed, machine: str, text: str) -> str:
    """Run a state machine; returns how it ended."""
    states = stack.client("stepfunctions")
    arn = states.start_execution(stateMachineArn=machine, input=text, name=f"e2e-{uuid.uuid4()}")["executionArn"]

    def ended() -> str | None:
        status = str(states.describe_execution(executionArn=arn)["status"])
        return None if status == "RUNNING" else status

    return str(stack.wait(f"the end of {arn}", ended))


def pointer_items(stack: Deployed) -> list[Any]:
    """The pointers to every partition's snapshot."""
    table, dynamodb = stack.description["table"], stack.client("dynamodb")
    keys = [{"PK": {"S": f"PARTITION#{partition:04d}"}, "SK": {"S": "SNAPSHOT"}} for partition in range(4)]
    return [dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item") for key in keys]


def upload(form: dict[str, Any], content: bytes) -> int:
    """Post a file by a presigned form, as a browser does; returns the status."""
    boundary, parts = uuid.uuid4().hex, []
    for name, value in form["fields"].items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    head = 'Content-Disposition: form-data; name="file"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n'
    body = b"".join(parts) + f"--{boundary}\r\n{head}".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(form["url"], body, headers), timeout=30) as answer:
        return int(answer.status)
