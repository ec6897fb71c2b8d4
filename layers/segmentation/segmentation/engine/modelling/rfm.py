"""An RFM model: three attributes become scores, and cells of the recency-frequency grid become named groups."""

from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import MISSING, Column, Floats, Frame, NumberColumn, StringColumn
from segmentation.engine.modelling.groups import FoundGroup, named
from segmentation.engine.rfm import scoring
from segmentation.engine.rfm.grid import UNNAMED, Grid, Group, default_grid, validate
from segmentation.engine.rfm.scoring import Binning, Rfm, Thresholds
from segmentation.errors import InsufficientData

SEGMENT = "rfm.segment"


@dataclass(frozen=True, eq=False)
class RfmModel:
    """Cut points over `attributes` (recency in days, frequency, monetary value) and the names of the grid's cells."""

    attributes: tuple[str, str, str]
    rfm: Rfm
    grid: Grid


@dataclass(frozen=True, eq=False)
class RfmReport:
    """How many customers each cell has: `cells[recency - 1][frequency - 1]`, and how many had no scores."""

    customers: int
    without_scores: int
    cells: tuple[tuple[int, ...], ...]


def checked_grid(binning: Binning, groups: tuple[Group, ...] | None) -> Grid:
    """The grid for so many bins, the default's names where none are given. Raises InvalidInput."""
    bins = len(binning.frequency) + 1 if isinstance(binning, Thresholds) else binning.bins
    return validate(groups or default_grid(bins), bins)


def fit(
    frame: Frame, attributes: tuple[str, str, str], binning: Binning, groups: tuple[Group, ...] | None
) -> tuple[RfmModel, RfmReport, tuple[FoundGroup, ...]]:
    """The model of these customers, what it found, and its groups.

    Raises InvalidInput for parameters out of range or a bad grid, InsufficientData for too few customers.
    """
    grid = checked_grid(binning, groups)
    recency, frequency, monetary = values(frame, attributes)
    fitted = scoring.fit(recency, frequency, monetary, binning)
    if not fitted.customers:
        raise InsufficientData(f"none of {frame.size} customers has {', '.join(attributes)}: nobody has bought yet")
    model = RfmModel(attributes, fitted, grid)
    scores = scoring.score(fitted, recency, frequency, monetary)
    cells = np.zeros((fitted.bins, fitted.bins), dtype=np.int64)
    scored = scores.recency > 0
    np.add.at(cells, (scores.recency[scored] - 1, scores.frequency[scored] - 1), 1)
    codes = grid.code(scores)
    sizes = np.bincount(codes[codes >= 0], minlength=len(grid.groups)).tolist()
    report = RfmReport(
        customers=fitted.customers,
        without_scores=frame.size - fitted.customers,
        cells=tuple(tuple(row) for row in cells.tolist()),
    )
    found = [named(SEGMENT, group.group_id, group.name, size) for group, size in zip(grid.groups, sizes, strict=True)]
    return model, report, tuple(found)


def score(model: RfmModel, frame: Frame) -> dict[str, Column]:
    """`rfm.segment`, the three scores, and `rfm.score`, which writes them as one number, 543 for 5, 4 and 3.

    Scores are missing for whoever has not bought.
    """
    scores = scoring.score(model.rfm, *values(frame, model.attributes))
    codes = model.grid.code(scores)
    together = scores.recency * np.int16(100) + scores.frequency * np.int16(10) + scores.monetary
    numbers = {
        "rfm.score": together,
        "rfm.recency": scores.recency,
        "rfm.frequency": scores.frequency,
        "rfm.monetary": scores.monetary,
    }
    return {
        SEGMENT: StringColumn(
            np.where(codes == UNNAMED, MISSING, codes).astype(np.int32),
            tuple(group.group_id for group in model.grid.groups),
        ),
        **{name: NumberColumn(np.where(part > 0, part, np.nan)) for name, part in numbers.items()},
    }


def values(frame: Frame, attributes: tuple[str, str, str]) -> tuple[Floats, Floats, Floats]:
    """The three columns. Who has no recency has not bought: the count and the sum of nothing do not make a score."""
    columns = [frame.columns.get(name) for name in attributes]
    numbers = [column.values if isinstance(column, NumberColumn) else np.full(frame.size, np.nan) for column in columns]
    return numbers[0], numbers[1], numbers[2]
