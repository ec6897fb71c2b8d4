"""Names for the cells of the recency-frequency grid: a default, and proof that every cell has exactly one name.

How the default reads, recency 5 (just now) to 1 (long ago) down, frequency 1 (once) to 5 (most often) across:

|   | 1            | 2            | 3               | 4                | 5                |
|---|--------------|--------------|-----------------|------------------|------------------|
| 5 | new          | promising    | active          | loyal            | champions        |
| 4 | promising    | promising    | active          | loyal            | champions        |
| 3 | needs att.   | needs att.   | needs att.      | loyal            | loyal            |
| 2 | almost lost  | almost lost  | at risk         | at risk          | at risk          |
| 1 | dormant      | dormant      | dormant         | previously loyal | previously loyal |

Each name asks for one action. *New* bought for the first time, just now: welcome them. *Promising* bought little, and
lately: win the next order. *Active* buy regularly and lately: make it a habit. *Loyal* buy often, and are not away for
longer than most: reward them. *Champions* buy most often, and lately: ask for reviews and referrals. *Needs attention*
were away for a middling time without being regulars: remind them. *At risk* used to buy at least regularly and are
overdue: win them back while it is possible. *Almost lost* bought little and are overdue: a last, cheap offer.
*Previously loyal* bought often, long ago: ask why. *Dormant* bought little or moderately, long ago: leave them out of
costly campaigns. *Prospects* have not bought at all, so they have no scores: their cell is recency 0, frequency 0.

The module must not know how scores come about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.frame import Codes
from segmentation.engine.rfm.scoring import FEWEST, MOST, Scores
from segmentation.errors import FieldError, InvalidInput

UNNAMED = -1
"""Code of a customer without scores where the grid has no name for those."""


@dataclass(frozen=True)
class Cells:
    """A rectangle of cells: scores from low to high, both included."""

    recency: tuple[int, int]
    frequency: tuple[int, int]


NO_PURCHASE = Cells((0, 0), (0, 0))
"""The cell of customers who have no scores. A grid may leave it out."""


@dataclass(frozen=True)
class Group:
    """A named set of cells."""

    group_id: str
    name: str
    cells: tuple[Cells, ...]


DEFAULT = (
    Group("champions", "Champions", (Cells((4, 5), (5, 5)),)),
    Group("loyal", "Loyal", (Cells((3, 5), (4, 4)), Cells((3, 3), (5, 5)))),
    Group("active", "Active", (Cells((4, 5), (3, 3)),)),
    Group("new", "New", (Cells((5, 5), (1, 1)),)),
    Group("promising", "Promising", (Cells((4, 5), (2, 2)), Cells((4, 4), (1, 1)))),
    Group("needs_attention", "Needs Attention", (Cells((3, 3), (1, 3)),)),
    Group("at_risk", "At Risk", (Cells((2, 2), (3, 5)),)),
    Group("almost_lost", "Almost Lost", (Cells((2, 2), (1, 2)),)),
    Group("previously_loyal", "Previously Loyal", (Cells((1, 1), (4, 5)),)),
    Group("dormant", "Dormant", (Cells((1, 1), (1, 3)),)),
    Group("prospects", "Prospects", (NO_PURCHASE,)),
)
"""The eleven names on 5 x 5 cells, best first."""

DEFAULT_BINS = 5


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid that has been proved: `cells[recency, frequency]`, (bins + 1, bins + 1), are codes into `groups`."""

    bins: int
    groups: tuple[Group, ...]
    cells: NDArray[np.int32]

    def code(self, scores: Scores) -> Codes:
        """Codes (n) into `groups`, -1 for customers without scores if the grid does not name them.

        Raises ValueError if scores exceed the grid's bins: they are another model's.
        """
        highest = max(int(part.max(initial=0)) for part in (scores.recency, scores.frequency))
        if highest > self.bins:
            raise ValueError(f"score {highest} on a grid of {self.bins} bins")
        # At most 10 * 11 + 10: an int8 holds it.
        position = scores.recency * np.int8(self.bins + 1) + scores.frequency
        codes: Codes = self.cells.ravel().take(position)
        return codes


def default_grid(bins: int) -> tuple[Group, ...]:
    """The default groups on `bins` x `bins` cells: a score has the name of the fifth that its middle lies in.

    With 3 or 4 bins some names have no cell and are left out. Raises InvalidInput unless there are 3 to 10 bins.
    """
    _check_bins(bins)
    fifth = {value: (2 * value - 1) * DEFAULT_BINS // (2 * bins) + 1 for value in range(1, bins + 1)}

    def stretched(low: int, high: int) -> tuple[int, int] | None:
        inside = [value for value in fifth if low <= fifth[value] <= high]
        return (inside[0], inside[-1]) if inside else None

    groups = []
    for group in DEFAULT:
        cells = []
        for area in group.cells:
            recency, frequency = stretched(*area.recency), stretched(*area.frequency)
            if area == NO_PURCHASE:
                cells.append(area)
            elif recency and frequency:
                cells.append(Cells(recency, frequency))
        if cells:
            groups.append(Group(group.group_id, group.name, tuple(cells)))
    return tuple(groups)


def validate(groups: Sequence[Group], bins: int) -> Grid:
    """The grid, if every cell of `bins` x `bins` has exactly one name, and the cell without purchases at most one.

    Raises InvalidInput on `grid` with all that is wrong: cells that overlap with the names that claim them, cells
    without a name, cells outside, names and ids that are blank or given twice, groups without cells.
    """
    _check_bins(bins)
    # A cell each and the one without purchases: more groups cannot all have a cell of their own.
    if len(groups) > bins * bins + 1:
        _refuse([f"{len(groups)} groups for {bins * bins} cells"])
    problems = [*_bad_names(groups), *_bad_areas(groups, bins)]
    if problems:
        _refuse(problems)
    claims: dict[tuple[int, int], list[int]] = {}
    for code, group in enumerate(groups):
        # A cell that a group lists twice is claimed once: it has one name all the same.
        for cell in sorted({cell for area in group.cells for cell in _cells(area)}):
            claims.setdefault(cell, []).append(code)
    problems = [
        f"{_text(cell)} belongs to {' and '.join(repr(groups[code].name) for code in claims[cell])}"
        for cell in sorted(claims)
        if len(claims[cell]) > 1
    ]
    every = _cells(Cells((1, bins), (1, bins)))
    problems += [f"{_text(cell)} has no name" for cell in every if cell not in claims]
    if problems:
        _refuse(problems)
    cells = np.full((bins + 1, bins + 1), UNNAMED, dtype=np.int32)
    for (recency, frequency), codes in claims.items():
        cells[recency, frequency] = codes[0]
    return Grid(bins, tuple(groups), cells)


def _bad_names(groups: Sequence[Group]) -> Iterator[str]:
    for title, values in (
        ("id", [group.group_id for group in groups]),
        ("name", [group.name.casefold() for group in groups]),
    ):
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield f"the {title} {value!r} is given {values.count(value)} times"
        if not all(value.strip() for value in values):
            yield f"a group has a blank {title}"
    for group in groups:
        if not group.cells:
            yield f"{group.name!r} has no cells"


def _bad_areas(groups: Sequence[Group], bins: int) -> Iterator[str]:
    """Areas outside the grid: checked before cells are listed, so that a huge range costs nothing."""
    for group in groups:
        if len(group.cells) > bins * bins + 1:
            yield f"{group.name!r} lists {len(group.cells)} areas for {bins * bins} cells"
            continue
        for area in group.cells:
            inside = all(1 <= low <= high <= bins for low, high in (area.recency, area.frequency))
            if not inside and area != NO_PURCHASE:
                yield (
                    f"{group.name!r} has recency {area.recency[0]} to {area.recency[1]}, frequency "
                    f"{area.frequency[0]} to {area.frequency[1]}: scores go from 1 to {bins}, or all are 0 for "
                    "customers without purchases"
                )


def _cells(area: Cells) -> list[tuple[int, int]]:
    recencies, frequencies = (range(low, high + 1) for low, high in (area.recency, area.frequency))
    return [(recency, frequency) for recency in recencies for frequency in frequencies]


def _text(cell: tuple[int, int]) -> str:
    return f"cell recency {cell[0]}, frequency {cell[1]}"


def _check_bins(bins: int) -> None:
    if not FEWEST <= bins <= MOST:
        message = f"bins={bins} is not between {FEWEST} and {MOST}"
        raise InvalidInput(message, [FieldError("bins", message)])


def _refuse(problems: Sequence[str]) -> None:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise InvalidInput(
        f"not every cell has exactly one name: {problems[0]}{more}", [FieldError("grid", p) for p in problems]
    )
