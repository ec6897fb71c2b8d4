"""Single columns as typed values."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from segmentation.models.imports import DATE_DIRECTIVES
from segmentation.store.reading import columns, dates
from segmentation.store.reading.columns import Checked
from segmentation.store.reading.dates import DateRule, instants

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def found(checked: Checked) -> list[Any]:
    """Values, with the reason in the place of each bad one."""
    values = checked.values.to_pylist()
    for problem in checked.problems:
        for index in problem.mask.nonzero()[0].tolist():
            assert values[index] is None
            values[index] = problem.reason
    return values


def dated(cells: list[Any], date_format: str | None = None, zone: str = "UTC") -> list[Any]:
    values = found(instants(pa.array(cells), DateRule(EARLIEST, LATEST, date_format, zone)))
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]


def test_numbers_as_people_and_machines_write_them() -> None:
    cells = [" 12 ", "+5", "-.5", "1.", "1e3", "", None, "1_000", "0x10", "1,5", "--1", "\uff11\uff12"]
    no = "is not a number"
    assert found(columns.number(pa.array(cells))) == [12, 5, -0.5, 1, 1000, None, None, no, no, no, no, no]


def test_numbers_with_a_decimal_comma() -> None:
    cells = ["1,5", "1.234.567,89", "-2", "12.5", "1,2,3", "1.23"]
    no = "is not a number"
    assert found(columns.number(pa.array(cells), ",")) == [1.5, 1234567.89, -2, no, no, no]


def test_decimals_integers_and_wide_floats_of_typed_files_are_numbers() -> None:
    assert found(columns.number(pa.array([1, None], pa.uint8()))) == [1, None]
    assert found(columns.number(pa.array(["1.25"]).cast(pa.decimal128(5, 2)))) == [1.25]


def test_booleans_in_any_case() -> None:
    cells = ["TRUE", "no", " y", "0", "", "2"]
    assert found(columns.boolean(pa.array(cells))) == [True, False, True, False, None, "is neither true nor false"]


def test_ids_of_256_bytes_are_kept_and_longer_ones_are_not() -> None:
    cells = ["ü" * 128, "ü" * 129]
    assert found(columns.identifier(pa.array(cells))) == ["ü" * 128, "is longer than 256 bytes"]


def test_whole_floats_as_text_have_no_point_up_to_the_last_exact_integer() -> None:
    values = [17850.0, -3.0, 0.5, 2.0**53 - 1, float("nan")]
    assert columns.as_text(pa.array(values)).to_pylist() == ["17850", "-3", "0.5", "9007199254740991", None]


def test_lists_are_split_trimmed_and_bounded() -> None:
    cells = ["a; b ;;c", "", None, ";", "x;" * 1001]
    assert found(columns.items(pa.array(cells), ";")) == [
        ["a", "b", "c"],
        None,
        None,
        [],
        "has more than 1000 items",
    ]


def test_places_outside_of_the_globe_are_bad() -> None:
    cells = ["52.5, 13.4", "-90;180", "91,0", "0,181", "here", None]
    outside = "is outside -90..90 degrees of latitude or -180..180 of longitude"
    nothing = "is no place; write latitude,longitude in degrees like 52.52,13.405"
    berlin, pole = {"lat": 52.5, "lon": 13.4}, {"lat": -90.0, "lon": 180.0}
    assert found(columns.place(pa.array(cells))) == [berlin, pole, outside, outside, nothing, None]


def test_iso_dates_with_and_without_time_and_zone() -> None:
    cells = [
        "2024-02-29",
        "2023-02-29",
        "2024-05-31 14:30",
        "2024-05-31T14:30:00.5Z",
        "2024-05-31T14:30+02:00",
        "24-5-31",
    ]
    no = "is no date like 2024-05-31 or 2024-05-31T14:30:00Z"
    assert dated(cells) == [
        "2024-02-29T00:00:00+00:00",
        no,
        "2024-05-31T14:30:00+00:00",
        "2024-05-31T14:30:00.500000+00:00",
        "2024-05-31T12:30:00+00:00",
        no,
    ]


def test_local_times_follow_the_clock_changes_of_their_zone() -> None:
    cells = ["2020-03-29 01:59", "2020-03-29 02:30", "2020-03-29 03:00", "2020-10-25 02:30", "2020-10-25 03:00"]
    assert dated(cells, zone="Europe/Berlin") == [
        "2020-03-29T00:59:00+00:00",
        "2020-03-29T01:30:00+00:00",
        "2020-03-29T01:00:00+00:00",
        "2020-10-25T00:30:00+00:00",
        "2020-10-25T02:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("date_format", "cell", "expected"),
    [
        ("%d.%m.%Y %H:%M", "1.12.2010 8:26", "2010-12-01T08:26:00+00:00"),
        ("%m/%d/%y %I:%M %p", "12/01/10 12:05 am", "2010-12-01T00:05:00+00:00"),
        ("%d-%b-%Y", "01-dec-2010", "2010-12-01T00:00:00+00:00"),
        ("%B %d, %Y", "December 1, 2010", "2010-12-01T00:00:00+00:00"),
        ("%Y%m%d%H%M%S%z", "20101201082600+0130", "2010-12-01T06:56:00+00:00"),
        ("%Y-%m-%d %H:%M:%S.%f", "2010-12-01 08:26:00.25", "2010-12-01T08:26:00.250000+00:00"),
        ("%d%%%m%%%y", "01%12%99", "1999-12-01T00:00:00+00:00"),
        ("epoch", "1291191960.5", "2010-12-01T08:26:00.500000+00:00"),
        ("epochMillis", "1291191960500", "2010-12-01T08:26:00.500000+00:00"),
    ],
)
def test_declared_date_formats(date_format: str, cell: str, expected: str) -> None:
    assert dated([cell, None], date_format) == [expected, None]


@pytest.mark.parametrize("cell", ["31.04.2010", "0.1.2010", "1.13.2010", "1.1.2010 x", "2010-01-01", "1.1.10"])
def test_cells_that_do_not_match_the_declared_format_are_bad(cell: str) -> None:
    assert dated([cell], "%d.%m.%Y") == ["does not match the date format %d.%m.%Y"]


def test_every_directive_that_a_mapping_may_use_can_be_read() -> None:
    assert set(dates._DIRECTIVES) == DATE_DIRECTIVES
