"""From a frame and the masks of its segments to the statistics of one partition. It must not know what a report says.

Cost: one pass per column over the members of all segments, and one matrix product for all moments.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.engine.analysis.crowd import Cells, Crowd, Indices, crowd_of
from segmentation.engine.analysis.partials import (
    MONTHS,
    Extremes,
    Moments,
    Partial,
    holders_of,
    to_json,
)
from segmentation.engine.analysis.tables import (
    COARSE,
    LIMIT,
    REGISTERS,
    Keys,
    Scale,
    Table,
    any_too_long,
    coarse_keys,
    highest_ranks,
    registers_of,
)
from segmentation.engine.frame import (
    KINDS,
    BooleanColumn,
    Bools,
    DateColumn,
    EventTable,
    Floats,
    Frame,
    GeoColumn,
    Instants,
    ListColumn,
    NumberColumn,
    StringColumn,
)

LOGARITHMS = ("recencyDays", "orderCount", "grossSpent")
"""Features whose logarithm says how alike the buying of customers is."""

BOUGHT = ("orderCount", "grossSpent")
"""Features that are 0 for customers without a purchase; their distribution over buyers is counted too."""

_COMBINATIONS = 8_192
"""Combinations of codes that are counted together: the cells of all segments stay a few megabytes."""

_CHUNK = 16_384
_NARROW = 2**20
_HUGE = 1e100


@dataclass(frozen=True, eq=False)
class _Codes:
    """Which of the `keys` each row has, -1 for none."""

    keys: Keys
    codes: Indices

    @property
    def size(self) -> int:
        return len(self.keys)


def measure(frame: Frame, masks: Mapping[str, Bools], now: np.datetime64) -> dict[str, Any]:
    """Statistics of everybody and of every segment in one partition, ready for JSON and for `merge`.

    `masks` holds one bool[frame.size] per segment id. Orders after `now` do not count; features are taken as they
    stand in the frame, computed for `now`. ValueError for a mask of another shape or type.
    """
    segments = tuple(sorted(masks))
    crowd = crowd_of([masks[segment] for segment in segments], frame.size)
    holders: dict[str, NDArray[np.int64]] = {}
    tables: dict[str, Table] = {}
    extremes: dict[str, Extremes] = {}
    variables: dict[str, Floats] = {}
    for name, column in frame.columns.items():
        key = f"{KINDS[type(column)]}:{name}"
        if isinstance(column, NumberColumn):
            variables[key] = column.values
            tables[key], extremes[key] = _numeric(column.values, crowd, Scale.NUMBER)
            if name in BOUGHT:
                bought = np.where(column.values > 0, column.values, np.nan)
                tables[f"buyers:{name}"], extremes[f"buyers:{name}"] = _numeric(bought, crowd, Scale.NUMBER)
            if name in LOGARITHMS:
                variables[f"log:{name}"] = np.log1p(np.maximum(column.values, 0))
        elif isinstance(column, DateColumn):
            variables[key] = _days(column.values)
            tables[key], extremes[key] = _numeric(np.floor(variables[key]), crowd, Scale.DAY)
        elif not isinstance(column, GeoColumn):
            tables[key] = _categorical(column, crowd)
        if key in extremes:
            holders[key] = tables[key].cells.sum(axis=1)
        else:
            holders[key] = crowd.count(np.where(column.missing(), -1, 0), 1)[:, 0]
    orders = frame.events.get("order")
    if orders is not None:
        order_tables, extremes["orders:value"] = _orders(orders, crowd, now.astype("datetime64[us]"))
        tables |= order_tables
    sizes = crowd.count(np.zeros(frame.size, dtype=np.int64), 1)[:, 0]
    overlap, moments = _products(crowd, variables, holders)
    partial = Partial(now.astype("datetime64[us]"), segments, sizes, overlap, holders, tables, moments, extremes)
    return to_json(partial)


def _days(instants: Instants) -> Floats:
    """Days since 1970-01-01 with their fraction, NaN where missing."""
    days = instants.astype("datetime64[us]").astype(np.int64) / 86_400e6
    return np.where(np.isnat(instants), np.nan, days)


def _numeric(values: Floats, crowd: Crowd, scale: Scale) -> tuple[Table, Extremes]:
    """Counts of the values that are not NaN, on the exact scale where their number allows it."""
    present = ~np.isnan(values)
    known = values[present] + 0.0  # makes one zero of 0.0 and -0.0
    codes = np.full(len(values), -1)
    exact = _exact(known, LIMIT[scale])
    if exact is not None:
        keys, codes[present] = exact
        table = Table(scale, keys, crowd.count(codes, len(keys)))
        return table, _extremes_of_keys(table)
    coarse, codes[present] = _encoded(coarse_keys(scale, known))
    table = Table(COARSE[scale], coarse, crowd.count(codes, len(coarse)))
    return table, Extremes(*crowd.extremes(values))


def _exact(values: Floats, limit: int) -> tuple[Floats, Indices] | None:
    """The distinct values in ascending order and the place of each value among them; None if they exceed `limit`."""
    if len(_distinct(values[:_CHUNK])) > limit:
        return None
    base, highest = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    if len(values) and highest - base < _NARROW and (values == np.floor(values)).all():
        whole, codes = _encoded((values - base).astype(np.int64))
        return (whole.astype(np.float64) + base, codes) if len(whole) <= limit else None
    distinct = _distinct(values)
    return (distinct, np.searchsorted(distinct, values)) if len(distinct) <= limit else None


def _distinct[Number: np.generic](values: NDArray[Number]) -> NDArray[Number]:
    """As `numpy.unique`, which hashes before it sorts: sorting alone is several times faster on numbers."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _encoded(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], Indices]:
    """Distinct whole numbers of a narrow range in ascending order, and the place of each number among them."""
    base = numbers.min()
    seen = np.bincount(numbers - base) > 0
    return np.flatnonzero(seen) + base, (np.cumsum(seen) - 1)[numbers - base]


def _extremes_of_keys(table: Table) -> Extremes:
    lowest, highest = np.full((2, len(table.cells)), np.nan)
    for row, counts in enumerate(table.cells):
        filled = np.flatnonzero(counts)
        if len(filled):
            lowest[row], highest[row] = table.keys[filled[[0, -1]]]
    return Extremes(lowest, highest)


def _categorical(column: StringColumn | BooleanColumn | ListColumn, crowd: Crowd) -> Table:
    """Customers per value; one who has a value twice in a list counts once."""
    if isinstance(column, BooleanColumn):
        return _strings(column.values, ("false", "true"), crowd)
    if isinstance(column, StringColumn):
        return _strings(column.codes, column.values, crowd)
    owners = np.repeat(np.arange(crowd.rows), np.diff(column.offsets))
    pairs = _distinct(owners * len(column.values) + column.codes)
    owners, codes = np.divmod(pairs, max(len(column.values), 1))
    return _strings(codes, column.values, crowd.owning(owners))


def _strings(codes: Indices, values: Sequence[str], crowd: Crowd) -> Table:
    """Rows per value that occurs."""
    found = _named(codes, values, crowd)
    return found if isinstance(found, Table) else Table(Scale.VALUE, found.keys, crowd.count(found.codes, found.size))


def _named(codes: Indices, values: Sequence[str], crowd: Crowd) -> _Codes | Table:
    """The values that occur in order, and the code of every row among them; registers where they are too many."""
    used = np.flatnonzero(np.bincount(codes.astype(np.int64) + 1, minlength=len(values) + 1)[1:])
    names = [values[code] for code in used.tolist()]
    if len(used) > LIMIT[Scale.VALUE] or any_too_long(names):
        return _registers(codes, used, names, crowd)
    order = sorted(range(len(used)), key=names.__getitem__)
    lookup = np.full(len(values) + 1, -1)  # the last slot answers for code -1
    lookup[used[order]] = np.arange(len(used))
    keys = np.array([names[position] for position in order], dtype=object)
    return _Codes(keys, lookup[codes])


def _registers(codes: Indices, used: Indices, names: Sequence[str], crowd: Crowd) -> Table:
    lookup = np.zeros(int(used.max()) + 1, dtype=np.int16)
    lookup[used] = registers_of(names)
    seen = lookup[np.maximum(codes, 0)]
    cells = [highest_ranks(lookup[used])]
    for segment in range(crowd.segments):
        rows = crowd.inside(segment)
        cells.append(highest_ranks(seen[rows[codes[rows] >= 0]]))
    return Table(Scale.REGISTER, np.arange(REGISTERS), np.stack(cells))


def _orders(orders: EventTable, crowd: Crowd, now: np.datetime64) -> tuple[dict[str, Table], Extremes]:
    """Value and month of orders, channel and category of their lines, up to `now`."""
    lengths = np.diff(orders.offsets)
    first = np.ones(len(orders.time), dtype=np.bool_)
    if orders.group is not None:
        first[1:] = orders.group[1:] != orders.group[:-1]
        first[orders.offsets[:-1][lengths > 0]] = True
    counted = orders.time <= now
    rows = np.flatnonzero(counted)
    owner = np.repeat(np.arange(crowd.rows), lengths)[rows]
    customers, crowd = crowd, crowd.owning(owner)
    amount = orders.columns.get("amount")
    amounts = np.nan_to_num(amount.values[rows]) if isinstance(amount, NumberColumn) else np.zeros(len(rows))
    starts = np.flatnonzero(first[rows])
    heads = crowd if len(starts) == len(rows) else customers.owning(owner[starts])
    values = np.add.reduceat(amounts, starts) if len(starts) else np.zeros(0)
    tables: dict[str, Table] = {}
    tables["orders:value"], extremes = _numeric(values, heads, Scale.NUMBER)
    month = _months(orders.time[rows][starts], now)
    coded: dict[str, _Codes] = {}
    for field in ("channel", "category"):
        column = orders.columns.get(field)
        if isinstance(column, StringColumn):
            found = _named(column.codes[rows], column.values, crowd)
            if isinstance(found, Table):
                tables[f"lines:{field}"] = found
            else:
                coded[field] = found
    if heads is crowd:
        coded["month"] = month
    else:
        tables |= _sums({"month": month}, heads, values)
    return tables | _sums(coded, crowd, amounts), extremes


def _sums(coded: Mapping[str, _Codes], crowd: Crowd, amounts: Floats) -> dict[str, Table]:
    """Rows and amounts per code of every field.

    Fields with few codes are counted together, by all combinations of their codes, and added up from there: one pass
    over the rows instead of one for each.
    """
    tables: dict[str, Table] = {}
    together: list[list[str]] = []
    for name in sorted(coded, key=lambda name: coded[name].size):
        members = [*together[-1], name] if together else [name]
        if together and math.prod(coded[member].size + 1 for member in members) <= _COMBINATIONS:
            together[-1] = members
        else:
            together.append([name])
    for names in together:
        shape = [coded[name].size + 1 for name in names]
        joint = np.zeros(crowd.rows, dtype=np.int64)
        for name in names:
            joint = joint * (coded[name].size + 1) + (coded[name].codes + 1)
        counts, totals = (
            cells.reshape(crowd.segments + 1, *shape)
            for cells in (crowd.count(joint, math.prod(shape)), crowd.total(joint, math.prod(shape), amounts))
        )
        for axis, name in enumerate(names):
            others = tuple(other + 1 for other in range(len(names)) if other != axis)
            counted, summed = (cells.sum(axis=others)[:, 1:] for cells in (counts, totals))
            tables |= _tables(name, coded[name].keys, counted, summed)
    return tables


def _tables(name: str, keys: Keys, counts: Cells, totals: Cells) -> dict[str, Table]:
    if name != "month":
        tables = {f"lines:{name}": counts, f"revenue:{name}": totals}
        return {title: Table(Scale.VALUE, keys, cells) for title, cells in tables.items()}
    filled = np.flatnonzero(counts[0])
    tables = {"orders:month": counts, "revenue:month": totals}
    return {title: Table(Scale.MONTH, keys[filled], cells[:, filled]) for title, cells in tables.items()}


def _months(times: Instants, now: np.datetime64) -> _Codes:
    """The month of every order, the last `MONTHS` of them; -1 for those before."""
    start = int(now.astype("datetime64[M]").astype(np.int64)) - MONTHS + 1
    codes = np.maximum(times.astype("datetime64[M]").astype(np.int64) - start, -1)
    return _Codes(np.arange(start, start + MONTHS), codes)


def _products(
    crowd: Crowd, variables: Mapping[str, Floats], holders: Mapping[str, Cells]
) -> tuple[Cells, dict[str, Moments]]:
    """Overlap of the segments and moments of the variables, these by one matrix product per chunk of rows.

    Values are taken relative to everybody's mean, so that the squares do not cancel.
    """
    names = list(variables)
    shifts = np.array([_mean(variables[name]) for name in names])
    width, segments = len(names), crowd.segments
    products = np.zeros((segments + 1, 2 * width))
    for start in range(0, crowd.rows, _CHUNK):
        rows = slice(start, min(start + _CHUNK, crowd.rows))
        inside = np.ones((segments + 1, rows.stop - start))
        for segment in range(segments):
            inside[segment + 1] = crowd.masks[segment][rows]
        right = np.empty((2 * width, rows.stop - start))
        for position, name in enumerate(names):
            moved = _tamed(variables[name][rows]) - shifts[position]
            right[position] = np.where(np.isnan(moved), 0, moved)
        np.square(right[:width], out=right[width:])
        products += inside @ right.T
    moments = {}
    for position, name in enumerate(names):
        count = holders[holders_of(name)]
        moved, squares = products[:, position], products[:, width + position]
        moments[name] = Moments(
            moved + count * shifts[position], np.maximum(squares - moved**2 / np.maximum(count, 1), 0)
        )
    return _shared(crowd), moments


def _shared(crowd: Crowd) -> Cells:
    """Customers (segments, segments) in both of two segments, by the bits that their masks have in common."""
    if not crowd.segments:
        return np.zeros((0, 0), dtype=np.int64)
    words = -(-crowd.rows // 64)
    packed = np.zeros((crowd.segments, 8 * words), dtype=np.uint8)
    for segment, mask in enumerate(crowd.masks):
        bits = np.packbits(mask)
        packed[segment, : len(bits)] = bits
    masks = packed.view(np.uint64)
    shared = np.zeros((crowd.segments, crowd.segments), dtype=np.int64)
    for segment in range(crowd.segments):
        shared[segment, segment:] = np.bitwise_count(masks[segment] & masks[segment:]).sum(axis=1, dtype=np.int64)
    return shared + np.triu(shared, 1).T


def _mean(values: Floats) -> float:
    present = _tamed(values[~np.isnan(values)])
    return float(present.mean()) if len(present) else 0.0


def _tamed(values: Floats) -> Floats:
    """Values whose squares have a sum: a lone 1e300 would turn every moment into infinity."""
    return np.clip(values, -_HUGE, _HUGE)
