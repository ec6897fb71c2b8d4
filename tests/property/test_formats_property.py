"""Reading files: the same result whatever the blocks, chunks and the way that a cell takes."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
import pyarrow.csv as arrow_csv
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.errors import InvalidFile
from segmentation.store.reading import columns, dates
from segmentation.store.reading.dates import DateRule
from segmentation.store.reading.records import RecordScanner
from support.import_files import run

messy = st.text(alphabet='a",\n\r ', max_size=40).map(str.encode)
cell = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).map(str.strip) | st.sampled_from(
    ['"', ",", "\n", '""', 'a"b', "x\r\ny", ";", "5,5"]
)


@settings(deadline=None, max_examples=300)
@given(messy, st.lists(st.integers(0, 40), max_size=4))
def test_record_ends_do_not_depend_on_blocks(data: bytes, cuts: list[int]) -> None:
    whole = RecordScanner(",")
    ends, content = whole.feed(data, final=True)
    bounds = [0, *sorted(cuts), len(data)]
    parts = RecordScanner(",")
    found: list[tuple[int, bool]] = []
    for begin, end in pairwise(bounds):
        positions, filled = parts.feed(data[begin:end])
        found += zip(positions.tolist(), filled.tolist(), strict=True)
    positions, filled = parts.feed(b"", final=True)
    found += zip(positions.tolist(), filled.tolist(), strict=True)
    assert found == list(zip(ends.tolist(), content.tolist(), strict=True))
    assert parts.inside_quotes == whole.inside_quotes


@settings(deadline=None, max_examples=300)
@given(messy.filter(lambda data: data.strip(b"\r\n")))
def test_record_ends_are_those_of_arrows_reader(data: bytes) -> None:
    scanner = RecordScanner(",")
    _, content = scanner.feed(data, final=True)
    if scanner.inside_quotes:
        return
    invalid = []
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        arrow_csv.ReadOptions(column_names=["a"], use_threads=False, block_size=1000),
        arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda row: invalid.append(row) or "skip"),
    )
    assert table.num_rows + len(invalid) == content.sum()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=30), st.sampled_from(["\n", "\r\n"]), st.integers(1, 200))
def test_what_a_csv_writer_wrote_is_read_back_whatever_the_chunks(
    cells: list[tuple[str, str]], line_end: str, size: int
) -> None:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=line_end)
    writer.writerow(["customerId", "one", "two"])
    for number, (one, two) in enumerate(cells):
        writer.writerow([f"c{number}", one, two])
    types = {"types": {"one": "string", "two": "string"}, "delimiter": ","}
    whole = run("customers/a.csv", sink.getvalue(), types)
    parts = run("customers/a.csv", sink.getvalue(), types, chunk_bytes=size)
    assert parts.rows == whole.rows
    assert parts.rejects == whole.rejects == []

    def kept(text: str) -> str | None:
        return columns.text(pa.array([text], pa.string())).values.to_pylist()[0]

    assert [(row["a:one"], row["a:two"]) for row in whole.rows] == [(kept(one), kept(two)) for one, two in cells]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_crash_an_import(data: bytes) -> None:
    for key in ("customers/a.csv", "customers/a.jsonl", "customers/a.parquet", "customers/a.gz"):
        for body in (data, b"customerId,x\nc1,1\n" + data, b'{"customerId": "x"}\n' + data):
            with suppress(InvalidFile):
                done = run(key, body)
                assert len(done.rows) + len({reject[0] for reject in done.rejects}) == done.plan.records


number_cell = st.text(alphabet="0123456789.eE+-nainfINFty _x", max_size=9)


@settings(deadline=None, max_examples=300)
@given(st.lists(number_cell, min_size=1, max_size=5))
def test_a_number_is_read_the_same_in_clean_and_in_dirty_company(cells: list[str]) -> None:
    for one in cells:
        alone = columns.number(pa.array([one]))
        company = columns.number(pa.array([one, "dirty", " 1 "]))
        assert alone.values.to_pylist() == company.values.to_pylist()[:1]
        assert [problem.reason for problem in alone.problems if problem.mask[0]] == [
            problem.reason for problem in company.problems if problem.mask[0]
        ]


digits = st.integers(0, 99).map("{:02d}".format)
date_cell = st.builds(
    "{}-{}-{}{}{}:{}{}{}".format,
    st.sampled_from(["1999", "2000", "2024", "2023", "0000"]),
    st.sampled_from(["01", "02", "12", "00", "13", "2"]),
    st.sampled_from(["01", "28", "29", "30", "31", "32", "00"]),
    st.sampled_from(["T", " ", "x"]),
    st.sampled_from(["00", "12", "23", "24"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["", ":00", ":59", ":60", ":01.5", ":01.123456", ":01.123456789", ":01,5"]),
    st.sampled_from(["", "Z", "+02:00", "-0530", "+14:59", "+99:99", "+02"]),
)


@settings(deadline=None, max_examples=300)
@given(date_cell)
def test_a_date_is_read_the_same_in_clean_and_in_dirty_company(cell: str) -> None:
    bounds = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
    for zone in ("UTC", "America/New_York"):
        rule = DateRule(*bounds, None, zone)
        alone = dates.instants(pa.array([cell]), rule).values.to_pylist()
        company = dates.instants(pa.array([cell, "dirty", "2020-02-29", "2020-01-01T00:00Z"]), rule).values.to_pylist()
        assert alone == company[:1]
