"""What partitions bring to a fit comes together as it was, whatever one of them lacks."""

from fractions import Fraction

import numpy as np
import pytest

from segmentation.engine.catalogue import Kind
from segmentation.engine.document import to_document
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
from segmentation.engine.modelling import rfm
from segmentation.engine.modelling.absent import absent_column
from segmentation.engine.modelling.pooled import Described, Pooled
from segmentation.engine.rfm.scoring import Quantiles
from segmentation.engine.sketches.histogram import VALUES, Bounds, of_values
from segmentation.engine.sketches.histories import of_customers
from segmentation.engine.sketches.sample import Drawn, draw, reserve
from segmentation.recipes import RFM_ATTRIBUTES
from segmentation.store import measures
from segmentation.store.measures import Brought
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


Part = tuple[dict[str, Column], int, Purchases | None]


def bring(*parts: Part, most: int = 1_000) -> Brought:
    """What comes together of parts, whose customers have ascending hashes in the order of their parts."""
    files, first = MemoryFiles(), 0
    for number, (columns, size, purchases) in enumerate(parts):
        hashes = np.arange(first, first + size, dtype=np.uint64)
        measures.put(files, f"part{number}", Drawn(hashes, True), size, columns, purchases)
        first += size
    return measures.get(files, [f"part{number}" for number in range(len(parts))], most)


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
    found = bring(*(parts[::-1] if swapped else parts))
    order = [0, 1, 2, 3, 4] if not swapped else [3, 4, 1, 2, 0]
    assert found.purchases is None
    assert found.customers == found.frame.size == 5
    frame = found.frame.take(np.array(order))
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
    found = bring((NOBODY, 0, None), (NOBODY, 0, None))
    assert (found.customers, found.frame.size, found.frame.columns.keys()) == (0, 0, KINDS.keys())
    assert found.is_everybody
    assert measures.get(MemoryFiles(), [], 10).frame.size == 0


def test_a_column_that_one_partition_left_out_is_left_out_for_all() -> None:
    frame = bring(
        ({"age": FIRST["age"], "country": FIRST["country"]}, 2, None), ({"age": SECOND["age"]}, 1, None)
    ).frame
    assert (frame.size, list(frame.columns)) == (3, ["age"])


def test_customers_count_although_no_column_is_brought() -> None:
    frame = bring(({}, 2, None), ({}, 1, None)).frame
    assert (frame.size, frame.columns) == (3, {})


def test_purchases_of_all_partitions_follow_each_other() -> None:
    def purchases(*days: list[int]) -> Purchases:
        offsets = np.cumsum([0, *map(len, days)])
        flat = np.array([day for of_one in days for day in of_one], dtype=np.int32)
        return Purchases(offsets, flat, flat + 0.25)

    first, second, nobody = purchases([10, 20], []), purchases([], [5], [6, 7, 8]), purchases()
    brought = bring(({}, 2, first), ({}, 0, nobody), ({}, 3, second))
    found = brought.purchases
    assert found is not None
    assert brought.frame.size == 5
    assert found.offsets.tolist() == [0, 2, 2, 2, 3, 6]
    assert found.day.tolist() == [10, 20, 5, 6, 7, 8]
    assert found.amount.tolist() == [10.25, 20.25, 5.25, 6.25, 7.25, 8.25]
    assert (found.day.dtype, found.amount.dtype, found.offsets.dtype) == (np.int32, np.float64, np.int64)


def test_rows_come_in_order_of_hashes_whichever_part_brought_them() -> None:
    files = MemoryFiles()
    liked = ListColumn(
        np.array([0, 1, 3]), np.array([1, 1, 0], dtype=np.int32), ("b", "a"), np.zeros(2, dtype=np.bool_)
    )
    bought = Purchases(np.array([0, 2, 3]), np.array([1, 2, 3], dtype=np.int32), np.array([1.0, 2.0, 3.0]))
    none = Purchases(np.array([0, 0]), np.empty(0, dtype=np.int32), np.empty(0))
    first: dict[str, Column] = {"name": texts("z", "b"), "likes": liked}
    second: dict[str, Column] = {"name": texts("a"), "likes": liked.take(np.array([1]))}
    measures.put(files, "one", Drawn(np.array([5, 9], dtype=np.uint64), True), 2, first, bought)
    measures.put(files, "two", Drawn(np.array([7], dtype=np.uint64), True), 1, second, none)
    for keys in (["one", "two"], ["two", "one"]):
        found = measures.get(files, keys, 10)
        name = found.frame.columns["name"]
        assert words(name) == ["z", "a", "b"]
        assert isinstance(name, StringColumn)
        assert name.values == ("a", "b", "z")
        assert lists(found.frame.columns["likes"]) == [["a"], ["a", "b"], ["a", "b"]]
        assert found.purchases is not None
        assert found.purchases.offsets.tolist() == [0, 2, 2, 3]
        assert found.purchases.amount.tolist() == [1.0, 2.0, 3.0]


def test_of_more_customers_than_wanted_those_with_the_smallest_hashes_are_the_sample() -> None:
    found = bring((FIRST, 2, None), (SECOND, 1, None), (NOTHING, 2, None), most=3)
    assert (found.customers, found.frame.size, found.is_everybody) == (5, 3, False)
    assert words(found.frame.columns["country"]) == ["DE", None, "FR"]


def test_a_part_that_brought_some_of_its_customers_says_how_many_it_has() -> None:
    files = MemoryFiles()
    measures.put(files, "one", Drawn(np.array([4, 6], dtype=np.uint64), False), 50, {"age": FIRST["age"]}, None)
    measures.put(files, "two", Drawn(np.array([5, 8], dtype=np.uint64), True), 2, {"age": FIRST["age"]}, None)
    found = measures.get(files, ["one", "two"], 100)
    # What the first has beyond 6 is not known.
    assert (found.customers, found.frame.size) == (52, 2)


def test_statistics_come_back_as_they_were() -> None:
    amounts = np.array([1.5, 1.5, -3.0, np.nan])
    values = {"a/b ☃": of_values(amounts, VALUES), "": of_values(amounts, Bounds(0, 10))}
    put = Pooled(4, 3, values, of_customers(np.array([0, 2]), np.array([0, 9]), np.array([7, 9])))
    files = MemoryFiles()
    measures.put_pooled(files, "key", put)
    got = measures.get_pooled(files, "key")
    assert (got.customers, got.known, list(got.values)) == (4, 3, list(values))
    for name, histogram in values.items():
        assert got.values[name].level == histogram.level
        for part in ("group", "low", "high", "count"):
            np.testing.assert_array_equal(getattr(got.values[name], part), getattr(histogram, part))
    assert got.histories.age.tolist() == [7, 9]
    assert got.histories.count.dtype == np.int64


def test_descriptions_come_back_to_the_last_bit() -> None:
    sums = {"squares": (Fraction(1, 3), Fraction(-(10**40), 1 << 80))}
    files = MemoryFiles()
    measures.put_described(files, "key", Described({"groups": np.array([1, 1 << 40])}, sums, {}))
    got = measures.get_described(files, "key")
    assert got.sums == sums
    assert got.counts["groups"].tolist() == [1, 1 << 40]


def test_a_model_is_kept_between_the_rounds_and_none_is_none() -> None:
    files = MemoryFiles()
    assert measures.get_fitted(files, "key", "rfm") is None
    frame = Frame(9, {name: NumberColumn(np.arange(9) / 7) for name in RFM_ATTRIBUTES})
    model, report, _ = rfm.fit(frame, RFM_ATTRIBUTES, Quantiles(3), None)
    for kept in (report, None):
        measures.put_fitted(files, "key", model, kept)
        found = measures.get_fitted(files, "key", "rfm")
        assert found is not None
        assert to_document(found[0]) == to_document(model)
        assert to_document(found[1]) == to_document(kept)


def test_what_a_partition_brings_is_bounded_whatever_it_holds() -> None:
    sizes = {}
    for customers in (20_000, 200_000):
        random = np.random.default_rng(0)
        values = {"spent": of_values(random.gamma(2, 50, customers), Bounds(1 << 12, 1 << 12))}
        own = random.integers(0, 1 << 63, customers).astype(np.uint64)
        rows, drawn = draw(own, reserve(10_000, 16))
        files = MemoryFiles()
        measures.put_pooled(files, "statistics", Pooled(customers, customers, values))
        columns: dict[str, Column] = {"age": NumberColumn(random.random(len(rows)))}
        measures.put(files, "rows", drawn, customers, columns, None)
        sizes[customers] = sum(map(len, files.objects.values()))
    assert sizes[200_000] < 1.5 * sizes[20_000]
