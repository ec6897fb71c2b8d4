"""A generated shop: its three files dropped at once, rules over them, and single customers who change and leave."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import pytest
from e2e.deployed import Deployed
from e2e.shop_files import NOW, Files

from dev import main_job

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
BERLIN = {"attribute": "city", "operator": "eq", "value": "Berlin"}
BUYERS = {"event": "order", "within": "90d", "operator": "gte", "value": 2}
LOOKERS = {
    "event": "page_view",
    "where": [{"attribute": "durationSeconds", "operator": "gt", "value": "10"}],
    "within": "60d",
    "operator": "gte",
    "value": "3",
}
SEGMENTS: tuple[dict[str, Any], ...] = (
    {"segmentName": "Shop: Berlin", "segmentId": "shop-berlin", "criteria": [BERLIN], "now": NOW},
    {"segmentName": "Shop: active", "segmentId": "shop-active", "criteria": {"any": [BUYERS, LOOKERS]}, "now": NOW},
    {
        "segmentName": "Shop: asleep in Berlin",
        "segmentId": "shop-asleep",
        "criteria": [
            {"segment": "shop-berlin", "operator": "member"},
            {"segment": "shop-active", "operator": "not_member"},
        ],
        "now": NOW,
    },
)


@pytest.fixture(scope="module")
def imports(stack: Deployed, printed: str) -> dict[str, dict[str, Any]]:
    """The jobs of the three files that the main job dropped together."""
    jobs = {dataset: stack.jobs_of(main_job.object_key(dataset)) for dataset in main_job.DATASETS}
    return {dataset: stack.get(f"/jobs/{job['jobId']}") for dataset, (job,) in jobs.items()}


@pytest.fixture(scope="module")
def segments(stack: Deployed, imports: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The segments as create_segment answered, their members written."""
    return {made["segmentId"]: made for made in stack.created(*SEGMENTS)}


def test_three_files_at_once_lose_nothing_but_the_dirty_rows(imports: dict[str, dict[str, Any]], files: Files) -> None:
    for dataset, job in imports.items():
        assert job["status"] == "succeeded", job
        counts = (job["counts"]["rows"], job["counts"]["rejected"])
        assert counts == (files.made.rows[dataset], files.made.dirty[dataset]), dataset


def test_rejected_rows_are_named_with_field_value_and_reason(
    stack: Deployed, imports: dict[str, dict[str, Any]]
) -> None:
    text = stack.download(imports["orders"]["links"]["rejects"]).decode("utf-8")
    found = {(row["field"], row["value"]) for row in csv.DictReader(io.StringIO(text))}
    assert {("customerId", ""), ("orderedAt", "yesterday"), ("unitPrice", "-4.50"), ("quantity", "two")} <= found
    assert all(row["reason"] for row in csv.DictReader(io.StringIO(text)))


def test_attributes_are_listed_with_their_types(stack: Deployed, imports: dict[str, dict[str, Any]]) -> None:
    items = stack.get("/attributes")["items"]
    attributes = {item["name"]: item["kind"] for item in items if item["source"] == "attribute"}
    wanted = {"age": "number", "location": "geo", "interests": "list", "signedUpAt": "date", "emailConsent": "boolean"}
    assert wanted.items() <= attributes.items()
    fields = {(item["event"], item["name"]): item["kind"] for item in items if item["source"] == "event"}
    assert fields["page_view", "durationSeconds"] == "number"
    assert fields["order", "coupon"] == "string"


def test_a_customer_has_attributes_and_features(
    stack: Deployed, imports: dict[str, dict[str, Any]], files: Files
) -> None:
    who, row = next(item for item in files.customers.items() if item[1]["interests"])
    customer = stack.get(f"/customers/{who}")
    assert customer["attributes"]["age"] == int(row["age"])
    assert customer["attributes"]["interests"] == row["interests"].split("|")
    latitude, longitude = map(float, row["location"].split(","))
    assert customer["attributes"]["location"] == {"latitude": latitude, "longitude": longitude}
    placed = {order["orderId"] for order in files.purchases(LONG_AGO) if order["customerId"] == who}
    assert customer["features"]["orderCount"] == len(placed)


def test_rules_find_whom_plain_python_finds(stack: Deployed, segments: dict[str, dict[str, Any]], files: Files) -> None:
    for segment_id, wanted in (
        ("shop-berlin", files.berlin),
        ("shop-active", files.active),
        ("shop-asleep", files.berlin - files.active),
    ):
        assert wanted, segment_id
        found = {who for who in stack.members(segment_id) if who in files.customers}
        assert found == wanted, segment_id
        assert segments[segment_id]["customerCount"] == len(stack.members(segment_id))


def test_a_preview_counts_who_would_join_and_leave(stack: Deployed, segments: dict[str, dict[str, Any]]) -> None:
    rule = {"any": [BERLIN, {"attribute": "city", "operator": "eq", "value": "Vienna"}]}
    before = stack.members("shop-berlin")
    answer = stack.call("POST", "/segments/preview", {"criteria": rule, "segmentId": "shop-berlin", "now": NOW})
    assert (answer["joins"], answer["leaves"]) == (answer["customerCount"] - len(before), 0)
    assert answer["joins"] > 0
    counts = {condition["path"]: condition["count"] for condition in answer["conditions"]}
    assert counts["criteria.any[0]"] == len(before)


def test_a_customer_who_moves_changes_segments_within_seconds(
    stack: Deployed, segments: dict[str, dict[str, Any]], files: Files
) -> None:
    who = min(set(files.customers) - files.berlin - files.active)
    before = stack.get("/segments/shop-berlin")["customerCount"]
    attributes = stack.get(f"/customers/{who}")["attributes"]
    moved = stack.call("PUT", f"/customers/{who}", {"attributes": {**attributes, "city": "Berlin"}})
    assert {"shop-berlin", "shop-asleep"} <= {segment["segmentId"] for segment in moved["segments"]}
    assert {who} <= stack.members("shop-berlin") & stack.members("shop-asleep")
    stack.wait("one more", lambda: stack.get("/segments/shop-berlin")["customerCount"] == before + 1, 20)
    back = stack.call("PUT", f"/customers/{who}", {"attributes": attributes})
    assert not {"shop-berlin", "shop-asleep"} & {segment["segmentId"] for segment in back["segments"]}
    stack.wait("one fewer", lambda: stack.get("/segments/shop-berlin")["customerCount"] == before, 20)


def test_what_the_api_wrote_outlives_the_next_run(
    stack: Deployed, segments: dict[str, dict[str, Any]], files: Files
) -> None:
    who = max(set(files.customers) - files.berlin)
    attributes = stack.get(f"/customers/{who}")["attributes"]
    stack.call("PUT", f"/customers/{who}", {"attributes": {**attributes, "city": "Berlin"}})
    run = stack.succeeded(stack.call("POST", "/runs", {}, 202)["jobId"])
    assert run["kind"] == "run"
    assert who in stack.members("shop-berlin")
    assert stack.get(f"/customers/{who}")["attributes"] == {**attributes, "city": "Berlin"}
    counted = stack.call("POST", "/segments/preview", {"criteria": [BERLIN], "now": NOW})["customerCount"]
    assert counted == len(stack.members("shop-berlin"))


def test_an_excluded_customer_stays_out_and_an_included_one_stays_in(
    stack: Deployed, segments: dict[str, dict[str, Any]], files: Files
) -> None:
    outside, inside = max(files.active), min(files.berlin - files.active)
    path = "/segments/shop-asleep/members"
    assert stack.call("DELETE", path, {"customerIds": [inside]})["successCount"] == 1
    assert stack.call("POST", path, {"customerIds": [outside], "override": True})["successCount"] == 1
    stack.succeeded(stack.call("POST", "/runs", {"segmentIds": ["shop-asleep"]}, 202)["jobId"])
    found = stack.members("shop-asleep")
    assert inside not in found
    assert outside in found
    assert [item["customerId"] for item in stack.everything(path, list="excluded")] == [inside]
    assert stack.get(f"{path}/{inside}/explanation")["excluded"] is True
    assert stack.call("POST", path, {"customerIds": [inside]})["successCount"] == 1
    assert stack.call("DELETE", path, {"customerIds": [outside]})["successCount"] == 1
    after = stack.members("shop-asleep")
    assert inside in after
    assert outside not in after


def test_a_segment_in_use_needs_force_and_pauses_its_users(
    stack: Deployed, segments: dict[str, dict[str, Any]]
) -> None:
    base = {"segmentName": "Base", "segmentId": "shop-base", "criteria": [BERLIN], "now": NOW}
    user = {
        "segmentName": "User",
        "segmentId": "shop-user",
        "criteria": [{"segment": "shop-base", "operator": "member"}],
    }
    stack.created(base, {**user, "now": NOW})
    before = stack.members("shop-user")
    assert before
    refused = stack.send("DELETE", "/segments/shop-base")
    assert (refused.status, "shop-user" in refused.body["detail"]) == (409, True)
    deleted = stack.call("DELETE", "/segments/shop-base", status=202, force="true")
    assert stack.send("GET", "/segments/shop-base").status == 404
    stack.succeeded(deleted["jobId"])
    paused = stack.get("/segments/shop-user")
    assert paused["status"] == "paused"
    assert "shop-base" in paused["statusReason"]
    assert stack.members("shop-user") == before


def test_an_erased_person_is_gone_from_table_history_and_files(
    stack: Deployed, segments: dict[str, dict[str, Any]], files: Files
) -> None:
    who = max(files.berlin)
    before = stack.get("/segments/shop-berlin")["customerCount"]
    erased = stack.call("DELETE", f"/customers/{who}", status=202)
    assert stack.send("GET", f"/customers/{who}").status == 404
    assert stack.get(f"/customers/{who}/segments")["items"] == []
    assert who not in stack.members("shop-berlin")
    stack.wait("one fewer", lambda: stack.get("/segments/shop-berlin")["customerCount"] == before - 1, 20)
    stack.succeeded(erased["jobId"])
    assert stack.send("GET", f"/customers/{who}").status == 404
    assert who not in ids_in_the_files(stack)
    assert min(files.berlin) in ids_in_the_files(stack)
    found = stack.client("dynamodb").query(
        TableName=stack.description["table"],
        KeyConditionExpression="PK = :pk",
        ExpressionAttributeValues={":pk": {"S": f"CUSTOMER#{who}"}},
    )
    assert found["Items"] == []


def ids_in_the_files(stack: Deployed) -> set[str]:
    """Customers in all versions of all snapshots that the bucket still holds."""
    found: set[str] = set()
    pages = stack.s3.get_paginator("list_object_versions").paginate(Bucket=stack.bucket, Prefix="snapshot/")
    for version in (version for page in pages for version in page.get("Versions", [])):
        if version["Key"].endswith("/customers.parquet"):
            body = stack.s3.get_object(Bucket=stack.bucket, Key=version["Key"], VersionId=version["VersionId"])["Body"]
            found.update(pq.read_table(io.BytesIO(body.read()), columns=["customerId"])["customerId"].to_pylist())
    return found
