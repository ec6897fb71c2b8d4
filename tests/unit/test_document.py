"""Fitted values as documents: what goes in comes out, bit by bit, and nothing else comes out."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segmentation.engine.document import from_document, to_document


@dataclass(frozen=True)
class Winsorise:
    lower: float
    upper: float


@dataclass(frozen=True)
class Clip:
    limit: float


@dataclass(frozen=True, eq=False)
class Fitted:
    name: str
    count: int
    score: float
    outliers: Winsorise | Clip | None
    centres: NDArray[np.float64]
    labels: NDArray[np.int32]
    steps: tuple[Winsorise, ...]
    pair: tuple[int, int]
    shares: dict[str, float]
    constant: float | str | None = None


FITTED = Fitted(
    name="k-means",
    count=3,
    score=math.nan,
    outliers=Clip(2.5),
    centres=np.array([[0.1, math.inf], [math.nan, -1e-300]]),
    labels=np.array([1, 0, -1], dtype=np.int32),
    steps=(Winsorise(0.1, 0.9),),
    pair=(1, 2),
    shares={"DE": 1 / 3},
)


def through_json(value: Fitted) -> Fitted:
    return from_document(Fitted, json.loads(json.dumps(to_document(value), allow_nan=False)))


def test_a_fitted_value_survives_json() -> None:
    found = through_json(FITTED)
    assert (found.name, found.count, found.pair, found.shares) == ("k-means", 3, (1, 2), {"DE": 1 / 3})
    assert math.isnan(found.score) and found.constant is None
    assert found.outliers == Clip(2.5) and found.steps == (Winsorise(0.1, 0.9),)
    assert np.array_equal(found.centres, FITTED.centres, equal_nan=True) and found.centres.dtype == np.float64
    assert np.array_equal(found.labels, FITTED.labels) and found.labels.dtype == np.int32


@pytest.mark.parametrize("constant", [None, 1.5, "unknown"])
def test_a_field_of_several_types_comes_back_as_what_it_was(constant: float | str | None) -> None:
    assert through_json(replace(FITTED, constant=constant)).constant == constant


@settings(deadline=None)
@given(st.lists(st.floats(), max_size=20))
def test_every_float_comes_back_bit_by_bit(values: list[float]) -> None:
    found = through_json(replace(FITTED, centres=np.array(values)))
    assert np.array_equal(found.centres, np.array(values), equal_nan=True)


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5},
        {"count": "3"},
        {"count": True},
        {"score": "high"},
        {"outliers": {"type": "Fitted"}},
        {"centres": [[1.0], [1.0, 2.0]]},
        {"labels": [1.5]},
        {"pair": [1]},
        {"shares": 5},
        {"type": "Clip"},
    ],
)
def test_a_document_of_another_shape_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        from_document(Fitted, to_document(FITTED) | change)


def test_a_missing_field_is_refused_unless_it_has_a_default() -> None:
    document = to_document(FITTED)
    del document["constant"]
    assert from_document(Fitted, document).constant is None
    del document["count"]
    with pytest.raises(ValueError):
        from_document(Fitted, document)


def test_what_is_no_fitted_value_cannot_become_a_document() -> None:
    with pytest.raises(TypeError, match="set"):
        to_document({"a": {1, 2}})
