"""JSON Lines files from bytes to staged rows."""

import gzip
import json

import pytest

from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidFile
from support.import_files import run

EVENT = {"customerId": "c1", "event": "view", "occurredAt": "2026-01-02T03:04:05Z"}


def lines(*records: object) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def test_kinds_follow_from_json_values() -> None:
    first = {**EVENT, "price": 1.5, "ok": True, "tags": ["a", 1], "at": {"latitude": 1, "longitude": 2}, "zip": "01"}
    done = run("events/a.jsonl", lines({**first, "seen": "2026-01-01", "none": None}, EVENT))
    kinds = {column.name: column.kind for column in done.plan.columns if column.target.startswith("p:")}
    assert kinds == {
        "price": Kind.NUMBER,
        "ok": Kind.BOOLEAN,
        "tags": Kind.LIST,
        "at": Kind.GEO,
        "zip": Kind.STRING,
        "seen": Kind.DATE,
        "none": Kind.STRING,
    }
    row = done.rows[0]
    assert (row["p:price"], row["p:ok"], row["p:tags"], row["p:zip"]) == (1.5, True, ["a", "1"], "01")
    assert row["p:at"] == {"lat": 1.0, "lon": 2.0}
    assert done.rows[1]["p:tags"] is None


def test_numbers_as_ids_are_text_without_a_decimal_point() -> None:
    text = '{"customerId": 17850}\n{"customerId": 17850.0}\n{"customerId": "017850"}\n'
    assert run("customers/a.ndjson", text).column("customerId") == ["17850", "17850", "017850"]


def test_lines_that_are_no_object_are_rejected_and_the_others_go_in() -> None:
    text = (
        lines(EVENT)
        + "\n"
        + "{broken\n"
        + "[1]\n"
        + '{"customerId": "\\ud800"}\n'
        + "[" * 100_000
        + "\n"
        + lines(EVENT)
    )
    done = run("events/a.jsonl", text)
    assert done.column("row") == [1, 6]
    assert [reject[0] for reject in done.rejects] == [2, 3, 4, 5]
    reasons = [reject[3] for reject in done.rejects]
    assert reasons[0].startswith("is no JSON: ")
    assert reasons[1:] == ["is no JSON object", "contains half of a surrogate pair", "is nested too deeply"]


def test_a_line_that_is_no_utf_8_is_rejected() -> None:
    done = run("customers/a.jsonl", b'{"customerId": "a"}\n{"customerId": "\xff"}\n')
    assert [(reject[0], reject[3]) for reject in done.rejects] == [(2, "is not UTF-8 text")]


def test_nan_and_infinity_are_rejected_in_numbers() -> None:
    text = '{"customerId": "a", "x": 1}\n{"customerId": "b", "x": NaN}\n{"customerId": "c", "x": -Infinity}\n'
    done = run("customers/a.jsonl", text)
    assert done.column("customerId") == ["a"]
    assert {reject[3] for reject in done.rejects} == {"is not a finite number"}


def test_a_column_that_appears_after_the_sample_is_rejected_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.file_plan.SAMPLE_RECORDS", 2)
    text = lines(EVENT, EVENT, {**EVENT, "coupon": "X"})
    done = run("events/a.jsonl", text)
    assert done.rejects[0][:3] == (3, "coupon", "X")
    assert '"types"' in done.rejects[0][3]
    assert run("events/a.jsonl", text, {"types": {"coupon": "string"}}).rows[2]["p:coupon"] == "X"


def test_an_attribute_that_the_catalogue_knows_may_appear_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.file_plan.SAMPLE_RECORDS", 1)
    text = lines({"customerId": "a"}, {"customerId": "b", "age": 7})
    assert run("customers/a.jsonl", text, known={"age": Kind.NUMBER}).column("a:age") == [None, 7.0]


def test_nested_objects_are_refused_with_the_way_out() -> None:
    text = lines({"customerId": "a", "address": {"city": "Ulm"}})
    with pytest.raises(InvalidFile, match="'address' holds nested objects"):
        run("customers/a.jsonl", text)
    assert run("customers/a.jsonl", text, {"ignore": ["address"]}).column("customerId") == ["a"]


def test_a_nested_value_after_the_sample_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.file_plan.SAMPLE_RECORDS", 1)
    done = run("customers/a.jsonl", lines({"customerId": "a", "x": 1}, {"customerId": "b", "x": {"y": 1}}))
    assert done.column("customerId") == ["a"]
    assert done.rejects == [(2, "x", '{"y": "1"}', "is an object, but the column is of type number")]


def test_gzip_and_chunks_keep_row_numbers() -> None:
    text = lines(*({"customerId": f"c{number}", "n": number} for number in range(400))).replace("\n", "\n \n", 3)
    for key, data in (("customers/a.jsonl", text.encode()), ("customers/a.jsonl.gz", gzip.compress(text.encode()))):
        done = run(key, data, chunk_bytes=1000)
        assert len(done.plan.chunks) > 5
        assert [(row["row"], row["a:n"]) for row in done.rows] == [(number + 1, float(number)) for number in range(400)]


def test_a_byte_order_mark_before_the_first_line_is_skipped() -> None:
    assert run("customers/a.jsonl", b"\xef\xbb\xbf" + b'{"customerId": "a"}').column("customerId") == ["a"]


def test_json_lines_are_recognised_by_their_first_character() -> None:
    assert run("customers/export.txt", '{"customerId": "a"}\n').plan.format.format == "jsonl"
