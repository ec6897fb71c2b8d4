"""Bad files: refused as a whole with a clear error, or row by row with reasons; nothing is lost and nothing crashes."""

import gzip
import io
import random
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation import imports
from segmentation.errors import InvalidFile, NotFound
from segmentation.store import keys
from support.files import MemoryFiles
from support.import_files import JOB, NOW, run, store_of

HEADER = "orderId,customerId,orderedAt,amount\n"


def refused(key: str, data: bytes | str, mapping: dict[str, object] | None = None) -> str:
    with pytest.raises(InvalidFile) as caught:
        run(key, data, mapping)
    return caught.value.message


def test_an_empty_file_is_refused() -> None:
    assert "is empty (0 bytes)" in refused("orders/a.csv", b"")


def test_an_archive_of_nothing_is_refused() -> None:
    assert "archive of an empty file" in refused("orders/a.csv.gz", gzip.compress(b""))


@pytest.mark.parametrize("blank", ["\n\n\r\n", "\ufeff", "\r"])
def test_a_file_of_blank_lines_is_refused(blank: str) -> None:
    assert "nothing but blank lines" in refused("orders/a.csv", blank)


@pytest.mark.parametrize("header", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_a_file_of_a_header_only_succeeds_without_rows(header: str) -> None:
    done = run("orders/a.csv", header)
    assert (done.plan.records, done.plan.chunks, done.rows) == (0, (), [])


def test_an_unknown_folder_is_refused_with_the_known_ones() -> None:
    message = refused("products/a.csv", "a\n1\n")
    assert "'products'" in message and "imports/orders/" in message


def test_a_file_that_was_deleted_before_it_is_read_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"imports/orders/gone\.csv"):
        imports.plan_import(store_of(MemoryFiles()), JOB, "imports/orders/gone.csv", {}, NOW)


def test_missing_required_columns_are_named_with_those_that_are_there() -> None:
    message = refused("orders/a.csv", "Nr,Kunde,Summe\n1,2,3\n")
    for word in ("customerId", "orderId", "orderedAt", "amount", "'Kunde'", '"columns"'):
        assert word in message


def test_a_mapping_to_a_column_that_is_not_there_is_refused() -> None:
    message = refused("orders/a.csv", HEADER + "1,2,2026-01-01,4\n", {"columns": {"amount": "Summe"}})
    assert "'Summe'" in message and "'amount'" in message


def test_a_column_with_the_name_of_a_feature_is_refused_with_the_way_out() -> None:
    message = refused("customers/a.csv", "customerId,totalSpent\nc1,5\n")
    assert "'totalSpent'" in message and '"ignore"' in message
    done = run("customers/a.csv", "customerId,totalSpent\nc1,5\n", {"columns": {"spentBefore": "totalSpent"}})
    assert done.column("a:spentBefore") == [5.0]


@pytest.mark.parametrize("name", ["x" * 65, "%%%"])
def test_a_column_name_that_cannot_be_kept_is_refused(name: str) -> None:
    assert "cannot be kept" in refused("customers/a.csv", f"customerId,{name}\nc1,5\n")


def test_columns_that_would_become_one_are_refused() -> None:
    assert "'a b' and 'a_b'" in refused("customers/a.csv", "customerId,a b,a_b\nc1,1,2\n")


def test_a_header_with_the_same_name_twice_is_refused() -> None:
    assert "'x' occurs 2 times" in refused("customers/a.csv", "customerId,x,x\nc1,1,2\n")


def test_a_column_name_without_end_is_refused() -> None:
    assert "a name of 300 characters" in refused("members/a.csv", "segmentId,customerId," + "x" * 300 + "\n")


def test_a_file_with_too_many_columns_is_refused() -> None:
    header = ",".join(f"c{number}" for number in range(501))
    assert "501 columns" in refused("customers/a.csv", header + "\n")


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"PK\x03\x04", "Excel"),
        (b"\xd0\xcf\x11\xe0", "Excel"),
        (b"%PDF-1.7", "PDF"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"SQLite format 3\0", "SQLite"),
    ],
)
def test_files_of_other_kinds_are_refused_with_what_they_are(start: bytes, what: str) -> None:
    assert what in refused("orders/a.csv", start + b"rest of the file")


def test_a_line_of_nothing_but_blanks_costs_no_time_in_an_aligned_file() -> None:
    mapping = {"delimiter": "whitespace", "names": ["customerId", "x"]}
    done = run("customers/a.txt", "c1 1\nc2" + " " * 4_000_000 + "2\n", mapping)
    assert done.column("a:x") == [1.0, 2.0]


def test_garbage_bytes_are_refused() -> None:
    assert "no text file" in refused("orders/a.csv", random.Random(1).randbytes(100_000))


def test_a_header_that_is_no_text_is_refused_with_the_way_out() -> None:
    assert "latin-1" in refused("customers/a.csv", "customerId,Größe\nc1,1\n".encode("latin-1"))


@pytest.mark.parametrize("length", [5, 30, 200])
def test_a_truncated_gzip_file_is_refused(length: int) -> None:
    packed = gzip.compress((HEADER + "".join(f"o{n},c,2026-01-01,{n * n}\n" for n in range(500))).encode())
    assert "truncated gzip" in refused("orders/a.csv.gz", packed[:length])


def test_a_damaged_gzip_file_is_refused() -> None:
    packed = bytearray(gzip.compress(random.Random(1).randbytes(5000)))
    packed[2000] ^= 255
    with pytest.raises(InvalidFile, match="gzip"):
        run("orders/a.csv.gz", bytes(packed))


def test_a_gzip_bomb_is_refused_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.formats.MAX_UNPACKED_BYTES", 20 * 2**20)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    line = b"o,c,2026-01-01,1\n" * 61_681
    packed = packer.compress(HEADER.encode())
    packed += b"".join(packer.compress(line) for _ in range(40)) + packer.flush()
    assert "unpacks to more than" in refused("orders/a.csv.gz", packed)


def test_a_line_of_50_mb_is_refused_with_its_row_and_size() -> None:
    data = (HEADER + "o1,c1,2026-01-01,1\n").encode() + b"x" * (50 * 2**20) + b"\no3,c1,2026-01-01,1\n"
    message = refused("orders/a.csv", data)
    assert "row 2 is longer than 16777216 bytes" in message


def test_a_first_line_of_50_mb_is_refused() -> None:
    assert "row 1 is longer than" in refused("orders/a.csv", b"x" * (50 * 2**20))


def test_a_quote_that_is_never_closed_is_refused_with_its_row() -> None:
    message = refused("customers/a.csv", 'customerId,note\nc1,x\nc2,"open\nc3,y\n')
    assert "row 2 is never closed" in message


def test_quotes_in_the_middle_of_a_field_are_plain_characters() -> None:
    done = run("customers/a.csv", 'customerId,size\nc1,19" rack\nc2,5"x7"\nc3,"a ""b"" c"\n')
    assert done.column("a:size") == ['19" rack', '5"x7"', 'a "b" c']


def test_every_reason_of_a_row_is_reported_once() -> None:
    text = HEADER + ",,,\n" + "o2,c2,2026-02-30,abc\n" + "o3,c3,2026-02-03,1\n"
    done = run("orders/a.csv", text)
    assert sorted(done.rejects) == [
        (1, "amount", "", "is missing"),
        (1, "customerId", "", "is missing"),
        (1, "orderId", "", "is missing"),
        (1, "orderedAt", "", "is missing"),
        (2, "amount", "abc", "is not a number"),
        (2, "orderedAt", "2026-02-30", "is no date like 2024-05-31 or 2024-05-31T14:30:00Z"),
    ]
    assert done.column("row") == [3]
    assert [(result.accepted, result.rejected) for result in done.results] == [(1, 2)]


@pytest.mark.parametrize("value", ["NaN", "nan", "inf", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_rejected(value: str) -> None:
    done = run("orders/a.csv", HEADER + f"o1,c1,2026-01-01,{value}\no2,c1,2026-01-01,1\n")
    assert done.rejects == [(1, "amount", value, "is not a finite number")]


@pytest.mark.parametrize("value", ["1900-01-01", "2999-01-01", "1969-12-31T23:59:59Z", "2026-03-03T12:00:01Z"])
def test_orders_before_1970_or_later_than_two_days_from_now_are_rejected(value: str) -> None:
    done = run("orders/a.csv", HEADER + f"o1,c1,{value},1\n")
    assert done.rejects == [(1, "orderedAt", value, "is outside 1970-01-01 to 2026-03-03")]


def test_dates_of_attributes_may_lie_between_1900_and_2200() -> None:
    text = "customerId,born\nc1,1900-01-01\nc2,1899-12-31\nc3,2200-12-31\nc4,2201-01-01\n"
    done = run("customers/a.csv", text)
    assert done.column("customerId") == ["c1", "c3"]
    assert {reject[3] for reject in done.rejects} == {"is outside 1900-01-01 to 2200-12-31"}


def test_an_id_of_2_kb_is_rejected_and_its_value_cut() -> None:
    done = run("customers/a.csv", f"customerId,x\n{'y' * 2048},1\n{'z' * 256},2\n")
    assert done.column("customerId") == ["z" * 256]
    assert done.rejects == [(1, "customerId", "y" * 200, "is longer than 256 bytes")]


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\u0085"])
def test_ids_with_control_characters_are_rejected(character: str) -> None:
    done = run("customers/a.csv", "customerId,x\n" + "a,1\n" * 3000 + f"b{character}c,2\n")
    assert [(reject[0], reject[3]) for reject in done.rejects] == [(3001, "contains a control character")]


def test_text_with_a_nul_is_rejected() -> None:
    done = run("customers/a.csv", "customerId,x\n" + "a,hello\n" * 3000 + "b,he\x00llo\n")
    assert [(reject[0], reject[1], reject[3]) for reject in done.rejects] == [(3001, "x", "contains a NUL character")]


def test_bytes_that_are_no_utf_8_cost_only_their_row() -> None:
    data = "customerId,name\nc1,Zoë\nc2,".encode() + b"M\xfcller\nc3,x\n"
    done = run("customers/a.csv", data)
    assert done.column("a:name") == ["Zoë", "x"]
    assert [(reject[0], reject[1]) for reject in done.rejects] == [(2, "name")]
    assert "is not utf-8 text" in done.rejects[0][3]


def test_bytes_that_a_declared_encoding_does_not_know_cost_only_their_row() -> None:
    done = run("customers/a.csv", b"customerId,name\nc1,\x80\nc2,\x81\n", {"encoding": "cp1252"})
    assert done.column("a:name") == ["€"]
    assert "is not cp1252 text" in done.rejects[0][3]


def test_rows_with_too_few_or_too_many_fields_are_rejected() -> None:
    done = run("customers/a.csv", "customerId,x\nc1\nc2,1\nc3,1,2\n")
    assert done.column("customerId") == ["c2"]
    assert done.rejects == [(1, "", "c1", "has 1 fields instead of 2"), (3, "", "c3,1,2", "has 3 fields instead of 2")]


def test_a_value_that_is_not_of_the_attributes_known_kind_is_rejected() -> None:
    done = run("customers/a.csv", "customerId,age,vip\nc1,x,maybe\n", {"types": {"age": "number", "vip": "boolean"}})
    assert {reject[1:] for reject in done.rejects} == {
        ("age", "x", "is not a number"),
        ("vip", "maybe", "is neither true nor false"),
    }


def test_cells_that_a_spreadsheet_would_run_are_neutralised_in_the_reject_file() -> None:
    done = run("orders/a.csv", HEADER + 'o1,c1,"=HYPERLINK(""http://x"")",1\n')
    assert done.rejects[0][2] == '\'=HYPERLINK("http://x")'


def test_duplicate_ids_inside_one_file_are_all_staged_in_order() -> None:
    done = run("customers/a.csv", "customerId,x\nc1,1\nc1,2\nc1,3\n")
    assert [(row["a:x"], row["row"]) for row in done.rows] == [(1.0, 1), (2.0, 2), (3.0, 3)]


def test_a_json_array_is_refused_with_what_json_lines_are() -> None:
    assert "one object on each line" in refused("events/a.json", '[{"a": 1}]')


@pytest.mark.parametrize("length", [3, 40, 4000])
def test_a_truncated_parquet_file_is_refused(length: int) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"customerId": [f"c{n}" for n in range(2000)]}), sink)
    with pytest.raises(InvalidFile):
        run("customers/a.parquet", sink.getvalue()[:length], {"format": "parquet"})


def test_too_many_different_events_are_refused() -> None:
    text = "customerId,event,time\n" + "".join(f"c,e{number},2026-01-01\n" for number in range(501))
    assert "more than 500 different events" in refused("events/a.csv", text)


def test_a_file_that_changed_after_it_was_planned_is_refused() -> None:
    class ChangedFiles(MemoryFiles):
        def get_range(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:
            if etag is not None and etag != self.head(key).etag:
                raise InvalidFile(f"the object {key!r} changed while it was being read; drop it again")
            return super().get_range(key, start, end, etag)

    files = ChangedFiles()
    key = "imports/customers/a.csv"
    files.objects[key] = b"customerId\nc1\n"
    store = store_of(files)
    imports.plan_import(store, JOB, key, {}, NOW)
    files.objects[key] = b"customerId\nc2\n"
    with pytest.raises(InvalidFile, match="changed"):
        imports.import_chunk(store, JOB, 1)


def test_a_mapping_that_is_no_json_is_refused_by_name() -> None:
    files = MemoryFiles()
    key = "imports/customers/a.csv"
    files.objects[key] = b"customerId\nc1\n"
    files.objects[keys.mapping_beside(key)] = b"{not json"
    with pytest.raises(InvalidFile, match=r"a\.csv\.mapping\.json"):
        imports.plan_import(store_of(files), JOB, key, {}, NOW)
