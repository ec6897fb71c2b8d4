"""Mapping files: what is accepted, and which column becomes what."""

import json
from typing import Any

import pytest

from segmentation.errors import InvalidFile
from segmentation.models.imports import MAX_MAPPING_BYTES, Dataset, ImportMapping, parse_mapping
from segmentation.store.reading.datasets import KNOWN, FileColumn, attribute_name, match


def parse(document: Any) -> ImportMapping:
    return parse_mapping(json.dumps(document).encode(), "orders.mapping.json")


def matched(dataset: Dataset, names: list[str], **mapping: Any) -> dict[str, str]:
    columns = [FileColumn(name, position) for position, name in enumerate(names)]
    return {column.target: column.source for column in match(dataset, columns, ImportMapping(**mapping))[0]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"colums": {}}, ["colums", "Extra inputs"]),
        ({"decimal": ";"}, ["decimal"]),
        ({"delimiter": "ab"}, ["'ab' is no delimiter"]),
        ({"delimiter": '"'}, ["is no delimiter"]),
        ({"encoding": "klingon"}, ["'klingon' is no known encoding"]),
        ({"encoding": "base64"}, ["not a supported encoding"]),
        ({"timeZone": "Mars/Olympus"}, ["'Mars/Olympus' is no IANA time zone"]),
        ({"timeZone": "../../etc/passwd"}, ["is no IANA time zone"]),
        ({"dateFormat": "%d.%m.%Q"}, ["unknown directive %Q"]),
        ({"dateFormat": "%d.%m."}, ["must name the year exactly once"]),
        ({"dateFormat": "%d.%m.%Y %H %H"}, ["%H more than once"]),
        ({"dateFormat": "%d.%m.%Y %I"}, ["%I together with %p"]),
        ({"types": {"zip": "text"}}, ["types.zip"]),
        ({"header": False}, ["needs names"]),
        ({"header": True, "names": ["a"]}, ["names are for files without a header"]),
        ({"columns": {"event": "x"}, "constants": {"event": "y"}}, ["both in columns and in constants"]),
        ({"columns": {"sku": "x"}, "ignore": ["x"]}, ["both used and ignored"]),
        ({"orderIdFrom": "row", "columns": {"orderId": "x"}}, ["keep one of them"]),
        ({"orderIdFrom": ["nothing"]}, ["orderIdFrom"]),
        ([1], ["mapping"]),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_field_and_the_value(document: Any, words: list[str]) -> None:
    with pytest.raises(InvalidFile) as caught:
        parse(document)
    for word in ["orders.mapping.json", *words]:
        assert word in caught.value.message
    assert caught.value.errors


def test_a_mapping_over_the_limit_is_refused() -> None:
    with pytest.raises(InvalidFile, match=str(MAX_MAPPING_BYTES)):
        parse_mapping(b" " * (MAX_MAPPING_BYTES + 1), "x")


@pytest.mark.parametrize(
    "names", [["customer_id", "Order ID", "order-date", "AMOUNT"], ["Customer", "Invoice No", "Date", "Revenue"]]
)
def test_usual_names_are_recognised_whatever_their_case_and_separators(names: list[str]) -> None:
    assert matched("orders", names) == dict(zip(["customerId", "orderId", "orderedAt", "amount"], names, strict=True))


def test_the_best_of_several_names_wins_and_the_others_are_kept() -> None:
    found = matched("orders", ["customer", "customer_id", "order_id", "date", "order_date", "total", "amount"])
    assert found == {
        "customerId": "customer_id",
        "orderId": "order_id",
        "orderedAt": "order_date",
        "amount": "amount",
        "x:customer": "customer",
        "x:date": "date",
        "x:total": "total",
    }


def test_what_the_mapping_says_comes_before_usual_names() -> None:
    names = ["customer_id", "order_id", "order_date", "total", "net"]
    assert matched("orders", names, columns={"amount": "net"})["amount"] == "net"
    assert matched("orders", names, columns={"amount": "net"})["x:total"] == "total"


def test_one_column_may_serve_two_purposes() -> None:
    found = matched("events", ["user", "ts"], columns={"event": "ts", "occurredAt": "ts"})
    assert (found["event"], found["occurredAt"]) == ("ts", "ts")


def test_an_order_id_that_is_made_is_not_taken_from_a_column_that_looks_like_one() -> None:
    found = matched("orders", ["id", "customer", "date", "total"], orderIdFrom="row")
    assert found["x:id"] == "id"
    assert "orderId" not in found


def test_parts_of_a_made_order_id_must_be_there() -> None:
    with pytest.raises(InvalidFile, match="channel"):
        matched("orders", ["customer", "date", "total"], orderIdFrom=["customerId", "channel"])


def test_an_extra_column_with_the_name_of_a_known_one_is_refused() -> None:
    names = ["customer", "order", "date", "Total", "amount"]
    with pytest.raises(InvalidFile, match="'amount' has the name of the known column amount"):
        matched("orders", names, columns={"amount": "Total"})
    assert "x:amount" not in matched("orders", names, columns={"amount": "Total"}, ignore=["amount"])


def test_members_files_have_no_other_columns() -> None:
    with pytest.raises(InvalidFile, match="'note', but members files have only"):
        matched("members", ["segmentId", "customerId", "n"], columns={"note": "n"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Annual Income (k$)", "Annual_Income_k"),
        ("Spending Score (1-100)", "Spending_Score_1-100"),
        ("  größe.cm ", "größe.cm"),
        ("a/b#c", "a_b_c"),
    ],
)
def test_column_names_become_attribute_names(name: str, expected: str) -> None:
    assert attribute_name(name) == expected


def test_no_two_columns_of_a_dataset_share_their_best_name() -> None:
    for dataset, known in KNOWN.items():
        best = [column.synonyms[0] for column in known.values()]
        assert len(set(best)) == len(best), dataset
        for target, column in known.items():
            assert target.lower() == column.synonyms[0]
