"""Profiles of clusters: every kind of attribute, what is too little to tell, and names that tell clusters apart."""

import csv
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.clustering.profiles import Profile, describe, distinct_names, redundant
from segmentation.engine.clustering.traits import Trait
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import (
    BooleanColumn,
    Codes,
    Column,
    DateColumn,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.errors import InvalidInput

HALVES = np.repeat([0, 1], 50).astype(np.int32)
"""100 customers in two clusters."""


def number(*values: float) -> NumberColumn:
    return NumberColumn(np.array(values, dtype=np.float64))


def text(values: Sequence[str | None]) -> StringColumn:
    known = sorted({value for value in values if value is not None})
    return StringColumn(np.array([-1 if v is None else known.index(v) for v in values], dtype=np.int32), tuple(known))


def lists(values: Sequence[list[str] | None]) -> ListColumn:
    known = sorted({item for value in values for item in value or ()})
    lengths = [len(value or ()) for value in values]
    codes = np.array([known.index(item) for value in values for item in value or ()], dtype=np.int32)
    absent = np.array([value is None for value in values])
    return ListColumn(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), codes, tuple(known), absent)


def only(profile: Profile) -> Trait:
    assert len(profile.traits) == 1
    return profile.traits[0]


def described(column: Column, labels: Codes = HALVES) -> tuple[Profile, ...]:
    return describe({"thing": column}, labels, 2)


# -------------------------------------------------------------------------- differences


def test_a_number_is_compared_by_its_standardised_difference() -> None:
    low, high = described(number(*[1.0, 3.0] * 25, *[5.0, 7.0] * 25))
    # Means 2 and 6 about 4, variance of everyone (9 + 1 + 1 + 9) / 4.
    trait = only(high)
    assert (trait.attribute, trait.value, trait.measure) == ("thing", "high", "difference")
    assert (trait.cluster, trait.everyone) == (6, 4)
    assert trait.effect == trait.strength == pytest.approx(2 / sqrt(5))
    assert trait.sentence == "'thing' is higher: 6 on average, 4 for everyone"
    assert only(low).effect == pytest.approx(-2 / sqrt(5)) and only(low).strength == pytest.approx(2 / sqrt(5))
    assert only(low).value == "low" and "lower: 2 on average" in only(low).sentence
    assert [(profile.name, profile.size, profile.share) for profile in (low, high)] == [
        ("Low thing", 50, 0.5),
        ("High thing", 50, 0.5),
    ]


def test_one_customer_who_spends_like_a_thousand_hides_nothing() -> None:
    values = [1.0, 3.0] * 25 + [5.0, 7.0] * 25
    values[-1] = 1e9
    trait = only(described(number(*values))[1])
    assert trait.value == "high" and trait.effect == pytest.approx(2 / sqrt(5), abs=0.05)


def test_a_mean_that_one_customer_turns_round_is_no_trait() -> None:
    values = [1.0, 3.0] * 25 + [5.0, 7.0] * 25
    values[0] = 1e9
    assert described(number(*values))[0].traits == ()


def test_a_boolean_is_compared_by_the_shares_of_true() -> None:
    values = np.array([1] * 10 + [0] * 40 + [1] * 40 + [0] * 5 + [-1] * 5, dtype=np.int8)
    seldom, often = described(BooleanColumn(values))
    assert only(often).cluster == pytest.approx(40 / 45) and only(often).everyone == pytest.approx(50 / 95)
    share = 50 / 95
    assert only(often).effect == pytest.approx((40 / 45 - share) / sqrt(share * (1 - share)))
    assert only(often).sentence == "'thing' is true more often: for 88.9%, 52.6% of everyone"
    assert (seldom.name, only(seldom).value, often.name, only(often).value) == ("No thing", "false", "thing", "true")


def test_a_date_is_compared_by_days() -> None:
    days = np.array(["2026-01-01", "2026-01-03", "2026-03-01", "2026-03-03"], dtype="datetime64[us]")
    early, late = described(DateColumn(np.append(np.repeat(days, [25, 25, 25, 24]), np.datetime64("NaT", "us"))))
    assert (early.name, late.name) == ("Early thing", "Late thing")
    assert only(early).cluster == (np.datetime64("2026-01-02") - np.datetime64("1970-01-01")).astype(int)
    assert "2026-01-02 on average, 2026-01-" in only(early).sentence and "earlier" in only(early).sentence


# -------------------------------------------------------------------------------- lifts


def test_a_text_is_compared_by_lift_among_those_who_have_one() -> None:
    column = text(["DE"] * 30 + ["FR"] * 10 + [None] * 10 + ["DE"] * 10 + ["FR"] * 40)
    german, french = described(column)
    share = 40 / 90
    assert (only(german).measure, only(german).value) == ("lift", "DE")
    assert (only(german).cluster, only(german).everyone) == (30 / 40, share)
    assert only(german).effect == pytest.approx(0.75 / share)
    assert only(german).strength == pytest.approx((0.75 - share) / sqrt(share * (1 - share)))
    assert only(german).sentence == "'thing' is 'DE' for 75.0%, 44.4% of everyone: 1.69 times"
    assert (german.name, french.name) == ("thing DE", "thing FR")


def test_a_value_that_a_list_repeats_counts_once() -> None:
    column = lists([["a", "a", "a"]] * 20 + [["b"]] * 30 + [["b", "c"]] * 30 + [[]] * 10 + [None] * 10)
    first, second = described(column)
    assert (only(first).value, only(first).cluster, only(first).everyone) == ("a", 0.4, 20 / 90)
    assert (only(second).value, only(second).cluster) == ("c", 0.75)


def test_a_value_that_few_customers_share_is_never_shown() -> None:
    labels = np.repeat([0, 1], [50, 950]).astype(np.int32)
    nine, ten = (text(["rare"] * count + ["b"] * (1_000 - count)) for count in (9, 10))
    assert described(nine, labels)[0].traits == ()
    assert only(described(ten, labels)[0]).value == "rare"


def test_a_value_that_hardly_any_of_a_large_cluster_share_does_not_describe_it() -> None:
    labels = np.repeat([0, 1], [1_000, 99_000]).astype(np.int32)
    below, from_there = (text(["rare"] * count + ["b"] * (100_000 - count)) for count in (49, 50))
    assert described(below, labels)[0].traits == ()
    assert only(described(from_there, labels)[0]).value == "rare"


def test_long_texts_are_no_categories() -> None:
    fitting, longer = (text(["x" * length] * 50 + ["b"] * 50) for length in (100, 101))
    assert len(described(fitting)[0].traits) == 1
    assert described(longer)[0].traits == ()


# --------------------------------------------------------------------- too little to tell


@pytest.mark.parametrize(
    "column",
    [
        number(*[0.1] * 100),
        number(*[float("nan")] * 100),
        number(*[float("nan")] * 91, *range(9)),
        number(*[-1e308, 1e308] * 50),
        text(["same"] * 100),
        text([None] * 100),
        lists([None] * 100),
        lists([[]] * 100),
        BooleanColumn(np.ones(100, dtype=np.int8)),
        DateColumn(np.full(100, np.datetime64("NaT", "us"))),
        GeoColumn(np.arange(100.0), np.arange(100.0)),
    ],
    ids=lambda column: type(column).__name__,
)
def test_what_does_not_differ_describes_nobody(column: Column) -> None:
    assert [profile.traits for profile in described(column)] == [(), ()]
    assert [profile.name for profile in described(column)] == ["Like everyone", "Like everyone (2)"]


def test_chance_is_no_trait() -> None:
    random = np.random.default_rng(11)
    noise: dict[str, Column] = {f"n{n}": NumberColumn(random.normal(size=400)) for n in range(20)}
    noise |= {f"t{n}": text([str(value) for value in random.integers(0, 8, 400)]) for n in range(20)}
    profiles = describe(noise, random.integers(0, 4, 400).astype(np.int32), 4)
    assert sum(len(profile.traits) for profile in profiles) <= 2


def test_only_customers_in_a_cluster_are_everyone() -> None:
    values = number(*[1.0, 3.0] * 25, *[5.0, 7.0] * 25)
    outside = number(*values.values, *[1e6] * 40)
    labels = np.append(HALVES, [-1] * 40).astype(np.int32)
    assert described(outside, labels) == described(values)
    texts = ["DE"] * 30 + ["FR"] * 20 + ["DE"] * 10 + ["FR"] * 40
    assert described(text([*texts, *["XX"] * 40]), labels) == described(text(texts))
    items = [["a"]] * 30 + [["b"]] * 70
    assert described(lists([*items, *[["c"]] * 40]), labels) == described(lists(items))


def test_an_empty_cluster_and_nobody_at_all_have_empty_profiles() -> None:
    values = number(*[1.0, 3.0] * 25, *[5.0, 7.0] * 25)
    profiles = describe({"thing": values}, HALVES * np.int32(2), 3)
    assert (profiles[1].name, profiles[1].size, profiles[1].traits) == ("Like everyone", 0, ())
    nobody = describe({"thing": number()}, np.zeros(0, dtype=np.int32), 2)
    assert [(profile.size, profile.share) for profile in nobody] == [(0, 0), (0, 0)]


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match="numbers below k=1"):
        describe({}, HALVES, 1)
    with pytest.raises(InvalidInput, match="'thing' has 3 rows, the labels 100"):
        described(number(1.0, 2.0, 3.0))
    with pytest.raises(InvalidInput, match="k=0"):
        describe({}, HALVES, 0)


def test_the_strongest_traits_come_first_and_no_more_than_asked() -> None:
    random = np.random.default_rng(3)
    columns = {f"a{n}": NumberColumn(HALVES * n + random.normal(size=100)) for n in (2, 5, 3, 4)}
    first = describe(columns, HALVES, 2, top=3)[1]
    assert [trait.attribute for trait in first.traits] == ["a5", "a4", "a3"]


def test_a_number_that_few_of_a_cluster_have_does_not_describe_it() -> None:
    known = np.append(np.full(50, 3.0) + np.arange(50) / 100, np.full(50, np.nan))
    known[50:74] = 9.0
    assert described(NumberColumn(known))[1].traits == ()
    known[74] = 9.0
    assert only(described(NumberColumn(known))[1]).value == "high"


def test_names_are_made_of_the_features_that_clusters_were_found_by() -> None:
    random = np.random.default_rng(3)
    columns = {f"a{n}": NumberColumn(HALVES * n + random.normal(size=100)) for n in (2, 5, 3, 4)}
    low, high = describe(columns, HALVES, 2, top=2, named_by={"a2"})
    assert [trait.attribute for trait in high.traits] == ["a5", "a4"]
    assert (low.name, high.name) == ("Low a2, low a5", "High a2, high a5")


def test_profiles_are_values_that_a_model_can_carry() -> None:
    for profile in described(text(["DE"] * 40 + ["FR"] * 60)):
        assert from_document(Profile, to_document(profile)) == profile


# -------------------------------------------------------------------------------- names


def trait(attribute: str, value: str = "high", strength: float = 1.0) -> Trait:
    measure = "difference" if value in ("high", "low", "late", "early", "true", "false") else "lift"
    return Trait(attribute, value, measure, 0.0, 0.0, strength, strength, "")  # type: ignore[arg-type]


def test_a_name_is_made_of_the_two_strongest_traits() -> None:
    names = distinct_names(
        [
            (trait("totalSpent"), trait("recencyDays", "low"), trait("age")),
            (trait("totalSpent", "low", 1.5), trait("country", "DE")),
            (trait("country", "DE"), trait("newsletter", "true")),
            (trait("newsletter", "false"), trait("lastOrderAt", "late")),
        ]
    )
    assert names == (
        "High totalSpent, low recencyDays",
        "Very low totalSpent, country DE",
        "country DE, newsletter",
        "No newsletter, late lastOrderAt",
    )


def test_clusters_that_share_two_traits_take_a_third() -> None:
    shared = (trait("spent"), trait("orders"))
    names = distinct_names([(*shared, trait("age")), (*shared, trait("age", "low")), (trait("age"),)])
    assert names == ("High spent, high orders, high age", "High spent, high orders, low age", "High age")


def test_the_same_words_in_another_order_are_the_same_name() -> None:
    one, other = trait("age"), trait("income")
    assert distinct_names([(one, other, trait("city", "low")), (other, one)]) == (
        "High age, high income, low city",
        "High income, high age",
    )


def test_clusters_that_cannot_be_told_apart_are_numbered() -> None:
    alike = (trait("spent"), trait("orders"))
    assert distinct_names([alike, alike, (trait("city", "x (2)"),), alike]) == (
        "High spent, high orders",
        "High spent, high orders (2)",
        "city x (2)",
        "High spent, high orders (3)",
    )
    assert distinct_names([(trait("city", "x"),), (trait("city", "x"),), (trait("city", "x (2)"),)]) == (
        "city x",
        "city x (2)",
        "city x (2) (2)",
    )


def test_a_name_does_not_say_the_same_thing_twice() -> None:
    spent = np.random.default_rng(2).lognormal(3, 1, 300)
    days = np.datetime64("2026-06-01") - (np.arange(300) % 90).astype("timedelta64[D]")
    columns: dict[str, Column] = {
        "gross": NumberColumn(spent),
        "net": NumberColumn(np.where(np.arange(300) == 7, np.nan, spent * 0.97)),
        "last": DateColumn(days.astype("datetime64[us]")),
        "recency": NumberColumn((np.arange(300) % 90).astype(np.float64)),
        "age": NumberColumn(np.random.default_rng(4).normal(40, 10, 300)),
        "constant": NumberColumn(np.ones(300)),
        "empty": NumberColumn(np.full(300, np.nan)),
        "country": text(["DE"] * 300),
    }
    pairs = redundant(columns, columns)
    assert {tuple(sorted(pair)) for pair in pairs} == {("gross", "net"), ("last", "recency")}
    assert distinct_names([(trait("gross"), trait("net"), trait("age"))], pairs) == ("High gross, high age",)


def test_long_words_are_cut() -> None:
    (name,) = distinct_names([(trait("a" * 100), trait("city", "c" * 100))])
    assert name == "High " + "a" * 39 + "…, city " + "c" * 39 + "…"


def test_mall_customers_are_described_as_everybody_describes_them(data: Path) -> None:
    path = data.parent / "reference" / "expected" / "mall_k5_labels.csv"
    if not path.is_file():
        pytest.skip(f"no labels per customer at {path}")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    columns: dict[str, Column] = {
        name: number(*(float(row[column]) for row in rows))
        for name, column in {
            "income": "Annual Income (k$)",
            "spending": "Spending Score (1-100)",
            "age": "Age",
        }.items()
    }
    columns["gender"] = text([row["Gender"] for row in rows])
    labels = np.array([int(row["cluster_k5"]) for row in rows], dtype=np.int32)
    profiles = describe(columns, labels, int(labels.max()) + 1)
    assert {profile.name: profile.size for profile in profiles} == {
        "Like everyone": 81,
        "High spending, high income": 39,
        "Low spending, high income": 35,
        "Low income, low spending": 23,
        "Low income, high spending": 22,
    }
