"""The part of a model's population that is in one partition, with the columns that a fit reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from segmentation import evaluation, partitions, recipes
from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import Column, Frame, ListColumn, StringColumn
from segmentation.engine.lifetime.purchases import Purchases, of_orders
from segmentation.engine.modelling.absent import absent_column
from segmentation.errors import NotFound
from segmentation.models.models import ModelSummary
from segmentation.store import catalogue
from segmentation.store import segments as stored
from segmentation.store.store import Store

MAX_PROFILE_ATTRIBUTES = 64
MAX_PROFILE_VALUES = 1_000
"""Distinct texts of an attribute, beyond which it is a name or a number and describes no cluster."""

_PROFILE_KINDS = (Kind.NUMBER, Kind.STRING, Kind.BOOLEAN, Kind.DATE, Kind.LIST)


def define(store: Store, model: ModelSummary, now: datetime) -> evaluation.Definitions:
    """The segment that the model is fitted on, with what its rule refers to. Raises NotFound."""
    segment_id = model.population.segmentId
    if not segment_id:
        return {}
    known = list(stored.all_segments(store.table, now))
    names = catalogue.load(store.table, [segment.segmentId for segment in known])
    definitions = evaluation.needed(evaluation.define(known, names, now), [segment_id])
    if segment_id not in definitions:
        raise NotFound(f"the population's segment {segment_id!r} was deleted")
    return definitions


@dataclass(frozen=True)
class Asked:
    """A model that a partition is asked about, with all attributes that are `known`.

    `profiled` asks for what else may describe its customers.
    """

    model: ModelSummary
    known: Mapping[str, Kind]
    population: evaluation.Definitions
    now: datetime
    profiled: bool

    @property
    def read(self) -> list[str]:
        """Attributes that the model reads, and that are there."""
        return [name for name in recipes.read_by(self.model) if name in self.known]

    @property
    def others(self) -> list[str]:
        """Attributes beside them that may describe a cluster."""
        return _profile_names(self.model, self.known, self.read) if self.profiled else []


def read(store: Store, partition: int, asked: Sequence[Asked]) -> evaluation.FrameAt:
    """All customers of the partition with what all of these models need of them: read once for all."""
    attributes: set[str] = set()
    behaviours: dict[str, set[str]] = {}
    for one in asked:
        wanted = partitions.columns_of(one.population)
        attributes |= {*(wanted.attributes or ()), *one.read, *one.others}
        for event, fields in (wanted.events or {}).items():
            behaviours.setdefault(event, set()).update(fields)
        if one.model.kind == "lifetime":
            behaviours.setdefault("order", set()).add("amount")
    return partitions.load_at(store, partition, partitions.Columns(attributes, behaviours))


def load(store: Store, asked: Asked, frame_at: evaluation.FrameAt, partition: int) -> tuple[Frame, Purchases | None]:
    """The customers of the partition who are of the population: what the model reads of them, and what else may
    describe them where that is asked for; and their purchases, if the model is of these.
    """
    model, known, population = asked.model, asked.known, asked.population
    frame = frame_at(evaluation.instant(asked.now))
    if model.population.segmentId:
        found = evaluation.members(population, frame_at, partitions.decisions(store, population, partition))
        frame = frame.take(np.flatnonzero(found[model.population.segmentId].mask))
    columns = {
        name: frame.columns.get(name) or absent_column(known[name], frame.size) for name in [*asked.read, *asked.others]
    }
    purchases = of_orders(frame.events["order"]) if model.kind == "lifetime" else None
    return Frame(frame.size, columns, {}, frame.ids), purchases


def describing(model: ModelSummary, frame: Frame) -> Frame:
    """The frame without the columns that the model does not read and that have too many texts to describe anybody."""
    read = recipes.read_by(model)
    kept = {name: column for name, column in frame.columns.items() if name in read or _describes(column)}
    return Frame(frame.size, kept, {}, frame.ids)


def _profile_names(model: ModelSummary, known: Mapping[str, Kind], read: list[str]) -> list[str]:
    """Attributes that may describe a cluster beside those it is fitted on, by name."""
    if model.kind != "cluster":
        return []
    others = sorted(
        name
        for name, kind in known.items()
        if kind in _PROFILE_KINDS and name not in read and not name.startswith("cluster.")
    )
    return others[: max(MAX_PROFILE_ATTRIBUTES - len(read), 0)]


def _describes(column: Column) -> bool:
    if not isinstance(column, StringColumn | ListColumn):
        return True
    used = np.bincount(column.codes[column.codes >= 0], minlength=1)
    return int(np.count_nonzero(used)) <= MAX_PROFILE_VALUES
