"""The domain's errors: one tree, raised by use cases and stores. What HTTP makes of them stands in `runtime`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong: `field` is a path into what the client sent, `message` carries the value."""

    field: str
    message: str


class SegmentationError(Exception):
    """Base of every error that a client can understand and act upon."""

    title = "The request could not be served"

    def __init__(self, message: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.errors = tuple(errors)


class InvalidInput(SegmentationError):
    """What the client sent cannot be accepted; `errors` names every field."""

    title = "Invalid input"


class InvalidCriteria(InvalidInput):
    """A rule that cannot be compiled: unknown name, wrong type, over a limit."""

    title = "Invalid criteria"


class InvalidFile(InvalidInput):
    """A dropped file that cannot be read at all; single bad rows are rejected without this."""

    title = "Invalid file"


class NotFound(SegmentationError):
    """No such segment, customer, job or object."""

    title = "Not found"


class Conflict(SegmentationError):
    """The state of the thing forbids the change: the id is taken, others use it, work is under way."""

    title = "Conflict"


class StaleVersion(SegmentationError):
    """The client changed a version that is no longer the current one."""

    title = "Stale version"


class Forbidden(SegmentationError):
    """The token does not carry the permission that the operation needs."""

    title = "Forbidden"


class TooBusy(SegmentationError):
    """The store asked to slow down, or an answer in time is not possible: try again, or use the asynchronous way."""

    title = "Try again later"


class Unfit(SegmentationError):
    """A model that cannot be used and gives no scores; `status` says of which sort, the message why."""

    title = "No usable model"
    status: Literal["insufficient_data", "unreliable"] = "unreliable"


class InsufficientData(Unfit):
    """Too few customers, or too little of what the method needs."""

    status = "insufficient_data"


class UnreliableFit(Unfit):
    """A fit that did not converge, or ended at a bound."""

    status = "unreliable"
