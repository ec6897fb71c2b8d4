"""Random customers as plain values and as a frame, and random criteria, for tests of the rule language."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from segmentation.engine.catalogue import FEATURES, ORDER_FIELDS, Catalogue, Kind
from segmentation.engine.frame import Frame
from tests.support.criteria_frames import booleans, dates, lists, numbers, places, strings, table

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
NOWS = (
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 3, 31, 0, 30, tzinfo=UTC),
    datetime(2023, 10, 29, 1, 15, tzinfo=UTC),
    datetime(2024, 5, 30, 23, 59, 59, tzinfo=UTC),
)
COUNTRIES = ("DE", "de", "FR", "Österreich", "STRASSE", "straße")
TAGS = ("red", "Red", "blue", "green")
CATEGORIES = ("shoes", "hats")
CATALOGUE = Catalogue(
    attributes={
        **FEATURES,
        "country": Kind.STRING,
        "spend": Kind.NUMBER,
        "born": Kind.DATE,
        "vip": Kind.BOOLEAN,
        "tags": Kind.LIST,
        "home": Kind.GEO,
        "gone": Kind.STRING,
    },
    events={
        "order": ORDER_FIELDS,
        "view": {"page": Kind.STRING, "until": Kind.DATE},
        "silence": {"page": Kind.STRING},
    },
    segments=frozenset({"base"}),
)

# Customers


def _instants() -> st.SearchStrategy[datetime]:
    near = st.builds(
        lambda now, unit, count: now + count * unit,
        st.sampled_from(NOWS),
        st.sampled_from([timedelta(seconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=31)]),
        st.integers(-40, 40),
    )
    return near | st.sampled_from([datetime(2000, 2, 29, 5, tzinfo=UTC), datetime(1950, 12, 31, 23, tzinfo=UTC)])


MAYBE = st.none()
LINES = st.fixed_dictionaries(
    {"amount": MAYBE | st.integers(1, 9).map(float), "category": MAYBE | st.sampled_from(CATEGORIES)}
)
ORDERS = st.fixed_dictionaries({"time": _instants(), "lines": st.lists(LINES, min_size=1, max_size=3)})
VIEWS = st.fixed_dictionaries(
    {"time": _instants(), "page": MAYBE | st.sampled_from(("a", "b")), "until": MAYBE | _instants()}
)
CUSTOMER = st.fixed_dictionaries(
    {
        "country": MAYBE | st.sampled_from(COUNTRIES),
        "spend": MAYBE | st.integers(-2, 4).map(float),
        "born": MAYBE | _instants(),
        "vip": MAYBE | st.booleans(),
        "tags": MAYBE | st.lists(st.sampled_from(TAGS), max_size=3),
        "home": MAYBE | st.tuples(st.integers(-90, 90).map(float), st.integers(-180, 180).map(float)),
        "orders": st.lists(ORDERS, max_size=3),
        "views": st.lists(VIEWS, max_size=3),
    }
)
CUSTOMERS = st.lists(CUSTOMER, min_size=1, max_size=11)


def frame_of(customers: list[dict[str, Any]], now: datetime) -> Frame:
    """The customers as a frame with the features of `now`."""
    numbered = 0
    lines: list[list[dict[str, Any]]] = []
    for customer in customers:
        lines.append([])
        for order in sorted(customer["orders"], key=lambda order: order["time"]):
            numbered += 1
            lines[-1].extend({**line, "time": order["time"], "group": numbered} for line in order["lines"])
    features = [features_of(customer, now) for customer in customers]
    return Frame(
        size=len(customers),
        columns={
            "country": strings([customer["country"] for customer in customers]),
            "spend": numbers([customer["spend"] for customer in customers]),
            "born": dates([customer["born"] for customer in customers]),
            "vip": booleans([customer["vip"] for customer in customers]),
            "tags": lists([customer["tags"] for customer in customers]),
            "home": places([customer["home"] for customer in customers]),
            "orderCount": numbers([feature["orderCount"] for feature in features]),
            "recencyDays": numbers([feature["recencyDays"] for feature in features]),
            "lastOrderAt": dates([feature["lastOrderAt"] for feature in features]),
        },
        events={
            "order": table(lines, {"amount": numbers, "category": strings}, grouped=True),
            "view": table(
                [sorted(customer["views"], key=lambda view: view["time"]) for customer in customers],
                {"page": strings, "until": dates},
            ),
        },
    )


def features_of(customer: dict[str, Any], now: datetime) -> dict[str, Any]:
    times = [order["time"] for order in customer["orders"] if order["time"] <= now]
    last = max(times, default=None)
    days = None if last is None else float((now - last) // timedelta(days=1))
    return {"orderCount": float(len(times)), "lastOrderAt": last, "recencyDays": days}


# Rules


def _leaf(attribute: str, operators: dict[str, st.SearchStrategy[Any] | None]) -> st.SearchStrategy[dict[str, Any]]:
    def made(operator: str) -> st.SearchStrategy[dict[str, Any]]:
        value = operators[operator]
        head = {"attribute": st.just(attribute), "operator": st.just(operator)}
        return st.fixed_dictionaries(head if value is None else {**head, "value": value})

    return st.sampled_from(sorted(operators)).flatmap(made)


def _several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=3)


def _pair(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=2).map(sorted)


SET: dict[str, st.SearchStrategy[Any] | None] = {"is_set": None, "is_not_set": None}
WHOLE = st.integers(-3, 5)
NUMBERS = {
    **SET,
    **dict.fromkeys(("eq", "neq", "gt", "gte", "lt", "lte"), WHOLE),
    **dict.fromkeys(("in", "not_in"), _several(WHOLE)),
    **dict.fromkeys(("between", "not_between"), _pair(WHOLE)),
}
COUNTRY = st.sampled_from(COUNTRIES)
STRINGS = {
    **SET,
    **dict.fromkeys(("eq", "neq"), COUNTRY),
    **dict.fromkeys(("in", "not_in"), _several(COUNTRY)),
    **dict.fromkeys(
        ("contains", "not_contains", "starts_with", "not_starts_with", "ends_with", "not_ends_with"),
        st.sampled_from(("D", "e", "ss", "ß", "R")),
    ),
}
SPANS = st.sampled_from(("1h", "36h", "1d", "30d", "2w", "1m", "13m", "1y", "25y"))
WHOLE_SPANS = st.sampled_from(("0d", "1d", "8d", "2w", "1m", "11m", "1y", "3y"))
MOMENTS = st.sampled_from(("2000-02-29", "2024-03-31", "2023-10-29", "2024-02-29T12:00:00Z", "2024-03-31T02:30:00"))
DATES = {
    **SET,
    **dict.fromkeys(("eq", "neq", "before", "after", "on_or_before", "on_or_after", "on"), MOMENTS),
    **dict.fromkeys(("in", "not_in"), _several(MOMENTS)),
    **dict.fromkeys(
        ("between", "not_between"),
        st.sampled_from((["2000-02-29", "2024-02-29"], ["2024-02-29T12:00:00Z", "2024-03-31"])),
    ),
    **dict.fromkeys(("in_last", "not_in_last", "more_than_ago", "in_next"), SPANS),
    **dict.fromkeys(("anniversary_in_next", "anniversary_in_last"), WHOLE_SPANS),
}
TAG = st.sampled_from((*TAGS, "never"))
LISTS = {
    **SET,
    "has": TAG,
    **dict.fromkeys(("eq", "neq", "has_any", "has_all", "has_none"), _several(TAG)),
    **dict.fromkeys(("size_eq", "size_gt", "size_lt"), st.integers(0, 3)),
}
BOOLEANS = {**SET, "is_true": None, "is_false": None, **dict.fromkeys(("eq", "neq"), st.booleans())}
PLACES = {
    **SET,
    "within_km": st.fixed_dictionaries(
        {"latitude": st.integers(-90, 90), "longitude": st.integers(-180, 180), "km": st.integers(1, 20_000)}
    ),
}


def _caseless(leaf: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return leaf.flatmap(lambda made: st.sampled_from([made, {**made, "ignoreCase": True}]))


ATTRIBUTES = st.one_of(
    _caseless(_leaf("country", STRINGS)),
    _caseless(_leaf("tags", LISTS)),
    _leaf("spend", NUMBERS),
    _leaf("orderCount", NUMBERS),
    _leaf("recencyDays", NUMBERS),
    _leaf("born", DATES),
    _leaf("lastOrderAt", DATES),
    _leaf("vip", BOOLEANS),
    _leaf("home", PLACES),
    _leaf("gone", STRINGS),
)


def _tree(leaves: st.SearchStrategy[dict[str, Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"not": inner}),
        ),
        max_leaves=most,
    )


def _behaviour(
    event: str, where: st.SearchStrategy[Any], measures: tuple[Any, ...]
) -> st.SearchStrategy[dict[str, Any]]:
    window = st.one_of(
        st.just({}),
        st.fixed_dictionaries({"within": SPANS}),
        st.fixed_dictionaries({"from": MOMENTS}),
        st.fixed_dictionaries({"to": MOMENTS}),
        st.just({"from": "2024-02-29", "to": "2024-03-31"}),
    )
    compared = _leaf("-", NUMBERS).map(lambda leaf: {key: leaf[key] for key in leaf if key != "attribute"})
    return st.builds(
        lambda where, measure, window, compared: {"event": event, **where, "measure": measure, **window, **compared},
        st.just({}) | st.fixed_dictionaries({"where": where}),
        st.sampled_from(measures),
        window,
        compared,
    )


DAYS = ("count", "days_since_last", "days_since_first")
AMOUNTS = tuple({function: "amount"} for function in ("sum", "avg", "min", "max", "distinct"))
BEHAVIOURS = st.one_of(
    _behaviour(
        "order",
        _tree(_leaf("category", {**SET, "eq": st.sampled_from(CATEGORIES)}) | _leaf("amount", NUMBERS), 3),
        (*DAYS, *AMOUNTS, {"distinct": "category"}),
    ),
    _behaviour(
        "view",
        _tree(_leaf("page", STRINGS) | _leaf("until", DATES), 2),
        (*DAYS, {"distinct": "page"}, {"distinct": "until"}),
    ),
    _behaviour("silence", _leaf("page", STRINGS), (*DAYS, {"distinct": "page"})),
)
SEGMENTS = st.sampled_from([{"segment": "base", "operator": operator} for operator in ("member", "not_member")])
TREES = _tree(ATTRIBUTES | BEHAVIOURS | SEGMENTS, 6)
