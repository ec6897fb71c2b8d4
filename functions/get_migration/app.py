"""GET /migrations: who moved between segments from one instant to another, and what is to be expected."""

from segmentation import migrations
from segmentation.migration_questions import split
from segmentation.models.migrations import ForecastPeriods, From, Migration, Named, NamedModel, Ordered, PeriodOf, To
from segmentation.runtime import Api, now, store

api = Api()


@api.get("/migrations")
def get_migration(
    start: From,
    to: To,
    segments: Named = None,
    model: NamedModel = None,
    period: PeriodOf = None,
    periods: ForecastPeriods = 3,
    ordered: Ordered = False,
) -> Migration:
    """Compare who was in which of the named segments at two instants, and forecast their sizes."""
    return migrations.get(store(), start, to, split(segments), model, period, periods, ordered, now())


handler = api.handler
