"""One dropped file through planning and all its chunks, in memory: what was planned, staged and rejected."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from segmentation import imports
from segmentation.engine.catalogue import Kind
from segmentation.models.imports import ChunkResult, ImportPlan
from segmentation.store import keys
from segmentation.store.files import Files
from segmentation.store.reading import file_plan
from segmentation.store.store import Store
from support.files import MemoryFiles

JOB = "import-1"
SEGMENTS = ("vip",)
"""Segments that files of members may name."""

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = 4


@dataclass(frozen=True)
class Imported:
    """What became of a file."""

    plan: ImportPlan
    results: Sequence[ChunkResult]
    files: MemoryFiles

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Accepted rows in the order of the file."""
        tables = [pq.read_table(io.BytesIO(self.files.objects[key])) for key in self.staged_keys]
        return sorted(pa.concat_tables(tables).to_pylist(), key=lambda row: row["row"]) if tables else []

    @property
    def staged_keys(self) -> list[str]:
        return [key for key in self.files.objects if key.startswith(f"staging/{JOB}/part=")]

    @property
    def rejects(self) -> list[tuple[int, str, str, str]]:
        """Row, field, value and reason, in the order of the files."""
        text = "".join(self.files.objects[key].decode() for key in self.files.list(f"rejects/{JOB}/"))
        return [(int(row), field, value, reason) for row, field, value, reason in csv.reader(io.StringIO(text))]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def run(
    key: str,
    data: bytes | str,
    mapping: Mapping[str, Any] | None = None,
    known: Mapping[str, Kind] | None = None,
    chunk_bytes: int | None = None,
) -> Imported:
    """Plan and read `imports/<key>`."""
    files = MemoryFiles()
    key = f"imports/{key}"
    files.objects[key] = data.encode() if isinstance(data, str) else data
    if mapping is not None:
        files.objects[keys.mapping_beside(key)] = json.dumps(mapping).encode()
    return run_files(files, key, known, chunk_bytes)


def run_files(
    files: MemoryFiles, key: str, known: Mapping[str, Kind] | None = None, chunk_bytes: int | None = None
) -> Imported:
    """Plan and read what lies under a key."""
    store = store_of(files)
    plan = imports.plan_import(store, JOB, key, known or {}, NOW)
    if chunk_bytes is not None:
        source = file_plan.Source(JOB, key, plan.dataset, imports.mapping_of(store, key), known or {}, NOW)
        plan = file_plan.plan(store.files, source, chunk_bytes)
        files.put(keys.plan(JOB), plan.model_dump_json().encode())
    results = [imports.import_chunk(store, JOB, chunk.chunk, SEGMENTS) for chunk in plan.chunks]
    return Imported(plan, results, files)


def store_of(files: MemoryFiles) -> Store:
    """A store without a table: these use cases need none."""
    return Store(
        table=cast(Any, None),
        files=cast(Files, files),
        workflows=cast(Any, None),
        events=cast(Any, None),
        partitions=PARTITIONS,
    )
