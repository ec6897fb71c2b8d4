"""The figures of docs/algorithms.md: the document's requests, fitted on the generated shop in this process.

`python -m dev.algorithms` prints what each request finds, as `GET /models/{modelId}` shows it; `--write` puts the
figures into the document's tables. The shop's files are read in the plainest way; that imports find the same customers
is tested elsewhere.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

sys.path.append(str(Path(__file__).parents[1] / "layers" / "segmentation"))

from dev import shop
from segmentation import fit_parameters, recipes
from segmentation.engine import features
from segmentation.engine.catalogue import FEATURES, Catalogue, Kind, scores_of
from segmentation.engine.criteria import evaluate, parse
from segmentation.engine.document import presented
from segmentation.engine.frame import (
    BooleanColumn,
    Bools,
    Column,
    DateColumn,
    EventTable,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.lifetime.bgnbd import expected_orders, probability_alive
from segmentation.engine.lifetime.purchases import of_orders
from segmentation.engine.lifetime.value import WEEKS_PER_MONTH, clv, next_order
from segmentation.engine.modelling import lifetime
from segmentation.engine.modelling.groups import FoundGroup
from segmentation.engine.modelling.kinds import Fitted
from segmentation.engine.modelling.lifetime import LifetimeModel
from segmentation.engine.modelling.rfm import RfmModel
from segmentation.models.models import (
    CreateModel,
    ModelSummary,
)

DOCUMENT = Path(__file__).parents[1] / "docs" / "algorithms.md"
CUSTOMERS, END = 5_000, date(2026, 3, 1)
NOW = np.datetime64("2026-03-01T12:00:00", "us")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS: Mapping[str, Kind] = {
    **{name: Kind(kind) for name, kind in shop.MAPPINGS["customers"]["types"].items()},
    "accountClosed": Kind.BOOLEAN,
}
"""Kinds of the customers' attributes; the others are texts."""

Json = dict[str, Any]

_LINES = arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda _: "skip")


@dataclass(frozen=True)
class Found:
    """What a request found: the fitted model, its groups, and the report as the API shows it."""

    model: Fitted
    groups: tuple[FoundGroup, ...]
    report: Json


def requests(document: str) -> tuple[list[Json], list[Json]]:
    """The JSON examples of the document: segments to create, and models."""
    blocks = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", document, re.DOTALL)]
    return [block for block in blocks if "criteria" in block], [block for block in blocks if "kind" in block]


def generated() -> Frame:
    """The customers of the generated shop, with features and orders, at noon of the day after its last."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop.generate(folder, CUSTOMERS, END)
        return read(folder)


def read(folder: Path) -> Frame:
    """The shop's files as a frame; dirty rows are left out."""
    people = _clean(folder / "customers.csv", "customerId").sort_by("customerId")
    ids = people["customerId"].combine_chunks()
    rest = people.drop_columns(["customerId"])
    columns = {name: _column(rest[name].combine_chunks(), KINDS.get(name, Kind.STRING)) for name in rest.column_names}
    lines, void = _lines(_clean(folder / "orders.csv", "orderId"), ids)
    computed = features.features(lines, void, NOW)
    orders = features.order_views(lines, void, ("order",))
    return Frame(len(ids), {**columns, **computed}, orders, tuple(ids.to_pylist()))


def members(frame: Frame, criteria: Sequence[Json]) -> Bools:
    """Which customers the criteria of a segment take."""
    known = {name: KINDS.get(name, Kind.STRING) for name in frame.columns.keys() - FEATURES.keys()}
    rule = parse(list(criteria), Catalogue({**known, **FEATURES}))
    return evaluate({"asked": rule}, frame, NOW).mask("asked")


def fitted(frame: Frame, request: Json, segments: Mapping[str, Sequence[Json]]) -> Found:
    """What the model of a request finds; `segments` are the criteria of those that it may be fitted on."""
    asked = CreateModel.model_validate(request).root
    model = ModelSummary(
        **asked.model_dump(exclude={"modelId", "parameters", "features"}),
        modelId=str(asked.modelId),
        features=asked.features,
        parameters=asked.parameters.model_dump(mode="json", exclude_none=True),
        status="fitting",
        latestVersion=1,
        scores=list(scores_of(asked.kind, str(asked.modelId))),
        createdAt=AT,
    )
    kinds = {**{name: KINDS.get(name, Kind.STRING) for name in frame.columns}, **FEATURES}
    recipes.check(model, kinds)
    population = asked.population.segmentId
    chosen = frame if population is None else frame.take(np.flatnonzero(members(frame, segments[population])))
    value, report, groups = fit_parameters.fit(model, kinds, chosen, of_orders(chosen.events["order"]), AT)
    return Found(value, groups, {**presented(report), "fitted": presented(value)})


def _clean(file: Path, key: str) -> pa.Table:
    """The rows of a file as texts, without those that are dirty on purpose: they begin with an X, or with nothing."""
    types = dict.fromkeys(file.open(encoding="utf-8").readline().strip().replace('"', "").split(","), pa.string())
    options = arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False)
    table = arrow_csv.read_csv(file, parse_options=_LINES, convert_options=options)
    first = pc.utf8_slice_codeunits(table[key], 0, 1)
    return table.filter(pc.is_in(first, pa.array(["C", "O", "R"])))


def _lines(table: pa.Table, ids: pa.Array) -> tuple[EventTable, Bools]:
    """Order lines by customer, time and order, and which of them are cancelled."""
    table = table.append_column("owner", pc.index_in(table["customerId"], ids))
    table = table.append_column("time", pc.cast(table["orderedAt"], pa.timestamp("us")))
    table = table.sort_by([(name, "ascending") for name in ("owner", "time", "orderId")])
    quantity, price = (_numbers(table[name].combine_chunks()) for name in ("quantity", "unitPrice"))
    columns: dict[str, Column] = {
        "amount": NumberColumn(quantity * price),
        "quantity": NumberColumn(quantity),
        "category": _texts(table["category"].combine_chunks()),
    }
    offsets = features.offsets_of(table["owner"].to_numpy(), len(ids))
    group = _texts(table["orderId"].combine_chunks()).codes
    void = np.asarray(pc.is_in(table["status"], pa.array(sorted(features.VOID_STATUSES))))
    return EventTable(offsets, table["time"].to_numpy(), columns, group, features.ADDITIVE), void


def _column(values: pa.Array, kind: Kind) -> Column:
    match kind:
        case Kind.NUMBER:
            return NumberColumn(_numbers(values))
        case Kind.DATE:
            return DateColumn(pc.cast(values, pa.timestamp("us")).to_numpy(zero_copy_only=False))
        case Kind.BOOLEAN:
            truth = pc.cast(pc.cast(values, pa.bool_()), pa.int8())
            return BooleanColumn(pc.fill_null(truth, -1).to_numpy(zero_copy_only=False))
        case Kind.GEO:
            parts = pc.split_pattern(values, ",")
            latitude, longitude = (_numbers(pc.list_element(parts, place)) for place in (0, 1))
            return GeoColumn(latitude, longitude)
        case Kind.LIST:
            lists = pc.split_pattern(values, "|")
            items, lengths = _texts(pc.list_flatten(lists)), pc.fill_null(pc.list_value_length(lists), 0)
            offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy())]).astype(np.int64)
            return ListColumn(offsets, items.codes, items.values, values.is_null().to_numpy(zero_copy_only=False))
    return _texts(values)


def _numbers(values: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    numbers = pc.fill_null(pc.cast(values, pa.float64()), np.nan)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def _texts(values: pa.Array) -> StringColumn:
    coded = values.dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return StringColumn(codes, tuple(coded.dictionary.to_pylist()))


# ---------------------------------------------------------------------- the document


def at(report: Json, path: str) -> Any:
    """What a report has at a path such as `quality.sizes.0`."""
    value: Any = report
    for part in path.split("."):
        value = value[int(part)] if part.isdigit() else value[part]
    return value


def worth(model: LifetimeModel, x: float, recency: float, age: float, mean_value: float) -> list[float | None]:
    """P(alive), expected orders, value, and days to the next order, None if none is likely, of one history in weeks."""
    if model.gamma_gamma is None:
        raise ValueError("the model knows no values")
    frequency, last, now, mean = (np.array([figure]) for figure in (x, recency, age, mean_value))
    history = frequency, last, now
    days = np.ceil(next_order(model.bgnbd, *history) * lifetime.DAYS_PER_WEEK)
    figures = (
        probability_alive(model.bgnbd, *history),
        expected_orders(model.bgnbd, model.months * WEEKS_PER_MONTH, *history),
        clv(model.bgnbd, model.gamma_gamma, *history, mean, months=model.months),
        days,
    )
    return [None if np.isnan(figure[0]) else float(figure[0]) for figure in figures]


def filled(document: str, frame: Frame, found: Mapping[str, Found]) -> str:
    """The document with the figures of these models in its tables; nothing else changes."""
    segments = iter(requests(document)[0])
    lines, model, header = [], "", [""]
    for line in document.splitlines():
        model = next(iter(re.findall(r'^\{"modelId": "([\w-]+)"', line)), model)
        if line.startswith(MEMBERS):
            line = f"{MEMBERS}{np.count_nonzero(members(frame, next(segments)['criteria']))}"
        elif not line.startswith("|"):
            header = []
        elif not header:
            header = cells_of(line)
        elif not re.fullmatch(r"[|-]+", line):
            named = cells_of(line)[0].strip("`") if header[0] == "model" else model
            line = re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(_filled(header, cells_of(line), named, found))} |")
        lines.append(line)
    return "\n".join(lines) + "\n"


MEMBERS = "Members in the demo shop: "


def cells_of(line: str) -> list[str]:
    """The cells of a line of a table as they are written."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _filled(header: list[str], cells: list[str], model: str, found: Mapping[str, Found]) -> list[str]:
    if "demo shop" in header:
        path = re.findall(r"`([\w.]+)`", cells[header.index("field")])[0]
        cells[header.index("demo shop")] = _shown(at(found[model].report, path))
    elif header[:4] == ["group", "name", "customers", "share"]:
        total = sum(group.size for group in found[model].groups)
        group = next(group for group in found[model].groups if cells[0] == f"`{group.group_id}`")
        cells[1:4] = [group.name, str(group.size), f"{group.size / total:.1%}"]
    elif header[:2] == ["recency", "frequency 1"]:
        cells[1:] = _cells_of_grid(found[model], int(cells[0]))
    elif header[:3] == ["x", "t_x", "T"]:
        value = found[model].model
        if isinstance(value, LifetimeModel):
            x, recency, age, mean = (float(cell or "nan") for cell in cells[:4])
            cells[4:] = [_shown(figure) for figure in worth(value, x, recency, age, mean)]
    return cells


def _cells_of_grid(found: Found, recency: int) -> Iterator[str]:
    if isinstance(found.model, RfmModel):
        grid = found.model.grid
        for frequency, count in enumerate(found.report["cells"][recency - 1], start=1):
            yield f"{grid.groups[grid.cells[recency, frequency]].name} {count}"


def _shown(value: Any) -> str:
    """A value as a cell of a table: numbers to about four digits, texts as JSON, lists without their brackets."""
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) if any(item is not None for item in value) else "null"
    if not isinstance(value, float):
        return json.dumps(value, ensure_ascii=False).replace("|", "\\|")
    if value == round(value):
        return f"{value:.0f}"
    size = abs(value)
    digits = next((digits for least, digits in ((1000, 0), (100, 1), (10, 2), (0.01, 3)) if size >= least), 5)
    return f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the models of docs/algorithms.md on the demo shop.")
    parser.add_argument("--write", action="store_true", help="put the figures into the document")
    write = parser.parse_args().write
    document = DOCUMENT.read_text(encoding="utf-8")
    segments, models = requests(document)
    criteria = {segment["segmentId"]: segment["criteria"] for segment in segments}
    frame = generated()
    found = {request["modelId"]: fitted(frame, request, criteria) for request in models}
    if write:
        DOCUMENT.write_text(filled(document, frame, found), encoding="utf-8")
        return
    for name, model in found.items():
        json.dump({"modelId": name, "groups": presented(model.groups), "report": model.report}, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
