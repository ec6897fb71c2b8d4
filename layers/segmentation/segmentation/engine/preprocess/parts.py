"""How the columns of one feature are written into the points, by the steps that were fitted.

Numbers run through their steps in chunks; text and booleans look up what became of each distinct value.
It must not know how anything was learnt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import BooleanColumn, Column, Floats, NumberColumn, StringColumn
from segmentation.engine.preprocess.categories import Places, category_columns, category_places, rank_places
from segmentation.engine.preprocess.steps import Categories, Filled, Flagged, Ranks, Scaled, Step, run


@dataclass(frozen=True, eq=False)
class Numbers:
    """A number on its way into the points: its steps run on a chunk that stays in the cache."""

    values: Floats
    steps: Sequence[Step]
    position: int | None
    flag: int | None

    def write(self, block: Floats, begin: int) -> None:
        chunk = self.values[begin : begin + len(block)].copy()
        if self.flag is not None:
            block[:, self.flag] = np.isnan(chunk)
        if self.position is not None:
            run(chunk, self.steps)
            block[:, self.position] = chunk


@dataclass(frozen=True, eq=False)
class Coded:
    """Text or a boolean on its way: `places[codes]` are rows of `lookups`, a vector for each position in the points.
    The last place is that of a missing value, whose code is -1.
    """

    codes: NDArray[np.signedinteger]
    places: Places
    lookups: Mapping[int, Floats]

    def write(self, block: Floats, begin: int) -> None:
        places = self.places[self.codes[begin : begin + len(block)]]
        for position, lookup in self.lookups.items():
            block[:, position] = lookup[places]


def part_of(name: str, steps: Sequence[Step], column: Column, positions: Mapping[str, int]) -> Numbers | Coded:
    """How the column of the feature `name` gets to the `positions` of the output columns; those without one are not
    made. The column is a number, a boolean or text, as when the steps were fitted.
    """
    if isinstance(column, NumberColumn):
        flag = next((positions.get(step.column) for step in steps if isinstance(step, Flagged)), None)
        return Numbers(column.values, steps, positions.get(name), flag)
    codes: NDArray[np.signedinteger]
    if isinstance(column, StringColumn):
        codes, places, table = column.codes, *_text_table(name, steps, column)
    else:
        codes = cast(BooleanColumn, column).values
        places, table = np.arange(3, dtype=np.int32), _ranks_table(name, steps, 2)
    return Coded(codes, places, {positions[made]: lookup for made, lookup in table.items() if made in positions})


def _text_table(name: str, steps: Sequence[Step], column: StringColumn) -> tuple[Places, dict[str, Floats]]:
    """The row of the table for each distinct text, the missing one last, and the table: a vector per output column."""
    for step in steps:
        if isinstance(step, Ranks):
            places, size = rank_places(column, step.order), len(step.order)
            return _or_last(places, size, size), _ranks_table(name, steps, size)
    categories = next(step for step in steps if isinstance(step, Categories)).categories
    places, size = category_places(column.values, categories), len(categories)
    return _or_last(places, size, size + 1), _categories_table(name, steps, categories)


def _or_last(places: Places, nowhere: int, missing: int) -> Places:
    return np.append(np.where(places >= 0, places, nowhere), missing).astype(np.int32)


def _ranks_table(name: str, steps: Sequence[Step], size: int) -> dict[str, Floats]:
    """What the ranks 0 to `size - 1`, and then a missing one, become."""
    ranks = np.append(np.arange(size, dtype=np.float64), np.nan)
    missing = np.isnan(ranks).astype(np.float64)
    run(ranks, steps)
    return {name: ranks} | {step.column: missing for step in steps if isinstance(step, Flagged)}


def _categories_table(name: str, steps: Sequence[Step], categories: tuple[str, ...]) -> dict[str, Floats]:
    """What each category becomes, then a value that is none, then a missing one."""
    size = len(categories)
    table = np.zeros((size + 2, size))
    table[:size] = np.eye(size)
    stand_in = next(str(step.value) for step in steps if isinstance(step, Filled))
    place = category_places((stand_in,), categories)[0]
    table[size + 1] = table[place] if place >= 0 else 0.0
    found = dict(zip(category_columns(name, categories), table.T, strict=True))
    for step in steps:
        if isinstance(step, Scaled):
            found[step.column] = (found[step.column] - step.centre) / step.scale
    last = np.append(np.zeros(size + 1), 1.0)
    return found | {step.column: last for step in steps if isinstance(step, Flagged)}
