"""Whether the service and the analyst's script came to the same result: segments exactly, models within tolerance."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import shop
from segmentation.engine.frame import Bools
from segmentation.store import models
from segmentation.store.store import Store

Found = Mapping[str, Any]
Row = tuple[str, str, str]

CUTS, PARAMETERS, TOTALS, GROUPS, INERTIA = 1e-3, 0.01, 0.01, 0.005, 0.01
"""How far figures may lie apart, as a share; `GROUPS` is a share of all customers."""


def compared(store: Store, found: Found, masks: Sequence[Mapping[str, Bools]]) -> str:
    """A table of both results. Ends the program where they differ."""
    sizes = {name: sum(int(part[name].sum()) for part in masks) for name in masks[0]}
    customers = sum(len(next(iter(part.values()))) for part in masks)
    rows = [*_segments(sizes, found), *_rfm(store, found["rfm"], sizes, customers)]
    rows += [*_clusters(store, found["clusters"], sizes, customers), *_lifetime(store, found["lifetime"])]
    lines = [f"| {name} | {ours} | {theirs} |" for name, ours, theirs in rows]
    return "\n".join(["| result | service | script |", "|---|---:|---:|", *lines])


def _document(store: Store, model_id: str) -> tuple[Found, Found]:
    """The published version's fitted values and report."""
    summary, _ = models.get(store.table, model_id)
    document = models.read_file(store.files, model_id, summary.publishedVersion or 0)
    return document["model"], document["report"]


def _segments(sizes: Mapping[str, int], found: Found) -> list[Row]:
    ours = {name: size for name, size in sizes.items() if name in found["sizes"]}
    if ours != found["sizes"] or len(ours) != shop.SEGMENTS:
        raise SystemExit(f"the script finds other segments: {ours}, {found['sizes']}")
    total = f"{sum(ours.values()):,}"
    return [("members of the fifty segments, each the same", total, total)]


def _rfm(store: Store, found: Found, sizes: Mapping[str, int], customers: int) -> list[Row]:
    model, _ = _document(store, "rfm")
    rows = []
    names = {"recencyDays": "recency", "orderCount": "frequency", "totalSpent": "monetary"}
    for name, theirs in found["cuts"].items():
        ours = model["rfm"][names[name]]["cuts"]
        for one, other in zip(ours, theirs, strict=True):
            _require(f"cut points of {name}", one, other, CUTS)
        rows.append((f"RFM cut points, {name}", _numbers(ours), _numbers(theirs)))
    _near_groups("RFM", {name: sizes[f"rfm-{name}"] for name in found["sizes"]}, found["sizes"], customers)
    return rows


def _clusters(store: Store, found: Found, sizes: Mapping[str, int], customers: int) -> list[Row]:
    _, report = _document(store, "kinds")
    if report["k"] != found["k"]:
        raise SystemExit(f"the service chose k={report['k']}, the script {found['k']}")
    inertia = report["quality"]["inertia"]
    _require("inertia", inertia, found["inertia"], INERTIA)
    ours = sorted(size for name, size in sizes.items() if name.startswith("kinds-") and size)
    _near_groups("k-means", dict(enumerate(ours)), dict(enumerate(found["sizes"])), customers)
    return [
        ("k of k-means, by silhouettes of 20,000", str(report["k"]), str(found["k"])),
        ("inertia", f"{inertia:,.0f}", f"{found['inertia']:,.0f}"),
    ]


def _lifetime(store: Store, found: Found) -> list[Row]:
    model, report = _document(store, "value")
    rows = []
    for title, ours, theirs in (
        ("BG/NBD: r, alpha, a, b", model["bgnbd"], found["bgnbd"]),
        ("Gamma-Gamma: p, q, v", model["gamma_gamma"], found["gammaGamma"]),
    ):
        for name, value in theirs.items():
            _require(f"{title}, {name}", ours[name], value, PARAMETERS)
        rows.append((title, _numbers([ours[name] for name in theirs]), _numbers(theirs.values())))
    _require("value of all customers", report["totalClv"], found["clv"], TOTALS)
    return [*rows, ("value of all customers, 12 months", f"{report['totalClv']:,.0f}", f"{found['clv']:,.0f}")]


def _near_groups(title: str, ours: Mapping[Any, int], theirs: Mapping[Any, int], customers: int) -> None:
    for name, size in theirs.items():
        if abs(ours[name] - size) > GROUPS * customers:
            raise SystemExit(f"{title}: the group {name} has {ours[name]:,} customers, the script's {size:,}")


def _require(name: str, ours: float, theirs: float, tolerance: float) -> None:
    if abs(ours - theirs) > tolerance * max(abs(theirs), 1e-9):
        raise SystemExit(f"{name}: the service has {ours}, the script {theirs}")


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:,.4g}" for value in values)
