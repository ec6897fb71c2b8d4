"""A whole run at scale: fifty segments and three models over a million customers with ten million orders.

`python -m benchmarks.run [--customers N] [--growth N,N]` drives the real use cases in the order of the state machine,
every worker in a fresh process, over a folder for a bucket and a table that counts, and beside it the script that an
analyst would write (`benchmarks.analyst`). It prints what docs/benchmarks.md shows.
"""

import os

# Libraries read the number of threads when they are loaded, here and in the workers.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_NUM_THREADS"), "1"))

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shop
from benchmarks.aws_client import seconds_of_a_write
from benchmarks.machine import describe
from benchmarks.run_cloud import NOW, Cloud, full_run, prepared
from benchmarks.run_comparison import compared
from benchmarks.run_workers import Step, Taken, brought, told, truth

PARTITION_CUSTOMERS = 62_500
"""A million customers in sixteen partitions; other sizes get as many partitions of this size as they need."""

STREAMED = 2_000
"""Changes of memberships that are carried through the function behind the table's stream."""

LIMIT_SECONDS, LIMIT_MIB, LIMIT_SHARE, LIMIT_EXPONENT, LIMIT_RATIO = 60.0, 1024, 0.25, 1.05, 5.0

Steps = Mapping[str, Step]


@contextmanager
def cloud_of(customers: int, streamed: int = 0) -> Iterator[Cloud]:
    """A service of so many customers, its segments defined and its models published, that has not evaluated yet."""
    with tempfile.TemporaryDirectory() as name:
        cloud = Cloud(Path(name), customers, math.ceil(customers / PARTITION_CUSTOMERS), streamed)
        try:
            prepared(cloud)
            yield cloud
        finally:
            cloud.close()


def seconds(steps: Steps) -> float:
    """Core seconds of all workers together."""
    return sum(step.seconds for step in steps.values())


def requests(steps: Steps) -> Counter[str]:
    """What all workers asked of table and bucket."""
    return sum((step.requests for step in steps.values()), Counter())


def shown(columns: Mapping[str, Steps]) -> str:
    """A table of steps: core seconds of each run, and the memory of the largest worker."""
    names = list(dict.fromkeys(name for steps in columns.values() for name in steps))
    lines = [f"| step | workers | {' | '.join(columns)} | longest worker, s | peak MiB |"]
    lines.append(f"|---|---:|{'---:|' * len(columns)}---:|---:|")
    for name in names:
        found = [steps[name] for steps in columns.values() if name in steps]
        cells = [f"{steps[name].seconds:.1f}" if name in steps else "" for steps in columns.values()]
        longest, peak = max(step.longest for step in found), max(step.peak_mib for step in found)
        lines.append(f"| {name} | {found[0].workers} | {' | '.join(cells)} | {longest:.2f} | {peak:.0f} |")
    totals = " | ".join(f"**{seconds(steps):.1f}**" for steps in columns.values())
    return "\n".join([*lines, f"| **core seconds** | | {totals} | | |"])


def used(columns: Mapping[str, Steps]) -> str:
    """A table of what each step of each run used, as the service notes it with the job: what a run is billed by."""
    names = ("tableReads", "tableWrites", "fileReads", "fileWrites")
    lines = ["| run | step | workers | core seconds | table reads | table writes | file reads | file writes |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|---:|")
    for title, steps in columns.items():
        for name, step in steps.items():
            cells = " | ".join(f"{step.usage.get(asked, 0):,}" for asked in names)
            lines.append(f"| {title} | {name} | {step.workers} | {step.seconds:.2f} | {cells} |")
    return "\n".join(lines)


def verified(cloud: Cloud) -> list[dict[str, Any]]:
    """Who is in which segment by rules and models, per partition; the table must say the same."""
    found, differing = [], 0
    for partition in range(cloud.place.partitions):
        masks, wrong = cloud.elsewhere(truth, partition)
        found.append(masks)
        differing += wrong
    if differing:
        raise SystemExit(f"{differing:,} memberships in the table are not what rules and models say")
    return found


def taken_in(cloud: Cloud, night: int) -> Step:
    """What it takes to bring a hundredth of changed customers, with their orders, into the files."""
    step = Step()
    for partition in range(cloud.place.partitions):
        step.add(cloud.elsewhere(brought, partition, night))
    return step


def moved(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> int:
    """Memberships that began or ended."""
    return sum(int((one[name] ^ other[name]).sum()) for one, other in zip(before, after, strict=True) for name in other)


def written_only(steps: Steps, changes: int, name: str) -> None:
    written = requests(steps)["memberships written"]
    if written != changes:
        raise SystemExit(f"{name} wrote {written:,} memberships, and {changes:,} changed")


def analyst(cloud: Cloud) -> dict[str, Any]:
    """The analyst's script on the same files."""
    command = [sys.executable, "-m", "benchmarks.analyst", str(cloud.place.folder), str(cloud.place.folder / "result")]
    given = json.dumps({"now": NOW.isoformat(), "segments": shop.segments()})
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def growth(sizes: list[int], known: Mapping[int, Steps]) -> tuple[str, float]:
    """Full runs of other sizes, and the exponent with which core seconds grow over all of them."""
    columns = dict(known)
    for size in sizes:
        with cloud_of(size) as cloud:
            columns[size] = full_run(cloud, NOW, refits=True)
    columns = dict(sorted(columns.items()))
    lines = ["| customers | partitions | core seconds | per million customers | fit | finish | peak MiB |"]
    lines.append("|---:|---:|---:|---:|---:|---:|---:|")
    for size, steps in columns.items():
        peak, partitions = max(step.peak_mib for step in steps.values()), math.ceil(size / PARTITION_CUSTOMERS)
        cells = f"{steps['fit'].seconds:.2f} | {steps['finish'].seconds:.2f} | {peak:.0f}"
        total = seconds(steps)
        lines.append(f"| {size:,} | {partitions} | {total:.1f} | {total / size * 1e6:.1f} | {cells} |")
    exponent = np.polyfit(np.log(list(columns)), np.log([seconds(steps) for steps in columns.values()]), 1)[0]
    return "\n".join(lines), float(exponent)


def told_of(cloud: Cloud) -> str:
    """What the function behind the table's stream takes for a change."""
    records = cloud.table.bench_stream()
    taken: Taken = cloud.elsewhere(told, records)
    each = taken.seconds / len(records) * 1e6
    return (
        f"The function behind the table's stream (history, counters, events) takes {each:.0f} microseconds for a "
        f"change, in batches of 500; {len(records):,} were carried through it."
    )


def targets(measured: list[tuple[str, float, float, str]]) -> str:
    lines = ["| target | measured | at most or at least |", "|---|---:|---:|"]
    lines += [f"| {name} | {format(value, form)} | {format(limit, form)} |" for name, value, limit, form in measured]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--growth", default="100000", help="further sizes, such as 100000,5000000; empty for none")
    options = parser.parse_args()
    print(f"{describe()}\n")
    with cloud_of(options.customers, STREAMED) as cloud:
        first = full_run(cloud, NOW, refits=True)
        before = verified(cloud)
        peer = analyst(cloud)
        comparison = compared(cloud.store, peer["found"], before)
        stream = told_of(cloud)
        import_step = taken_in(cloud, 1)
        second = full_run(cloud, NOW + timedelta(hours=20), refits=False)
        after = verified(cloud)
        written_only(second, moved(before, after), "the second run")
        taken_in(cloud, 2)
        third = full_run(cloud, NOW + timedelta(hours=40), refits=True)
        again = verified(cloud)
        stored = sum(path.stat().st_size for path in cloud.place.folder.glob("snapshot/*/*/*"))
        written_only(third, moved(after, again), "the run that fits again")
    members = sum(int(mask.sum()) for masks in before for mask in masks.values())
    columns = {"full run": first, "1% changed": second, "1% changed, fitted again": third}
    million = options.customers / 1e6
    print(
        f"{options.customers:,} customers in {cloud.place.partitions} partitions, {shop.SEGMENTS} segments of "
        f"{shop.CONDITIONS} conditions and {len(before[0]) - shop.SEGMENTS} groups of three models: "
        f"{members:,} memberships.\nEvery worker is a fresh process with one thread; "
        "seconds are the processor's, without the start of the process.\n"
    )
    print(shown(columns), end="\n\n")
    print("Capacity units of the table and requests to the bucket, as the service notes them with the job:\n")
    print(used(columns), end="\n\n")
    rows = [f"{requests(steps)['memberships written']:,} in the {title}" for title, steps in columns.items()]
    print(f"Memberships written: {', '.join(rows)}.")
    writes = requests(first)["requests batch_write_item"]
    print(
        "Every run left exactly the memberships that rules and models say, and wrote those alone that differ.\n"
        f"Taking in the changed customers and their orders beforehand: {import_step.seconds:.1f} s, "
        f"{import_step.peak_mib:.0f} MiB at the most.\n"
        f"The files of the customers and their orders: {stored / 2**20:.0f} MiB.\n"
        f"The AWS client's own work is not in it: {seconds_of_a_write() * 1e3:.1f} ms for each batch of 25 writes, "
        f"{seconds_of_a_write() * writes:.0f} s more for the {writes:,} of the full run.\n{stream}\n"
    )
    print("The analyst's script (pandas, scikit-learn, lifetimes) on the same files, one thread:\n")
    print(comparison, end="\n\n")
    lines = [f"| {name} | {taken:.1f} |" for name, taken in peer["steps"].items()]
    theirs = sum(peer["steps"].values())
    print("\n".join(["| its step | s |", "|---|---:|", *lines, f"| **core seconds** | **{theirs:.1f}** |"]))
    print(f"\nIts memory: {peer['peakMib']:.0f} MiB.\n")
    sizes = [int(size) for size in options.growth.split(",") if size]
    checked = [
        ("core seconds of a full run, a million customers", seconds(first) / million, LIMIT_SECONDS, ".1f"),
        ("memory of a worker, MiB", max(s.peak_mib for c in columns.values() for s in c.values()), LIMIT_MIB, ".0f"),
        ("run after 1% changed, of the full run", seconds(second) / seconds(first), LIMIT_SHARE, ".0%"),
        ("times as fast as the analyst's script", theirs / seconds(first), LIMIT_RATIO, ".1f"),
    ]
    if sizes:
        table, exponent = growth(sizes, {options.customers: first})
        print(table, end="\n\n")
        checked.append(("exponent of growth", exponent, LIMIT_EXPONENT, ".2f"))
    print(targets(checked))


if __name__ == "__main__":
    main()
