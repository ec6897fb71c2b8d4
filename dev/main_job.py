"""The main job on a running stack: a shop's files go in, segments and models come out, and tables say what they found.

`python -m dev.main_job` is safe to repeat: what is there already is left alone. `--token` only prints an access token.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dev.client import Client, Json
from dev.local import REPOSITORY, Local, LocalStackError
from dev.main_job_models import print_models, publish_models, start_models
from dev.main_job_run import print_run, run_once
from dev.main_job_segments import SEGMENTS

DATASETS = ("customers", "orders", "events")
FOLDER = "shop"
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 300
ENDED = ("succeeded", "failed")


def main_job(client: Client) -> None:
    """Import the shop, create segments and models, run everything once, print what came of it and what to try next.

    Raises LocalStackError.
    """
    client.sign_in()
    import_shop(client)
    start_models(client)
    create_segments(client)
    publish_models(client)
    run_once(client)
    print_table([describe(client, segment["segmentId"]) for segment in SEGMENTS])
    print_models(client)
    print_run(client)
    print_next_steps(client)


# ------------------------------------------------------------------- imports


def import_shop(client: Client) -> None:
    """Drop the files whose import has not succeeded yet, and wait for all of them."""
    found = import_jobs(client)
    missing = [name for name in DATASETS if found.get(name, {}).get("status", "failed") == "failed"]
    if not missing and all(found[name]["status"] == "succeeded" for name in DATASETS):
        print("The shop is already imported.")
        return
    if missing:
        drop(client, missing)
    follow(client, {name: found.get(name, {}).get("jobId", "") for name in missing})


def drop(client: Client, datasets: Sequence[str]) -> None:
    """Generate the shop and put its files into the bucket, each mapping before its file."""
    # numpy and pyarrow are needed for this alone; a resumed stack does without.
    from dev import shop

    folder = client.local.directory / FOLDER
    made = shop.generate(folder)
    print(f"A shop of {made.customers:,} customers and {made.orders:,} orders is generated.")
    for name in datasets:
        file = folder / f"{name}.csv"
        client.upload(file.with_name(f"{file.name}.mapping.json"), f"{object_key(name)}.mapping.json")
        client.upload(file, object_key(name))
        print(f"  {object_key(name)}: {made.rows[name]:,} rows, {made.dirty[name]:,} of them dirty on purpose")


def follow(client: Client, before: Mapping[str, str]) -> None:
    """Show the imports' progress until all have ended. `before` are jobs of earlier attempts, which do not count.

    Raises LocalStackError for an import that fails, or that shows no progress for a long time.
    """
    shown: dict[str, str] = {}
    moved = time.monotonic()
    while True:
        current = {name: job for name, job in import_jobs(client).items() if job["jobId"] != before.get(name)}
        for name, job in current.items():
            line = progress(job)
            if shown.get(name) != line:
                print(f"  {name:<10} {line}", flush=True)
                shown[name], moved = line, time.monotonic()
            if job["status"] == "failed":
                raise LocalStackError(f"The import of {name} failed (job {job['jobId']}): {job.get('error')}.")
        if len(current) == len(DATASETS) and all(job["status"] == "succeeded" for job in current.values()):
            return
        if time.monotonic() - moved > PATIENCE_SECONDS:
            waiting = [name for name in DATASETS if current.get(name, {}).get("status") != "succeeded"]
            raise LocalStackError(
                f"Nothing has moved for {PATIENCE_SECONDS} s while importing {', '.join(waiting)}: "
                f"read {client.local.directory / 'ministack.log'}."
            )
        time.sleep(POLL_SECONDS)


def import_jobs(client: Client) -> dict[str, Json]:
    """The newest import job of each file of the shop, with its counts."""
    newest: dict[str, Json] = {}
    token: str | None = None
    while True:
        page = client.get("/jobs", limit=100, **({"nextToken": token} if token else {}))
        for job in page["items"]:
            for name in DATASETS:
                if job["kind"] == "import" and job["details"].get("key") == object_key(name):
                    newest.setdefault(name, job)
        token = page.get("nextToken")
        if not token or len(newest) == len(DATASETS):
            break
    return {
        name: job if job["status"] in ENDED else client.get(f"/jobs/{job['jobId']}") for name, job in newest.items()
    }


def progress(job: Json) -> str:
    """One line about an import: `running: 3 of 10 parts done`, or its counts once it has ended."""
    if job["status"] == "succeeded":
        counts = job["counts"]
        return f"imported: {counts.get('accepted', 0):,} rows, {counts.get('rejected', 0):,} rejected with reasons"
    parts = job.get("progress")
    return f"{job['status']}: {parts['done']} of {parts['total']} parts done" if parts else str(job["status"])


def object_key(dataset: str) -> str:
    """Where a file of the shop is dropped."""
    return f"imports/{dataset}/{FOLDER}/{dataset}.csv"


# ------------------------------------------------------------------ segments


def create_segments(client: Client) -> None:
    """Create the segments that are missing and wait until every one is evaluated."""
    missing = [segment for segment in SEGMENTS if client.find(f"/segments/{segment['segmentId']}") is None]
    for segment in missing:
        made = client.post("/segments", segment)
        print(f"  {segment['segmentId']:<22} created: {made['customerCount']:,} customers", flush=True)
    if not missing:
        print("The segments are already there.")
    deadline = time.monotonic() + PATIENCE_SECONDS
    for segment in SEGMENTS:
        while (state := client.get(f"/segments/{segment['segmentId']}"))["status"] == "evaluating":
            if time.monotonic() > deadline:
                raise LocalStackError(f"The segment {segment['segmentId']} is still being evaluated; run this again.")
            time.sleep(POLL_SECONDS)
        if state["status"] != "active":
            reason = state.get("statusReason") or "no reason is given"
            raise LocalStackError(f"The segment {segment['segmentId']} is {state['status']}: {reason}.")


def describe(client: Client, segment_id: str) -> tuple[str, int, float, float, str]:
    """Name, customers, share of customers, share of revenue, and a member."""
    path = f"/segments/{segment_id}"
    segment = client.get(path)
    metrics = client.get(f"{path}/analysis", metrics="share,revenueShare")["metrics"]
    members = client.get(f"{path}/members", limit=1)["items"]
    example = members[0]["customerId"] if members else "-"
    return segment["segmentName"], segment["customerCount"], metrics["share"], metrics["revenueShare"] or 0.0, example


# -------------------------------------------------------------------- output


def print_table(rows: Sequence[tuple[str, int, float, float, str]]) -> None:
    print()
    print(f"{'segment':<28} {'customers':>9} {'of customers':>13} {'of revenue':>11}  example member")
    for name, customers, share, revenue, example in rows:
        print(f"{name:<28} {customers:>9,} {share:>13.1%} {revenue:>11.1%}  {example}")


def print_next_steps(client: Client) -> None:
    """The base address and three commands that work as they stand, in the repository's folder."""
    url, bucket = client.description["apiUrl"], client.description["bucket"]
    endpoint, region = client.description["endpointUrl"], client.description["region"]
    directory = _relative(client.local.directory)
    python = f"{'' if directory == '.local' else f'STACK_DIR={directory} '}{_relative(Path(sys.executable))}"
    print(f"""
Base URL: {url}

Three commands to try next, after
   API='{url}'
   TOKEN=$({python} -m dev.main_job --token)

1. Read a segment's members.
   curl -s -H "Authorization: Bearer $TOKEN" "$API/segments/champions/members?limit=3"

2. Count loyal customers who are about to leave, condition by condition, without saving the rule.
   curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$API/segments/preview" -d \\
     '{{"criteria": [{{"attribute": "rfm.segment", "operator": "in", "value": ["champions", "loyal"]}}, \
{{"attribute": "churn.risk", "operator": "gte", "value": 0.4}}]}}'

3. Drop a file with a new customer, and look at its job.
   printf 'customerId,country,city\\nmy-first,AT,Vienna\\n' | \\
     curl -s --aws-sigv4 aws:amz:{region}:s3 --user test:test -X PUT --data-binary @- \\
     '{endpoint}/{bucket}/imports/customers/mine.csv'
   sleep 5; curl -s -H "Authorization: Bearer $TOKEN" "$API/jobs?limit=1"
""")


def _relative(path: Path) -> str:
    """A path as one would type it in the repository's folder."""
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.main_job", description="Do the main job on a running stack.")
    parser.add_argument("--token", action="store_true", help="print an access token and do nothing else")
    options = parser.parse_args(arguments)
    try:
        client = Client.of(Local.from_environment())
        if options.token:
            print(client.sign_in())
        else:
            main_job(client)
    except LocalStackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
