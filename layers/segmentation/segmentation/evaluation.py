"""From segments and customers to memberships: which rules apply, who is in, and what differs from what the table says.

Pure: segments, frames and states come in, masks and changes go out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from segmentation.engine import criteria
from segmentation.engine.catalogue import Catalogue
from segmentation.engine.criteria import Override, Rule
from segmentation.engine.frame import Bools, Frame
from segmentation.errors import InvalidCriteria
from segmentation.models.common import iso
from segmentation.models.segments import Segment
from segmentation.store.held import CODES, SOURCES, Held, Other
from segmentation.store.memberships import Change, State, Who, Why

CLOCK = ""
"""Key of statistics that are not pinned to an instant of their own."""

FrameAt = Callable[[np.datetime64], Frame]
StateOf = Callable[[str], State]


@dataclass(frozen=True)
class Definition:
    """A segment as one evaluation sees it.

    `rule` is None for manual segments; `open` is False while nobody can be a member, `ended` says that it is so for
    good.
    """

    segment: Segment
    rule: Rule | None
    now: np.datetime64
    open: bool
    paused: str | None = None
    ended: bool = False


Definitions = Mapping[str, Definition]


@dataclass(frozen=True, eq=False)
class Members:
    """Bool per row of the frame: `mask` who is in, decisions included; `matched` whom the rule alone takes."""

    mask: Bools
    matched: Bools


def instant(at: datetime) -> np.datetime64:
    """A UTC datetime as the engine's instant."""
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")


def compile_rule(segment: Segment, catalogue: Catalogue) -> Rule | None:
    """The segment's rule; None for a manual segment. Raises InvalidCriteria."""
    if segment.kind == "manual":
        return None
    return criteria.parse(segment.criteria, catalogue, segment_id=segment.segmentId, time_zone=segment.timeZone)


def define(segments: Iterable[Segment], catalogue: Catalogue, at: datetime) -> dict[str, Definition]:
    """Compile segments for an evaluation at `at`.

    A rule that no longer compiles is paused with its reason, never dropped.
    """
    definitions: dict[str, Definition] = {}
    for segment in segments:
        rule, paused = None, None
        try:
            rule = compile_rule(segment, catalogue)
        except InvalidCriteria as error:
            paused = "; ".join(detail.message for detail in error.errors) or error.message
        now = instant(segment.now or at)
        definitions[segment.segmentId] = Definition(
            segment, rule, now, _is_open(segment, at), paused, _has_ended(segment, at)
        )
    return definitions


def needed(definitions: Definitions, targets: Iterable[str]) -> dict[str, Definition]:
    """The targets and every segment that their rules refer to, directly or not."""
    found: dict[str, Definition] = {}
    waiting = list(targets)
    while waiting:
        segment_id = waiting.pop()
        if segment_id in found or segment_id not in definitions:
            continue
        definition = found[segment_id] = definitions[segment_id]
        waiting.extend(definition.rule.segments if definition.rule else ())
    return found


def check_order(definitions: Definitions) -> None:
    """Raises InvalidCriteria that names the path if segments refer to each other in a circle."""
    criteria.order({segment_id: definition.rule for segment_id, definition in definitions.items()})


def members(definitions: Definitions, frame_at: FrameAt, state_of: StateOf) -> dict[str, Members]:
    """Who is in each segment.

    `frame_at` gives the same customers in the same order for any instant. Segments that look from another instant are
    evaluated at theirs; a rule that refers to one sees its result.
    """
    rules = {segment_id: definition.rule for segment_id, definition in definitions.items()}
    result: dict[str, Members] = {}
    for batch in _same_instant(criteria.order(rules), definitions):
        now = definitions[batch[0]].now
        frame = frame_at(now)
        known: dict[str, Rule | None] = {}
        overrides: dict[str, Override] = {}
        for segment_id in batch:
            definition = definitions[segment_id]
            applies = definition.open and not definition.paused
            known[segment_id] = definition.rule if applies else None
            override = _override(definition, frame, state_of(segment_id))
            if override:
                overrides[segment_id] = override
        for other in {name for rule in known.values() if rule for name in rule.segments} - known.keys():
            known[other] = None
            seen = result[other].mask if other in result else np.zeros(frame.size, dtype=bool)
            overrides[other] = Override(seen, None)
        evaluated = criteria.evaluate(known, frame, now, overrides)
        for segment_id in batch:
            result[segment_id] = Members(evaluated.mask(segment_id), evaluated.matched(segment_id))
    return result


def changes(
    definition: Definition, frame: Frame, found: Members, decisions: State, held: Held, why: Why
) -> tuple[list[Change], Held]:
    """What must be written so that the table, which has `held`, says what was found, for the customers of the frame
    and those who are gone; and what it says then.
    """
    if definition.paused:
        return [], held
    segment_id = definition.segment.segmentId
    until = until_of(definition)
    wanted, entities = _wanted(definition, frame, found, decisions)
    after = Held(wanted, until, {who: Other(CODES[source], until) for who, source in entities.items()})
    odd = {row: who for who in held.others if not who[1] and (row := frame.position(who[0])) is not None}
    was, is_in = held.sources > 0, wanted > 0
    new = is_in & ~was
    new[list(odd)] = False
    kept = was & is_in
    stayed = kept if until != held.until else kept & (wanted != held.sources)

    def crossing(rows: NDArray[np.intp], codes: NDArray[np.int8], entered: bool, stays: bool = False) -> list[Change]:
        end = until if entered else None
        ids, sources = frame.ids, [SOURCES[code] for code in codes[rows].tolist()]
        return [
            Change(segment_id, (ids[row], ""), entered, source, why, end, stays)
            for row, source in zip(rows.tolist(), sources, strict=True)
        ]

    result = crossing(np.flatnonzero(new), wanted, entered=True)
    result += crossing(np.flatnonzero(stayed), wanted, entered=True, stays=True)
    result += crossing(np.flatnonzero(was & ~is_in), held.sources, entered=False)
    result += [
        Change(segment_id, who, True, source, why, until) for who, source in entities.items() if who not in held.others
    ]
    targets = {who: int(wanted[row]) for row, who in odd.items()} | {w: after.others[w].source for w in after.others}
    for who, other in held.others.items():
        target = targets.get(who, 0)
        if not target:
            result.append(Change(segment_id, who, False, SOURCES[other.source], why))
        elif other != (target, until):
            result.append(Change(segment_id, who, True, SOURCES[target], why, until, True))
    return result, after


def together(definitions: Iterable[Definition]) -> list[list[str]]:
    """Ids of segments, those of one model's groups together: a customer moves from one of them to another."""
    found: dict[tuple[str, str], list[str]] = {}
    for definition in definitions:
        segment = definition.segment
        key = ("model", segment.model.modelId) if segment.model else ("segment", segment.segmentId)
        found.setdefault(key, []).append(segment.segmentId)
    return list(found.values())


def with_moves(changes: Mapping[str, list[Change]]) -> dict[str, list[Change]]:
    """The changes of a model's groups, with the other group noted where a customer leaves one and enters another."""
    left: dict[str, str] = {}
    entered: dict[str, str] = {}
    for segment_id, of_segment in changes.items():
        for change in of_segment:
            if not change.who[1] and not change.stays:
                (entered if change.entered else left)[change.who[0]] = segment_id
    if not left or not entered:
        return dict(changes)

    def moved(change: Change) -> Change:
        other = (left if change.entered else entered).get(change.who[0])
        return change._replace(moved=other) if other and not change.stays and not change.who[1] else change

    return {segment_id: [moved(change) for change in of_segment] for segment_id, of_segment in changes.items()}


def why(definition: Definition, cause: str, job_id: str | None = None, model_version: int | None = None) -> Why:
    """What a change follows from, with the versions behind it: `cause` is who evaluates, `run` for what the rule or
    the model says by itself.
    """
    segment = definition.segment
    if definition.ended:
        cause = "expiry"
    elif cause == "run":
        cause = "model" if segment.model else "rule"
    return Why(cause, job_id, segment.version, model_version if segment.model else None)


def until_of(definition: Definition) -> str | None:
    """The instant at which members leave by themselves."""
    validity = definition.segment.validity
    return iso(validity.endsAt) if validity and validity.endsAt else None


def _wanted(
    definition: Definition, frame: Frame, found: Members, decisions: State
) -> tuple[NDArray[np.int8], dict[Who, str]]:
    """Memberships that should be: the code of the source per row for those without legal entity, and the source of
    those with one, one for every include.
    """
    wanted = np.zeros(frame.size, dtype=np.int8)
    entities: dict[Who, str] = {}
    if not definition.open:
        return wanted, entities
    wanted[found.matched] = CODES["rule"]
    for who in _included(decisions):
        row = frame.position(who[0])
        if row is None:
            continue
        if who[1]:
            entities[who] = decisions.includes[who]
        elif not wanted[row]:
            wanted[row] = CODES[decisions.includes[who]]
    for customer_id, legal_entity_id in decisions.excludes:
        row = None if legal_entity_id else frame.position(customer_id)
        if row is not None:
            wanted[row] = 0
    return wanted, entities


def _included(state: State) -> list[Who]:
    """Includes that no exclude takes back: one for the same legal entity, or one for all."""
    return [who for who in state.includes if who not in state.excludes and (who[0], "") not in state.excludes]


def _override(definition: Definition, frame: Frame, state: State) -> Override | None:
    if definition.paused:
        return Override(_mask(frame, (who[0] for who in state.members)), None)
    if not definition.open or not (state.includes or state.excludes):
        return None
    everywhere = (customer_id for customer_id, legal_entity_id in state.excludes if not legal_entity_id)
    return Override(_mask(frame, (who[0] for who in _included(state))), _mask(frame, everywhere))


def _is_open(segment: Segment, at: datetime) -> bool:
    validity = segment.validity
    begun = not validity or not validity.startsAt or validity.startsAt <= at
    return segment.active and begun and not _has_ended(segment, at)


def _has_ended(segment: Segment, at: datetime) -> bool:
    return bool(segment.validity and segment.validity.endsAt and segment.validity.endsAt <= at)


def _same_instant(order: Iterable[str], definitions: Definitions) -> Iterator[list[str]]:
    """The order cut into runs of one instant, so that each run is one evaluation."""
    batch: list[str] = []
    for segment_id in order:
        if batch and definitions[segment_id].now != definitions[batch[0]].now:
            yield batch
            batch = []
        batch.append(segment_id)
    if batch:
        yield batch


def _mask(frame: Frame, customers: Iterable[str]) -> Bools:
    mask = np.zeros(frame.size, dtype=bool)
    for customer_id in customers:
        row = frame.position(customer_id)
        if row is not None:
            mask[row] = True
    return mask
