"""GET /health: is the service there. No token, no details."""

from segmentation.models.common import Health
from segmentation.runtime import Api

api = Api()


@api.get("/health", permission=None)
def get_health() -> Health:
    """Say that the service answers."""
    return Health(status="ok")


handler = api.handler
