"""The Online Retail data set through merge, files and frame: recency, frequency and monetary value as published."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from segmentation.engine.frame import NumberColumn
from segmentation.store.merge import Staged, merge
from segmentation.store.snapshot import Snapshot, read, write
from segmentation.store.snapshot_frame import frame
from support.files import MemoryFiles

NOW = np.datetime64("2011-12-10T00:00:00", "us")


def lines(data: Path) -> Staged:
    table = pq.read_table(data / "online_retail/online_retail.parquet")
    table = table.filter(pc.and_(pc.is_valid(table["CustomerID"]), pc.greater_equal(table["UnitPrice"], 0)))
    return Staged(
        orders=pa.table(
            {
                "customerId": table["CustomerID"].cast(pa.int64()).cast(pa.string()),
                "row": np.arange(table.num_rows),
                "orderId": table["InvoiceNo"],
                "orderedAt": table["InvoiceDate"].cast(pa.timestamp("us")),
                "amount": pc.multiply(table["Quantity"].cast(pa.float64()), table["UnitPrice"]),
                "quantity": table["Quantity"],
                "unitPrice": table["UnitPrice"],
                "sku": table["StockCode"],
            }
        )
    )


def test_recency_frequency_and_monetary_value_are_the_published_ones(data: Path) -> None:
    files = MemoryFiles()
    merged = merge(Snapshot(), lines(data), [], NOW)
    snapshot = read(
        files, write(files, 0, "v1", merged.snapshot), attributes=["recencyDays", "orderCount", "grossSpent"], events={}
    )
    shop = frame(snapshot, NOW)
    found = {}
    columns = [shop.columns[name] for name in ("recencyDays", "orderCount", "grossSpent")]
    assert all(isinstance(column, NumberColumn) for column in columns)
    for customer_id, *values in zip(shop.ids, *(column.values for column in columns), strict=True):  # type: ignore[union-attr]
        if values[1]:
            found[customer_id] = values
    with (data.parent / "reference/expected/online_retail_rfm_2011-12-10.csv").open(newline="") as rows:
        expected = {row["CustomerID"]: [float(row[name]) for name in "RFM"] for row in csv.DictReader(rows)}
    assert found.keys() == expected.keys()
    for customer_id, values in expected.items():
        assert found[customer_id] == pytest.approx(values, abs=5e-7), customer_id
    assert merge(merged.snapshot, lines(data), [], NOW).snapshot is merged.snapshot
