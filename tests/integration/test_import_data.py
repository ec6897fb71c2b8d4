"""Real files through planning and reading: exact numbers; and the real bucket client, on moto."""

import csv
import gzip
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from segmentation import imports
from segmentation.errors import InvalidFile
from segmentation.models.imports import ImportMapping
from support.import_files import JOB, NOW, Imported, run
from support.service import Service

RETAIL = {
    "columns": {
        "customerId": "CustomerID",
        "orderId": "InvoiceNo",
        "orderedAt": "InvoiceDate",
        "quantity": "Quantity",
        "unitPrice": "UnitPrice",
        "sku": "StockCode",
    },
    "ignore": ["Description"],
}
CDNOW = {
    "delimiter": "whitespace",
    "header": False,
    "names": ["customer", "sampleId", "date", "units", "value"],
    "columns": {"customerId": "customer", "orderedAt": "date", "quantity": "units", "amount": "value"},
    "ignore": ["sampleId"],
    "dateFormat": "%Y%m%d",
    "orderIdFrom": "row",
}


@pytest.fixture(scope="module")
def retail(data: Path) -> Imported:
    return run("orders/online_retail.parquet", (data / "online_retail" / "online_retail.parquet").read_bytes(), RETAIL)


def test_online_retail_rejects_what_has_no_customer_and_negative_prices(retail: Imported) -> None:
    assert sum(result.rows for result in retail.results) == 541_909
    assert sum(result.rejected for result in retail.results) == 135_080
    assert Counter((field, reason) for _, field, _, reason in retail.rejects) == {
        ("CustomerID", "is missing"): 135_080,
        ("UnitPrice", "is a negative price"): 2,
    }
    assert len({row for row, *_ in retail.rejects}) == 135_080


def test_online_retail_accepts_gifts_and_returns(retail: Imported) -> None:
    rows = retail.rows
    assert len(rows) == 406_829
    assert sum(row["unitPrice"] == 0 for row in rows) == 40
    assert sum(row["quantity"] < 0 for row in rows) == 8_905


def test_online_retail_gives_the_published_recency_frequency_and_spend(retail: Imported, data: Path) -> None:
    orders: dict[str, set[str]] = defaultdict(set)
    spent: dict[str, float] = defaultdict(float)
    last: dict[str, datetime] = {}
    for row in retail.rows:
        if row["amount"] > 0:
            customer = row["customerId"]
            orders[customer].add(row["orderId"])
            spent[customer] += row["amount"]
            last[customer] = max(last.get(customer, row["orderedAt"]), row["orderedAt"])
    now = datetime(2011, 12, 10, tzinfo=UTC)
    path = data.parent / "reference" / "expected" / "online_retail_rfm_2011-12-10.csv"
    with path.open(newline="") as file:
        expected = {row["CustomerID"]: row for row in csv.DictReader(file)}
    assert expected.keys() == orders.keys()
    for customer, row in expected.items():
        assert (now - last[customer]) // timedelta(days=1) == int(row["R"])
        assert len(orders[customer]) == int(row["F"])
        assert spent[customer] == pytest.approx(float(row["M"]), abs=0.005)


def test_the_cdnow_sample_gives_every_transaction(data: Path) -> None:
    text = (data / "cdnow" / "CDNOW_sample.txt").read_bytes()
    done = run("orders/CDNOW_sample.txt", text, CDNOW)
    expected = [line.split() for line in text.decode().splitlines() if line.strip()]
    assert done.rejects == []
    assert [(row["customerId"], f"{row['orderedAt']:%Y%m%d}", row["amount"]) for row in done.rows] == [
        (customer, day, float(value)) for customer, _, day, _, value in expected
    ]


def test_a_messy_file_of_orders_keeps_names_and_addresses_as_fields(data: Path) -> None:
    text = (data / "rfm_orders" / "rfm_data_orders.csv").read_bytes()
    with pytest.raises(InvalidFile, match="orderIdFrom"):
        run("orders/rfm.csv", text)
    done = run("orders/rfm.csv.gz", gzip.compress(text), {"orderIdFrom": "row"})
    expected = list(csv.DictReader(text.decode().splitlines()))
    assert [(row["customerId"], row["orderedAt"].date(), row["amount"], row["x:email"]) for row in done.rows] == [
        (row["customer_id"], date.fromisoformat(row["order_date"]), float(row["revenue"]), row["email"])
        for row in expected
    ]


@pytest.mark.parametrize(
    ("path", "customers", "numbers"),
    [
        ("mall_customers/Mall_Customers.csv", 200, {"Age", "Annual_Income_k", "Spending_Score_1-100"}),
        (
            "telco_churn/Telco-Customer-Churn.IBM.csv",
            7043,
            {"SeniorCitizen", "tenure", "MonthlyCharges", "TotalCharges"},
        ),
    ],
)
def test_files_of_customers_get_their_attributes(data: Path, path: str, customers: int, numbers: set[str]) -> None:
    done = run("customers/a.csv", (data / path).read_bytes())
    assert (len(done.rows), done.rejects) == (customers, [])
    assert {name for name, kind in done.plan.newAttributes.items() if kind == "number"} == numbers


def test_an_object_that_changes_after_planning_is_refused_by_the_bucket(service: Service) -> None:
    key = "imports/customers/a.csv"
    for change in (b"customerId\nc2\n", b"customerId\nc1\nc2\n"):
        service.store.files.put(key, b"customerId\nc1\n")
        imports.plan_import(service.store, JOB, key, {}, NOW)
        service.store.files.put(key, change)
        with pytest.raises(InvalidFile, match="changed while it was being read"):
            imports.import_chunk(service.store, JOB, 1)


def test_files_of_every_kind_are_read_from_the_bucket(service: Service, data: Path) -> None:
    files, store = service.store.files, service.store
    retail = (data / "online_retail" / "online_retail.parquet").read_bytes()
    bodies = {
        "orders/a.parquet": retail,
        "orders/b.parquet.gz": gzip.compress(retail, 1),
        "orders/c.txt": (data / "cdnow" / "CDNOW_sample.txt").read_bytes(),
    }
    for name, body in bodies.items():
        key = f"imports/{name}"
        files.put(key, body)
        mapping = ImportMapping.model_validate(CDNOW if name.endswith("txt") else RETAIL)
        files.put(f"{key}.mapping.json", mapping.model_dump_json(exclude_defaults=True).encode())
        plan = imports.plan_import(store, JOB, key, {}, NOW)
        results = [imports.import_chunk(store, JOB, chunk.chunk) for chunk in plan.chunks]
        assert sum(result.rows for result in results) == plan.records == (6919 if name.endswith("txt") else 541_909)
