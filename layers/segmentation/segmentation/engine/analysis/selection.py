"""Which metrics there are, and choosing some of a stored report. It must not load numpy: reading computes nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

from segmentation.errors import FieldError, InvalidInput

METRICS = (
    "size",
    "share",
    "buyers",
    "orders",
    "revenue",
    "netRevenue",
    "revenueShare",
    "returnShare",
    "averageOrderValue",
    "orderFrequency",
    "repeatRate",
    "recencyDays",
    "growth30d",
    "homogeneity",
    "distinctness",
    "overlap",
)


def select_metrics(whole: Mapping[str, Any], names: Iterable[str] | None) -> dict[str, Any]:
    """The report with the metrics named, in `METRICS` order; None keeps all. InvalidInput for an unknown name."""
    if names is None:
        return dict(whole)
    wanted = list(names)
    known = ", ".join(METRICS)
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        errors = [FieldError("metrics", f"unknown metric {name[:64]!r}; known are {known}") for name in unknown[:10]]
        raise InvalidInput(errors[0].message, errors)
    return {**whole, "metrics": {name: whole["metrics"][name] for name in METRICS if name in wanted}}
