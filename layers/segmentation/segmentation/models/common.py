"""Types that several operations share: ids as they come in bodies and in paths, instants, inputs that refuse unknown
fields.
"""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

MAX_ID_BYTES = 256
FIRST_YEAR, LAST_YEAR = 1970, 2200
SEGMENT_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

MODEL_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$"
"""With a group's id behind it, a model's id still is a segment's id."""


def check_customer_id(value: str) -> str:
    """The id in NFC. Raises ValueError if it is empty, longer than 256 UTF-8 bytes, or holds control characters."""
    normal = unicodedata.normalize("NFC", value)
    size = len(normal.encode("utf-8", "surrogatepass"))
    if not normal.strip():
        raise ValueError("an id must not be blank")
    if size > MAX_ID_BYTES:
        raise ValueError(f"an id has at most {MAX_ID_BYTES} bytes; this one has {size}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in normal):
        raise ValueError("an id must not hold control characters")
    return normal


def _as_utc(value: datetime) -> datetime:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    # Compared before it is converted: the first and last days that Python knows have no UTC.
    if not FIRST_YEAR < aware.year < LAST_YEAR:
        raise ValueError(f"{aware.isoformat()} is not between {FIRST_YEAR + 1} and {LAST_YEAR - 1}")
    return aware.astimezone(UTC)


def iso(instant: datetime) -> str:
    """An instant as text that sorts: `2026-01-31T08:00:00.000000Z`, always with microseconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


CustomerId = Annotated[str, AfterValidator(check_customer_id)]
SegmentId = Annotated[str, Field(pattern=SEGMENT_ID_PATTERN)]
ModelId = Annotated[str, Field(pattern=MODEL_ID_PATTERN)]
LegalEntityId = Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
Instant = Annotated[datetime, AfterValidator(_as_utc), PlainSerializer(iso, return_type=str, when_used="json")]

CustomerPath = Annotated[
    str, BeforeValidator(unquote), AfterValidator(check_customer_id), Path(description="Customer id, percent-encoded")
]
SegmentPath = Annotated[str, BeforeValidator(unquote), Path(pattern=SEGMENT_ID_PATTERN, description="Segment id")]
ModelPath = Annotated[str, BeforeValidator(unquote), Path(pattern=MODEL_ID_PATTERN, description="Model id")]
JobPath = Annotated[str, BeforeValidator(unquote), Path(pattern=r"^[A-Za-z0-9_-]{1,80}$", description="Job id")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at the most")]
NextToken = Annotated[str | None, Query(max_length=4096, description="nextToken of the previous answer")]
IfMatch = Annotated[str | None, Header(alias="If-Match", description="Version that the change is based on")]

Json = Any


class Input(BaseModel):
    """What a client sends: a field that nobody knows is an error, numbers are finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Output(BaseModel):
    """What the service returns."""

    model_config = ConfigDict(extra="forbid")


class Health(Output):
    status: str
