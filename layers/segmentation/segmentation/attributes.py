"""Names that rules can use, and the values that clients give them."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from segmentation.engine.catalogue import FEATURES, ORDER_EVENTS, ORDER_FIELDS, Kind, is_computed
from segmentation.models.customers import Attribute, AttributeList
from segmentation.store import catalogue
from segmentation.store.store import Store

MAX_TEXT_BYTES = 4096
MAX_LIST = 200
MAX_NUMBER = 1e100
"""Well inside what the table can keep of a statistic."""
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def list_attributes(store: Store) -> AttributeList:
    """Attributes with what the last run measured of them, features, models' scores, and the fields of every event.

    One list, no pages: it is bounded.
    """
    found = catalogue.items(store.table)
    measured = {item["name"]: catalogue.statistics_of(item) for item in found if item.get("feature")}
    items = [
        _attribute(name, kind, "feature" if name in FEATURES else "score", measured.get(name))
        for name, kind in catalogue.from_items(found).attributes.items()
        if is_computed(name)
    ]
    items += [
        Attribute(name=name, kind=kind.value, source="event", event=event)
        for event in ORDER_EVENTS
        for name, kind in ORDER_FIELDS.items()
    ]
    for item in (item for item in found if not item.get("feature") and "slot" not in item):
        source = "event" if "event" in item else "attribute"
        items.append(_attribute(item["name"], item["kind"], source, catalogue.statistics_of(item), item.get("event")))
    return AttributeList(items=items)


def _attribute(name: str, kind: str, source: str, measured: Any, event: str | None = None) -> Attribute:
    coverage = measured.get("coverage") if measured else None
    return Attribute(name=name, kind=kind, source=source, event=event, coverage=coverage, statistics=measured)


def kind_of(value: Any) -> Kind:
    """The kind of an attribute that nobody has seen before, by its first value. Raises ValueError."""
    match value:
        case bool():
            return Kind.BOOLEAN
        case int() | float():
            return Kind.NUMBER
        case str():
            return Kind.DATE if _looks_like_date(value) else Kind.STRING
        case list():
            return Kind.LIST
        case {"latitude": _, "longitude": _}:
            return Kind.GEO
    raise ValueError(
        f"{_shown(value)} is no attribute value; "
        "use a string, number, boolean, ISO date, list of strings or {latitude, longitude}"
    )


def stored_value(value: Any, kind: Kind) -> Any:
    """The value as the snapshot keeps it. Raises ValueError that says what the attribute holds."""
    match kind, value:
        case Kind.STRING, str():
            return _text(value)
        case Kind.NUMBER, int() | float() if not isinstance(value, bool):
            number = float(value)
            if not abs(number) <= MAX_NUMBER:
                raise ValueError(f"{_shown(value)} is not a number between -{MAX_NUMBER:g} and {MAX_NUMBER:g}")
            return number
        case Kind.BOOLEAN, bool():
            return value
        case Kind.DATE, str():
            return _instant(value)
        case Kind.LIST, list() if all(isinstance(item, str) for item in value):
            if len(value) > MAX_LIST:
                raise ValueError(f"a list has at most {MAX_LIST} items; this one has {len(value)}")
            return [_text(item) for item in value]
        case Kind.GEO, {"latitude": int() | float(), "longitude": int() | float()} if len(value) == 2:
            return _place(value)
    raise ValueError(f"{_shown(value)} is not a {kind.value}, which this attribute holds")


def _text(value: str) -> str:
    normal = unicodedata.normalize("NFC", value)
    try:
        size = len(normal.encode())
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair") from None
    if size > MAX_TEXT_BYTES:
        raise ValueError(f"a text has at most {MAX_TEXT_BYTES} bytes; this one has {size}")
    return normal


def _instant(value: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(value)
        instant = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{_shown(value)} is not an ISO date such as 2026-01-31 or 2026-01-31T08:00:00Z") from None
    if not _FIRST <= instant < _LAST:
        raise ValueError(f"{value} is not between {_FIRST.year} and {_LAST.year}")
    return instant


def _looks_like_date(value: str) -> bool:
    if len(value) < 10 or value[4:5] != "-":
        return False
    try:
        _instant(value)
    except ValueError:
        return False
    return True


def _place(value: Mapping[str, float]) -> dict[str, float]:
    latitude, longitude = float(value["latitude"]), float(value["longitude"])
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError(f"{_shown(value)} is no place: latitude is -90 to 90, longitude -180 to 180")
    return {"latitude": latitude, "longitude": longitude}


def _shown(value: Any) -> str:
    return repr(value)[:80]
