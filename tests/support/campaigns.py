"""A small shop with campaigns: thirty customers, and what ten of them did with what they were sent."""

from datetime import date, datetime, timedelta
from typing import Any

from segmentation import authoring, kpi_reads
from segmentation.models.kpis import Kpis
from segmentation.models.segments import CreateSegment
from segmentation.store import jobs
from support.service import Service

STALE = timedelta(hours=48)
CUSTOMERS = "customerId,country,age\n" + "".join(
    f"c{number},{'DE' if number % 3 else 'AT'},{20 + number}\n" for number in range(30)
)
CAMPAIGNS = """customerId,event,occurredAt,action,campaignId,segmentId
c1,campaign,2026-02-01T10:00:00Z,sent,spring,germans
c1,campaign,2026-02-01T11:00:00Z,opened,spring,germans
c1,campaign,2026-02-01T11:05:00Z,opened,spring,germans
c2,campaign,2026-02-01T10:00:00Z,sent,spring,germans
c2,campaign,2026-02-01T12:00:00Z,converted,spring,
c4,campaign,2026-02-01T10:00:00Z,sent,spring,
c5,campaign,2026-02-01T10:00:00Z,sent,spring,
c5,campaign,2026-02-02T10:00:00Z,clicked,spring,
c7,campaign,2025-06-01T10:00:00Z,sent,summer,
c8,campaign,2026-02-02T10:00:00Z,opened,spring,
"""


def create(service: Service, segment_id: str, criteria: list[Any]) -> None:
    made = CreateSegment(segmentName=segment_id.title(), segmentId=segment_id, criteria=criteria)
    authoring.create(service.store, made, service.now)


def shop(service: Service) -> None:
    service.follows_stream = False
    service.drop("imports/customers/crm/customers.csv", CUSTOMERS)
    service.drop("imports/events/events.csv", CAMPAIGNS)
    service.settle()
    create(service, "germans", [{"attribute": "country", "operator": "eq", "value": "DE"}])
    create(service, "everybody", [{"attribute": "age", "operator": "gte", "value": 20}])
    create(service, "nobody", [{"attribute": "age", "operator": "gt", "value": 200}])
    service.wait(3)
    service.resegment({})


def read(service: Service, first: date | None = None, last: date | None = None, at: datetime | None = None) -> Kpis:
    return kpi_reads.get(service.store, first, last, at or service.now, STALE)


def run_of(service: Service, kind: str, details: dict[str, Any], status: str = "succeeded") -> dict[str, str]:
    job_id = f"{kind}-1"
    jobs.create(service.store.table, job_id, kind, service.now, details=details)  # type: ignore[arg-type]
    jobs.begin(service.store.table, job_id, 1, service.now)
    counts = {"customers": 30, "entered": 4, "left": 1, "accepted": 7, "rejected": 2}
    jobs.finish(service.store.table, job_id, service.now + timedelta(minutes=2), status, counts=counts)
    return {"jobId": job_id, "status": status}
