"""Ranged reads of Parquet: the right columns and groups, with few requests."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentation.store.parquet_ranges import HOLE_BYTES, read_groups
from support.files import MemoryFiles

GROUPS = 4
ROWS = 1_000


def stored(table: pa.Table) -> tuple[MemoryFiles, io.RawIOBase, pq.FileMetaData]:
    files = MemoryFiles()
    with files.put_stream("table.parquet") as sink:
        pq.write_table(table, sink, row_group_size=ROWS, compression="none", use_dictionary=False)
    source = files.open_range("table.parquet")
    metadata = pq.read_metadata(source)
    files.requests.clear()
    return files, source, metadata


def columns(width: int) -> pa.Table:
    numbers = np.arange(GROUPS * ROWS)
    wide = ["x" * width] * len(numbers)
    return pa.table({"first": numbers, "wide": wide, "nested": [{"a": 1, "b": 2}] * len(numbers), "last": numbers * 2})


def test_neighbouring_columns_come_with_one_request() -> None:
    table = columns(width=10)
    files, source, metadata = stored(table)
    assert read_groups(source, metadata, range(GROUPS), ["first", "last"], ()).equals(table.select(["first", "last"]))
    assert len(files.requests) == 1


def test_what_lies_far_apart_is_fetched_apart_and_nothing_between_it() -> None:
    table = columns(width=2 * HOLE_BYTES // ROWS)
    files, source, metadata = stored(table)
    assert read_groups(source, metadata, range(GROUPS), ["first"], ()).equals(table.select(["first"]))
    assert len(files.requests) == GROUPS
    assert sum(size for _, _, size in files.requests) < GROUPS * ROWS * 10


@pytest.mark.parametrize("groups", [[0], [3], [1, 3], []])
def test_only_the_wanted_groups_are_read(groups: list[int]) -> None:
    table = columns(width=10)
    files, source, metadata = stored(table)
    expected = [n for group in groups for n in range(group * ROWS, (group + 1) * ROWS)]
    assert read_groups(source, metadata, groups, ["first"], ()).column("first").to_pylist() == expected
    assert len(files.requests) == bool(groups)


def test_all_columns_and_fields_inside_columns_are_read() -> None:
    table = columns(width=10)
    _, source, metadata = stored(table)
    assert read_groups(source, metadata, range(GROUPS), None, ()).equals(table)
    assert read_groups(source, metadata, range(GROUPS), ["nested", "unknown"], ()).equals(table.select(["nested"]))


def test_texts_come_as_dictionaries_where_they_are_asked_for() -> None:
    _, source, metadata = stored(columns(width=10))
    column = read_groups(source, metadata, range(GROUPS), ["wide"], ["wide"]).column("wide")
    assert column.num_chunks == 1
    assert column.chunk(0).dictionary.to_pylist() == ["x" * 10]
