"""An RFM model: three attributes become scores, and cells of the recency-frequency grid become named groups."""

from dataclasses import dataclass, replace

import numpy as np

from segmentation.engine.frame import MISSING, Column, Floats, Frame, NumberColumn, StringColumn
from segmentation.engine.modelling.groups import FoundGroup, named
from segmentation.engine.modelling.pooled import Described, Pooled
from segmentation.engine.rfm import scoring
from segmentation.engine.rfm.grid import UNNAMED, Grid, Group, default_grid, validate
from segmentation.engine.rfm.scoring import Binning, Rfm, Thresholds
from segmentation.engine.sketches.histogram import VALUES, of_values
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
    """How many customers each cell has: `cells[recency - 1][frequency - 1]`, and how many had no scores.

    Cut points are those of `fitted_on` customers.
    """

    customers: int
    without_scores: int
    cells: tuple[tuple[int, ...], ...]
    fitted_on: int


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
    fitted = scoring.fit(*values(frame, attributes), binning)
    if not fitted.customers:
        raise InsufficientData(_nobody(frame.size, attributes))
    model = RfmModel(attributes, fitted, grid)
    return complete(model, describe(model, frame))


def pool(frame: Frame, attributes: tuple[str, str, str]) -> Pooled:
    """What these customers bring to a fit on many more: histograms of the figures of those who have all three."""
    columns = values(frame, attributes)
    known = ~np.any([np.isnan(column) for column in columns], axis=0)
    histograms = {
        name: of_values(column[known], VALUES) for name, column in zip(scoring.DIMENSIONS, columns, strict=True)
    }
    return Pooled(frame.size, int(np.count_nonzero(known)), histograms)


def fit_pooled(
    pooled: Pooled, attributes: tuple[str, str, str], binning: Binning, groups: tuple[Group, ...] | None
) -> RfmModel:
    """The model of all customers that were pooled; how many have which score is yet to be counted. Raises as `fit`."""
    grid = checked_grid(binning, groups)
    if not pooled.known:
        raise InsufficientData(_nobody(pooled.customers, attributes))
    return RfmModel(attributes, scoring.fit_counted(pooled.values, binning), grid)


def describe(model: RfmModel, frame: Frame) -> Described:
    """How many customers have which score, are in which cell and in which group."""
    scores = scoring.score(model.rfm, *values(frame, model.attributes))
    bins = model.rfm.bins
    counts = {name: np.bincount(getattr(scores, name), minlength=bins + 1) for name in scoring.DIMENSIONS}
    cells = scores.recency.astype(np.int64) * (bins + 1) + scores.frequency
    codes = model.grid.code(scores)
    counts["cells"] = np.bincount(cells, minlength=(bins + 1) ** 2)
    counts["groups"] = np.bincount(codes[codes >= 0], minlength=len(model.grid.groups))
    return Described(counts)


def complete(model: RfmModel, described: Described) -> tuple[RfmModel, RfmReport, tuple[FoundGroup, ...]]:
    """The model with the counts of all customers that were described, what was found, and the groups."""
    bins, counts = model.rfm.bins, described.counts
    without = int(counts["recency"][0])
    customers = int(counts["recency"].sum()) - without
    dimensions = {
        name: replace(getattr(model.rfm, name), counts=tuple(counts[name][1:].tolist())) for name in scoring.DIMENSIONS
    }
    cells = counts["cells"].reshape(bins + 1, bins + 1)[1:, 1:]
    report = RfmReport(
        customers=customers,
        without_scores=without,
        cells=tuple(tuple(row) for row in cells.tolist()),
        fitted_on=model.rfm.customers,
    )
    sizes = counts["groups"].tolist()
    groups = zip(model.grid.groups, sizes, strict=True)
    found = [named(SEGMENT, group.group_id, group.name, size) for group, size in groups]
    return replace(model, rfm=replace(model.rfm, **dimensions, customers=customers)), report, tuple(found)


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


def _nobody(customers: int, attributes: tuple[str, str, str]) -> str:
    return f"none of {customers} customers has {', '.join(attributes)}: nobody has bought yet"


def values(frame: Frame, attributes: tuple[str, str, str]) -> tuple[Floats, Floats, Floats]:
    """The three columns. Who has no recency has not bought: the count and the sum of nothing do not make a score."""
    columns = [frame.columns.get(name) for name in attributes]
    numbers = [column.values if isinstance(column, NumberColumn) else np.full(frame.size, np.nan) for column in columns]
    return numbers[0], numbers[1], numbers[2]
