"""How long a function takes to start: a fresh process that imports `app.py` and makes its first client, against a bare
client.

`python -m benchmarks.start [--rounds N]` prints medians, the ratio to `boto3.client("dynamodb")` measured in the same
run, and the heaviest imports of one function that does not compute.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
BARE = 'import boto3; boto3.client("dynamodb")'
TARGET = 1.6
"""What a function that does not compute may take, in bare clients."""

LIGHT = ("get_segment", "list_customer_segments", "analyze_segment", "list_members", "start_run", "create_export")
COMPUTING = ("preview_segment", "assign_customers", "get_customer", "evaluate_partition")
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT / "layers" / "segmentation"),
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "TABLE_NAME": "t",
    "BUCKET_NAME": "b",
    "PARTITIONS": "1",
}


def code_of(function: str) -> str:
    """What Lambda does before the first request, and the client that the request needs first."""
    app = ROOT / "functions" / function / "app.py"
    return f"import runpy; runpy.run_path({str(app)!r}); from segmentation.runtime import store; store()"


def seconds(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True)
    return time.perf_counter() - begin


def heaviest(code: str, count: int = 12) -> list[tuple[float, str]]:
    """Cumulative milliseconds of the top-level packages that a process imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = {}
    for line in done.stderr.splitlines():
        parsed = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line)
        if parsed:
            package = parsed[2].split(".")[0]
            found[package] = found.get(package, 0) + int(parsed[1]) / 1000
    return sorted(((own, package) for package, own in found.items()), reverse=True)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    codes = {"bare client": BARE, **{name: code_of(name) for name in (*LIGHT, *COMPUTING)}}
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            taken[name].append(seconds(code))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{describe()}\n\nMedian of {rounds} fresh processes, in turn.\n")
    print("| process | ms | x bare client |\n|---|---:|---:|")
    for name, value in medians.items():
        print(f"| {name} | {value * 1000:.0f} | {value / medians['bare client']:.2f} |")
    worst = max(medians[name] for name in LIGHT) / medians["bare client"]
    print(f"\nWorst function that does not compute: {worst:.2f} bare clients (target at most {TARGET}).\n")
    print("| package | ms of its own modules, get_segment |\n|---|---:|")
    for own, package in heaviest(code_of("get_segment")):
        print(f"| {package} | {own:.0f} |")


if __name__ == "__main__":
    main()
