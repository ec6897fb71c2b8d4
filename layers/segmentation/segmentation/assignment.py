"""People decide about single customers: assign, unassign, and the explanation of a membership.

A decision is a fact of its own; the membership follows from it by the same evaluation as everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from segmentation import evaluation, partitions
from segmentation.engine import criteria
from segmentation.engine.catalogue import Catalogue
from segmentation.engine.frame import Frame
from segmentation.errors import NotFound
from segmentation.evaluation import Definition, Members
from segmentation.models.common import check_customer_id
from segmentation.models.segments import (
    AssignCustomers,
    AssignResult,
    CustomerIds,
    Explanation,
    Segment,
)
from segmentation.store import catalogue, keys, memberships
from segmentation.store import segments as stored
from segmentation.store.held import held
from segmentation.store.memberships import Decision, State, Who
from segmentation.store.store import Store

_CAUSE = "manual"


@dataclass(frozen=True)
class _Asked:
    """Customers of a request, loaded and evaluated: rows of `frame` are those that exist."""

    definition: Definition
    frame: Frame
    found: Mapping[str, Members]
    state: State
    errors: tuple[str, ...]

    def customers(self) -> Iterator[tuple[str, bool]]:
        """Every customer that exists, and whether the rule takes the customer."""
        matched = self.found[self.definition.segment.segmentId].matched
        return zip(self.frame.ids, matched.tolist(), strict=True)


class _Decisions:
    """What is decided in a request, and the state that follows: decisions of before, and these."""

    def __init__(self, asked: _Asked) -> None:
        self._segment_id = asked.definition.segment.segmentId
        self._members = asked.state.members
        self.includes = dict(asked.state.includes)
        self.excludes = set(asked.state.excludes)
        self.made: list[Decision] = []

    def include(self, who: Who) -> None:
        if who not in self.includes:
            self.includes[who] = _CAUSE
            self.made.append(Decision(self._segment_id, who, keys.INCLUDE_PREFIX, True))

    def exclude(self, who: Who) -> None:
        if who not in self.excludes:
            self.excludes.add(who)
            self.made.append(Decision(self._segment_id, who, keys.EXCLUDE_PREFIX, True))

    def take_back_include(self, who: Who) -> bool:
        """Whether there was one."""
        if who not in self.includes:
            return False
        del self.includes[who]
        self.made.append(Decision(self._segment_id, who, keys.INCLUDE_PREFIX, False))
        return True

    def take_back_exclude(self, who: Who) -> None:
        if who in self.excludes:
            self.excludes.remove(who)
            self.made.append(Decision(self._segment_id, who, keys.EXCLUDE_PREFIX, False))

    def state(self) -> State:
        return State(self._members, self.includes, frozenset(self.excludes))


def assign(store: Store, segment_id: str, request: AssignCustomers, at: datetime) -> AssignResult:
    """Make customers members. On a rule segment only those who match, unless `override` is set. Raises NotFound."""
    asked = _load(store, segment_id, request, at)
    decisions, errors = _Decisions(asked), list(asked.errors)
    must_match = asked.definition.segment.kind == "rule" and not request.override
    for customer_id, matches in asked.customers():
        who = (customer_id, request.legalEntityId)
        if must_match and not matches:
            errors.append(f"{customer_id}: {_why_not(asked, customer_id)}")
            continue
        if not matches or request.legalEntityId:
            decisions.include(who)
        decisions.take_back_exclude(who)
        decisions.take_back_exclude((customer_id, ""))
    return _settle(store, asked, decisions, errors, at)


def unassign(store: Store, segment_id: str, request: CustomerIds, at: datetime) -> AssignResult:
    """Take customers out.

    One who matches the rule is excluded, so that the next run does not put him back. Raises NotFound.
    """
    asked = _load(store, segment_id, request, at)
    decisions, errors = _Decisions(asked), list(asked.errors)
    for customer_id, matches in asked.customers():
        who = (customer_id, request.legalEntityId)
        by_rule = matches and not request.legalEntityId
        if not decisions.take_back_include(who) and not by_rule and who not in asked.state.members:
            entity = f" for the legal entity {request.legalEntityId}" if request.legalEntityId else ""
            errors.append(f"{customer_id}: is not a member of {segment_id}{entity}")
        elif by_rule:
            decisions.exclude(who)
    return _settle(store, asked, decisions, errors, at)


def explain(store: Store, segment_id: str, customer_id: str, now: datetime | None, at: datetime) -> Explanation:
    """Why a customer is in a segment or not, condition by condition with the customer's values. Raises NotFound."""
    asked = _load(store, segment_id, CustomerIds(customerIds=[customer_id]), at, now)
    if not asked.frame.size:
        raise NotFound(f"there is no customer {customer_id!r}")
    definition, found = asked.definition, asked.found[segment_id]
    tree = None
    if definition.rule:
        seen = {name: bool(members.mask[0]) for name, members in asked.found.items()}
        tree = criteria.explain(definition.rule, asked.frame, 0, definition.now, seen)
    who = (customer_id, "")
    included = any(included_who[0] == customer_id for included_who in asked.state.includes)
    excluded = who in asked.state.excludes
    return Explanation(
        segmentId=segment_id,
        customerId=customer_id,
        member=bool(found.mask[0]),
        matches=bool(found.matched[0]),
        included=included,
        excluded=excluded,
        reason=_reason(definition, bool(found.matched[0]), included, excluded),
        explanation=tree,
        now=definition.now.astype("datetime64[us]").item(),
    )


def _load(store: Store, segment_id: str, request: CustomerIds, at: datetime, now: datetime | None = None) -> _Asked:
    segment = stored.get(store.table, segment_id, at)
    if now:
        segment = segment.model_copy(update={"now": now})
    entity = request.legalEntityId
    ids: list[str] = []
    errors: list[str] = []
    for given in dict.fromkeys(request.customerIds):
        try:
            ids.append(check_customer_id(given))
        except ValueError as error:
            errors.append(f"{given[:80]}: {error}")
    definitions = _definitions(store, segment, at)
    ids = list(dict.fromkeys(ids))
    frame_at = partitions.load_customers(store, ids, partitions.columns_of(definitions))
    definition = definitions[segment_id]
    frame = frame_at(definition.now)
    states = {
        name: memberships.state_of_customers(store.table, name, ids, entity, store.partitions) for name in definitions
    }
    found = evaluation.members(definitions, frame_at, states.__getitem__)
    errors += [
        f"{customer_id}: there is no such customer" for customer_id in ids if frame.position(customer_id) is None
    ]
    return _Asked(definition, frame, found, states[segment_id], tuple(errors))


def _definitions(store: Store, segment: Segment, at: datetime) -> dict[str, Definition]:
    """The segment and what its rule refers to; segments that no rule refers to are not read."""
    known = catalogue.load(store.table, {segment.segmentId})
    definition = evaluation.define([segment], known, at)
    if not definition[segment.segmentId].paused:
        return definition
    everything = [other for other in stored.all_segments(store.table, at) if other.segmentId != segment.segmentId]
    known = Catalogue(
        known.attributes, known.events, frozenset({segment.segmentId, *(o.segmentId for o in everything)})
    )
    return evaluation.needed(evaluation.define([*everything, segment], known, at), [segment.segmentId])


def _settle(store: Store, asked: _Asked, decisions: _Decisions, errors: list[str], at: datetime) -> AssignResult:
    """Write the decisions and the memberships that follow for the customers at hand."""
    found = asked.found[asked.definition.segment.segmentId]
    why = evaluation.why(asked.definition, _CAUSE)
    known = held(asked.state, asked.frame)
    changes, _ = evaluation.changes(asked.definition, asked.frame, found, decisions.state(), known, why)
    memberships.decide(store.table, decisions.made, changes, at, store.partitions)
    count = len(asked.errors) + asked.frame.size
    return AssignResult(successCount=count - len(errors), failedCount=len(errors), errors=errors)


def _why_not(asked: _Asked, customer_id: str) -> str:
    """The first condition that fails, in words."""
    definition, row = asked.definition, asked.frame.ids.index(customer_id)
    if definition.paused:
        return f"the segment is paused: {definition.paused}"
    if not definition.open:
        return "the segment is not active now; set override to include the customer for when it is"
    if definition.rule is None:
        return "the segment has no rule"
    seen = {name: bool(members.mask[row]) for name, members in asked.found.items()}
    failed = criteria.first_failure(criteria.explain(definition.rule, asked.frame, row, definition.now, seen))
    return f"does not match: {failed}; set override to include the customer anyway"


def _reason(definition: Definition, matches: bool, included: bool, excluded: bool) -> str:
    if definition.paused:
        return f"the segment is paused, its members stay as they are: {definition.paused}"
    if not definition.open:
        return "the segment is not active now, so nobody is a member"
    if excluded:
        return "excluded by hand" + (", although the rule matches" if matches else "")
    if included and not matches:
        return "included by hand" + (", although the rule does not match" if definition.rule else "")
    if definition.rule is None:
        return "nobody assigned the customer to this manual segment"
    return "the rule matches" if matches else "the rule does not match"
