"""Rules over a million customers, beside polars, pandas and DuckDB on their own encoded columns, all on one core.

Every competitor gets its data in its own best form before the clock starts, answers the same 50 segments of 5
conditions, and must find the same customers. Run as `python -m benchmarks.rules`; it needs polars, pandas and duckdb.
"""

import os

os.environ.update(POLARS_MAX_THREADS="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", ARROW_NUM_THREADS="1")

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "segmentation"))

from benchmarks.machine import describe
from segmentation.engine.catalogue import Catalogue, Kind
from segmentation.engine.criteria import Prepared, Rule, evaluate, parse
from segmentation.engine.frame import DateColumn, Frame, ListColumn, NumberColumn, StringColumn

SEED = 20240229
NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SEGMENTS, CONDITIONS = 50, 5
COUNTRIES = tuple(f"country-{number:02d}" for number in range(40))
CITIES = tuple(f"city-{number:05d}" for number in range(20_000))
PLANS = ("free", "basic", "plus", "pro", "enterprise")
TAGS = tuple(f"tag-{number:02d}" for number in range(24))
STRINGS = {"country": COUNTRIES, "city": CITIES, "plan": PLANS}
NUMBERS = ("age", "totalSpent", "orderCount", "score")
DATES = ("createdAt", "lastOrderAt")
KINDS = {
    **dict.fromkeys(STRINGS, Kind.STRING),
    **dict.fromkeys(NUMBERS, Kind.NUMBER),
    **dict.fromkeys(DATES, Kind.DATE),
    "tags": Kind.LIST,
}

NEGATED = ("neq", "not_in", "not_between", "not_in_last", "has_none")

Condition = dict[str, Any]
Masks = list[np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Competitor:
    """`run` answers all segments; `masks` turns what it gave into truth per customer."""

    name: str
    run: Callable[[], Any]
    masks: Callable[[Any], Masks]
    repeats: int


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def customers(size: int) -> Frame:
    """A shop's customers: skewed texts, a tenth of every column missing."""
    random = np.random.default_rng(SEED)

    def texts(values: tuple[str, ...]) -> StringColumn:
        codes = (random.beta(1, 4, size) * len(values)).astype(np.int32)
        codes[random.random(size) < 0.1] = -1
        return StringColumn(codes, values)

    def numbers(values: np.ndarray[Any, Any]) -> NumberColumn:
        values = values.astype(np.float64)
        values[random.random(size) < 0.1] = np.nan
        return NumberColumn(values)

    def dates(days: int) -> DateColumn:
        values = micros(NOW) - (random.beta(1, 3, size) * days * 86_400_000_000).astype(np.int64)
        instants = values.view("datetime64[us]")
        instants[random.random(size) < 0.1] = np.datetime64("NaT", "us")
        return DateColumn(instants)

    lengths = random.integers(0, 5, size)
    absent = random.random(size) < 0.1
    lengths[absent] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tags = (random.beta(1, 3, offsets[-1]) * len(TAGS)).astype(np.int32)
    return Frame(
        size,
        {
            **{name: texts(values) for name, values in STRINGS.items()},
            "age": numbers(random.integers(18, 90, size)),
            "totalSpent": numbers(np.round(random.lognormal(4, 1, size), 2)),
            "orderCount": numbers(random.poisson(4, size)),
            "score": numbers(random.random(size)),
            "createdAt": dates(2000),
            "lastOrderAt": dates(700),
            "tags": ListColumn(offsets, tags, TAGS, absent),
        },
    )


def segments() -> list[list[Condition]]:
    """50 segments of 5 conditions each: a number, a text, a date, a list and one more, as a marketer would set them."""
    random = np.random.default_rng(SEED + 1)

    def number() -> Condition:
        name = str(random.choice(NUMBERS))
        limit = {"age": 40, "totalSpent": 60, "orderCount": 4, "score": 0.5}[name] * random.choice((0.5, 0.75, 1, 1.5))
        operator = str(random.choice(("gte", "lt", "between", "not_between", "neq")))
        value = [float(limit) / 2, float(limit)] if "between" in operator else float(limit)
        return {"attribute": name, "operator": operator, "value": value}

    def text() -> Condition:
        name = str(random.choice(list(STRINGS)))
        values = STRINGS[name]
        operator = str(random.choice(("eq", "neq", "in", "not_in", "starts_with", "is_set")))
        few = [values[number] for number in random.integers(0, len(values) // 2, 6)]
        value = {"in": few, "not_in": few, "starts_with": f"{few[0][:-1]}"}.get(operator, few[0])
        asked = {} if operator == "is_set" else {"value": value}
        return {"attribute": name, "operator": operator, **asked}

    def date() -> Condition:
        name, days = str(random.choice(DATES)), int(random.choice((30, 90, 180, 365)))
        operator = str(random.choice(("in_last", "not_in_last", "more_than_ago", "before", "after")))
        day = (NOW - timedelta(days=days)).date().isoformat()
        return {
            "attribute": name,
            "operator": operator,
            "value": day if operator in ("before", "after") else f"{days}d",
        }

    def listed() -> Condition:
        operator = str(random.choice(("has", "has_any", "has_none", "has_all")))
        few = [TAGS[number] for number in random.integers(0, len(TAGS) // 2, 2)]
        return {"attribute": "tags", "operator": operator, "value": few[0] if operator == "has" else few}

    kinds = (number, text, date, listed)
    return [[*(make() for make in kinds), kinds[place % 3]()] for place in range(SEGMENTS)]


# Ours


def ours(frame: Frame, rules: Mapping[str, Rule], next_change: bool) -> Competitor:
    prepared = Prepared(frame)
    now = np.datetime64(NOW.replace(tzinfo=None), "us")
    return Competitor(
        "this project, with next_change" if next_change else "this project",
        lambda: evaluate(rules, prepared, now, next_change=next_change),
        lambda result: [result.mask(name) for name in rules],
        15,
    )


def cold(frame: Frame, rules: Mapping[str, Rule]) -> Competitor:
    now = np.datetime64(NOW.replace(tzinfo=None), "us")
    masks = ours(frame, rules, False).masks
    return Competitor("this project, nothing prepared", lambda: evaluate(rules, frame, now), masks, 5)


def span(condition: Condition) -> tuple[int | None, int | None, bool]:
    """A date condition as [from, to) in microseconds, and whether it is negated."""
    operator, value, now = condition["operator"], condition["value"], micros(NOW)
    if operator in ("before", "after"):
        day = datetime.fromisoformat(value).replace(tzinfo=UTC)
        return (None, micros(day), False) if operator == "before" else (micros(day + timedelta(days=1)), None, False)
    edge = now - timedelta(days=int(value[:-1])) // timedelta(microseconds=1) + 1
    return (None, edge, False) if operator == "more_than_ago" else (edge, now + 1, operator == "not_in_last")


# The peers. A list is a boolean column for each of its values, made by hand beforehand: none of them is as fast on
# lists of its own, which polars shows by running both ways. Missing values need care only where a condition is
# negated; for the others one step after the conjunction makes "unknown" false.


def tag_columns(frame: Frame) -> dict[str, np.ndarray[Any, Any]]:
    lists = frame.columns["tags"]
    assert isinstance(lists, ListColumn)
    owners = np.repeat(np.arange(frame.size), np.diff(lists.offsets))
    columns = {}
    for code, tag in enumerate(TAGS):
        columns[f"tags:{tag}"] = np.zeros(frame.size, dtype=bool)
        columns[f"tags:{tag}"][owners[lists.codes == code]] = True
    return columns


def tags_of(value: str | list[str]) -> list[str]:
    return [f"tags:{tag}" for tag in ([value] if isinstance(value, str) else value)]


def texts_of(condition: Condition) -> list[str]:
    """The values that a text condition accepts: prefixes are looked up beforehand, for the peers' benefit."""
    value = condition["value"]
    if condition["operator"] == "starts_with":
        return [text for text in STRINGS[condition["attribute"]] if text.startswith(value)]
    return value if isinstance(value, list) else [value]


def column_of(frame: Frame, name: str) -> Any:
    column = frame.columns[name]
    return column.codes if isinstance(column, StringColumn) else column.values  # type: ignore[union-attr]


def in_polars(frame: Frame, asked: list[list[Condition]]) -> tuple[pl.DataFrame, list[Competitor]]:
    columns: dict[str, pl.Series] = {}
    for name, values in STRINGS.items():
        texts = np.array([*values, None], dtype=object)[column_of(frame, name)]
        columns[name] = pl.Series(name, texts.tolist(), dtype=pl.Enum(list(values)))
    for name in (*NUMBERS, *DATES):
        columns[name] = pl.Series(name, column_of(frame, name), nan_to_null=name in NUMBERS)
    columns |= {name: pl.Series(rows) for name, rows in tag_columns(frame).items()}
    table = pl.DataFrame(columns)
    lists = frame.columns["tags"]
    assert isinstance(lists, ListColumn)
    elements = pl.DataFrame({"row": np.repeat(np.arange(frame.size), np.diff(lists.offsets)), "tag": lists.codes})
    tags = pl.Series(list(TAGS), dtype=pl.Enum(list(TAGS)))
    gathered = elements.select("row", tags.gather(elements["tag"]).alias("tags")).group_by("row").agg("tags")
    whole = table.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64)).join(gathered, on="row", how="left")

    def competitor(name: str, data: pl.DataFrame, expression: Callable[[Condition], pl.Expr]) -> Competitor:
        expressions = [
            reduce(and_, map(expression, conditions)).fill_null(False).alias(f"s{place}")
            for place, conditions in enumerate(asked)
        ]
        # The lazy engine finds the expressions that occur more than once by itself.
        return Competitor(
            name,
            lambda: data.lazy().select(expressions).collect(),
            lambda result: [result[f"s{place}"].to_numpy() for place in range(len(asked))],
            9,
        )

    return table, [
        competitor("polars, Enum columns and lists", whole.sort("row"), polars_list_expression),
        competitor("polars, lists as columns by hand", table, polars_expression),
    ]


def polars_list_expression(condition: Condition) -> pl.Expr:
    if condition["attribute"] != "tags":
        return polars_expression(condition)
    operator, value = condition["operator"], condition["value"]
    tags = [pl.lit(tag, dtype=pl.Enum(list(TAGS))) for tag in ([value] if isinstance(value, str) else value)]
    found = reduce(and_ if operator == "has_all" else or_, [pl.col("tags").list.contains(tag) for tag in tags])
    return ~found.fill_null(False) if operator in NEGATED else found


def polars_expression(condition: Condition) -> pl.Expr:
    name, operator, value = condition["attribute"], condition["operator"], condition.get("value")
    column = pl.col(name)
    if name in STRINGS and operator in ("in", "not_in", "starts_with"):
        found = column.is_in(pl.Series(texts_of(condition), dtype=pl.Enum(list(STRINGS[name]))).implode())
    elif name == "tags":
        found = (pl.all_horizontal if operator == "has_all" else pl.any_horizontal)(*tags_of(value))
    elif name in DATES:
        start, end, _ = span(condition)
        bounds = [] if start is None else [column >= pl.lit(start).cast(pl.Datetime("us"))]
        bounds += [] if end is None else [column < pl.lit(end).cast(pl.Datetime("us"))]
        found = reduce(and_, bounds)
    elif "between" in operator:
        found = column.is_between(*value)
    else:
        found = polars_comparison(column, operator, value)
    return ~found.fill_null(False) if operator in NEGATED else found


def polars_comparison(column: pl.Expr, operator: str, value: Any) -> pl.Expr:
    match operator:
        case "is_set":
            return column.is_not_null()
        case "eq" | "neq":
            return column == value
        case "gte":
            return column >= value
    return column < value


def in_pandas(frame: Frame, asked: list[list[Condition]]) -> Competitor:
    columns: dict[str, Any] = {
        name: pd.Categorical.from_codes(column_of(frame, name), categories=list(values))
        for name, values in STRINGS.items()
    }
    columns |= {name: column_of(frame, name) for name in (*NUMBERS, *DATES)}
    table = pd.DataFrame(columns | tag_columns(frame))

    def run() -> list[Any]:
        return [reduce(and_, [pandas_mask(table, condition) for condition in conditions]) for conditions in asked]

    return Competitor("pandas, categories", run, lambda result: [mask.to_numpy() for mask in result], 3)


def pandas_mask(table: pd.DataFrame, condition: Condition) -> Any:
    name, operator, value = condition["attribute"], condition["operator"], condition.get("value")
    if name == "tags":
        found = reduce(and_ if operator == "has_all" else or_, [table[tag] for tag in tags_of(value)])
        return ~found if operator in NEGATED else found
    column = table[name]
    if name in DATES:
        start, end, _ = span(condition)
        bounds = [] if start is None else [column >= pd.Timestamp(start, unit="us")]
        bounds += [] if end is None else [column < pd.Timestamp(end, unit="us")]
        found = reduce(and_, bounds)
    elif name in STRINGS and operator in ("in", "not_in", "starts_with"):
        found = column.isin(texts_of(condition))
    elif "between" in operator:
        found = column.between(*value)
    else:
        found = pandas_comparison(column, operator, value)
    return ~found if operator in NEGATED else found


def pandas_comparison(column: Any, operator: str, value: Any) -> Any:
    match operator:
        case "is_set":
            return column.notna()
        case "eq" | "neq":
            return column == value
        case "gte":
            return column >= value
    return column < value


def in_duckdb(table: pl.DataFrame, asked: list[list[Condition]]) -> Competitor:
    connection = duckdb.connect(config={"threads": 1})
    for name, values in STRINGS.items():
        listed = ", ".join(f"'{value}'" for value in values)
        connection.execute(f"CREATE TYPE {name}_type AS ENUM ({listed})")
    casts = ", ".join(f"{name}::VARCHAR::{name}_type AS {name}" for name in STRINGS)
    connection.register("given", table.to_arrow())
    connection.execute(f"CREATE TABLE customers AS SELECT * REPLACE ({casts}) FROM given")
    columns = [
        f"coalesce({' AND '.join(map(duckdb_expression, conditions))}, false) AS s{place}"
        for place, conditions in enumerate(asked)
    ]
    query = f"SELECT {', '.join(columns)} FROM customers"
    return Competitor(
        "DuckDB, ENUM columns",
        lambda: connection.sql(query).to_arrow_table(),
        lambda result: [column.to_numpy(zero_copy_only=False) for column in result.combine_chunks().columns],
        3,
    )


def duckdb_expression(condition: Condition) -> str:
    name, operator, value = condition["attribute"], condition["operator"], condition.get("value")
    signs = {"eq": "=", "neq": "=", "gte": ">=", "lt": "<"}
    if name == "tags":
        found = (" AND " if operator == "has_all" else " OR ").join(f'"{tag}"' for tag in tags_of(value))
    elif name in DATES:
        start, end, _ = span(condition)
        bounds = [] if start is None else [f"{name} >= make_timestamp({start})"]
        bounds += [] if end is None else [f"{name} < make_timestamp({end})"]
        found = " AND ".join(bounds)
    elif operator == "is_set":
        found = f"{name} IS NOT NULL"
    elif "between" in operator:
        found = f"{name} BETWEEN {value[0]} AND {value[1]}"
    elif operator in ("in", "not_in", "starts_with"):
        found = f"{name} IN ({', '.join(map(repr, texts_of(condition)))})"
    else:
        found = f"{name} {signs[operator]} {value!r}"
    return f"NOT coalesce({found}, false)" if operator in NEGATED else f"({found})"


# The race


def race(competitors: list[Competitor], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds on the clock and on the processor, taking turns so that a noisy neighbour bothers all alike."""
    taken: dict[str, list[tuple[float, float]]] = {competitor.name: [] for competitor in competitors}
    for turn in range(rounds):
        for competitor in competitors:
            if turn >= competitor.repeats:
                continue
            gc.collect()
            clock, processor = time.perf_counter(), time.process_time()
            competitor.run()
            taken[competitor.name].append((time.perf_counter() - clock, time.process_time() - processor))
    return {
        name: (statistics.median(clock for clock, _ in times), statistics.median(used for _, used in times))
        for name, times in taken.items()
    }


def versions() -> str:
    libraries = (("numpy", np), ("polars", pl), ("pandas", pd), ("duckdb", duckdb))
    return ", ".join(f"{name} {library.__version__}" for name, library in libraries)


def main() -> None:
    """Check that all agree, time them, print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    frame, asked = customers(given.customers), segments()
    rules = {f"s{place}": parse(one, Catalogue(KINDS)) for place, one in enumerate(asked)}
    table, polars = in_polars(frame, asked)
    peers = [*polars, in_pandas(frame, asked), in_duckdb(table, asked)]
    competitors = [ours(frame, rules, False), ours(frame, rules, True), cold(frame, rules), *peers]
    expected = competitors[0].masks(competitors[0].run())
    for competitor in competitors[1:]:
        found = competitor.masks(competitor.run())
        for place, (our_mask, theirs) in enumerate(zip(expected, found, strict=True)):
            if not np.array_equal(our_mask, theirs):
                raise SystemExit(f"{competitor.name} disagrees on segment {place}: {asked[place]}")
    medians = race(competitors, given.rounds)
    evaluations = given.customers * SEGMENTS * CONDITIONS
    matching = sum(int(mask.sum()) for mask in expected) / SEGMENTS / given.customers
    print(f"{describe()}; {versions()}\n")
    print(
        f"{given.customers:,} customers, {SEGMENTS} segments x {CONDITIONS} conditions, {matching:.1%} match on average"
    )
    print("All on one core, all with the same result. Rate and ratio by the processor's time.\n")
    print("| | ms on the clock | ms on the processor | billion conditions/s | times ours |")
    print("|---|---:|---:|---:|---:|")
    for name, (clock, used) in medians.items():
        rate, ratio = evaluations / used / 1e9, used / medians[competitors[0].name][1]
        print(f"| {name} | {clock * 1e3:.0f} | {used * 1e3:.0f} | {rate:.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
