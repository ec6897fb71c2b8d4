"""GET /models/{modelId}: a model with what one of its versions found."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import modelling
from segmentation.models.common import ModelPath
from segmentation.models.models import Model
from segmentation.runtime import Api, store

api = Api()


@api.get("/models/{modelId}")
def get_model(
    modelId: ModelPath,
    version: Annotated[
        int | None, Query(ge=1, description="A version; default: the published one, else the latest")
    ] = None,
) -> Model:
    """Status, versions, groups, and the report: what was fitted, how well, and what was dropped and why."""
    return modelling.get(store(), modelId, version)


handler = api.handler
