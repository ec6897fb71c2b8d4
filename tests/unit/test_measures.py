"""What partitions bring to a fit comes together as it was, whatever one of them lacks."""

import numpy as np
import pytest

from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    DateColumn,
    Frame,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.lifetime.purchases import Purchases
from segmentation.engine.modelling.absent import absent_column
from segmentation.store import measures
from support.files import MemoryFiles

KINDS = {
    "age": Kind.NUMBER,
    "country": Kind.STRING,
    "closed": Kind.BOOLEAN,
    "born": Kind.DATE,
    "likes": Kind.LIST,
}


def texts(*values: str | None) -> StringColumn:
    known = sorted({value for value in values if value is not None})
    codes = [known.index(value) if value is not None else -1 for value in values]
    return StringColumn(np.array(codes, dtype=np.int32), tuple(known))


def words(column: Column) -> list[str | None]:
    assert isinstance(column, StringColumn)
    return [column.values[code] if code >= 0 else None for code in column.codes]


def lists(column: Column) -> list[list[str] | None]:
    assert isinstance(column, ListColumn)
    bounds = list(zip(column.offsets[:-1], column.offsets[1:], strict=True))
    return [
        None if absent else [column.values[code] for code in column.codes[begin:end]]
        for (begin, end), absent in zip(bounds, column.absent, strict=True)
    ]


def bring(*parts: tuple[dict[str, Column], int, Purchases | None]) -> tuple[Frame, Purchases | None]:
    files = MemoryFiles()
    for number, (columns, size, purchases) in enumerate(parts):
        measures.put(files, f"part{number}", Frame(size), columns, purchases)
    return measures.get(files, [f"part{number}" for number in range(len(parts))])


FIRST: dict[str, Column] = {
    "age": NumberColumn(np.array([20.5, np.nan])),
    "country": texts("DE", None),
    "closed": BooleanColumn(np.array([1, -1], dtype=np.int8)),
    "born": DateColumn(np.array(["2000-01-01T00:00:00.000001", "NaT"], dtype="datetime64[us]")),
    "likes": ListColumn(
        np.array([0, 2, 2]), np.array([1, 0], dtype=np.int32), ("hats", "shoes"), np.array([False, False])
    ),
}
SECOND: dict[str, Column] = {
    "age": NumberColumn(np.array([1e-300])),
    "country": texts("FR"),
    "closed": BooleanColumn(np.array([0], dtype=np.int8)),
    "born": DateColumn(np.array(["1950-06-01"], dtype="datetime64[us]")),
    "likes": ListColumn(np.array([0, 0]), np.array([], dtype=np.int32), (), np.array([True])),
}
NOTHING: dict[str, Column] = {name: absent_column(kind, 2) for name, kind in KINDS.items()}
NOBODY: dict[str, Column] = {name: absent_column(kind, 0) for name, kind in KINDS.items()}


@pytest.mark.parametrize("swapped", [False, True])
def test_columns_of_all_kinds_come_together_with_what_is_missing_in_them(swapped: bool) -> None:
    parts = [(NOTHING, 2, None), (FIRST, 2, None), (NOBODY, 0, None), (SECOND, 1, None)]
    found, purchases = bring(*(parts[::-1] if swapped else parts))
    order = [0, 1, 2, 3, 4] if not swapped else [3, 4, 1, 2, 0]
    assert purchases is None
    assert found.size == 5
    frame = found.take(np.array(order))
    age, born, closed = (frame.columns[name] for name in ("age", "born", "closed"))
    assert isinstance(age, NumberColumn)
    assert isinstance(born, DateColumn)
    assert isinstance(closed, BooleanColumn)
    np.testing.assert_array_equal(age.values, [np.nan, np.nan, 20.5, np.nan, 1e-300])
    np.testing.assert_array_equal(closed.values, [-1, -1, 1, -1, 0])
    assert [str(value) for value in born.values[2:]] == [
        "2000-01-01T00:00:00.000001",
        "NaT",
        "1950-06-01T00:00:00.000000",
    ]
    assert np.isnat(born.values[:2]).all()
    assert words(frame.columns["country"]) == [None, None, "DE", None, "FR"]
    assert lists(frame.columns["likes"]) == [None, None, ["shoes", "hats"], [], None]


def test_partitions_without_anybody_make_a_frame_without_anybody() -> None:
    frame, _ = bring((NOBODY, 0, None), (NOBODY, 0, None))
    assert (frame.size, frame.columns.keys()) == (0, KINDS.keys())
    assert measures.get(MemoryFiles(), [])[0].size == 0


def test_a_column_that_one_partition_left_out_is_left_out_for_all() -> None:
    frame, _ = bring(({"age": FIRST["age"], "country": FIRST["country"]}, 2, None), ({"age": SECOND["age"]}, 1, None))
    assert (frame.size, list(frame.columns)) == (3, ["age"])


def test_customers_count_although_no_column_is_brought() -> None:
    frame, _ = bring(({}, 2, None), ({}, 1, None))
    assert (frame.size, frame.columns) == (3, {})


def test_purchases_of_all_partitions_follow_each_other() -> None:
    def purchases(*days: list[int]) -> Purchases:
        offsets = np.cumsum([0, *map(len, days)])
        flat = np.array([day for of_one in days for day in of_one], dtype=np.int32)
        return Purchases(offsets, flat, flat + 0.25)

    first, second, nobody = purchases([10, 20], []), purchases([], [5], [6, 7, 8]), purchases()
    frame, found = bring(({}, 2, first), ({}, 0, nobody), ({}, 3, second))
    assert found is not None
    assert frame.size == 5
    assert found.offsets.tolist() == [0, 2, 2, 2, 3, 6]
    assert found.day.tolist() == [10, 20, 5, 6, 7, 8]
    assert found.amount.tolist() == [10.25, 20.25, 5.25, 6.25, 7.25, 8.25]
    assert (found.day.dtype, found.amount.dtype, found.offsets.dtype) == (np.int32, np.float64, np.int64)
