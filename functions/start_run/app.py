"""POST /runs: evaluate segments over all customers."""

from segmentation import runs
from segmentation.models.jobs import Job, StartRun
from segmentation.runtime import Api, now, store

api = Api()


@api.post("/runs", status=202)
def start_run(request: StartRun) -> Job:
    """Evaluate all segments, or those named, over all customers."""
    return runs.start(store(), request, now())


handler = api.handler
