"""Laws of the indicators: however customers are spread over partitions, the merged figures are those of all at once."""

import json
from collections import defaultdict
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation import kpis
from segmentation.engine.frame import Bools, Frame, Instants
from segmentation.engine.kpis import ages, campaigns, overlap, rates
from support.criteria_frames import strings, table

NOW = np.datetime64("2026-03-01T12:00:00", "us")
LAWS = settings(max_examples=60, deadline=None)
HOURS = st.integers(min_value=-50, max_value=100 * 24)
EVENT = st.tuples(
    HOURS,
    st.sampled_from(["sent", "sent", "sent", "opened", "clicked", "converted", "bounced"]),
    st.sampled_from(["spring", "summer", None]),
    st.sampled_from(["vip", "risk", None, None]),
)
CUSTOMER = st.tuples(
    st.lists(EVENT, max_size=6),
    st.one_of(st.none(), st.integers(min_value=0, max_value=20_000)),
    st.booleans(),
    st.booleans(),
)
CUSTOMERS = st.lists(CUSTOMER, max_size=12)


def before(hours: int) -> np.datetime64:
    return NOW - np.timedelta64(hours, "h")


def shop(customers: list[Any]) -> tuple[Frame, dict[str, Bools], Instants]:
    """A frame with campaign events, two segments, and when each profile was changed."""
    rows = [
        sorted(
            (
                {"time": before(hours).item(), "action": action, "campaignId": campaign, "segmentId": segment}
                for hours, action, campaign, segment in events
            ),
            key=lambda row: row["time"],
        )
        for events, *_ in customers
    ]
    columns = {"action": strings, "campaignId": strings, "segmentId": strings}
    updated = [np.datetime64("NaT", "us") if hours is None else before(hours) for _, hours, *_ in customers]
    masks = {name: np.array([c[place] for c in customers], dtype=np.bool_) for name, place in (("a", 2), ("b", 3))}
    frame = Frame(len(customers), events={"campaign": table(rows, columns)})
    return frame, masks, np.array(updated, dtype="datetime64[us]")


def measured(customers: list[Any]) -> dict[str, Any]:
    frame, masks, updated = shop(customers)
    return json.loads(json.dumps(kpis.measure(frame, masks, NOW, updated)))  # type: ignore[no-any-return]


@LAWS
@given(CUSTOMERS, st.integers(min_value=1, max_value=4), st.randoms(use_true_random=False))
def test_the_figures_do_not_depend_on_the_partitions(customers: list[Any], partitions: int, random: Any) -> None:
    parts: list[list[Any]] = [[] for _ in range(partitions)]
    for customer in customers:
        parts[random.randrange(partitions)].append(customer)
    random.shuffle(parts)
    assert reduce(kpis.merge, map(measured, parts)) == measured(customers)


@LAWS
@given(CUSTOMERS, CUSTOMERS, CUSTOMERS)
def test_merging_knows_no_order_and_no_grouping(one: list[Any], two: list[Any], three: list[Any]) -> None:
    first, second, third = measured(one), measured(two), measured(three)
    assert kpis.merge(kpis.merge(first, second), third) == kpis.merge(third, kpis.merge(second, first))


@LAWS
@given(CUSTOMERS)
def test_counts_are_those_of_plain_sets(customers: list[Any]) -> None:
    found = measured(customers)
    assert found["covered"] == sum(one or other for *_, one, other in customers)
    sent: dict[tuple[int, str], str | None] = {}
    did: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for number, (events, *_) in enumerate(customers):
        for hours, action, campaign, segment in sorted(events, key=lambda event: -event[0]):
            if not 0 <= hours < campaigns.WINDOW_DAYS * 24 or campaign is None:
                continue
            if action == "sent":
                sent.setdefault((number, campaign), segment)
            did[action].add((number, campaign))
    for side, is_segmented in (("segmented", True), ("nonSegmented", False)):
        units = {unit for unit, segment in sent.items() if (segment is not None) == is_segmented}
        engaged = did["opened"] | did["clicked"]
        counts = [len(units)] + [len(units & did[name]) for name in ("opened", "clicked", "converted")]
        assert found["campaigns"][side] == [*counts, len(units & engaged)]


@LAWS
@given(st.lists(st.integers(min_value=0, max_value=900 * 24), min_size=1, max_size=30), st.floats(0.01, 1))
def test_a_quantile_of_ages_is_right_to_its_resolution(hours: list[int], share: float) -> None:
    histogram = ages.measure(np.array([before(hour) for hour in hours]), NOW)
    exact = sorted(hours)[max(int(np.ceil(share * len(hours))), 1) - 1]
    since = ages.quantile(histogram, share)
    assert since is not None
    age = int((NOW - since) / np.timedelta64(1, "h"))
    assert 0 <= age - exact < (24 if exact > (ages.FINE_DAYS - 1) * 24 else 1)


@LAWS
@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=6))
def test_overlaps_are_those_of_sets(rows: list[list[bool]]) -> None:
    masks = np.array(rows)
    shared = masks.astype(np.int64) @ masks.T.astype(np.int64)
    names = [f"s{number}" for number in range(len(rows))]
    found = overlap.pairs(names, masks.sum(axis=1), shared)
    sets = {name: set(np.flatnonzero(mask)) for name, mask in zip(names, masks, strict=True)}
    for pair in found["pairs"]:
        one, other = (sets[name] for name in pair["segmentIds"])
        assert pair["jaccard"] == pytest.approx(len(one & other) / len(one | other), abs=1e-6)
    expected = sum(bool(sets[a] & sets[b]) for place, a in enumerate(names) for b in names[place + 1 :])
    assert len(found["pairs"]) == expected


@LAWS
@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_its_rate_and_is_a_share(one: int, other: int) -> None:
    count, total = min(one, other), max(one, other)
    found = rates.wilson(count, total)
    if total:
        assert found.value is not None and found.low is not None and found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1


@LAWS
@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50), st.integers(0, 50))
def test_turning_a_ratio_round_turns_its_interval_round(did: int, rest: int, base: int, base_rest: int) -> None:
    one = rates.risk_ratio(did, did + rest, base, base + base_rest)
    other = rates.risk_ratio(base, base + base_rest, did, did + rest)
    assert one.value is not None and one.low is not None and other.value is not None and other.high is not None
    assert one.value == pytest.approx(1 / other.value)
    assert one.low == pytest.approx(1 / other.high)
