"""Customers with attributes and purchases, and a small fitted model of every kind on them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from segmentation.engine.frame import BooleanColumn, Column, EventTable, Frame, NumberColumn, StringColumn
from segmentation.engine.lifetime.purchases import of_orders
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.kinds import Fitted
from segmentation.engine.modelling.points import SelectionParameters
from segmentation.engine.preprocess.recipe import Feature
from segmentation.engine.rfm.scoring import Quantiles
from support.purchasing import customers

NOW = np.datetime64("2026-03-01T12:00:00", "us")
THREE = ("recencyDays", "orderCount", "totalSpent")
KINDS = ("rfm", "cluster", "lifetime", "churn")
LABEL = "closed"

_SELECTION = SelectionParameters(1e-6, 0.95, None, None)
FEATURES = tuple(Feature(name, log1p=True, scaling="standard") for name in THREE)
CLUSTERS = cluster.ClusterParameters("kmeans", 3, (2, 12), "silhouette", 3, 2, _SELECTION, 0)
_LIFETIME = lifetime.LifetimeParameters(12, 0.01, None, (0.5, 0.3, 0.2), ("Low", "Medium", "High"))
_CHURN = churn.ChurnParameters(LABEL, None, 1.0, 2, (0.3, 0.7), _SELECTION, 0)


def shop(size: int, seed: int = 5) -> Frame:
    """Customers who order as BG/NBD says, until the day of NOW; who orders often closes the account more often."""
    random = np.random.default_rng(seed)
    frequency, recency, age = customers(size, seed)
    counts = frequency.astype(int) + 1
    day = int(NOW.astype("datetime64[D]").astype(int))
    first = day - np.rint(age * 7).astype(int)
    last = first + np.rint(recency * 7).astype(int)
    lines = [np.linspace(first[number], last[number], counts[number]).astype(int) for number in range(size)]
    times = np.concatenate([np.empty(0, dtype=int), *lines]).astype("datetime64[D]").astype("datetime64[us]")
    offsets = np.cumsum([0, *counts])
    spend = np.repeat(random.gamma(6, 10, size), counts) * random.gamma(4, 0.25, len(times))
    total = np.array([spend[begin:end].sum() for begin, end in pairwise(offsets)])
    columns: dict[str, Column] = {
        "country": StringColumn(random.integers(-1, 3, size).astype(np.int32), ("DE", "FR", "US")),
        LABEL: BooleanColumn((random.random(size) < 1 / (1 + np.exp(3 - frequency))).astype(np.int8)),
        "recencyDays": NumberColumn((age - recency) * 7),
        "orderCount": NumberColumn(counts.astype(float)),
        "totalSpent": NumberColumn(total),
    }
    orders = EventTable(offsets.astype(np.int64), times, {"amount": NumberColumn(spend)})
    return Frame(size, columns, {"order": orders}, tuple(f"s{number:05d}" for number in range(size)))


def fitted(kind: str, frame: Frame, *, k: int = 3, seed: int = 0) -> Fitted:
    """A model of these customers."""
    match kind:
        case "rfm":
            return rfm.fit(frame, THREE, Quantiles(5), None)[0]
        case "cluster":
            return cluster.fit(frame, FEATURES, replace(CLUSTERS, k=k, seed=seed), "m")[0]
        case "lifetime":
            return lifetime.fit(of_orders(frame.events["order"]), NOW, _LIFETIME)[0]
    return churn.fit(frame, FEATURES, _CHURN)[0]
