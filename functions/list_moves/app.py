"""GET /migrations/customers: which customers moved from one segment to another."""

from segmentation import migration_questions, migrations
from segmentation.models.common import Limit, NextToken
from segmentation.models.migrations import From, MoveList, Named, NamedModel, Ordered, Side, To
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/migrations/customers")
def list_moves(
    start: From,
    to: To,
    fromSegment: Side,
    toSegment: Side,
    segments: Named = None,
    model: NamedModel = None,
    ordered: Ordered = False,
    limit: Limit = 100,
    nextToken: NextToken = None,
) -> MoveList:
    """List customers who were in one segment at `from` and in another at `to`."""
    asked = migration_questions.moves(start, to, fromSegment, toSegment, segments, model, ordered)
    return migrations.list_moves(store(), asked, limit, nextToken, now())


handler = api.handler
