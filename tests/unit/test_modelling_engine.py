"""Models of every kind in the engine: fitted values as documents, single rows as among many, names that stay."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segmentation.engine.catalogue import Kind
from segmentation.engine.document import from_document, presented, to_document
from segmentation.engine.frame import BooleanColumn, Column, EventTable, Frame, NumberColumn, StringColumn
from segmentation.engine.lifetime.purchases import of_orders
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.absent import absent_column
from segmentation.engine.modelling.churn import ChurnParameters
from segmentation.engine.modelling.cluster import ClusterModel, ClusterParameters
from segmentation.engine.modelling.kinds import FITTED, Fitted, score
from segmentation.engine.modelling.lifetime import LifetimeParameters
from segmentation.engine.modelling.points import SelectionParameters
from segmentation.engine.preprocess.recipe import Feature, OneHot
from segmentation.engine.rfm.scoring import KMeansBins, Quantiles, Thresholds
from segmentation.errors import InsufficientData, InvalidInput
from support.purchasing import customers

NOW = np.datetime64("2026-03-01T12:00:00", "us")
THREE = ("recencyDays", "orderCount", "totalSpent")
SELECTION = SelectionParameters(1e-6, 0.95, None, None)
NUMBERS = (Feature("age", scaling="standard"), Feature("spent", log1p=True, scaling="standard"))
FEATURES = (*NUMBERS, Feature("country", missing="mode", encoding=OneHot()))


def shop(size: int, seed: int = 5) -> Frame:
    """Customers with attributes, some of them missing, and with purchases."""
    random = np.random.default_rng(seed)
    frequency, recency, age = customers(size, seed)
    counts = frequency.astype(int) + 1
    day = np.datetime64("2026-03-01", "D").astype(int)
    lines = []
    for number in range(size):
        first = day - round(age[number] * 7)
        last = first + round(recency[number] * 7)
        between = np.sort(random.choice(np.arange(first + 1, max(last, first + 1)), max(counts[number] - 2, 0), False))
        lines.append([first, *between, last][: counts[number]] if counts[number] > 1 else [first])
    times = np.concatenate(lines).astype("datetime64[D]").astype("datetime64[us]")
    offsets = np.cumsum([0, *map(len, lines)])
    spend = np.repeat(random.gamma(6, 10, size), counts) * random.gamma(4, 0.25, len(times))
    ages = np.where(random.random(size) < 0.1, np.nan, random.integers(18, 80, size).astype(float))
    columns: dict[str, Column] = {
        "age": NumberColumn(ages),
        "spent": NumberColumn(random.gamma(2, 50, size)),
        "country": StringColumn(random.integers(-1, 3, size).astype(np.int32), ("DE", "FR", "US")),
        "closed": BooleanColumn((random.random(size) < 1 / (1 + np.exp(3 - frequency))).astype(np.int8)),
        "recencyDays": NumberColumn((age - recency) * 7),
        "orderCount": NumberColumn(counts.astype(float)),
        "totalSpent": NumberColumn(np.add.reduceat(spend, offsets[:-1])),
    }
    return Frame(size, columns, {"order": EventTable(offsets, times, {"amount": NumberColumn(spend)})})


def clusters(k: int | None = 4, method: Any = "kmeans", k_range: tuple[int, int] = (2, 4)) -> ClusterParameters:
    return ClusterParameters(method, k, k_range, "silhouette", 3, 2, SELECTION, 0)


FORECAST = LifetimeParameters(12, 0.01, None, (0.5, 0.3, 0.2), ("Low", "Medium", "High"))
RISK = ChurnParameters("closed", None, 1.0, 3, (0.3, 0.7), SELECTION, 0)

FITS: Mapping[str, Callable[[Frame], tuple[Fitted, Any, Any]]] = {
    "rfm quantiles": lambda frame: rfm.fit(frame, THREE, Quantiles(5), None),
    "rfm thresholds": lambda frame: rfm.fit(frame, THREE, Thresholds((30.0, 90.0), (1.0, 3.0), (50.0, 200.0)), None),
    "rfm kmeans": lambda frame: rfm.fit(frame, THREE, KMeansBins(3), None),
    "cluster kmeans": lambda frame: cluster.fit(frame, FEATURES, clusters(), "m"),
    "cluster chosen": lambda frame: cluster.fit(frame, FEATURES, clusters(None), "m"),
    "cluster ward": lambda frame: cluster.fit(frame, FEATURES, clusters(3, "ward"), "m"),
    "cluster average": lambda frame: cluster.fit(frame, NUMBERS, clusters(3, "average"), "m"),
    "lifetime": lambda frame: lifetime.fit(of_orders(frame.events["order"]), NOW, FORECAST),
    "churn": lambda frame: churn.fit(frame, FEATURES, RISK),
}


@pytest.fixture(scope="module")
def frame() -> Frame:
    return shop(600)


@pytest.fixture(scope="module")
def fits(frame: Frame) -> dict[str, tuple[Fitted, Any, Any]]:
    return {name: fit(frame) for name, fit in FITS.items()}


def exactly(columns: Mapping[str, Column], rows: Any = slice(None)) -> dict[str, Any]:
    """Values of all columns, to the last bit."""
    result: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, StringColumn):
            result[name] = [column.values[code] if code >= 0 else None for code in column.codes[rows]]
        else:
            result[name] = column.values[rows].tobytes()  # type: ignore[union-attr]
    return result


@pytest.mark.parametrize("name", FITS)
def test_a_model_comes_back_from_its_document_with_the_same_scores_to_the_last_bit(
    frame: Frame, fits: dict[str, Any], name: str
) -> None:
    model, report, _ = fits[name]
    text = json.dumps(to_document(model), allow_nan=False)
    back = from_document(FITTED[name.split()[0]], json.loads(text))
    assert json.dumps(to_document(back), allow_nan=False) == text
    assert exactly(score(back, frame, NOW, "m")) == exactly(score(model, frame, NOW, "m"))
    json.dumps(presented(report), allow_nan=False)
    json.dumps(presented(model), allow_nan=False)


@pytest.mark.parametrize("name", FITS)
def test_one_customer_has_the_scores_that_he_has_among_all(frame: Frame, fits: dict[str, Any], name: str) -> None:
    model = fits[name][0]
    among = score(model, frame, NOW, "m")
    for row in range(0, frame.size, 37):
        alone = score(model, frame.take(np.array([row])), NOW, "m")
        assert exactly(alone) == exactly(among, [row])


@pytest.mark.parametrize("name", FITS)
def test_fits_of_the_same_customers_are_the_same(frame: Frame, fits: dict[str, Any], name: str) -> None:
    again = FITS[name](frame)[0]
    assert to_document(again) == to_document(fits[name][0])


@pytest.mark.parametrize("name", FITS)
def test_groups_hold_every_scored_customer_once(frame: Frame, fits: dict[str, Any], name: str) -> None:
    _, report, groups = fits[name]
    assert sum(group.size for group in groups) == frame.size
    assert len({group.group_id for group in groups}) == len(groups)
    assert report.customers == frame.size
    assert len({group.name for group in groups}) == len(groups)


@pytest.mark.parametrize("name", FITS)
def test_nobody_is_scored_without_customers(fits: dict[str, Any], frame: Frame, name: str) -> None:
    nobody = frame.take(np.array([], dtype=np.intp))
    for column in score(fits[name][0], nobody, NOW, "m").values():
        assert len(column.missing()) == 0


@pytest.mark.parametrize("name", [name for name in FITS if name != "lifetime"])
def test_what_a_frame_has_no_column_for_nobody_has(frame: Frame, fits: dict[str, Any], name: str) -> None:
    bare = replace(frame, columns={"country": frame.columns["country"]})
    full = replace(
        frame,
        columns={
            other: column
            if other == "country"
            else absent_column(Kind.BOOLEAN if other == "closed" else Kind.NUMBER, frame.size)
            for other, column in frame.columns.items()
        },
    )
    model = fits[name][0]
    assert exactly(score(model, bare, NOW, "m")) == exactly(score(model, full, NOW, "m"))


def test_clusters_of_a_refit_keep_the_ids_of_those_they_share_most_customers_with(frame: Frame) -> None:
    first, _, _ = cluster.fit(frame, NUMBERS, clusters(), "m")
    renamed = replace(first, group_ids=("c7", "c2", "c9", "c4"))
    again, _, groups = cluster.fit(frame, NUMBERS, clusters(), "m", renamed)
    assert again.group_ids == renamed.group_ids
    assert [group.group_id for group in groups] == ["c7", "c2", "c9", "c4"]
    assert groups[0].criteria == ({"attribute": "cluster.m", "operator": "eq", "value": "c7"},)


def test_a_cluster_that_is_new_gets_an_id_that_was_never_used(frame: Frame) -> None:
    first, _, _ = cluster.fit(frame, NUMBERS, clusters(3), "m")
    more, _, _ = cluster.fit(frame, NUMBERS, clusters(5), "m", first, {"c1", "c2", "c3", "c4"})
    assert sorted(more.group_ids) == ["c1", "c2", "c3", "c5", "c6"]
    fewer, _, _ = cluster.fit(frame, NUMBERS, clusters(2), "m", more)
    assert set(fewer.group_ids) < set(more.group_ids)


def test_ids_follow_their_customers_although_sizes_change() -> None:
    random = np.random.default_rng(2)

    def places(sizes: tuple[int, int, int]) -> Frame:
        middles = np.repeat([0.0, 100.0, 200.0], sizes)
        values = middles + random.normal(0, 1, len(middles))
        return Frame(len(values), {"age": NumberColumn(values)})

    features = (Feature("age", scaling="standard"),)
    before, _, _ = cluster.fit(places((50, 30, 20)), features, clusters(3), "m")
    after, _, _ = cluster.fit(places((20, 30, 50)), features, clusters(3), "m", before)
    probe = Frame(3, {"age": NumberColumn(np.array([0.0, 100.0, 200.0]))})
    assert exactly({"c": cluster.score(before, probe)}) == exactly({"c": cluster.score(after, probe)})
    assert after.group_ids == ("c3", "c2", "c1")


def test_one_cluster_holds_everybody_and_has_no_stability(frame: Frame) -> None:
    model, report, (group,) = cluster.fit(frame, NUMBERS, clusters(1), "m")
    assert isinstance(model, ClusterModel)
    assert (group.size, report.stability) == (frame.size, None)
    json.dumps(presented(report), allow_nan=False)


def test_a_range_of_numbers_of_clusters_begins_at_two_and_goes_up(frame: Frame) -> None:
    for k_range in ((1, 3), (4, 3)):
        with pytest.raises(InvalidInput, match="kRange"):
            cluster.fit(frame, NUMBERS, clusters(None, k_range=k_range), "m")


@pytest.mark.parametrize(
    ("label", "churned", "words"),
    [
        (NumberColumn(np.array([0.0, 2.0] * 20)), None, "holds 2; a number that labels churn is 0 or 1"),
        (StringColumn(np.zeros(40, dtype=np.int32), ("left",)), None, "say with churnedValue"),
        (absent_column(Kind.STRING, 40), "left", "none of 40 customers has a value of the label"),
        (StringColumn(np.zeros(40, dtype=np.int32), ("left",)), "left", "customers"),
        (BooleanColumn(np.zeros(40, dtype=np.int8)), None, "customers"),
    ],
)
def test_a_label_that_cannot_be_learnt_from_is_named(label: Column, churned: str | None, words: str) -> None:
    frame = Frame(40, {"age": NumberColumn(np.arange(40.0)), "closed": label})
    with pytest.raises((InvalidInput, InsufficientData), match=words):
        churn.fit(frame, (Feature("age", scaling="standard"),), replace(RISK, churned_value=churned))


def test_labels_as_numbers_texts_and_booleans_teach_the_same(frame: Frame) -> None:
    closed = frame.columns["closed"]
    assert isinstance(closed, BooleanColumn)
    text = StringColumn(np.where(closed.values == 1, 1, 0).astype(np.int32), ("stays", "left"))
    labels: tuple[tuple[Column, str | None], ...] = (
        (closed, None),
        (NumberColumn(closed.values.astype(float)), None),
        (text, "left"),
    )
    found = [
        churn.fit(
            replace(frame, columns={**frame.columns, "closed": label}), NUMBERS, replace(RISK, churned_value=churned)
        )[0]
        for label, churned in labels
    ]
    assert to_document(found[0]) == to_document(found[1]) == to_document(found[2])


def test_customers_without_purchases_have_no_forecast(frame: Frame, fits: dict[str, Any]) -> None:
    model, report, _ = fits["lifetime"]
    assert report.value.status == "fitted"
    orders = frame.events["order"]
    more = np.append(orders.offsets, orders.offsets[-1])
    with_one = replace(frame, size=frame.size + 1, columns={}, events={"order": replace(orders, offsets=more)})
    scores = score(model, with_one, NOW, "m")
    assert all(column.missing()[-1] for column in scores.values())
    assert not scores["lifetime.clv"].missing()[:-1].any()
