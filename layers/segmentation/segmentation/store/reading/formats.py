"""What the bytes of a dropped file are: compression, encoding, format, delimiter. It reads a head and decides; it
parses no rows."""

import codecs
import csv
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

from segmentation.errors import InvalidFile
from segmentation.models.imports import (
    UTF8,
    WHITESPACE,
    WIDE_ENCODINGS,
    FileFormat,
    Format,
    ImportMapping,
)

BLOCK_BYTES = 8 * 2**20
MAX_UNPACKED_BYTES = 64 * 2**30
GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"

_BOMS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = (",", ";", "\t", "|")
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV"),
    (b"%PDF", "a PDF document; export the data as CSV"),
    (b"BZh", "a bzip2 archive; use gzip or no compression"),
    (b"\xfd7zXZ", "an xz archive; use gzip or no compression"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; use gzip or no compression"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
)
_SNIFFED_LINES = 50
_SNIFFED_BYTES = 256 * 2**10


def gunzip(blocks: Iterable[bytes], key: str) -> Iterator[bytes]:
    """Decompress a stream of gzip members into blocks of about `BLOCK_BYTES`.

    Raises InvalidFile for a truncated or damaged archive, and for one that unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    member = zlib.decompressobj(wbits=31)
    out = bytearray()
    total = 0
    started = False
    for block in blocks:
        pending = block
        while pending:
            if member.eof:
                pending = b"" if not pending.strip(b"\0") else pending.lstrip(b"\0")
                if not pending:
                    break
                member, started = zlib.decompressobj(wbits=31), False
            try:
                piece = member.decompress(pending, BLOCK_BYTES)
            except zlib.error as error:
                raise InvalidFile(
                    f"{key!r} is a damaged gzip file: {error} after {total} unpacked bytes; upload it again"
                ) from None
            started = True
            pending = member.unused_data if member.eof else member.unconsumed_tail
            out += piece
            total += len(piece)
            if total > MAX_UNPACKED_BYTES:
                raise InvalidFile(f"{key!r} unpacks to more than {MAX_UNPACKED_BYTES} bytes; split the file")
            if len(out) >= BLOCK_BYTES:
                yield bytes(out)
                out.clear()
    if started and not member.eof:
        raise InvalidFile(f"{key!r} is a truncated gzip file: it ends after {total} unpacked bytes; upload it again")
    if out:
        yield bytes(out)


def transcode(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A stream in any encoding as UTF-8 without a byte order mark. Bytes that mean nothing become U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    first = True
    for block in blocks:
        text = decoder.decode(block)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        yield text.encode(UTF8)
    yield decoder.decode(b"", True).encode(UTF8)


def detect(head: bytes, key: str, gzip: bool, mapping: ImportMapping) -> tuple[FileFormat, int]:
    """The format of a file whose unpacked bytes begin with `head`, and how many bytes of byte order mark to skip.

    What the mapping says wins. The delimiter is left at its default: see `detect_delimiter`. Raises InvalidFile
    for files of
    another kind, with a hint what to do.
    """
    if head.startswith(PARQUET_MAGIC):
        if mapping.format not in (None, "parquet"):
            raise InvalidFile(f"{key!r} is a Parquet file, but the mapping says {mapping.format}")
        return FileFormat(format="parquet", gzip=gzip), 0
    if mapping.format == "parquet":
        raise InvalidFile(f"{key!r} is no Parquet file: it does not begin with PAR1")
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise InvalidFile(f"{key!r} is {what}")
    bom, marked = next(((mark, name) for mark, name in _BOMS if head.startswith(mark)), (b"", None))
    encoding = marked or mapping.encoding or UTF8
    text = head[len(bom) : _SNIFFED_BYTES]
    if encoding in WIDE_ENCODINGS:
        text = head[:_SNIFFED_BYTES].decode(encoding, "replace").removeprefix("\ufeff").encode(UTF8)
    if b"\0" in text[:4096]:
        raise InvalidFile(
            f'{key!r} is no text file: it begins with zero bytes; if it is UTF-16, say so with "encoding" in the '
            "mapping"
        )
    kind = mapping.format or _text_format(text, key)
    if kind == "jsonl" and text.lstrip().startswith(b"["):
        raise InvalidFile(
            f"{key!r} is a JSON array; JSON Lines has one object on each line and no brackets around them"
        )
    return FileFormat(format=kind, gzip=gzip, encoding=encoding, original=encoding, header=mapping.has_header), len(bom)


def detect_delimiter(head: bytes, mapping: ImportMapping) -> str:
    """The delimiter of a CSV file from its first lines: the one that splits most lines into the same number of
    fields."""
    if mapping.delimiter is not None:
        return mapping.delimiter
    lines = head[:_SNIFFED_BYTES].decode("latin-1").splitlines(keepends=True)
    if len(head) > _SNIFFED_BYTES and len(lines) > 1:
        lines.pop()
    scores = {delimiter: _score(lines, delimiter) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > (0.0, 0) else ","


def quoting(file_format: FileFormat) -> str | None:
    """The delimiter where quotes may hide the end of a record, None where they mean nothing."""
    return None if file_format.format == "jsonl" or file_format.delimiter == WHITESPACE else file_format.delimiter


def _text_format(text: bytes, key: str) -> Format:
    name = key.lower().removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson", ".json")) or text.lstrip().startswith(b"{"):
        return "jsonl"
    return "csv"


def _score(lines: list[str], delimiter: str) -> tuple[float, int]:
    """Share of records that have the usual number of fields, and that number; nothing for one field."""
    counts: Counter[int] = Counter()
    try:
        for record in csv.reader(lines, delimiter=delimiter):
            if record:
                counts[len(record)] += 1
            if counts.total() >= _SNIFFED_LINES:
                break
    except csv.Error:
        return 0.0, 0
    if not counts:
        return 0.0, 0
    fields, records = counts.most_common(1)[0]
    return (records / counts.total(), fields) if fields > 1 else (0.0, 0)
