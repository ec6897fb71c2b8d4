"""Laws of silhouettes, indices and profiles, on small crowds with many equal customers."""

from functools import partial
from math import inf, isnan, nan
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from segmentation.engine.clustering.indices import adjusted_rand, inertia, spread
from segmentation.engine.clustering.profiles import describe
from segmentation.engine.clustering.quality import Quality, Stability, measure, stability, verdict
from segmentation.engine.clustering.silhouette import silhouette
from segmentation.engine.document import from_document, to_document
from segmentation.engine.frame import BooleanColumn, Codes, Column, Floats, NumberColumn, StringColumn

quickly = settings(deadline=None, max_examples=60)

close = partial(pytest.approx, rel=1e-7, abs=1e-7, nan_ok=True)
"""Two equal rows may be as much as the root of a rounding error apart."""

value = st.sampled_from([-3.0, -1.0, 0.0, 0.5, 2.0, 7.0])


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Floats, Codes]:
    """Points (n, d) and labels from -1 to 3 (n,); two clusters at least have customers."""
    rows, columns = draw(st.integers(2, 14)), draw(st.integers(1, 3))
    points = draw(st.lists(st.lists(value, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    labels = draw(st.lists(st.integers(-1, 3), min_size=rows, max_size=rows))
    assume(len({*labels} - {-1}) > 1)
    return np.array(points), np.array(labels, dtype=np.int32)


def figures(points: Floats, labels: Codes) -> list[float]:
    """Everything that is said of a partition, in one list."""
    found = measure(points, labels, np.nan_to_num(spread(points, labels, 4).centres))
    assert found.silhouette
    return [
        found.silhouette.mean,
        *found.silhouette.per_cluster,
        found.explained,
        *found.homogeneity,
        *found.separation,
        *map(float, found.sizes),
        found.calinski_harabasz if found.calinski_harabasz < 1e20 else inf,
        found.davies_bouldin if found.davies_bouldin < 1e12 else inf,
    ]


@quickly
@given(crowds(), st.randoms(use_true_random=False))
def test_the_order_of_customers_does_not_matter(crowd: tuple[Floats, Codes], random: Random) -> None:
    points, labels = crowd
    order = np.random.default_rng(random.randint(0, 9)).permutation(len(labels))
    assert figures(points[order], labels[order]) == close(figures(points, labels))


@quickly
@given(crowds(), st.sampled_from([0.25, 4.0, 1024.0]), st.sampled_from([-16.0, 0.0, 64.0]))
def test_scale_and_origin_do_not_matter(crowd: tuple[Floats, Codes], scale: float, origin: float) -> None:
    points, labels = crowd
    assert figures(points * scale + origin, labels) == close(figures(points, labels))


@quickly
@given(crowds())
def test_every_customer_twice_changes_no_shares_and_no_distances(crowd: tuple[Floats, Codes]) -> None:
    points, labels = crowd
    once, twice = spread(points, labels, 4), spread(np.repeat(points, 2, axis=0), np.repeat(labels, 2), 4)
    for name in ("radii", "homogeneity", "separation"):
        assert getattr(twice, name).tolist() == close(getattr(once, name).tolist())
    assert twice.inertia == close(2 * once.inertia)
    assert twice.davies_bouldin == close(once.davies_bouldin)


@quickly
@given(crowds())
def test_figures_stay_within_their_bounds(crowd: tuple[Floats, Codes]) -> None:
    points, labels = crowd
    found = silhouette(points, labels)
    assert all(isnan(width) or -1 <= width <= 1 for width in (found.mean, *found.per_cluster))
    assert found.exact and found.rows == np.count_nonzero(labels >= 0)
    lying = spread(points, labels)
    assert -1e-9 <= lying.explained <= 1 and all(isnan(value) or value <= 1 for value in lying.homogeneity)
    assert lying.squares.sum() <= lying.all_squares * (1 + 1e-12) + 1e-12


@quickly
@given(crowds(), st.lists(value, min_size=3, max_size=3))
def test_no_other_centres_have_less_inertia_than_the_means(crowd: tuple[Floats, Codes], shift: list[float]) -> None:
    points, labels = crowd
    lying = spread(points, labels, 4)
    moved = np.nan_to_num(lying.centres) + np.array(shift)[: points.shape[1]]
    assert inertia(points, labels, np.nan_to_num(lying.centres)) == close(lying.inertia)
    assert inertia(points, labels, moved) >= lying.inertia - 1e-9


@quickly
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.permutations(range(4)))
def test_agreement_is_symmetric_and_blind_to_numbers(pairs: list[tuple[int, int]], numbers: list[int]) -> None:
    one, other = (np.array(labels, dtype=np.int32) for labels in zip(*pairs, strict=True))
    found = adjusted_rand(one, other)
    assert found == adjusted_rand(other, one) == adjusted_rand(np.array(numbers, dtype=np.int32)[one], other)
    assert -1 <= found <= 1 and adjusted_rand(one, one) == 1


@quickly
@given(st.integers(0, 2**32 - 1))
def test_the_seed_decides_what_is_drawn(seed: int) -> None:
    random = np.random.default_rng(7)
    points, labels = random.normal(size=(120, 2)), random.integers(0, 3, 120).astype(np.int32)

    def halves(drawn: Floats, k: int) -> Floats:
        return np.quantile(drawn, np.linspace(0, 1, k), axis=0)

    one, again = (silhouette(points, labels, seed=seed, exact_limit=100, sample=60) for _ in range(2))
    assert one == again and not one.exact and one.standard_error > 0
    assert stability(points, 3, halves, bootstraps=3, seed=seed) == stability(
        points, 3, halves, bootstraps=3, seed=seed
    )


@quickly
@given(crowds(), st.floats(-1, 1))
def test_every_verdict_gives_its_figure_and_threshold(crowd: tuple[Floats, Codes], agreement: float) -> None:
    points, labels = crowd
    quality = measure(points, labels, np.nan_to_num(spread(points, labels, 4).centres))
    found = verdict(quality, Stability(agreement, agreement, (agreement,), len(points)))
    assert [judged.question for judged in found] == ["coherent", "distinct", "largeEnough", "stable"]
    for judged in found:
        assert (judged.figure >= judged.threshold) == (judged.answer == "yes")
        assert judged.sentence.endswith(".") and "threshold of" in judged.sentence
    assert repr(from_document(Quality, to_document(quality))) == repr(quality)


@quickly
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 3),
            st.sampled_from([nan, -1e300, 0.0, 1.0, 2.5, 1e9]),
            st.integers(-1, 2),
            st.integers(-1, 1),
        ),
        max_size=80,
    ),
    st.integers(1, 6),
)
def test_profiles_count_everybody_and_names_differ(rows: list[tuple[int, float, int, int]], times: int) -> None:
    labels, numbers, texts, truths = zip(*(rows * times), strict=True) if rows else ((), (), (), ())
    columns: dict[str, Column] = {
        "number": NumberColumn(np.array(numbers, dtype=np.float64)),
        "text": StringColumn(np.array(texts, dtype=np.int32), ("a", "b", "c")),
        "truth": BooleanColumn(np.array(truths, dtype=np.int8)),
    }
    profiles = describe(columns, np.array(labels, dtype=np.int32), 4)
    assert len({profile.name for profile in profiles}) == 4
    assert [profile.size for profile in profiles] == [labels.count(cluster) for cluster in range(4)]
    for profile in profiles:
        strengths = [trait.strength for trait in profile.traits]
        assert strengths == sorted(strengths, reverse=True) and all(np.isfinite(strengths))
        for trait in profile.traits:
            assert profile.size >= 10 and (trait.cluster > trait.everyone) == (trait.value not in ("low", "false"))
