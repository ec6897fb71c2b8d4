"""A CSV file of orders to checked Parquet files per partition, side by side: `python -m benchmarks.imports [rows]`.

Every contestant gets the same bytes, one thread, the same rules, and writes the good rows as one zstd Parquet file per
partition and the rejected rows with row number, field, value and reason. Counts and sums are compared before times are.
Peers may partition by a hash of their own. Seconds are processor time of one core; pydantic works on a sample and is
scaled up.

`--memory` prints the peak memory of planning and reading a file, for one that is four times as big, too.
"""

import argparse
import csv
import gc
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, StringConstraints, ValidationError, field_validator

from benchmarks.machine import describe
from segmentation import imports
from segmentation.store.files import Files, Head
from segmentation.store.store import Store

ROUNDS = 5
SAMPLE = 50_000
PARTITIONS = 16
KEY = "imports/orders/benchmark.csv"
ENGINE = "import_chunk"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=2)
CONTROL = r"[\x00-\x1f\x7f-\x9f]"
IDS = ("customerId", "orderId")
TEXTS = ("sku", "category", "channel")

Outcome = tuple[int, int]
"""Accepted rows and rejected rows."""


def generated(rows: int) -> bytes:
    """Orders of three lines each, a tenth as many customers as rows; 1% of the rows are bad, in four ways."""
    random = np.random.default_rng(20260101)
    instants = np.datetime64("2021-01-01T00:00:00") + random.integers(0, 4 * 365 * 86_400, rows).astype(
        "timedelta64[s]"
    )
    customers = pa.array([f"c{number:07d}" for number in range(rows // 10 + 1)])
    skus = pa.array([f"sku-{number}" for number in range(5_000)])
    columns = {
        "orderId": pa.array([f"o{number // 3}" for number in range(rows)]),
        "customerId": customers.take(pa.array(random.integers(0, len(customers), rows))),
        "orderedAt": pa.array([str(instant).replace("T", " ") for instant in instants]),
        "quantity": pa.array(random.integers(-1, 6, rows)).cast(pa.string()),
        "unitPrice": pa.array(np.round(random.gamma(2, 15, rows), 2)).cast(pa.string()),
        "sku": skus.take(pa.array(random.integers(0, 5_000, rows))),
        "category": pa.array(["shoes", "shirts", "hats", "bags"]).take(pa.array(random.integers(0, 4, rows))),
        "channel": pa.array(["web", "app", "store"]).take(pa.array(random.integers(0, 3, rows))),
    }
    faults = {"customerId": "", "orderedAt": "2021-02-30", "quantity": "many", "unitPrice": "-1"}
    bad = random.random(rows) < 0.01
    kind = random.integers(0, len(faults), rows)
    for number, (name, value) in enumerate(faults.items()):
        mask = pa.array(bad & (kind == number))
        columns[name] = pa.compute.if_else(mask, value, columns[name])
    sink = io.BytesIO()
    pa.csv.write_csv(pa.table(columns), sink, pa.csv.WriteOptions(quoting_style="none"))
    return sink.getvalue()


# ---------------------------------------------------------------------------- the import


class FolderFiles:
    """The bucket as a folder: what planning and reading need of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def head(self, key: str) -> Head:
        return Head(self.path(key).stat().st_size, "benchmark", None)

    def get(self, key: str) -> bytes:
        if not self.path(key).exists():
            raise imports.NotFound(key)
        return self.path(key).read_bytes()

    def get_range(self, key: str, start: int, end: int, _etag: str | None = None) -> bytes:
        with self.path(key).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def open_range(self, key: str, _etag: str | None = None) -> io.FileIO:
        return io.FileIO(self.path(key))

    def put(self, key: str, data: bytes) -> None:
        self.path(key).write_bytes(data)


def store_in(folder: Path) -> Store:
    """A store of nothing but files."""
    files = cast(Files, FolderFiles(folder))
    return Store(
        table=cast(Any, None), files=files, workflows=cast(Any, None), events=cast(Any, None), partitions=PARTITIONS
    )


def prepared(folder: Path) -> Store:
    """The store in which the file has been planned."""
    store = store_in(folder)
    imports.plan_import(store, "job", KEY, {}, NOW)
    return store


def read_chunks(store: Store) -> Outcome:
    results = [imports.import_chunk(store, "job", chunk.chunk) for chunk in imports.load_plan(store, "job").chunks]
    return sum(result.accepted for result in results), sum(result.rejected for result in results)


# ----------------------------------------------------------------------------- the peers


def with_polars(data: bytes, folder: Path) -> Outcome:
    import polars as pl

    text = pl.read_csv(io.BytesIO(data), infer_schema=False, row_index_name="row", row_index_offset=1)
    trimmed = [pl.col(name).str.strip_chars().str.normalize("NFC").replace("", None) for name in (*IDS, *TEXTS)]
    checked = text.with_columns(trimmed).with_columns(
        pl.col("orderedAt").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us").alias("at"),
        pl.col("quantity").cast(pl.Float64, strict=False).alias("q"),
        pl.col("unitPrice").cast(pl.Float64, strict=False).alias("p"),
    )
    bad = {
        name: pl.col(name).is_null() | (pl.col(name).str.len_bytes() > 256) | pl.col(name).str.contains(r"\p{Cc}")
        for name in IDS
    }
    bad |= {
        name: ((pl.col(name).str.len_bytes() > 4096) | pl.col(name).str.contains("\0", literal=True)).fill_null(False)
        for name in TEXTS
    }
    bad |= {
        "orderedAt": pl.col("at").is_null()
        | ~pl.col("at").is_between(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None)),
        "quantity": pl.col("q").is_null() | ~pl.col("q").is_finite(),
        "unitPrice": pl.col("p").is_null() | ~pl.col("p").is_finite() | (pl.col("p") < 0),
    }
    any_bad = pl.any_horizontal(expression.fill_null(True) for expression in bad.values())
    rejects = pl.concat(
        checked.filter(expression).select("row", pl.lit(name).alias("field"), pl.col(name).alias("value"))
        for name, expression in bad.items()
    )
    rejects.sort("row").write_csv(folder / "rejects.csv")
    good = checked.filter(~any_bad).select(
        "row", "customerId", "orderId", orderedAt="at", quantity="q", unitPrice="p", amount=pl.col("q") * pl.col("p"),
        sku="sku", category="category", channel="channel", part=pl.col("customerId").hash() % PARTITIONS,
    )  # fmt: skip
    for (part,), rows in good.partition_by("part", as_dict=True, include_key=False).items():
        rows.write_parquet(folder / f"part={part}.parquet", compression="zstd", compression_level=1, statistics=False)
    return len(good), rejects["row"].n_unique()


def with_duckdb(data: bytes, folder: Path) -> Outcome:
    import duckdb

    source = folder / "source.csv"
    source.write_bytes(data)
    database = duckdb.connect(config={"threads": 1})
    bad = {
        name: f'("{name}" is null or strlen("{name}") > 256 or regexp_matches("{name}", \'[[:cntrl:]]\'))'
        for name in IDS
    }
    bad |= {name: f'coalesce(strlen("{name}") > 4096 or contains("{name}", chr(0)), false)' for name in TEXTS}
    bad |= {
        "orderedAt": f"(instant is null or instant not between '{EARLIEST:%Y-%m-%d}' and '{LATEST:%Y-%m-%d}')",
        "quantity": "(q is null or not isfinite(q))",
        "unitPrice": "(p is null or not isfinite(p) or p < 0)",
    }
    trimmed = ", ".join(f'nullif(nfc_normalize(trim("{name}")), \'\') as "{name}"' for name in (*IDS, *TEXTS))
    database.execute(
        f"""create temp table checked as select row_number() over () as row, {trimmed}, "orderedAt",
        quantity, "unitPrice", try_cast("orderedAt" as timestamp) as instant, try_cast(quantity as double) as q,
        try_cast("unitPrice" as double) as p from read_csv('{source}', all_varchar=true, header=true)"""
    )
    rejects = " union all ".join(
        f"select row, '{name}' as field, \"{name}\" as value from checked where {rule}" for name, rule in bad.items()
    )
    database.execute(f"copy (select * from ({rejects}) order by row) to '{folder / 'rejects.csv'}'")
    any_bad = " or ".join(bad.values())
    columns = 'row, "customerId", "orderId", instant as "orderedAt", q as quantity, p as "unitPrice", q * p as amount'
    database.execute(
        f"""copy (select {columns}, sku, category, channel, hash("customerId") % {PARTITIONS} as part
        from checked where not ({any_bad})) to '{folder / "parts"}'
        (format parquet, compression zstd, compression_level 1, partition_by (part))"""
    )
    accepted, rejected = database.execute(
        f"select count(*) filter (not ({any_bad})), count(*) filter ({any_bad}) from checked"
    ).fetchone() or (0, 0)
    return accepted, rejected


def with_pandas(data: bytes, folder: Path) -> Outcome:
    import pandas as pd

    text = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, na_values=[""])
    text["row"] = np.arange(1, len(text) + 1)
    at = pd.to_datetime(text["orderedAt"], format="%Y-%m-%d %H:%M:%S", errors="coerce")
    quantity, price = (pd.to_numeric(text[name], errors="coerce") for name in ("quantity", "unitPrice"))
    for name in (*IDS, *TEXTS):
        text[name] = text[name].str.strip().str.normalize("NFC").replace("", None)
    bad = {
        name: text[name].isna() | (text[name].str.len() > 256) | text[name].str.contains(CONTROL, na=False)
        for name in IDS
    }
    bad |= {
        name: (text[name].str.len() > 4096) | text[name].str.contains("\0", regex=False, na=False) for name in TEXTS
    }
    bad["orderedAt"] = at.isna() | ~at.between(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None))
    bad["quantity"] = ~np.isfinite(quantity)
    bad["unitPrice"] = ~np.isfinite(price) | (price < 0)
    any_bad = np.logical_or.reduce([mask.to_numpy() for mask in bad.values()])
    rejects = [
        text.loc[mask, ["row", name]].rename(columns={name: "value"}).assign(field=name) for name, mask in bad.items()
    ]
    pd.concat(rejects).sort_values("row").to_csv(folder / "rejects.csv", index=False)
    good = text[["row", "customerId", "orderId", *TEXTS]].assign(
        orderedAt=at, quantity=quantity, unitPrice=price, amount=quantity * price
    )[~any_bad]
    codes, ids = pd.factorize(good["customerId"])
    partition = np.array([zlib.crc32(value.encode()) % PARTITIONS for value in ids])[codes]
    for part, rows in good.groupby(partition):
        rows.to_parquet(folder / f"part={part}.parquet", compression="zstd", index=False)
    return len(good), int(any_bad.sum())


Identifier = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4096, pattern=r"^[^\x00]*$")]


class Line(BaseModel):
    """One row, as pydantic checks it."""

    orderId: Identifier
    customerId: Identifier
    orderedAt: datetime
    quantity: Annotated[float, Field(allow_inf_nan=False)]
    unitPrice: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    sku: Text
    category: Text
    channel: Text

    @field_validator("orderedAt")
    @classmethod
    def _sensible(cls, value: datetime) -> datetime:
        if not EARLIEST <= value.replace(tzinfo=UTC) <= LATEST:
            raise ValueError("is outside")
        return value


def with_pydantic(data: bytes, folder: Path) -> Outcome:
    good: list[list[dict[str, Any]]] = [[] for _ in range(PARTITIONS)]
    rejects = []
    for row, record in enumerate(csv.DictReader(io.StringIO(data.decode())), 1):
        try:
            line = Line.model_validate(record)
        except ValidationError as error:
            rejects += [(row, problem["loc"][0], problem["input"], problem["msg"]) for problem in error.errors()]
            continue
        kept = line.model_dump() | {"row": row, "amount": line.quantity * line.unitPrice}
        good[zlib.crc32(line.customerId.encode()) % PARTITIONS].append(kept)
    with (folder / "rejects.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rejects)
    for part, rows in enumerate(good):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"part={part}.parquet", compression="zstd")
    return sum(map(len, good)), len({reject[0] for reject in rejects})


# ------------------------------------------------------------------------------- the run


def measured(work: Callable[[Path], Outcome], prepare: Callable[[Path], object]) -> tuple[float, Outcome, float]:
    """Processor seconds of one round in a fresh folder, what it counted, and the sum of the amounts that it wrote."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        gc.collect()
        begin = time.process_time()
        outcome = work(folder)
        seconds = time.process_time() - begin
        written = [
            pq.read_table(path, columns=["amount"], partitioning=None)["amount"] for path in folder.rglob("*.parquet")
        ]
        return seconds, outcome, sum(pa.compute.sum(amounts).as_py() for amounts in written)


def head_of(data: bytes, rows: int) -> bytes:
    """The header and the first rows."""
    end = 0
    for _ in range(rows + 1):
        end = data.index(b"\n", end) + 1
    return data[:end]


def compare(rows: int) -> None:
    data = generated(rows)
    sample = head_of(data, min(SAMPLE, rows))
    scale = rows / min(SAMPLE, rows)

    def drop(folder: Path) -> None:
        FolderFiles(folder).put(KEY, data)

    def plan(folder: Path) -> None:
        drop(folder)
        prepared(folder)

    contestants: dict[str, tuple[Callable[[Path], Outcome], Callable[[Path], None], float]] = {
        ENGINE: (lambda folder: read_chunks(store_in(folder)), plan, 1.0),
        "the same with plan_import": (lambda folder: read_chunks(prepared(folder)), drop, 1.0),
        "polars": (lambda folder: with_polars(data, folder), drop, 1.0),
        "duckdb try_cast": (lambda folder: with_duckdb(data, folder), drop, 1.0),
        "pandas": (lambda folder: with_pandas(data, folder), drop, 1.0),
        f"pydantic per row, {SAMPLE:,} rows, scaled": (lambda folder: with_pydantic(sample, folder), drop, scale),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    found: dict[str, tuple[Outcome, float]] = {}
    for _ in range(ROUNDS):
        for name, (work, prepare, factor) in contestants.items():
            taken, outcome, amount = measured(work, prepare)
            seconds[name].append(taken * factor)
            found[name] = (outcome, round(amount, 2))
    for name, result in found.items():
        if "scaled" not in name and result != found[ENGINE]:
            raise SystemExit(f"{name} disagrees: {result} instead of {found[ENGINE]}")
    rejected = found[ENGINE][0][1]
    title = f"{rows:,} rows, {len(data) / 1e6:.0f} MB, {rejected:,} rejected, {PARTITIONS} partitions"
    print(f"\n{title}, median of {ROUNDS}\n")
    print("| contestant | seconds of one core | rows a second | times import_chunk |\n|---|---|---|---|")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} | {rows / value:,.0f} | {value / medians[ENGINE]:.1f} |", flush=True)


def peak_mb() -> float:
    """Of this process alone: what `getrusage` tells is inherited from the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memory(rows: int) -> None:
    """Peak memory of one process that plans a file and reads all its chunks, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = f"import benchmarks.imports as b; from pathlib import Path; b.drop_generated(Path({name!r}), {rows})"
        subprocess.run([sys.executable, "-c", code], check=True)
        started = peak_mb()
        store = prepared(folder)
        planned = peak_mb()
        chunks = imports.load_plan(store, "job").chunks
        for chunk in chunks:
            imports.import_chunk(store, "job", chunk.chunk)
        size = FolderFiles(folder).path(KEY).stat().st_size / 1e6
        print(
            f"| {rows:,} | {size:.0f} | {len(chunks)} | {started:.0f} | {planned:.0f} | {peak_mb():.0f} |", flush=True
        )


def drop_generated(folder: Path, rows: int) -> None:
    """In a process of its own, so that making the file does not count."""
    FolderFiles(folder).put(KEY, generated(rows))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    if arguments.memory:
        memory(arguments.rows)
        return
    print(describe())
    compare(arguments.rows)
    print("\n| rows | MB | chunks | MB at start | peak MB after planning | peak MB after reading |")
    print("|---|---|---|---|---|---|", flush=True)
    for rows in (arguments.rows, 4 * arguments.rows):
        subprocess.run([sys.executable, "-m", "benchmarks.imports", "--memory", str(rows)], check=True)


if __name__ == "__main__":
    if os.environ.get("POLARS_MAX_THREADS") != "1":
        os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.imports", *sys.argv[1:]])
    main()
