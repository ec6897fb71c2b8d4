"""From a dropped file to staged rows: planning an import, and reading one chunk of it. Jobs and the catalogue are
kept elsewhere."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import get_args

from segmentation.engine.catalogue import Kind
from segmentation.errors import InvalidFile, NotFound
from segmentation.models.imports import ChunkResult, Dataset, ImportMapping, ImportPlan, parse_mapping
from segmentation.store import keys
from segmentation.store.reading import chunk_reader, file_plan
from segmentation.store.reading.checks import accept
from segmentation.store.reading.rejects import Rejects
from segmentation.store.reading.staging import Stager
from segmentation.store.store import Store

MAX_EVENT_NAMES = 500


def dataset_of(key: str) -> Dataset:
    """The dataset whose folder a dropped file lies in. Raises InvalidFile for an unknown folder."""
    datasets: tuple[Dataset, ...] = get_args(Dataset)
    folder = key.removeprefix(keys.IMPORTS).partition("/")[0]
    for dataset in datasets:
        if key.startswith(f"{keys.IMPORTS}{dataset}/"):
            return dataset
    raise InvalidFile(
        f"{key!r} lies in the unknown folder {folder!r}; drop files under "
        f"{', '.join(keys.IMPORTS + name + '/' for name in datasets)}"
    )


def mapping_of(store: Store, key: str) -> ImportMapping:
    """The mapping beside the file, else the one of its dataset, else none. Raises InvalidFile for one that is not
    valid."""
    for mapping_key in (keys.mapping_beside(key), keys.mapping_of(dataset_of(key))):
        try:
            return parse_mapping(store.files.get(mapping_key), mapping_key)
        except NotFound:
            continue
    return ImportMapping()


def plan_import(store: Store, job_id: str, key: str, known: Mapping[str, Kind], now: datetime) -> ImportPlan:
    """Read a dropped file once and decide how it is imported; the plan is kept for the workers.

    `known` holds the kinds of the dataset's own columns by bare name: attributes of customers, extra fields of
    orders or
    events. Raises NotFound where the file is gone and InvalidFile where it cannot be read at all.
    """
    dataset = dataset_of(key)
    source = file_plan.Source(job_id, key, dataset, mapping_of(store, key), known, now)
    plan = file_plan.plan(store.files, source)
    store.files.put(keys.plan(job_id), plan.model_dump_json().encode())
    return plan


def load_plan(store: Store, job_id: str) -> ImportPlan:
    """The plan that `plan_import` has kept. Raises NotFound."""
    return ImportPlan.model_validate_json(store.files.get(keys.plan(job_id)))


def import_chunk(store: Store, job_id: str, chunk: int, segments: Collection[str] = ()) -> ChunkResult:
    """Check the records of one chunk, stage the good ones by partition and write the bad ones to a reject file.

    `segments` are the ids that a file of members may name. Doing it again gives the same objects. Raises InvalidFile
    where the file changed since it was planned.
    """
    plan = load_plan(store, job_id)
    planned = plan.chunks[chunk - 1]
    stager = Stager(store.files, job_id, chunk, store.partitions)
    rejects = Rejects()
    events: set[str] = set()
    for block in chunk_reader.read(store.files, plan, planned):
        accepted = accept(block, plan, segments)
        stager.add(accepted)
        rejects.extend(block.rejects)
        if plan.dataset == "events":
            events.update(accepted["event"].unique().to_pylist())
            if len(events) > MAX_EVENT_NAMES:
                raise InvalidFile(
                    f"{plan.key!r} has more than {MAX_EVENT_NAMES} different events, {sorted(events)[0][:64]!r} "
                    "among them; "
                    "a name of an event is a kind of behaviour, put what differs into a property"
                )
    rejected = len(rejects.rows())
    if stager.rows + rejected != planned.records:
        raise InvalidFile(
            f"{plan.key!r}, chunk {chunk}: {stager.rows + rejected} records were read where {planned.records} "
            "were counted; "
            "check its quotes and line ends"
        )
    if rejected:
        store.files.put(keys.reject_chunk(job_id, chunk), rejects.csv())
    return ChunkResult(
        jobId=job_id,
        chunk=chunk,
        rows=planned.records,
        accepted=stager.rows,
        rejected=rejected,
        partitions=stager.finish(),
        events=tuple(sorted(events)),
    )
