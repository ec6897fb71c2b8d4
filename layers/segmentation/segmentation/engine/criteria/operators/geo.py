"""Places: great-circle distances on a sphere of the Earth's mean radius."""

from collections.abc import Callable
from typing import cast

import numpy as np

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import Prepared
from segmentation.engine.criteria.times import Clock
from segmentation.engine.criteria.tree import Circle, Condition, Point
from segmentation.engine.frame import Bools, Column, Floats, GeoColumn

EARTH_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""


def check(condition: Condition, column: Column, _prepared: Prepared, _clock: Clock) -> Check:
    """A condition on a place over a column."""
    places = cast(GeoColumn, column)
    holds = _predicate(condition)
    return Check(lambda start, stop: holds(places.latitude[start:stop], places.longitude[start:stop]))


def distance_km(latitude: Floats, longitude: Floats, place: Point | Circle) -> Floats:
    """Kilometres from points (degrees) to a place by the haversine formula; NaN where a point is missing."""
    north, east = np.radians(latitude - place.latitude), np.radians(longitude - place.longitude)
    across = np.cos(np.radians(latitude)) * np.cos(np.radians(place.latitude))
    half = np.sin(north / 2) ** 2 + across * np.sin(east / 2) ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(half, 1))))


def _predicate(condition: Condition) -> Callable[[Floats, Floats], Bools]:
    if condition.operator == "within_km":
        circle = cast(Circle, condition.value)
        return lambda latitude, longitude: distance_km(latitude, longitude, circle) <= circle.km
    if condition.operator not in ("eq", "in"):
        raise ValueError(f"no operator {condition.operator!r} on places")
    given = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    points = cast(tuple[Point, ...], given)

    def among(latitude: Floats, longitude: Floats) -> Bools:
        rows = np.zeros(len(latitude), dtype=np.bool_)
        for point in points:
            rows |= (latitude == point.latitude) & (longitude == point.longitude)
        return rows

    return among
