"""POST /models: fit a new model."""

from segmentation import modelling
from segmentation.models.models import CreateModel, ModelSummary
from segmentation.runtime import READ, Api, now, store

api = Api()


@api.post("/models", permission=READ, status=202)
def create_model(request: CreateModel) -> ModelSummary:
    """Fit a model of one kind on all customers, or on a segment. The answer names the job; get_model has the result."""
    return modelling.create(store(), request, now())


handler = api.handler
