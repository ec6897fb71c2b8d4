"""Values in and out of the table, keys, and the tokens of lists."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.errors import InvalidInput
from segmentation.store import cursor, keys
from segmentation.store.table import marshal, marshal_item, unmarshal, update_arguments

PLAIN = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(10**30), 10**30) | st.floats(-1e100, 1e100) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_stored_is_what_was_given(value: object) -> None:
    found = unmarshal(marshal(value))
    assert found == value or (isinstance(value, float) and math.isclose(found, value))


def test_an_item_leaves_out_what_is_none() -> None:
    assert marshal_item({"a": 1, "b": None}) == {"a": {"N": "1"}}


def test_a_value_that_no_attribute_can_hold_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="set cannot be stored"):
        marshal({1, 2})


def test_an_update_sets_adds_and_removes() -> None:
    made = update_arguments({"PK": "p", "SK": "s"}, set={"a": 1, "gone": None}, add={"n": 2}, remove=["old"])
    assert made["UpdateExpression"] == "SET #u0 = :u0 ADD #u1 :u1 REMOVE #u2, #u3"
    assert made["ExpressionAttributeNames"] == {"#u0": "a", "#u1": "n", "#u2": "old", "#u3": "gone"}


@given(st.text(), st.text())
def test_parts_of_keys_never_run_together(first: str, second: str) -> None:
    parts = f"{keys.escape(first)}#{keys.escape(second)}".split("#")
    assert [part.replace("%23", "#").replace("%25", "%") for part in parts] == [first, second]


@given(st.text(min_size=1), st.integers(1, 4096))
def test_a_customer_has_one_partition_for_ever(customer_id: str, partitions: int) -> None:
    try:
        found = keys.partition_of(customer_id, partitions)
    except UnicodeEncodeError:
        return
    assert 0 <= found < partitions
    assert found == keys.partition_of(customer_id, partitions)


def test_the_partition_of_a_known_customer_does_not_change_between_releases() -> None:
    assert [keys.partition_of(customer_id, 16) for customer_id in ("c1", "12346", "🛒")] == [1, 6, 15]


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.text())
def test_a_token_is_read_by_its_own_list_only(position: dict[str, object], scope: str) -> None:
    token = cursor.encode(scope, position)
    assert cursor.decode(scope, token) == position
    with pytest.raises(InvalidInput, match="nextToken"):
        cursor.decode(scope + "x", token)


@given(st.text())
def test_nonsense_is_no_token(text: str) -> None:
    with pytest.raises(InvalidInput):
        cursor.decode("list", text)
