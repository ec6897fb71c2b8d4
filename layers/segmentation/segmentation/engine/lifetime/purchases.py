"""From order lines to purchase days, and from purchase days to the figures that lifetime models are fitted on.

A customer who orders twice on one day bought once: models of the time between purchases count days. Days are UTC days.
It must not know a model, nor read a clock: the end of the observation is an argument.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.features import MICROSECONDS_PER_DAY
from segmentation.engine.frame import Bools, EventTable, Floats, NumberColumn, Offsets, Rows, take_ranges
from segmentation.errors import FieldError, InvalidInput

Days = NDArray[np.int32]

BLOCK_LINES = 65_536
"""Lines whose days are computed at once: what is computed on the way stays in the second-level cache."""


@dataclass(frozen=True, eq=False)
class Purchases:
    """Customer i bought on `day[offsets[i]:offsets[i + 1]]` (days since 1970, ascending, distinct) for `amount`."""

    offsets: Offsets
    day: Days
    amount: Floats


@dataclass(frozen=True, eq=False)
class Summary:
    """What models need of the customers `rows` (n, ascending), in the naming of BG/NBD; times in units.

    `frequency[n]` counts purchase days after the first, `recency[n]` is the time from the first to the last, `age[n]`
    from the first to the end of the observation; `mean_value[n]` is the mean of the repeat purchases, NaN without any.
    """

    frequency: Floats
    recency: Floats
    age: Floats
    mean_value: Floats
    rows: Rows


def of_orders(orders: EventTable) -> Purchases:
    """The purchase days of every customer of `orders`, the order lines of a frame with the number column `amount`.

    The amount of a day is the sum of its lines, whatever order they belong to; it depends on the customer's own lines
    only. Lines of the frame's `order` view have positive amounts. Where a caller nets returns out by passing negative
    lines, days of 0 or less stay purchase days, and the fit of Gamma-Gamma refuses customers without a positive mean.
    Needs memory for the result and one more byte per line.
    """
    column = orders.columns.get("amount")
    if not isinstance(column, NumberColumn):
        raise TypeError(f"order field 'amount' is a {type(column).__name__}, not a NumberColumn")
    days = _days(orders)
    is_first = _new_days(days, orders.offsets)
    first = np.flatnonzero(is_first)
    if len(first) == len(days):
        return Purchases(orders.offsets, days, column.values)
    offsets = np.searchsorted(first, orders.offsets)
    return Purchases(offsets, days[first], np.add.reduceat(column.values, first))


def joined(parts: Sequence[Purchases]) -> Purchases:
    """The customers of all parts, one part after the other."""
    begins = np.cumsum([0, *(len(part.day) for part in parts)])
    offsets = [part.offsets[1:] + begin for part, begin in zip(parts, begins[:-1], strict=True)]
    return Purchases(
        np.concatenate([np.zeros(1, dtype=np.int64), *offsets]),
        np.concatenate([np.empty(0, dtype=np.int32), *(part.day for part in parts)]),
        np.concatenate([np.empty(0), *(part.amount for part in parts)]),
    )


def taken(purchases: Purchases, rows: Rows) -> Purchases:
    """The purchases of the customers `rows`, in that order."""
    offsets, positions = take_ranges(purchases.offsets, rows)
    return Purchases(offsets, purchases.day[positions], purchases.amount[positions])


def summarise(purchases: Purchases, end_day: int, unit_days: float = 7.0) -> Summary:
    """The customers whose first purchase is not after `end_day`; purchases after it do not count.

    `end_day` in days since 1970, the last day that is observed; times are in units of `unit_days` days. A customer who
    first bought on the last day has age 0: kept, since models give it the expectations of a new customer.
    Raises InvalidInput for a unit that is not a positive number of days.
    """
    if not 0 < unit_days < np.inf:
        message = f"unitDays={unit_days} is not a positive number of days"
        raise InvalidInput(message, [FieldError("unitDays", message)])
    seen = until(purchases, end_day)
    rows = np.flatnonzero(seen.offsets[1:] > seen.offsets[:-1])
    begin, end = seen.offsets[:-1][rows], seen.offsets[1:][rows]
    first, last = seen.day[begin], seen.day[end - 1]
    frequency = (end - begin - 1).astype(np.float64)
    repeated = seen.amount.copy()
    repeated[begin] = 0.0
    total = np.add.reduceat(repeated, begin) if len(rows) else np.empty(0)
    return Summary(
        frequency=frequency,
        recency=(last - first) / unit_days,
        age=(end_day - first.astype(np.int64)) / unit_days,
        mean_value=np.divide(total, frequency, out=np.full(len(rows), np.nan), where=frequency > 0),
        rows=rows,
    )


def until(purchases: Purchases, end_day: int) -> Purchases:
    """The purchases up to and including `end_day`, of the same customers."""
    counts = purchases.day <= end_day
    if counts.all():
        return purchases
    kept = np.flatnonzero(counts)
    return Purchases(np.searchsorted(kept, purchases.offsets), purchases.day[kept], purchases.amount[kept])


def _days(orders: EventTable) -> Days:
    """The UTC day of every line. Lines always have an instant, so that NaT needs no care."""
    days = np.empty(len(orders.time), dtype=np.int32)
    instants = orders.time.astype("datetime64[us]", copy=False).view(np.int64)
    for begin in range(0, len(days), BLOCK_LINES):
        end = begin + BLOCK_LINES
        days[begin:end] = instants[begin:end] // MICROSECONDS_PER_DAY
    return days


def _new_days(days: Days, offsets: Offsets) -> Bools:
    """Which lines are the first of their customer and day."""
    is_first = np.empty(len(days), dtype=np.bool_)
    np.not_equal(days[1:], days[:-1], out=is_first[1:])
    begins = offsets[:-1]
    # Customers behind the last line begin where there is none.
    is_first[begins[begins < len(days)]] = True
    return is_first
