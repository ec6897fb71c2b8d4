"""What clients ask of an export: in the body of create_export, or in a request file that they drop."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from segmentation.errors import FieldError, InvalidInput
from segmentation.models.common import Input, SegmentId
from segmentation.models.migrations import Moves

MAX_COLUMNS = 200
MAX_REQUEST_BYTES = 64 * 2**10

MEMBERSHIP_COLUMNS = ("customerId", "since", "source", "legalEntityId", "segmentId")
"""Columns that the membership itself has; every other name is an attribute or a computed feature."""

ATTRIBUTE_PREFIX = "attribute:"
"""Reaches an attribute that shares its name with a column of the membership."""


class CreateExport(Input):
    """The members of a segment, or the customers who moved from one to another, as a file."""

    segmentId: SegmentId | None = None
    migration: Moves | None = Field(default=None, description="Instead of segmentId: customers who moved")
    columns: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=lambda: ["customerId", "since"],
        min_length=1,
        max_length=MAX_COLUMNS,
        description="customerId, since, source, legalEntityId, segmentId, attributes, features; in this order. "
        "Of a migration, since, source and legalEntityId are those of the membership in toSegment now",
    )
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    gzip: bool = Field(default=False, description="Compress CSV or JSON Lines; Parquet is compressed anyway")
    fileName: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,127}$")] | None = Field(
        default=None, description="Name of the file; the extension is added where it is missing"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if (self.segmentId is None) == (self.migration is None):
            raise ValueError("name either a segmentId or a migration")
        twice = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if twice:
            raise ValueError(f"the column {twice[0]!r} is asked for more than once")
        if self.gzip and self.format == "parquet":
            raise ValueError("gzip is for csv and jsonl: parquet is compressed already")
        return self

    def file_name(self) -> str:
        """`vip.csv.gz`: the given name, or the ids of the segments, with what the format appends."""
        extension = f".{self.format}{'.gz' if self.gzip else ''}"
        moves = f"{self.migration.fromSegment}-to-{self.migration.toSegment}" if self.migration else ""
        name = self.fileName or self.segmentId or moves
        return name if name.endswith(extension) else name.removesuffix(f".{self.format}") + extension


def parse_request(data: bytes, key: str) -> CreateExport:
    """A request file as a request. Raises InvalidInput that names every field that is wrong, with its value."""
    try:
        return CreateExport.model_validate_json(data)
    except ValidationError as error:
        errors = [
            FieldError(
                ".".join(str(part) for part in problem["loc"]) or "request",
                f"{problem['msg']} (found {repr(problem['input'])[:100]})",
            )
            for problem in error.errors(include_url=False)
        ]
        listed = "; ".join(f"{problem.field}: {problem.message}" for problem in errors[:5])
        raise InvalidInput(f"the export request {key!r} is not valid: {listed}", errors) from None
