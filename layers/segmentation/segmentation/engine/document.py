"""Fitted values as JSON documents, and back: every float comes back bit by bit, NaN as null.

A fitted value is a frozen dataclass of plain values, tuples, dicts, arrays and other such dataclasses. Its type says
how a document is read, so a document can make nothing but what the type allows.
"""

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, TypeAliasType, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

TYPE = "type"
"""Key that names the dataclass where a field may hold one of several."""


def to_document(value: Any) -> Any:
    """The value as dicts, lists, strings, finite numbers, booleans and None. Raises TypeError for any other type."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {field.name: to_document(getattr(value, field.name)) for field in fields(value)}
        return {TYPE: type(value).__name__, **named}
    if isinstance(value, np.ndarray):
        return to_document(value.tolist())
    if isinstance(value, np.generic):
        return to_document(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else _special(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_document(item) for item in value]
    raise TypeError(f"a fitted value cannot hold {type(value).__name__}")


def presented(value: Any) -> Any:
    """The value for people to read: names of fields in camelCase, no types, and what is no finite number is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {_camel(field.name): presented(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return presented(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): presented(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [presented(item) for item in value]
    document = to_document(value)
    return None if isinstance(document, str) and not isinstance(value, str) else document


def from_document[T](kind: type[T], document: Any) -> T:
    """A value of the dataclass `kind` from its document. Raises ValueError if the document is of another shape."""
    try:
        return cast(T, _read(kind, document))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"the document is not a {kind.__name__}: {error!r}") from error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _special(value: float) -> str | None:
    """Infinities by name, NaN as null: JSON has neither."""
    if math.isnan(value):
        return None
    return "inf" if value > 0 else "-inf"


def _read(kind: Any, document: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(origin, TypeAliasType):
        return _read(origin.__value__[arguments], document)
    if origin in (Union, types.UnionType):
        return _read_one_of(arguments, document)
    if origin is Literal:
        return _one_of(document, arguments)
    if origin is np.ndarray:
        return _read_array(arguments[1], document)
    if origin is tuple:
        kinds = [arguments[0]] * len(document) if arguments[-1] is ... else arguments
        return tuple(_read(item_kind, item) for item_kind, item in zip(kinds, document, strict=True))
    if origin in (dict, Mapping):
        return {key: _read(arguments[1], item) for key, item in document.items()}
    if is_dataclass(kind):
        return _read_dataclass(cast(type, kind), document)
    return _read_plain(kind, document)


def _read_plain(kind: Any, document: Any) -> Any:
    if kind is float and not isinstance(document, bool):
        return math.nan if document is None else float(document)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(document)
    if kind in (int, str, bool, type(None)) and type(document) is kind:
        return document
    raise ValueError(f"{document!r} is not {kind}")


def _one_of(document: Any, allowed: tuple[Any, ...]) -> Any:
    if document not in allowed:
        raise ValueError(f"{document!r} is none of {allowed}")
    return document


def _read_one_of(kinds: tuple[Any, ...], document: Any) -> Any:
    """A value of the kind that the document names, or of the first plain kind that it fits."""
    if document is None and type(None) in kinds:
        return None
    if isinstance(document, dict) and TYPE in document:
        named = {kind.__name__: kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)}
        return _read(named[document[TYPE]], document)
    for kind in kinds:
        if not is_dataclass(kind) and kind is not type(None):
            try:
                return _read(kind, document)
            except (ValueError, TypeError):
                continue
    raise ValueError(f"{document!r} is none of {kinds}")


def _read_dataclass(kind: type, document: Any) -> Any:
    if document.get(TYPE, kind.__name__) != kind.__name__:
        raise ValueError(f"a {document[TYPE]} is not a {kind.__name__}")
    hints = _hints(kind)
    # A field that the document does not know is one that came later: its default holds.
    return kind(**{name: _read(hint, document[name]) for name, hint in hints.items() if name in document})


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read_array(element: Any, document: Any) -> Any:
    """An array of the declared element type; rows of unequal length are refused."""
    kind = np.dtype(get_args(element)[0])
    if kind.kind == "f":
        return np.array(_floats(document), dtype=kind)
    values = np.array(document)
    if values.size and values.dtype.kind not in ("i", "u", "b"):
        raise ValueError(f"an array of {kind} cannot hold {values.dtype}")
    return values.astype(kind)


def _floats(document: Any) -> Any:
    if isinstance(document, list):
        return [_floats(item) for item in document]
    return math.nan if document is None else float(document)
