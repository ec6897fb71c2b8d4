"""Every segment over the customers of one partition: who is in, what differs from the table, and writing only that.

The comparison is with the partition's last checkpoint where there is one to be trusted, else with the table.
"""

import gc
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from segmentation import drift, evaluation, partitions
from segmentation.drift import Measured
from segmentation.engine.catalogue import ORDER_EVENTS
from segmentation.evaluation import Definitions
from segmentation.scoring import Models
from segmentation.store import catalogue, checkpoints, memberships, scorers, segments
from segmentation.store.checkpoints import Checkpoint, Evaluated
from segmentation.store.held import Held, corrected, held
from segmentation.store.memberships import Change, Membership, State
from segmentation.store.snapshot import Snapshot
from segmentation.store.store import Store

_CAUSES = {"import": "import", "erasure": "erasure"}
"""Kinds of jobs that are themselves the cause of what their evaluation finds."""

_READERS = 8
_ATTEMPTS = 5


_ANALYSED = {"order": {"amount", "channel", "category"}, "campaign": {"action", "campaignId", "segmentId"}}
"""Fields of behaviours that statistics and indicators read, whatever the rules read."""


@dataclass(frozen=True, eq=False)
class Rules:
    """What is evaluated at `at`: segments with every write, and the published models behind scores."""

    at: datetime
    now: datetime
    definitions: Definitions
    measured: Measured
    events: Mapping[str, Collection[str]]

    @staticmethod
    def load(store: Store, at: datetime, now: datetime) -> "Rules":
        """The rules as they are; `now` is the instant that they look from. Raises TooBusy."""
        ids = segments.ids(store.table)
        items = catalogue.items(store.table)
        names = catalogue.from_items(items, ids)
        measured = drift.load(store.files, scorers.usable(items, names.attributes))
        definitions = evaluation.define(segments.as_they_are(store.table, ids, at), names, now)
        read = partitions.columns_of(definitions).events or {}
        events = {
            name: {*read.get(name, ()), *_ANALYSED.get(name, ())} for name in {*names.events, *ORDER_EVENTS, *read}
        }
        return Rules(at, now, definitions, measured, events)

    @property
    def models(self) -> Models:
        """The published models in the order in which they score."""
        return [(scorer, value) for scorer, value, _ in self.measured]


class Evaluation:
    """One evaluation of the customers of one partition, compared with the checkpoint `before` or the table."""

    def __init__(
        self, store: Store, partition: int, rules: Rules, customers: Snapshot, before: Checkpoint | None
    ) -> None:
        self._store, self._partition, self._before = store, partition, before
        self._at = rules.at
        self.rules = rules
        self.definitions = rules.definitions
        self.frame_at = partitions.frame_at(customers, rules.models)
        self.now = evaluation.instant(rules.now)
        self.frame = self.frame_at(self.now)
        self.ids = pa.array(self.frame.ids, pa.string())
        self._rows = before.rows(self.ids) if before else None
        self._decisions = self._read_decisions(self.definitions)
        self._model_versions = {scorer.model_id: scorer.version for scorer, _, _ in rules.measured}
        self._held: dict[str, Held] = {}
        self.found = evaluation.members(self.definitions, self.frame_at, self._state_of)
        self._written: set[str] = set()

    def changes(
        self, kind: str, job_id: str, wanted: Collection[str] | None
    ) -> Iterator[dict[str, tuple[list[Change], Held]]]:
        """What must be written, and what the table says then, by segment: all of them, or those `wanted`.

        Segments come one by one, since the changes of all together might not fit a worker; but groups of a model come
        together, so that a customer who goes from one to another is seen to move.
        """
        asked = [self.definitions[name] for name in self.definitions if wanted is None or name in wanted]
        for segment_ids in evaluation.together(asked):
            result: dict[str, tuple[list[Change], Held]] = {}
            for segment_id in segment_ids:
                definition = self.definitions[segment_id]
                group = definition.segment.model
                version = self._model_versions.get(group.modelId) if group else None
                why = evaluation.why(definition, _CAUSES.get(kind, "run"), job_id, version)
                frame = self.frame_at(definition.now)
                known = self._held_of(segment_id)
                decisions = self._decisions[segment_id]
                result[segment_id] = evaluation.changes(
                    definition, frame, self.found[segment_id], decisions, known, why
                )
            if len(segment_ids) > 1:
                moved = evaluation.with_moves({name: changes for name, (changes, _) in result.items()})
                result = {name: (moved[name], after) for name, (_, after) in result.items()}
            yield result

    def write(self, kind: str, job_id: str, wanted: Collection[str] | None, partitions: int) -> dict[str, int]:
        """Write what differs; returns how many memberships began and ended."""
        # Changes come by the million and hold no cycles: looking for garbage among them is a quarter of the work.
        gc.disable()
        try:
            return self._write(kind, job_id, wanted, partitions)
        finally:
            gc.enable()

    def _write(self, kind: str, job_id: str, wanted: Collection[str] | None, partitions: int) -> dict[str, int]:
        counts = {"entered": 0, "left": 0}
        writer = memberships.Writer(self._store.table, self._at, partitions)
        for result in self.changes(kind, job_id, wanted):
            for segment_id, (changes, after) in result.items():
                if changes:
                    writer.write(changes)
                    self._written.add(segment_id)
                self._held[segment_id] = after
                counts["entered"] += sum(change.entered and not change.stays for change in changes)
                counts["left"] += sum(not change.entered for change in changes)
        return counts

    def holds(self, job_id: str, partitions: int) -> bool:
        """Whether rules and decisions are still those that were evaluated.

        Members that were written for a segment which was deleted meanwhile are removed.
        """
        current = segments.versions(self._store.table, self.definitions)
        for segment_id in self._written - current.keys():
            memberships.remove_partition(self._store.table, segment_id, self._partition, self._at, job_id, partitions)
        if any(version != self.definitions[name].segment.version for name, version in current.items()):
            return False
        now = self._read_decisions(self._written & current.keys())
        return all(state == self._decisions[segment_id] for segment_id, state in now.items())

    def checkpoint(self) -> Checkpoint | None:
        """What the memberships are now; None if some segment's are not known."""
        known: dict[str, tuple[Evaluated, Held]] = {}
        for segment_id, definition in self.definitions.items():
            if segment_id not in self._held and self._before is None:
                return None
            now = self._held_of(segment_id)
            known[segment_id] = (Evaluated(definition.segment.version, now.until), now)
        return checkpoints.made(self._partition, self._at, self.ids, known)

    def _read_decisions(self, segment_ids: Collection[str]) -> dict[str, State]:
        def read(segment_id: str) -> State:
            return memberships.decisions_of_partition(self._store.table, segment_id, self._partition)

        wanted = list(segment_ids)
        with ThreadPoolExecutor(max_workers=_READERS) as pool:
            return dict(zip(wanted, pool.map(read, wanted), strict=True))

    def _state_of(self, segment_id: str) -> State:
        """What people decided; a paused segment comes with its members, which stay."""
        if not self.definitions[segment_id].paused:
            return self._decisions[segment_id]
        known, frame = self._held_of(segment_id), self.frame
        decisions = self._decisions[segment_id]
        whos = [(frame.ids[row], "") for row in np.flatnonzero(known.sources).tolist()] + list(known.others)
        members = {who: Membership(segment_id, *who, since="", source="") for who in whos}
        return State(members, decisions.includes, decisions.excludes)

    def _held_of(self, segment_id: str) -> Held:
        """Who is a member before this evaluation, or after it once it is written."""
        if segment_id not in self._held:
            self._held[segment_id] = self._read_held(segment_id)
        return self._held[segment_id]

    def _read_held(self, segment_id: str) -> Held:
        """Members as the table has them, with the decisions that they follow from: a member whose include is not seen
        yet would be shown out.
        """
        table, partition = self._store.table, self._partition
        found = Held(np.zeros(self.frame.size, dtype=np.int8))
        for _ in range(_ATTEMPTS):
            decisions = self._decisions[segment_id]
            if self._before is None or self._rows is None:
                found = held(memberships.state_of_partition(table, segment_id, partition), self.frame)
            else:
                found = self._before.held(segment_id, self._rows)
                if not decisions.touched:
                    return found
                now = memberships.members_among(table, segment_id, partition, decisions.touched)
                found = corrected(found, now, decisions.touched, self.frame)
            self._decisions[segment_id] = memberships.decisions_of_partition(table, segment_id, partition)
            if self._decisions[segment_id] == decisions:
                break
        return found
