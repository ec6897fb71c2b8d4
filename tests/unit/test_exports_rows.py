"""Rows of an export: memberships joined with the snapshot, in bounded pieces."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from segmentation import export_rows
from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import (
    BooleanColumn,
    DateColumn,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.store.memberships import Membership

SINCE = "2026-01-31T08:00:00.000000Z"
FRAME = Frame(
    size=3,
    ids=("ann", "bob", "cy"),
    columns={
        "country": StringColumn(np.array([1, -1, 0], np.int32), ("AT", "DE")),
        "orderCount": NumberColumn(np.array([2.0, np.nan, 0.0])),
        "born": DateColumn(np.array(["2000-02-29", "NaT", "1990-01-01"], "M8[us]")),
        "consent": BooleanColumn(np.array([1, 0, -1], np.int8)),
        "tags": ListColumn(
            np.array([0, 2, 2, 2]), np.array([1, 0], np.int32), ("x", "y"), np.array([False, False, True])
        ),
        "home": GeoColumn(np.array([52.5, np.nan, 1.0]), np.array([13.4, np.nan, 2.0])),
    },
)
KINDS = {
    "customerId": Kind.STRING,
    "country": Kind.STRING,
    "orderCount": Kind.NUMBER,
    "born": Kind.DATE,
    "consent": Kind.BOOLEAN,
    "tags": Kind.LIST,
    "home": Kind.GEO,
}


def member(customer_id: str, legal_entity_id: str = "") -> Membership:
    return Membership("vip", customer_id, legal_entity_id, SINCE, "rule")


def rows(members: dict[int, list[Membership]], kinds: dict[str, Kind], frame: Frame = FRAME) -> list[dict[str, object]]:
    tables = export_rows.batches(
        members, kinds, members.__getitem__, lambda _, __: frame, lambda partition, count: None
    )
    return [row for table in tables for row in table.to_pylist()]


def refuse(partition: int, names: Sequence[str]) -> Frame:
    raise AssertionError(f"partition {partition} was loaded for {names}")


def test_every_kind_of_column_is_joined_by_customer_in_the_order_of_the_members() -> None:
    by_id = {row["customerId"]: row for row in rows({0: [member("cy"), member("ann"), member("bob")]}, KINDS)}
    assert list(by_id) == ["cy", "ann", "bob"]
    assert {name: value for name, value in by_id["ann"].items() if name != "born"} == {
        "customerId": "ann",
        "country": "DE",
        "orderCount": 2.0,
        "consent": True,
        "tags": ["y", "x"],
        "home": {"latitude": 52.5, "longitude": 13.4},
    }
    assert by_id["ann"]["born"].isoformat() == "2000-02-29T00:00:00+00:00"  # type: ignore[attr-defined]


def test_missing_values_are_null_and_not_the_values_beneath_them() -> None:
    (bob, cy) = rows({0: [member("bob"), member("cy")]}, KINDS)
    assert bob == {
        "customerId": "bob",
        "country": None,
        "orderCount": None,
        "born": None,
        "consent": False,
        "tags": [],
        "home": None,
    }
    assert (cy["consent"], cy["tags"], cy["orderCount"]) == (None, None, 0.0)


def test_a_member_whom_the_snapshot_does_not_know_keeps_the_row_with_nulls() -> None:
    (dan,) = rows({0: [member("dan")]}, KINDS)
    assert dan == dict.fromkeys(KINDS) | {"customerId": "dan"}
    (mixed, _) = rows({0: [member("dan"), member("ann")]}, KINDS)
    assert mixed == dan


def test_an_empty_snapshot_and_an_unknown_column_give_nulls() -> None:
    kinds = {"customerId": Kind.STRING, "shoeSize": Kind.NUMBER}
    assert rows({0: [member("ann")]}, kinds, Frame(size=0)) == [{"customerId": "ann", "shoeSize": None}]
    assert rows({0: [member("ann")]}, kinds) == [{"customerId": "ann", "shoeSize": None}]


def test_columns_of_the_membership_alone_never_load_a_snapshot() -> None:
    kinds = dict.fromkeys(("customerId", "source", "legalEntityId", "segmentId"), Kind.STRING)
    members = {0: [member("ann", "acme"), member("ann")]}
    tables = export_rows.batches(members, kinds, members.__getitem__, refuse, lambda _, __: None)
    assert [list(row.values()) for table in tables for row in table.to_pylist()] == [
        ["ann", "rule", "acme", "vip"],
        ["ann", "rule", None, "vip"],
    ]


def test_a_partition_without_members_never_loads_its_snapshot() -> None:
    assert list(export_rows.batches([0], KINDS, lambda _: [], refuse, lambda _, __: None)) == []


def test_an_attribute_that_is_named_like_a_column_of_the_membership_is_reached_by_its_prefix() -> None:
    frame = Frame(size=1, ids=("ann",), columns={"source": StringColumn(np.array([0], np.int32), ("advert",))})
    kinds = {"source": Kind.STRING, "attribute:source": Kind.STRING}
    assert rows({0: [member("ann")]}, kinds, frame) == [{"source": "rule", "attribute:source": "advert"}]


def test_members_are_held_in_batches_and_the_snapshot_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_rows, "BATCH", 2)
    loads: list[tuple[int, tuple[str, ...]]] = []
    ended: list[tuple[int, int]] = []

    def load(partition: int, names: Sequence[str]) -> Frame:
        loads.append((partition, tuple(names)))
        return FRAME

    members = {0: [member(name) for name in ("ann", "bob", "cy")], 1: [member("ann")]}
    kinds = {"customerId": Kind.STRING, "country": Kind.STRING}
    tables = list(export_rows.batches(members, kinds, members.__getitem__, load, lambda *counts: ended.append(counts)))
    assert [table.num_rows for table in tables] == [2, 1, 1]
    assert loads == [(0, ("country",)), (1, ("country",))]
    assert ended == [(0, 3), (1, 1)]
    assert pa.concat_tables(tables)["country"].to_pylist() == ["DE", None, "AT", "DE"]


def test_since_is_an_instant() -> None:
    (row,) = rows({0: [member("ann")]}, {"since": Kind.DATE})
    assert row["since"].isoformat() == "2026-01-31T08:00:00+00:00"  # type: ignore[attr-defined]
