"""A shop of any size that ended long ago, and who must be in its segments at an instant: plain Python, no stack.

All its rules look at the time before an instant, so that nobody is a member as of today: a run at an instant of the
shop's own time brings members, a run at another one replaces them.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTES = 366 * 24 * 60
FIRST, SECOND = datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 11, 1, tzinfo=UTC)
COUNTRIES = ("DE", "FR", "US")
FREQUENT, SPENT = 3, 500.005

SEGMENTS = [
    {
        "segmentId": "scale-recent",
        "segmentName": "Scale: ordered of late",
        "criteria": [{"attribute": "lastOrderAt", "operator": "in_last", "value": "10d"}],
    },
    {
        "segmentId": "scale-frequent",
        "segmentName": "Scale: orders often",
        "criteria": [{"event": "order", "within": "30d", "operator": "gte", "value": FREQUENT}],
    },
    {
        "segmentId": "scale-spending",
        "segmentName": "Scale: spends much",
        "criteria": [
            {"event": "order", "measure": {"sum": "amount"}, "within": "60d", "operator": "gte", "value": SPENT}
        ],
    },
    {
        "segmentId": "scale-lapsing",
        "segmentName": "Scale: not seen of late",
        "criteria": [
            {"segment": "scale-recent", "operator": "not_member"},
            {"attribute": "lastOrderAt", "operator": "in_last", "value": "40d"},
            {"attribute": "country", "operator": "neq", "value": "US"},
        ],
    },
]
IDS = [str(segment["segmentId"]) for segment in SEGMENTS]


@dataclass
class Shop:
    """Per customer the country, and the minutes (ascending, since START) and cents of the orders."""

    countries: dict[str, str]
    minutes: dict[str, list[int]]
    cents: dict[str, list[int]]

    def customers(self) -> str:
        """The file of the customers."""
        return "customerId,country\n" + "".join(f"{who},{country}\n" for who, country in self.countries.items())

    def orders(self) -> str:
        """The file of the orders. Each is half a minute past: no window of a rule ends there."""
        return "orderId,customerId,orderedAt,amount\n" + "".join(self._orders())

    def _orders(self) -> Iterator[str]:
        for who, minutes in self.minutes.items():
            for number, (minute, cents) in enumerate(zip(minutes, self.cents[who], strict=True)):
                at = START + timedelta(minutes=minute, seconds=30)
                yield f"{who}-{number},{who},{at:%Y-%m-%dT%H:%M:%SZ},{cents / 100:.2f}\n"

    def members(self, at: datetime) -> dict[str, set[str]]:
        """Who must be in each segment as of an instant."""
        found: dict[str, set[str]] = {segment_id: set() for segment_id in IDS}
        end = _minute(at)
        for who, minutes in self.minutes.items():
            upto = bisect_left(minutes, end)
            of_days = {days: bisect_left(minutes, end - days * 24 * 60) for days in (10, 30, 40, 60)}
            if upto > of_days[10]:
                found["scale-recent"].add(who)
            elif upto > of_days[40] and self.countries[who] != "US":
                found["scale-lapsing"].add(who)
            if upto - of_days[30] >= FREQUENT:
                found["scale-frequent"].add(who)
            if sum(self.cents[who][of_days[60] : upto]) >= SPENT * 100:
                found["scale-spending"].add(who)
        return found

    def spent(self, at: datetime) -> dict[str, int]:
        """What every customer has spent before an instant, in cents."""
        end = _minute(at)
        return {who: sum(self.cents[who][: bisect_left(minutes, end)]) for who, minutes in self.minutes.items()}


def generated(customers: int, orders: int) -> Shop:
    """The same shop for the same size: some customers order often, some never."""
    chance = random.Random(20240701)
    who = [f"S{number:07d}" for number in range(customers)]
    shop = Shop(
        {name: chance.choice(COUNTRIES) for name in who}, {name: [] for name in who}, {name: [] for name in who}
    )
    for _ in range(orders):
        name = who[int(customers * chance.random() ** 1.5)]
        shop.minutes[name].append(chance.randrange(MINUTES))
        shop.cents[name].append(chance.randrange(500, 20_000))
    for minutes in shop.minutes.values():
        minutes.sort()
    return shop


def _minute(at: datetime) -> int:
    return int((at - START).total_seconds()) // 60
