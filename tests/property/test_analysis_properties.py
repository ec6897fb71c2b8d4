"""Segment analysis for random shops: partitions merge to the whole, and counts are those of a naive count."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.analysis import measuring, tables
from segmentation.engine.analysis.crowd import crowd_of
from segmentation.engine.analysis.measuring import measure
from segmentation.engine.analysis.partials import Partial, from_json, merge
from segmentation.engine.analysis.reporting import attribute_statistics, report
from segmentation.engine.analysis.tables import Scale, Table, positions_of
from segmentation.engine.frame import (
    BooleanColumn,
    Bools,
    Column,
    DateColumn,
    EventTable,
    Frame,
    ListColumn,
    NumberColumn,
    StringColumn,
)

NOW = np.datetime64("2024-03-01T00:00:00", "us")
WORDS = tuple(f"word {number}" for number in range(12))


@pytest.fixture(autouse=True, scope="module")
def small_limits() -> Any:
    """Exact tables of a few keys, so that a few customers reach the coarse scales."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "LIMIT", {Scale.VALUE: 5, Scale.NUMBER: 6, Scale.DAY: 7})
        patch.setattr(measuring, "LIMIT", tables.LIMIT)
        yield


@st.composite
def shops(draw: st.DrawFn) -> tuple[Frame, dict[str, Bools]]:
    """A frame of up to 40 customers with columns of every kind and orders, and the masks of up to ten segments."""
    size = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    words = draw(st.integers(1, len(WORDS)))
    sparse = draw(st.floats(0, 1))

    def thin(values: Any, missing: Any) -> Any:
        return np.where(rng.random(size) < sparse, missing, values)

    lengths = rng.integers(0, 4, size)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    lists = ListColumn(
        offsets,
        rng.integers(0, words, offsets[-1]).astype(np.int32),
        WORDS,
        (rng.random(size) < sparse) & (lengths == 0),
    )
    amounts = rng.choice([10.0, 25.5, 99.99], offsets[-1]) * rng.integers(1, 4, offsets[-1])
    times = NOW - rng.integers(-3, 900, offsets[-1]).astype("timedelta64[D]")
    owners = np.repeat(np.arange(size), lengths)
    times = times[np.lexsort((times, owners))]
    orders = EventTable(
        offsets,
        times,
        {
            "amount": NumberColumn(amounts),
            "channel": StringColumn(rng.integers(-1, 3, offsets[-1]).astype(np.int32), WORDS),
            "category": StringColumn(rng.integers(0, words, offsets[-1]).astype(np.int32), WORDS),
        },
        np.cumsum(np.concatenate(([0], times[1:] != times[:-1])))[: offsets[-1]].astype(np.int32),
    )
    columns: dict[str, Column] = {
        "city": StringColumn(thin(rng.integers(0, words, size), -1).astype(np.int32), WORDS),
        "member": BooleanColumn(rng.integers(-1, 2, size).astype(np.int8)),
        "tags": lists,
        "age": NumberColumn(thin(rng.integers(18, 18 + 2 * words, size), np.nan).astype(np.float64)),
        "balance": NumberColumn(thin(rng.normal(0, 100, size).round(words % 3), np.nan)),
        "born": DateColumn(
            thin(NOW - rng.integers(0, 3 * words, size).astype("timedelta64[D]"), np.datetime64("NaT", "us"))
        ),
        "orderCount": NumberColumn(lengths.astype(np.float64)),
        "grossSpent": NumberColumn(np.bincount(owners, amounts, size)[:size]),
        "recencyDays": NumberColumn(np.where(lengths > 0, rng.integers(0, 50, size), np.nan)),
    }
    masks = {f"s{number}": rng.random(size) < rng.random() for number in range(draw(st.integers(0, 10)))}
    return Frame(size, columns, {"order": orders}), masks


def parts_of(frame: Frame, masks: Mapping[str, Bools], parts: int) -> list[dict[str, Any]]:
    """One partial per partition, customers dealt out in turn."""
    rows = [np.arange(part, frame.size, parts) for part in range(parts)]
    return [measure(frame.take(own), {name: mask[own] for name, mask in masks.items()}, NOW) for own in rows]


def assert_same(one: Partial, other: Partial) -> None:
    """Equal counts; sums of fractions may differ by their rounding."""
    assert one.segments == other.segments
    assert np.array_equal(one.sizes, other.sizes) and np.array_equal(one.overlap, other.overlap)
    assert one.holders.keys() == other.holders.keys() and one.tables.keys() == other.tables.keys()
    for name, counts in one.holders.items():
        assert np.array_equal(counts, other.holders[name]), name
    for name, table in one.tables.items():
        twin = other.tables[name]
        assert table.scale is twin.scale and np.array_equal(table.keys, twin.keys), name
        assert np.allclose(table.cells, twin.cells, rtol=1e-12, atol=0 if table.cells.dtype == np.int64 else 1e-9), name
    for name, extremes in one.extremes.items():
        for own, its in zip(vars(extremes).values(), vars(other.extremes[name]).values(), strict=True):
            assert np.array_equal(own, its, equal_nan=True), name
    for name, moments in one.moments.items():
        assert np.allclose(moments.sums, other.moments[name].sums, atol=1e-8), name
        assert np.allclose(moments.squares, other.moments[name].squares, atol=1e-6), name


@settings(deadline=None, max_examples=60)
@given(shops(), st.integers(1, 5))
def test_merged_partitions_are_the_whole(shop: tuple[Frame, dict[str, Bools]], parts: int) -> None:
    frame, masks = shop
    assert_same(from_json(merge(parts_of(frame, masks, parts))), from_json(measure(frame, masks, NOW)))


@settings(deadline=None, max_examples=40)
@given(shops(), st.permutations(range(4)), st.integers(1, 3))
def test_partials_merge_in_any_order_and_grouping(
    shop: tuple[Frame, dict[str, Bools]], order: list[int], cut: int
) -> None:
    partials = parts_of(*shop, 4)
    mixed = [partials[place] for place in order]
    grouped = merge([merge(mixed[:cut]), merge(mixed[cut:])])
    assert_same(from_json(grouped), from_json(merge(partials)))


@settings(deadline=None, max_examples=30)
@given(shops(), shops())
def test_partitions_with_different_segments_keep_each_others_counts(
    one: tuple[Frame, dict[str, Bools]], other: tuple[Frame, dict[str, Bools]]
) -> None:
    first, second = (from_json(measure(frame, masks, NOW)) for frame, masks in (one, other))
    both = from_json(merge([measure(*one, NOW), measure(*other, NOW)]))
    assert set(both.segments) == {*first.segments, *second.segments}
    for segment in both.segments:
        sizes = [int(part.sizes[part.row(segment)]) for part in (first, second) if segment in part.segments]
        assert both.sizes[both.row(segment)] == sum(sizes)


@settings(deadline=None, max_examples=60)
@given(shops())
def test_a_report_counts_everybody_once_in_every_distribution(shop: tuple[Frame, dict[str, Bools]]) -> None:
    frame, masks = shop
    measured = measure(frame, masks, NOW)
    json.dumps(measured, allow_nan=False)
    for segment, mask in masks.items():
        found = report(measured, segment, {})
        json.dumps(found, allow_nan=False)
        assert found["segmentSize"] == found["metrics"]["size"] == int(mask.sum())
        for name, column in frame.columns.items():
            described = found["demographics"].get(name)
            if described is None:
                continue
            assert described["missing"] == int((column.missing() & mask).sum())
            assert described["customers"] + described["missing"] == int(mask.sum())
            if "histogram" in described:
                assert sum(item["count"] for item in described["histogram"]) == described["customers"]
            elif described["kind"] in ("string", "boolean") and "hidden" not in described:
                assert sum(item["count"] for item in described["values"]) == described["customers"]
        homogeneity = found["metrics"]["homogeneity"]
        assert homogeneity is None or 0 <= homogeneity <= 1
    assert set(attribute_statistics(measured)) == set(frame.columns)


@settings(deadline=None, max_examples=60)
@given(shops())
def test_revenue_orders_and_overlap_are_those_of_a_naive_count(shop: tuple[Frame, dict[str, Bools]]) -> None:
    frame, masks = shop
    measured = measure(frame, masks, NOW)
    gross, orders = frame.columns["grossSpent"], frame.columns["orderCount"]
    assert isinstance(gross, NumberColumn) and isinstance(orders, NumberColumn)
    for segment, mask in masks.items():
        metrics = report(measured, segment, {})["metrics"]
        assert metrics["revenue"] == pytest.approx(gross.values[mask].sum(), abs=1e-6)
        assert metrics["orders"] == orders.values[mask].sum()
        assert metrics["buyers"] == (orders.values[mask] > 0).sum()
        for other, theirs in masks.items():
            if other != segment:
                assert metrics["overlap"][other]["count"] == (mask & theirs).sum()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_a_bucket_stands_within_one_percent_of_its_numbers_and_keeps_their_order(numbers: list[float]) -> None:
    values = np.sort(np.array(numbers))
    buckets = tables.buckets_of(values)
    assert (np.diff(buckets) >= 0).all()
    usual = (np.abs(values) >= 1e-8) & (np.abs(values) < 1e18)
    positions = positions_of(Table(Scale.BUCKET, buckets, np.zeros((1, len(buckets)))))
    assert np.allclose(positions[usual], values[usual], rtol=0.01, atol=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 20), st.integers(0, 60), st.integers(1, 9), st.integers(0, 2**32))
def test_a_crowd_counts_like_a_loop(segments: int, rows: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random(rows) < 0.5 for _ in range(segments)]
    codes, weights = rng.integers(-1, size, rows), rng.integers(1, 5, rows).astype(np.float64)
    crowd = crowd_of(masks, rows)
    for row, mask in enumerate([np.ones(rows, dtype=np.bool_), *masks]):
        for code in range(size):
            chosen = mask & (codes == code)
            assert crowd.count(codes, size)[row, code] == chosen.sum()
            assert crowd.total(codes, size, weights)[row, code] == weights[chosen].sum()
