"""Every figure of docs/algorithms.md, computed again on the generated shop; and no word of the API is left out."""

import json
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from itertools import zip_longest
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from pydantic import BaseModel

from dev import algorithms
from dev.algorithms import Found, at, worth
from segmentation.engine.catalogue import SCORES
from segmentation.engine.clustering import quality
from segmentation.engine.frame import Floats, Frame
from segmentation.engine.lifetime import bgnbd
from segmentation.engine.lifetime.value import WEEKS_PER_MONTH
from segmentation.engine.modelling.churn import ChurnReport
from segmentation.engine.modelling.cluster import ClusterReport
from segmentation.engine.modelling.kinds import FITTED
from segmentation.engine.modelling.lifetime import LifetimeModel, LifetimeReport
from segmentation.engine.modelling.rfm import RfmModel, RfmReport
from segmentation.errors import UnreliableFit
from segmentation.models.models import CreateModel, Group, ModelKind, ModelSummary, PublishModel, VersionStatus
from support.purchasing import customers

DOCUMENT = algorithms.DOCUMENT.read_text(encoding="utf-8")
SEGMENTS, MODELS = algorithms.requests(DOCUMENT)
CRITERIA = {segment["segmentId"]: segment["criteria"] for segment in SEGMENTS}


@dataclass(frozen=True)
class Table:
    """A table of the document, and the model whose request stands above it."""

    model: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A cell that shows what the report of a model has at a path."""

    model: str
    path: str
    shown: str

    def __str__(self) -> str:
        return f"{self.model}: {self.path}"


def tables(document: str) -> Iterator[Table]:
    model = ""
    for block in re.split(r"\n\s*\n", document):
        if block.startswith("```json") and '"kind"' in block:
            model = json.loads(block.strip("`").removeprefix("json"))["modelId"]
        if block.startswith("|"):
            lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.strip().splitlines()]
            header, _, *rows = [[cell.strip().replace("\\|", "|") for cell in line] for line in lines]
            yield Table(model, header, rows)


def figures(document: str) -> Iterator[Figure]:
    """What the tables show of reports; a row without a path of its own shows nothing."""
    for table in tables(document):
        if "demo shop" in table.header:
            field, shown = table.header.index("field"), table.header.index("demo shop")
            for row in table.rows:
                model = row[0].strip("`") if table.header[0] == "model" else table.model
                for path in re.findall(r"`([\w.]+)`", row[field]):
                    yield Figure(model, path, row[shown])


TABLES, FIGURES = list(tables(DOCUMENT)), list(figures(DOCUMENT))


@cache
def frame() -> Frame:
    return algorithms.generated()


@cache
def found(model: str) -> Found:
    request = next(request for request in MODELS if request["modelId"] == model)
    return algorithms.fitted(frame(), request, CRITERIA)


def assert_shown(shown: str, value: Any) -> None:
    """The cell has the value, or the items of a list; numbers are right to one unit of their last digit."""
    wanted = value if isinstance(value, list) else [value]
    cells = json.loads(f"[{shown}]")
    texts = shown.split(", ") if isinstance(value, list) else [shown]
    for cell, text, item in zip_longest(cells, texts if len(texts) == len(cells) else cells, wanted):
        if isinstance(item, float) and not isinstance(cell, str):
            unit = 10.0 ** -len(str(text).partition(".")[2])
            assert abs(cell - item) <= unit, f"the document shows {shown}, the fit gives {value}"
        else:
            assert cell == item, f"the document shows {shown}, the fit gives {value}"


# --------------------------------------------------------------------------- figures


@pytest.mark.parametrize("figure", FIGURES, ids=str)
def test_a_figure_of_a_report_is_what_the_fit_finds(figure: Figure) -> None:
    assert_shown(figure.shown, at(found(figure.model).report, figure.path))


def test_writing_the_figures_into_the_document_changes_figures_only() -> None:
    models = {request["modelId"]: found(request["modelId"]) for request in MODELS}
    spoilt = DOCUMENT.replace("| 3844 |", "| 3 |").replace("| Champions 434 |", "| Loyal 1 |")
    assert spoilt != DOCUMENT
    assert algorithms.filled(spoilt, frame(), models) == algorithms.filled(DOCUMENT, frame(), models)
    kept = [line for line in DOCUMENT.splitlines() if not line.startswith("|")]
    assert [line for line in algorithms.filled(spoilt, frame(), models).splitlines() if line[:1] != "|"] == kept


def test_groups_have_the_names_and_sizes_that_the_document_shows() -> None:
    named = [table for table in TABLES if table.header[:4] == ["group", "name", "customers", "share"]]
    shown = {table.model: [row[:4] for row in table.rows] for table in named}
    assert shown.keys() == {request["modelId"] for request in MODELS}
    for model, rows in shown.items():
        groups = found(model).groups
        total = sum(group.size for group in groups)
        wanted = [[f"`{group.group_id}`", group.name, str(group.size), f"{group.size / total:.1%}"] for group in groups]
        assert rows == wanted


def test_cells_of_the_grid_have_the_names_and_counts_that_the_document_shows() -> None:
    rows = next(table.rows for table in TABLES if table.header[:2] == ["recency", "frequency 1"])
    model, report = found("rfm").model, found("rfm").report
    assert isinstance(model, RfmModel)
    for row in rows:
        recency = int(row[0])
        for frequency, shown in enumerate(row[1:], start=1):
            name = model.grid.groups[model.grid.cells[recency, frequency]].name
            assert shown == f"{name} {report['cells'][recency - 1][frequency - 1]}"
    assert sorted(int(row[0]) for row in rows) == [1, 2, 3, 4, 5]


def test_segments_have_as_many_members_as_the_document_says() -> None:
    shown = [int(text) for text in re.findall(r"^Members in the demo shop: (\d+)$", DOCUMENT, re.MULTILINE)]
    assert shown == [np.count_nonzero(algorithms.members(frame(), criteria)) for criteria in CRITERIA.values()]


def histories(rows: list[list[str]]) -> Iterator[list[float | None]]:
    """P(alive), expected orders, value and days to the next order of the histories in the rows."""
    model = found("value").model
    assert isinstance(model, LifetimeModel)
    for row in rows:
        x, recency, age, mean = (float(cell or "nan") for cell in row[:4])
        yield worth(model, x, recency, age, mean)


def test_histories_are_worth_what_the_document_says() -> None:
    rows = next(table.rows for table in TABLES if table.header[:3] == ["x", "t_x", "T"])
    for row, values in zip(rows, histories(rows), strict=True):
        for shown, value in zip(row[4:], values, strict=True):
            assert_shown(shown, value)


def test_the_formulas_of_the_document_give_the_same_by_hand() -> None:
    rows = next(table.rows for table in TABLES if table.header[:3] == ["x", "t_x", "T"])
    fit = found("value").report["fitted"]
    r, alpha, a, b = (fit["bgnbd"][name] for name in ("r", "alpha", "a", "b"))
    p, q, v = (fit["gammaGamma"][name] for name in ("p", "q", "v"))
    shares = (np.arange(200_000) + 0.5) / 200_000
    for row, (alive, orders, value, _) in zip(rows, histories(rows), strict=True):
        x, recency, age, z = (float(cell or 0) for cell in row[:4])
        living = 1 / (1 + (x > 0) * a / (b + x - 1) * ((alpha + age) / (alpha + recency)) ** (r + x))
        density = shares ** (a - 1) * (1 - shares) ** (b + x - 1)

        def expected(months: int, x: float = x, age: float = age, density: Floats = density) -> float:
            weeks = months * WEEKS_PER_MONTH
            counts = (1 - (1 + shares * weeks / (alpha + age)) ** -(r + x)) / shares
            return float(np.average(counts, weights=density))

        spend = p * (v + x * z) / (p * x + q - 1)
        discounted = sum((expected(m) - expected(m - 1)) / 1.01**m for m in range(1, 13))
        assert alive == pytest.approx(living, rel=1e-9)
        assert orders == pytest.approx(living * expected(12), rel=1e-6)
        assert value == pytest.approx(living * discounted * spend, rel=1e-6)


def test_the_chance_to_leave_was_about_three_times_as_high_at_the_cut() -> None:
    report = found("value").report
    now, cut = (
        model["a"] / (model["a"] + model["b"]) for model in (report["fitted"]["bgnbd"], report["backTest"]["model"])
    )
    assert 2.5 < cut / now < 3.5


def test_the_thresholds_of_verdicts_are_those_of_the_code() -> None:
    rows = {row[0].strip("`"): row[1:3] for table in TABLES if table.header[0] == "question" for row in table.rows[:4]}
    rows = {name: rows[name] for name in get_args(quality.Question)}
    assert rows == {
        "coherent": [f"{limit:.2f}" for limit in quality.COHERENT],
        "distinct": [f"{limit:.0f}" for limit in quality.DISTINCT],
        "largeEnough": [
            f"{share:.0%} and {count:.0f} customers"
            for share, count in zip(quality.LARGE_SHARE, quality.LARGE_COUNT, strict=True)
        ],
        "stable": [f"{limit:.2f}" for limit in quality.STABLE],
    }


def test_a_shop_whose_customers_never_leave_is_unreliable_as_the_document_says() -> None:
    with pytest.raises(UnreliableFit, match="ran to a bound"):
        bgnbd.fit(*customers(2_000, 1, a=1e-4, b=1e3))


# ----------------------------------------------------------------------------- words

PROSE = re.sub(r"```.*?```", "", DOCUMENT, flags=re.DOTALL)
CODE = " ".join(re.findall(r"`([^`\n]+)`", PROSE) + re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))
WORDS = set(re.findall(r"[\w.<>]+", CODE)) | set(re.findall(r"\w+", CODE))


def parts_of(annotation: Any) -> Iterator[Any]:
    """The plain types that an annotation is made of, and the values of its literals."""
    annotation = getattr(annotation, "__value__", annotation)
    if get_origin(annotation) in (Union, types.UnionType, tuple, list, dict, Literal) or hasattr(
        annotation, "__metadata__"
    ):
        for part in get_args(annotation)[: 1 if hasattr(annotation, "__metadata__") else None]:
            yield from parts_of(part)
    else:
        yield annotation


def api_words(model: type[BaseModel]) -> Iterator[str]:
    """Fields of what clients send, with the values that they can choose from, all the way down."""
    for name, field in model.model_fields.items():
        if name != "root":
            yield name
        for part in parts_of(field.annotation):
            if isinstance(part, str):
                yield part
            elif isinstance(part, type) and issubclass(part, BaseModel):
                yield from api_words(part)


def report_words(kind: type) -> Iterator[str]:
    """Fields of what a fit found, as the API names them, all the way down."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        first, *rest = field.name.split("_")
        yield first + "".join(word.capitalize() for word in rest)
        for part in parts_of(hints[field.name]):
            if isinstance(part, type) and is_dataclass(part):
                yield from report_words(part)


ASKED = {*api_words(CreateModel), *api_words(PublishModel)}
REPORTS = (RfmReport, ClusterReport, LifetimeReport, ChurnReport, *FITTED.values())
REPORTED = {word for kind in REPORTS for word in report_words(kind)}
NAMED = {
    "scores": {*(name for scores in SCORES.values() for name in scores), "cluster.<modelId>"},
    "kinds": set(get_args(ModelKind)),
    "statuses": set(get_args(VersionStatus)),
    "questions and answers": {*get_args(quality.Question), *get_args(quality.Answer)},
    "requests": ASKED,
    "reports": REPORTED,
    "models": {*ModelSummary.model_fields} - {"status", "createdAt", "jobId", "now"} | {*Group.model_fields},
}


@pytest.mark.parametrize("what", NAMED)
def test_the_document_names_all(what: str) -> None:
    assert sorted(NAMED[what] - WORDS) == []


def test_words_are_looked_for_all_the_way_down() -> None:
    assert {"minShare", "winsorise", "laplacian", "on_schedule", "segmentId", "cells", "restName"} <= ASKED
    assert {"calinskiHarabasz", "oddsRatio", "leafSizes", "squaredError", "perClusterError", "closed"} <= REPORTED


def test_requests_of_the_document_are_valid_and_of_every_kind() -> None:
    assert {CreateModel.model_validate(request).root.kind for request in MODELS} == set(get_args(ModelKind))
    assert len(MODELS) + len(SEGMENTS) == DOCUMENT.count("```json")
