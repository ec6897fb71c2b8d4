"""A migration as clients are told of it, out of what the partitions counted together."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from segmentation.engine.migration import counting, flows, forecast, paths, retention
from segmentation.engine.migration.counting import Counts, Tally
from segmentation.migration_questions import Grid, after
from segmentation.models.migrations import (
    NONE,
    ForecastPeriod,
    Ladder,
    Migration,
    MigrationForecast,
    MigrationPath,
    MigrationPaths,
    MigrationPeriod,
    Retention,
    RetentionAge,
    RetentionCohort,
    SegmentFlow,
)
from segmentation.models.segments import Segment

MOST_PATHS = 20


def build(found: Tally, segments: Sequence[Segment], grid: Grid, ordered: bool, periods: int) -> Migration:
    """The whole answer; `periods` are those to forecast."""
    sizes = counting.sizes(found)
    return Migration(
        start=grid.instants[0],
        to=grid.instants[-1],
        period=grid.period,
        ordered=ordered,
        customers=int(sizes[0].sum()),
        states=[*(segment.segmentId for segment in segments), NONE],
        severalFrom=int(found.several[0]),
        severalTo=int(found.several[-1]),
        matrix=found.matrix.tolist(),
        shares=np.round(flows.shares(found.matrix), 6).tolist(),
        segments=[_flow(found.matrix, number, segment) for number, segment in enumerate(segments)],
        periods=_periods(found, sizes, grid),
        ladder=_ladder(found.matrix) if ordered else None,
        paths=_paths(found, segments),
        retention=[_retention(found, number, segment, grid) for number, segment in enumerate(segments)],
        forecast=_forecast(found, sizes[-1], grid, periods),
        notes=_notes(found, grid, ordered, periods),
        diagram=diagram(found.matrix, segments),
    )


def diagram(matrix: Counts, segments: Sequence[Segment]) -> str:
    """The moves as a Mermaid sankey diagram; customers in no segment at both instants are left out."""
    names = [segment.segmentName for segment in segments]
    if len(set(names)) < len(names) or NONE in names:
        names = [segment.segmentId for segment in segments]
    names = [" ".join(name.split()).replace('"', '""') for name in [*names, NONE]]
    lines = [
        f'"{names[row]} (from)","{names[column]} (to)",{count}'
        for (row, column), count in np.ndenumerate(matrix)
        if count and row + column < 2 * len(segments)
    ]
    return "\n".join(["sankey-beta", "", *lines])


def _flow(matrix: Counts, number: int, segment: Segment) -> SegmentFlow:
    flow = flows.flow(matrix, number)
    return SegmentFlow(
        segmentId=segment.segmentId,
        segmentName=segment.segmentName,
        sizeFrom=flow.size_from,
        sizeTo=flow.size_to,
        stayed=flow.stayed,
        entered=flow.entered,
        exited=flow.exited,
        entryRate=_rounded(flow.entry_rate),
        exitRate=_rounded(flow.exit_rate),
    )


def _periods(found: Tally, sizes: Counts, grid: Grid) -> list[MigrationPeriod]:
    stayed = np.diagonal(found.steps, axis1=1, axis2=2)
    return [
        MigrationPeriod(
            start=grid.instants[number],
            to=grid.instants[number + 1],
            sizes=sizes[number].tolist(),
            entered=(sizes[number + 1] - stayed[number]).tolist(),
            exited=(sizes[number] - stayed[number]).tolist(),
        )
        for number in range(len(found.steps))
    ]


def _ladder(matrix: Counts) -> Ladder:
    found = flows.ladder(matrix)
    return Ladder(
        upgraded=found.upgraded,
        downgraded=found.downgraded,
        same=found.same,
        entered=found.entered,
        exited=found.exited,
        upgradeShare=_rounded(found.upgrade_share),
        downgradeShare=_rounded(found.downgrade_share),
        exitShare=_rounded(found.exit_share),
        meanStepsUp=_rounded(found.mean_steps_up),
        meanStepsDown=_rounded(found.mean_steps_down),
    )


def _paths(found: Tally, segments: Sequence[Segment]) -> MigrationPaths:
    names = [*(segment.segmentId for segment in segments), NONE]
    moved = int(found.paths.paths.counts.sum())
    items = [
        MigrationPath(
            states=[names[state] for state in path.states],
            goesOn=path.goes_on,
            customers=path.customers,
            share=round(path.customers / moved, 6),
            medianPeriods=list(path.median_periods),
        )
        for path in paths.most_frequent(found.paths, MOST_PATHS)
    ]
    return MigrationPaths(customers=moved, distinct=paths.distinct(found.paths), items=items)


def _retention(found: Tally, number: int, segment: Segment, grid: Grid) -> Retention:
    stays = found.stays[number]
    ages = retention.curve(stays, grid.whole)
    return Retention(
        segmentId=segment.segmentId,
        medianPeriods=retention.median_age(ages),
        ages=[
            RetentionAge(
                age=age.age,
                atRisk=age.at_risk,
                left=age.left,
                share=round(age.share, 6),
                low=_rounded(age.low),
                high=_rounded(age.high),
            )
            for age in ages
        ],
        cohorts=[
            RetentionCohort(
                at=grid.instants[cohort.start], customers=cohort.customers, remaining=list(cohort.remaining)
            )
            for cohort in retention.cohorts(stays, grid.whole)
        ],
    )


def _forecast(found: Tally, sizes: Counts, grid: Grid, periods: int) -> MigrationForecast | None:
    if not periods or grid.whole < 2:
        return None
    made = forecast.forecast(found.steps[: grid.whole - 1], sizes, periods)
    return MigrationForecast(
        level=forecast.LEVEL,
        observedPeriods=grid.whole - 1,
        dispersion=_rounded(made.dispersion),
        periods=[
            ForecastPeriod(
                at=_later(grid, number + 1),
                expected=np.round(made.expected[number], 1).tolist(),
                low=made.low[number].tolist(),
                high=made.high[number].tolist(),
            )
            for number in range(periods)
        ],
    )


def _later(grid: Grid, number: int) -> datetime:
    """So many periods after the last instant, counted from the first where all periods are whole."""
    if grid.whole == len(grid.instants):
        return after(grid.instants[0], grid.period, grid.whole - 1 + number)
    return after(grid.instants[-1], grid.period, number)


def _notes(found: Tally, grid: Grid, ordered: bool, periods: int) -> list[str]:
    notes = []
    if found.several[[0, -1]].any():
        which = "the highest" if ordered else "the first named"
        notes.append(f"customers in several of the segments count in {which} of them")
    if grid.whole < len(grid.instants):
        told = f"the last period is shorter than a {grid.period}: retention and forecast leave it out"
        notes.append(told)
    if periods and grid.whole < 2:
        notes.append(f"no whole {grid.period} lies between from and to, so there is no forecast")
    return notes


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
