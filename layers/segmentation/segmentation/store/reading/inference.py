"""The kind of a column that nobody has declared, from a sample of its cells. It must not know datasets or the
catalogue."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidFile
from segmentation.models.imports import Parsing
from segmentation.store.reading.columns import as_text
from segmentation.store.reading.dates import looks_like_date
from segmentation.store.reading.formats_jsonl import is_place

_TRUTH = pa.array(["true", "false"])
# Digits with a leading zero or plus sign, or more than a float holds exactly, are codes: postcodes, telephone and
# card numbers.
_NUMBER = r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_NUMBER_WITH_COMMA = r"^-?(0|[1-9][0-9]{0,2}(\.[0-9]{3})+|[1-9][0-9]{0,14})(,[0-9]+)?$"


def of_text(cells: pa.Array, parsing: Parsing) -> Kind:
    """Boolean, date or number where every cell of the sample is one; text otherwise, and where all cells are blank."""
    values = as_text(cells).drop_null()
    if len(values) == 0:
        return Kind.STRING
    if pc.all(pc.is_in(pc.utf8_lower(values), _TRUTH)).as_py():
        return Kind.BOOLEAN
    if looks_like_date(values, parsing.dateFormat):
        return Kind.DATE
    pattern = _NUMBER if parsing.decimal == "." else _NUMBER_WITH_COMMA
    return Kind.NUMBER if pc.all(pc.match_substring_regex(values, pattern)).as_py() else Kind.STRING


def of_json(name: str, values: Sequence[Any], parsing: Parsing) -> Kind:
    """The kind of JSON values. Raises InvalidFile for objects that are no places and for lists of objects."""
    found = [value for value in values if value is not None]
    for value in found:
        nested = value if isinstance(value, list) else [value]
        if any(
            isinstance(item, list | dict) and not (item is value and isinstance(item, dict) and is_place(item))
            for item in nested
        ):
            raise InvalidFile(
                f"the column {name[:64]!r} holds nested objects or lists; write its parts as columns of their "
                "own, or list it under "
                '"ignore" in the mapping'
            )
    if not found:
        return Kind.STRING
    if any(isinstance(value, list) for value in found):
        return Kind.LIST
    if all(isinstance(value, dict) for value in found):
        return Kind.GEO
    if all(isinstance(value, bool) for value in found):
        return Kind.BOOLEAN
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
        return Kind.NUMBER
    if all(isinstance(value, str) for value in found):
        text = as_text(pa.array(found, pa.string())).drop_null()
        return Kind.DATE if len(text) and looks_like_date(text, parsing.dateFormat) else Kind.STRING
    return Kind.STRING
