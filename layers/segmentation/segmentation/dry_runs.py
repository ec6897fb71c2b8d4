"""What a run would change: who would enter and leave which segment, and the revenue they stand for. Nothing else is
written.

Every worker leaves its rows in a file of its own and then, in one object, its figures with the name of that file: an
attempt that died or came twice is never half in the report. It knows neither segments nor how changes are found.
"""

import gzip
import json
import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from segmentation import revenue
from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import Floats, Frame
from segmentation.store import keys, writers
from segmentation.store.files import PART_BYTES
from segmentation.store.memberships import Change
from segmentation.store.store import Store

COLUMNS = {
    "segmentId": Kind.STRING,
    "customerId": Kind.STRING,
    "legalEntityId": Kind.STRING,
    "change": Kind.STRING,
    "revenue": Kind.NUMBER,
}
SEGMENTS_SHOWN = 500
"""Segments whose figures stand in the job, those that change most first; the file has the rows of all."""

_CONTENT_TYPE = "application/gzip"


@dataclass(frozen=True)
class Report:
    """What a job says of its dry run: `details` for people and programs, and the key of the file by its link's name."""

    details: dict[str, Any]
    links: dict[str, str]


def record(
    store: Store, job_id: str, partition: int, changes: Iterable[tuple[str, Sequence[Change]]], frame: Frame
) -> None:
    """Keep what one partition would change, segment by segment; a second attempt replaces the first.

    `changes` are read once and one segment's are held at a time. Revenue is the frame's; who is not in the frame any
    more stands for none.
    """
    key = keys.dry_run_rows(job_id, partition, secrets.token_hex(8))
    figures: dict[str, dict[str, float]] = {}
    with store.files.put_stream(key, _CONTENT_TYPE) as stream:
        with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1, mtime=0) as packed:
            rows = writers.write_rows(packed, _tables(changes, frame, figures), COLUMNS, writers.Format.CSV)
        size = stream.tell()
    summary = {"file": key, "rows": rows, "bytes": size, "segments": figures}
    store.files.put(keys.dry_run_summary(job_id, partition), json.dumps(summary).encode())


def gather(store: Store, job_id: str) -> Report:
    """The figures of all partitions together, and their rows as one file. The same however often it is called."""
    totals: dict[str, dict[str, float]] = {}
    parts: list[tuple[str, int]] = []
    for found in store.files.list(keys.dry_run_summaries(job_id)):
        summary = json.loads(store.files.get(found))
        if summary["rows"]:
            parts.append((summary["file"], summary["bytes"]))
        for segment_id, figures in summary["segments"].items():
            total = totals.setdefault(segment_id, dict.fromkeys(figures, 0))
            for name, figure in figures.items():
                total[name] += figure
    key = keys.dry_run_file(job_id)
    # Members of gzip that follow each other are one file, so parts are copied as they are.
    with store.files.put_stream(key, _CONTENT_TYPE) as stream:
        with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as packed:
            writers.write_header(packed, COLUMNS)
        for file, size in parts:
            for begin in range(0, size, PART_BYTES):
                stream.write(store.files.get_range(file, begin, min(begin + PART_BYTES, size)))
    return Report(_details(totals), {"changes": key})


def _tables(
    changes: Iterable[tuple[str, Sequence[Change]]], frame: Frame, figures: dict[str, dict[str, float]]
) -> Iterator[pa.Table]:
    """The rows of every segment that changes, and its figures into `figures`."""
    known = revenue.of_customers(frame)
    for segment_id, found in changes:
        # Who stays, but until another instant or from another source, neither joins nor leaves.
        moves = [change for change in found if not change.stays]
        if moves:
            amounts = _amounts(moves, frame, known)
            figures[segment_id] = _figures(moves, amounts)
            yield _table(segment_id, moves, amounts)


def _amounts(moves: Sequence[Change], frame: Frame, known: Floats) -> list[float]:
    rows = [frame.position(change.who[0]) for change in moves]
    amounts: list[float] = known[[-1 if row is None else row for row in rows]].tolist()
    return amounts


def _figures(moves: Sequence[Change], amounts: Sequence[float]) -> dict[str, float]:
    """Memberships that begin and end, and the revenue behind them: a customer's counts once, whatever the number of
    legal entities.
    """
    joining = {change.who[0]: amount for change, amount in zip(moves, amounts, strict=True) if change.entered}
    leaving = {change.who[0]: amount for change, amount in zip(moves, amounts, strict=True) if not change.entered}
    joins = sum(change.entered for change in moves)
    return {
        "joins": joins,
        "leaves": len(moves) - joins,
        "joinsRevenue": math.fsum(joining.values()),
        "leavesRevenue": math.fsum(leaving.values()),
    }


def _table(segment_id: str, moves: Sequence[Change], amounts: Sequence[float]) -> pa.Table:
    columns = {
        "segmentId": pa.array([segment_id] * len(moves), pa.string()),
        "customerId": pa.array([change.who[0] for change in moves], pa.string()),
        "legalEntityId": pa.array([change.who[1] or None for change in moves], pa.string()),
        "change": pa.array(["join" if change.entered else "leave" for change in moves], pa.string()),
        "revenue": pa.array([round(amount, 2) for amount in amounts], pa.float64()),
    }
    return pa.table(columns, schema=writers.schema(COLUMNS))


def _details(totals: dict[str, dict[str, float]]) -> dict[str, Any]:
    order = sorted(totals, key=lambda name: (-totals[name]["joins"] - totals[name]["leaves"], name))
    shown = {
        name: {
            figure: revenue.money([value]) if figure.endswith("Revenue") else value
            for figure, value in totals[name].items()
        }
        for name in order[:SEGMENTS_SHOWN]
    }
    return {"wouldChange": shown, "segmentsNotShown": max(0, len(order) - SEGMENTS_SHOWN)}
