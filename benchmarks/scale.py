"""docs/scale.md: what a service of any size needs and costs, from the rates in docs/benchmarks.md and stated prices.

`python -m benchmarks.scale` reads the section "Runs" of docs/benchmarks.md and writes the tables of docs/scale.md anew;
a test holds the one to the other. It measures nothing itself.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segmentation import pricing

ROOT = Path(__file__).parents[1]
RATES, PAGE = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "scale.md"
BEGIN, END = "<!-- written by benchmarks.scale: {} -->", "<!-- end of {} -->"

SIZES = (1_000_000, 10_000_000, 100_000_000)
PARTITION = 200_000
"""Customers of a partition in a deployment."""

CONCURRENCY = 40
"""Workers at a time: the default of `MapConcurrency`."""

LONGEST = 900
"""Seconds after which Lambda ends a function."""

TABLE_UNITS = 40_000
"""Write units a second of a table on demand: AWS's default quota."""

WAIT, FILE_WAIT = 0.005, 0.02
"""Seconds that a function is assumed to wait for an answer of the table and of S3, one request after the other."""

GROUPS = 69
BATCH = 25
UNITS_OF_A_CHANGE = 4
"""Write units: a membership and its copy in the index, an entry of the history and its copy."""

MEMBERSHIP_BYTES = 750
"""An item of about 275 bytes, its copy in the index, and the 100 bytes that DynamoDB adds to each."""

FILE_GIGABYTE_MONTH, TABLE_GIGABYTE_MONTH = 0.023, 0.25
"""US dollars for storage: S3 Standard, a table of the standard class."""

FULL, CHANGED, AGAIN = "full run", "1% changed", "1% changed, fitted again"
NIGHTS, NIGHTS_WITH_FITS = 26, 4


@dataclass(frozen=True)
class Used:
    """What the workers of one step used together."""

    workers: int
    seconds: float
    table_reads: int
    table_writes: int
    file_reads: int
    file_writes: int


@dataclass(frozen=True)
class Line:
    """`at + slope * partitions`: seconds of a step that one process does for all partitions."""

    at: float
    slope: float

    def of(self, partitions: int) -> float:
        """Seconds for so many partitions."""
        return max(self.at + self.slope * partitions, 0.0)


@dataclass(frozen=True)
class Rates:
    """What was measured: by run and step, and what was written."""

    customers: int
    memberships: int
    runs: Mapping[str, Mapping[str, Used]]
    written: Mapping[str, int]
    seconds_of_a_batch: float
    file_bytes: float
    fit: Line
    finish: Line


@dataclass(frozen=True)
class Plan:
    """One run of a deployment."""

    partitions: int
    workers: int
    longest: float
    duration: float
    writes: float
    reads: float
    files_read: int
    files_written: int
    transitions: int
    changes: float
    parts: Mapping[str, float]
    cost: float
    last_steps: Mapping[str, float]
    """Seconds of the steps that one process does for all partitions."""

    @property
    def table_seconds(self) -> float:
        """How long the table takes for memberships and history at its default quota."""
        return self.changes * UNITS_OF_A_CHANGE / TABLE_UNITS


def rates(text: str) -> Rates:
    """The rates in docs/benchmarks.md. Raises ValueError where the section is not what `benchmarks.run` prints."""
    section = text.split("`python -m benchmarks.run`")[1].split("\n## ")[0]

    def number(pattern: str) -> float:
        found = re.search(pattern, section)
        if found is None:
            raise ValueError(f"docs/benchmarks.md has no {pattern!r} in the section Runs: run benchmarks.run again")
        return float(found[1].replace(",", ""))

    runs: dict[str, dict[str, Used]] = {}
    table = r"^\| ([^|]+) \| (\w+) \| (\d+) \| ([\d.]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$"
    for run, step, workers, seconds, *counts in re.findall(table, section, re.MULTILINE):
        units = [int(count.replace(",", "")) for count in counts]
        runs.setdefault(run, {})[step] = Used(int(workers), float(seconds), *units)
    growth = re.findall(
        r"^\| [\d,]+ \| (\d+) \| [\d.]+ \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \| \d+ \|$", section, re.MULTILINE
    )
    fits = [(int(partitions), float(fit)) for partitions, fit, _ in growth]
    ends = [(int(partitions), float(finish)) for partitions, _, finish in growth]
    return Rates(
        customers=int(number(r"([\d,]+) customers in")),
        memberships=int(number(r"models: ([\d,]+) memberships")),
        runs=runs,
        written={run: int(number(rf"([\d,]+) in the {re.escape(run)}[,.]")) for run in (FULL, CHANGED, AGAIN)},
        seconds_of_a_batch=number(r"([\d.]+) ms for each batch") / 1000,
        file_bytes=number(r"their orders: ([\d,]+) MiB") * 2**20,
        fit=_line(fits),
        finish=_line(ends),
    )


def _line(points: list[tuple[int, float]]) -> Line:
    """Through the smallest and the largest measured number of partitions."""
    (few, low), (many, high) = min(points), max(points)
    slope = max((high - low) / (many - few), 0.0)
    return Line(low - slope * few, slope)


def plan(measured: Rates, run: str, customers: int) -> Plan:
    """A run of a deployment with so many customers."""
    used, partitions = measured.runs[run], math.ceil(customers / PARTITION)
    changes = measured.written[run] / measured.customers * customers
    mapped = [step for step in ("measure", "describe", "evaluate") if step in used]
    usage: dict[str, dict[str, int]] = {}
    last_steps: dict[str, float] = {}
    duration = longest = 0.0
    for step in mapped:
        found = used[step]
        batches = changes / BATCH / partitions if step == "evaluate" else 0.0
        requests = found.table_reads / found.workers + batches
        worker = found.seconds / measured.customers * PARTITION + batches * measured.seconds_of_a_batch
        worker += requests * WAIT + (found.file_reads + found.file_writes) / found.workers * FILE_WAIT
        longest = max(longest, worker)
        duration += math.ceil(partitions / CONCURRENCY) * worker
        usage[step] = {
            "milliseconds": round(worker * partitions * 1000),
            "tableReads": round(found.table_reads / found.workers * partitions),
            "tableWrites": round(found.table_writes / measured.customers * customers),
            "fileReads": round(found.file_reads / found.workers * partitions),
            "fileWrites": round(found.file_writes / found.workers * partitions),
        }
    for step, line in (("fit", measured.fit), ("finish", measured.finish)):
        if step in used:
            read = used[step].file_reads / used[mapped[0]].workers * partitions
            last_steps[step] = line.of(partitions) + read * FILE_WAIT
            duration += last_steps[step]
            usage[step] = {
                "milliseconds": round(last_steps[step] * 1000),
                "tableReads": used[step].table_reads,
                "tableWrites": used[step].table_writes,
                "fileReads": round(read),
                "fileWrites": used[step].file_writes,
            }
    done = dict.fromkeys(mapped, partitions) | ({"fit": 1} if "fit" in used else {})
    cost = pricing.estimate(usage, done, round(changes), GROUPS, partitions)
    total = {name: sum(step[name] for step in usage.values()) for name in next(iter(usage.values()))}
    transitions = round(cost.parts["workflow"] / pricing.PRICES["stateTransition"])
    return Plan(
        partitions=partitions,
        workers=partitions * len(mapped),
        longest=longest,
        duration=duration,
        writes=total["tableWrites"],
        reads=total["tableReads"],
        files_read=total["fileReads"],
        files_written=total["fileWrites"],
        transitions=transitions,
        changes=changes,
        parts=cost.parts,
        cost=cost.total,
        last_steps=last_steps,
    )


def tables(measured: Rates) -> dict[str, str]:
    """Every table of docs/scale.md by its name."""
    found = {run: [plan(measured, run, size) for size in SIZES] for run in (FULL, CHANGED, AGAIN)}
    return {
        "prices": _prices(),
        "a night": _run(found[CHANGED]),
        "a night with fits": _run(found[AGAIN]),
        "the first run": _run(found[FULL]),
        "a month": _month(measured, found),
        "limits": _limits(found),
    }


def _prices() -> str:
    units = {
        "gigabyteSecond": "Lambda on arm64, a GB-second",
        "invocation": "Lambda, a million calls",
        "stateTransition": "Step Functions, a thousand state transitions",
        "tableWriteUnit": "DynamoDB on demand, a million write units",
        "tableReadUnit": "DynamoDB on demand, a million read units",
        "filePut": "S3, a thousand PUT, LIST",
        "fileGet": "S3, a thousand GET, HEAD",
        "event": "EventBridge, a million events",
    }
    scales = {"a million": 1e6, "a thousand": 1e3}
    lines = []
    for name, unit in units.items():
        scale = next((factor for words, factor in scales.items() if words in unit), 1.0)
        price = f"{pricing.PRICES[name] * scale:.10f}".rstrip("0").rstrip(".")
        lines.append(f"| {unit} | ${price} |")
    lines.append(f"| S3, a GB for a month | ${FILE_GIGABYTE_MONTH} |")
    lines.append(f"| DynamoDB, a GB for a month | ${TABLE_GIGABYTE_MONTH} |")
    return "\n".join(["| what | price |", "|---|---:|", *lines])


def _run(plans: list[Plan]) -> str:
    rows = {
        "partitions": [f"{p.partitions:,}" for p in plans],
        "workers": [f"{p.workers:,}" for p in plans],
        "the longest worker": [_time(p.longest) for p in plans],
        f"duration, {CONCURRENCY} workers at a time": [_time(p.duration) for p in plans],
        "memberships that change": [f"{p.changes:,.0f}" for p in plans],
        "write units of the workers": [f"{p.writes:,.0f}" for p in plans],
        "read units": [f"{p.reads:,.0f}" for p in plans],
        "S3: GET, HEAD": [f"{p.files_read:,}" for p in plans],
        "S3: PUT, LIST": [f"{p.files_written:,}" for p in plans],
        "state transitions": [f"{p.transitions:,}" for p in plans],
        "events": [f"{p.changes:,.0f}" for p in plans],
        **{f"$ {name}": [f"{p.parts[name]:,.4f}" for p in plans] for name in plans[0].parts},
        "**$ a run**": [f"**{p.cost:,.2f}**" for p in plans],
    }
    return _rows(rows)


def _month(measured: Rates, found: Mapping[str, list[Plan]]) -> str:
    runs = [
        NIGHTS * one.cost + NIGHTS_WITH_FITS * other.cost
        for one, other in zip(found[CHANGED], found[AGAIN], strict=True)
    ]
    files = [measured.file_bytes / measured.customers * size / 1e9 for size in SIZES]
    members = [measured.memberships / measured.customers * size * MEMBERSHIP_BYTES / 1e9 for size in SIZES]
    told = [
        (NIGHTS * one.changes + NIGHTS_WITH_FITS * other.changes) * MEMBERSHIP_BYTES / 1e9
        for one, other in zip(found[CHANGED], found[AGAIN], strict=True)
    ]
    storage = [
        two_files * FILE_GIGABYTE_MONTH * 2 + held * TABLE_GIGABYTE_MONTH
        for two_files, held in zip(files, members, strict=True)
    ]
    return _rows(
        {
            f"$ {NIGHTS} nights, and {NIGHTS_WITH_FITS} with fits": [f"{cost:,.2f}" for cost in runs],
            "GB of files, two versions each": [f"{2 * size:,.1f}" for size in files],
            "GB of memberships": [f"{size:,.1f}" for size in members],
            "GB of history that a month adds": [f"{size:,.1f}" for size in told],
            "$ storage, history aside": [f"{cost:,.2f}" for cost in storage],
            "**$ a month**": [f"**{run + held:,.2f}**" for run, held in zip(runs, storage, strict=True)],
        }
    )


def _limits(found: Mapping[str, list[Plan]]) -> str:
    rows: dict[str, list[str]] = {}
    for run, plans in found.items():
        rows[f"{run}: {CONCURRENCY} workers at a time"] = [_time(p.duration) for p in plans]
        rows[f"{run}: {TABLE_UNITS:,} write units a second"] = [_time(p.table_seconds) for p in plans]
        rows[f"{run}: what binds first"] = [
            "the table" if p.table_seconds > p.duration else "the workers" for p in plans
        ]
    for name, step in (("fit_models", "fit"), ("finish_run", "finish")):
        rows[f"{name}, of {LONGEST} s"] = [_time(p.last_steps.get(step, 0.0)) for p in found[AGAIN]]
    return _rows(rows)


def _rows(rows: Mapping[str, list[str]]) -> str:
    head = ["| | 1 million | 10 million | 100 million |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def written(page: str, measured: Rates) -> str:
    """The page with its tables made anew. Raises ValueError for one without the marks of a table."""
    for name, table in tables(measured).items():
        begin, end = BEGIN.format(name), END.format(name)
        if begin not in page or end not in page:
            raise ValueError(f"docs/scale.md has no marks {begin!r} and {end!r}")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end)[1]}"
    return page


def main() -> None:
    PAGE.write_text(written(PAGE.read_text(), rates(RATES.read_text())))


if __name__ == "__main__":
    main()
