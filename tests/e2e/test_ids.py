"""Customer ids as other systems make them: in bodies, in files, and percent-encoded in paths."""

import csv
import io
import json
from urllib.parse import quote

import pytest
from e2e.deployed import Deployed

IDS = [
    "shop#42",
    "eu/de/7",
    "🛒 cart",
    "two words",
    "100%25",
    "ö" * 128,
    "a+b@example.com",
    "x?y=1&z",
    "..",
    "segments",
]


@pytest.fixture(scope="module")
def imported(stack: Deployed) -> None:
    """All the ids in one file, and a segment that they are in."""
    text = io.StringIO()
    csv.writer(text).writerows([["customerId", "idTown"], *([name, "Jena"] for name in IDS)])
    job = stack.imported("imports/customers/ids & signs/ids #1.csv", text.getvalue())
    assert (job["status"], job["counts"]["accepted"]) == ("succeeded", len(IDS)), job
    rule = [{"attribute": "idTown", "operator": "eq", "value": "Jena"}]
    stack.created({"segmentName": "Ids", "segmentId": "ids-jena", "criteria": rule})


def path_of(customer_id: str) -> str:
    encoded = quote(customer_id, safe="")
    return encoded if encoded != ".." else "%2E%2E"


@pytest.mark.parametrize("customer_id", IDS)
def test_an_id_from_a_file_is_read_by_its_path(stack: Deployed, imported: None, customer_id: str) -> None:
    customer = stack.get(f"/customers/{path_of(customer_id)}")
    assert customer["customerId"] == customer_id
    assert customer["attributes"] == {"idTown": "Jena"}
    assert [segment["segmentId"] for segment in customer["segments"]] == ["ids-jena"]


@pytest.mark.parametrize("customer_id", IDS)
def test_an_id_works_in_every_path_and_body(stack: Deployed, imported: None, customer_id: str) -> None:
    path = path_of(customer_id)
    listed = stack.get(f"/customers/{path}/segments")
    assert listed["customerId"] == customer_id
    assert [item["segmentId"] for item in listed["items"]] == ["ids-jena"]
    explained = stack.get(f"/segments/ids-jena/members/{path}/explanation")
    assert (explained["customerId"], explained["member"]) == (customer_id, True)
    one = {"customerIds": [customer_id]}
    assert stack.call("DELETE", "/segments/ids-jena/members", one)["successCount"] == 1
    assert stack.get(f"/customers/{path}/segments")["items"] == []
    assert stack.call("POST", "/segments/ids-jena/members", one)["successCount"] == 1
    assert customer_id in stack.members("ids-jena")
    written = stack.call("PUT", f"/customers/{path}", {"attributes": {"idTown": "Jena", "idNote": customer_id}})
    assert (written["customerId"], written["attributes"]["idNote"]) == (customer_id, customer_id)


def test_ids_come_out_of_an_export_as_they_went_in(stack: Deployed, imported: None) -> None:
    job = stack.succeeded(stack.call("POST", "/exports", {"segmentId": "ids-jena", "format": "jsonl"}, 202)["jobId"])
    found = {json.loads(line)["customerId"] for line in stack.download(job["links"]["file"]).splitlines()}
    assert found == set(IDS)


@pytest.mark.parametrize("path", ["%00", "%09tab", "%20", "x" * 257])
def test_an_id_that_cannot_be_is_refused(stack: Deployed, path: str) -> None:
    answer = stack.send("PUT", f"/customers/{path}", {"attributes": {}})
    assert answer.status == 422, answer.body
    assert answer.body["errors"][0]["field"] == "customerId"
