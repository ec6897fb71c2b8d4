"""Tables as files: what a standard reader gets back is what was written, and no spreadsheet runs a cell."""

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.catalogue import Kind
from segmentation.store import writers
from segmentation.store.writers import Format

ALL_KINDS = {
    "customerId": Kind.STRING,
    "spent": Kind.NUMBER,
    "seen": Kind.DATE,
    "consent": Kind.BOOLEAN,
    "tags": Kind.LIST,
    "home": Kind.GEO,
}
NOTHING = dict.fromkeys(ALL_KINDS)
FULL = {
    "customerId": "c1",
    "spent": 17850.0,
    "seen": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "consent": True,
    "tags": ["a", "b"],
    "home": {"latitude": 52.5, "longitude": -13.25},
}


def table(rows: list[dict[str, Any]], kinds: Mapping[str, Kind] = ALL_KINDS) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=writers.schema(kinds))


def written(
    batches: Iterable[pa.Table], kinds: Mapping[str, Kind], file_format: Format = Format.CSV, compress: bool = False
) -> bytes:
    stream = io.BytesIO()
    writers.write(stream, batches, kinds, file_format, compress)
    return stream.getvalue()


def text_of(*values: str | None) -> str:
    kinds = {"customerId": Kind.STRING, "value": Kind.STRING}
    rows = [{"customerId": "c", "value": value} for value in values]
    return written([table(rows, kinds)], kinds).decode()


def test_csv_writes_every_kind_in_one_plain_form() -> None:
    lines = written([table([FULL, NOTHING])], ALL_KINDS).decode().split("\n")
    assert lines == [
        "customerId,spent,seen,consent,tags,home",
        'c1,17850,2026-01-02T03:04:05Z,true,a|b,"52.5,-13.25"',
        ",,,,,",
        "",
    ]


def test_json_lines_keep_types_and_say_null_where_nothing_is_known() -> None:
    lines = written([table([FULL, NOTHING])], ALL_KINDS, Format.JSONL).decode().splitlines()
    assert [json.loads(line) for line in lines] == [FULL | {"seen": "2026-01-02T03:04:05Z"}, NOTHING]


def test_parquet_keeps_types() -> None:
    read = pq.read_table(io.BytesIO(written([table([FULL, NOTHING])], ALL_KINDS, Format.PARQUET)))
    assert read.to_pylist() == [FULL, NOTHING]
    assert read.schema == writers.schema(ALL_KINDS)


def test_fractions_of_a_second_are_written_only_where_there_are_any() -> None:
    kinds = {"seen": Kind.DATE}
    instants = [datetime(2026, 1, 2, 10, 0, 0, 500_000, UTC), datetime(1900, 12, 31, 20, 0, 0, tzinfo=UTC)]
    assert written([table([{"seen": at} for at in instants], kinds)], kinds).decode().split() == [
        "seen",
        "2026-01-02T10:00:00.5Z",
        "1900-12-31T20:00:00Z",
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r1",
        "\n=1",
        "  =1+1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20A1",
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell: str) -> None:
    ((_, read),) = list(csv.reader(io.StringIO(text_of(cell), newline="")))[1:]
    assert read == "'" + cell


@pytest.mark.parametrize(
    "cell", ["-5", "+3.25", "-1.5e-3", "+491701234567", "a=b", "1-2", "x@y.example", "'quoted'", ""]
)
def test_plain_numbers_and_harmless_texts_stay_as_they_are(cell: str) -> None:
    ((_, read),) = list(csv.reader(io.StringIO(text_of(cell), newline="")))[1:]
    assert read == cell


def test_a_list_whose_first_entry_looks_like_a_formula_is_neutralised() -> None:
    kinds = {"customerId": Kind.STRING, "tags": Kind.LIST}
    assert written([table([{"customerId": "c", "tags": ["=a", "b"]}], kinds)], kinds) == b"customerId,tags\nc,'=a|b\n"


def test_a_header_that_looks_like_a_formula_is_neutralised() -> None:
    kinds = {"customerId": Kind.STRING, "-x": Kind.STRING}
    assert written([], kinds) == b"customerId,'-x\n"


def test_a_lone_blank_cell_is_not_an_empty_line() -> None:
    kinds = {"country": Kind.STRING}
    assert written([table([{"country": None}, {"country": "DE"}], kinds)], kinds) == b'country\n""\nDE\n'


@pytest.mark.parametrize("file_format", list(Format))
def test_without_rows_the_file_still_names_its_columns(file_format: Format) -> None:
    data = written([], ALL_KINDS, file_format)
    if file_format is Format.CSV:
        assert data.decode() == ",".join(ALL_KINDS) + "\n"
    elif file_format is Format.JSONL:
        assert data == b""
    else:
        assert pq.read_schema(io.BytesIO(data)).names == list(ALL_KINDS)


@pytest.mark.parametrize("file_format", [Format.CSV, Format.JSONL])
def test_gzip_holds_the_same_bytes_and_is_the_same_every_time(file_format: Format) -> None:
    packed = written([table([FULL])], ALL_KINDS, file_format, compress=True)
    assert gzip.decompress(packed) == written([table([FULL])], ALL_KINDS, file_format)
    assert packed == written([table([FULL])], ALL_KINDS, file_format, compress=True)


def test_rows_are_counted_over_batches_and_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_SLICE", 3)
    rows = [FULL | {"customerId": f"c{number}", "tags": [str(number)]} for number in range(10)]
    stream = io.BytesIO()
    assert writers.write(stream, [table(rows), table(rows[:4])], ALL_KINDS, Format.JSONL) == 14
    read = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(row["customerId"], row["tags"]) for row in read] == [(r["customerId"], r["tags"]) for r in rows + rows[:4]]


def test_small_batches_are_gathered_into_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "ROW_GROUP", 5)
    data = written([table([FULL, NOTHING])] * 7, ALL_KINDS, Format.PARQUET)
    metadata = pq.ParquetFile(io.BytesIO(data)).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [6, 6, 2]


def test_a_million_rows_pass_through_in_the_memory_of_one_batch() -> None:
    kinds = {"customerId": Kind.STRING, "spent": Kind.NUMBER}
    batch = table([{"customerId": f"c{number:06d}", "spent": 1.5} for number in range(20_000)], kinds)

    def batches() -> Iterable[pa.Table]:
        for number in range(50):
            held.append(pa.total_allocated_bytes())
            yield batch.slice(0, 20_000 - number)

    held: list[int] = []
    with open(os.devnull, "wb") as nowhere:
        rows = writers.write(nowhere, batches(), kinds, Format.CSV)
    assert rows == 50 * 20_000 - sum(range(50))
    assert max(held) - held[0] < 2 * batch.nbytes


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
cells = st.fixed_dictionaries(
    {
        "customerId": st.none() | texts,
        "spent": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "seen": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
        "consent": st.none() | st.booleans(),
        "tags": st.none() | st.lists(texts, max_size=3),
        "home": st.none() | st.fixed_dictionaries({"latitude": st.floats(-90, 90), "longitude": st.floats(-180, 180)}),
    }
)


@settings(deadline=None, max_examples=100)
@given(st.lists(cells, max_size=6))
def test_json_lines_read_back_as_written(rows: list[dict[str, Any]]) -> None:
    lines = written([table(rows)], ALL_KINDS, Format.JSONL).decode().split("\n")[:-1]
    read = [json.loads(line) for line in lines]
    for row in read:
        row["seen"] = row["seen"] and datetime.fromisoformat(row["seen"])
    assert read == rows


@settings(deadline=None, max_examples=100)
@given(st.lists(cells, max_size=6))
def test_csv_reads_back_as_written_but_for_neutralised_cells(rows: list[dict[str, Any]]) -> None:
    text = written([table(rows)], ALL_KINDS).decode()
    read = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(read) == len(rows)
    for found, row in zip(read, rows, strict=True):
        assert found["customerId"] in (row["customerId"] or "", f"'{row['customerId']}")
        assert (float(found["spent"]) if found["spent"] else None) == row["spent"]
        assert (datetime.fromisoformat(found["seen"]) if found["seen"] else None) == row["seen"]
        assert found["tags"].removeprefix("'") == "|".join(row["tags"] or []).removeprefix("'")


@settings(deadline=None, max_examples=200)
@given(texts)
def test_no_cell_of_a_csv_file_begins_like_a_formula(value: str) -> None:
    ((_, read),) = list(csv.reader(io.StringIO(text_of(value), newline="")))[1:]
    begin = read.lstrip(" \t\r\n\f\v")[:1]
    if begin in ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"):
        float(read)
