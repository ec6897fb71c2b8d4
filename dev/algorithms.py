"""The figures of docs/algorithms.md: the document's requests, fitted on the generated shop in this process.

`python -m dev.algorithms` prints what each request finds, as `GET /models/{modelId}` shows it. The shop's files are
read in the plainest way; that imports and partitions give the same is tested elsewhere.
"""

import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

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
from segmentation.engine.lifetime.purchases import of_orders
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.groups import FoundGroup
from segmentation.engine.modelling.kinds import Fitted
from segmentation.models.models import (
    ChurnParameters,
    ClusterParameters,
    CreateModel,
    LifetimeParameters,
    ModelSummary,
    RfmParameters,
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
    value, report, groups = _fit(chosen, model, kinds)
    return Found(value, groups, {**presented(report), "fitted": presented(value)})


def _fit(frame: Frame, model: ModelSummary, kinds: Mapping[str, Kind]) -> tuple[Fitted, Any, tuple[FoundGroup, ...]]:
    match model.kind:
        case "rfm":
            grid = RfmParameters.model_validate(model.parameters)
            binning, names = fit_parameters.rfm_binning(grid), fit_parameters.rfm_groups(grid)
            return rfm.fit(frame, recipes.rfm_attributes(model), binning, names)
        case "lifetime":
            forecast = fit_parameters.lifetime(LifetimeParameters.model_validate(model.parameters))
            return lifetime.fit(of_orders(frame.events["order"]), NOW, forecast)
        case "churn":
            risk = fit_parameters.churn(ChurnParameters.model_validate(model.parameters))
            return churn.fit(frame, recipes.features_of(model, kinds), risk)
        case "cluster":
            likeness = fit_parameters.cluster(ClusterParameters.model_validate(model.parameters))
            return cluster.fit(frame, recipes.features_of(model, kinds), likeness, model.modelId)


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


def main() -> None:
    segments, models = requests(DOCUMENT.read_text(encoding="utf-8"))
    frame = generated()
    for segment in segments:
        print(f"{segment['segmentId']}: {np.count_nonzero(members(frame, segment['criteria']))} customers")
    criteria = {segment["segmentId"]: segment["criteria"] for segment in segments}
    for request in models:
        found = fitted(frame, request, criteria)
        json.dump({"groups": presented(found.groups), "report": found.report}, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
