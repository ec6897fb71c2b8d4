"""Nodes of many rules compiled against one frame: each distinct node once, as bits that are combined in chunks of rows.

It must not know rules' names or what a membership is: segments are bound to slots by the caller.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np

from segmentation.engine.catalogue import FEATURES, TIME_DEPENDENT_FEATURES, Kind
from segmentation.engine.criteria import behaviours
from segmentation.engine.criteria.behaviours import Measured, Rowset
from segmentation.engine.criteria.operators import (
    booleans,
    dates,
    geo,
    lists,
    numbers,
    strings,
)
from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import Bits, Prepared, empty, unpack
from segmentation.engine.criteria.times import NEVER, Clock, UInt64, Waits, Zone
from segmentation.engine.criteria.tree import (
    Behaviour,
    Condition,
    Group,
    Node,
    Not,
    SegmentIs,
)
from segmentation.engine.criteria.words import NEGATIONS
from segmentation.engine.frame import DateColumn, NumberColumn

CHUNK = 32768
"""Rows that are looked at together, so that their columns stay in the cache; a multiple of eight."""

OPERATORS: Mapping[Kind, ModuleType] = {
    Kind.STRING: strings,
    Kind.NUMBER: numbers,
    Kind.DATE: dates,
    Kind.BOOLEAN: booleans,
    Kind.LIST: lists,
    Kind.GEO: geo,
}

SINCE = {"recencyDays": "lastOrderAt", "tenureDays": "firstOrderAt"}
"""Features that count days, with the feature that they are counted from."""

FEATURE_EVENTS = ("order", "return")
"""Events whose rows change features when their time comes."""

Step = Callable[[list[Bits], int, int], Bits]


class Program:
    """Slots of bits over a frame's rows, each made from the frame or from slots before it."""

    def __init__(self, prepared: Prepared, now: int, waiting: bool, features: bool = True) -> None:
        """`waiting`: learn also when answers can change. `features`: the rows are customers, who have features."""
        self._prepared = prepared
        self._features = FEATURES if features else {}
        self._now = now
        self._waiting = waiting
        self._steps: list[Step] = []
        self._sources: list[frozenset[int]] = []
        self._waits: dict[Waits, int] = {}
        self._columns: dict[int, str] = {}
        self._slots: dict[Hashable, int] = {}
        self._segments: dict[str, int] = {}
        self._measured: dict[Hashable, Measured] = {}

    def bind(self, segment: str, slot: int) -> None:
        """Say which slot holds the memberships of a segment."""
        self._segments[segment] = slot

    def add(self, node: Node, zone: Zone) -> int:
        """The slot of a node's rows."""
        match node:
            case Group():
                return self.combine(node.operator, [self.add(child, zone) for child in node.children])
            case Not():
                return self.complement(self.add(node.child, zone))
            case SegmentIs():
                slot = self._segments[node.segment]
                return slot if node.operator == "member" else self.complement(slot)
        positive = NEGATIONS.get(node.operator)
        if positive is not None:
            return self.complement(self.add(replace(node, operator=positive), zone))
        zoned = isinstance(node, Behaviour) or node.kind is Kind.DATE
        key = (node, zone.name if zoned else "")
        if key not in self._slots:
            clock = Clock(self._now, zone)
            if isinstance(node, Behaviour):
                self._slots[key] = self._check(behaviours.check(node, self._measure(node, clock), clock))
            else:
                self._slots[key] = self._check(self._condition(node, clock), node.attribute)
        return self._slots[key]

    def combine(self, operator: str, slots: Sequence[int]) -> int:
        """The slot of the rows that are in all or in any of the slots."""
        operands = tuple(dict.fromkeys(slots))
        if len(operands) == 1:
            return operands[0]
        function = np.bitwise_and if operator == "all" else np.bitwise_or

        def step(bits: list[Bits], _start: int, _stop: int) -> Bits:
            made: Bits = function(bits[operands[0]], bits[operands[1]])
            for operand in operands[2:]:
                function(made, bits[operand], out=made)
            return made

        return self._intern(
            (operator, operands), step, frozenset[int]().union(*(self._sources[slot] for slot in operands))
        )

    def complement(self, slot: int) -> int:
        """The slot of the rows that are not in a slot."""
        return self._intern(("not", slot), lambda bits, _start, _stop: ~bits[slot], self._sources[slot])

    def given(self, bits: Bits) -> int:
        """A slot for bits of all rows."""
        return self._check(Check(bits))

    def measured(self, node: Behaviour, zone: Zone) -> Measured:
        """What a behaviour measures for every customer."""
        return self._measure(node, Clock(self._now, zone))

    def sources(self, slot: int) -> frozenset[int]:
        """The waits that a slot depends on."""
        return self._sources[slot]

    def run(self, wanted: Sequence[int], awaited: Sequence[frozenset[int]] = ()) -> tuple[Bits, list[UInt64]]:
        """Bits `uint8[wanted, rows / 8]`, and for each set of waits the earliest instant of a change per row.

        Instants are microseconds since 1970; NEVER, which is "not a time" as a signed number, is later than all others.
        """
        size = self._prepared.size
        found = np.zeros((len(wanted), (size + 7) // 8), dtype=np.uint8)
        changes = list(np.empty((len(awaited), size), dtype=np.uint64))
        needed = frozenset[int]().union(*awaited)
        sources = [(wait, waits) for waits, wait in self._waits.items() if wait in needed]
        alone = {
            next(iter(chosen)): target for target, chosen in zip(changes, awaited, strict=True) if len(chosen) == 1
        }
        several = [(target, chosen) for target, chosen in zip(changes, awaited, strict=True) if len(chosen) > 1]
        # Conditions on one column follow each other, so that it stays in the cache; what combines them comes after.
        columns = self._columns
        steps = sorted(enumerate(self._steps), key=lambda step: (step[0] not in columns, columns.get(step[0], "")))
        bits = [found[:0]] * len(steps)
        for start in range(0, size, CHUNK):
            stop = min(start + CHUNK, size)
            for slot, step in steps:
                bits[slot] = step(bits, start, stop)
            for row, slot in zip(found, wanted, strict=True):
                row[start >> 3 : (stop + 7) >> 3] = bits[slot]
            parts = {}
            for wait, waits in sources:
                target = alone[wait][start:stop] if wait in alone else np.empty(stop - start, dtype=np.uint64)
                parts[wait] = self._instants(waits(start, stop), target)
            for target, chosen in several:
                _earliest(target[start:stop], [parts[wait] for wait in chosen])
        if size % 8:
            found[:, -1] &= np.uint8(0xFF << (8 - size % 8) & 0xFF)
        return found, changes

    def _instants(self, waits: UInt64, target: UInt64) -> UInt64:
        """Waits as instants, written to the target; one that is too long for an instant becomes NEVER."""
        np.minimum(waits, np.uint64((1 << 63) - self._now - 1), out=target)
        target += np.uint64(self._now + 1)
        return target

    def _intern(self, key: Hashable, step: Step, sources: frozenset[int]) -> int:
        if key not in self._slots:
            self._slots[key] = self._append(step, sources)
        return self._slots[key]

    def _append(self, step: Step, sources: frozenset[int]) -> int:
        self._steps.append(step)
        self._sources.append(sources)
        return len(self._steps) - 1

    def _check(self, check: Check, column: str = "") -> int:
        answer = check.answer
        if isinstance(answer, np.ndarray):
            whole = answer
            slot = self._append(lambda _bits, start, stop: whole[start >> 3 : (stop + 7) >> 3], frozenset())
        else:
            truth = answer
            slot = self._append(lambda _bits, start, stop: np.packbits(truth(start, stop)), frozenset())
        self._columns[slot] = column
        if check.among is not None:
            slot = self.combine("all", [slot, self.given(check.among)])
        if self._waiting and check.waits is not None:
            self._sources[slot] = frozenset([self._waits.setdefault(check.waits, len(self._waits))])
        return slot

    def _condition(self, node: Condition, clock: Clock) -> Check:
        column = self._prepared.column(node.attribute, node.kind)
        if column is None:
            check = Check(empty(self._prepared.size))
        elif node.operator == "is_set":
            check = Check(self._prepared.present(node.attribute, column))
        else:
            check = OPERATORS[node.kind].check(node, column, self._prepared, clock)
        if not self._waiting or node.attribute not in self._features or not self._prepared.frame.events:
            return self._growing(node, check)
        return self._arriving(self._growing(node, check))

    def _growing(self, node: Condition, check: Check) -> Check:
        """A count of days goes on by itself."""
        if not self._waiting or node.attribute not in self._features.keys() & TIME_DEPENDENT_FEATURES:
            return check
        counted = self._prepared.column(node.attribute, Kind.NUMBER)
        since = self._prepared.column(SINCE[node.attribute], Kind.DATE)
        if not isinstance(counted, NumberColumn):
            return check
        if not isinstance(since, DateColumn):
            message = f"the frame has {node.attribute} but not {SINCE[node.attribute]}, from which it follows"
            raise ValueError(message)  # nothing of a wrong type was handed in
        days, instants, now = counted.values, since.values.view(np.int64), self._now
        return replace(
            check,
            waits=lambda start, stop: numbers.day_waits(
                node.operator, node.value, days[start:stop], instants[start:stop], now
            ),
        )

    def _arriving(self, check: Check) -> Check:
        """Orders dated after now change every feature when their time comes."""
        shortest = np.full(self._prepared.size, NEVER)
        for event in FEATURE_EVENTS:
            table = self._prepared.frame.events.get(event)
            if table is None:
                continue
            times = table.time.view(np.int64)
            ahead = np.flatnonzero(times > self._now)[::-1]
            arrivals = np.full(self._prepared.size, NEVER)
            # Backwards, so that the first of a customer's rows is assigned last and stays.
            arrivals[self._prepared.owners(event, table)[ahead]] = dates.arrival_waits(times[ahead], self._now)
            np.minimum(shortest, arrivals, out=shortest)
        if (shortest == NEVER).all():
            return check
        own = check.waits
        if own is None:
            return replace(check, waits=lambda start, stop: shortest[start:stop])
        return replace(check, waits=lambda start, stop: np.minimum(own(start, stop), shortest[start:stop]))

    def _measure(self, node: Behaviour, clock: Clock) -> Measured:
        key = (node.event, node.measure, node.window, node.where, clock.zone.name)
        if key not in self._measured:
            rows = self._prepared.rows(node.event)
            if rows is None:
                self._measured[key] = behaviours.unmeasured(node.measure, self._prepared.size)
            else:
                field = node.measure.field
                column = rows.column(field, dict(node.fields)[field]) if field else None
                rowset = self._rowset(node, rows, clock.zone)
                self._measured[key] = behaviours.measure(
                    node, column, rowset, clock, self._prepared.size, self._waiting
                )
        return self._measured[key]

    def _rowset(self, node: Behaviour, rows: Prepared, zone: Zone) -> Rowset:
        table = self._prepared.frame.events[node.event]
        owners = self._prepared.owners(node.event, table)
        if node.where is None:
            return Rowset(table, owners)
        conditions = Program(rows, self._now, self._waiting, features=False)
        slot = conditions.add(node.where, zone)
        sources = conditions.sources(slot)
        bits, changes = conditions.run([slot], [sources] if sources else [])
        return Rowset(
            table, owners, unpack(bits[0], rows.size), changes[0] - np.uint64(self._now + 1) if changes else None
        )


def _earliest(target: UInt64, parts: Sequence[UInt64]) -> None:
    np.minimum(parts[0], parts[1], out=target)
    for part in parts[2:]:
        np.minimum(target, part, out=target)
