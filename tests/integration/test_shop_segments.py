"""The whole way in one process: the generated shop's files become segments with the members that plain Python finds."""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from dev import shop
from dev.main_job_segments import SEGMENTS
from segmentation import authoring, job_reads, members, segments
from segmentation.models.segments import CreateSegment
from segmentation.store import jobs
from support.service import NOW, Service, running

CUSTOMERS = 700
CLOCK = NOW.replace(tzinfo=None)
Row = dict[str, str]


@dataclass
class Person:
    """What the files say of one customer."""

    row: Row
    bought: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    at: dict[str, datetime] = field(default_factory=dict)
    coupons: set[str] = field(default_factory=set)
    returned: float = 0.0
    views: list[datetime] = field(default_factory=list)

    @property
    def spent(self) -> float:
        return math.fsum(sum(amounts) for amounts in self.bought.values())

    def orders_since(self, days: int) -> int:
        return sum(CLOCK - timedelta(days=days) < at <= CLOCK for at in self.at.values())


def read(folder: Path, dataset: str) -> Iterator[Row]:
    with (folder / f"{dataset}.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            dirty = row.get("orderId", row.get("eventId", row["customerId"])).startswith("X")
            if row["customerId"].startswith("C") and not dirty:
                yield row


def people_of(folder: Path) -> dict[str, Person]:
    people = {row["customerId"]: Person(row) for row in read(folder, "customers")}
    for row in read(folder, "orders"):
        person, amount = people[row["customerId"]], int(row["quantity"]) * float(row["unitPrice"])
        if row["status"] == "cancelled" or amount == 0:
            continue
        if amount < 0:
            person.returned -= amount
            continue
        person.bought[row["orderId"]].append(amount)
        person.at[row["orderId"]] = datetime.fromisoformat(row["orderedAt"])
        if row["coupon"] == "SAVE15":
            person.coupons.add(row["orderId"])
    for row in read(folder, "events"):
        if row["event"] == "page_view":
            people[row["customerId"]].views.append(datetime.fromisoformat(row["occurredAt"]))
    return people


def is_champion(person: Person) -> bool:
    if len(person.bought) < 20 or person.spent - person.returned < 2000:
        return False
    return (CLOCK - max(person.at.values())).days <= 30


def is_lapsed(person: Person) -> bool:
    return person.spent >= 1000 and person.orders_since(180) == 0


def is_newcomer(person: Person) -> bool:
    return CLOCK - timedelta(days=60) < datetime.fromisoformat(person.row["signedUpAt"]) <= CLOCK


def is_window_shopper(person: Person) -> bool:
    recent = sum(CLOCK - timedelta(days=90) < at <= CLOCK for at in person.views)
    return recent >= 5 and not person.bought


def has_birthday(person: Person) -> bool:
    if not person.row["birthday"] or person.row["emailConsent"] != "true" or is_lapsed(person):
        return False
    month, day = date.fromisoformat(person.row["birthday"]).timetuple()[1:3]
    # The window from 1 March at noon has no leap day; the anniversary is the whole day.
    days = [CLOCK.date() + timedelta(days=ahead) for ahead in range(31)]
    return any((ahead.month, ahead.day) == (month, day) for ahead in days)


def is_berlin_bargain_hunter(person: Person) -> bool:
    year = CLOCK.replace(year=CLOCK.year - 1)
    used = sum(year < person.at[order] <= CLOCK for order in person.coupons)
    latitude, longitude = map(float, person.row["location"].split(","))
    likes = set(person.row["interests"].split("|")) & {"hiking", "running"}
    return (
        used >= 3
        and distance(latitude, longitude) <= 60
        and bool(likes or float(person.row["priceSensitivity"] or 0) >= 4)
    )


def distance(latitude: float, longitude: float) -> float:
    """Kilometres from the centre of Berlin, by the law of cosines on the sphere."""
    here, there = math.radians(52.52), math.radians(latitude)
    turn = math.radians(longitude - 13.405)
    cosine = math.sin(here) * math.sin(there) + math.cos(here) * math.cos(there) * math.cos(turn)
    return 6371.0088 * math.acos(min(1.0, cosine))


BY_HAND = {
    "champions": is_champion,
    "lapsed-big-spenders": is_lapsed,
    "newcomers": is_newcomer,
    "window-shoppers": is_window_shopper,
    "birthdays": has_birthday,
    "bargains-berlin": is_berlin_bargain_hunter,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.generate(folder, CUSTOMERS, NOW.date())
    return folder


@pytest.fixture(scope="module")
def people(folder: Path) -> dict[str, Person]:
    return people_of(folder)


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with running() as service:
        for name in ("customers", "orders", "events"):
            file = folder / f"{name}.csv"
            mapping = json.loads(file.with_name(f"{file.name}.mapping.json").read_text())
            service.drop(f"imports/{name}/shop/{file.name}", file.read_bytes(), mapping)
        service.settle()
        for segment in SEGMENTS:
            authoring.create(service.store, CreateSegment.model_validate(segment), service.now)
        service.settle()
        yield service


def test_every_dirty_row_is_rejected_and_no_other(service: Service, tmp_path: Path) -> None:
    made = shop.generate(tmp_path, CUSTOMERS, NOW.date())
    for job in job_reads.list_jobs(service.store, 100, None).items:
        if job.kind == "import":
            dataset = job.details["dataset"]
            ended = jobs.get(service.store.table, job.jobId)
            assert (ended.status, ended.error) == ("succeeded", None)
            assert ended.counts["rejected"] == made.dirty[dataset]
            assert ended.counts["accepted"] == made.rows[dataset] - made.dirty[dataset]


@pytest.mark.parametrize("segment_id", [segment["segmentId"] for segment in SEGMENTS])
def test_each_segment_has_exactly_the_members_that_plain_python_finds(
    service: Service, people: dict[str, Person], segment_id: str
) -> None:
    expected = {customer for customer, person in people.items() if BY_HAND[segment_id](person)}
    found = members.list_members(service.store, segment_id, "members", 1000, None, service.now).items
    assert {member.customerId for member in found} == expected
    assert 3 <= len(expected) < CUSTOMERS / 2
    assert segments.get(service.store, segment_id, service.now).customerCount == len(expected)


def test_the_analysis_has_the_shares_that_the_main_job_prints(service: Service, people: dict[str, Person]) -> None:
    champions = [person for person in people.values() if is_champion(person)]
    metrics = segments.analyze(service.store, "champions", ["share", "revenueShare"]).metrics
    revenue = math.fsum(person.spent for person in people.values())
    assert metrics["share"] == pytest.approx(len(champions) / CUSTOMERS, abs=1e-6)
    assert metrics["revenueShare"] == pytest.approx(math.fsum(p.spent for p in champions) / revenue, abs=1e-6)
