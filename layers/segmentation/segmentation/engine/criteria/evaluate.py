"""Rules over a frame: who is a member of which segment, and when that can change though no data comes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segmentation.engine.criteria.graph import order
from segmentation.engine.criteria.prepared import (
    Bits,
    Prepared,
    count,
    empty,
    pack,
    unpack,
)
from segmentation.engine.criteria.program import Program
from segmentation.engine.criteria.rule import Rule
from segmentation.engine.criteria.times import zone
from segmentation.engine.criteria.tree import walk
from segmentation.engine.frame import Bools, Frame, Instants
from segmentation.errors import InvalidCriteria


@dataclass(frozen=True, eq=False)
class Override:
    """What people decided, as `bool[n]`: who is a member whatever the rule says, and who is not."""

    include: Bools | None = None
    exclude: Bools | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Memberships of `size` customers, one row of packed bits per segment in the order of `ids`.

    `masks` are the final memberships, `matches` those by the rules alone; bits beyond the last customer are zero.
    `changes` holds an array for every set of segments that change together, `change_of` for every segment the position
    of its array (-1: it never changes by time alone).
    """

    ids: tuple[str, ...]
    size: int
    masks: Bits
    matches: Bits
    changes: "tuple[Instants, ...] | None" = None
    change_of: tuple[int, ...] = ()
    _places: Mapping[str, int] = field(default_factory=dict, repr=False)

    def mask(self, segment: str) -> Bools:
        """Final memberships `bool[n]`."""
        return unpack(self.masks[self._places[segment]], self.size)

    def matched(self, segment: str) -> Bools:
        """Memberships by the rule alone, `bool[n]`."""
        return unpack(self.matches[self._places[segment]], self.size)

    def count(self, segment: str) -> int:
        """Number of final members."""
        return count(self.masks[self._places[segment]])

    def change(self, segment: str) -> Instants | None:
        """Per customer the earliest instant after now at which the membership can change by time alone (NaT: never).

        None where nothing can, or where it was not asked for.
        """
        position = self.change_of[self._places[segment]] if self.changes is not None else -1
        return None if position < 0 or self.changes is None else self.changes[position]

    @property
    def next_change(self) -> Instants | None:
        """`datetime64[us][segments, customers]`, made anew on every call; None where it was not asked for."""
        if self.changes is None:
            return None
        table = np.full((len(self.ids), self.size), np.datetime64("NaT", "us"))
        for row, position in zip(table, self.change_of, strict=True):
            if position >= 0:
                row[:] = self.changes[position]
        return table

    def earliest_change(self) -> Instants | None:
        """Per customer the earliest change of any segment (NaT: never); None where it was not asked for."""
        if self.changes is None:
            return None
        # NaT as an unsigned number is greater than every instant after 1970.
        earliest = np.full(self.size, np.uint64(1 << 63))
        for instants in self.changes:
            np.minimum(earliest, instants.view(np.uint64), out=earliest)
        return earliest.view("datetime64[us]")


def evaluate(
    rules: Mapping[str, Rule | None],
    frame: Frame | Prepared,
    now: np.datetime64,
    overrides: Mapping[str, Override] | None = None,
    next_change: bool = False,
) -> Evaluation:
    """Evaluate segments, each after the segments that it asks about.

    Parameters
    ----------
    rules
        Per segment its rule; None matches nobody.
    frame
        The customers. Hand in a `Prepared` to share its look-ups between evaluations.
    now
        The instant that rolling windows end at; rows after it do not count.
    overrides
        Per segment the decisions of people: `(rule or include) and not exclude`.
    next_change
        Tell also when memberships can change though no data comes.

    Raises
    ------
    InvalidCriteria
        Segments ask about each other in a circle, or about one that is not among `rules`.
    ValueError
        `now` is not a time from 1970 on, an override is for no segment or of another length, a column is of another
        kind than the rule says.
    """
    prepared, overrides = Prepared.of(frame), overrides or {}
    instant = microseconds(now)
    _check_overrides(rules, overrides, prepared.size)
    program = Program(prepared, instant, next_change)
    matched: dict[str, int] = {}
    final: dict[str, int] = {}
    nobody = program.given(empty(prepared.size))
    for segment in order(rules):
        rule = rules[segment]
        matched[segment] = nobody if rule is None else program.add(rule.root, zone(rule.time_zone))
        final[segment] = _decided(program, matched[segment], overrides.get(segment, Override()))
        program.bind(segment, final[segment])
    ids = tuple(rules)
    slots = [final[segment] for segment in ids]
    overruled = [matched[segment] for segment in ids if matched[segment] != final[segment]]
    awaited = list(dict.fromkeys(program.sources(final[segment]) for segment in ids))
    awaited = [sources for sources in awaited if sources] if next_change else []
    bits, instants = program.run(slots + overruled, awaited)
    masks = bits[: len(ids)]
    matches = bits[[(slots + overruled).index(matched[segment]) for segment in ids]] if overruled else masks
    places = {segment: place for place, segment in enumerate(ids)}
    if not next_change:
        return Evaluation(ids, prepared.size, masks, matches, _places=places)
    changes = [found.view("datetime64[us]") for found in instants]
    position = {sources: place for place, sources in enumerate(awaited)}
    change_of = [position.get(program.sources(final[segment]), -1) for segment in ids]
    for place, segment in enumerate(ids):
        fixed = _fixed(overrides.get(segment, Override()))
        if change_of[place] >= 0 and fixed is not None:
            changes.append(np.where(fixed, np.datetime64("NaT", "us"), changes[change_of[place]]))
            change_of[place] = len(changes) - 1
    return Evaluation(ids, prepared.size, masks, matches, tuple(changes), tuple(change_of), places)


def condition_counts(
    rule: Rule, frame: Frame | Prepared, now: np.datetime64, memberships: Mapping[str, Bools] | None = None
) -> list[tuple[str, int]]:
    """For every node of a rule, parents first, its path and the number of customers that match it alone.

    Parameters
    ----------
    memberships
        Final memberships `bool[n]` of the segments that the rule asks about.

    Raises
    ------
    InvalidCriteria
        The rule asks about a segment that is not among `memberships`.
    """
    prepared = Prepared.of(frame)
    program = bound(rule, prepared, now, {name: pack(mask) for name, mask in (memberships or {}).items()})
    nodes = list(walk(rule.root))
    bits, _ = program.run([program.add(node, zone(rule.time_zone)) for _, node in nodes])
    return [(path, count(row)) for (path, _), row in zip(nodes, bits, strict=True)]


def bound(rule: Rule, prepared: Prepared, now: np.datetime64, memberships: Mapping[str, Bits]) -> Program:
    """An empty program in which the segments that a rule asks about have the memberships handed in."""
    program = Program(prepared, microseconds(now), waiting=False)
    for segment in sorted(rule.segments):
        if segment not in memberships:
            raise InvalidCriteria(f"the memberships of segment {segment!r} are not known")
        program.bind(segment, program.given(memberships[segment]))
    return program


def microseconds(now: np.datetime64) -> int:
    """An instant as microseconds since 1970.

    Raises
    ------
    ValueError
        Not a time, or before 1970.
    """
    instant = int(now.astype("datetime64[us]").astype(np.int64))
    if instant < 0:
        raise ValueError(f"now={now} is not a time from 1970 on")
    return instant


def _check_overrides(rules: Mapping[str, Rule | None], overrides: Mapping[str, Override], size: int) -> None:
    for segment, override in overrides.items():
        if segment not in rules:
            raise ValueError(f"override for segment {segment!r}, which is not among the rules")
        for mask in (override.include, override.exclude):
            if mask is not None and mask.shape != (size,):
                raise ValueError(f"override of segment {segment!r} has shape {mask.shape}, the frame {size} customers")


def _decided(program: Program, slot: int, override: Override) -> int:
    if override.include is not None:
        slot = program.combine("any", [slot, program.given(pack(override.include))])
    if override.exclude is not None:
        slot = program.combine("all", [slot, program.given(~pack(override.exclude))])
    return slot


def _fixed(override: Override) -> Bools | None:
    """Customers whose membership people decided, whatever the rule says."""
    if override.include is None or override.exclude is None:
        return override.include if override.exclude is None else override.exclude
    return np.asarray(override.include | override.exclude)
