"""Random rules over random customers: the evaluator against itself, and against a slow one that reads rows and JSON."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation.engine.criteria import (
    Override,
    Rule,
    condition_counts,
    evaluate,
    explain,
    first_failure,
    parse,
    program,
)
from segmentation.engine.criteria.operators import lists, numbers, strings
from segmentation.engine.frame import Bools
from tests.support.criteria_frames import micros
from tests.support.criteria_reference import NEGATIVES, holds
from tests.support.criteria_samples import (
    ATTRIBUTES,
    BEHAVIOURS,
    CATALOGUE,
    CUSTOMERS,
    NOWS,
    TREES,
    ZONES,
    features_of,
    frame_of,
)

NOW = st.sampled_from(NOWS)
ZONE = st.sampled_from(ZONES)
BASE = parse({"attribute": "spend", "operator": "gte", "value": 1}, CATALOGUE)
SMALL, LARGE = "as columns of few values", "as columns of many values, in several chunks"
LATER = st.builds(
    timedelta,
    days=st.integers(0, 800),
    hours=st.integers(0, 23),
    minutes=st.integers(0, 59),
    seconds=st.integers(1, 59),
)


def _rule(raw: Any, zone: str = "UTC") -> Rule:
    return parse(raw, CATALOGUE, time_zone=zone)


def _mask(raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str = "UTC") -> Bools:
    rules = {"asked": _rule(raw, zone), "base": BASE}
    return evaluate(rules, frame_of(customers, now), micros(now)).mask("asked")


def _expected(raw: Any, customer: dict[str, Any], now: datetime, zone: str) -> bool:
    member = customer["spend"] is not None and customer["spend"] >= 1
    return holds(raw, {**customer, **features_of(customer, now)}, now, zone, member)


@pytest.fixture(params=[SMALL, LARGE])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of the engine: what it does with many values and rows is tried on few."""
    if request.param == LARGE:
        monkeypatch.setattr(program, "CHUNK", 8)
        monkeypatch.setattr(strings, "SMALL", 0)
        monkeypatch.setattr(strings, "FEW_RUNS", 1)
        monkeypatch.setattr(lists, "SMALL", 0)
        monkeypatch.setattr(numbers, "FEW", 1)
    return str(request.param)


SHARED = [HealthCheck.function_scoped_fixture]
"""The fixture sets limits once; nothing that an example does changes them."""


@settings(deadline=None, max_examples=200, suppress_health_check=SHARED)
@given(raw=TREES, customers=CUSTOMERS, now=NOW, zone=ZONE)
def test_a_batch_gives_what_reading_the_criteria_row_by_row_gives(
    way: str, raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str
) -> None:
    expected = [_expected(raw, customer, now, zone) for customer in customers]
    assert _mask(raw, customers, now, zone).tolist() == expected, way


@settings(deadline=None, max_examples=150, suppress_health_check=SHARED)
@given(raw=BEHAVIOURS | ATTRIBUTES, customers=CUSTOMERS, now=NOW, zone=ZONE)
def test_every_leaf_gives_what_reading_it_row_by_row_gives(
    way: str, raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str
) -> None:
    expected = [_expected(raw, customer, now, zone) for customer in customers]
    assert _mask(raw, customers, now, zone).tolist() == expected, way


@settings(deadline=None, max_examples=60)
@given(TREES, CUSTOMERS, NOW, ZONE, st.randoms(use_true_random=False))
def test_customers_in_another_order_get_the_same_answers(
    raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str, random: Any
) -> None:
    rows = list(range(len(customers)))
    random.shuffle(rows)
    rules = {"asked": _rule(raw, zone), "base": BASE}
    frame = frame_of(customers, now)
    whole = evaluate(rules, frame, micros(now), next_change=True)
    taken = evaluate(rules, frame.take(np.array(rows, dtype=np.intp)), micros(now), next_change=True)
    assert taken.mask("asked").tolist() == whole.mask("asked")[rows].tolist()
    assert whole.next_change is not None
    assert taken.next_change is not None
    assert np.array_equal(taken.next_change, whole.next_change[:, rows], equal_nan=True)


@settings(deadline=None, max_examples=100)
@given(ATTRIBUTES | BEHAVIOURS, CUSTOMERS, NOW, ZONE)
def test_a_negative_operator_is_the_complement_of_its_positive_one(
    raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str
) -> None:
    positives = {positive: negative for negative, positive in NEGATIVES.items()}
    opposite = NEGATIVES.get(raw["operator"], positives.get(raw["operator"]))
    other = {"not": raw} if opposite is None else {**raw, "operator": opposite}
    assert (_mask(raw, customers, now, zone) == ~_mask(other, customers, now, zone)).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(TREES, min_size=1, max_size=3), CUSTOMERS, NOW)
def test_de_morgan_holds_for_every_tree(raw: Any, customers: list[dict[str, Any]], now: datetime) -> None:
    none_of = _mask({"not": {"any": raw}}, customers, now)
    not_all = _mask({"not": {"all": raw}}, customers, now)
    complements = [{"not": child} for child in raw]
    assert (none_of == _mask({"all": complements}, customers, now)).all()
    assert (not_all == _mask({"any": complements}, customers, now)).all()


@settings(deadline=None, max_examples=300)
@given(TREES, CUSTOMERS, NOW, ZONE, LATER)
def test_nothing_changes_before_the_next_change(
    raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str, later: timedelta
) -> None:
    rules = {"asked": _rule(raw, zone), "base": BASE}
    result = evaluate(rules, frame_of(customers, now), micros(now), next_change=True)
    assert result.next_change is not None
    for row, customer in enumerate(customers):
        today, change = bool(result.mask("asked")[row]), result.next_change[0, row]
        instants = [now + later]
        if not np.isnat(change):
            until: datetime = change.astype("datetime64[us]").item().replace(tzinfo=now.tzinfo)
            assert until > now
            eve = until - timedelta(seconds=1)
            instants = [eve, until - timedelta(microseconds=1), min(now + later, eve)]
        assert all(_expected(raw, customer, when, zone) == today for when in instants if when >= now)


@settings(deadline=None, max_examples=60)
@given(TREES, CUSTOMERS, NOW, ZONE)
def test_explanations_and_counts_agree_with_the_evaluation(
    raw: Any, customers: list[dict[str, Any]], now: datetime, zone: str
) -> None:
    rule, frame = _rule(raw, zone), frame_of(customers, now)
    result = evaluate({"asked": rule, "base": BASE}, frame, micros(now))
    counts = condition_counts(rule, frame, micros(now), {"base": result.mask("base")})
    tallied = {path: 0 for path, _ in counts}
    for row in range(frame.size):
        explained = explain(rule, frame, row, micros(now), {"base": bool(result.mask("base")[row])})
        assert explained["matched"] == result.mask("asked")[row]
        assert bool(first_failure(explained)) != explained["matched"]
        _tally(explained, tallied)
    assert tallied == dict(counts)
    assert counts[0] == ("criteria", result.count("asked"))


def _tally(explained: dict[str, Any], tallied: dict[str, int]) -> None:
    tallied[explained["path"]] += explained["matched"]
    for child in explained.get("children", ()):
        _tally(child, tallied)


@settings(deadline=None, max_examples=150)
@given(TREES | st.lists(TREES, min_size=1, max_size=3), ZONE)
def test_the_canonical_form_parses_to_the_same_rule(raw: Any, zone: str) -> None:
    rule = _rule(raw, zone)
    again = parse(rule.criteria, CATALOGUE, time_zone=zone)
    assert (again, hash(again), again.criteria) == (rule, hash(rule), rule.criteria)


@settings(deadline=None, max_examples=60)
@given(TREES, CUSTOMERS, NOW, st.data())
def test_people_overrule_rules_and_other_segments_see_it(
    raw: Any, customers: list[dict[str, Any]], now: datetime, data: st.DataObject
) -> None:
    masks = st.lists(st.booleans(), min_size=len(customers), max_size=len(customers)).map(np.array)
    include, exclude = data.draw(masks), data.draw(masks)
    rules = {
        "seen": _rule({"segment": "base", "operator": "member"}),
        "base": _rule({"not": {"all": [raw, {"attribute": "vip", "operator": "is_true"}]}})
        if "base" not in str(raw)
        else BASE,
    }
    frame = frame_of(customers, now)
    result = evaluate(rules, frame, micros(now), {"base": Override(include, exclude)})
    expected = (result.matched("base") | include) & ~exclude
    assert result.mask("base").tolist() == expected.tolist() == result.mask("seen").tolist()
    assert result.count("base") == int(expected.sum())
