"""docs/imports.md says what the code does: its examples give what they say, its tables are complete."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from segmentation import imports
from segmentation.models.imports import DATE_DIRECTIVES, MAX_COLUMNS, MAX_MAPPING_BYTES, ImportMapping
from segmentation.store.reading.blocks import MAX_RECORD_BYTES
from segmentation.store.reading.columns import MAX_ID_BYTES, MAX_LIST_ITEMS, MAX_TEXT_BYTES
from segmentation.store.reading.datasets import KNOWN, MAX_NAME_CHARACTERS, MAX_SOURCE_CHARACTERS
from segmentation.store.reading.file_plan import MAX_GROUP_ROWS, SAMPLE_RECORDS
from segmentation.store.reading.formats import MAX_UNPACKED_BYTES
from segmentation.store.reading.rejects import MAX_VALUE_CHARACTERS
from support.import_files import run

TEXT = (Path(__file__).parents[2] / "docs" / "imports.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"`imports/(\S+)`\n\n```csv\n(.*?)```\n\n```json\n(.*?)```\n\nbecomes\n\n```jsonl\n(.*?)```", TEXT, re.DOTALL
)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A staged row as the document shows it."""
    return {
        name: value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
        for name, value in row.items()
        if name != "row"
    }


@pytest.mark.parametrize(("key", "file", "mapping", "rows"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_an_example_becomes_what_the_document_says(key: str, file: str, mapping: str, rows: str) -> None:
    done = run(key, file, json.loads(mapping))
    assert done.rejects == []
    assert [shown(row) for row in done.rows] == [json.loads(line) for line in rows.splitlines()]


def test_every_mapping_in_the_document_is_run() -> None:
    assert len(EXAMPLES) == TEXT.count("```json\n") >= 5


def test_every_field_of_the_mapping_has_a_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == set(ImportMapping.model_fields)


def test_every_known_column_has_a_row_with_all_its_names() -> None:
    rows = {
        (dataset, column): (what.startswith("required"), tuple(names.split()))
        for dataset, column, what, names in re.findall(
            r"^\| (\w+) \| `(\w+)` \| ([^|]*?) ?\| ([^|]*) \|$", TEXT, re.MULTILINE
        )
    }
    assert rows == {
        (dataset, name): (column.required, column.synonyms)
        for dataset, known in KNOWN.items()
        for name, column in known.items()
    }


def test_every_date_directive_is_named() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| `dateFormat`"))
    assert set(re.findall(r"%(\w)", row)) | {"%"} == DATE_DIRECTIVES


@pytest.mark.parametrize(
    "limit",
    [
        f"columns of a file | {MAX_COLUMNS} ",
        f"bytes of a record | {MAX_RECORD_BYTES:,} ",
        f"bytes of a mapping | {MAX_MAPPING_BYTES:,} ",
        f"archive | {MAX_UNPACKED_BYTES:,} ",
        f"row group of Parquet | {MAX_GROUP_ROWS:,} |",
        f"name in the file | {MAX_SOURCE_CHARACTERS} |",
        f"| {imports.MAX_EVENT_NAMES} |",
        f"more than {MAX_ID_BYTES} bytes of UTF-8",
        f"more than {MAX_TEXT_BYTES} bytes",
        f"more than {MAX_LIST_ITEMS} entries",
        f"cut to {MAX_VALUE_CHARACTERS} characters",
        f"first {SAMPLE_RECORDS:,} rows",
    ],
)
def test_limits_are_those_of_the_code(limit: str) -> None:
    assert limit in TEXT


def test_the_longest_name_is_that_of_the_code() -> None:
    assert f"at most {MAX_NAME_CHARACTERS}\ncharacters" in TEXT
