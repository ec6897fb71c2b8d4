"""Which records of an import are accepted, and as what: the rules of each dataset, column by column. It reads and
writes no file."""

import hashlib
import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.engine.catalogue import Kind
from segmentation.models.imports import ImportPlan, PlannedColumn
from segmentation.store.reading import columns as cells
from segmentation.store.reading.blocks import Block
from segmentation.store.reading.columns import Checked, Flags, Problem
from segmentation.store.reading.datasets import CONSTANT, KNOWN, SEGMENT_ID, Role
from segmentation.store.reading.dates import DateRule, instants

CLOCK_SKEW = timedelta(days=2)
"""How far an order or an event may lie in the future: clocks and time zones are off by hours, typing errors by
years."""

FIRST_ORDER = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DATE = datetime(1900, 1, 1, tzinfo=UTC)
LAST_DATE = datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC)
MISSING = "is missing"


def accept(block: Block, plan: ImportPlan, segments: Collection[str] = ()) -> pa.Table:
    """The good rows of a block, typed: `customerId`, the dataset's columns, `row`. The bad ones go to
    `block.rejects` with
    every reason that applies."""
    checked = _Rows(block, plan, segments)
    for column in plan.columns:
        checked.add(column)
    if plan.dataset == "orders":
        checked.add_amount()
        checked.add_order_id()
    names = ["customerId", *sorted(name for name in checked.values if name != "customerId")]
    table = pa.table(
        [*(checked.values[name] for name in names), pa.array(block.rows, pa.int64())], names=[*names, "row"]
    )
    return table.filter(pa.array(~checked.bad)) if checked.bad.any() else table


class _Rows:
    """The columns of one block, checked one after the other."""

    def __init__(self, block: Block, plan: ImportPlan, segments: Collection[str]) -> None:
        self._segments = pa.array(sorted(segments), pa.string())
        self._block = block
        self._plan = plan
        self._sources: dict[str, str] = {}
        self._unreadable: dict[str, Flags] = {}
        self.values: dict[str, pa.Array] = {}
        self.bad: Flags = np.zeros(len(block.rows), dtype=np.bool_) if block.damaged is None else block.damaged.copy()

    def add(self, column: PlannedColumn) -> None:
        """Check one column and keep its values; required cells must not be blank."""
        if column.position == CONSTANT:
            raw = pa.repeat(self._plan.parsing.constants[column.name], len(self._block.rows))
        else:
            raw = self._block.columns[column.source]
        known = KNOWN[self._plan.dataset].get(column.target)
        checked = _check(raw, column.kind, known.role if known else None, self._plan)
        unreadable = np.zeros(len(raw), dtype=np.bool_)
        for problem in checked.problems:
            self._reject(problem, column.source, raw)
            unreadable |= problem.mask
        if known and known.role is Role.SEGMENT:
            strange = pc.invert(pc.is_in(checked.values, value_set=self._segments))
            unknown = Problem(cells.flags(strange) & ~cells.flags(pc.is_null(checked.values)), "is no segment")
            self._reject(unknown, column.source, raw)
            unreadable |= unknown.mask
        if known and known.required and checked.values.null_count:
            blank = cells.flags(pc.is_null(checked.values))
            self._reject(Problem(blank & ~unreadable, MISSING), column.source, None)
        self._unreadable[column.target] = unreadable
        self.values[column.target] = checked.values
        self._sources[column.target] = column.source

    def add_amount(self) -> None:
        """The amount of a line is its own, else quantity times unit price; a line with neither is rejected."""
        given = self.values.get("amount")
        amounts = given
        if "quantity" in self.values and "unitPrice" in self.values:
            product = pc.multiply(self.values["quantity"], self.values["unitPrice"])
            overflow = Problem(
                ~cells.flags(pc.fill_null(pc.is_finite(product), True)), "times the quantity is not a finite number"
            )
            self._reject(overflow, self._sources["unitPrice"], self.values["unitPrice"])
            amounts = product if given is None else pc.coalesce(given, product)
        if amounts is None:
            raise AssertionError("a plan for orders has amount, or quantity and unitPrice")
        blank = cells.flags(pc.is_null(amounts))
        for name in {"amount", "quantity", "unitPrice"} & self._unreadable.keys():
            blank &= ~self._unreadable[name]
        self._reject(Problem(blank, MISSING), self._sources.get("amount", "amount"), None)
        self.values["amount"] = amounts

    def add_order_id(self) -> None:
        """For files without order ids: each row is an order, or the rows that share some columns are."""
        parts = self._plan.parsing.orderIdFrom
        if parts is None:
            return
        if parts == "row":
            prefix = hashlib.sha256(self._plan.key.encode()).hexdigest()[:12]
            rows = pa.array(self._block.rows, pa.int64()).cast(pa.string())
            self.values["orderId"] = pc.binary_join_element_wise(prefix, rows, "-")
            return
        texts = [pc.fill_null(self.values[part].cast(pa.string()), "") for part in parts]
        self.values["orderId"] = pc.binary_join_element_wise(*texts, "|")

    def _reject(self, problem: Problem, field: str, raw: pa.Array | None) -> None:
        if not problem.mask.any():
            return
        count = int(problem.mask.sum())
        shown = pa.nulls(count, pa.string()) if raw is None else _shown(raw.filter(pa.array(problem.mask)))
        self._block.rejects.add(self._block.rows[problem.mask], field, shown, problem.reason)
        self.bad |= problem.mask


def _check(raw: pa.Array, kind: Kind, role: Role | None, plan: ImportPlan) -> Checked:
    parsing = plan.parsing
    if role in (Role.ID, Role.SEGMENT):
        return cells.identifier(raw, SEGMENT_ID if role is Role.SEGMENT else None)
    if kind is Kind.NUMBER:
        checked = cells.number(raw, parsing.decimal)
        if role is Role.PRICE:
            negative = Problem(cells.flags(pc.less(checked.values, 0.0)), "is a negative price")
            return Checked(checked.values, (*checked.problems, negative))
        return checked
    if kind is Kind.DATE:
        bounds = (FIRST_ORDER, plan.now + CLOCK_SKEW) if role is Role.INSTANT else (FIRST_DATE, LAST_DATE)
        return instants(raw, DateRule(*bounds, parsing.dateFormat, parsing.timeZone))
    if kind is Kind.BOOLEAN:
        return cells.boolean(raw)
    if kind is Kind.LIST:
        return cells.items(raw, parsing.listSeparator)
    if kind is Kind.GEO:
        return cells.place(raw)
    return cells.text(raw)


def _shown(values: pa.Array) -> pa.Array:
    """Cells as a reject file shows them."""
    if pa.types.is_nested(values.type):
        return pa.array(
            [json.dumps(value, ensure_ascii=False, default=str) for value in values.to_pylist()], pa.string()
        )
    return values.cast(pa.string())
