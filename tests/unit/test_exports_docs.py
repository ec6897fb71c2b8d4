"""docs/exports.md says what the code does: its examples are valid, its tables complete."""

import json
import re
from pathlib import Path

import pytest

from segmentation.models.exports import MAX_COLUMNS, MAX_REQUEST_BYTES, MEMBERSHIP_COLUMNS, CreateExport

TEXT = (Path(__file__).parents[2] / "docs" / "exports.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_valid_request(example: str) -> None:
    sent = json.loads(example)
    kept = CreateExport.model_validate(sent).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert CreateExport.model_validate(kept) == CreateExport.model_validate(sent)
    assert kept.keys() == sent.keys()


def test_the_document_shows_examples() -> None:
    assert len(EXAMPLES) >= 3


def test_every_field_and_every_column_of_the_membership_has_a_row() -> None:
    for name in (*CreateExport.model_fields, *MEMBERSHIP_COLUMNS):
        assert re.search(rf"^\| `{name}` \|", TEXT, re.MULTILINE), name


def test_limits_are_those_of_the_code() -> None:
    assert f"At most {MAX_COLUMNS} names" in TEXT and f"at most {MAX_REQUEST_BYTES // 1024} KB" in TEXT
