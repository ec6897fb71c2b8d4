"""Runs and the wall clock: days in a segment's time zone across a change of daylight saving, and a nightly run at an
hour that a night has twice or not at all.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from segmentation import run_reads, runs
from segmentation.models.jobs import StartRun
from support.germans import create, ids
from support.service import Service

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = "2026-03-29", "2026-10-25"
"""In Berlin the first has no time from 2:00 to 3:00, the second has that hour twice."""


def fill(shop: Service, instants: dict[str, str]) -> Service:
    shop.follows_stream = False
    rows = [f"{name},{instant}" for name, instant in instants.items()]
    shop.drop("imports/customers/c.csv", "customerId,joined\n" + "\n".join(rows) + "\n")
    shop.settle()
    return shop


def run(shop: Service, at: datetime) -> str:
    shop.now = at
    job = runs.start(shop.store, StartRun(), at)
    shop.settle()
    assert run_reads.get(shop.store, job.jobId).status == "succeeded"
    return job.jobId


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (SPRING, "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"),
        (AUTUMN, "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"),
    ],
    ids=["23 hours", "25 hours"],
)
def test_a_day_of_a_segment_is_the_day_of_its_time_zone_however_long(
    service: Service, day: str, first: str, last: str
) -> None:
    before, after = (datetime.fromisoformat(instant) for instant in (first, last))
    instants = {
        "before": (before - timedelta(seconds=1)).isoformat(),
        "first": first,
        "last": last,
        "after": (after + timedelta(seconds=1)).isoformat(),
    }
    fill(service, instants)
    criteria = [{"attribute": "joined", "operator": "on", "value": day}]
    create(service, "berlin", criteria, timeZone="Europe/Berlin")
    create(service, "utc", criteria)
    run(service, after + timedelta(days=2))
    assert ids(service, "berlin") == {"first", "last"}
    in_utc = {name for name, instant in instants.items() if datetime.fromisoformat(instant).date().isoformat() == day}
    assert ids(service, "utc") == in_utc != {"first", "last"}


@pytest.mark.parametrize(
    ("day", "night", "remaining"),
    [
        (SPRING, [datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)], {"c1"}),
        (AUTUMN, [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)], set()),
    ],
    ids=["around the hour that is missing", "at both of its half past two"],
)
def test_runs_on_both_sides_of_the_change_are_two_runs_with_times_in_utc(
    service: Service, day: str, night: list[datetime], remaining: set[str]
) -> None:
    # By the wall clock of Berlin a day before the second run: 23 hours in spring, 25 in autumn.
    yesterday = night[1].astimezone(BERLIN) - timedelta(days=1)
    fill(service, {"c1": yesterday.astimezone(UTC).isoformat()})
    service.now = night[0] - timedelta(hours=3)
    hours = [{"attribute": "joined", "operator": "in_last", "value": "24h"}]
    create(service, "recent", hours, timeZone="Europe/Berlin")
    service.settle()
    assert ids(service, "recent") == {"c1"}
    assert {moment.astimezone(BERLIN).date().isoformat() for moment in night} == {day}
    jobs = [run(service, moment) for moment in night]
    assert len(set(jobs)) == 2
    found = [run_reads.get(service.store, job) for job in jobs]
    assert [(one.startedAt, one.finishedAt) for one in found] == [(moment, moment) for moment in night]
    # Hours are hours, whatever the clock of the zone shows.
    assert ids(service, "recent") == remaining


def test_a_night_that_has_the_hour_of_the_schedule_twice_writes_the_second_time_nothing(service: Service) -> None:
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert [moment.astimezone(BERLIN).strftime("%H:%M") for moment in (first, second)] == ["02:30", "02:30"]
    fill(service, {"c1": "2026-10-24T00:30:00Z"})
    service.now = first - timedelta(hours=1)
    create(service, "recent", [{"attribute": "joined", "operator": "in_last", "value": "1d"}], timeZone="Europe/Berlin")
    service.settle()
    assert ids(service, "recent") == {"c1"}
    counts = []
    for number, moment in enumerate((first + timedelta(hours=2), second + timedelta(hours=2))):
        service.now = moment
        service.resegment({}, f"scheduled-{number}")
        counts.append(run_reads.get(service.store, f"run-scheduled-{number}").counts)
    assert [count["left"] for count in counts] == [1, 0]
    assert run_reads.get(service.store, "run-scheduled-1").createdAt == second + timedelta(hours=2)
