"""Step of Resegment: fit models on what the partitions brought."""

from typing import Any

from segmentation import fitting
from segmentation.runtime import now, store, worker


@worker
def fit_models(event: dict[str, Any]) -> dict[str, Any]:
    """Fit every model of the job."""
    return fitting.fit(store(), event, now())


handler = fit_models
