"""From order lines to what a customer bought: the views of the lines and the features computed on them.

It must not know where the lines came from, nor read a clock: `now` is an argument.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.catalogue import FEATURES
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
DAY = np.timedelta64(1, "D")

FEATURE_FIELDS = {"unitsBought": "quantity", "distinctCategories": "category"}
"""Features that need a field of the lines beside `amount`; the others need only amount and time."""


def order_views(lines: EventTable, void: Bools) -> dict[str, EventTable]:
    """The three disjoint views of order lines: `order`, `return`, `void_order`.

    `lines` holds every line with at least the number column `amount`, `void[n]` says which lines have a void status. A
    purchase has a positive amount; a return a negative one, and its amount and quantity are made positive; a void line
    is neither. Lines of amount 0 or without an amount are in no view.
    """
    amount = _numbers(lines, "amount")
    returned = select(lines, (amount < 0) & ~void)
    return {
        "order": select(lines, (amount > 0) & ~void),
        "return": EventTable(returned.offsets, returned.time, _positive(returned), returned.group, returned.additive),
        "void_order": select(lines, ((amount > 0) | (amount < 0)) & void),
    }


def select(table: EventTable, mask: Bools) -> EventTable:
    """The rows of `table` where `mask[n]` holds, of the same customers."""
    rows = np.flatnonzero(mask)
    if len(rows) == len(mask):
        return table
    offsets = np.searchsorted(rows, table.offsets).astype(np.int64, copy=False)
    columns = {name: column.take(rows) for name, column in table.columns.items()}
    group = None if table.group is None else table.group.take(rows)
    return EventTable(offsets, table.time.take(rows), columns, group, table.additive)


def features(
    orders: EventTable, returns: EventTable, now: np.datetime64, names: Collection[str] = tuple(FEATURES)
) -> dict[str, Column]:
    """The features `names` of every customer at `now`, from the views `order` and `return` of the same customers.

    Amounts and counts are 0 where there is no purchase, everything else is missing there. Rows after `now` do not
    count. Days are whole: `floor((now - instant) / 1 day)`.
    """
    unknown = sorted(set(names) - FEATURES.keys())
    if unknown:
        raise ValueError(f"unknown features {unknown}; known are {sorted(FEATURES)}")
    orders, returns = _until(orders, now), _until(returns, now)
    gross = _sums(orders, "amount")
    returned = _sums(returns, "amount")
    count = _order_counts(orders)
    first, last = _first(orders), _last(orders)
    computed: dict[str, Column] = {
        "orderCount": NumberColumn(count),
        "grossSpent": NumberColumn(gross),
        "returnedAmount": NumberColumn(returned),
        "totalSpent": NumberColumn(gross - returned),
        "averageOrderValue": NumberColumn(np.divide(gross, count, out=np.full(len(gross), np.nan), where=count > 0)),
        "recencyDays": NumberColumn(_whole_days(last, now)),
        "tenureDays": NumberColumn(_whole_days(first, now)),
        "firstOrderAt": DateColumn(first),
        "lastOrderAt": DateColumn(last),
        "lastReturnAt": DateColumn(_last(returns)),
    }
    if "unitsBought" in names:
        computed["unitsBought"] = NumberColumn(_sums(orders, "quantity"))
    if "distinctCategories" in names:
        computed["distinctCategories"] = NumberColumn(_distinct(orders, "category"))
    return {name: computed[name] for name in names}


def _until(table: EventTable, now: np.datetime64) -> EventTable:
    if len(table.time) == 0 or table.time.max() <= now:
        return table
    return select(table, table.time <= now)


def _positive(table: EventTable) -> dict[str, Column]:
    columns = dict(table.columns)
    for name in ADDITIVE & columns.keys():
        columns[name] = NumberColumn(np.abs(_numbers(table, name)))
    return columns


def _numbers(table: EventTable, name: str) -> Floats:
    column = table.columns.get(name)
    if column is None:
        return np.full(len(table.time), np.nan)
    if not isinstance(column, NumberColumn):
        raise TypeError(f"order field {name!r} is a {type(column).__name__}, not a NumberColumn")
    return column.values


def _sums(table: EventTable, name: str) -> Floats:
    """Sum of a field per customer; missing cells add nothing. No prefix sum: its rounding leaks between customers."""
    sums = np.zeros(len(table.offsets) - 1)
    if name not in table.columns or len(table.time) == 0:
        return sums
    values = _numbers(table, name)
    if np.isnan(values.min()):
        values = np.nan_to_num(values, nan=0.0)
    owners = np.flatnonzero(np.diff(table.offsets))
    sums[owners] = np.add.reduceat(values, table.offsets[owners])
    return sums


def _order_counts(table: EventTable) -> Floats:
    lengths = np.diff(table.offsets)
    if table.group is None:
        return lengths.astype(np.float64)
    before = np.zeros(len(table.time) + 1, dtype=np.int32)
    np.cumsum(_group_starts(table.offsets, table.group), out=before[1:], dtype=np.int32)
    return np.diff(before[table.offsets]).astype(np.float64)


def _group_starts(offsets: Offsets, group: Codes) -> Bools:
    starts = np.empty(len(group), dtype=np.bool_)
    np.not_equal(group[1:], group[:-1], out=starts[1:])
    # A customer taken twice lies beside itself: the number of the group alone would join the two.
    starts[offsets[:-1][np.diff(offsets) > 0]] = True
    return starts


def _first(table: EventTable) -> Instants:
    instants = _never(table)
    owners = np.flatnonzero(np.diff(table.offsets))
    instants[owners] = table.time[table.offsets[owners]]
    return instants


def _last(table: EventTable) -> Instants:
    instants = _never(table)
    owners = np.flatnonzero(np.diff(table.offsets))
    instants[owners] = table.time[table.offsets[owners + 1] - 1]
    return instants


def _never(table: EventTable) -> Instants:
    return np.full(len(table.offsets) - 1, np.datetime64("NaT", "us"))


def _whole_days(since: Instants, now: np.datetime64) -> Floats:
    days = np.full(len(since), np.nan)
    known = ~np.isnat(since)
    days[known] = (now - since[known]) // DAY
    return days


def _distinct(table: EventTable, name: str) -> Floats:
    customers = len(table.offsets) - 1
    column = table.columns.get(name)
    if not isinstance(column, StringColumn) or not column.values:
        return np.zeros(customers)
    owner = np.repeat(np.arange(customers), np.diff(table.offsets))
    known = column.codes >= 0
    pairs: NDArray[np.int64] = owner[known] * len(column.values) + column.codes[known]
    pairs.sort()
    if len(pairs) == 0:
        return np.zeros(customers)
    new = np.concatenate(([True], pairs[1:] != pairs[:-1]))
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
