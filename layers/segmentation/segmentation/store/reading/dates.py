"""Instants from text: ISO 8601, a declared format, or seconds since 1970, in a time zone, as UTC. It must not know
datasets.

Years, months and days are read by one pattern per format and put together with numpy, so that 30 February is an
error and
month names do not depend on the machine's locale.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentation.store.reading.columns import Checked, Flags, Problem, as_text, flags, keep, number, parse

Instants = NDArray[np.datetime64]
Whole = NDArray[np.int64]

UTC_INSTANT = pa.timestamp("us", "UTC")
_LOCAL_INSTANT = pa.timestamp("us")
_ISO = (
    r"(?P<Y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)"
    r"(?:[T ](?P<H>\d\d)(?::?(?P<M>\d\d)(?::?(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?)?\s?(?P<z>Z|z|[+-]\d\d(?::?\d\d)?)?)?"
)
# Cells of which Arrow's parsers are sure: 29 February is left to the careful way.
_SURE_DAY = (
    r"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_SURE_TIME = r"[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
_ISO_LOCAL = f"^{_SURE_DAY}(?:{_SURE_TIME})?$"
_ISO_ZONED = f"^{_SURE_DAY}{_SURE_TIME}(?:Z|[+-](?:0\\d|1[0-4]):[0-5]\\d)$"
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d{1,2})",
    "b": r"(?P<b>\pL{3})\.?",
    "B": r"(?P<b>\pL{3,9})",
    "d": r"(?P<d>\d{1,2})",
    "H": r"(?P<H>\d{1,2})",
    "I": r"(?P<I>\d{1,2})",
    "M": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d{1,2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "z": r"(?P<z>Z|z|[+-]\d\d(?::?\d\d)?)",
    "%": "%",
}
_EPOCH_SCALE = {"epoch": 1e6, "epochMillis": 1e3}
_MICROSECOND = np.timedelta64(1, "us")
_MONTH = np.timedelta64(1, "M")
_NOT_A_TIME = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class DateRule:
    """How cells become instants, and which are sensible. `earliest` and `latest` are in UTC and inclusive."""

    earliest: datetime
    latest: datetime
    date_format: str | None = None
    time_zone: str = "UTC"


def instants(raw: pa.Array, rule: DateRule) -> Checked:
    """Timestamps in microseconds, UTC. Cells that name no zone are local to `rule.time_zone`.

    Of an hour that occurs twice the first is meant; an hour that is skipped moves forward.
    """
    if pa.types.is_temporal(raw.type):
        return _bounded(_typed(raw, rule), [], rule)
    if rule.date_format in _EPOCH_SCALE:
        return _bounded(*_epochs(raw, _EPOCH_SCALE[rule.date_format]), rule)
    if rule.date_format is None and pa.types.is_string(raw.type):
        return _bounded(*_iso(raw, rule), rule)
    values, unreadable = _parsed(raw, rule)
    expected = rule.date_format or "YYYY-MM-DD, with or without a time"
    return _bounded(values, [Problem(unreadable, f"does not match the date format {expected}")], rule)


def looks_like_date(values: pa.Array, date_format: str | None) -> bool:
    """Whether every non-blank cell of a sample is a date in the format, or in ISO 8601 without one."""
    if date_format in _EPOCH_SCALE:
        return False
    return bool(pc.all(pc.match_substring_regex(values, f"^(?:{_pattern(date_format)})$")).as_py())


def _iso(raw: pa.Array, rule: DateRule) -> tuple[pa.Array, list[Problem]]:
    """Cells in ISO 8601: with and without a zone by Arrow's parsers, which know less than the pattern, the others
    by it."""

    def careful(cells: pa.Array) -> tuple[pa.Array, Flags]:
        return _parsed(cells, rule)

    def zoned(cells: pa.Array) -> tuple[pa.Array, Flags]:
        return parse(cells, _ISO_ZONED, lambda clean: clean.cast(UTC_INSTANT), careful)

    values, unreadable = parse(raw, _ISO_LOCAL, lambda clean: _from_local(clean.cast(_LOCAL_INSTANT), rule), zoned)
    return values, [Problem(unreadable, "is no date like 2024-05-31 or 2024-05-31T14:30:00Z")]


def _typed(raw: pa.Array, rule: DateRule) -> pa.Array:
    if pa.types.is_timestamp(raw.type) and raw.type.tz:
        return raw.cast(UTC_INSTANT, safe=False)
    return _from_local(raw.cast(_LOCAL_INSTANT, safe=False), rule)


def _epochs(raw: pa.Array, scale: float) -> tuple[pa.Array, list[Problem]]:
    checked = number(raw)
    micros = np.asarray(pc.fill_null(checked.values, 0.0)) * scale
    wild = np.abs(micros) > 2.0**62
    micros = np.floor(np.where(wild, 2.0**62, micros)).astype(np.int64)
    values = pa.array(micros, mask=flags(pc.is_null(checked.values))).cast(UTC_INSTANT)
    return values, list(checked.problems)


def _parsed(raw: pa.Array, rule: DateRule) -> tuple[pa.Array, Flags]:
    encoded = as_text(raw).dictionary_encode()
    parts = pc.extract_regex(encoded.dictionary, f"^(?:{_pattern(rule.date_format)})$")
    names = {field.name for field in parts.type}
    valid = flags(pc.is_valid(parts))

    def part(name: str, default: int) -> Whole:
        if name not in names:
            return np.full(len(parts), default)
        digits = pc.struct_field(parts, name)
        filled = pc.if_else(pc.equal(digits, ""), str(default), digits)
        return np.asarray(pc.fill_null(filled.cast(pa.int64()), default))

    def text(name: str) -> pa.Array:
        return pc.fill_null(pc.struct_field(parts, name), "") if name in names else pa.repeat("", len(parts))

    years = part("Y", 1970)
    if "y" in names:
        short = part("y", 70)
        years = np.where(short < 69, 2000, 1900) + short
    months = _months(text("b")) if "b" in names else part("m", 1)
    days, minutes, seconds = part("d", 1), part("M", 0), part("S", 0)
    hours = part("H", 0)
    if "I" in names:
        twelve = part("I", 12)
        valid &= (twelve >= 1) & (twelve <= 12)
        hours = twelve % 12 + np.where(np.asarray(pc.is_in(pc.utf8_lower(text("p")), pa.array(["p"]))), 12, 0)
    valid &= (years >= 1) & (months >= 1) & (months <= 12) & (hours <= 23) & (minutes <= 59) & (seconds <= 59)
    first = ((years - 1970) * 12 + np.clip(months, 1, 12) - 1).astype("datetime64[M]")
    length = ((first + _MONTH).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    valid &= (days >= 1) & (days <= length)
    micros = pc.utf8_slice_codeunits(pc.utf8_rpad(text("f"), 6, "0"), 0, 6).cast(pa.int64())
    since_midnight = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + np.asarray(micros)
    local = (first.astype("datetime64[D]") + (days - 1)).astype("datetime64[us]") + since_midnight * _MICROSECOND
    has_zone, offset = _offsets(text("z"))
    local = np.where(valid, local, _NOT_A_TIME)
    utc = np.where(has_zone, local - offset * _MICROSECOND, _to_utc(local, rule.time_zone))
    codes = np.asarray(pc.fill_null(encoded.indices, -1))
    values = pa.array(np.append(utc, _NOT_A_TIME)[codes]).cast(UTC_INSTANT)
    return values, np.append(~valid, False)[codes]


def _months(names: pa.Array) -> Whole:
    """1 to 12, 0 where the name is none. Short and full English names, any case."""
    lowered = pc.utf8_lower(names)
    full = pc.index_in(lowered, pa.array(_MONTHS))
    short = pc.index_in(lowered, pa.array([name[:3] for name in _MONTHS]))
    return np.asarray(pc.fill_null(pc.coalesce(full, short), -1)).astype(np.int64) + 1


def _offsets(zones: pa.Array) -> tuple[Flags, Whole]:
    """Which cells name a zone, and its offset from UTC in microseconds. A sample of zones is small: once per
    distinct one."""
    encoded = zones.dictionary_encode()
    offsets = np.array([_offset(zone) for zone in encoded.dictionary.to_pylist()], dtype=np.int64)
    named = np.array([zone != "" for zone in encoded.dictionary.to_pylist()], dtype=np.bool_)
    codes = np.asarray(encoded.indices)
    return named[codes], offsets[codes]


def _offset(zone: str) -> int:
    if zone in ("", "Z", "z"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    micros = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000_000
    return -micros if zone[0] == "-" else micros


def _pattern(date_format: str | None) -> str:
    if date_format is None:
        return _ISO
    pieces = re.split(r"%(.)", date_format)
    return "".join(_DIRECTIVES[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))


def _from_local(local: pa.Array, rule: DateRule) -> pa.Array:
    if rule.time_zone == "UTC":
        return local.cast(UTC_INSTANT)
    missing = flags(pc.is_null(local))
    values = np.asarray(pc.fill_null(local.cast(pa.int64()), 0)).astype("datetime64[us]")
    return pa.array(_to_utc(values, rule.time_zone), mask=missing).cast(UTC_INSTANT)


def _to_utc(local: Instants, time_zone: str) -> Instants:
    """Local instants as UTC: one offset for a day without a change of the clock, one for each minute of a day with one.

    Instants far outside of what any file may hold are left alone.
    """
    if time_zone == "UTC":
        return local
    zone = ZoneInfo(time_zone)
    sensible = (local > np.datetime64("1800-01-01")) & (local < np.datetime64("2300-01-01"))
    days, day_codes = np.unique(local[sensible].astype("datetime64[D]"), return_inverse=True)
    opening = np.array([_utc_offset(day, zone) for day in days.astype("datetime64[us]").tolist()], dtype=np.int64)
    closing = np.array(
        [_utc_offset(day + timedelta(days=1), zone) for day in days.astype("datetime64[us]").tolist()], dtype=np.int64
    )
    offsets = opening[day_codes]
    changing = (opening != closing)[day_codes]
    minutes, minute_codes = np.unique(local[sensible][changing].astype("datetime64[m]"), return_inverse=True)
    exact = np.array([_utc_offset(minute, zone) for minute in minutes.tolist()], dtype=np.int64)
    offsets[changing] = exact[minute_codes]
    utc = local.copy()
    utc[sensible] -= offsets * _MICROSECOND
    return utc


def _utc_offset(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else int(offset / timedelta(microseconds=1))


def _bounded(values: pa.Array, problems: list[Problem], rule: DateRule) -> Checked:
    earliest, latest = (pa.scalar(bound, UTC_INSTANT) for bound in (rule.earliest, rule.latest))
    outside = flags(pc.or_(pc.less(values, earliest), pc.greater(values, latest)))
    reason = f"is outside {rule.earliest:%Y-%m-%d} to {rule.latest:%Y-%m-%d}"
    return keep(values, [*problems, Problem(outside, reason)])
