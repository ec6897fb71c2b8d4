"""Texts: a predicate runs once per distinct value, then the answer is looked up by code."""

import unicodedata
from collections.abc import Callable, Iterable
from itertools import repeat
from operator import contains, eq
from typing import cast

import numpy as np

from segmentation.engine.criteria.operators.check import Check
from segmentation.engine.criteria.prepared import SMALL, Prepared, empty, fold, union
from segmentation.engine.criteria.times import Clock
from segmentation.engine.criteria.tree import Condition
from segmentation.engine.frame import Bools, Codes, Column, Rows, StringColumn

FEW_RUNS = 8
"""Up to so many runs of accepted codes are compared one by one, which is faster than a look-up."""

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
    codes, runs = texts.codes, _runs(accepted)
    if not runs:
        return Check(empty(prepared.size))
    if len(runs) <= FEW_RUNS:
        return Check(lambda start, stop: _in_runs(codes[start:stop], runs))
    table = np.zeros(len(texts.values) + 1, dtype=np.bool_)
    table[accepted] = True
    # The last entry answers for -1. Indexing is fastest with numpy's own kind of index.
    return Check(lambda start, stop: table[codes[start:stop].astype(np.intp)])


def _runs(codes: Rows) -> list[tuple[int, int]]:
    """Distinct codes as runs from the first to the last (included), ascending."""
    ordered = np.sort(codes)
    breaks = np.flatnonzero(np.diff(ordered) > 1) + 1
    return [(int(run[0]), int(run[-1])) for run in np.split(ordered, breaks) if run.size]


def _in_runs(codes: Codes, runs: list[tuple[int, int]]) -> Bools:
    rows = _in_run(codes, *runs[0])
    for run in runs[1:]:
        rows |= _in_run(codes, *run)
    return rows


def _in_run(codes: Codes, first: int, last: int) -> Bools:
    return np.asarray(codes == first if first == last else (codes >= first) & (codes <= last))


def _accepted(condition: Condition, column: StringColumn, prepared: Prepared) -> Rows:
    """Codes of the dictionary's values that the condition accepts."""
    if condition.operator in ("eq", "in") and not condition.ignore_case:
        wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        codes = prepared.codes(condition.attribute, column)
        return np.array([codes[text] for text in cast(tuple[str, ...], wanted) if text in codes], dtype=np.intp)
    # RE2 ignores case by itself, in the text as it is.
    folded = condition.ignore_case and condition.operator != "matches"
    values = prepared.folded(condition.attribute, column) if folded else column.values
    return np.flatnonzero(np.fromiter(_answers(condition, values), dtype=np.bool_, count=len(values)))


def _answers(condition: Condition, values: tuple[str, ...]) -> Iterable[bool]:
    """What a positive text operator says of each value (folded already where case does not matter)."""
    prepare = fold if condition.ignore_case else str
    if condition.operator == "in":
        wanted = frozenset(prepare(text) for text in cast(tuple[str, ...], condition.value))
        return map(wanted.__contains__, values)
    if condition.operator == "matches":
        return map(compile_pattern(cast(str, condition.value), condition.ignore_case), values)
    text = repeat(prepare(cast(str, condition.value)))
    match condition.operator:
        case "eq":
            return map(eq, values, text)
        case "contains":
            return map(contains, values, text)
        case "starts_with":
            return map(str.startswith, values, text)
        case "ends_with":
            return map(str.endswith, values, text)
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
