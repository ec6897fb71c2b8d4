"""What the README promises to somebody who has just run the main job: its table, and commands that work as printed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from e2e.deployed import Deployed
from e2e.shop_files import Files

from dev.local import REPOSITORY
from dev.main_job_segments import SEGMENTS

TABLE_ROW = re.compile(r"^(.+?) +([\d,]+) +([\d.]+)% +([\d.]+)%  (\S+)$", re.MULTILINE)
with_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def test_the_main_job_prints_what_each_segment_is_worth(stack: Deployed, printed: str) -> None:
    rows = {name: (int(count.replace(",", "")), who) for name, count, _, _, who in TABLE_ROW.findall(printed)}
    assert list(rows) == [segment["segmentName"] for segment in SEGMENTS]
    for segment in SEGMENTS:
        count, example = rows[segment["segmentName"]]
        members = stack.members(segment["segmentId"])
        assert count == len(members) > 0, segment["segmentId"]
        assert example in members


def test_the_main_job_done_again_leaves_everything_as_it_is(printed: str, do_main_job: Callable[[], str]) -> None:
    again = do_main_job()
    assert "The shop is already imported." in again
    assert "The segments are already there." in again
    assert TABLE_ROW.findall(again) == TABLE_ROW.findall(printed)


@with_curl
def test_the_commands_of_in_a_minute_work_as_printed(
    stack: Deployed, printed: str, files: Files, tmp_path: Path
) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = text.partition("## In a minute\n")[2].partition("```\n")[2].partition("```\n")[0]
    # The folder in which one types them: a stack in `.local`, the environment in `.venv`.
    for name, target in ((".local", stack.local.directory), (".venv", Path(sys.prefix)), ("dev", REPOSITORY / "dev")):
        (tmp_path / name).symlink_to(target)
    possible = {len(shoe_lovers(files))}
    created, members, analysis = documents(shell(block, tmp_path, stack))
    possible.add(len(shoe_lovers(files)))
    assert created["segmentId"] == "shoe-lovers", created
    assert created["customerCount"] in possible
    assert len(members["items"]) == 3, members
    assert {member["customerId"] for member in members["items"]} <= shoe_lovers(files)
    assert analysis["metrics"]["size"] == created["customerCount"], analysis
    assert 0 < analysis["metrics"]["revenueShare"] < 1
    assert 0 < analysis["metrics"]["repeatRate"] <= 1


@with_curl
def test_the_commands_that_the_main_job_prints_last_work_as_printed(stack: Deployed, printed: str) -> None:
    lines = printed.partition("Base URL: ")[2].splitlines()
    # Commands are indented; what explains them is not.
    commands = "\n".join(line for line in lines if line.startswith("   "))
    members, preview, jobs = documents(shell(commands, REPOSITORY, stack))
    assert {member["customerId"] for member in members["items"]} <= stack.members("champions")
    counts = {condition["path"]: condition["count"] for condition in preview["conditions"]}
    assert preview["customerCount"] <= min(counts["criteria.all[0]"], counts["criteria.all[1]"]), preview
    assert jobs["items"][0]["details"]["key"] == "imports/customers/mine.csv", jobs
    stack.succeeded(jobs["items"][0]["jobId"])
    assert stack.get("/customers/my-first")["attributes"] == {"country": "AT", "city": "Vienna"}


def shell(commands: str, folder: Path, stack: Deployed) -> str:
    """What commands print that are typed in this folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    environment["STACK_DIR"] = str(stack.local.directory)
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(text: str) -> Iterator[Any]:
    """The JSON documents that stand one behind the other."""
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        found, place = decoder.raw_decode(text, place)
        yield found
        place += len(text[place:]) - len(text[place:].lstrip())


def shoe_lovers(files: Files) -> set[str]:
    """Who bought shoes at least twice in the last 365 days, and lives in Germany, Austria or Switzerland."""
    orders: dict[str, set[str]] = {}
    for row in files.purchases(datetime.now(UTC) - timedelta(days=365)):
        if row["category"] == "shoes" and files.customers[row["customerId"]]["country"] in ("DE", "AT", "CH"):
            orders.setdefault(row["customerId"], set()).add(row["orderId"])
    return {who for who, found in orders.items() if len(found) >= 2}
