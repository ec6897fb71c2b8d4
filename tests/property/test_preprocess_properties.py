"""Laws of the way from features to points, for random customers and random treatments."""

import json
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import BooleanColumn, Column, Floats, NumberColumn, Rows, StringColumn
from segmentation.engine.preprocess.chain import Chain, apply, fit, keep
from segmentation.engine.preprocess.moments import measure
from segmentation.engine.preprocess.recipe import Feature, MadClip, OneHot, Ordinal, Winsorise
from segmentation.engine.preprocess.selection import select
from segmentation.errors import InsufficientData

WORDS = ("a", "b", "c", "other", "d")
EXAMPLES = settings(deadline=None, max_examples=60)

amounts = st.one_of(
    st.integers(-3, 5).map(float),
    st.integers(-(10**11), 10**11).map(lambda cents: cents / 100),
    st.sampled_from([0.0, -0.0, 1e14]),
)
outliers = st.sampled_from([None, Winsorise(0.05, 0.9), MadClip(2.0)])
scalings = st.sampled_from([None, "standard", "robust"])
encodings = st.sampled_from(
    [OneHot(0.0, 3), OneHot(0.2, 20), OneHot(0.9, 2), Ordinal(("c", "a", "b", "d")), Ordinal(WORDS)]
)


@st.composite
def customers(draw: st.DrawFn) -> dict[str, Column]:
    """A number, a text and a boolean of 1 to 30 customers, each known of the first."""
    size = draw(st.integers(1, 30))
    numbers = [draw(amounts), *draw(st.lists(st.none() | amounts, min_size=size - 1, max_size=size - 1))]
    codes = [0, *draw(st.lists(st.integers(-1, 4), min_size=size - 1, max_size=size - 1))]
    truths = [1, *draw(st.lists(st.integers(-1, 1), min_size=size - 1, max_size=size - 1))]
    return {
        "x": NumberColumn(np.array([np.nan if number is None else number for number in numbers])),
        "text": StringColumn(np.array(codes, dtype=np.int32), WORDS),
        "truth": BooleanColumn(np.array(truths, dtype=np.int8)),
    }


@st.composite
def treatments(draw: st.DrawFn) -> list[Feature]:
    encoding = draw(encodings)
    text_missing = draw(st.sampled_from(["mode", "constant"]))
    text_scaling = draw(st.sampled_from([None, "standard"]))
    return [
        Feature(
            "x",
            missing=draw(st.sampled_from(["median", "mode"])),
            indicator=draw(st.booleans()),
            outliers=draw(outliers),
            log1p=draw(st.booleans()),
            scaling=draw(scalings),
        ),
        Feature(
            "text",
            missing=text_missing,
            constant="b" if text_missing == "constant" else None,
            indicator=draw(st.booleans()),
            scaling=text_scaling,
            encoding=encoding,
        ),
        Feature("truth", missing="mode", indicator=draw(st.booleans()), scaling=draw(scalings)),
    ]


def take(columns: dict[str, Column], rows: Rows) -> dict[str, Column]:
    return {name: column.take(rows) for name, column in columns.items()}


def bits(points: Floats) -> bytes:
    return points.tobytes()


@EXAMPLES
@given(customers(), treatments())
def test_points_are_finite_and_as_many_as_customers_and_names(
    columns: dict[str, Column], features: list[Feature]
) -> None:
    chain = fit(columns, features)
    points = apply(chain, columns)
    assert points.shape == (len(columns["x"].missing()), len(chain.names))
    assert np.isfinite(points).all()


@EXAMPLES
@given(customers(), customers(), treatments())
def test_a_customer_alone_is_the_same_point_as_among_others_to_the_last_bit(
    seen: dict[str, Column], later: dict[str, Column], features: list[Feature]
) -> None:
    chain = fit(seen, features)
    together = apply(chain, later)
    alone = [apply(chain, take(later, np.array([row]))) for row in range(len(together))]
    assert bits(np.concatenate(alone)) == bits(together)


@settings(deadline=None, max_examples=5)
@given(treatments(), st.integers(0, 2**32 - 1))
def test_a_customer_is_the_same_point_in_every_chunk(features: list[Feature], seed: int) -> None:
    random = np.random.default_rng(seed)
    size = 20_001
    columns: dict[str, Column] = {
        "x": NumberColumn(np.where(random.random(size) < 0.1, np.nan, random.lognormal(3, 2, size))),
        "text": StringColumn(random.integers(-1, 5, size).astype(np.int32), WORDS),
        "truth": BooleanColumn(random.integers(-1, 2, size).astype(np.int8)),
    }
    chain = fit(columns, features)
    rows = random.permutation(size)[:9_001]
    points = apply(chain, columns)
    assert bits(apply(chain, take(columns, rows))) == bits(points[rows])
    for row in rows[:20]:
        assert bits(apply(chain, take(columns, np.array([row])))) == bits(points[[row]])


@EXAMPLES
@given(customers(), treatments(), st.randoms(use_true_random=False))
def test_the_order_of_customers_does_not_matter_to_the_fit(
    columns: dict[str, Column], features: list[Feature], random: Random
) -> None:
    rows = np.array(random.sample(range(len(columns["x"].missing())), len(columns["x"].missing())))
    chain, shuffled = fit(columns, features), fit(take(columns, rows), features)
    assert shuffled.names == chain.names
    np.testing.assert_allclose(apply(shuffled, columns), apply(chain, columns), rtol=1e-7, atol=1e-7)


@EXAMPLES
@given(customers(), treatments(), st.integers(2, 4))
def test_customers_counted_several_times_change_nothing(
    columns: dict[str, Column], features: list[Feature], times: int
) -> None:
    # Quantiles between two rows do move: they are not in this law.
    features[0] = Feature("x", missing=features[0].missing, log1p=features[0].log1p, scaling="standard")
    features[2] = Feature("truth", missing="mode", scaling="standard")
    rows = np.tile(np.arange(len(columns["x"].missing())), times)
    chain, repeated = fit(columns, features), fit(take(columns, rows), features)
    assert repeated.names == chain.names
    np.testing.assert_allclose(apply(repeated, columns), apply(chain, columns), rtol=1e-7, atol=1e-7)


@EXAMPLES
@given(
    st.lists(st.none() | st.integers(-1000, 1000), min_size=1, max_size=30),
    st.sampled_from([0.5, 3.0, 1000.0]),
    st.integers(-50, 50),
    outliers,
    st.sampled_from(["standard", "robust"]),
)
def test_scaled_points_do_not_depend_on_the_unit(
    values: list[int | None], unit: float, shift: int, treatment: Winsorise | MadClip | None, scaling: str
) -> None:
    numbers = np.array([np.nan if value is None else value for value in [1, *values]], dtype=np.float64)
    feature = Feature("x", outliers=treatment, scaling="standard" if scaling == "standard" else "robust")
    one: dict[str, Column] = {"x": NumberColumn(numbers)}
    other: dict[str, Column] = {"x": NumberColumn(numbers * unit + shift)}
    expected = apply(fit(one, [feature]), one)
    np.testing.assert_allclose(apply(fit(other, [feature]), other), expected, rtol=1e-7, atol=1e-7)


@EXAMPLES
@given(customers(), treatments())
def test_a_chain_comes_back_from_its_document(columns: dict[str, Column], features: list[Feature]) -> None:
    chain = fit(columns, features)
    assert from_document(Chain, json.loads(json.dumps(to_document(chain), allow_nan=False))) == chain


@EXAMPLES
@given(customers(), treatments(), st.data())
def test_a_part_of_the_columns_is_computed_as_in_the_whole(
    columns: dict[str, Column], features: list[Feature], data: st.DataObject
) -> None:
    chain = fit(columns, features)
    kept = data.draw(st.lists(st.integers(0, len(chain.names) - 1), min_size=1, unique=True))
    assert bits(apply(keep(chain, kept), columns)) == bits(apply(chain, columns)[:, kept].copy())


@EXAMPLES
@given(customers(), treatments(), st.sampled_from([0.5, 0.8, 1.0]))
def test_every_column_is_kept_or_dropped_once_and_kept_ones_are_no_repetitions(
    columns: dict[str, Column], features: list[Feature], most: float
) -> None:
    chain = fit(columns, features)
    points = apply(chain, columns)
    try:
        found = select(points, chain.names, max_correlation=most)
    except InsufficientData:
        assert (points == points[0]).all()
        return
    assert sorted([*found.names, *(column.name for column in found.dropped)]) == sorted(chain.names)
    correlation = measure(points[:, found.kept]).correlation()
    np.fill_diagonal(correlation, 0.0)
    assert np.abs(correlation).max() <= most + 1e-9


@EXAMPLES
@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2), min_size=1, max_size=30), st.data())
def test_moments_do_not_depend_on_how_rows_are_split(rows: list[list[float]], data: st.DataObject) -> None:
    points = np.array(rows)
    cut = data.draw(st.integers(0, len(points)))
    whole, merged = measure(points), measure(points[:cut]).merge(measure(points[cut:]))
    assert merged.count == whole.count == len(points)
    np.testing.assert_allclose(merged.mean, points.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(merged.variance(), points.var(axis=0), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(whole.products, merged.products, rtol=1e-9, atol=1e-6)
