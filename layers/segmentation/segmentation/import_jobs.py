"""Imports as jobs: plan a file once however often its event comes, record what the workers did, close the job with
links.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from segmentation import finishing, imports, runs
from segmentation.engine.catalogue import ORDER_FIELDS, Kind
from segmentation.errors import NotFound, TooBusy
from segmentation.models.imports import ImportPlan
from segmentation.store import catalogue, jobs, keys, kpis, segments
from segmentation.store.reading import rejects
from segmentation.store.snapshot import PROPERTY
from segmentation.store.store import Store

CHUNK = "chunk"
_ANNOUNCED = re.compile(r"/job=(import-[0-9a-f]{20})/")


def job_id_of(found: Mapping[str, Any]) -> str:
    """The job of an object in an `Object Created` event: the one that announced it, or one that is the object
    version's own.
    """
    announced = _ANNOUNCED.search(found["key"])
    if announced:
        return announced[1]
    version = _version_of(found)
    return f"import-{hashlib.sha256(f'{found["key"]}\n{version}'.encode()).hexdigest()[:20]}"


def _version_of(found: Mapping[str, Any]) -> str:
    return str(found.get("version-id") or f"{found.get('etag')}-{found.get('sequencer')}")


def plan(store: Store, event: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """First step: what was dropped, cut into chunks.

    `skip` is true for mappings and for events that were served before.

    `event` is `{"event": EventBridge event, "execution": name}`. Raises InvalidFile, NotFound.
    """
    found = event["event"]["detail"]["object"]
    key = found["key"]
    # Mappings are read with their file; a key that ends in a slash is what consoles make of a new folder.
    if key.endswith((keys.MAPPING_SUFFIX, "/")):
        return {"skip": True}
    job_id = job_id_of(found)
    jobs.create(store.table, job_id, "import", at, details={"key": key})
    version = _version_of(found)
    if not jobs.claim(store.table, job_id, event["execution"], version, at):
        if jobs.item(store.table, job_id).get("version") != version:
            raise TooBusy(f"{key!r} was uploaded again while it is imported; the new version waits")
        return {"skip": True, "jobId": job_id}
    planned = imports.plan_import(store, job_id, key, _known(store, key), at)
    _enter(store, planned)
    details = {"key": key, "dataset": planned.dataset, "ignoredColumns": list(planned.ignoredColumns)}
    parts = len(planned.chunks) + store.partitions
    jobs.begin(store.table, job_id, parts, at, {**details, "segments": runs.versions_of(store, None, at)})
    item = {"jobId": job_id, "kind": "import", "dataset": planned.dataset}
    return {
        **item,
        "skip": False,
        "chunks": [{"jobId": job_id, "chunk": chunk.chunk} for chunk in planned.chunks],
        "partitions": [{**item, "partition": partition} for partition in range(store.partitions)],
    }


def chunk(store: Store, job_id: str, number: int, at: datetime) -> dict[str, int]:
    """Second step, once per chunk: stage what is good, reject what is not. Raises InvalidFile, NotFound."""
    known = [segment.segmentId for segment in segments.all_segments(store.table, at)]
    result = imports.import_chunk(store, job_id, number, known)
    if result.events:
        columns = imports.load_plan(store, job_id).columns
        properties = {column.name: column.kind for column in columns if column.target.startswith(PROPERTY)}
        for event in result.events:
            catalogue.add_event_fields(store.table, event, properties)
    counts = {"rows": result.rows, "accepted": result.accepted, "rejected": result.rejected}
    jobs.record_part(store.table, job_id, CHUNK, number, counts, int(at.timestamp()) + jobs.KEEP_SECONDS)
    return counts


def finish(store: Store, state: Mapping[str, Any], at: datetime) -> dict[str, str]:
    """Last step: one reject file, analyses of all segments, the job's end."""
    job_id = job_id_of(state["detail"]["object"])
    failure = finishing.failure_of(state)
    links = _join_rejects(store, job_id)
    if failure is None:
        finishing.store_results(store, job_id, at, everywhere=False)
        store.files.delete(list(store.files.list(keys.staging(job_id))))
    kpis.note_import(store.table, state["detail"]["object"]["key"], job_id, failure is not None, at)
    return finishing.close(store, job_id, at, failure, links)


def _known(store: Store, key: str) -> dict[str, Kind]:
    """Kinds of the names that earlier files of this dataset brought."""
    found = [item for item in catalogue.items(store.table) if item.get("name") and not item.get("feature")]
    if key.startswith(f"{keys.IMPORTS}customers/"):
        return {item["name"]: Kind(item["kind"]) for item in found if "event" not in item}
    orders = key.startswith(f"{keys.IMPORTS}orders/")
    fields = [item for item in found if "event" in item and (item["event"] == "order") == orders]
    return {item["name"]: Kind(item["kind"]) for item in fields}


def _enter(store: Store, planned: ImportPlan) -> None:
    """Enter the names that are new. Events are entered by the chunks, which see the events' names."""
    if not planned.records:
        # A header alone says nothing of what its columns hold.
        return
    if planned.dataset == "customers":
        catalogue.add_attributes(store.table, planned.newAttributes)
    elif planned.dataset == "orders":
        new = {name: kind for name, kind in planned.newAttributes.items() if name not in ORDER_FIELDS}
        catalogue.add_event_fields(store.table, "order", new)


def _join_rejects(store: Store, job_id: str) -> dict[str, str]:
    """The reject files of all chunks as one; the link to it, if there is any."""
    parts = list(store.files.list(f"{keys.rejects(job_id).removesuffix('.csv')}/"))
    if not parts:
        # A repeated last step finds them joined.
        return {"rejects": keys.rejects(job_id)} if _exists(store, keys.rejects(job_id)) else {}
    with store.files.put_stream(keys.rejects(job_id), "text/csv; charset=utf-8") as sink:
        sink.write(rejects.HEADER)
        for part in parts:
            sink.write(store.files.get(part))
    store.files.delete(parts)
    return {"rejects": keys.rejects(job_id)}


def _exists(store: Store, key: str) -> bool:
    try:
        store.files.head(key)
    except NotFound:
        return False
    return True
