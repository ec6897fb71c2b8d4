"""Parquet files from bytes to staged rows."""

import gzip
import io
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation.errors import InvalidFile
from segmentation.store.reading import file_plan
from support.import_files import Imported, run

MAPPING = {
    "columns": {
        "customerId": "CustomerID",
        "orderId": "InvoiceNo",
        "orderedAt": "InvoiceDate",
        "quantity": "Quantity",
        "unitPrice": "UnitPrice",
    }
}


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def shop() -> dict[str, Any]:
    return {
        "CustomerID": pa.array([17850.0, None, float("nan"), 3.5]),
        "InvoiceNo": pa.array(["1", "2", "3", "4"]).dictionary_encode(),
        "InvoiceDate": pa.array([datetime(2026, 1, day) for day in (1, 2, 3, 4)], pa.timestamp("ns")),
        "Quantity": pa.array([6, 1, 1, -2], pa.int64()),
        "UnitPrice": pa.array([2.5, 1.0, 1.0, 0.0]),
        "Country": pa.array(["UK", "UK", None, "DE"]),
    }


def test_typed_columns_are_taken_as_they_are_and_whole_numbers_as_ids_have_no_point() -> None:
    done = run("orders/shop.parquet", parquet(shop()), MAPPING)
    assert done.column("customerId") == ["17850", "3.5"]
    assert done.column("amount") == [15.0, -0.0]
    assert done.column("orderedAt") == [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)]
    assert done.column("x:Country") == ["UK", "DE"]
    assert done.rejects == [(2, "CustomerID", "", "is missing"), (3, "CustomerID", "", "is missing")]


def test_instants_without_a_zone_are_local_to_the_mappings_zone() -> None:
    done = run("orders/shop.parquet", parquet(shop()), {**MAPPING, "timeZone": "Europe/Berlin"})
    assert done.column("orderedAt")[0] == datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_gzip_around_parquet_is_unpacked() -> None:
    assert len(run("orders/shop.parquet.gz", gzip.compress(parquet(shop())), MAPPING).rows) == 2


def test_row_groups_become_chunks_and_row_numbers_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_plan, "CHUNK_ROWS", 250)
    data = parquet({"customerId": [f"c{n}" for n in range(1000)]}, row_group_size=100)
    done = run("customers/a.parquet", data)
    assert [(chunk.start, chunk.end, chunk.firstRow) for chunk in done.plan.chunks] == [
        (0, 2, 1), (2, 4, 201), (4, 6, 401), (6, 8, 601), (8, 10, 801),
    ]  # fmt: skip
    assert done.column("row") == list(range(1, 1001))


def test_a_single_big_row_group_is_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.formats_parquet.BATCH_ROWS", 64)
    done = run("customers/a.parquet", parquet({"customerId": [f"c{n}" for n in range(1000)], "n": np.arange(1000.0)}))
    assert len(done.plan.chunks) == 1
    assert [(row["row"], row["a:n"]) for row in done.rows] == [(n + 1, float(n)) for n in range(1000)]


def customers(column: pa.Array, mapping: dict[str, Any] | None = None) -> Imported:
    return run(
        "customers/a.parquet", parquet({"customerId": [f"c{n}" for n in range(len(column))], "x": column}), mapping
    )


def test_lists_places_dates_and_booleans_keep_their_kinds() -> None:
    assert customers(pa.array([["a", " "], None, []])).column("a:x") == [["a"], None, []]
    assert customers(pa.array([{"lat": 1.0, "lng": 2.0}, None])).column("a:x") == [{"lat": 1.0, "lon": 2.0}, None]
    assert customers(pa.array([date(2020, 1, 2), None])).column("a:x") == [datetime(2020, 1, 2, tzinfo=UTC), None]
    assert customers(pa.array([True, None])).column("a:x") == [True, None]


def test_nan_and_infinity_are_rejected() -> None:
    done = customers(pa.array([1.0, float("nan"), float("inf")]))
    assert done.rejects == [(2, "x", "nan", "is not a finite number"), (3, "x", "inf", "is not a finite number")]


def test_types_that_no_attribute_can_have_are_refused_unless_ignored() -> None:
    column = pa.array([[{"a": 1}]])
    with pytest.raises(InvalidFile, match='"ignore"'):
        customers(column)
    assert customers(column, {"ignore": ["x"]}).plan.ignoredColumns == ("x",)


def test_an_empty_table_succeeds_without_rows() -> None:
    assert customers(pa.array([], pa.float64())).plan.records == 0


def test_a_row_group_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_plan, "MAX_GROUP_ROWS", 10)
    with pytest.raises(InvalidFile, match="row group of 11 rows"):
        customers(pa.array(range(11)))


def test_rows_are_read_a_few_at_a_time_where_they_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.formats_parquet.BATCH_BYTES", 10_000)
    column = pa.array([f"{number:04000d}" for number in range(50)])
    assert customers(column).column("a:x") == column.to_pylist()


def test_a_csv_file_that_is_declared_as_parquet_is_refused() -> None:
    with pytest.raises(InvalidFile, match="no Parquet file"):
        run("customers/a.parquet", "customerId\nc1\n", {"format": "parquet"})
