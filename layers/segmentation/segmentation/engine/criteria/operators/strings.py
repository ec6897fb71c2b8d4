"""Texts: a predicate runs once per distinct value, then the answer is looked up by code."""

import unicodedata
from collections.abc import Callable
from typing import cast

import numpy as np

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import Prepared, fold, union
from segmentation.engine.criteria.times import Clock
from segmentation.engine.criteria.tree import Condition
from segmentation.engine.frame import Column, Rows, StringColumn

SMALL = 64
"""Columns of up to so many distinct values have a bitmap per value."""

PATTERN_MEMORY = 1 << 20
"""Bytes that one regular expression may take when compiled."""


def check(condition: Condition, column: Column, prepared: Prepared, _clock: Clock) -> Check:
    """A text condition over a dictionary-encoded column."""
    texts = cast(StringColumn, column)
    accepted = _accepted(condition, texts, prepared)
    if len(texts.values) <= SMALL:
        return Check(
            union((prepared.bitmap(condition.attribute, texts, int(code)) for code in accepted), prepared.size)
        )
    codes = texts.codes
    if len(accepted) == 1:
        only = accepted[0]
        return Check(lambda start, stop: codes[start:stop] == only)
    table = np.zeros(len(texts.values) + 1, dtype=np.bool_)
    table[accepted] = True
    # The last entry answers for -1, which wraps around to it.
    return Check(lambda start, stop: table.take(codes[start:stop], mode="wrap"))


def _accepted(condition: Condition, column: StringColumn, prepared: Prepared) -> Rows:
    """Codes of the dictionary's values that the condition accepts."""
    if condition.operator in ("eq", "in") and not condition.ignore_case:
        wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        codes = prepared.codes(condition.attribute, column)
        return np.array([codes[text] for text in cast(tuple[str, ...], wanted) if text in codes], dtype=np.intp)
    # RE2 ignores case by itself, in the text as it is.
    folded = condition.ignore_case and condition.operator != "matches"
    values = prepared.folded(condition.attribute, column) if folded else column.values
    holds = predicate(condition)
    return np.flatnonzero(np.fromiter((holds(value) for value in values), dtype=np.bool_, count=len(values)))


def predicate(condition: Condition) -> Callable[[str], bool]:
    """A positive text operator as a function of one value (folded already where case does not matter).

    Raises
    ------
    ValueError
        No such operator.
    """
    prepare = fold if condition.ignore_case else str
    if condition.operator == "in":
        wanted = frozenset(prepare(text) for text in cast(tuple[str, ...], condition.value))
        return lambda found: found in wanted
    if condition.operator == "matches":
        return compile_pattern(cast(str, condition.value), condition.ignore_case)
    text = prepare(cast(str, condition.value))
    match condition.operator:
        case "eq":
            return lambda found: found == text
        case "contains":
            return lambda found: text in found
        case "starts_with":
            return lambda found: found.startswith(text)
        case "ends_with":
            return lambda found: found.endswith(text)
    raise ValueError(f"no text operator {condition.operator!r}")


def compile_pattern(pattern: str, ignore_case: bool) -> Callable[[str], bool]:
    """A regular expression that is searched for anywhere in a text, in time linear in the text's length.

    Raises
    ------
    ValueError
        Not a regular expression that RE2 takes (no look-around, no back-references), or too large.
    """
    import re2  # native code that only rules with `matches` need

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    options.max_mem = PATTERN_MEMORY
    try:
        compiled = re2.compile(unicodedata.normalize("NFC", pattern), options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
    return lambda found: compiled.search(found) is not None
