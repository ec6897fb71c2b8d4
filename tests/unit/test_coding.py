"""Equal values and equal rows: codes, distinct rows and their counts, on every path that the data can take."""

import math

import numpy as np
import pytest

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime import coding
from segmentation.engine.lifetime.coding import coded, counted, distinct


def columns(unit: float, size: int = 3_000) -> tuple[Floats, Floats, Floats]:
    random = np.random.default_rng(11)
    return tuple(random.integers(0, most, size) * unit for most in (3, 20, 40))  # type: ignore[return-value]


@pytest.mark.parametrize("unit", [1.0, 1 / 7, 0.01, math.pi, 1e12, 1e306])
def test_codes_lead_back_to_the_values_in_their_order(unit: float) -> None:
    for values in columns(unit):
        found = coded(values)
        np.testing.assert_array_equal(found.values[found.codes], values)
        assert np.all(np.diff(found.values) > 0)


def test_days_as_parts_of_a_week_are_coded_as_days() -> None:
    days = np.random.default_rng(12).integers(0, 9_000, 50_000)
    np.testing.assert_array_equal(coded(days / 7).codes, days)


def test_a_value_off_the_lattice_is_seen_behind_a_hundred_thousand_on_it() -> None:
    values = np.append(np.ones(100_000), 1 + 2**-52)
    np.testing.assert_array_equal(coded(values).codes, np.append(np.zeros(100_000), 1))


def test_a_lattice_with_too_many_points_is_not_laid_out() -> None:
    found = coded(np.array([0.0, 1e9, 5.0]))
    np.testing.assert_array_equal(found.values, [0.0, 5.0, 1e9])
    np.testing.assert_array_equal(found.codes, [0, 2, 1])


@pytest.mark.parametrize("unit", [1.0, math.pi])
@pytest.mark.parametrize(("whole", "sparse"), [(coding._WHOLE, 4), (coding._WHOLE, 0), (100, 4), (100, 0)])
def test_every_path_finds_the_same_rows(unit: float, whole: int, sparse: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "_WHOLE", whole)
    monkeypatch.setattr(coding, "_SPARSE", sparse)
    given = columns(unit)
    rows, inverse, counts = np.unique(np.column_stack(given), axis=0, return_inverse=True, return_counts=True)
    found = distinct(*(coded(column) for column in given))
    np.testing.assert_array_equal(found.inverse, inverse)
    for number, column in enumerate(given):
        np.testing.assert_array_equal(column[found.one], rows[:, number])
    several, times = counted(*(coded(column) for column in given))
    np.testing.assert_array_equal(np.column_stack(several), rows)
    np.testing.assert_array_equal(times, counts)


def test_no_rows_have_no_distinct_ones() -> None:
    nothing = coded(np.zeros(0))
    assert len(distinct(nothing, nothing).one) == 0
    assert len(counted(nothing, nothing)[1]) == 0
