"""Checkpoints of memberships: one immutable file per partition that says who is in which segment.

An evaluation compares what it finds with the last checkpoint instead of reading every membership from the table, and
the past is answered from the checkpoint before an instant and the history since. The table stays the truth: a
checkpoint is used only while nobody else can have written memberships that it does not know. Whoever writes a
membership without being an evaluation leaves a mark beside it (`memberships`), and evaluations take turns by the
partition's item: one that meets another under way reads the table and leaves no checkpoint.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from segmentation.engine.frame import Bools
from segmentation.errors import NotFound, TooBusy
from segmentation.models.common import iso
from segmentation.store import keys
from segmentation.store.files import Files
from segmentation.store.held import Held, Other
from segmentation.store.memberships import MARK_SECONDS, Who
from segmentation.store.table import Condition, ConditionFailed, Item, Table

TRUSTED = timedelta(seconds=MARK_SECONDS) - timedelta(days=1)
"""Marks live a day longer: none that a checkpoint does not know has expired."""

LONGEST_WORKER = timedelta(minutes=20)
"""A function ends after 15 minutes: a writer that began before this is dead."""

_ATTEMPTS = 6
_META = b"segmentation"
_ID = "customerId"
_SEGMENT = "s:"
"""How the columns of segments begin: one may be called `customerId`."""


@dataclass(frozen=True)
class Evaluated:
    """What a checkpoint says of one segment: the version that was evaluated and when its members leave by
    themselves.
    """

    version: int
    until: str | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Who is in which segment of one partition.

    It holds every change of before `started` and perhaps some of those until `saved`: the state at an instant from
    `saved` on is this with the history after `started` played over it.
    """

    partition: int
    started: str
    table: pa.Table = field(repr=False)
    segments: Mapping[str, Evaluated] = field(default_factory=dict)
    others: Mapping[str, Mapping[Who, Other]] = field(default_factory=dict)

    @property
    def saved(self) -> str:
        """From this instant on nothing that is told of the past is of a later time."""
        return iso(datetime.fromisoformat(self.started) + LONGEST_WORKER)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the partition's customers, ascending."""
        ids: list[str] = self.table.column(_ID).to_pylist()
        return ids

    @cached_property
    def masks(self) -> dict[str, Bools]:
        """Per segment a bool for each of `ids`: a member, for whichever legal entity."""
        return {segment_id: self.mask(segment_id) for segment_id in self.segments}

    def mask(self, segment_id: str) -> Bools:
        """One of `masks`; nobody for a segment that the checkpoint does not know."""
        found = self._sources(segment_id) > 0
        others = [who[0] for who in self.others.get(segment_id, ())]
        if others:
            rows = pc.index_in(pa.array(others, pa.string()), value_set=self.table.column(_ID).combine_chunks())
            found[rows.drop_null().to_numpy()] = True
        return found

    def held(self, segment_id: str, rows: "Rows") -> Held:
        """The segment's members as an evaluation compares them, for the customers of a frame."""
        known = self.segments.get(segment_id)
        if known is None:
            return Held(np.zeros(rows.size, dtype=np.int8))
        sources = self._sources(segment_id)
        others: dict[Who, Other] = dict(self.others.get(segment_id, {}))
        if rows.same:
            return Held(sources, known.until, others)
        placed = np.zeros(rows.size, dtype=np.int8)
        there = rows.places >= 0
        placed[rows.places[there]] = sources[there]
        for row in np.flatnonzero(~there & (sources > 0)).tolist():
            others[self.ids[row], ""] = Other(int(sources[row]), known.until)
        return Held(placed, known.until, others)

    def rows(self, ids: pa.Array) -> "Rows":
        """Where the customers of a frame stand."""
        own = self.table.column(_ID).combine_chunks()
        if own.equals(ids):
            return Rows(len(ids), True, np.empty(0, dtype=np.int64))
        places = pc.fill_null(pc.index_in(own, value_set=ids), -1).to_numpy().astype(np.int64)
        return Rows(len(ids), False, places)

    def _sources(self, segment_id: str) -> NDArray[np.int8]:
        name = f"{_SEGMENT}{segment_id}"
        if name not in self.table.column_names:
            return np.zeros(self.table.num_rows, dtype=np.int8)
        column = self.table.column(name).combine_chunks()
        sources: NDArray[np.int8] = column.cast(pa.int8()).to_numpy(zero_copy_only=False)
        return sources


@dataclass(frozen=True, eq=False)
class Rows:
    """Where the customers of a checkpoint stand in a frame of `size` customers: -1 for one that is gone."""

    size: int
    same: bool
    places: NDArray[np.int64]


@dataclass(frozen=True)
class Writing:
    """A turn to write memberships of a partition; `before` is the checkpoint to compare with, None to read the
    table.
    """

    partition: int
    token: str
    number: int
    started: str
    contested: bool
    file: str | None
    before: Checkpoint | None = None


def at(files: Files, partition: int, instant: str) -> Checkpoint | None:
    """The last checkpoint that tells nothing of after the instant; None if there is none."""
    latest = iso(datetime.fromisoformat(instant) - LONGEST_WORKER)
    for _ in range(_ATTEMPTS):
        usable = [key for key in files.list(keys.checkpoint_prefix(partition)) if _started(key) <= latest]
        if not usable:
            return None
        try:
            return read(files, usable[-1])
        except NotFound:
            # Its successor of the same day took its place: list again.
            continue
    raise TooBusy(f"the checkpoints of partition {partition} are being replaced all the time; try again")


def saved_times(files: Files, partition: int) -> list[str]:
    """From which instants on the partition's checkpoints can be used, ascending."""
    started = [datetime.fromisoformat(_started(key)) for key in files.list(keys.checkpoint_prefix(partition))]
    return [iso(time + LONGEST_WORKER) for time in started]


def read(files: Files, key: str) -> Checkpoint:
    """A checkpoint. Raises NotFound."""
    table = pq.read_table(pa.BufferReader(files.get(key)))
    meta: dict[str, Any] = json.loads(table.schema.metadata[_META])
    others: dict[str, dict[Who, Other]] = {}
    for segment_id, customer_id, legal_entity_id, source, until in meta["others"]:
        others.setdefault(segment_id, {})[customer_id, legal_entity_id] = Other(source, until)
    segments = {segment_id: Evaluated(*values) for segment_id, values in meta["segments"].items()}
    return Checkpoint(meta["partition"], meta["started"], table, segments, others)


def begin(table: Table, files: Files, partition: int, at: datetime) -> Writing:
    """Take a turn to write memberships of the partition. Raises TooBusy if others take turns all the time."""
    key = keys.checkpoint(partition)
    token = secrets.token_hex(4)
    for _ in range(_ATTEMPTS):
        item = table.get(key, consistent=True) or {}
        writer = item.get("writer")
        condition = Condition("attribute_not_exists(writer)")
        if writer:
            condition = Condition("writer = :writer", {":writer": writer})
        try:
            table.update(
                key, set={"writer": token, "writerSince": iso(at), "partition": partition}, condition=condition
            )
        except ConditionFailed:
            continue
        contested = bool(writer) and datetime.fromisoformat(item["writerSince"]) > at - LONGEST_WORKER
        number = item.get("number", 0) + 1
        return Writing(partition, token, number, iso(at), contested, item.get("file"), _trusted(files, item, at))
    raise TooBusy(f"others write memberships of partition {partition} all the time; try again")


def last(table: Table, files: Files, partition: int, at: datetime) -> Checkpoint | None:
    """The checkpoint to compare with, for one who writes nothing; None to read the table."""
    return _trusted(files, table.get(keys.checkpoint(partition), consistent=True) or {}, at)


def made(
    partition: int, started: datetime, ids: pa.Array, segments: Mapping[str, tuple[Evaluated, Held]]
) -> Checkpoint:
    """A checkpoint of what an evaluation found; `ids` are the partition's customers, ascending."""
    columns: dict[str, pa.Array] = {_ID: ids}
    for segment_id, (_, held) in segments.items():
        is_plain = not held.sources.size or held.sources.max() <= 1
        columns[f"{_SEGMENT}{segment_id}"] = pa.array(
            held.sources > 0 if is_plain else held.sources,
        )
    others = {segment_id: held.others for segment_id, (_, held) in segments.items() if held.others}
    known = {segment_id: evaluated for segment_id, (evaluated, _) in segments.items()}
    return Checkpoint(partition, iso(started), pa.table(columns), known, others)


def publish(table: Table, files: Files, writing: Writing, checkpoint: Checkpoint) -> None:
    """End a turn: keep what the memberships are now, unless somebody else had a turn meanwhile."""
    if writing.contested:
        # Left as it is: whoever comes next cannot know what the two of us wrote in which order.
        return
    file = writing.file
    if file is None or writing.before is None or not _is_same(checkpoint, writing.before):
        file = keys.checkpoint_file(writing.partition, writing.started, writing.number, writing.token)
        files.put(file, _file(checkpoint))
    number = writing.number - (file == writing.file)
    done = {"writer": None, "file": file, "number": number or None, "checkedAt": writing.started}
    try:
        table.update(keys.checkpoint(writing.partition), set=done, condition=_mine(writing))
    except ConditionFailed:
        if file != writing.file:
            files.delete([file])
        return
    if writing.file and file != writing.file and _started(writing.file)[:10] == writing.started[:10]:
        files.delete([writing.file])


def abandon(table: Table, writing: Writing) -> None:
    """End a turn that failed: what was written is in the table alone."""
    if writing.contested:
        return
    try:
        table.update(keys.checkpoint(writing.partition), set={"writer": None, "file": None}, condition=_mine(writing))
    except ConditionFailed:
        return


def forget(table: Table, files: Files, partition: int, ids: pa.Array) -> None:
    """Take everybody but the customers `ids` out of the partition's checkpoints, past ones included: for erasure."""
    prefix = keys.checkpoint_prefix(partition)
    doomed: set[str] = set()
    for key in list(files.list(prefix)):
        found = read(files, key)
        stays = pc.is_in(found.table.column(_ID), value_set=ids).combine_chunks()
        known = set(ids.to_pylist())
        gone_others = any(who[0] not in known for others in found.others.values() for who in others)
        if pc.all(stays).as_py() is not False and not gone_others:
            continue
        others = {
            segment_id: {who: other for who, other in others.items() if who[0] in known}
            for segment_id, others in found.others.items()
        }
        kept = Checkpoint(partition, found.started, found.table.filter(stays), found.segments, others)
        renamed = f"{key.removesuffix('.parquet').rsplit('-', 1)[0]}-{secrets.token_hex(4)}.parquet"
        files.put(renamed, _file(kept))
        doomed.add(key)
        try:
            table.update(
                keys.checkpoint(partition),
                set={"file": renamed},
                condition=Condition("#file = :file", {":file": key}, {"#file": "file"}),
            )
        except ConditionFailed:
            # Not the last one.
            continue
    if doomed:
        current = set(files.list(prefix)) - doomed
        files.purge(prefix, lambda key: key not in current)


def _trusted(files: Files, item: Item, at: datetime) -> Checkpoint | None:
    """The checkpoint that the partition's item names, if it is known to say what the table says."""
    file = item.get("file")
    if not file or item.get("writer") or datetime.fromisoformat(item["checkedAt"]) <= at - TRUSTED:
        return None
    try:
        return read(files, file)
    except NotFound:
        return None


def _is_same(one: Checkpoint, other: Checkpoint) -> bool:
    return (one.segments, one.others) == (other.segments, other.others) and one.table.equals(other.table)


def _file(checkpoint: Checkpoint) -> bytes:
    meta = {
        "partition": checkpoint.partition,
        "started": checkpoint.started,
        "segments": {name: [known.version, known.until] for name, known in checkpoint.segments.items()},
        "others": [
            [segment_id, *who, other.source, other.until]
            for segment_id, others in checkpoint.others.items()
            for who, other in others.items()
        ],
    }
    table = checkpoint.table.replace_schema_metadata({_META: json.dumps(meta, separators=(",", ":")).encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1, use_dictionary=False, write_statistics=False)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def _started(key: str) -> str:
    """The instant in a checkpoint's name: `<prefix><instant>-<number>-<token>.parquet`."""
    return key.rsplit("/", 1)[1].rsplit("-", 2)[0]


def _mine(writing: Writing) -> Condition:
    return Condition("writer = :writer", {":writer": writing.token})
