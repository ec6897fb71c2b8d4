"""Two years of a real shop: its file dropped as it is becomes a segment, its members, an analysis and an export."""

import csv
import io
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from e2e.deployed import Deployed

KEY = "imports/orders/online_retail.parquet"
MAPPING = {
    "columns": {
        "orderId": "InvoiceNo",
        "customerId": "CustomerID",
        "orderedAt": "InvoiceDate",
        "quantity": "Quantity",
        "unitPrice": "UnitPrice",
        "sku": "StockCode",
    },
    "ignore": ["Description", "Country"],
}
NOW = "2011-12-10T00:00:00Z"
SEGMENT = {
    "segmentName": "Retail: recent and big",
    "segmentId": "retail-recent-big",
    "criteria": [
        {"attribute": "recencyDays", "operator": "lte", "value": "30"},
        {"attribute": "grossSpent", "operator": "gte", "value": "1000"},
    ],
    "now": NOW,
}


@pytest.fixture(scope="module")
def expected(data: Path) -> dict[str, dict[str, str]]:
    """Published recency, frequency and spend by customer."""
    with (data.parent / "reference" / "expected" / "online_retail_rfm_2011-12-10.csv").open() as file:
        return {row["CustomerID"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def wanted(expected: dict[str, dict[str, str]]) -> set[str]:
    """Who must be in the segment."""
    return {who for who, row in expected.items() if int(row["R"]) <= 30 and float(row["M"]) >= 1000}


@pytest.fixture(scope="module")
def job(stack: Deployed, data: Path) -> dict[str, Any]:
    """The import of the file, ended."""
    return stack.imported(KEY, (data / "online_retail" / "online_retail.parquet").read_bytes(), MAPPING)


@pytest.fixture(scope="module")
def segment(stack: Deployed, job: dict[str, Any]) -> dict[str, Any]:
    """The segment as create_segment answered, its members written."""
    (made,) = stack.created(SEGMENT)
    return made


def test_the_file_goes_in_but_for_rows_that_cannot_be(job: dict[str, Any]) -> None:
    assert job["status"] == "succeeded", job
    assert job["details"]["key"] == KEY
    counts = job["counts"]
    assert (counts["rows"], counts["accepted"], counts["rejected"]) == (541_909, 406_829, 135_080)
    assert job["progress"]["done"] == job["progress"]["total"]


def test_every_rejected_row_stands_in_the_reject_file_with_its_reason(stack: Deployed, job: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(stack.download(job["links"]["rejects"]).decode("utf-8"))))
    assert list(rows[0]) == ["row", "field", "value", "reason"]
    # The two invoices that write off bad debt have two things wrong: a negative price, and no customer.
    assert len({row["row"] for row in rows}) == job["counts"]["rejected"] == 135_080
    assert len(rows) == 135_082
    fields = Counter(row["field"] for row in rows)
    assert fields["CustomerID"] == 135_080
    assert all(row["value"] == "" for row in rows if row["field"] == "CustomerID")
    assert fields["UnitPrice"] == 2
    assert all(float(row["value"]) < 0 for row in rows if row["field"] == "UnitPrice")
    numbers = [int(row["row"]) for row in rows]
    assert min(numbers) >= 1
    assert max(numbers) <= 541_909


def test_the_count_is_exact_before_the_members_are_written(segment: dict[str, Any], wanted: set[str]) -> None:
    assert segment["status"] == "evaluating"
    assert segment["customerCount"] == len(wanted)


def test_members_listed_page_by_page_are_those_of_the_published_figures(
    stack: Deployed, segment: dict[str, Any], wanted: set[str]
) -> None:
    listed = [member["customerId"] for member in stack.everything("/segments/retail-recent-big/members", limit=137)]
    assert len(listed) == len(set(listed))
    assert set(listed) == wanted
    read = stack.wait(
        "the counter", lambda: stack.get("/segments/retail-recent-big")["customerCount"] == len(wanted) and "same"
    )
    assert read == "same"
    assert stack.get("/segments/retail-recent-big")["status"] == "active"


def test_every_customers_figures_are_the_published_ones(
    stack: Deployed, job: dict[str, Any], expected: dict[str, dict[str, str]]
) -> None:
    manual = {"segmentName": "Retail: everybody", "segmentId": "retail-all", "now": NOW}
    stack.created({**manual, "criteria": [{"attribute": "tenureDays", "operator": "is_set"}]})
    columns = ["customerId", "recencyDays", "orderCount", "grossSpent"]
    body = {"segmentId": "retail-all", "columns": columns, "format": "jsonl"}
    export = stack.succeeded(stack.call("POST", "/exports", body, 202)["jobId"])
    rows = [json.loads(line) for line in stack.download(export["links"]["file"]).splitlines()]
    found = {row["customerId"]: row for row in rows if row["customerId"] in expected}
    assert found.keys() == expected.keys()
    for who, row in expected.items():
        real = (found[who]["recencyDays"], found[who]["orderCount"], round(found[who]["grossSpent"], 2))
        assert real == (int(row["R"]), int(row["F"]), round(float(row["M"]), 2)), who


def test_one_customer_is_assigned_and_one_is_refused_with_the_reason(
    stack: Deployed, segment: dict[str, Any], expected: dict[str, dict[str, str]], wanted: set[str]
) -> None:
    inside = min(wanted)
    outside = min(who for who, row in expected.items() if int(row["R"]) <= 30 and who not in wanted)
    path = "/segments/retail-recent-big/members"
    answer = stack.call("POST", path, {"customerIds": [inside, outside, "nobody"]})
    assert (answer["successCount"], answer["failedCount"]) == (1, 2)
    nobody, refused = sorted(answer["errors"], key=lambda error: error.startswith(outside))
    assert nobody.startswith("nobody: ")
    assert refused.startswith(f"{outside}: does not match: grossSpent ")
    assert "1000" in refused.replace(",", "")
    assert stack.members("retail-recent-big") == wanted


def test_an_explanation_shows_every_condition_with_the_customers_value(
    stack: Deployed, segment: dict[str, Any], expected: dict[str, dict[str, str]], wanted: set[str]
) -> None:
    outside = min(who for who, row in expected.items() if int(row["R"]) <= 30 and who not in wanted)
    answer = stack.get(f"/segments/retail-recent-big/members/{outside}/explanation")
    assert (answer["member"], answer["matches"], answer["included"], answer["excluded"]) == (False,) * 4
    recency, spent = answer["explanation"]["children"]
    assert (recency["matched"], recency["found"]) == (True, int(expected[outside]["R"]))
    assert spent["matched"] is False
    assert spent["found"] == pytest.approx(float(expected[outside]["M"]), abs=0.005)
    assert answer["now"].startswith("2011-12-10T00:00:00")
    inside = stack.get(f"/segments/retail-recent-big/members/{min(wanted)}/explanation")
    assert (inside["member"], inside["reason"]) == (True, "the rule matches")


def test_the_analysis_agrees_with_the_published_figures(
    stack: Deployed, segment: dict[str, Any], expected: dict[str, dict[str, str]], wanted: set[str]
) -> None:
    answer = stack.get("/segments/retail-recent-big/analysis")
    assert answer["segmentSize"] == len(wanted)
    revenue = sum(float(expected[who]["M"]) for who in wanted)
    orders = sum(int(expected[who]["F"]) for who in wanted)
    metrics = answer["metrics"]
    assert metrics["size"] == len(wanted)
    assert metrics["revenue"] == pytest.approx(revenue, abs=0.1)
    assert metrics["averageOrderValue"] == pytest.approx(revenue / orders, abs=0.001)
    assert answer["behaviors"]["recency"]["max"] <= 30
    assert answer["behaviors"]["monetary"]["min"] >= 1000
    months = {entry["month"]: entry["orders"] for entry in answer["behaviors"]["activityByMonth"]}
    assert sum(months.values()) == orders
    few = stack.get("/segments/retail-recent-big/analysis", metrics="size,revenue")
    assert list(few["metrics"]) == ["size", "revenue"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_holds_exactly_the_members(
    stack: Deployed, segment: dict[str, Any], expected: dict[str, dict[str, str]], wanted: set[str], form: str
) -> None:
    body = {"segmentId": "retail-recent-big", "columns": ["customerId", "since", "orderCount"], "format": form}
    export = stack.succeeded(stack.call("POST", "/exports", body, 202)["jobId"])
    text = stack.download(export["links"]["file"]).decode("utf-8")
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert list(rows[0]) == body["columns"]
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert export["counts"]["rows"] == len(rows) == len(wanted)
    assert {row["customerId"]: int(row["orderCount"]) for row in rows} == {
        who: int(expected[who]["F"]) for who in wanted
    }
    assert all(date.fromisoformat(row["since"][:10]) for row in rows)


def test_the_same_file_again_changes_nothing(stack: Deployed, segment: dict[str, Any], data: Path) -> None:
    before = _state(stack)
    again = stack.imported(KEY, (data / "online_retail" / "online_retail.parquet").read_bytes(), MAPPING)
    assert again["status"] == "succeeded", again
    assert (again["counts"]["entered"], again["counts"]["left"]) == (0, 0)
    assert _state(stack) == before


def _state(stack: Deployed) -> tuple[int, list[Any]]:
    """The segment's count, and the pointers to every partition's snapshot."""
    table, pointers = stack.description["table"], []
    for partition in range(4):
        key = {"PK": {"S": f"PARTITION#{partition:04d}"}, "SK": {"S": "SNAPSHOT"}}
        pointers.append(stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)["Item"])
    return stack.get("/segments/retail-recent-big")["customerCount"], pointers
