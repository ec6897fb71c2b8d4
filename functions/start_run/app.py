"""POST /runs: evaluate segments over all customers."""

from segmentation import runs
from segmentation.models.jobs import StartedRun, StartRun
from segmentation.runtime import Api, now, store

api = Api()


@api.post("/runs", status=202)
def start_run(request: StartRun) -> StartedRun:
    """Evaluate all segments, or those named, over all customers; or do what a failed run left undone."""
    return runs.start(store(), request, now())


handler = api.handler
