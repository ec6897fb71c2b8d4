"""CSV files from bytes to staged rows."""

import gzip
from datetime import UTC, datetime

import pytest

from segmentation.engine.catalogue import Kind
from segmentation.store import keys
from support.files import MemoryFiles
from support.import_files import JOB, PARTITIONS, run, run_files

ORDERS = "orderId,customerId,orderedAt,amount\no1,c1,2026-01-02,10.5\no2,c2,2026-01-03 04:05:06,-3\n"


def instant(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


def test_an_order_file_becomes_typed_rows_with_their_numbers() -> None:
    done = run("orders/a.csv", ORDERS)
    assert done.rows == [
        {"customerId": "c1", "amount": 10.5, "orderId": "o1", "orderedAt": instant(2026, 1, 2), "row": 1},
        {"customerId": "c2", "amount": -3.0, "orderId": "o2", "orderedAt": instant(2026, 1, 3, 4, 5, 6), "row": 2},
    ]
    assert [(result.rows, result.accepted, result.rejected) for result in done.results] == [(2, 2, 0)]


def test_rows_are_staged_in_the_partition_of_their_customer() -> None:
    lines = "".join(f"c{number}\n" for number in range(50))
    done = run("customers/a.csv", "customerId\n" + lines)
    for number in range(50):
        partition = keys.partition_of(f"c{number}", PARTITIONS)
        assert keys.staged_chunk(JOB, partition, 1) in done.staged_keys
    assert done.results[0].partitions == tuple(range(PARTITIONS))
    assert len(done.rows) == 50


def test_the_same_chunk_read_twice_gives_the_same_bytes() -> None:
    first, second = run("orders/a.csv", ORDERS + ",x,y,z\n"), run("orders/a.csv", ORDERS + ",x,y,z\n")
    assert first.files.objects == second.files.objects
    assert first.results == second.results


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(delimiter: str) -> None:
    assert len(run("orders/a.csv", ORDERS.replace(",", delimiter)).rows) == 2


def test_a_delimiter_inside_quotes_does_not_mislead_the_detection() -> None:
    done = run("customers/a.csv", 'customerId;name\nc1;"a,b,c,d"\nc2;"e,f,g,h"\n')
    assert done.column("a:name") == ["a,b,c,d", "e,f,g,h"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems_and_quoted_newlines_are_read(line_end: str) -> None:
    text = line_end.join(["customerId,note", 'c1,"two', 'lines"', "", "c2,x"])
    done = run("customers/a.csv", text)
    assert [(row["customerId"], row["row"]) for row in done.rows] == [("c1", 1), ("c2", 2)]
    assert done.column("a:note") == [f"two{line_end}lines", "x"]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert run("orders/a.csv", b"\xef\xbb\xbf" + ORDERS.encode()).column("orderId") == ["o1", "o2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "shift_jis"])
def test_declared_encodings_are_read(encoding: str) -> None:
    name = "田中" if encoding == "shift_jis" else "Müller"
    data = f"customerId,name\nc1,{name}\n".encode(encoding)
    done = run("customers/a.csv", data, {"encoding": encoding})
    assert done.column("a:name") == [name]


def test_utf_16_with_a_byte_order_mark_is_recognised_and_stored_in_pieces() -> None:
    done = run("customers/a.csv", "customerId,name\nc1,Zoë\n".encode("utf-16"))
    assert done.column("a:name") == ["Zoë"]
    assert done.plan.chunks[0].key == keys.staged_source(JOB, 1)


def test_a_gzip_file_of_several_members_is_one_file() -> None:
    head, rest = ORDERS.encode()[:50], ORDERS.encode()[50:]
    done = run("orders/a.csv.gz", gzip.compress(head) + gzip.compress(rest))
    assert done.column("orderId") == ["o1", "o2"]


def test_a_decimal_comma_is_read_where_it_is_declared() -> None:
    text = "orderId;customerId;orderedAt;amount\no1;c1;01.02.2026 10:00;1.234,50\no2;c1;01.02.2026 10:00;12.5\n"
    done = run("orders/a.csv", text, {"decimal": ",", "dateFormat": "%d.%m.%Y %H:%M", "timeZone": "Europe/Berlin"})
    assert done.column("amount") == [1234.5]
    assert done.column("orderedAt") == [instant(2026, 2, 1, 9)]
    assert done.rejects == [(2, "amount", "12.5", "is not a number")]


def test_columns_aligned_with_blanks_are_read() -> None:
    text = " 00004 0001 19970101  2   29.33\r\n 00004 0001 19970118  2   29.73\r\n\r\n"
    mapping = {
        "delimiter": "whitespace",
        "names": ["customer", "id", "date", "units", "value"],
        "columns": {"customerId": "customer", "orderedAt": "date", "quantity": "units", "amount": "value"},
        "ignore": ["id"],
        "dateFormat": "%Y%m%d",
        "orderIdFrom": "row",
    }
    done = run("orders/CDNOW.txt", text, mapping)
    assert [(row["customerId"], row["quantity"], row["amount"]) for row in done.rows] == [
        ("00004", 2.0, 29.33),
        ("00004", 2.0, 29.73),
    ]
    assert len(set(done.column("orderId"))) == 2


def test_the_amount_of_a_line_is_quantity_times_unit_price_where_it_has_none() -> None:
    text = "orderId,customerId,orderedAt,amount,quantity,unitPrice\n"
    text += "o1,c1,2026-01-01,,3,2.5\no2,c1,2026-01-01,7,3,2.5\no3,c1,2026-01-01,,3,\n"
    done = run("orders/a.csv", text)
    assert done.column("amount") == [7.5, 7.0]
    assert done.rejects == [(3, "amount", "", "is missing")]


def test_price_zero_and_negative_quantities_are_accepted_but_not_negative_prices() -> None:
    text = "orderId,customerId,orderedAt,quantity,unitPrice\n"
    text += "o1,c1,2026-01-01,1,0\no2,c1,2026-01-01,-2,5\no3,c1,2026-01-01,2,-5\n"
    done = run("orders/a.csv", text)
    assert done.column("amount") == [0.0, -10.0]
    assert done.rejects == [(3, "unitPrice", "-5", "is a negative price")]


def test_lines_of_one_customer_and_instant_can_be_one_order() -> None:
    text = "customer,date,total\nc1,2026-01-01,1\nc1,2026-01-01,2\nc1,2026-01-02,3\nc2,2026-01-01,4\n"
    done = run("orders/a.csv", text, {"orderIdFrom": ["customerId", "orderedAt"]})
    identifiers = done.column("orderId")
    assert identifiers[0] == identifiers[1]
    assert len(set(identifiers)) == 3


def test_ids_with_any_visible_character_are_kept() -> None:
    ids = ["a#b", "a/b", "😀", "with blanks", "100%", "'quoted'", "ünïcödé", "=1+1"]
    done = run("customers/a.csv", "customerId\n" + "\n".join(ids) + "\n")
    assert done.column("customerId") == ids


def test_ids_are_trimmed_and_composed() -> None:
    done = run("customers/a.csv", "customerId,x\n  c1  ,1\nCafe\u0301,2\n")
    assert done.column("customerId") == ["c1", "Caf\u00e9"]


def test_a_file_is_cut_into_chunks_at_record_ends_and_row_numbers_go_on() -> None:
    lines = [f'c{number},"line\n{number}"' for number in range(200)]
    lines[120] = "bad," + "x," * 3
    text = "customerId,note\n" + "\n".join(lines)
    done = run("customers/a.csv", text, chunk_bytes=500)
    assert len(done.plan.chunks) > 3
    assert [chunk.start for chunk in done.plan.chunks[1:]] == [chunk.end for chunk in done.plan.chunks[:-1]]
    assert done.column("row") == [number + 1 for number in range(200) if number != 120]
    assert done.column("customerId") == [f"c{number}" for number in range(200) if number != 120]
    assert done.rejects == [(121, "", "bad,x,x,x,", "has 5 fields instead of 2")]


def test_a_gzip_file_is_cut_into_stored_pieces() -> None:
    text = "customerId\n" + "".join(f"c{number}\n" for number in range(300))
    done = run("customers/a.csv.gz", gzip.compress(text.encode()), chunk_bytes=500)
    assert len(done.plan.chunks) > 2
    assert done.column("customerId") == [f"c{number}" for number in range(300)]


def test_columns_without_a_name_are_left_out() -> None:
    done = run("customers/a.csv", ",customerId,age,\n0,c1,30,\n1,c2,31,\n")
    assert done.rows == [{"customerId": "c1", "a:age": 30.0, "row": 1}, {"customerId": "c2", "a:age": 31.0, "row": 2}]


def test_a_file_without_a_header_takes_its_names_from_the_mapping() -> None:
    done = run("customers/a.csv", "c1,7\nc2,8\n", {"header": False, "names": ["customerId", "age"]})
    assert [(row["customerId"], row["a:age"], row["row"]) for row in done.rows] == [("c1", 7.0, 1), ("c2", 8.0, 2)]


def test_kinds_of_unknown_columns_are_inferred_and_those_of_the_catalogue_win() -> None:
    text = (
        "customerId,age,zip,phone,vip,joined,empty,mixed,card,code\n"
        "c1,30,01234,+4930123,true,2020-01-02,,1,4111111111111111,7\n"
        "c2,-1.5e2,10115,+4930124,False,2021-02-03T04:05:06Z,,x,4111111111111112,8\n"
    )
    done = run("customers/a.csv", text, known={"code": Kind.STRING})
    kinds = {column.name: column.kind for column in done.plan.columns}
    assert kinds == {
        "customerId": Kind.STRING,
        "age": Kind.NUMBER,
        "zip": Kind.STRING,
        "phone": Kind.STRING,
        "vip": Kind.BOOLEAN,
        "joined": Kind.DATE,
        "empty": Kind.STRING,
        "mixed": Kind.STRING,
        "card": Kind.STRING,
        "code": Kind.STRING,
    }
    assert "code" not in done.plan.newAttributes
    assert done.plan.newAttributes["vip"] is Kind.BOOLEAN
    assert done.column("a:code") == ["7", "8"]


def test_declared_types_lists_and_places_are_read() -> None:
    text = 'customerId,zip,tags,home\nc1,1234,a|b| |c,"52.5,13.4"\nc2,1235,,\n'
    done = run("customers/a.csv", text, {"types": {"zip": "string", "tags": "list", "home": "geo"}})
    assert done.column("a:zip") == ["1234", "1235"]
    assert done.column("a:tags") == [["a", "b", "c"], None]
    assert done.column("a:home") == [{"lat": 52.5, "lon": 13.4}, None]


def test_constants_stand_for_columns_that_the_file_does_not_have() -> None:
    done = run(
        "events/views.csv",
        "customerId,ts,page\nc1,2026-01-01T00:00:00Z,/a\n",
        {"constants": {"event": "page_view"}},
    )
    assert done.rows[0]["event"] == "page_view"
    assert done.rows[0]["p:page"] == "/a"
    assert done.results[0].events == ("page_view",)


def test_members_know_only_their_columns() -> None:
    done = run("members/a.csv", "segment,customer,legal_entity,note\nvip,c1,DE,x\nbad id!,c2,,y\n")
    assert done.rows == [{"customerId": "c1", "legalEntityId": "DE", "segmentId": "vip", "row": 1}]
    assert done.plan.ignoredColumns == ("note",)
    assert done.rejects[0][:3] == (2, "segment", "bad id!")


def test_a_mapping_for_all_files_of_a_dataset_is_used_where_a_file_has_none() -> None:

    files = MemoryFiles()
    files.objects["mappings/customers.json"] = b'{"columns": {"customerId": "Nr"}}'
    files.objects["imports/customers/a.csv"] = b"Nr,age\nc1,3\n"
    assert run_files(files, "imports/customers/a.csv").column("customerId") == ["c1"]
