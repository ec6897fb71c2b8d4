"""Jobs as clients read them: object keys become links that anyone can follow for an hour."""

from segmentation.models.jobs import Job, JobList
from segmentation.store import jobs
from segmentation.store.store import Store


def get(store: Store, job_id: str) -> Job:
    """A job with progress, counts and links. Raises NotFound."""
    return _linked(store, jobs.get(store.table, job_id))


def list_jobs(store: Store, limit: int, token: str | None) -> JobList:
    """Jobs, newest first. Links are on the single job only."""
    items, more = jobs.page(store.table, limit, token)
    return JobList(items=[job.model_copy(update={"links": {}}) for job in items], nextToken=more)


def _linked(store: Store, job: Job) -> Job:
    return job.model_copy(update={"links": {name: store.files.presign_get(key) for name, key in job.links.items()}})
