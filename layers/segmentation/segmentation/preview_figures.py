"""What a preview says, added up partition by partition. It sees arrays and sets of ids, no store and no rule."""

import heapq
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from segmentation import revenue
from segmentation.engine.frame import Bools, Frame, Rows
from segmentation.models.segments import ConditionCount, CustomerRevenue


@dataclass
class Moving:
    """Customers who would join, or who would leave: how many, their revenue, and the `shown` with the largest."""

    shown: int
    customers: int = 0
    revenues: list[float] = field(default_factory=list)
    largest: list[tuple[float, str]] = field(default_factory=list)

    def add(self, frame: Frame, rows: Rows, gone: Collection[str] = ()) -> None:
        """The customers at `rows` of a frame, and some who are in no frame any more and stand for no revenue."""
        amounts = revenue.of_customers(frame)[rows]
        self.customers += len(rows) + len(gone)
        self.revenues.append(math.fsum(amounts.tolist()))
        order = np.argsort(-amounts, kind="stable")[: self.shown].tolist()
        found = [(-float(amounts[place]), frame.ids[rows[place]]) for place in order]
        # Of equals the first by id, however the customers are spread over partitions.
        self.largest = heapq.nsmallest(self.shown, [*self.largest, *found, *((0.0, who) for who in gone)])

    @property
    def total_revenue(self) -> float:
        return revenue.money(self.revenues)

    def sample(self) -> list[CustomerRevenue]:
        return [CustomerRevenue(customerId=who, revenue=revenue.money([-amount])) for amount, who in self.largest]


@dataclass
class Tally:
    """Figures of a preview; lists of customers have at most `sample_size`."""

    sample_size: int
    sample: list[str] = field(default_factory=list)
    conditions: list[tuple[str, int]] = field(default_factory=list)
    total: int = 0
    customers: int = 0
    joining: Moving = field(init=False)
    leaving: Moving = field(init=False)

    def __post_init__(self) -> None:
        self.joining, self.leaving = Moving(self.sample_size), Moving(self.sample_size)

    def add(self, ids: Sequence[str], mask: Bools) -> None:
        """A partition's customers, and who of them is in."""
        self.total += len(ids)
        self.customers += int(mask.sum())
        for row in np.flatnonzero(mask)[: self.sample_size - len(self.sample)].tolist():
            self.sample.append(ids[row])

    def count(self, counts: Iterable[tuple[str, int]]) -> None:
        """How many customers of a partition each condition takes."""
        known = dict(self.conditions)
        self.conditions = [(path, known.get(path, 0) + count) for path, count in counts]

    def compare(self, frame: Frame, after: Bools, members: Collection[str]) -> None:
        """Who of a partition would be in, against who is."""
        rows = {who: frame.position(who) for who in members}
        before = np.zeros(frame.size, dtype=bool)
        before[[row for row in rows.values() if row is not None]] = True
        self.joining.add(frame, np.flatnonzero(after & ~before))
        gone = [who for who, row in rows.items() if row is None]
        self.leaving.add(frame, np.flatnonzero(before & ~after), gone)

    def share(self) -> float:
        return round(self.customers / self.total, 6) if self.total else 0.0

    def condition_counts(self) -> list[ConditionCount]:
        return [ConditionCount(path=path, count=count) for path, count in self.conditions]
