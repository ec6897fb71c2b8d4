"""GET /models: all models."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from segmentation import modelling
from segmentation.models.common import Limit, NextToken
from segmentation.models.models import ModelKind, ModelList
from segmentation.runtime import Api, store

api = Api()


@api.get("/models")
def list_models(
    kind: Annotated[ModelKind | None, Query(description="Only models of this kind")] = None,
    limit: Limit = 100,
    nextToken: NextToken = None,
) -> ModelList:
    """Models by kind and id, with the state of their latest version."""
    return modelling.list_models(store(), kind, limit, nextToken)


handler = api.handler
