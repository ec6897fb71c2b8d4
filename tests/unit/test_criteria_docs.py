"""Every example of docs/criteria.md, against the customers of the document itself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from segmentation.engine.catalogue import FEATURES, ORDER_EVENTS, ORDER_FIELDS, Catalogue, Kind
from segmentation.engine.criteria import Override, evaluate, parse
from segmentation.engine.criteria.words import OPERATORS
from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    DateColumn,
    EventTable,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)

DOCUMENT = (Path(__file__).parents[2] / "docs" / "criteria.md").read_text()
NOW = np.datetime64("2024-06-30T12:00:00", "us")


def rows_of(header: str) -> list[dict[str, str]]:
    """The rows of the table that begins with a header cell."""
    names: list[str] = []
    rows = []
    for line in DOCUMENT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if names and not cells:
            return rows
        if names and not cells[0].startswith("--"):
            rows.append(dict(zip(names, cells, strict=True)))
        if not names and cells[:1] == [header]:
            names = cells
    return rows


def column_of(kind: Kind, cells: list[str]) -> Column:
    missing = np.array([not cell for cell in cells])
    match kind:
        case Kind.NUMBER:
            return NumberColumn(np.array([float(cell or "nan") for cell in cells]))
        case Kind.DATE:
            return DateColumn(np.array([cell.removesuffix("Z") or "NaT" for cell in cells], dtype="datetime64[us]"))
        case Kind.BOOLEAN:
            return BooleanColumn(np.array([["", "false", "true"].index(cell) - 1 for cell in cells], dtype=np.int8))
        case Kind.GEO:
            places = [cell.split(",") if cell else ("nan", "nan") for cell in cells]
            return GeoColumn(*(np.array([float(place[axis]) for place in places]) for axis in (0, 1)))
        case Kind.LIST:
            lists = [[] if cell in ("", "(empty)") else cell.split(", ") for cell in cells]
            values = tuple(sorted({text for row in lists for text in row}))
            offsets = np.cumsum([0] + [len(row) for row in lists])
            codes = [values.index(text) for row in lists for text in row]
            return ListColumn(offsets, np.array(codes, dtype=np.int32), values, missing)
    values = tuple(sorted({cell for cell in cells if cell}))
    return StringColumn(np.array([values.index(cell) if cell else -1 for cell in cells], dtype=np.int32), values)


def event_of(rows: list[dict[str, str]], customers: tuple[str, ...], grouped: bool) -> EventTable:
    offsets = np.cumsum([0] + [sum(row["customer"] == customer for row in rows) for customer in customers])
    fields = {"category": Kind.STRING, "amount": Kind.NUMBER} if grouped else {"page": Kind.STRING}
    columns = {name: column_of(kind, [row[name] for row in rows]) for name, kind in fields.items()}
    orders = [row["orderId"] for row in rows]
    group = np.array([orders.index(order) for order in orders], dtype=np.int32) if grouped else None
    time = np.array([row["time"].removesuffix("Z") for row in rows], dtype="datetime64[us]")
    return EventTable(offsets, time, columns, group, frozenset({"amount", "quantity"}) if grouped else frozenset())


ATTRIBUTES = rows_of("attribute")
EVENTS = rows_of("event")
CUSTOMERS = tuple(list(ATTRIBUTES[0])[2:])
KINDS = {row["attribute"]: Kind(row["kind"]) for row in ATTRIBUTES}
FRAME = Frame(
    size=len(CUSTOMERS),
    columns={
        row["attribute"]: column_of(KINDS[row["attribute"]], [row[customer] for customer in CUSTOMERS])
        for row in ATTRIBUTES
    },
    events={
        event: event_of([row for row in EVENTS if row["event"] == event], CUSTOMERS, event in ORDER_EVENTS)
        for event in dict.fromkeys(row["event"] for row in EVENTS)
    },
    ids=CUSTOMERS,
)
CATALOGUE = Catalogue(
    attributes={**FEATURES, **KINDS},
    events={"order": ORDER_FIELDS, "return": ORDER_FIELDS, "page_view": {"page": Kind.STRING}},
    segments=frozenset({"vip"}),
)


def examples() -> Iterator[tuple[str, str]]:
    """Criteria and the customers that the document says they match."""
    for line in DOCUMENT.splitlines():
        found = re.fullmatch(r"\|.*?`([\[{].*[\]}])` \| ([a-z, ]*) ?\|", line)
        if found:
            yield found[1], found[2]
    for block in re.finditer(r"```json\n(.*?)```\n+Matches: ([a-z, ]*)", DOCUMENT, re.DOTALL):
        yield block[1], block[2]


EXAMPLES = list(examples())


@pytest.mark.parametrize(("criteria", "matches"), EXAMPLES)
def test_an_example_of_the_document_matches_whom_it_says(criteria: str, matches: str) -> None:
    rule = parse(json.loads(criteria), CATALOGUE)
    vip = Override(include=np.array([customer == "ada" for customer in CUSTOMERS]))
    mask = evaluate({"asked": rule, "vip": None}, FRAME, NOW, {"vip": vip}).mask("asked")
    found = [customer for customer, matched in zip(CUSTOMERS, mask, strict=True) if matched]
    assert found == matches.strip().split(", ")


def test_the_document_has_an_example_of_every_operator_of_every_kind() -> None:
    shown = set()
    for criteria, _ in EXAMPLES:
        for found in re.finditer(r'"attribute": "(\w+)", "operator": "(\w+)"', criteria):
            shown.add(({**ORDER_FIELDS, "page": Kind.STRING, **KINDS}[found[1]], found[2]))
    general = {"eq", "neq", "in", "not_in", "is_set", "is_not_set"}
    assert general <= {operator for _, operator in shown}
    for kind, operators in OPERATORS.items():
        own = {operator for operator in operators if operator not in general}
        assert own <= {operator for shown_kind, operator in shown if shown_kind is kind}


def test_no_example_is_left_out_of_the_test() -> None:
    written = len(re.findall(r'`[\[{].*"operator".*[\]}]`', DOCUMENT)) + DOCUMENT.count("```json")
    assert len(EXAMPLES) == written
