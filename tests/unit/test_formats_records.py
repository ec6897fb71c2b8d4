"""Record ends, chunks and delimiters on bytes."""

import pytest

from segmentation.errors import InvalidFile
from segmentation.models.imports import ImportMapping
from segmentation.store.reading.chunking import cut, opening
from segmentation.store.reading.formats import detect_delimiter
from segmentation.store.reading.records import RecordScanner


def ends(data: bytes, delimiter: str | None = ",") -> list[tuple[int, bool]]:
    positions, content = RecordScanner(delimiter).feed(data, final=True)
    return list(zip(positions.tolist(), content.tolist(), strict=True))


def test_newlines_inside_quotes_end_no_record() -> None:
    assert ends(b'a,"x\ny"\nb\n') == [(8, True), (10, True)]


def test_doubled_quotes_are_one_quote() -> None:
    assert ends(b'"a""\n""b"\nc\n') == [(10, True), (12, True)]


def test_a_quote_in_the_middle_of_a_field_hides_nothing() -> None:
    assert ends(b'19" rack\nx\n') == [(9, True), (11, True)]


def test_empty_lines_are_blank_and_lines_of_blanks_are_not() -> None:
    assert ends(b"\n\r\n \na") == [(1, False), (3, False), (5, True), (6, True)]


def test_without_quoting_lines_of_blanks_are_blank() -> None:
    assert ends(b'"\n \t\r\n"\n', None) == [(2, True), (6, False), (8, True)]


def test_a_pair_of_line_end_characters_split_between_blocks_is_one_end() -> None:
    scanner = RecordScanner(",")
    assert scanner.feed(b"a\r")[0].tolist() == []
    assert scanner.feed(b"\nb\r", final=False)[0].tolist() == [3]
    assert scanner.feed(b"", final=True)[0].tolist() == [5]


def test_an_open_quote_at_the_end_is_seen() -> None:
    scanner = RecordScanner(",")
    scanner.feed(b'a\n"b\n', final=True)
    assert scanner.inside_quotes


def test_chunks_end_at_records_and_hold_at_least_the_wanted_size() -> None:
    data = b"".join(b"%04d\n" % number for number in range(100))
    cuts = list(cut([data[:133], data[133:]], ",", "file", keep=True, chunk_bytes=120))
    assert [(piece.start, piece.end, piece.first_row, piece.records) for piece in cuts] == [
        (0, 120, 1, 24),
        (120, 240, 25, 24),
        (240, 360, 49, 24),
        (360, 480, 73, 24),
        (480, 500, 97, 4),
    ]
    assert b"".join(piece.data for piece in cuts) == data


def test_the_first_record_is_found_over_several_blocks_and_blank_lines() -> None:
    found = opening(iter([b"\n\nab", b"c,d", b"\ne\n", b"f"]), ",", "file")
    assert found.head[found.begin : found.end] == b"abc,d\n"
    assert found.head + b"".join(found.rest) == b"\n\nabc,d\ne\nf"


def test_a_record_over_the_limit_is_named_with_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation.store.reading.chunking.MAX_RECORD_BYTES", 10)
    with pytest.raises(InvalidFile, match="row 3 is longer than 10 bytes"):
        list(cut([b"a\n\nb\n", b"c" * 6, b"c" * 6, b"\n"], ",", "file", keep=False))


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        (b"a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        (b"a,b\n1;2;3,4\n", ","),
        (b'"a;x"|b\n"1;2"|3\n', "|"),
        (b"a\tb c\n1\t2,3\n", "\t"),
        (b"only\n1\n2\n", ","),
        (b"", ","),
    ],
)
def test_the_delimiter_that_splits_evenly_is_taken(text: bytes, delimiter: str) -> None:
    assert detect_delimiter(text, ImportMapping()) == delimiter
