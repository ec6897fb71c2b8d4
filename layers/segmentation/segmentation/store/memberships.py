"""Memberships and the decisions behind them: the one place that writes either.

Whoever writes a membership without being an evaluation of its whole partition leaves a mark beside it, for the
evaluation that trusts its checkpoint.

A membership is the result of an evaluation; an include or exclude is what a person decided. A customer who leaves keeps
a tombstone for a while, without index keys: it carries the cause of the exit to the table's stream and is invisible to
every reader.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from segmentation.models.common import iso
from segmentation.store import cursor, keys
from segmentation.store.table import TRANSACTION, Item, Page, Table, marshal_item

TOMBSTONE_SECONDS = 3600
MARK_SECONDS = 8 * 86400
PARTITIONS_A_PAGE = 64
"""Partitions that one page looks into: a page may be short, or empty, and still have a token."""

Who = tuple[str, str]
"""Customer id and legal entity id (empty for none)."""


@dataclass(frozen=True)
class Membership:
    """A customer is in a segment since an instant; `source` is rule, manual or import."""

    segment_id: str
    customer_id: str
    legal_entity_id: str
    since: str
    source: str
    until: str | None = None


@dataclass(frozen=True)
class State:
    """What the table says of a segment for some customers; includes come with their source (manual, import).

    `touched` are those whose membership somebody but an evaluation wrote of late.
    """

    members: Mapping[Who, Membership] = field(default_factory=dict)
    includes: Mapping[Who, str] = field(default_factory=dict)
    excludes: frozenset[Who] = frozenset()
    touched: frozenset[Who] = frozenset()


@dataclass(frozen=True)
class Why:
    """What a change follows from: its cause, the run, and the versions of the rule and of the model behind it."""

    cause: str
    job_id: str | None = None
    segment_version: int | None = None
    model_version: int | None = None


class Change(NamedTuple):
    """One customer enters or leaves a segment, or stays with another source or until another instant (`stays`).

    `moved` is the other segment where a customer goes from one group of a model to another.
    """

    segment_id: str
    who: Who
    entered: bool
    source: str
    why: Why
    until: str | None = None
    stays: bool = False
    moved: str | None = None


@dataclass(frozen=True)
class Decision:
    """Somebody includes or excludes a customer, or takes that back (`holds` False)."""

    segment_id: str
    who: Who
    prefix: str
    holds: bool
    source: str = "manual"


def of_partition(table: Table, segment_id: str, partition: int, at: datetime) -> Iterator[Membership]:
    """Current members of one partition."""
    for item in table.query(keys.members_of(segment_id, partition), keys.MEMBER_PREFIX):
        if _is_current(item, iso(at)):
            yield _membership(item)


def state_of_partition(table: Table, segment_id: str, partition: int) -> State:
    """Members and decisions of one partition."""
    return _state(table.query(keys.members_of(segment_id, partition)))


def decisions_of_partition(table: Table, segment_id: str, partition: int) -> State:
    """Decisions of one partition, and who was touched, without the members: every write is seen."""
    return _state(table.query(keys.members_of(segment_id, partition), after=keys.AFTER_MEMBERS, consistent=True))


def state_of_customers(
    table: Table, segment_id: str, customers: Collection[str], legal_entity_id: str, partitions: int
) -> State:
    """Members and decisions for single customers: two reads for a hundred of them."""
    wanted: list[keys.Key] = []
    for customer_id in customers:
        place = (segment_id, keys.partition_of(customer_id, partitions), customer_id, legal_entity_id)
        wanted += [keys.membership(*place), keys.include(*place), keys.exclude(*place)]
        if legal_entity_id:
            wanted += [keys.membership(*place[:3]), keys.include(*place[:3]), keys.exclude(*place[:3])]
    return _state(table.batch_get(wanted))


def members_among(table: Table, segment_id: str, partition: int, customers: Collection[Who]) -> State:
    """Who of these is a member now; decisions are left out."""
    return _state(table.batch_get([keys.membership(segment_id, partition, *who) for who in customers]))


def states_of_customer(table: Table, customer_id: str) -> dict[str, State]:
    """Members and decisions of one customer, by segment, in one query of the index."""
    found: dict[str, list[Item]] = {}
    for item in table.query(keys.customer_index(customer_id), index=keys.GSI1):
        if "segmentId" in item and not item["SK"].startswith("HISTORY#"):
            found.setdefault(item["segmentId"], []).append(item)
    return {segment_id: _state(items) for segment_id, items in found.items()}


def page_of_segment(
    table: Table, segment_id: str, partitions: int, limit: int, token: str | None, at: datetime, prefix: str
) -> tuple[list[Membership], str | None]:
    """Members (or included, or excluded customers) of a segment, partition after partition."""
    scope = f"{prefix}{segment_id}"
    position = cursor.decode(scope, token) or {"partition": 0, "after": None}
    partition, after = position.get("partition"), position.get("after")
    if not isinstance(partition, int) or not isinstance(after, str | None):
        raise cursor.refused(token)
    items: list[Membership] = []
    end = min(partitions, partition + PARTITIONS_A_PAGE)
    while 0 <= partition < end and len(items) < limit:
        pk = keys.members_of(segment_id, partition)
        start = {"PK": pk, "SK": after} if after else None
        found = table.page(pk, prefix, limit=limit - len(items), start=start)
        items += [_membership(item) for item in found.items if _is_current(item, iso(at))]
        after = found.last_key["SK"] if found.last_key else None
        partition += 0 if after else 1
    more = partition < partitions
    return items, cursor.encode(scope, {"partition": partition, "after": after}) if more else None


def page_of_customer(
    table: Table, customer_id: str, limit: int, token: str | None, at: datetime
) -> tuple[list[Membership], str | None]:
    """Segments that a customer is in now: one query."""
    index = keys.customer_index(customer_id)
    found: Page = table.page(index, "SEGMENT#", index=keys.GSI1, limit=limit, start=cursor.decode(index, token))
    items = [_membership(item) for item in found.items if _is_current(item, iso(at))]
    return items, cursor.encode(index, found.last_key)


class Writer:
    """Writes changes in bulk. One for all segments of an evaluation: what it makes of a customer's id is made once."""

    def __init__(self, table: Table, at: datetime, partitions: int) -> None:
        self._table, self._at, self._partitions = table, at, partitions
        self._customers: dict[str, tuple[int, Item]] = {}

    def write(self, changes: Sequence[Change]) -> int:
        """Write the changes; returns how many. Each (segment, who) may occur once."""
        since = _since(self._table, changes, self._partitions)
        return self._table.batch_write_marshalled(self.items(changes, since))

    def items(self, changes: Iterable[Change], since: Mapping[tuple[str, Who], str]) -> Iterator[Item]:
        """Items as the table takes them; `since` is of members who stay.

        Changes come by the million: what they share, and what a customer's items share, is made once.
        """
        shared: Item = {}
        before: Change | None = None
        place = -1
        for change in changes:
            segment_id, who, entered, source, why, until, stays, moved = change
            partition, own = self._customers.get(who[0]) or self._of_customer(who[0])
            if (
                before is None
                or why is not before.why
                or segment_id != before.segment_id
                or entered is not before.entered
                or source != before.source
                or until != before.until
                or partition != place
            ):
                shared, place = _shared(change, partition, self._at), partition
            before = change
            item = {**shared, **own}
            if not entered:
                del item["GSI1PK"]
            if who[1]:
                item |= _of_entity(change)
            if moved:
                item["movedFrom" if entered else "movedTo"] = {"S": moved}
            if stays and (segment_id, who) in since:
                item["since"] = {"S": since[segment_id, who]}
            yield item

    def _of_customer(self, customer_id: str) -> tuple[int, Item]:
        """The customer's partition, and the attributes of his memberships that hang on nothing else."""
        escaped = keys.escape(customer_id)
        own: Item = {
            "SK": {"S": f"{keys.MEMBER_PREFIX}{escaped}#"},
            "customerId": {"S": customer_id},
            "GSI1PK": {"S": f"CUSTOMER#{escaped}"},
        }
        found = self._customers[customer_id] = keys.partition_of(customer_id, self._partitions), own
        return found


def write(table: Table, changes: Sequence[Change], at: datetime, partitions: int) -> int:
    """Write a few changes of an evaluation; returns how many. Each (segment, who) may occur once."""
    return Writer(table, at, partitions).write(changes)


def write_outside(table: Table, changes: Sequence[Change], at: datetime, partitions: int) -> None:
    """Write changes that do not come from the evaluation of a whole partition: with their marks, which come first."""
    table.batch_write(_mark(change, at, partitions) for change in changes)
    write(table, changes, at, partitions)


def decide(
    table: Table, decisions: Sequence[Decision], changes: Sequence[Change], at: datetime, partitions: int
) -> None:
    """Write decisions and the changes that follow from them, a hundred items a transaction."""
    # After an erasure its own run evaluates the partition: a mark would only keep the person's id.
    marked = [change for change in changes if change.why.cause != "erasure"]
    table.batch_write(_mark(change, at, partitions) for change in marked)
    since = _since(table, changes, partitions)
    actions = [
        table.put_action(_decision_item(decision, at, partitions))
        if decision.holds
        else table.delete_action(_decision_key(decision, partitions))
        for decision in decisions
    ]
    actions += [table.put_marshalled(item) for item in Writer(table, at, partitions).items(changes, since)]
    for begin in range(0, len(actions), TRANSACTION):
        table.transact(actions[begin : begin + TRANSACTION])


def put_decisions(table: Table, decisions: Iterable[Decision], at: datetime, partitions: int) -> int:
    """Write decisions in bulk, as a file of members brings them."""
    return table.batch_write(_decision_item(decision, at, partitions) for decision in decisions)


def remove_partition(table: Table, segment_id: str, partition: int, at: datetime, job_id: str, partitions: int) -> int:
    """The segment is deleted: every member of the partition leaves, decisions go. Returns how many left."""
    items = list(table.query(keys.members_of(segment_id, partition)))
    members = [_membership(i) for i in items if i["SK"].startswith(keys.MEMBER_PREFIX) and "leftAt" not in i]
    why = Why("segment_deleted", job_id)
    changes = [Change(segment_id, (m.customer_id, m.legal_entity_id), False, m.source, why) for m in members]
    write(table, changes, at, partitions)
    table.batch_write(
        deletes=[{"PK": i["PK"], "SK": i["SK"]} for i in items if not i["SK"].startswith(keys.MEMBER_PREFIX)]
    )
    return len(members)


def forget_customer(table: Table, customer_id: str, at: datetime, partitions: int, job_id: str) -> None:
    """Remove a person from every segment, decisions included."""
    changes: list[Change] = []
    gone: list[Decision] = []
    why = Why("erasure", job_id)
    for segment_id, state in states_of_customer(table, customer_id).items():
        changes += [Change(segment_id, who, False, m.source, why) for who, m in state.members.items()]
        gone += [Decision(segment_id, who, keys.INCLUDE_PREFIX, False) for who in state.includes]
        gone += [Decision(segment_id, who, keys.EXCLUDE_PREFIX, False) for who in state.excludes]
    decide(table, gone, changes, at, partitions)


def _state(items: Iterable[Item]) -> State:
    members: dict[Who, Membership] = {}
    includes: dict[Who, str] = {}
    excludes: set[Who] = set()
    touched: set[Who] = set()
    for item in items:
        who = (item["customerId"], item.get("legalEntityId", ""))
        if item["SK"].startswith(keys.INCLUDE_PREFIX):
            includes[who] = item["source"]
        elif item["SK"].startswith(keys.EXCLUDE_PREFIX):
            excludes.add(who)
        elif item["SK"].startswith(keys.TOUCHED_PREFIX):
            touched.add(who)
        elif "leftAt" not in item:
            members[who] = _membership(item)
    return State(members, includes, frozenset(excludes), frozenset(touched))


def _is_current(item: Item, now: str) -> bool:
    """Not a tombstone, and not of a segment whose validity has ended since the last run."""
    return "leftAt" not in item and ("until" not in item or item["until"] > now)


def _membership(item: Item) -> Membership:
    return Membership(
        item["segmentId"],
        item["customerId"],
        item.get("legalEntityId", ""),
        item["since"],
        item["source"],
        item.get("until"),
    )


def _since(table: Table, changes: Iterable[Change], partitions: int) -> dict[tuple[str, Who], str]:
    """Since when those are members who stay."""
    staying = [change for change in changes if change.stays]
    wanted = [
        keys.membership(change.segment_id, keys.partition_of(change.who[0], partitions), *change.who)
        for change in staying
    ]
    found = table.batch_get(wanted) if wanted else []
    return {
        (item["segmentId"], (item["customerId"], item.get("legalEntityId", ""))): item["since"]
        for item in found
        if "leftAt" not in item
    }


def _shared(change: Change, partition: int, at: datetime) -> Item:
    """What all changes of a segment in one evaluation have in common."""
    if change.entered:
        index = keys.by_customer("", "SEGMENT#", change.segment_id)["GSI1SK"]
        times: Item = {"since": iso(at), "until": change.until, "GSI1SK": index}
    else:
        times = {"leftAt": iso(at), "expiresAt": int(at.timestamp()) + TOMBSTONE_SECONDS}
    return marshal_item(
        {
            "PK": keys.members_of(change.segment_id, partition),
            "segmentId": change.segment_id,
            "source": change.source,
            "cause": change.why.cause,
            "jobId": change.why.job_id,
            "segmentVersion": change.why.segment_version,
            "modelVersion": change.why.model_version,
            **times,
        }
    )


def _of_entity(change: Change) -> Item:
    """What differs where the membership is one of a legal entity."""
    customer_id, legal_entity_id = change.who
    sk = keys.membership(change.segment_id, 0, customer_id, legal_entity_id)["SK"]
    item: Item = {"SK": {"S": sk}, "legalEntityId": {"S": legal_entity_id}}
    if change.entered:
        item["GSI1SK"] = {"S": keys.by_customer(customer_id, "SEGMENT#", change.segment_id, legal_entity_id)["GSI1SK"]}
    return item


def _mark(change: Change, at: datetime, partitions: int) -> Item:
    customer_id, legal_entity_id = change.who
    partition = keys.partition_of(customer_id, partitions)
    return {
        **keys.touched(change.segment_id, partition, customer_id, legal_entity_id),
        "customerId": customer_id,
        "legalEntityId": legal_entity_id or None,
        "expiresAt": int(at.timestamp()) + MARK_SECONDS,
    }


def _decision_key(decision: Decision, partitions: int) -> keys.Key:
    customer_id, legal_entity_id = decision.who
    make = keys.include if decision.prefix == keys.INCLUDE_PREFIX else keys.exclude
    return make(decision.segment_id, keys.partition_of(customer_id, partitions), customer_id, legal_entity_id)


def _decision_item(decision: Decision, at: datetime, partitions: int) -> Item:
    customer_id, legal_entity_id = decision.who
    return {
        **_decision_key(decision, partitions),
        **keys.by_customer(customer_id, decision.prefix, decision.segment_id, legal_entity_id),
        "segmentId": decision.segment_id,
        "customerId": customer_id,
        "legalEntityId": legal_entity_id or None,
        "source": decision.source,
        "since": iso(at),
    }
