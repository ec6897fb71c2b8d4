"""POST /models/{modelId}/publish: a model's groups become segments."""

from segmentation import modelling
from segmentation.models.common import ModelPath
from segmentation.models.models import Published, PublishModel
from segmentation.runtime import Api, now, store

api = Api()


@api.post("/models/{modelId}/publish", status=202)
def publish_model(modelId: ModelPath, request: PublishModel) -> Published:
    """Let a version score customers, and keep a segment for each of its groups from now on."""
    return modelling.publish(store(), modelId, request, now())


handler = api.handler
