"""The DynamoDB table with plain Python values in and out.

Low-level client calls: half the CPU of the resource interface. It knows nothing of segments or customers; conditions
that fail are `ConditionFailed`, throttling that outlasts the retries is `TooBusy`.
"""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched, chain
from typing import Any

from botocore.exceptions import ClientError

from segmentation.errors import TooBusy

Item = dict[str, Any]

BATCH_WRITE = 25
BATCH_GET = 100
TRANSACTION = 100
_ATTEMPTS = 8
_CONFLICT = "TransactionConflict"
_READING = {"get_item", "query", "batch_get_item"}
_BUSY = {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}


class ConditionFailed(Exception):
    """A conditional write found another state. For a transaction, `reasons` has a code per action."""

    def __init__(self, reasons: Sequence[str] = ()) -> None:
        super().__init__(f"condition failed: {', '.join(reasons)}")
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Page:
    """Some items and, where there are more, the key to go on from."""

    items: list[Item]
    last_key: Item | None


def marshal(value: Any) -> dict[str, Any]:
    """A Python value as a DynamoDB attribute value. Floats keep their shortest decimal form."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | float():
            return {"N": repr(value)}
        case bytes():
            return {"B": value}
        case Mapping():
            return {"M": {name: marshal(inner) for name, inner in value.items()}}
        case list() | tuple():
            return {"L": [marshal(inner) for inner in value]}
    raise TypeError(f"{type(value).__name__} cannot be stored")


def unmarshal(value: Mapping[str, Any]) -> Any:
    """The inverse of `marshal`; numbers become int where they are whole in writing, float otherwise."""
    ((tag, inner),) = value.items()
    match tag:
        case "S" | "BOOL" | "B":
            return inner
        case "N":
            return int(inner) if inner.lstrip("-").isdigit() else float(inner)
        case "NULL":
            return None
        case "M":
            return {name: unmarshal(deeper) for name, deeper in inner.items()}
        case "L":
            return [unmarshal(deeper) for deeper in inner]
    raise TypeError(f"the attribute type {tag} is not used by this table")


def marshal_item(item: Mapping[str, Any]) -> Item:
    """An item with every `None` left out: absent and null are one thing here."""
    return {name: marshal(value) for name, value in item.items() if value is not None}


def unmarshal_item(item: Mapping[str, Any]) -> Item:
    return {name: unmarshal(value) for name, value in item.items()}


@dataclass(frozen=True)
class Condition:
    """A condition expression with its placeholders: `Condition("version = :v", values={":v": 3})`."""

    expression: str
    values: Mapping[str, Any] | None = None
    names: Mapping[str, str] | None = None

    def arguments(self) -> Item:
        arguments: Item = {"ConditionExpression": self.expression}
        if self.values:
            arguments["ExpressionAttributeValues"] = marshal_item(self.values)
        if self.names:
            arguments["ExpressionAttributeNames"] = dict(self.names)
        return arguments


ABSENT = Condition("attribute_not_exists(PK)")
PRESENT = Condition("attribute_exists(PK)")


def update_arguments(
    key: Mapping[str, str],
    set: Mapping[str, Any] | None = None,
    add: Mapping[str, int | float] | None = None,
    remove: Sequence[str] = (),
    condition: Condition | None = None,
) -> Item:
    """Arguments of an UpdateItem or of a transaction's Update. A value of None in `set` removes the attribute."""
    names: dict[str, str] = dict(condition.names or {}) if condition else {}
    values: dict[str, Any] = dict(condition.values or {}) if condition else {}
    clauses: dict[str, list[str]] = {"SET": [], "ADD": [], "REMOVE": []}
    removed = [*remove, *(name for name, value in (set or {}).items() if value is None)]
    assigned = {name: value for name, value in (set or {}).items() if value is not None}
    for position, (verb, name, value) in enumerate(
        [("SET", n, v) for n, v in assigned.items()]
        + [("ADD", n, v) for n, v in (add or {}).items()]
        + [("REMOVE", n, None) for n in removed]
    ):
        names[f"#u{position}"] = name
        if verb == "REMOVE":
            clauses[verb].append(f"#u{position}")
            continue
        values[f":u{position}"] = value
        clauses[verb].append(f"#u{position} {'= ' if verb == 'SET' else ''}:u{position}")
    arguments: Item = {
        "Key": marshal_item(key),
        "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts),
        "ExpressionAttributeNames": names,
    }
    if values:
        arguments["ExpressionAttributeValues"] = marshal_item(values)
    if condition:
        arguments["ConditionExpression"] = condition.expression
    return arguments


class Table:
    """One DynamoDB table.

    `reads` and `writes` count capacity units since the client was made: what the table is billed by, indexes included.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name
        self.reads = 0.0
        self.writes = 0.0

    def get(self, key: Mapping[str, str], consistent: bool = False) -> Item | None:
        """The item, or None. `consistent` costs twice as much and sees every write."""
        found = self._call("get_item", Key=marshal_item(key), ConsistentRead=consistent)
        return unmarshal_item(found["Item"]) if "Item" in found else None

    def put(self, item: Mapping[str, Any], condition: Condition | None = None) -> None:
        """Write the item whole. Raises ConditionFailed."""
        self._call("put_item", Item=marshal_item(item), **(condition.arguments() if condition else {}))

    def update(
        self,
        key: Mapping[str, str],
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, int | float] | None = None,
        remove: Sequence[str] = (),
        condition: Condition | None = None,
    ) -> Item:
        """Change single attributes and return the item as it is then. Raises ConditionFailed."""
        arguments = update_arguments(key, set, add, remove, condition)
        return unmarshal_item(self._call("update_item", ReturnValues="ALL_NEW", **arguments)["Attributes"])

    def delete(self, key: Mapping[str, str], condition: Condition | None = None) -> None:
        """Delete the item if it is there. Raises ConditionFailed."""
        self._call("delete_item", Key=marshal_item(key), **(condition.arguments() if condition else {}))

    def page(
        self,
        pk: str,
        prefix: str = "",
        *,
        index: str | None = None,
        limit: int | None = None,
        start: Mapping[str, Any] | None = None,
        backwards: bool = False,
        after: str = "",
        consistent: bool = False,
    ) -> Page:
        """One query: at most `limit` items of a partition key whose sort key begins with `prefix`, or is not less than
        `after`. `consistent` costs twice as much and sees every write.
        """
        pk_name, sk_name = (f"{index}PK", f"{index}SK") if index else ("PK", "SK")
        arguments: Item = {
            "KeyConditionExpression": "#pk = :pk",
            "ExpressionAttributeNames": {"#pk": pk_name},
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ScanIndexForward": not backwards,
        }
        if prefix:
            arguments["KeyConditionExpression"] += " AND begins_with(#sk, :sk)"
            arguments["ExpressionAttributeNames"]["#sk"] = sk_name
            arguments["ExpressionAttributeValues"][":sk"] = {"S": prefix}
        elif after:
            arguments["KeyConditionExpression"] += " AND #sk >= :sk"
            arguments["ExpressionAttributeNames"]["#sk"] = sk_name
            arguments["ExpressionAttributeValues"][":sk"] = {"S": after}
        if consistent:
            arguments["ConsistentRead"] = True
        if index:
            arguments["IndexName"] = index
        if limit:
            arguments["Limit"] = limit
        if start:
            arguments["ExclusiveStartKey"] = marshal_item(start)
        answer = self._call("query", **arguments)
        last = answer.get("LastEvaluatedKey")
        return Page([unmarshal_item(item) for item in answer["Items"]], unmarshal_item(last) if last else None)

    def query(
        self,
        pk: str,
        prefix: str = "",
        *,
        index: str | None = None,
        backwards: bool = False,
        after: str = "",
        consistent: bool = False,
    ) -> Iterator[Item]:
        """All items of a partition key, however many queries that takes; the choices are those of `page`."""
        start: Item | None = None
        while True:
            page = self.page(
                pk, prefix, index=index, start=start, backwards=backwards, after=after, consistent=consistent
            )
            yield from page.items
            if page.last_key is None:
                return
            start = page.last_key

    def batch_get(self, keys: Iterable[Mapping[str, str]]) -> list[Item]:
        """The items that exist, in no order, with every write: one request per hundred keys."""
        wanted = [marshal_item(key) for key in keys]
        items: list[Item] = []
        for begin in range(0, len(wanted), BATCH_GET):
            remaining: dict[str, Any] = {self.name: {"Keys": wanted[begin : begin + BATCH_GET], "ConsistentRead": True}}
            for attempt in range(_ATTEMPTS):
                answer = self._call_raw("batch_get_item", RequestItems=remaining)
                items.extend(unmarshal_item(item) for item in answer["Responses"].get(self.name, []))
                remaining = answer.get("UnprocessedKeys") or {}
                if not remaining:
                    break
                _back_off(attempt)
            else:
                raise TooBusy(f"the table {self.name} answered only a part of {len(wanted)} reads")
        return items

    def batch_write(self, puts: Iterable[Mapping[str, Any]] = (), deletes: Iterable[Mapping[str, str]] = ()) -> int:
        """Write and delete unconditionally, 25 a request; returns how many. A key may occur once only."""
        return self._batch_write(
            chain(
                ({"PutRequest": {"Item": marshal_item(item)}} for item in puts),
                ({"DeleteRequest": {"Key": marshal_item(key)}} for key in deletes),
            )
        )

    def batch_write_marshalled(self, puts: Iterable[Item]) -> int:
        """`batch_write` of items that are in the table's own form already, for those that come by the million."""
        return self._batch_write({"PutRequest": {"Item": item}} for item in puts)

    def _batch_write(self, requests: Iterable[Item]) -> int:
        written = 0
        for batch in batched(requests, BATCH_WRITE, strict=False):
            remaining: dict[str, Any] = {self.name: list(batch)}
            for attempt in range(_ATTEMPTS):
                remaining = self._call_raw("batch_write_item", RequestItems=remaining).get("UnprocessedItems") or {}
                if not remaining:
                    break
                _back_off(attempt)
            else:
                raise TooBusy(f"the table {self.name} took only {written} of the writes; try again in a few seconds")
            written += len(batch)
        return written

    def transact(self, actions: Sequence[Item]) -> None:
        """All or nothing, at most 100 actions made by `put_action`, `update_action`, `delete_action`.

        Raises ConditionFailed.
        """
        for attempt in range(_ATTEMPTS):
            try:
                self._call_raw("transact_write_items", TransactItems=list(actions))
                return
            except ConditionFailed as failure:
                if not set(failure.reasons) <= {"None", _CONFLICT}:
                    raise
            _back_off(attempt)
        raise TooBusy("others are writing the same items all the time; try again in a few seconds")

    def put_action(self, item: Mapping[str, Any], condition: Condition | None = None) -> Item:
        arguments = condition.arguments() if condition else {}
        return {"Put": {"TableName": self.name, "Item": marshal_item(item), **arguments}}

    def put_marshalled(self, item: Item) -> Item:
        return {"Put": {"TableName": self.name, "Item": item}}

    def update_action(
        self,
        key: Mapping[str, str],
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, int | float] | None = None,
        condition: Condition | None = None,
    ) -> Item:
        return {"Update": {"TableName": self.name, **update_arguments(key, set, add, (), condition)}}

    def delete_action(self, key: Mapping[str, str], condition: Condition | None = None) -> Item:
        arguments = condition.arguments() if condition else {}
        return {"Delete": {"TableName": self.name, "Key": marshal_item(key), **arguments}}

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._call_raw(method, TableName=self.name, **arguments)

    def _call_raw(self, method: str, **arguments: Any) -> Any:
        try:
            answer = getattr(self._client, method)(ReturnConsumedCapacity="TOTAL", **arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                raise ConditionFailed([code]) from error
            if code == "TransactionCanceledException":
                raise ConditionFailed([reason["Code"] for reason in error.response["CancellationReasons"]]) from error
            if code in _BUSY or code == "TransactionConflictException":
                raise TooBusy("the table is being throttled; try again in a few seconds") from error
            raise
        if method in _READING:
            self.reads += _units(answer)
        else:
            self.writes += _units(answer)
        return answer


def _units(answer: Mapping[str, Any]) -> float:
    """Capacity units that a request consumed, as its answer says; 1 where the answer does not say."""
    consumed = answer.get("ConsumedCapacity")
    if not consumed:
        return 1.0
    parts = consumed if isinstance(consumed, list) else [consumed]
    return float(sum(part["CapacityUnits"] for part in parts))


def _back_off(attempt: int) -> None:
    """Full jitter, from 50 ms doubling to 3 s."""
    time.sleep(random.uniform(0, min(3.0, 0.05 * 2**attempt)))  # noqa: S311
