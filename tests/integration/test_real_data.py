"""Real data sets through the whole service, against published and computed figures."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segmentation import authoring, customers, import_jobs, job_reads, partitions
from segmentation.models.segments import PreviewSegment
from support.service import Service, running

ONLINE_RETAIL = {
    "columns": {
        "orderId": "InvoiceNo",
        "customerId": "CustomerID",
        "orderedAt": "InvoiceDate",
        "quantity": "Quantity",
        "unitPrice": "UnitPrice",
        "sku": "StockCode",
    },
    "ignore": ["Description"],
}
RETAIL_NOW = datetime(2011, 12, 10, tzinfo=UTC)


def test_cdnow_gives_the_purchase_days_of_its_customers(service: Service, data: Path) -> None:
    mapping = {
        "names": ["masterId", "customerId", "orderedAt", "quantity", "amount"],
        "delimiter": "whitespace",
        "dateFormat": "%Y%m%d",
        "orderIdFrom": ["customerId", "orderedAt"],
    }
    service.drop("imports/orders/CDNOW_sample.txt", (data / "cdnow" / "CDNOW_sample.txt").read_bytes(), mapping)
    service.settle()
    event = service.event("imports/orders/CDNOW_sample.txt")
    job = job_reads.get(service.store, import_jobs.job_id_of(event["detail"]["object"]))
    assert (job.status, job.counts["accepted"], job.counts["rejected"]) == ("succeeded", 6_919, 0), job.error
    with (data / "cdnow" / "cdnow_customers_summary_with_transactions.csv").open() as file:
        expected = {int(row["ID"]): row for row in csv.DictReader(file)}
    end = datetime(1997, 9, 30, tzinfo=UTC)
    seen = 0
    for partition in range(service.store.partitions):
        frame = partitions.load(service.store, partition, end, events={})
        for row, customer_id in enumerate(frame.ids):
            wanted = expected[int(customer_id)]
            count = customers.value_of(frame.columns["orderCount"], row)
            spent = customers.value_of(frame.columns["grossSpent"], row)
            if spent:
                assert count - 1 == int(wanted["x"]), customer_id
            seen += 1
    assert seen == 2_357


def test_a_messy_csv_of_orders_with_names_and_emails_is_taken(service: Service, data: Path) -> None:
    body = (data / "rfm_orders" / "rfm_data_orders.csv").read_bytes()
    mapping = {"columns": {"amount": "revenue"}, "orderIdFrom": "row", "ignore": ["first_name", "last_name", "email"]}
    service.drop("imports/orders/rfm.csv", body, mapping)
    service.settle()
    with (data / "rfm_orders" / "expected_rfm_orders_analysis_2006-12-31.csv").open() as file:
        expected = {row["customer_id"]: row for row in csv.DictReader(file)}
    seen = 0
    for partition in range(service.store.partitions):
        frame = partitions.load(service.store, partition, datetime(2006, 12, 31, tzinfo=UTC), events={})
        for row, customer_id in enumerate(frame.ids):
            wanted = expected[customer_id]
            found = [customers.value_of(frame.columns[n], row) for n in ("recencyDays", "orderCount", "grossSpent")]
            assert found == [int(wanted["recency_days"]), int(wanted["transaction_count"]), int(wanted["amount"])]
            seen += 1
    assert seen == len(expected) == 995


@pytest.fixture(scope="module")
def retail(data: Path) -> Iterator[Service]:
    """Comes after the tests that use a service of their own: moto holds one table of a name at a time."""
    with running(partitions=2) as service:
        body = (data / "online_retail" / "online_retail.parquet").read_bytes()
        service.drop("imports/orders/online_retail.parquet", body, ONLINE_RETAIL)
        service.settle()
        yield service


def test_online_retail_is_taken_but_for_rows_without_customer_and_negative_prices(retail: Service) -> None:
    event = retail.event("imports/orders/online_retail.parquet")
    job = job_reads.get(retail.store, import_jobs.job_id_of(event["detail"]["object"]))
    assert job.status == "succeeded", job.error
    assert job.counts["rows"] == 541_909
    # The two lines with a negative price have no customer either.
    assert job.counts["rejected"] == 135_080
    assert job.counts["accepted"] == 541_909 - 135_080


def test_recency_frequency_and_monetary_equal_the_reference_for_every_customer(retail: Service, data: Path) -> None:
    with (data.parent / "reference" / "expected" / "online_retail_rfm_2011-12-10.csv").open() as file:
        expected = {row["CustomerID"]: row for row in csv.DictReader(file)}
    seen = 0
    for partition in range(2):
        frame = partitions.load(retail.store, partition, RETAIL_NOW, events={})
        columns = dict.fromkeys(("recencyDays", "orderCount", "grossSpent"), customers.value_of)
        for row, customer_id in enumerate(frame.ids):
            recency, count, gross = (customers.value_of(frame.columns[name], row) for name in columns)
            if not count:
                assert customer_id not in expected
                continue
            wanted = expected[customer_id]
            assert (recency, count) == (int(wanted["R"]), int(wanted["F"])), customer_id
            assert gross == pytest.approx(float(wanted["M"]), abs=1e-6), customer_id
            seen += 1
    assert seen == len(expected) == 4_338


def test_a_preview_of_the_past_counts_exactly(retail: Service) -> None:
    rule = {"criteria": [{"attribute": "recencyDays", "operator": "lte", "value": 30}], "now": RETAIL_NOW}
    found = authoring.preview(retail.store, PreviewSegment(**rule), retail.now)
    loaded = [partitions.load(retail.store, partition, RETAIL_NOW, events={}) for partition in range(2)]
    assert found.customerCount == sum(int((frame.columns["recencyDays"].values <= 30).sum()) for frame in loaded)
    assert found.totalCustomers == 4_372
    later = authoring.preview(retail.store, PreviewSegment(criteria=rule["criteria"]), retail.now)
    assert later.customerCount == 0
