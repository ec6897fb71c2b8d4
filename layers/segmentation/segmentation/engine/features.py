"""From order lines to what a customer bought: the views of the lines and the features computed on them.

Customers are taken in blocks whose lines stay in the processor's cache. A customer's sums depend on its own lines only,
to the last bit: alone or among a million, a feature is the same number.

It must not know where the lines came from, nor read a clock: `now` is an argument.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.catalogue import FEATURES, ORDER_EVENTS, Kind
from segmentation.engine.frame import (
    Bools,
    Codes,
    Column,
    DateColumn,
    EventTable,
    Floats,
    Instants,
    NumberColumn,
    Offsets,
    StringColumn,
)

VOID_STATUSES = frozenset({"cancelled", "canceled", "void", "voided", "failed", "declined", "expired"})
"""Case-folded states of a line that nobody will pay for."""

ADDITIVE = frozenset({"amount", "quantity"})
MICROSECONDS_PER_DAY = 86_400_000_000

BLOCK_LINES = 131_072
"""Lines that are computed on at once: three columns of them fit the second-level cache."""

FEATURE_FIELDS = {"unitsBought": "quantity", "distinctCategories": "category"}
"""Features that need a field of the lines beside `amount`; the others need only amount and time."""


def order_views(lines: EventTable, void: Bools, names: Collection[str] = tuple(ORDER_EVENTS)) -> dict[str, EventTable]:
    """The disjoint views of order lines that `names` asks for: `order`, `return`, `void_order`.

    `lines` holds every line with at least the number column `amount`, `void[n]` says which lines have a void status. A
    purchase has a positive amount; a return a negative one, and its amount and quantity are made positive; a void line
    is neither. Lines of amount 0 or without an amount are in no view.
    """
    amount = _numbers(lines, "amount")
    views: dict[str, Callable[[], EventTable]] = {
        "order": lambda: select(lines, (amount > 0) & ~void),
        "return": lambda: _positive(select(lines, (amount < 0) & ~void)),
        "void_order": lambda: select(lines, ((amount > 0) | (amount < 0)) & void),
    }
    return {name: views[name]() for name in names}


def select(table: EventTable, mask: Bools) -> EventTable:
    """The rows of `table` where `mask[n]` holds, of the same customers."""
    rows = np.flatnonzero(mask)
    if len(rows) == len(mask):
        return table
    columns = {name: column.take(rows) for name, column in table.columns.items()}
    group = None if table.group is None else table.group.take(rows)
    return EventTable(_true_before(mask, table.offsets), table.time.take(rows), columns, group, table.additive)


def offsets_of(owner: NDArray[np.integer], size: int) -> Offsets:
    """Where the rows of each of `size` customers begin, from the ascending customer of every row; the end is last."""
    offsets = np.zeros(size + 1, dtype=np.int64)
    for begin in range(0, len(owner), BLOCK_LINES):
        part = owner[begin : begin + BLOCK_LINES + 1]
        last = np.flatnonzero(part[1:] != part[:-1])
        offsets[part[last] + 1] = last + (begin + 1)
    if len(owner):
        offsets[owner[-1] + 1] = len(owner)
    return np.maximum.accumulate(offsets)


def features(
    lines: EventTable, void: Bools, now: np.datetime64, names: Collection[str] = tuple(FEATURES)
) -> dict[str, Column]:
    """The features `names` of every customer at `now`, from all order lines and which of them are void.

    What counts as a purchase or a return is as in `order_views`. Amounts and counts are 0 where there is no purchase,
    everything else is missing there. Lines after `now` do not count. Days are whole: `floor((now - instant) / 1 day)`.
    Raises ValueError for a name that is no feature.
    """
    unknown = sorted(set(names) - FEATURES.keys())
    if unknown:
        raise ValueError(f"unknown features {unknown}; known are {sorted(FEATURES)}")
    size = len(lines.offsets) - 1
    columns = {name: _empty(name, size) for name in names}
    amount, some_void = _numbers(lines, "amount"), bool(void.any())
    for begin, end in _blocks(lines.offsets):
        first, last = lines.offsets[begin], lines.offsets[end]
        block = _block(lines, begin, end)
        counted = _counted(amount[first:last], block.time, void[first:last] if some_void else None, now)
        for name, values in _computed(block, counted, now, names).items():
            columns[name].values[begin:end] = values
    return dict(columns)


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Some lines of a block, at `rows`; customer i owns `rows[bounds[i]:bounds[i + 1]]`, none where `empty[i]`."""

    rows: NDArray[np.intp]
    bounds: Offsets
    empty: Bools


def _chosen(block: EventTable, mask: Bools) -> _Chosen:
    bounds = _true_before(mask, block.offsets)
    return _Chosen(np.flatnonzero(mask), bounds, bounds[1:] == bounds[:-1])


def _true_before(mask: Bools, places: Offsets) -> Offsets:
    """How many values of `mask` before each of the places are true: bits counted by whole words, and in part of one."""
    words = np.zeros((len(mask) >> 6) + 1, dtype="<u8")
    packed = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    before = np.zeros(len(words), dtype=np.int64)
    np.cumsum(np.bitwise_count(words[:-1]), out=before[1:])
    word = places >> 6
    part = words[word] & ((np.uint64(1) << (places & 63).view(np.uint64)) - np.uint64(1))
    counts: Offsets = before[word] + np.bitwise_count(part)
    return counts


def _blocks(offsets: Offsets) -> list[tuple[int, int]]:
    """Ranges of customers with about `BLOCK_LINES` lines each."""
    cuts = np.searchsorted(offsets, np.arange(BLOCK_LINES, int(offsets[-1]), BLOCK_LINES))
    return list(pairwise(np.unique(np.concatenate(([0], cuts, [len(offsets) - 1]))).tolist()))


def _block(lines: EventTable, begin: int, end: int) -> EventTable:
    """The lines of the customers `begin` to `end` with the fields that features need, not copied."""
    first, last = lines.offsets[begin], lines.offsets[end]
    columns: dict[str, Column] = {}
    for name in lines.columns.keys() & set(FEATURE_FIELDS.values()):
        column = lines.columns[name]
        if isinstance(column, NumberColumn):
            columns[name] = NumberColumn(column.values[first:last])
        elif isinstance(column, StringColumn):
            columns[name] = StringColumn(column.codes[first:last], column.values)
    group = None if lines.group is None else lines.group[first:last]
    return EventTable(lines.offsets[begin : end + 1] - first, lines.time[first:last], columns, group, lines.additive)


def _counted(amount: Floats, time: Instants, void: Bools | None, now: np.datetime64) -> Floats:
    """The amounts, 0 where a line does not count: void, or after `now`."""
    if void is not None:
        amount = np.where(void, 0.0, amount)
    # Integers compare faster than instants; lines always have an instant, so that NaT needs no care.
    limit = now.astype("datetime64[us]").view(np.int64)
    instants = time.view(np.int64)
    if len(time) and instants.max() > limit:
        amount = np.where(instants > limit, 0.0, amount)
    return amount


def _empty(name: str, size: int) -> NumberColumn | DateColumn:
    if FEATURES[name] is Kind.DATE:
        return DateColumn(np.empty(size, dtype="datetime64[us]"))
    return NumberColumn(np.empty(size))


def _computed(
    block: EventTable, amount: Floats, now: np.datetime64, names: Collection[str]
) -> dict[str, Floats | Instants]:
    gross = _sums(block, np.maximum(amount, 0.0))
    if np.isnan(gross).any():
        return _computed(block, np.nan_to_num(amount, nan=0.0), now, names)
    returned = np.abs(_sums(block, np.minimum(amount, 0.0)))
    is_bought = amount > 0
    bought = _chosen(block, is_bought)
    count = _order_counts(block, bought)
    first, last = _first(block, bought), _last(block, bought)
    computed: dict[str, Callable[[], Floats | Instants]] = {
        "orderCount": lambda: count,
        "grossSpent": lambda: gross,
        "returnedAmount": lambda: returned,
        "totalSpent": lambda: gross - returned,
        "averageOrderValue": lambda: _quotients(gross, count),
        "unitsBought": lambda: _sums(block, np.where(is_bought, np.nan_to_num(_numbers(block, "quantity")), 0.0)),
        "distinctCategories": lambda: _distinct(block, bought, "category"),
        "recencyDays": lambda: _whole_days(last, now),
        "tenureDays": lambda: _whole_days(first, now),
        "firstOrderAt": lambda: first,
        "lastOrderAt": lambda: last,
        "lastReturnAt": lambda: _last(block, _chosen(block, amount < 0)),
    }
    return {name: computed[name]() for name in names}


def _positive(table: EventTable) -> EventTable:
    numbers = {name: NumberColumn(np.abs(_numbers(table, name))) for name in ADDITIVE & table.columns.keys()}
    return replace(table, columns={**table.columns, **numbers})


def _numbers(table: EventTable, name: str) -> Floats:
    column = table.columns.get(name)
    if column is None:
        return np.full(len(table.time), np.nan)
    if not isinstance(column, NumberColumn):
        raise TypeError(f"order field {name!r} is a {type(column).__name__}, not a NumberColumn")
    return column.values


def _sums(block: EventTable, values: Floats) -> Floats:
    """Sum of a value per customer. No difference of running sums: its rounding would leak between customers."""
    sums: Floats = np.zeros(len(block.offsets) - 1)
    # Customers behind the last line begin where there is none, which `reduceat` refuses.
    begun = int(np.searchsorted(block.offsets[:-1], len(values)))
    np.add.reduceat(values, block.offsets[:begun], out=sums[:begun])
    sums[block.offsets[1:] == block.offsets[:-1]] = 0.0
    # Adding zero makes 0.0 of a sum of nothing but -0.0.
    sums += 0.0
    return sums


def _quotients(total: Floats, count: Floats) -> Floats:
    quotients: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return quotients


def _order_counts(block: EventTable, chosen: _Chosen) -> Floats:
    """Groups per customer; lines without groups are orders of their own."""
    lines = np.diff(chosen.bounds).astype(np.float64)
    if block.group is None or not len(chosen.rows) or (block.group[1:] != block.group[:-1]).all():
        return lines
    numbers = block.group.take(chosen.rows)
    starts = np.empty(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=starts[1:])
    # A customer taken twice lies beside itself: the number of the group alone would join the two.
    starts[chosen.bounds[:-1][~chosen.empty]] = True
    return np.diff(_true_before(starts, chosen.bounds)).astype(np.float64)


def _first(block: EventTable, chosen: _Chosen) -> Instants:
    return _instants(block, chosen, chosen.bounds[:-1])


def _last(block: EventTable, chosen: _Chosen) -> Instants:
    return _instants(block, chosen, chosen.bounds[1:] - 1)


def _instants(block: EventTable, chosen: _Chosen, places: Offsets) -> Instants:
    """The time of one chosen line for each customer, never for those who have none."""
    if not len(chosen.rows):
        return np.full(len(places), np.datetime64("NaT", "us"))
    # Who has none is given the time of a neighbour's line first: cheaper than leaving them out.
    instants: Instants = block.time.take(chosen.rows.take(places, mode="clip"))
    instants[chosen.empty] = np.datetime64("NaT", "us")
    return instants


def _whole_days(since: Instants, now: np.datetime64) -> Floats:
    # Whole numbers divide faster than spans of time.
    elapsed = now.astype("datetime64[us]").view(np.int64) - since.view(np.int64)
    days: Floats = (elapsed // MICROSECONDS_PER_DAY).astype(np.float64)
    days[np.isnat(since)] = np.nan
    return days


def _distinct(block: EventTable, chosen: _Chosen, name: str) -> Floats:
    customers = len(block.offsets) - 1
    column = block.columns.get(name)
    if not isinstance(column, StringColumn) or not column.values:
        return np.zeros(customers)
    codes = column.codes.take(chosen.rows)
    owner = np.repeat(np.arange(customers), np.diff(chosen.bounds))
    pairs: NDArray[np.int64] = (owner * len(column.values) + codes)[codes >= 0]
    pairs.sort()
    new = np.diff(pairs, prepend=-1) != 0
    return np.bincount(pairs[new] // len(column.values), minlength=customers).astype(np.float64)


def group_orders(
    customer: Codes, time: Instants, amount: Floats, size: int, now: np.datetime64
) -> dict[str, Floats | Instants]:
    """Totals per customer from rows in any order, one row one order, without sorting them.

    `customer[n]` in `0..size-1`, `time[n]`, `amount[n]` (negative is a return). Returns `orderCount`, `grossSpent`,
    `returnedAmount`, `firstOrderAt`, `lastOrderAt`, `recencyDays`, each of length `size`: what `features` gives for the
    same rows sorted.
    """
    counts = time <= now
    bought = counts & (amount > 0)
    never, always = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    buyer = customer if bought.all() else customer[bought]
    instants = time.view(np.int64) if bought.all() else time.view(np.int64)[bought]
    first = np.full(size, always)
    last = np.full(size, never)
    np.minimum.at(first, buyer, instants)
    np.maximum.at(last, buyer, instants)
    count = np.bincount(buyer, minlength=size).astype(np.float64)
    first[count == 0] = never
    returned = counts & (amount < 0)
    last_at = last.view("datetime64[us]")
    return {
        "orderCount": count,
        "grossSpent": np.bincount(buyer, weights=amount[bought], minlength=size),
        "returnedAmount": np.bincount(customer[returned], weights=-amount[returned], minlength=size),
        "firstOrderAt": first.view("datetime64[us]"),
        "lastOrderAt": last_at,
        "recencyDays": _whole_days(last_at, now),
    }
