"""Segment analysis on a shop that is small enough to check by hand."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from segmentation.engine.analysis.measuring import measure
from segmentation.engine.analysis.partials import merge
from segmentation.engine.analysis.reporting import attribute_statistics, report
from segmentation.engine.analysis.selection import METRICS, select_metrics
from segmentation.engine.frame import (
    BooleanColumn,
    Bools,
    Column,
    DateColumn,
    EventTable,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.errors import InvalidInput, NotFound

NOW = np.datetime64("2024-03-01T00:00:00", "us")
NAN = float("nan")


def numbers(*values: float) -> NumberColumn:
    return NumberColumn(np.array(values, dtype=np.float64))


def strings(*values: str | None) -> StringColumn:
    distinct = tuple(sorted({value for value in values if value is not None}, reverse=True))
    codes = [-1 if value is None else distinct.index(value) for value in values]
    return StringColumn(np.array(codes, dtype=np.int32), distinct)


def dates(*days: str) -> DateColumn:
    return DateColumn(np.array(days, dtype="datetime64[us]"))


def lists(*rows: Sequence[str] | None) -> ListColumn:
    distinct = tuple(sorted({value for row in rows for value in row or ()}))
    codes = [distinct.index(value) for row in rows for value in row or ()]
    offsets = np.cumsum([0, *(len(row or ()) for row in rows)])
    absent = np.array([row is None for row in rows])
    return ListColumn(offsets, np.array(codes, dtype=np.int32), distinct, absent)


def members(size: int, *rows: int) -> Bools:
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(rows)] = True
    return mask


def shop() -> Frame:
    """Six customers; 3 and 5 never bought, order 0 has two lines, the last line lies after NOW."""
    columns: dict[str, Column] = {
        "country": strings("DE", "DE", "FR", "US", None, "DE"),
        "age": numbers(30, 40, 50, NAN, 20, 60),
        "tags": lists(["a", "b"], ["a"], [], None, ["b", "b"], ["c"]),
        "newsletter": BooleanColumn(np.array([1, 0, -1, 0, 1, 1], dtype=np.int8)),
        "signup": dates("2023-01-10", "2023-02-10T18:00", "2023-03-10", "NaT", "2023-01-12", "2023-01-01"),
        "home": GeoColumn(np.array([52.5, NAN, NAN, 1, 2, 3]), np.array([13.4, NAN, NAN, 1, 2, 3])),
        "recencyDays": numbers(10, 20, 30, NAN, 40, NAN),
        "tenureDays": numbers(100, 20, 60, NAN, 40, NAN),
        "orderCount": numbers(3, 1, 2, 0, 1, 0),
        "grossSpent": numbers(300, 100, 50, 0, 150, 0),
        "returnedAmount": numbers(20, 0, 0, 0, 0, 0),
        "totalSpent": numbers(280, 100, 50, 0, 150, 0),
    }
    days = [
        "2023-11-22",
        "2023-11-22",
        "2024-01-05",
        "2024-02-20",
        "2024-02-10",
        "2024-01-01",
        "2024-01-31",
        "2024-01-21",
        "2024-03-02",
    ]
    lines = EventTable(
        offsets=np.array([0, 4, 5, 7, 7, 9, 9]),
        time=np.array(days, dtype="datetime64[us]"),
        columns={
            "amount": numbers(60, 40, 100, 100, 100, 30, 20, 150, 999),
            "channel": strings("web", "web", "web", "store", "store", "web", None, "store", "web"),
        },
        group=np.array([0, 0, 1, 2, 3, 4, 5, 6, 7], dtype=np.int32),
        additive=frozenset({"amount"}),
    )
    return Frame(6, columns, {"order": lines})


MASKS = {"vips": members(6, 0, 1, 4), "germans": members(6, 0, 1, 5), "nobody": members(6)}


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return measure(shop(), MASKS, NOW)


@pytest.fixture(scope="module")
def vips(measured: dict[str, Any]) -> dict[str, Any]:
    return report(measured, "vips", {"2024-01-30": 2, "2024-02-29": 3, "2023-12-01": 1})


def test_the_metrics_are_those_computed_by_hand(vips: dict[str, Any]) -> None:
    found = {name: value for name, value in vips["metrics"].items() if name not in ("homogeneity", "distinctness")}
    assert vips["segmentSize"] == 3
    assert found == {
        "size": 3,
        "share": 0.5,
        "buyers": 3,
        "orders": 5,
        "revenue": 550.0,
        "netRevenue": 530.0,
        "revenueShare": 0.916667,
        "returnShare": 0.036364,
        "averageOrderValue": 110.0,
        "orderFrequency": 1.666667,
        "repeatRate": 0.333333,
        "recencyDays": 20.0,
        "growth30d": 0.5,
        "overlap": {
            "germans": {"count": 2, "share": 0.666667, "jaccard": 0.5},
            "nobody": {"count": 0, "share": 0.0, "jaccard": 0.0},
        },
    }


def test_homogeneity_and_distinctness_of_one_variable_are_those_computed_by_hand() -> None:
    # Ages 30, 40, 20 of 30, 40, 50, 20, 60: variance 66.67 of 200; means 30 and 55 lie 25 / sqrt(200) apart.
    frame = Frame(6, {"age": numbers(30, 40, 50, NAN, 20, 60)})
    metrics = report(measure(frame, MASKS, NOW), "vips", {})["metrics"]
    assert metrics["homogeneity"] == 0.666667
    assert metrics["distinctness"] == 1.767767


def test_a_segment_of_everybody_is_not_homogeneous_and_has_no_rest_to_differ_from(measured: dict[str, Any]) -> None:
    metrics = report(measured, "*", {})["metrics"]
    assert (metrics["homogeneity"], metrics["distinctness"], metrics["share"]) == (0.0, None, 1.0)


def test_values_of_a_string_come_with_share_and_lift_over_the_customers_who_have_one(vips: dict[str, Any]) -> None:
    assert vips["demographics"]["country"] == {
        "kind": "string",
        "customers": 2,
        "missing": 1,
        "missingShare": 0.333333,
        "distinctValues": 1,
        "values": [{"value": "DE", "count": 2, "share": 1.0, "lift": 1.666667}],
        "other": {"distinctValues": 0, "count": 0, "share": 0.0},
    }


def test_a_customer_with_a_value_twice_in_a_list_counts_once_and_an_empty_list_is_not_missing(
    measured: dict[str, Any],
) -> None:
    tags = report(measured, "*", {})["demographics"]["tags"]
    assert (tags["customers"], tags["missing"]) == (5, 1)
    assert [(item["value"], item["count"], item["share"]) for item in tags["values"]] == [
        ("a", 2, 0.4),
        ("b", 2, 0.4),
        ("c", 1, 0.2),
    ]


def test_booleans_are_reported_as_booleans(vips: dict[str, Any]) -> None:
    values = vips["demographics"]["newsletter"]["values"]
    assert [(item["value"], item["count"]) for item in values] == [(True, 2), (False, 1)]
    assert values[0]["lift"] == round(2 / 3 / (3 / 5), 6)


def test_numbers_have_exact_quantiles_and_a_histogram_that_holds_everybody(vips: dict[str, Any]) -> None:
    age = vips["demographics"]["age"]
    assert (age["mean"], age["min"], age["max"]) == (30.0, 20.0, 40.0)
    assert age["quantiles"] == {"p5": 21.0, "p25": 25.0, "p50": 30.0, "p75": 35.0, "p95": 39.0}
    assert {item["from"]: item["count"] for item in age["histogram"] if item["count"]} == {20.0: 1, 30.0: 1, 39.0: 1}
    assert age["histogram"][-1]["to"] == 40.0
    assert age["histogram"][0]["lift"] == round(1 / 3 / (1 / 5), 6)


def test_dates_are_reported_as_days(vips: dict[str, Any]) -> None:
    signup = vips["demographics"]["signup"]
    assert (signup["min"], signup["max"], signup["mean"]) == ("2023-01-10", "2023-02-10", "2023-01-21")
    assert signup["quantiles"]["p50"] == "2023-01-12"
    weeks = [(item["from"], item["count"]) for item in signup["histogram"]]
    assert weeks == [("2023-01-09", 2), ("2023-01-16", 0), ("2023-01-23", 0), ("2023-01-30", 0), ("2023-02-06", 1)]
    assert signup["histogram"][-1]["to"] == "2023-02-13"


def test_places_have_a_missing_share_only(vips: dict[str, Any]) -> None:
    assert vips["demographics"]["home"] == {"kind": "geo", "customers": 2, "missing": 1, "missingShare": 0.333333}


def test_behaviours_are_distributions_over_buyers_and_orders(measured: dict[str, Any]) -> None:
    behaviors = report(measured, "*", {})["behaviors"]
    found = {
        name: (behaviors[name]["count"], behaviors[name]["mean"], behaviors[name]["median"], behaviors[name]["min"])
        for name in ("recency", "frequency", "monetary", "orderValue", "tenure")
    }
    assert found == {
        "recency": (4, 25.0, 25.0, 10.0),
        "frequency": (4, 1.75, 1.5, 1.0),
        "monetary": (4, 150.0, 125.0, 50.0),
        "orderValue": (7, 85.7142857142857, 100.0, 20.0),
        "tenure": (4, 55.0, 50.0, 20.0),
    }


def test_the_channel_mix_counts_lines_and_revenue_up_to_now(vips: dict[str, Any]) -> None:
    assert vips["behaviors"]["channelMix"] == {
        "lines": 6,
        "revenue": 550.0,
        "distinctValues": 2,
        "values": [
            {
                "value": "store",
                "lines": 3,
                "lineShare": 0.5,
                "revenue": 350.0,
                "revenueShare": 0.636364,
                "lift": 1.166667,
            },
            {"value": "web", "lines": 3, "lineShare": 0.5, "revenue": 200.0, "revenueShare": 0.363636, "lift": 0.875},
        ],
        "other": {"distinctValues": 0, "lines": 0, "lineShare": 0.0},
    }


def test_activity_covers_24_months_and_counts_an_order_of_two_lines_once(vips: dict[str, Any]) -> None:
    activity = vips["behaviors"]["activityByMonth"]
    assert (len(activity), activity[0]["month"], activity[-1]["month"]) == (24, "2022-04", "2024-03")
    assert [(item["month"], item["orders"], item["revenue"]) for item in activity if item["orders"]] == [
        ("2023-11", 1, 100.0),
        ("2024-01", 2, 250.0),
        ("2024-02", 2, 200.0),
    ]


def test_a_mix_or_feature_that_the_shop_does_not_record_is_empty_and_not_an_error(vips: dict[str, Any]) -> None:
    assert vips["behaviors"]["categoryMix"] == {"lines": 0, "revenue": 0.0, "distinctValues": 0, "values": []}
    bare = report(measure(Frame(6), MASKS, NOW), "vips", {})
    assert bare["behaviors"]["recency"]["count"] == 0
    assert bare["metrics"]["revenue"] == 0.0
    assert bare["metrics"]["averageOrderValue"] is None


def test_an_empty_segment_has_zeros_and_nulls(measured: dict[str, Any]) -> None:
    nobody = report(measured, "nobody", {"2024-01-01": 0})
    assert nobody["segmentSize"] == 0
    unknown = {name for name, value in nobody["metrics"].items() if value is None}
    assert unknown == {
        "returnShare",
        "averageOrderValue",
        "orderFrequency",
        "repeatRate",
        "recencyDays",
        "growth30d",
        "homogeneity",
        "distinctness",
    }
    assert nobody["demographics"]["age"]["histogram"] == []
    assert nobody["demographics"]["country"]["missingShare"] is None
    assert nobody["metrics"]["overlap"]["vips"] == {"count": 0, "share": None, "jaccard": 0.0}


def test_an_empty_frame_is_measured_and_merges_without_a_trace(measured: dict[str, Any]) -> None:
    empty = measure(shop().take(np.array([], dtype=np.intp)), {name: members(0) for name in MASKS}, NOW)
    assert report(empty, "vips", {})["segmentSize"] == 0
    assert report(merge([empty, measured]), "vips", {}) == report(measured, "vips", {})


def test_a_column_without_any_value_is_all_missing() -> None:
    frame = Frame(
        2, {"age": numbers(NAN, NAN), "city": strings(None, None), "born": dates("NaT", "NaT"), "l": lists(None, None)}
    )
    found = report(measure(frame, {"all": members(2, 0, 1)}, NOW), "all", {})["demographics"]
    assert {name: described["missingShare"] for name, described in found.items()} == dict.fromkeys(frame.columns, 1.0)
    assert found["age"]["mean"] is None and found["born"]["quantiles"]["p50"] is None and found["city"]["values"] == []


def test_one_customer_is_a_frame_like_any_other() -> None:
    frame = shop().take(np.array([0]))
    one = report(measure(frame, {"vips": members(1, 0)}, NOW), "vips", {})
    assert one["metrics"]["revenue"] == 300.0
    assert one["demographics"]["age"]["histogram"] == [
        {"from": 30.0, "to": 30.0, "count": 1, "share": 1.0, "lift": 1.0}
    ]
    assert one["metrics"]["homogeneity"] is None


def test_growth_takes_the_latest_record_that_is_old_enough(measured: dict[str, Any]) -> None:
    def growth(sizes: dict[str, int]) -> float | None:
        found: float | None = report(measured, "vips", sizes)["metrics"]["growth30d"]
        return found

    assert growth({"2024-01-31": 4, "2024-01-01": 1}) == -0.25
    assert growth({"2024-02-01": 4}) is None
    assert growth({"2024-01-01": 0}) is None


def test_identifiers_addresses_and_texts_show_the_number_of_values_only() -> None:
    size = 30
    frame = Frame(
        size,
        {
            "loyaltyId": strings(*(f"L-{row}" for row in range(size))),
            "email": strings("ada@example.org", *["none"] * (size - 1)),
            "phone": strings(*["+49 (30) 123 456-7"] * size),
            "note": strings("x" * 101, *["y"] * (size - 1)),
            "cohort": strings(*["2024-01-01", "2024-02-01"] * (size // 2)),
        },
    )
    found = report(measure(frame, {}, NOW), "*", {})["demographics"]
    assert {name: (described["distinctValues"], described["values"] == []) for name, described in found.items()} == {
        "loyaltyId": (30, True),
        "email": (2, True),
        "phone": (1, True),
        "note": (2, True),
        "cohort": (2, False),
    }
    assert "hidden" in found["loyaltyId"] and "hidden" not in found["cohort"]


def test_very_many_values_are_counted_within_three_percent_and_the_partial_stays_small() -> None:
    size = 20_000
    frame = Frame(
        size, {"id": StringColumn(np.arange(size, dtype=np.int32), tuple(f"customer-{row}" for row in range(size)))}
    )
    half = np.arange(size) % 2 == 0
    measured = measure(frame, {"half": half}, NOW)
    assert len(json.dumps(measured)) < 10_000
    assert report(measured, "*", {})["demographics"]["id"]["distinctValues"] == pytest.approx(size, rel=0.03)
    assert report(measured, "half", {})["demographics"]["id"]["distinctValues"] == pytest.approx(size / 2, rel=0.03)


def test_fifty_values_are_listed_and_the_rest_is_summed_up() -> None:
    values = [f"city {number:02}" for number in range(60) for _ in range(3)]
    described = report(measure(Frame(180, {"city": strings(*values)}), {}, NOW), "*", {})["demographics"]["city"]
    assert len(described["values"]) == 50
    assert described["other"] == {"distinctValues": 10, "count": 30, "share": 0.166667}


def test_a_report_fits_an_item_however_many_attributes_there_are() -> None:
    size = 400
    rows = np.arange(size, dtype=np.int32)
    names = tuple(f"{number:03} 😀" + "x" * 90 for number in range(200))
    columns: dict[str, Column] = {f"s{number}": StringColumn(rows % 200, names) for number in range(300)}
    columns |= {f"n{number}": NumberColumn(rows.astype(np.float64) ** 1.5) for number in range(300)}
    found = report(measure(Frame(size, columns), {"all": rows >= 0}, NOW), "all", {})
    assert 200_000 < len(json.dumps(found)) < 300_000
    assert len(found["demographics"]) == 600
    assert sum("shortened" in described for described in found["demographics"].values()) > 0
    assert found["metrics"]["size"] == size


def test_numbers_of_any_magnitude_keep_the_report_finite() -> None:
    frame = Frame(4, {"amount": numbers(1e308, -1e308, 1e-300, 3)})
    found = report(measure(frame, {"all": members(4, 0, 1, 2, 3)}, NOW), "all", {})
    json.dumps(found, allow_nan=False)
    assert (found["demographics"]["amount"]["min"], found["demographics"]["amount"]["max"]) == (-1e308, 1e308)


def test_quantiles_of_more_than_1024_numbers_are_within_one_percent_and_the_range_is_exact() -> None:
    values = np.random.default_rng(7).lognormal(4, 2, 20_001)
    inside = values > np.median(values)
    frame = Frame(len(values), {"spent": NumberColumn(values)})
    described = report(measure(frame, {"rich": inside}, NOW), "rich", {})["demographics"]["spent"]
    expected = np.quantile(values[inside], [0.05, 0.25, 0.5, 0.75, 0.95])
    assert list(described["quantiles"].values()) == pytest.approx(expected, rel=0.01)
    assert (described["min"], described["max"]) == pytest.approx(
        (values[inside].min(), values[inside].max()), rel=1e-11
    )
    assert described["mean"] == pytest.approx(values[inside].mean(), rel=1e-9)
    assert sum(item["count"] for item in described["histogram"]) == inside.sum()


def test_quantiles_of_very_many_numbers_of_both_signs_are_within_one_percent() -> None:
    values = np.random.default_rng(8).lognormal(4, 2, 20_001) * np.where(np.arange(20_001) % 2, 1, -1)
    measured = measure(Frame(len(values), {"balance": NumberColumn(values)}), {}, NOW)
    quantiles = report(measured, "*", {})["demographics"]["balance"]["quantiles"]
    expected = np.quantile(values, [0.05, 0.25, 0.75, 0.95])
    assert [quantiles[name] for name in ("p5", "p25", "p75", "p95")] == pytest.approx(expected, rel=0.01)


def test_more_than_4096_days_fall_back_to_months_with_an_exact_range() -> None:
    days = np.datetime64("1950-01-03", "D") + np.arange(5000)
    described = report(measure(Frame(5000, {"born": DateColumn(days.astype("datetime64[us]"))}), {}, NOW), "*", {})
    born = described["demographics"]["born"]
    assert (born["min"], born["max"]) == ("1950-01-03", str(days[-1]))
    assert born["quantiles"]["p50"][:7] == str(days[2500])[:7]
    assert [item["from"] for item in born["histogram"]][:3] == ["1950-01-01", "1951-01-01", "1952-01-01"]
    assert sum(item["count"] for item in born["histogram"]) == 5000


def test_an_attribute_that_changed_its_type_between_partitions_is_read_as_the_type_of_most() -> None:
    older = measure(Frame(1, {"size": strings("XL")}), {}, NOW)
    newer = measure(Frame(2, {"size": numbers(42, 44)}), {}, NOW)
    described = report(merge([older, newer]), "*", {})["demographics"]["size"]
    assert (described["kind"], described["customers"], described["missing"]) == ("number", 2, 1)


def test_a_segment_that_one_partition_has_not_measured_keeps_its_range_and_moments() -> None:
    frame = Frame(2, {"age": numbers(30, 40)})
    merged = merge([measure(frame, {"new": members(2, 0, 1)}, NOW), measure(frame, {"old": members(2, 1)}, NOW)])
    described = report(merged, "new", {})["demographics"]["age"]
    assert (described["customers"], described["min"], described["max"], described["mean"]) == (2, 30.0, 40.0, 35.0)
    assert report(merged, "old", {})["metrics"]["share"] == 0.25


def test_attributes_are_listed_with_coverage_and_top_values_or_range(measured: dict[str, Any]) -> None:
    listed = attribute_statistics(measured)
    assert listed["country"] == {
        "kind": "string",
        "coverage": 0.833333,
        "distinctValues": 3,
        "topValues": [{"value": "DE", "count": 3}, {"value": "FR", "count": 1}, {"value": "US", "count": 1}],
    }
    assert listed["signup"]["range"] == {"min": "2023-01-01", "max": "2023-03-10"}
    assert listed["grossSpent"] == {
        "kind": "number",
        "coverage": 1.0,
        "range": {"min": 0.0, "max": 300.0},
        "median": 75.0,
    }
    assert listed["home"] == {"kind": "geo", "coverage": 0.666667}


def test_metrics_are_selected_by_name(vips: dict[str, Any]) -> None:
    assert tuple(vips["metrics"]) == METRICS
    assert select_metrics(vips, None) == vips
    chosen = select_metrics(vips, ["share", "size"])
    assert chosen["metrics"] == {"size": 3, "share": 0.5}
    assert chosen["demographics"] == vips["demographics"]


def test_an_unknown_metric_is_refused_with_the_known_ones(vips: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        select_metrics(vips, ["size", "vibes"])
    assert "'vibes'" in refused.value.message
    assert all(name in refused.value.errors[0].message for name in METRICS)


def test_a_segment_that_was_not_measured_is_named(measured: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="'ghosts'"):
        report(measured, "ghosts", {})


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected bool\[6\]"):
        measure(shop(), {"vips": members(5, 1)}, NOW)


def test_statistics_of_another_schema_are_refused(measured: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schema 0"):
        merge([measured, {**measured, "schema": 0}])


def test_nothing_to_merge_is_refused() -> None:
    with pytest.raises(ValueError, match="no partial"):
        merge([])


def test_choosing_metrics_loads_no_numpy() -> None:
    code = "import sys, segmentation.engine.analysis.selection; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
