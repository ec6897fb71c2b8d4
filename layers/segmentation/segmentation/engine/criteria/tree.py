"""Rules as frozen values: what parsing yields and evaluation reads. It must not know JSON, columns or clocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from segmentation.engine.catalogue import Kind

ROOT = "criteria"
"""Where every path begins: the field of the request that carries a rule."""


@dataclass(frozen=True, slots=True)
class Duration:
    """`count` of a unit: h, d and w have a fixed length; m and y are calendar months and years."""

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


@dataclass(frozen=True, slots=True)
class Point:
    """A place in degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Circle:
    """Everything at most `km` kilometres from a place."""

    latitude: float
    longitude: float
    km: float


Scalar = str | float | bool | date | datetime | Point
"""A `date` is a whole day in the rule's time zone, a `datetime` an instant in UTC."""

Value = Scalar | Duration | Circle | tuple[Scalar, ...] | None


@dataclass(frozen=True, slots=True)
class Condition:
    """An attribute (or a field of an event) compared with a value by a canonical operator."""

    attribute: str
    kind: Kind
    operator: str
    value: Value = None
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class SegmentIs:
    """Membership in another segment: `member` or `not_member`."""

    segment: str
    operator: str


@dataclass(frozen=True, slots=True)
class Group:
    """`all` or `any` of the children; there is at least one."""

    operator: str
    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The exact complement of the child."""

    child: "Node"


@dataclass(frozen=True, slots=True)
class Measure:
    """count, sum, avg, min, max or distinct of a field, days_since_last, days_since_first."""

    function: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows count by their time: the last `within`, or from `start` (included) to `end` (excluded)."""

    within: Duration | None = None
    start: date | datetime | None = None
    end: date | datetime | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A number measured on the rows of an event, compared with a value by a number operator.

    `fields` are the event's fields that the condition reads, with their kinds.
    """

    event: str
    measure: Measure
    window: Window
    operator: str
    value: Value
    where: "Node | None" = None
    fields: tuple[tuple[str, Kind], ...] = ()


Leaf = Condition | Behaviour | SegmentIs
Node = Condition | Behaviour | SegmentIs | Group | Not


def walk(node: Node, path: str = ROOT) -> Iterator[tuple[str, Node]]:
    """Every node with its path, parents first. The conditions on rows inside a behaviour are part of it, not nodes."""
    yield path, node
    match node:
        case Group():
            for position, child in enumerate(node.children):
                yield from walk(child, f"{path}.{node.operator}[{position}]")
        case Not():
            yield from walk(node.child, f"{path}.not")
