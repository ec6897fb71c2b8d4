"""Ids made from content: equal content has equal ids, any difference another one, and they never change."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from segmentation.store.event_ids import content_ids
from segmentation.store.snapshot_columns import INSTANT

WHEN = datetime(2024, 1, 1, tzinfo=UTC)


def ids(**columns: Any) -> list[str]:
    found: list[str] = content_ids(columns).to_pylist()
    return found


def mixed(value: int) -> int:
    """SplitMix64 of one number in plain integers."""
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def text_id(column: str, text: str) -> str:
    """The id of a row with one text, byte by byte."""
    data = text.encode()
    total = sum(mixed(byte ^ mixed(place)) for place, byte in enumerate(data)) + len(data)
    seed = int.from_bytes(hashlib.blake2b(column.encode(), digest_size=8).digest(), "big")
    return f"content-{mixed(mixed(total % 2**64) ^ seed)}"


@pytest.mark.parametrize("text", ["", "/", "/é", "😀" * 50])
def test_the_id_of_a_text_is_the_one_that_plain_integers_give(text: str) -> None:
    assert ids(**{"p:url": pa.array(["x", text, None])})[1] == text_id("p:url", text)


def test_an_id_is_the_same_for_ever() -> None:
    row = {
        "occurredAt": pa.array([WHEN], INSTANT),
        "p:url": pa.array(["/é"]),
        "p:seconds": pa.array([1.5]),
        "p:seen": pa.array([True]),
        "p:tags": pa.array([["a", "b"]]),
        "p:place": pa.array([{"lat": 1.0, "lon": 2.0}]),
    }
    assert ids(**row) == ["content-12880881821132599221"]


@pytest.mark.parametrize(
    "values",
    [
        ["", "a", "b", "ab", "ba", "aa", "aaa", "\x00", "\x00\x00", "é", "e\u0301"],
        [0.0, 1.0, -1.0, 0.1, 1e300],
        [True, False],
        [[], [""], ["", ""], ["a", "b"], ["b", "a"], ["ab"], ["a\x1fb"]],
        [{"lat": 1.0, "lon": 2.0}, {"lat": 2.0, "lon": 1.0}, {"lat": 1.0, "lon": 1.0}],
    ],
)
def test_other_values_have_other_ids(values: list[Any]) -> None:
    assert len({*ids(column=pa.array(values)), *ids(column=pa.nulls(1))}) == len(values) + 1


def test_the_same_value_in_another_column_has_another_id() -> None:
    assert ids(first=pa.array(["x"])) != ids(second=pa.array(["x"]))
    swapped = ids(first=pa.array(["x"]), second=pa.array(["y"])), ids(first=pa.array(["y"]), second=pa.array(["x"]))
    assert swapped[0] != swapped[1]


def test_a_missing_column_is_like_a_missing_value_whatever_the_order_of_columns() -> None:
    url, nothing = pa.array(["/x", "/y"]), pa.nulls(2, pa.float64())
    assert ids(url=url) == ids(url=url, more=nothing) == ids(more=nothing, url=url)


def test_dictionaries_slices_and_the_sign_of_zero_do_not_matter() -> None:
    texts = pa.array(["a", None, "bc", "a", ""])
    assert ids(x=texts) == ids(x=texts.dictionary_encode())
    assert ids(x=texts.slice(2)) == ids(x=texts)[2:]
    lists = pa.array([["a"], None, ["b", "c"]])
    assert ids(x=lists.slice(1)) == ids(x=lists)[1:]
    assert ids(x=pa.array([0.0])) == ids(x=pa.array([-0.0]))


def test_a_hundred_thousand_events_have_as_many_ids() -> None:
    texts = pa.array([f"/page/{number}" for number in range(100_000)])
    assert len(set(ids(x=texts))) == 100_000
