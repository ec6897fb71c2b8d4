"""Why one customer matches a rule or not: the tree with what was asked, what was found, and true or false."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from segmentation.engine.criteria.evaluate import bound
from segmentation.engine.criteria.operators.dates import text_of
from segmentation.engine.criteria.operators.geo import distance_km
from segmentation.engine.criteria.prepared import Prepared, pack
from segmentation.engine.criteria.program import Program
from segmentation.engine.criteria.render import SHOWN, as_json, sentence, value_json
from segmentation.engine.criteria.rule import Rule
from segmentation.engine.criteria.times import Zone, zone
from segmentation.engine.criteria.tree import ROOT, Behaviour, Circle, Condition, Group, Node, Not, SegmentIs, walk
from segmentation.engine.criteria.values import show
from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    DateColumn,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)


def explain(
    rule: Rule, frame: Frame, row: int, now: np.datetime64, memberships: Mapping[str, bool] | None = None
) -> dict[str, Any]:
    """Explain a rule for the customer of one row.

    Parameters
    ----------
    memberships
        Whether the customer is a member of the segments that the rule asks about.

    Returns
    -------
    dict
        JSON-ready, per node: `path`, `text` (what was asked, in words), `matched`; a leaf has `asked` (canonical JSON)
        and `found` (the customer's value, or the measure of the rows; None: missing), a group has `children`.

    Raises
    ------
    InvalidCriteria
        The rule asks about a segment that is not among `memberships`.
    IndexError
        The frame has no such row.
    """
    if not 0 <= row < frame.size:
        raise IndexError(f"row {row} of a frame of {frame.size} customers")
    single = Prepared(frame.take(np.array([row], dtype=np.intp)))
    known = {name: pack(np.array([member])) for name, member in (memberships or {}).items()}
    program, place = bound(rule, single, now, known), zone(rule.time_zone)
    paths = {path: program.add(node, place) for path, node in walk(rule.root)}
    bits, _ = program.run(list(paths.values()))
    matched = {path: bool(bit) for path, bit in zip(paths, bits[:, 0], strict=True)}
    return _explain(rule.root, ROOT, matched, program, single, place)


def first_failure(explanation: Mapping[str, Any]) -> str:
    """The first condition that failed, in words and with what was found; empty where the rule matched."""
    if explanation["matched"]:
        return ""
    children = explanation.get("children", [])
    match explanation.get("operator"):
        case "all":
            return next(first_failure(child) for child in children if not child["matched"])
        case "any":
            failures = [first_failure(child) for child in children[:SHOWN]]
            return "; nor ".join(failures + ([f"{len(children) - SHOWN} more"] if len(children) > SHOWN else []))
        case "not":
            return f"{explanation['text']}{_found_words(children[0])}"
    return f"{explanation['text']}{_found_words(explanation)}"


def _explain(
    node: Node, path: str, matched: Mapping[str, bool], program: Program, single: Prepared, place: Zone
) -> dict[str, Any]:
    head: dict[str, object] = {"path": path, "text": sentence(node), "matched": matched[path]}
    match node:
        case Group():
            children = [
                _explain(child, f"{path}.{node.operator}[{position}]", matched, program, single, place)
                for position, child in enumerate(node.children)
            ]
            return {**head, "operator": node.operator, "children": children}
        case Not():
            child = _explain(node.child, f"{path}.not", matched, program, single, place)
            return {**head, "operator": "not", "children": [child]}
        case SegmentIs():
            member = matched[path] == (node.operator == "member")
            return {**head, "asked": as_json(node), "found": "member" if member else "not_member"}
        case Behaviour():
            measured = float(program.measured(node, place).values[0])
            return {**head, "asked": as_json(node), "found": None if np.isnan(measured) else value_json(measured)}
        case Condition():
            column = single.column(node.attribute, node.kind)
            found = None if column is None else found_in(column, 0)
            return {**head, "asked": as_json(node), "found": found, **_distance(node, column)}


def found_in(column: Column, row: int) -> object:
    """A row's value as JSON; None where it is missing."""
    if column.missing()[row]:
        return None
    match column:
        case StringColumn():
            return column.values[column.codes[row]]
        case NumberColumn():
            return value_json(float(column.values[row]))
        case DateColumn():
            return text_of(int(column.values[row].astype("datetime64[us]").astype(np.int64)))
        case BooleanColumn():
            return bool(column.values[row])
        case ListColumn():
            return [column.values[code] for code in column.codes[column.offsets[row] : column.offsets[row + 1]]]
        case GeoColumn():
            return {"latitude": float(column.latitude[row]), "longitude": float(column.longitude[row])}


def _found_words(leaf: Mapping[str, Any]) -> str:
    if "found" not in leaf:
        return ""
    return ", but nothing was found" if leaf["found"] is None else f", but found {show(leaf['found'])}"


def _distance(node: Condition, column: Column | None) -> dict[str, object]:
    """How far away the customer is, where a distance was asked for."""
    if not isinstance(node.value, Circle) or not isinstance(column, GeoColumn) or column.missing()[0]:
        return {}
    return {"distanceKm": round(float(distance_km(column.latitude[:1], column.longitude[:1], node.value)[0]), 3)}
