"""Who moved between segments from one instant to another: figures of all, and the customers of one move."""

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation import migration_questions as questions
from segmentation import migration_report, partitions, timeline
from segmentation.engine.frame import Bools
from segmentation.engine.migration import counting
from segmentation.engine.migration.counting import Tally
from segmentation.engine.migration.states import states_of
from segmentation.errors import TooBusy
from segmentation.migration_questions import Grid, Move
from segmentation.models.migrations import Migration, MovedCustomer, MoveList, Moves, Period
from segmentation.store import cursor
from segmentation.store.store import Store
from segmentation.timeline import Timeline

PATIENCE_SECONDS = 20
"""The gateway gives up after 30 seconds."""

READERS = 4
"""Partitions that are read at once: each holds a byte per customer, segment and instant."""


def get(
    store: Store,
    start: datetime,
    end: datetime,
    segment_ids: Sequence[str] | None,
    model_id: str | None,
    period: Period | None,
    periods: int,
    ordered: bool,
    at: datetime,
) -> Migration:
    """The migration between named segments, or the groups of a published model, with a forecast of so many periods.

    Raises InvalidInput with the field at fault, or TooBusy if the customers are too many to be counted in time.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    questions.check_times(start, end, at)
    segments = questions.named(store.table, segment_ids, model_id, ordered, at)
    questions.check_recorded(start, timeline.first_record(store))
    grid = questions.grid(start, end, period)
    past = Timeline(store, [segment.segmentId for segment in segments], grid.instants)
    found = _tally(store, past, grid, ordered, at, until)
    return migration_report.build(found, segments, grid, ordered, periods)


def list_moves(store: Store, asked: Moves, limit: int, token: str | None, at: datetime) -> MoveList:
    """Customers who moved, partition after partition. A page may be short, or empty, and still have a token.

    Raises InvalidInput with the field at fault.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    scope = f"moves {asked.model_dump_json(by_alias=True)}"
    position = cursor.decode(scope, token) or {"partition": 0, "after": ""}
    number, last = position.get("partition"), position.get("after")
    if not isinstance(number, int) or not isinstance(last, str) or not 0 <= number < store.partitions:
        raise cursor.refused(token)
    moved_in = moved(store, asked, at, range(number, store.partitions))
    found: list[str] = []
    while number < store.partitions and len(found) < limit:
        ids = [customer_id for customer_id in moved_in(number) if customer_id > last]
        room = limit - len(found)
        found += ids[:room]
        last = ids[room - 1] if len(ids) > room else ""
        number += 0 if last else 1
        # Checked behind a partition: every page gets on.
        if time.monotonic() > until:
            break
    more = {"partition": number, "after": last} if number < store.partitions else None
    items = [MovedCustomer(customerId=customer_id) for customer_id in found]
    return MoveList(items=items, nextToken=cursor.encode(scope, more))


def moved(store: Store, asked: Moves, at: datetime, numbers: Sequence[int] | None = None) -> Callable[[int], list[str]]:
    """Who moved, as a function of the partition (one of `numbers`, all unless given): ids, ascending.

    Raises InvalidInput with the field at fault.
    """
    move = questions.move(store.table, asked, at)
    questions.check_recorded(move.start, timeline.first_record(store))
    past = Timeline(store, move.segment_ids, [move.start, move.end], numbers)
    return functools.partial(_moved, store, past, move, at)


def _moved(store: Store, past: Timeline, move: Move, at: datetime, number: int) -> list[str]:
    ids, masks, outside = _customers(store, past, number, at)
    states = states_of(masks, move.ordered)
    rows = np.flatnonzero((states[0] == move.before) & (states[1] == move.after))
    never = outside if move.before == move.after == len(move.segment_ids) else []
    return sorted([*(ids[row] for row in rows.tolist()), *never])


def _tally(store: Store, past: Timeline, grid: Grid, ordered: bool, at: datetime, until: float) -> Tally:
    """Counts of all partitions, several being read at once. Raises TooBusy when the time is over."""
    done: list[int] = []

    def one(number: int) -> Tally:
        if time.monotonic() > until:
            raise TooBusy(
                f"only {len(done)} of {store.partitions} partitions were counted in {PATIENCE_SECONDS} s; ask for "
                "fewer segments or periods, or export the moves that matter: an export takes its time"
            )
        _, masks, outside = _customers(store, past, number, at)
        found = counting.tally(masks, ordered, grid.whole, len(outside))
        done.append(number)
        return found

    with ThreadPoolExecutor(READERS) as pool:
        return functools.reduce(counting.merge, pool.map(one, range(store.partitions)))


def _customers(store: Store, past: Timeline, number: int, at: datetime) -> tuple[list[str], Bools, list[str]]:
    """Of a partition's customers as they are known now: those whom records name, their masks, and all others.

    Whoever was erased, or is known from records alone, is not among them.
    """
    ids, masks = past.partition(number)
    named = pa.array(ids, pa.string())
    known = pa.array(partitions.load(store, number, at, attributes=(), events={}).ids, pa.string())
    stays = np.asarray(pc.is_in(named, value_set=known), dtype=np.bool_)
    outside: list[str] = known.filter(pc.invert(pc.is_in(known, value_set=named))).to_pylist()
    if not stays.all():
        ids, masks = named.filter(pa.array(stays)).to_pylist(), masks[:, :, stays]
    return ids, masks, outside
