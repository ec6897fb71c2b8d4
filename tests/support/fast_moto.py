"""What moto spends most time on, in less: copies of whole tables for transactions, and names of attribute values."""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from moto.core.serialize import ResponseSerializer
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

_TAGS = frozenset({"S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"})

_transact = DynamoDBBackend.transact_write_items
_value = ResponseSerializer.get_value


def install() -> None:
    """Let moto roll back a transaction that failed by the items that it touched, and not search an attribute value for
    other spellings of the types that it does not have.
    """
    DynamoDBBackend.transact_write_items = _transact_lightly
    ResponseSerializer.get_value = _value_at_once


def _value_at_once(serializer: ResponseSerializer, value: Any, key: str, shape: Any) -> Any:
    if key in _TAGS and type(value) is dict:
        return value.get(key)
    return _value(serializer, value, key, shape)


def _transact_lightly(backend: DynamoDBBackend, transact_items: Sequence[Mapping[str, Any]]) -> None:
    touched = [_key(operation) for item in transact_items for operation in item.values()]
    copies: dict[int, Table] = {}

    def backup(table: Table, _: Any) -> Table:
        if id(table) not in copies:
            copies[id(table)] = _backup(table, touched)
        return copies[id(table)]

    Table.__deepcopy__ = backup
    try:
        _transact(backend, transact_items)
    finally:
        del Table.__deepcopy__


def _key(operation: Mapping[str, Any]) -> tuple[DynamoType, DynamoType]:
    key = operation.get("Key") or operation["Item"]
    return DynamoType(key["PK"]), DynamoType(key["SK"])


def _backup(table: Table, touched: Sequence[tuple[DynamoType, DynamoType]]) -> Table:
    """The table as it is: items that the transaction may change are copied, all others are the same."""
    kept = copy.copy(table)
    kept.items = defaultdict(dict, {pk: dict(of_pk) for pk, of_pk in table.items.items()})
    for pk, sk in touched:
        if pk in kept.items and sk in kept.items[pk]:
            kept.items[pk][sk] = copy.deepcopy(kept.items[pk][sk])
    if table.stream_shard is not None:
        kept.stream_shard = copy.copy(table.stream_shard)
        kept.stream_shard.items = list(table.stream_shard.items)
        kept.stream_shard.table = kept
    return kept
