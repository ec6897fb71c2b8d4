"""Names of the recency-frequency grid: the default, and the proof that every cell has exactly one name."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from segmentation.engine.document import from_document, to_document
from segmentation.engine.rfm.grid import DEFAULT, NO_PURCHASE, Cells, Grid, Group, default_grid, validate
from segmentation.engine.rfm.scoring import Scores
from segmentation.errors import InvalidInput

THIRDS = (
    Group("away", "Away", (Cells((1, 1), (1, 3)),)),
    Group("there", "There", (Cells((2, 3), (1, 2)),)),
    Group("best", "Best", (Cells((2, 3), (3, 3)),)),
)


def scores(*cells: tuple[int, int]) -> Scores:
    columns = np.array(cells, dtype=np.int8).reshape(-1, 2)
    return Scores(columns[:, 0], columns[:, 1], columns[:, 1])


def names(grid: Grid, *cells: tuple[int, int]) -> list[str]:
    return [grid.groups[code].group_id for code in grid.code(scores(*cells))]


def problems(groups: tuple[Group, ...], bins: int = 3) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        validate(groups, bins)
    assert all(error.field == "grid" for error in caught.value.errors)
    return [error.message for error in caught.value.errors]


def test_the_default_has_the_eleven_names_and_names_every_cell_once() -> None:
    grid = validate(DEFAULT, 5)
    assert [group.group_id for group in grid.groups] == [
        "champions", "loyal", "active", "new", "promising", "needs_attention",
        "at_risk", "almost_lost", "previously_loyal", "dormant", "prospects",
    ]  # fmt: skip
    claimed = [
        cell
        for group in DEFAULT
        for area in group.cells
        for cell in product(
            range(area.recency[0], area.recency[1] + 1), range(area.frequency[0], area.frequency[1] + 1)
        )
    ]
    assert sorted(claimed) == [(0, 0), *product(range(1, 6), range(1, 6))]


def test_the_default_reads_as_a_marketer_expects() -> None:
    grid = validate(DEFAULT, 5)
    assert names(grid, (5, 5), (5, 4), (5, 3), (5, 2), (5, 1)) == ["champions", "loyal", "active", "promising", "new"]
    assert names(grid, (1, 5), (1, 1), (2, 5), (2, 1)) == ["previously_loyal", "dormant", "at_risk", "almost_lost"]
    assert names(grid, (3, 1), (3, 5), (4, 1), (0, 0)) == ["needs_attention", "loyal", "promising", "prospects"]


def test_the_table_in_the_documentation_of_the_module_is_the_default() -> None:
    from segmentation.engine.rfm import grid as module

    grid = validate(DEFAULT, 5)
    rows = [
        line.strip("|").split("|")
        for line in str(module.__doc__).splitlines()
        if line[:3] in {f"| {n}" for n in range(1, 6)}
    ]
    assert len(rows) == 5
    for recency, *cells in rows:
        said = [cell.strip().replace("att.", "attention").replace(" ", "_") for cell in cells]
        assert names(grid, *((int(recency), frequency) for frequency in range(1, 6))) == said


@pytest.mark.parametrize("bins", range(3, 11))
def test_the_default_for_other_bins_names_every_cell_once_and_keeps_the_corners(bins: int) -> None:
    grid = validate(default_grid(bins), bins)
    corners = names(grid, (bins, bins), (bins, 1), (1, bins), (1, 1), (0, 0))
    assert corners == ["champions", "new", "previously_loyal", "dormant", "prospects"]
    assert len(grid.groups) == {3: 8, 4: 9}.get(bins, 11)


def test_the_default_for_five_bins_is_the_default() -> None:
    assert to_document(validate(default_grid(5), 5)) == to_document(validate(DEFAULT, 5))


def test_overlapping_cells_are_listed_with_their_names() -> None:
    groups = (*THIRDS[:2], replace(THIRDS[2], cells=(Cells((1, 3), (3, 3)),)))
    assert problems(groups) == ["cell recency 1, frequency 3 belongs to 'Away' and 'Best'"]


def test_cells_without_a_name_are_listed() -> None:
    assert problems(THIRDS[:2]) == [
        "cell recency 2, frequency 3 has no name",
        "cell recency 3, frequency 3 has no name",
    ]


def test_overlaps_and_gaps_are_told_together() -> None:
    groups = (*THIRDS[:2], replace(THIRDS[2], cells=(Cells((1, 2), (3, 3)),)))
    assert len(problems(groups)) == 2


@pytest.mark.parametrize(
    "area", [Cells((2, 4), (3, 3)), Cells((3, 2), (3, 3)), Cells((0, 3), (3, 3)), Cells((1, 10**9), (1, 1))]
)
def test_areas_outside_the_grid_are_refused_with_their_numbers(area: Cells) -> None:
    told = problems((*THIRDS[:2], replace(THIRDS[2], cells=(area,))))
    assert told[0].startswith(f"'Best' has recency {area.recency[0]} to {area.recency[1]}")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((*THIRDS, replace(THIRDS[0], group_id="other", cells=(NO_PURCHASE,))), "the name 'away' is given 2 times"),
        ((*THIRDS, replace(THIRDS[0], name="Other", cells=(NO_PURCHASE,))), "the id 'away' is given 2 times"),
        ((*THIRDS, Group("empty", "Empty", ())), "'Empty' has no cells"),
        ((*THIRDS, Group("blank", " ", (NO_PURCHASE,))), "a group has a blank name"),
        (THIRDS * 4, "12 groups for 9 cells"),
        ((), "cell recency 1, frequency 1 has no name"),
        ((Group("many", "Many", (NO_PURCHASE,) * 11),), "'Many' lists 11 areas for 9 cells"),
    ],
)
def test_names_that_are_blank_doubled_or_without_cells_are_refused(groups: tuple[Group, ...], message: str) -> None:
    assert message in problems(groups)


@pytest.mark.parametrize("bins", [2, 11])
def test_a_grid_has_three_to_ten_bins(bins: int) -> None:
    for make in (lambda: validate(THIRDS, bins), lambda: default_grid(bins)):
        with pytest.raises(InvalidInput, match=f"bins={bins} is not between 3 and 10"):
            make()


def test_customers_without_scores_stay_unnamed_where_the_grid_has_no_name_for_them() -> None:
    assert validate(THIRDS, 3).code(scores((0, 0), (1, 3), (3, 3))).tolist() == [-1, 0, 2]
    assert validate(THIRDS, 3).code(scores()).tolist() == []


def test_the_cell_without_purchases_can_belong_to_one_group_only() -> None:
    groups = (*THIRDS, Group("a", "A", (NO_PURCHASE,)), Group("b", "B", (NO_PURCHASE,)))
    assert problems(groups) == ["cell recency 0, frequency 0 belongs to 'A' and 'B'"]


def test_scores_of_a_model_with_more_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="score 4 on a grid of 3 bins"):
        validate(THIRDS, 3).code(scores((4, 1)))


def test_a_grid_survives_a_round_trip_as_a_document() -> None:
    grid = validate(default_grid(10), 10)
    back = from_document(Grid, to_document(grid))
    assert back.groups == grid.groups
    assert np.array_equal(back.cells, grid.cells) and back.cells.dtype == np.int32
