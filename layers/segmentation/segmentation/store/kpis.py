"""Indicators in the table: one item per day of what a run measured, and the last imports of each source.

Figures are kept as gzip JSON, because the sizes of some hundred segments and their overlaps belong to every day.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, get_args

from segmentation.models.common import iso
from segmentation.models.imports import Dataset
from segmentation.store import keys
from segmentation.store.table import Item, Table

KEEP_IMPORTS = timedelta(days=400)
"""A source that brought nothing for so long is forgotten."""

MAX_SOURCE = 100
_HAS_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Day:
    """What the last run of a day measured."""

    day: str
    measured_at: str
    job_id: str
    figures: dict[str, Any]


def put_day(table: Table, at: datetime, job_id: str, figures: Mapping[str, Any]) -> None:
    """Keep the figures of a run as those of its day (UTC): the last run of a day wins."""
    body = gzip.compress(json.dumps(figures, separators=(",", ":")).encode(), mtime=0)
    moment = iso(at)
    table.put({**keys.kpi_day(moment[:10]), "day": moment[:10], "measuredAt": moment, "jobId": job_id, "figures": body})


def latest(table: Table) -> Day | None:
    """The newest day that was measured, None before the first run."""
    found = table.page(keys.KPIS, keys.KPI_DAY_PREFIX, limit=1, backwards=True).items
    return _day(found[0]) if found else None


def days(table: Table, first: date, last: date) -> list[Day]:
    """The measured days from `first` to `last`, both included, in order."""
    found: list[Day] = []
    # A query starts behind a key: behind the day before the first one.
    start: Item | None = dict(keys.kpi_day((first - timedelta(days=1)).isoformat()))
    while start is not None:
        page = table.page(keys.KPIS, keys.KPI_DAY_PREFIX, start=start)
        for item in page.items:
            if item["day"] > last.isoformat():
                return found
            found.append(_day(item))
        start = page.last_key
    return found


def note_import(table: Table, key: str, job_id: str, failed: bool, at: datetime) -> None:
    """Remember when a source last brought something, or tried to; `key` is the dropped file's.

    Files outside the known datasets are none of any source and leave no trace.
    """
    dataset, source = source_of(key)
    if dataset is None:
        return
    moment = iso(at)
    outcome = {"failedAt": moment, "failedJobId": job_id} if failed else {"succeededAt": moment, "jobId": job_id}
    expires_at = int((at + KEEP_IMPORTS).timestamp())
    named = {"dataset": dataset, "source": source, "expiresAt": expires_at}
    table.update(keys.kpi_import(dataset, source), set={**named, **outcome})


def imports(table: Table) -> list[Item]:
    """The last imports: `{dataset, source, succeededAt?, jobId?, failedAt?, failedJobId?}`, by dataset and source."""
    return list(table.query(keys.KPIS, keys.KPI_IMPORT_PREFIX))


def source_of(key: str) -> tuple[str | None, str]:
    """Dataset and source of a dropped file.

    The source is the first folder below the dataset that is a name: one with a letter and without `=`, so neither
    `2026/03/` nor `date=2026-03-01/` nor the `job=` of an upload. Empty where there is none.
    """
    dataset, *folders = key.removeprefix(keys.IMPORTS).split("/")[:-1] or [""]
    if dataset not in get_args(Dataset):
        return None, ""
    named = [folder for folder in folders if _HAS_LETTER.search(folder) and "=" not in folder]
    return dataset, named[0][:MAX_SOURCE] if named else ""


def _day(item: Item) -> Day:
    figures: dict[str, Any] = json.loads(gzip.decompress(item["figures"]))
    return Day(item["day"], item["measuredAt"], item["jobId"], figures)
