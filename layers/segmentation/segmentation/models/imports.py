"""What people say about a dropped file (the mapping), and what planning found out about it. It knows no store and
no parser."""

import codecs
import re
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from segmentation.engine.catalogue import Kind
from segmentation.errors import FieldError, InvalidFile

Dataset = Literal["customers", "orders", "events", "members"]
Format = Literal["csv", "jsonl", "parquet"]
ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
OrderIdPart = Literal["customerId", "orderedAt", "sku", "category", "channel", "currency", "status"]

WHITESPACE = "whitespace"
EPOCH_FORMATS = ("epoch", "epochMillis")
DATE_DIRECTIVES = frozenset("YymdbBHIMSfpz%")
MAX_MAPPING_BYTES = 64 * 2**10
MAX_COLUMNS = 500
ONE_BYTE_ENCODINGS = frozenset(
    ["ascii", "cp437", "cp850", "cp852", "cp866", "koi8-r", "koi8-u", "mac-roman"]
    + [f"cp125{n}" for n in range(9)]
    + [f"iso8859-{n}" for n in range(1, 17) if n != 12]
)
"""Encodings whose bytes below 128 are ASCII: a file can be cut at line ends without decoding it."""
WIDE_ENCODINGS = frozenset(
    [
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-32-le",
        "utf-32-be",
        "shift_jis",
        "cp932",
        "euc_jp",
        "gbk",
        "gb18030",
        "big5",
        "euc_kr",
        "cp949",
    ]
)
UTF8 = "utf-8"


def _encoding(value: str) -> str:
    try:
        name = codecs.lookup(value).name
    except LookupError:
        raise ValueError(f"{value!r} is no known encoding; try utf-8, latin-1 or cp1252") from None
    if name == "utf-8-sig":
        return UTF8
    if name != UTF8 and name not in ONE_BYTE_ENCODINGS | WIDE_ENCODINGS:
        raise ValueError(f"{value!r} is not a supported encoding; convert the file to UTF-8")
    return name


def _delimiter(value: str) -> str:
    if value == WHITESPACE or re.fullmatch(r"[,;|\t:^~!#/ ]", value):
        return value
    raise ValueError(f"{value!r} is no delimiter; use one of , ; | : ^ ~ ! # / a tab, a blank, or {WHITESPACE!r}")


def _date_format(value: str) -> str:
    if value in EPOCH_FORMATS:
        return value
    directives = re.findall(r"%(.?)", value)
    unknown = sorted(set(directives) - DATE_DIRECTIVES)
    if unknown:
        raise ValueError(
            f"{value!r} has the unknown directive %{unknown[0]}; known are %{' %'.join(sorted(DATE_DIRECTIVES))}"
        )
    for name, choices in (("year", "Yy"), ("month", "mbB"), ("day", "d")):
        if sum(directives.count(choice) for choice in choices) != 1:
            raise ValueError(f"{value!r} must name the {name} exactly once (%{' or %'.join(choices)})")
    repeated = sorted({directive for directive in directives if directive != "%" and directives.count(directive) > 1})
    if repeated:
        raise ValueError(f"{value!r} has %{repeated[0]} more than once")
    if ("I" in directives) != ("p" in directives) or {"H", "I"} <= set(directives):
        raise ValueError(f"{value!r} must use %H alone, or %I together with %p")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{value!r} is no IANA time zone; an example is Europe/Berlin") from None
    return value


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parsing(Strict):
    """How cells become values."""

    decimal: Literal[".", ","] = "."
    dateFormat: Annotated[str, Field(max_length=64), AfterValidator(_date_format)] | None = None
    timeZone: Annotated[str, Field(max_length=64), AfterValidator(_time_zone)] = "UTC"
    listSeparator: Annotated[str, Field(min_length=1, max_length=3)] = "|"
    orderIdFrom: Literal["row"] | Annotated[tuple[OrderIdPart, ...], Field(min_length=1, max_length=7)] | None = None
    constants: Annotated[
        dict[ColumnName, Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=20)
    ] = {}


class ImportMapping(Parsing):
    """The mapping file: everything that a file cannot say about itself. Every field is optional."""

    columns: Annotated[dict[ColumnName, ColumnName], Field(max_length=MAX_COLUMNS)] = {}
    ignore: Annotated[tuple[ColumnName, ...], Field(max_length=MAX_COLUMNS)] = ()
    types: Annotated[dict[ColumnName, Kind], Field(max_length=MAX_COLUMNS)] = {}
    format: Format | None = None
    delimiter: Annotated[str, AfterValidator(_delimiter)] | None = None
    encoding: Annotated[str, Field(max_length=64), AfterValidator(_encoding)] | None = None
    header: bool = True
    names: Annotated[tuple[ColumnName, ...], Field(max_length=MAX_COLUMNS)] = ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.names and self.header and "header" in self.model_fields_set:
            raise ValueError("names are for files without a header: leave header out or set it to false")
        if not self.header and not self.names:
            raise ValueError("a file without a header needs names, one for each column")
        twice = sorted(set(self.columns) & set(self.constants))
        if twice:
            raise ValueError(f"{twice[0]!r} is both in columns and in constants")
        if self.orderIdFrom and "orderId" in {*self.columns, *self.constants}:
            raise ValueError("orderId is given and orderIdFrom is set: keep one of them")
        ignored = sorted(set(self.columns.values()) & set(self.ignore))
        if ignored:
            raise ValueError(f"the column {ignored[0]!r} is both used and ignored")
        return self

    @property
    def has_header(self) -> bool:
        """A file for which names are given has no header line."""
        return self.header and not self.names


def parse_mapping(data: bytes, key: str) -> ImportMapping:
    """A mapping file's bytes as a mapping. Raises InvalidFile that names every field that is wrong."""
    if len(data) > MAX_MAPPING_BYTES:
        raise InvalidFile(f"the mapping {key!r} has {len(data)} bytes; the limit is {MAX_MAPPING_BYTES}")
    try:
        return ImportMapping.model_validate_json(data)
    except ValidationError as error:
        errors = [
            FieldError(".".join(str(part) for part in problem["loc"]) or "mapping", problem["msg"])
            for problem in error.errors(include_url=False)
        ]
        listed = "; ".join(f"{problem.field}: {problem.message}" for problem in errors[:5])
        raise InvalidFile(f"the mapping {key!r} is not valid: {listed}", errors) from None


class CreateImport(Strict):
    """Body of create_import: announce a file, get an address to upload it to."""

    dataset: Dataset
    fileName: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^/\\\x00-\x1f\x7f]+$")]
    mapping: ImportMapping | None = None


class FileFormat(Strict):
    """What the bytes of the chunks are. `original` is the encoding of the file itself; `fields` counts the columns
    of CSV."""

    format: Format
    gzip: bool = False
    encoding: str = UTF8
    original: str = UTF8
    delimiter: str = ","
    header: bool = True
    fields: int = 0


class PlannedColumn(Strict):
    """A column of the file and what becomes of it: `target` is its name in staged files, `name` the bare one.

    `position` counts from 0; -1 stands for a constant of the mapping.
    """

    source: str
    position: int
    name: str
    target: str
    kind: Kind


class PlannedChunk(Strict):
    """The part of a source that one worker reads: bytes, or row groups of Parquet, `start` to `end` (exclusive)."""

    chunk: int
    key: str
    start: int
    end: int
    firstRow: int
    records: int


class ImportPlan(Strict):
    """Everything that the workers of one import need to know. `newAttributes` are names that the catalogue did not
    have."""

    jobId: str
    key: str
    dataset: Dataset
    etag: str
    now: datetime
    format: FileFormat
    parsing: Parsing
    columns: tuple[PlannedColumn, ...]
    ignoredColumns: tuple[str, ...]
    newAttributes: dict[str, Kind]
    chunks: tuple[PlannedChunk, ...]
    records: int


class ChunkResult(Strict):
    """What one worker did: `rows = accepted + rejected`; the partitions it touched; the names of events it saw."""

    jobId: str
    chunk: int
    rows: int
    accepted: int
    rejected: int
    partitions: tuple[int, ...]
    events: tuple[str, ...] = ()
