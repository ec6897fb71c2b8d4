"""A generated shop: customers, orders and behaviour events as CSV files, with a structure that segments can find.

`python -m dev.shop DIR [--customers N] [--end DATE]` writes `customers.csv`, `orders.csv` and `events.csv`, each with
its mapping file beside it. The same arguments give the same bytes. About one row in a thousand is dirty on purpose. It
knows nothing of the service: the files are what any shop system could have written.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from dev import shop_columns as draw
from dev.shop_columns import Floats, Instants, Ints
from dev.shop_personas import (
    CATEGORIES,
    CHANNELS,
    CITIES,
    FIRST_NAMES,
    INTERESTS,
    LAST_NAMES,
    NOTES,
    PERSONAS,
    PRODUCTS_PER_CATEGORY,
    SCORES,
)

SEED = 20_240_229
BLOCK = 200_000
"""Customers that are drawn at once: bounds the memory of a shop with millions."""
DAY = 86_400
SECOND = np.timedelta64(1, "s")
ONE_YEAR = np.timedelta64(1, "Y")
TO_NOVEMBER = np.timedelta64(10, "M")
TRIED_ONCE, TRIAL_DAYS, TRIAL_ORDERS = 0.3, 20, 1.5
"""Share of customers who try the shop and do not stay, for how long they do, and how often they order meanwhile."""
CAMPAIGNS = ((80, "autumn-walks"), (45, "kitchen-week"), (12, "last-chance"))
"""Mail campaigns: days before the end, and a name."""
AT = "2024-01-05 10:00:00"
"""Instant of dirty rows whose fault lies elsewhere."""

MAPPINGS: dict[str, dict[str, Any]] = {
    "customers": {
        "types": {
            "birthday": "date", "signedUpAt": "date", "age": "number", "emailConsent": "boolean", "interests": "list",
            "location": "geo", **dict.fromkeys(SCORES, "number"),
        },
        "listSeparator": "|",
    },
    "orders": {"ignore": ["comment"]},
    "events": {"types": {"durationSeconds": "number"}},
}  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """What was written: rows per dataset, dirty ones included, and how many of them are dirty."""

    customers: int
    orders: int
    rows: dict[str, int]
    dirty: dict[str, int]


@dataclass(frozen=True)
class People:
    """Customers of one block: persona, first and last active second before the end, consent, and who only tried the
    shop. Index = customer.
    """

    first: int
    persona: Ints
    begins: Floats
    stops: Floats
    consent: NDArray[np.bool_]
    tried: NDArray[np.bool_]


def generate(folder: Path, customers: int = 5_000, end: date | None = None, seed: int = SEED) -> Shop:
    """Write the shop into `folder`; `end` (default today, UTC) is the midnight before which everything happened.

    Raises ValueError for fewer than one customer.
    """
    if customers < 1:
        raise ValueError(f"a shop needs at least 1 customer, not {customers}")
    midnight = np.datetime64(end or datetime.now(UTC).date(), "s")
    folder.mkdir(parents=True, exist_ok=True)
    rows = dict.fromkeys(MAPPINGS, 0)
    dirty = dict.fromkeys(MAPPINGS, 0)
    orders = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.csv").open("wb")) for name in MAPPINGS}
        for block, first in enumerate(range(0, customers, BLOCK)):
            random = np.random.default_rng([seed, block])
            people = _people(random, first, min(BLOCK, customers - first))
            lines, placed, since = _orders(random, people, midnight, orders)
            orders += placed
            tables = {
                "customers": _customers(random, people, since, midnight),
                "orders": lines,
                "events": _events(random, people, midnight, rows["events"]),
            }
            for name, table in tables.items():
                bad = _dirty(name, table.num_rows, block)
                _append(files[name], table, bad, header=block == 0)
                rows[name] += table.num_rows + len(bad)
                dirty[name] += len(bad)
    for name, mapping in MAPPINGS.items():
        (folder / f"{name}.csv.mapping.json").write_text(json.dumps(mapping, indent=2) + "\n")
    return Shop(customers, orders, rows, dirty)


def _people(random: np.random.Generator, first: int, size: int) -> People:
    persona = random.choice(len(PERSONAS), size=size, p=draw.weights([p.share for p in PERSONAS]))
    begins = draw.between(random, persona, [p.begins for p in PERSONAS])
    stops = np.minimum(draw.between(random, persona, [p.stops for p in PERSONAS]), begins)
    consent = random.random(size) < 0.7
    tried = np.random.default_rng([SEED, first, 1]).random(size) < TRIED_ONCE
    stops = np.where(tried, np.maximum(begins - TRIAL_DAYS, stops), stops)
    return People(first, persona, begins * DAY, stops * DAY, consent, tried)


def _orders(
    random: np.random.Generator, people: People, midnight: np.datetime64, offset: int
) -> tuple[pa.Table, int, Instants]:
    """Order lines with their returns, the number of orders, and per customer the instant from which it was known."""
    rate = draw.per(people.persona, [p.orders for p in PERSONAS]) * random.gamma(6, 1 / 6, len(people.persona))
    rate = np.where(people.tried, np.minimum(rate, TRIAL_ORDERS), rate)
    customer = np.repeat(np.arange(len(people.persona)), random.poisson(rate))
    size = len(customer)
    persona = people.persona[customer]
    when = _instants(random, people, customer, midnight)
    seasonal = draw.per(persona, [float(p.seasonal) for p in PERSONAS]) > 0
    when[seasonal] = _in_season(random, when[seasonal], midnight)
    since = midnight - people.begins.astype("m8[s]")
    np.minimum.at(since, customer, when)
    channel = draw.pick(random, persona, [p.channels for p in PERSONAS])
    status = np.where(random.random(size) < 0.025, 1, 0)
    coupon = random.random(size) < draw.per(persona, [p.coupons for p in PERSONAS])

    order = np.repeat(np.arange(size), 1 + random.poisson(draw.per(persona, [p.lines - 1 for p in PERSONAS])))
    category = draw.pick(random, persona[order], [p.categories for p in PERSONAS])
    product = category * PRODUCTS_PER_CATEGORY + random.integers(0, PRODUCTS_PER_CATEGORY, len(order))
    list_price = np.round(np.random.default_rng(SEED).lognormal(3.2, 0.6, len(CATEGORIES) * PRODUCTS_PER_CATEGORY), 2)
    reach = draw.per(persona, [p.price for p in PERSONAS])[order] * np.where(coupon[order], 0.85, 1.0)
    price = np.round(list_price[product] * reach, 2)
    price[random.random(len(order)) < 0.004] = 0.0  # gifts in the parcel
    quantity = 1 + random.poisson(0.25, len(order))

    returned = np.flatnonzero((random.random(len(order)) < 0.03) & (status[order] == 0) & (price > 0))
    back = np.minimum(
        when[order[returned]] + random.integers(2 * DAY, 20 * DAY, len(returned)) * SECOND, midnight - SECOND
    )
    lines = np.concatenate([np.arange(len(order)), returned])
    instant = np.concatenate([when[order], np.minimum(back, midnight - SECOND)])
    sign = np.concatenate([np.ones(len(order), np.int64), np.full(len(returned), -1)])
    kind = np.concatenate([status[order], np.full(len(returned), 2)])
    number = np.concatenate([order + offset, returned])
    sequence = np.argsort(instant, kind="stable")
    lines, instant, sign, kind, number = (
        lines[sequence],
        instant[sequence],
        sign[sequence],
        kind[sequence],
        number[sequence],
    )
    of = order[lines]
    prefix = pc.if_else(pa.array(sign > 0), pa.scalar("O"), pa.scalar(f"R{people.first // BLOCK}-"))
    table = pa.table(
        {
            "orderId": pc.binary_join_element_wise(prefix, draw.digits(number), ""),
            "customerId": draw.ids(people.first + customer[of]),
            "orderedAt": pa.array(instant),
            "sku": pc.binary_join_element_wise("SKU", draw.digits(product[lines], 3), "-"),
            "category": draw.named(category[lines], CATEGORIES),
            "channel": draw.named(channel[of], CHANNELS),
            "quantity": pa.array(quantity[lines] * sign),
            "unitPrice": pa.array(price[lines]),
            "currency": draw.named(np.zeros(len(lines), np.int64), ("EUR",)),
            "status": draw.named(kind, ("completed", "cancelled", "returned")),
            "coupon": pc.if_else(pa.array(coupon[of]), pa.scalar("SAVE15"), pa.scalar(None, pa.string())),
        }
    )
    return table, size, since


def _customers(random: np.random.Generator, people: People, since: Instants, midnight: np.datetime64) -> pa.Table:
    size = len(people.persona)
    index = people.first + np.arange(size)
    given, family = (random.integers(0, len(names), size) for names in (FIRST_NAMES, LAST_NAMES))
    city = random.choice(len(CITIES), size=size, p=draw.weights([c.weight for c in CITIES]))
    latitude = draw.per(city, [c.latitude for c in CITIES]) + random.normal(0, 0.05, size)
    longitude = draw.per(city, [c.longitude for c in CITIES]) + random.normal(0, 0.08, size)
    age = np.clip(random.normal(draw.per(people.persona, [p.age for p in PERSONAS]), 9), 18, 90)
    born = (midnight - (age * 365.25 * DAY).astype("m8[s]")).astype("M8[D]")
    likes = random.random((size, len(INTERESTS))) < 0.28
    columns: dict[str, Any] = {
        "customerId": draw.ids(index),
        "firstName": draw.named(given, FIRST_NAMES),
        "lastName": draw.named(family, LAST_NAMES),
        "email": pc.binary_join_element_wise(
            "customer", pc.cast(pa.array(index + 1), pa.string()), "@shop.example", ""
        ),
        "country": draw.named(city, [c.country for c in CITIES]),
        "city": draw.named(city, [c.name for c in CITIES]),
        "location": pc.binary_join_element_wise(draw.decimals(latitude), draw.decimals(longitude), ","),
        "birthday": draw.blank(random, pa.array(born), 0.12),
        "age": pa.array(np.floor(age).astype(np.int64)),
        "signedUpAt": pa.array(since - random.integers(0, 3 * DAY, size) * SECOND),
        "emailConsent": pa.array(people.consent),
        "interests": draw.joined(likes, INTERESTS),
        "deliveryNote": draw.blank(random, draw.named(random.integers(0, len(NOTES), size), NOTES), 0.97),
    }
    answered = random.random(size) < 0.6
    for position, score in enumerate(SCORES):
        mean = draw.per(people.persona, [p.scores[position] for p in PERSONAS])
        answer = np.clip(np.round(random.normal(mean, 0.8) * 2) / 2, 1, 5)
        columns[score] = pa.array(answer, mask=~answered)
    # Who has stopped closes the account or forgets it, a few close it all the same; asked of a part of the customers.
    apart = np.random.default_rng([SEED, people.first, size])
    gone = people.stops > 60 * DAY
    closed = apart.random(size) < np.where(gone, 0.85, 0.04)
    columns["accountClosed"] = pa.array(closed, mask=apart.random(size) < 0.1)
    return pa.table(columns)


def _events(random: np.random.Generator, people: People, midnight: np.datetime64, offset: int) -> pa.Table:
    """Page views, sessions and the three mail campaigns, in order of time."""
    everybody = np.arange(len(people.persona))
    views = random.poisson(draw.per(people.persona, [p.views for p in PERSONAS]))
    viewer = np.repeat(everybody, views)
    visitor = np.repeat(everybody, random.binomial(views, 0.25))
    recent = replace(people, begins=np.minimum(people.begins, people.stops + 120 * DAY))
    parts = [
        (viewer, _instants(random, recent, viewer, midnight), 0, -1, random.gamma(2, 20, len(viewer))),
        (visitor, _instants(random, recent, visitor, midnight), 1, -1, random.gamma(2, 180, len(visitor))),
    ]
    for position, (days, _) in enumerate(CAMPAIGNS):
        sent = everybody[people.consent & (people.begins > days * DAY)]
        at = midnight - np.timedelta64(days * DAY - 8 * 3_600, "s") + random.integers(0, 1_800, len(sent)) * SECOND
        opened = random.random(len(sent)) < draw.per(people.persona[sent], [p.opens for p in PERSONAS])
        later = at[opened] + random.exponential(5 * 3_600, opened.sum()).astype("m8[s]")
        clicked = random.random(opened.sum()) < 0.25
        parts.append((sent, at, 2, position, np.full(len(sent), np.nan)))
        parts.append((sent[opened], later, 3, position, np.full(len(later), np.nan)))
        parts.append((sent[opened][clicked], later[clicked] + 20 * SECOND, 4, position, np.full(clicked.sum(), np.nan)))
    customer, instant = (np.concatenate([part[n] for part in parts]) for n in (0, 1))
    kind, campaign = (np.repeat([part[n] for part in parts], [len(part[0]) for part in parts]) for n in (2, 3))
    duration = np.round(np.concatenate([part[4] for part in parts]))
    sequence = np.argsort(instant, kind="stable")
    customer, kind, campaign, duration = customer[sequence], kind[sequence], campaign[sequence], duration[sequence]
    category = draw.pick(random, people.persona[customer], [p.categories for p in PERSONAS])
    return pa.table(
        {
            "eventId": pc.binary_join_element_wise("E", draw.digits(offset + np.arange(len(customer))), ""),
            "customerId": draw.ids(people.first + customer),
            "event": draw.named(kind, ("page_view", "session", "email_sent", "email_open", "email_click")),
            "occurredAt": pa.array(np.minimum(instant[sequence], midnight - SECOND)),
            "category": draw.named(np.where(kind == 0, category, -1), CATEGORIES),
            "campaign": draw.named(campaign, [name for _, name in CAMPAIGNS]),
            "durationSeconds": pa.array(duration, mask=np.isnan(duration)),
        }
    )


def _dirty(dataset: str, rows: int, block: int) -> list[tuple[str, ...]]:
    """Rows that an import must reject, about one in a thousand, in the column order of the dataset's table."""
    samples: dict[str, tuple[tuple[str, ...], ...]] = {
        "customers": (
            ("", "Nobody", "Known") + ("",) * 14,
            ("X1-{n}", "Ira", "Late", "ira@shop.example", "DE", "Berlin", "", "31.02.1990") + ("",) * 9,
            ("X2-{n}", "Joe", "Odd", "joe@shop.example", "FR", "Paris", "", "", "unknown") + ("",) * 8,
        ),
        "orders": (
            ("X1-{n}", "", AT, "SKU-001", "shoes", "web", "1", "19.99", "EUR", "completed", ""),
            ("X2-{n}", "C0000001", "yesterday", "SKU-002", "shoes", "web", "1", "19.99", "EUR", "completed", ""),
            ("X3-{n}", "C0000002", AT, "SKU-003", "toys", "app", "1", "-4.50", "EUR", "completed", ""),
            ("X4-{n}", "C0000003", AT, "SKU-004", "home", "app", "two", "9.90", "EUR", "completed", ""),
            ("X5-{n}", "C0000004", "2999-01-01", "SKU-005", "books", "web", "1", "9.90", "EUR", "completed", ""),
        ),
        "events": (
            ("X1-{n}", "", "page_view", AT, "shoes", "", "12"),
            ("X2-{n}", "C0000001", "page_view", "soon", "shoes", "", "12"),
            ("X3-{n}", "C0000002", "page_view", AT, "shoes", "", "a while"),
        ),
    }  # fmt: skip
    chosen = samples[dataset]
    count = max(len(chosen), rows // 1_000)
    return [tuple(cell.format(n=f"{block}-{n}") for cell in chosen[n % len(chosen)]) for n in range(count)]


def _append(file: IO[bytes], table: pa.Table, dirty: Sequence[tuple[str, ...]], header: bool) -> None:
    """The table as CSV with the dirty rows in its middle."""
    middle = table.num_rows // 2
    arrow_csv.write_csv(table[:middle], file, arrow_csv.WriteOptions(include_header=header))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(dirty)
    file.write(text.getvalue().encode())
    arrow_csv.write_csv(table[middle:], file, arrow_csv.WriteOptions(include_header=False))


def _instants(random: np.random.Generator, people: People, customer: Ints, midnight: np.datetime64) -> Instants:
    """An instant between begin and stop for every entry of `customer`, more in the evening than at night."""
    ago = people.stops[customer] + random.random(len(customer)) * (people.begins - people.stops)[customer]
    day = np.ceil(ago / DAY).astype(np.int64)
    hour = np.clip(random.normal(16, 4, len(customer)), 0, 23.9)
    instant: Instants = midnight - (day * DAY).astype("m8[s]") + (hour * 3_600).astype("m8[s]")
    return np.minimum(instant, midnight - SECOND)


def _in_season(random: np.random.Generator, when: Instants, midnight: np.datetime64) -> Instants:
    """The same years, moved to 20 November to 20 December; a season that is still to come becomes the one before."""
    clock = when - when.astype("M8[D]")
    day = random.integers(0, 31, len(when)).astype("m8[D]") + np.timedelta64(19, "D")
    year = when.astype("M8[Y]")
    moved = (year.astype("M8[M]") + TO_NOVEMBER).astype("M8[D]") + day + clock
    earlier = ((year - ONE_YEAR).astype("M8[M]") + TO_NOVEMBER).astype("M8[D]") + day + clock
    chosen: Instants = np.where(moved < midnight, moved, earlier).astype("M8[s]")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.shop", description="Write a generated shop as CSV files.")
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the files go; made if it is not there")
    parser.add_argument("--customers", type=int, default=5_000, metavar="N")
    parser.add_argument("--end", type=date.fromisoformat, metavar="DATE", help="day after the last one; default today")
    options = parser.parse_args(arguments)
    try:
        shop = generate(options.folder, options.customers, options.end)
    except (OSError, ValueError) as error:
        print(f"The shop could not be written: {error}.", file=sys.stderr)
        return 1
    for name, rows in shop.rows.items():
        print(f"{options.folder / name}.csv: {rows:,} rows, {shop.dirty[name]:,} of them dirty on purpose")
    print(f"{shop.customers:,} customers, {shop.orders:,} orders")
    return 0


if __name__ == "__main__":
    sys.exit(main())
