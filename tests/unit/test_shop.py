"""The generated shop: the same bytes every time, clean and dirty where it should be, and segments to find."""

import csv
import json
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from dev import shop

END = date(2025, 3, 1)
Row = dict[str, str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.generate(folder, customers=1_500, end=END)
    return folder


def rows(folder: Path, dataset: str) -> list[Row]:
    with (folder / f"{dataset}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def clean(folder: Path, dataset: str) -> list[Row]:
    return [row for row in rows(folder, dataset) if row["customerId"].startswith("C") and not row_is_dirty(row)]


def row_is_dirty(row: Row) -> bool:
    return row.get("orderId", row.get("eventId", row["customerId"])).startswith("X")


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    shop.generate(tmp_path, customers=1_500, end=END)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_counts_that_are_returned_are_those_of_the_files(tmp_path: Path) -> None:
    made = shop.generate(tmp_path, customers=300, end=END)
    assert made.rows == {name: len(rows(tmp_path, name)) for name in ("customers", "orders", "events")}
    placed = {row["orderId"] for row in clean(tmp_path, "orders") if row["orderId"].startswith("O")}
    assert made.orders == len(placed)
    dirty = [row for row in rows(tmp_path, "orders") if row_is_dirty(row)]
    assert made.dirty["orders"] == len(dirty)


def test_everything_happened_before_the_end(folder: Path) -> None:
    midnight = datetime.combine(END, datetime.min.time())
    for dataset, field in (("orders", "orderedAt"), ("events", "occurredAt"), ("customers", "signedUpAt")):
        latest = max(datetime.fromisoformat(row[field]) for row in clean(folder, dataset))
        assert midnight - timedelta(days=10) < latest < midnight, dataset


def test_nobody_orders_before_signing_up(folder: Path) -> None:
    signed_up = {row["customerId"]: row["signedUpAt"] for row in clean(folder, "customers")}
    early = [row for row in clean(folder, "orders") if row["orderedAt"] < signed_up[row["customerId"]]]
    assert early == []


def test_order_and_event_ids_are_unique_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "BLOCK", 100)
    made = shop.generate(tmp_path, customers=250, end=END)
    customers = [row["customerId"] for row in clean(tmp_path, "customers")]
    assert customers == [f"C{number:07d}" for number in range(1, 251)]
    events = [row["eventId"] for row in rows(tmp_path, "events")]
    assert len(set(events)) == len(events) == made.rows["events"]
    owners = defaultdict(set)
    for row in rows(tmp_path, "orders"):
        owners[row["orderId"]].add((row["customerId"], row["orderedAt"]))
    assert all(len(places) == 1 for places in owners.values())


def test_notes_have_quoted_newlines(folder: Path) -> None:
    notes = {row["deliveryNote"] for row in rows(folder, "customers")}
    assert any("\n" in note for note in notes) and any('"' in note for note in notes)


def test_about_one_row_in_a_thousand_is_dirty(folder: Path) -> None:
    lines = rows(folder, "orders")
    dirty = [row for row in lines if row_is_dirty(row)]
    assert len(lines) / 1_200 < len(dirty) < len(lines) / 800
    assert {row["orderedAt"] for row in dirty} >= {"yesterday", "2999-01-01"}
    assert any(row["customerId"] == "" for row in dirty) and any(float(row["unitPrice"]) < 0 for row in dirty)


def test_a_mapping_lies_beside_every_file_and_names_its_columns(folder: Path) -> None:
    for dataset in ("customers", "orders", "events"):
        mapping = json.loads((folder / f"{dataset}.csv.mapping.json").read_text())
        assert set(mapping.get("types", {})) <= set(rows(folder, dataset)[0])


def test_returns_are_negative_lines_of_something_that_was_bought(folder: Path) -> None:
    lines = clean(folder, "orders")
    bought = {(row["customerId"], row["sku"], row["unitPrice"]) for row in lines if int(row["quantity"]) > 0}
    returned = [row for row in lines if int(row["quantity"]) < 0]
    assert len(returned) > len(lines) / 100
    assert {(row["customerId"], row["sku"], row["unitPrice"]) for row in returned} <= bought


def test_a_few_champions_carry_far_more_revenue_than_their_share(folder: Path) -> None:
    spent: dict[str, float] = defaultdict(float)
    for row in clean(folder, "orders"):
        spent[row["customerId"]] += max(0.0, int(row["quantity"]) * float(row["unitPrice"]))
    best = sorted(spent.values(), reverse=True)
    assert sum(best[: len(best) // 5]) > 0.45 * sum(best)


def test_some_customers_look_often_and_never_buy(folder: Path) -> None:
    buyers = {row["customerId"] for row in clean(folder, "orders")}
    views: dict[str, int] = defaultdict(int)
    for row in clean(folder, "events"):
        views[row["customerId"]] += row["event"] == "page_view"
    lookers = [customer for customer, count in views.items() if count >= 8 and customer not in buyers]
    assert len(lookers) > 75


def test_gift_buyers_make_the_last_weeks_of_the_year_the_busiest(folder: Path) -> None:
    gifts = [row for row in clean(folder, "orders") if row["category"] == "gifts"]
    season = [row for row in gifts if row["orderedAt"][5:7] in ("11", "12")]
    assert len(season) > len(gifts) / 3


def test_a_shop_without_customers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.main([str(tmp_path), "--customers", "0"]) == 1
    assert "at least 1 customer, not 0" in capsys.readouterr().err
