"""What a question about migrations means: which segments, which instants, and what is not answered.

It is light: whoever only takes a question for later needs no arrays.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from segmentation.engine.migration.limits import MOST_PERIODS, MOST_SEGMENTS
from segmentation.errors import FieldError, InvalidInput, NotFound
from segmentation.models.common import iso
from segmentation.models.migrations import NONE, Moves, Period
from segmentation.models.segments import Segment
from segmentation.store import models, segments
from segmentation.store.table import Table

_DAYS = {"day": 1, "week": 7}


@dataclass(frozen=True)
class Grid:
    """The instants that are looked at: `instants[:whole]` are a period apart, one more may follow sooner."""

    period: Period
    instants: list[datetime]
    whole: int


@dataclass(frozen=True)
class Move:
    """Customers whose state went from one to another between two instants; states are numbers in `segment_ids`, and
    the number after the last for none.
    """

    segment_ids: list[str]
    ordered: bool
    start: datetime
    end: datetime
    before: int
    after: int


def named(
    table: Table, asked: Sequence[str] | None, model_id: str | None, ordered: bool, at: datetime
) -> list[Segment]:
    """The segments of a question, in the order in which they count. Raises InvalidInput with the field at fault."""
    if (asked is None) == (model_id is None):
        _refuse("segments", "name either segments=a,b,c or model=<id>, whose groups are compared")
    field = "model" if model_id is not None else "segments"
    if model_id is not None:
        if ordered:
            _refuse("ordered", "groups of a model have no order; name its segments from lowest to highest instead")
        asked = _groups(table, model_id)
    ids = list(asked or ())
    if not 0 < len(ids) <= MOST_SEGMENTS:
        _refuse(field, f"{len(ids)} segments are compared; name 1 to {MOST_SEGMENTS} in segments")
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        _refuse(field, f"{twice!r} is named more than once")
    if NONE in ids:
        _refuse(field, f"{NONE!r} stands for the customers in none of the segments and cannot be named as one")
    known = {segment.segmentId: segment for segment in segments.all_segments(table, at)}
    unknown = [name for name in ids if name not in known]
    if unknown:
        _refuse(field, f"there is no segment {', '.join(map(repr, unknown))}")
    return [known[name] for name in ids]


def split(text: str | None) -> list[str] | None:
    """Ids out of `a,b,c`; None for no text."""
    return None if text is None else [part.strip() for part in text.split(",")]


def check_times(start: datetime, end: datetime, at: datetime) -> None:
    """Raises InvalidInput unless start < end <= now."""
    if start >= end:
        _refuse("from", f"from {iso(start)} is not before to {iso(end)}")
    if end > at:
        _refuse("to", f"to {iso(end)} is in the future; it is {iso(at)}")


def check_recorded(start: datetime, first: datetime | None) -> None:
    """Raises InvalidInput for a beginning before anything was recorded; `first` is when records begin."""
    if first is None:
        _refuse("from", "no membership was recorded yet; ask again after the first run")
    elif start < first:
        _refuse("from", f"from {iso(start)} is before the first record; records begin at {iso(first)}")


def grid(start: datetime, end: datetime, period: Period | None) -> Grid:
    """The instants from start to end, a period apart; the last period may be shorter.

    Without a period it is the shortest of which at most MOST_PERIODS fit. Raises InvalidInput if they do not fit.
    """
    choices: tuple[Period, ...] = ("day", "week", "month") if period is None else (period,)
    for choice in choices:
        instants = [start]
        while instants[-1] < end and len(instants) <= MOST_PERIODS + 1:
            instants.append(after(start, choice, len(instants)))
        is_whole = instants[-1] == end
        if len(instants) <= MOST_PERIODS + 1:
            whole = len(instants) if is_whole else len(instants) - 1
            return Grid(choice, [*instants[:-1], end], whole)
    longer = "nearer instants" if choices[-1] == "month" else "a longer period or nearer instants"
    message = f"more than {MOST_PERIODS} periods of a {choices[-1]} lie between from and to; choose {longer}"
    raise InvalidInput(message, [FieldError("from" if period is None else "period", message)])


def after(start: datetime, period: Period, number: int) -> datetime:
    """The instant so many periods later; months are calendar months, and a day that a month lacks is its last."""
    if period != "month":
        return start + timedelta(days=_DAYS[period] * number)
    year, month = divmod(start.year * 12 + start.month - 1 + number, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def moves(
    start: datetime,
    to: datetime,
    from_segment: str,
    to_segment: str,
    named_segments: str | None,
    model_id: str | None,
    ordered: bool,
) -> Moves:
    """A move as the query of a request asks for it. Raises InvalidInput."""
    asked = {"from": start, "to": to, "fromSegment": from_segment, "toSegment": to_segment, "ordered": ordered}
    try:
        return Moves.model_validate({**asked, "segments": split(named_segments), "model": model_id})
    except ValidationError as error:
        found = [FieldError(str(e["loc"][0]), f"{e['msg']} (found {repr(e['input'])[:100]})") for e in error.errors()]
        raise InvalidInput("; ".join(f"{e.field}: {e.message}" for e in found[:5]), found) from None


def move(table: Table, asked: Moves, at: datetime) -> Move:
    """A move with its states as numbers. Raises InvalidInput with the field at fault."""
    check_times(asked.start, asked.to, at)
    sides = {"fromSegment": asked.fromSegment, "toSegment": asked.toSegment}
    ids = asked.segments
    if ids is None and asked.model is None:
        ids = list(dict.fromkeys(side for side in sides.values() if side != NONE))
        if not ids:
            _refuse("fromSegment", "from none to none: name the segments that they are in none of")
    known = [segment.segmentId for segment in named(table, ids, asked.model, asked.ordered, at)]
    for field, side in sides.items():
        if side != NONE and side not in known:
            _refuse(field, f"{side!r} is none of the segments {', '.join(known)}; {NONE!r} is allowed too")
    before, later = (known.index(side) if side != NONE else len(known) for side in sides.values())
    return Move(known, asked.ordered, asked.start, asked.to, before, later)


def _groups(table: Table, model_id: str) -> list[str]:
    """Segments of a model's published version."""
    try:
        model, versions = models.get(table, model_id)
    except NotFound as error:
        raise InvalidInput(error.message, [FieldError("model", error.message)]) from None
    for version in versions:
        if version.version == model.publishedVersion:
            return [group.segmentId for group in version.groups]
    message = f"the model {model_id!r} has no published version; publish one, or name segments"
    raise InvalidInput(message, [FieldError("model", message)])


def _refuse(field: str, message: str) -> None:
    raise InvalidInput(message, [FieldError(field, message)])
