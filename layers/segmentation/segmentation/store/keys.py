"""Every key of the table and of the bucket, beside the shape of the item that lives there. Nothing else composes keys.

docs/data-model.md lists each access pattern with the function that uses it.
"""

import zlib
from urllib.parse import quote

Key = dict[str, str]

GSI1 = "GSI1"
SNAPSHOT = "SNAPSHOT"


def escape(part: str) -> str:
    """A part of a composed key: `#` would end the part, `%` is what escapes it."""
    return part.replace("%", "%25").replace("#", "%23")


def partition_of(customer_id: str, partitions: int) -> int:
    """The partition in which a customer lives, for ever: crc32 of the UTF-8 id modulo the number of partitions."""
    return zlib.crc32(customer_id.encode()) % partitions


# ------------------------------------------------------------------ segments

SEGMENTS = "SEGMENTS"


def segment(segment_id: str) -> Key:
    """Segment: name, criteria, state, version and customerCount."""
    return {"PK": f"SEGMENT#{segment_id}", "SK": "META"}


def segment_index(segment_id: str, site: str) -> Key:
    """All segments, by site."""
    return {"GSI1PK": SEGMENTS, "GSI1SK": f"{escape(site)}#{segment_id}"}


SEGMENT_VERSION_PREFIX = "VERSION#"


def segment_version(segment_id: str, version: int) -> Key:
    """A version of a segment as it was, kept for ever."""
    return {"PK": f"SEGMENT#{segment_id}", "SK": f"{SEGMENT_VERSION_PREFIX}{version:08d}"}


def analysis(segment_id: str) -> Key:
    """What the last evaluation measured of a segment, compressed."""
    return {"PK": f"SEGMENT#{segment_id}", "SK": "ANALYSIS"}


def size(segment_id: str, day: str) -> Key:
    """Size of a segment at the last evaluation of a day."""
    return {"PK": f"SEGMENT#{segment_id}", "SK": f"SIZE#{day}"}


def count(segment_id: str, partition: int) -> Key:
    """Members of a segment in one partition, and how far the stream has been counted."""
    return {"PK": f"SEGMENT#{segment_id}", "SK": f"COUNT#{partition:04d}"}


# --------------------------------------------------------------- memberships

MEMBER_PREFIX = "CUSTOMER#"
INCLUDE_PREFIX = "INCLUDE#"
EXCLUDE_PREFIX = "EXCLUDE#"
TOUCHED_PREFIX = "TOUCHED#"
AFTER_MEMBERS = "CUSTOMER$"
"""What people decided and touched sorts after the memberships: one query gives all of it."""


def members_of(segment_id: str, partition: int) -> str:
    """Partition key of a segment's memberships and of what people decided about them, for one partition of
    customers.
    """
    return f"SEGMENT#{segment_id}#{partition:04d}"


def _member_part(prefix: str, customer_id: str, legal_entity_id: str) -> str:
    return f"{prefix}{escape(customer_id)}#{escape(legal_entity_id)}"


def membership(segment_id: str, partition: int, customer_id: str, legal_entity_id: str = "") -> Key:
    """The customer is a member now: the result of an evaluation."""
    return {"PK": members_of(segment_id, partition), "SK": _member_part(MEMBER_PREFIX, customer_id, legal_entity_id)}


def include(segment_id: str, partition: int, customer_id: str, legal_entity_id: str = "") -> Key:
    """Somebody decided that the customer belongs to the segment."""
    return {"PK": members_of(segment_id, partition), "SK": _member_part(INCLUDE_PREFIX, customer_id, legal_entity_id)}


def exclude(segment_id: str, partition: int, customer_id: str, legal_entity_id: str = "") -> Key:
    """Somebody decided that the customer does not belong to the segment."""
    return {"PK": members_of(segment_id, partition), "SK": _member_part(EXCLUDE_PREFIX, customer_id, legal_entity_id)}


def touched(segment_id: str, partition: int, customer_id: str, legal_entity_id: str = "") -> Key:
    """Somebody but an evaluation wrote the membership: the partition's checkpoint may not know it."""
    return {"PK": members_of(segment_id, partition), "SK": _member_part(TOUCHED_PREFIX, customer_id, legal_entity_id)}


def by_customer(customer_id: str, prefix: str, segment_id: str, legal_entity_id: str = "") -> Key:
    """Index from a customer to memberships (`SEGMENT#`), includes and excludes."""
    return {"GSI1PK": f"CUSTOMER#{escape(customer_id)}", "GSI1SK": f"{prefix}{segment_id}#{escape(legal_entity_id)}"}


def customer_index(customer_id: str) -> str:
    """Partition key of the index for one customer."""
    return f"CUSTOMER#{escape(customer_id)}"


# ----------------------------------------------------------------- customers


def profile(customer_id: str) -> Key:
    """A profile that the API wrote and no merge has taken into the snapshot yet."""
    return {"PK": f"CUSTOMER#{escape(customer_id)}", "SK": "PROFILE"}


def pending_index(partition: int, customer_id: str) -> Key:
    """Pending profiles of one partition."""
    return {"GSI1PK": f"PENDING#{partition:04d}", "GSI1SK": escape(customer_id)}


def history_prefix(customer_id: str) -> str:
    """Partition key of a customer's history."""
    return f"CUSTOMER#{escape(customer_id)}"


def history(customer_id: str, time: str, segment_id: str, legal_entity_id: str, change: str) -> Key:
    """One entry or exit of a customer."""
    return {
        "PK": history_prefix(customer_id),
        "SK": f"HISTORY#{time}#{segment_id}#{escape(legal_entity_id)}#{change}",
    }


def history_index(segment_id: str, time: str, customer_id: str) -> Key:
    """Entries and exits of a segment, by day."""
    return {"GSI1PK": f"SEGMENT#{segment_id}#HISTORY#{time[:10]}", "GSI1SK": f"{time}#{escape(customer_id)}"}


def pointer(partition: int) -> Key:
    """The current version of a partition's snapshot."""
    return {"PK": f"PARTITION#{partition:04d}", "SK": SNAPSHOT}


def checkpoint(partition: int) -> Key:
    """The partition's last checkpoint of memberships, and who is writing memberships now."""
    return {"PK": f"PARTITION#{partition:04d}", "SK": "MEMBERS"}


CATALOGUE = "CATALOGUE"


def attribute(name: str) -> Key:
    """An attribute that data brought: its kind and what the last run measured of it."""
    return {"PK": CATALOGUE, "SK": f"ATTRIBUTE#{name}"}


def feature(name: str) -> Key:
    """What the last run measured of a computed feature."""
    return {"PK": CATALOGUE, "SK": f"FEATURE#{name}"}


def event_field(event: str, name: str) -> Key:
    """A field of a behaviour event; the empty name stands for the event itself."""
    return {"PK": CATALOGUE, "SK": f"EVENT#{escape(event)}#{name}"}


def score(slot: str) -> Key:
    """The published model behind some scores; one model has a slot at a time."""
    return {"PK": CATALOGUE, "SK": f"{SCORE_PREFIX}{slot}"}


SCORE_PREFIX = "SCORE#"

# -------------------------------------------------------------------- models

MODELS = "MODELS"
MODEL_VERSION_PREFIX = "VERSION#"


def model(model_id: str) -> Key:
    """Model: definition, latest and published version."""
    return {"PK": f"MODEL#{model_id}", "SK": "META"}


def model_index(model_id: str, kind: str) -> Key:
    """All models, by kind."""
    return {"GSI1PK": MODELS, "GSI1SK": f"{kind}#{model_id}"}


def model_drift(model_id: str, day: str) -> Key:
    """Drift of a model's published version, the last of a day: apart, so that whoever reads a model reads no years."""
    return {"PK": f"MODEL#{model_id}#DRIFT", "SK": day}


def model_version(model_id: str, version: int) -> Key:
    """One fit of a model: its state and the groups that it found."""
    return {"PK": f"MODEL#{model_id}", "SK": f"{MODEL_VERSION_PREFIX}{version:08d}"}


# ---------------------------------------------------------------------- jobs

JOBS = "JOBS"


def job(job_id: str) -> Key:
    """A job: kind, state, times, links."""
    return {"PK": f"JOB#{job_id}", "SK": "META"}


def job_index(job_id: str, created_at: str) -> Key:
    """All jobs, newest last."""
    return {"GSI1PK": JOBS, "GSI1SK": f"{created_at}#{job_id}"}


def job_part(job_id: str, step: str, number: int) -> Key:
    """What one worker of a job did: written by the worker, so a retry overwrites its own figures."""
    return {"PK": f"JOB#{job_id}", "SK": f"{step.upper()}#{number:06d}"}


def lease(name: str) -> Key:
    """Who may do something that one may do at a time, and until when."""
    return {"PK": f"LEASE#{name}", "SK": "LEASE"}


def idempotency(operation: str, caller: str, token: str) -> Key:
    """The response to a POST with this Idempotency-Key."""
    return {"PK": f"IDEMPOTENCY#{operation}#{escape(caller)}", "SK": escape(token)}


# ---------------------------------------------------------------------- kpis

KPIS = "KPIS"
KPI_DAY_PREFIX = "DAY#"
KPI_IMPORT_PREFIX = "IMPORT#"


def kpi_day(day: str) -> Key:
    """What the last run of a day measured of the segmentation as a whole."""
    return {"PK": KPIS, "SK": f"{KPI_DAY_PREFIX}{day}"}


def kpi_import(dataset: str, source: str) -> Key:
    """The last imports of a dataset from one source."""
    return {"PK": KPIS, "SK": f"{KPI_IMPORT_PREFIX}{dataset}#{escape(source)}"}


# -------------------------------------------------------------------- bucket

IMPORTS = "imports/"
MAPPING_SUFFIX = ".mapping.json"
EXPORT_REQUESTS = "requests/exports/"


def snapshot_file(partition: int, version: str, dataset: str) -> str:
    return f"snapshot/part={partition:04d}/{version}/{dataset}.parquet"


def snapshot_prefix(partition: int) -> str:
    return f"snapshot/part={partition:04d}/"


def checkpoint_file(partition: int, started: str, number: int, token: str) -> str:
    """Who is in which segment, as of an instant; names sort by time."""
    return f"{checkpoint_prefix(partition)}{started}-{number:08d}-{token}.parquet"


def checkpoint_prefix(partition: int) -> str:
    return f"members/part={partition:04d}/"


def staged_chunk(job_id: str, partition: int, chunk: int) -> str:
    return f"{staged_prefix(job_id, partition)}chunk={chunk:05d}.parquet"


def staged_prefix(job_id: str, partition: int) -> str:
    return f"staging/{job_id}/part={partition:04d}/"


def staged_source(job_id: str, chunk: int) -> str:
    return f"staging/{job_id}/source/chunk={chunk:05d}"


def staging(job_id: str) -> str:
    """Everything that an import works on until it ends."""
    return f"staging/{job_id}/"


def measure(job_id: str, model_id: str, partition: int) -> str:
    """Rows that one partition brings to the fit of a model; written last of what it brings."""
    return f"{measured(job_id, model_id)}part={partition:04d}.parquet"


def measured(job_id: str, model_id: str) -> str:
    return f"{measures(job_id, model_id)}rows/"


def measured_statistics(job_id: str, model_id: str, partition: int) -> str:
    """Statistics of all customers of one partition, beside the rows."""
    return f"{measures(job_id, model_id)}statistics/part={partition:04d}.npz"


def fitted(job_id: str, model_id: str) -> str:
    """A model that was fitted and is yet to be completed by what partitions say of their customers under it."""
    return f"{measures(job_id, model_id)}fitted.json.gz"


def described(job_id: str, model_id: str) -> str:
    return f"{measures(job_id, model_id)}described/"


def description(job_id: str, model_id: str, partition: int) -> str:
    """What the customers of one partition are under a fitted model."""
    return f"{described(job_id, model_id)}part={partition:04d}.npz"


def measures(job_id: str, model_id: str) -> str:
    """Everything that a fit works on until it ends."""
    return f"staging/{job_id}/model={model_id}/"


def model_file(model_id: str, version: int) -> str:
    """A fitted model with its report, for ever the same."""
    return f"models/{model_id}/{version:08d}.json.gz"


def model_files(model_id: str) -> str:
    return f"models/{model_id}/"


def plan(job_id: str) -> str:
    return f"staging/{job_id}/plan.json"


def reject_chunk(job_id: str, chunk: int) -> str:
    return f"rejects/{job_id}/chunk={chunk:05d}.csv"


def rejects(job_id: str) -> str:
    return f"rejects/{job_id}.csv"


def upload(dataset: str, job_id: str, file_name: str) -> str:
    return f"{IMPORTS}{dataset}/job={job_id}/{quote(file_name)}"


def mapping_beside(key: str) -> str:
    """The mapping of one file."""
    return f"{key}{MAPPING_SUFFIX}"


def mapping_of(dataset: str) -> str:
    """The mapping of all files of a dataset that have none of their own."""
    return f"mappings/{dataset}.json"


def export_request(job_id: str) -> str:
    return f"{EXPORT_REQUESTS}{job_id}.json"


def export_file(job_id: str, file_name: str) -> str:
    return f"exports/{job_id}/{file_name}"


def statistics(partition: int) -> str:
    """What the last worker of a partition measured of all segments, for the step that merges."""
    return f"reports/statistics/part={partition:04d}.json.gz"


def dry_run_summaries(job_id: str) -> str:
    return f"reports/dry-runs/{job_id}/summaries/"


def dry_run_summary(job_id: str, partition: int) -> str:
    """What a dry run would change in one partition, in figures; it names the file with the rows."""
    return f"{dry_run_summaries(job_id)}part={partition:04d}.json"


def dry_run_rows(job_id: str, partition: int, attempt: str) -> str:
    """What a dry run would change in one partition, row by row, as one attempt found it."""
    return f"reports/dry-runs/{job_id}/rows/part={partition:04d}-{attempt}.csv.gz"


def dry_run_file(job_id: str) -> str:
    """The rows of all partitions, one after the other."""
    return f"reports/dry-runs/{job_id}/changes.csv.gz"
