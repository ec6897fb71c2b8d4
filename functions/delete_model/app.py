"""DELETE /models/{modelId}: delete a model with its scores and segments."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import modelling
from segmentation.models.common import ModelPath
from segmentation.models.models import DeletedModel
from segmentation.runtime import Api, now, store

api = Api()


@api.delete("/models/{modelId}", status=202)
def delete_model(
    modelId: ModelPath,
    force: Annotated[bool, Query(description="Delete it although it is published")] = False,
) -> DeletedModel:
    """Delete a model. One that is published needs `force`: its segments go, and rules on its scores are paused."""
    return modelling.delete(store(), modelId, force, now())


handler = api.handler
