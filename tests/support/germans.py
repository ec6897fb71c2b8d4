"""A shop of ten customers, four of them in Germany, and what tests do with its segments over and over."""

from segmentation import authoring, customers, members, segments
from segmentation.models.customers import PutCustomer
from segmentation.models.segments import CreateSegment, Segment
from support.service import Service

GERMANS = [{"attribute": "country", "operator": "eq", "value": "DE"}]


def put(service: Service, customer_id: str, **attributes: object) -> None:
    customers.put(service.store, customer_id, PutCustomer(attributes=attributes), service.now)


def create(service: Service, segment_id: str = "germans", criteria: object = GERMANS, **more: object) -> Segment:
    request = CreateSegment(segmentName=segment_id.title(), segmentId=segment_id, criteria=criteria, **more)
    return authoring.create(service.store, request, service.now)


def ids(service: Service, segment_id: str) -> set[str]:
    listed = members.list_members(service.store, segment_id, "members", 100, None, service.now)
    return {member.customerId for member in listed.items}


def count(service: Service, segment_id: str) -> int:
    return segments.get(service.store, segment_id, service.now).customerCount


def fill(service: Service) -> Service:
    """Ten customers, c0 to c3 in Germany, aged 20 to 29."""
    for number in range(10):
        put(service, f"c{number}", country="DE" if number < 4 else "US", age=20 + number)
    return service
