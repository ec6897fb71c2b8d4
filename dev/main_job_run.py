"""A night's run over everything by hand: what it did, what it cost, and how the segmentation is doing after it.

A run that has succeeded before is told again. It knows the service by its API only.
"""

from collections.abc import Sequence

from dev.client import Client, Json
from dev.main_job_models import wait


def run_once(client: Client) -> None:
    """Start a run over all segments, or join the one under way, unless one has succeeded already.

    Raises LocalStackError for a run that fails.
    """
    if latest(client) is None:
        wait(client, [client.post("/runs", {})["jobId"]])


def print_run(client: Client) -> None:
    """The last run over all segments, and the indicators that it measured."""
    run = latest(client)
    lines = run_lines(run) if run else ["none has succeeded"]
    print(f"\nRun over all segments: {lines[0]}")
    for line in [*lines[1:], *kpi_lines(client.get("/kpis"))]:
        print(f"  {line}")


def latest(client: Client) -> Json | None:
    """The newest run over all segments that has succeeded."""
    runs: Sequence[Json] = client.get("/runs", limit=100)["items"]
    whole = [run for run in runs if run["status"] == "succeeded" and _is_whole(run["requested"])]
    return client.get(f"/runs/{whole[0]['jobId']}") if whole else None


def run_lines(run: Json) -> list[str]:
    """What it did and what it would cost in the cloud."""
    counts, cost = run["counts"], run["cost"]
    parts = sorted(cost["parts"].items(), key=lambda part: -part[1])[:2]
    most = " and ".join(f"{name} {dollars:.4f}" for name, dollars in parts)
    return [
        f"{counts['customers']:,} customers in {run['durationSeconds']:.0f} s, "
        f"{counts['entered']:,} entered and {counts['left']:,} left",
        f"in the cloud it would have cost {cost['total']:.4f} dollars, most of it {most}",
    ]


def kpi_lines(kpis: Json) -> list[str]:
    """Coverage, freshness, and segments that hold nearly the same customers."""
    coverage, freshness = kpis["coverage"], kpis["freshness"]
    if coverage is None:
        return [kpis["reason"]]
    lines = [
        f"{coverage['share']:.1%} of customers are in a segment; {len(freshness['staleSegments'])} segments are stale"
    ]
    redundant = [pair for pair in kpis["overlap"]["pairs"] if pair["verdict"] in ("identical", "redundant")]
    if redundant:
        first, second = redundant[0]["segmentIds"]
        lines.append(f"{first} and {second} are nearly the same (Jaccard {redundant[0]['jaccard']:.2f})")
    return lines


def _is_whole(requested: Json) -> bool:
    return requested["segmentIds"] is None and requested["now"] is None and not requested["dryRun"]
