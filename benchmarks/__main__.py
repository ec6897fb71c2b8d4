"""All benchmarks one after the other: `python -m benchmarks` writes docs/benchmarks.md, with the machine.

The tables of docs/scale.md follow from it and are written too.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import scale
from benchmarks.machine import describe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
BENCHMARKS = {
    "rules": "Rules: 50 segments of 5 conditions over a million customers",
    "features": "Features: ten million orders of a million customers",
    "imports": "Imports: a million order rows from CSV to staged Parquet",
    "partition": "One partition of 200,000 customers through every step of a worker",
    "clustering": "Clustering: k-means and choosing k over a million customers",
    "silhouette": "Silhouettes: exact over 20,000 customers",
    "hierarchy": "Hierarchical clustering: exact and on micro-clusters",
    "lifetime": "Lifetime: BG/NBD and Gamma-Gamma for a million customers",
    "scoring": "Scoring: RFM names and clusters of two million customers",
    "models": "Models: fits of a million customers in the memory of a function",
    "pooling": "Pooling: fits on a sample and on counts beside fits on everybody",
    "run": "Runs: fifty segments and three models over a million customers",
    "start": "Start of a function: a fresh process",
}
INTRODUCTION = """\
Ours beside the peer that one would use instead, in one run, medians, on data of the stated size. The machine is shared
and noisy: compare by ratio. `make bench` measures again and writes this page; the scripts are in `benchmarks/`."""


def output_of(name: str) -> str:
    """What a benchmark prints, shown when it is done."""
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout.strip()


def main() -> None:
    parts = ["# Benchmarks", INTRODUCTION, f"Measured on {datetime.now(UTC):%Y-%m-%d}: {describe()}."]
    for name, title in BENCHMARKS.items():
        parts += [f"## {title}", f"`python -m benchmarks.{name}`", output_of(name)]
    PAGE.write_text("\n\n".join(parts) + "\n")
    scale.main()


if __name__ == "__main__":
    main()
