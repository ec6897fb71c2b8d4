"""Who was in which segments at instants of the past, partition after partition: the checkpoint before an instant, with
the history since played over it.

One partition is in memory at a time. Entries and exits behind the checkpoints are read once, day by day, as columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.engine.frame import Bools
from segmentation.models.common import iso
from segmentation.store import checkpoints, customers, history, keys, segments
from segmentation.store.checkpoints import LONGEST_WORKER, Checkpoint
from segmentation.store.held import Held
from segmentation.store.store import Store

READERS = 8
_PROBED = 4
"""Partitions that are asked for their first checkpoint: each of some size has one from the first run."""

_TIME = np.dtype("S27")
"""An instant as `iso` writes it."""


@dataclass(frozen=True, eq=False)
class _Day:
    """Entries and exits of one segment on one day, by partition and then by time."""

    partitions: NDArray[np.int32]
    times: NDArray[np.bytes_]
    entered: Bools
    customers: pa.Array
    entities: pa.Array

    def of(self, partition: int, since: str, until: str) -> "_Day":
        """Those of one partition with since < time <= until."""
        begin, end = np.searchsorted(self.partitions, [partition, partition + 1]).tolist()
        times = self.times[begin:end]
        first, last = np.searchsorted(times, np.array([since, until], dtype=_TIME), side="right").tolist()
        rows = slice(begin + first, begin + max(first, last))
        return _Day(
            self.partitions[rows], self.times[rows], self.entered[rows], self.customers[rows], self.entities[rows]
        )


class Timeline:
    """Memberships of some segments at some instants.

    A segment has nobody before it was created and after its validity had ended. Of one that is gone by now, what was
    recorded is told. `partitions` are those that will be asked for; all unless given.
    """

    def __init__(
        self,
        store: Store,
        segment_ids: Sequence[str],
        instants: Sequence[datetime],
        partitions: Iterable[int] | None = None,
    ) -> None:
        self._store = store
        self._segments = tuple(segment_ids)
        self._times = [iso(instant) for instant in instants]
        self._partitions = frozenset(range(store.partitions) if partitions is None else partitions)
        self._days: dict[tuple[str, str], _Day] = {}
        with ThreadPoolExecutor(READERS) as pool:
            lives = pool.map(lambda segment_id: history.life(store.table, segment_id), self._segments)
            self._lives = dict(zip(self._segments, lives, strict=True))
            found = pool.map(lambda n: checkpoints.saved_times(store.files, n), sorted(self._partitions))
            saved = list(found)
        oldest = None if all(self._lives.values()) else first_record(store)
        self._oldest = iso(oldest) if oldest else max(self._times, default="")
        windows = {(_since(_last(times, time)), time) for times in saved for time in self._times}
        self._read(windows)

    def partition(self, number: int) -> tuple[list[str], NDArray[np.bool_]]:
        """Customers of a partition in order of id, and whether each was a member: (instants, segments, customers).

        Customers who were in none of the segments at any of the instants may be among them or not. Raises ValueError
        for a partition that was not to be asked for.
        """
        if number not in self._partitions:
            raise ValueError(f"partition {number} was not named when the timeline was made")
        with ThreadPoolExecutor(READERS) as pool:
            erased = pool.submit(_erased, self._store, number)
            found = pool.map(lambda time: checkpoints.at(self._store.files, number, time), self._times)
            bases = list(found)
        # A checkpoint may have been replaced by a later one of its day since the history was read.
        self._read((_since(_started(base)), time) for base, time in zip(bases, self._times, strict=True))
        moments = [
            [self._changes(segment_id, number, base, time) for segment_id in self._segments]
            for base, time in zip(bases, self._times, strict=True)
        ]
        ids = _ids(bases, moments)
        names: list[str] = ids.to_pylist()
        places = {customer_id: place for place, customer_id in enumerate(names)}
        result = np.zeros((len(self._times), len(self._segments), len(names)), dtype=bool)
        for i, (base, time) in enumerate(zip(bases, self._times, strict=True)):
            rows = base.rows(ids) if base else None
            for j, segment_id in enumerate(self._segments):
                life = self._lives[segment_id]
                if life is None or life.can_have_members(time):
                    # What a checkpoint says of before the segment was created is of a former one of that name.
                    is_own = life is None or _started(base) >= life.created
                    held = base.held(segment_id, rows) if base and rows and is_own else None
                    result[i, j] = _state(held, moments[i][j], places)
        gone = [places[customer_id] for customer_id in erased.result() if customer_id in places]
        if not gone:
            return names, result
        stays = np.delete(np.arange(len(names)), gone)
        return [names[place] for place in stays.tolist()], result[:, :, stays]

    def _first_day(self, segment_id: str, since: str) -> str:
        life = self._lives[segment_id]
        return max(since, life.created if life else self._oldest)[:10]

    def _read(self, windows: Iterable[tuple[str, str]]) -> None:
        """Read the days of the windows that were not read yet."""
        wanted = {
            (segment_id, day)
            for since, until in windows
            for segment_id in self._segments
            for day in _days(self._first_day(segment_id, since), until[:10])
        }
        missing = sorted(wanted - self._days.keys())
        with ThreadPoolExecutor(READERS) as pool:
            self._days |= zip(missing, pool.map(self._day, missing), strict=True)

    def _day(self, key: tuple[str, str]) -> _Day:
        segment_id, day = key
        partitions: list[int] = []
        times: list[str] = []
        entered: list[bool] = []
        names: list[str] = []
        entities: list[str] = []
        for record in history.effective(history.of_day(self._store.table, segment_id, day)):
            partition = keys.partition_of(record.customer_id, self._store.partitions)
            if partition in self._partitions:
                partitions.append(partition)
                times.append(record.time)
                entered.append(record.entered)
                names.append(record.customer_id)
                entities.append(record.legal_entity_id)
        order = np.argsort(np.array(partitions, dtype=np.int32), kind="stable")
        return _Day(
            np.array(partitions, dtype=np.int32)[order],
            np.array(times, dtype=_TIME)[order],
            np.array(entered, dtype=bool)[order],
            pa.array(names, pa.string()).take(pa.array(order)),
            pa.array(entities, pa.string()).take(pa.array(order)),
        )

    def _changes(self, segment_id: str, partition: int, base: Checkpoint | None, time: str) -> list[_Day]:
        """What happened between a checkpoint and an instant, in order of time."""
        since = _since(_started(base))
        days = _days(self._first_day(segment_id, since), time[:10])
        parts = [self._days[segment_id, day].of(partition, since, time) for day in days]
        return [part for part in parts if len(part.customers)]


def first_record(store: Store) -> datetime | None:
    """From when on there are records of memberships; None where there was never a segment."""
    # Which instant is asked for decides on the segments' status alone.
    created = [segment.createdAt for segment in segments.all_segments(store.table, datetime.fromtimestamp(0, UTC))]
    for number in range(min(_PROBED, store.partitions)):
        saved = checkpoints.saved_times(store.files, number)
        created += [datetime.fromisoformat(saved[0]) - LONGEST_WORKER] if saved else []
    return min(created, default=None)


def _state(held: Held | None, changes: Sequence[_Day], places: Mapping[str, int]) -> Bools:
    """Bool per customer: a member for whichever legal entity, or for none."""
    mask = np.zeros(len(places), dtype=bool)
    others: dict[str, set[str]] = {}
    if held is not None:
        mask |= held.sources > 0
        for customer_id, legal_entity_id in held.others:
            others.setdefault(customer_id, set()).add(legal_entity_id)
        mask[[places[customer_id] for customer_id, entities in others.items() if "" in entities]] = True
    for part in changes:
        is_plain = np.asarray(pc.equal(part.entities, ""))
        # Of a place that occurs again the last value stays: the latest.
        mask[[places[name] for name in part.customers.filter(pa.array(is_plain)).to_pylist()]] = part.entered[is_plain]
        for row in np.flatnonzero(~is_plain).tolist():
            entities = others.setdefault(part.customers[row].as_py(), set())
            (entities.add if part.entered[row] else entities.discard)(part.entities[row].as_py())
    mask[[places[customer_id] for customer_id, entities in others.items() if entities - {""}]] = True
    return mask


def _ids(bases: Iterable[Checkpoint | None], moments: Iterable[list[list[_Day]]]) -> pa.Array:
    """Everybody whom a checkpoint or a change names, ascending."""
    chunks = [day.customers for moment in moments for days in moment for day in days]
    for base in (base for base in bases if base is not None):
        # Members of a legal entity whom the partition's files do not know stand beside the table.
        others = sorted({who[0] for others in base.others.values() for who in others})
        chunks += [*base.table.column("customerId").chunks, pa.array(others, pa.string())]
    known = pc.unique(pa.chunked_array(chunks, pa.string()))
    return known.take(pc.sort_indices(known))


def _erased(store: Store, partition: int) -> list[str]:
    """Customers whose erasure is under way: the partition's files may still name them."""
    waiting = customers.of_partition(store.table, partition)
    return [profile.customer_id for profile in waiting if profile.attributes is None]


def _since(started: str) -> str:
    """From when on the history is played over a checkpoint that began at an instant; without one, all of it.

    A worker that began before it may have written after it. To play what the checkpoint knows does no harm.
    """
    return iso(datetime.fromisoformat(started) - LONGEST_WORKER) if started else ""


def _last(times: Sequence[str], time: str) -> str:
    """When the last checkpoint began that can be used at an instant; empty for none."""
    usable = [saved for saved in times if saved <= time]
    return iso(datetime.fromisoformat(usable[-1]) - LONGEST_WORKER) if usable else ""


def _started(base: Checkpoint | None) -> str:
    return base.started if base else ""


def _days(first: str, last: str) -> list[str]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(begin + timedelta(days=n)).isoformat() for n in range((end - begin).days + 1)]
