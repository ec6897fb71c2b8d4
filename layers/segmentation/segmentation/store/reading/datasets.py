"""The columns that each dataset knows, by which names files call them, and what becomes of all others. It reads no
file."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from segmentation.engine.catalogue import Kind, is_computed
from segmentation.errors import FieldError, InvalidFile
from segmentation.models.imports import MAX_COLUMNS, Dataset, ImportMapping

MAX_NAME_CHARACTERS = 64
MAX_SOURCE_CHARACTERS = 256
CONSTANT = -1
"""Position of a column that the mapping makes and the file does not have."""
SEGMENT_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


class Role(StrEnum):
    """How the cells of a known column are checked."""

    ID = "id"
    SEGMENT = "segment"
    TEXT = "text"
    NUMBER = "number"
    PRICE = "price"
    INSTANT = "instant"


KIND_OF_ROLE: Mapping[Role, Kind] = MappingProxyType(
    {
        Role.ID: Kind.STRING,
        Role.SEGMENT: Kind.STRING,
        Role.TEXT: Kind.STRING,
        Role.NUMBER: Kind.NUMBER,
        Role.PRICE: Kind.NUMBER,
        Role.INSTANT: Kind.DATE,
    }
)


@dataclass(frozen=True)
class Known:
    """A column that a dataset knows: its role, whether every row needs it, and the names that it goes by, best
    first."""

    role: Role
    required: bool
    synonyms: tuple[str, ...]


@dataclass(frozen=True)
class FileColumn:
    """A column as the file has it; `position` counts from 0."""

    source: str
    position: int


@dataclass(frozen=True)
class Matched:
    """A column of the file and the staged column that it becomes; `role` is None for columns that the dataset does
    not know."""

    source: str
    position: int
    name: str
    target: str
    role: Role | None


_CUSTOMER = Known(
    Role.ID,
    True,
    ("customerid", "customer", "clientid", "client", "userid", "user", "custid", "customernumber", "customerno"),
)

KNOWN: Mapping[Dataset, Mapping[str, Known]] = MappingProxyType(
    {
        "customers": {"customerId": Known(Role.ID, True, (*_CUSTOMER.synonyms, "id"))},
        "orders": {
            "customerId": _CUSTOMER,
            "orderId": Known(
                Role.ID,
                True,
                (
                    "orderid",
                    "ordernumber",
                    "orderno",
                    "order",
                    "invoiceid",
                    "invoicenumber",
                    "invoiceno",
                    "invoice",
                    "transactionid",
                    "id",
                ),
            ),
            "orderedAt": Known(
                Role.INSTANT,
                True,
                (
                    "orderedat",
                    "orderdate",
                    "ordertime",
                    "purchasedat",
                    "purchasedate",
                    "invoicedate",
                    "transactiondate",
                    "datetime",
                    "timestamp",
                    "createdat",
                    "date",
                    "time",
                ),
            ),
            "amount": Known(
                Role.NUMBER,
                False,
                (
                    "amount",
                    "linetotal",
                    "lineamount",
                    "revenue",
                    "ordertotal",
                    "orderamount",
                    "totalamount",
                    "total",
                    "sales",
                ),
            ),
            "quantity": Known(Role.NUMBER, False, ("quantity", "qty", "units")),
            "unitPrice": Known(Role.PRICE, False, ("unitprice", "itemprice", "price")),
            "sku": Known(Role.TEXT, False, ("sku", "stockcode", "productid", "productcode", "itemid", "product")),
            "category": Known(Role.TEXT, False, ("category", "productcategory", "department")),
            "channel": Known(Role.TEXT, False, ("channel", "saleschannel")),
            "currency": Known(Role.TEXT, False, ("currency", "currencycode")),
            "status": Known(Role.TEXT, False, ("status", "orderstatus")),
        },
        "events": {
            "customerId": _CUSTOMER,
            "event": Known(Role.ID, True, ("event", "eventname", "eventtype", "action", "type")),
            "occurredAt": Known(
                Role.INSTANT,
                True,
                ("occurredat", "eventtime", "eventdate", "timestamp", "datetime", "createdat", "time", "date", "ts"),
            ),
            "eventId": Known(Role.ID, False, ("eventid", "messageid", "uuid", "id")),
        },
        "members": {
            "segmentId": Known(Role.SEGMENT, True, ("segmentid", "segment")),
            "customerId": _CUSTOMER,
            "legalEntityId": Known(Role.ID, False, ("legalentityid", "legalentity")),
        },
    }
)

PREFIXES: Mapping[Dataset, str | None] = MappingProxyType(
    {"customers": "a:", "orders": "x:", "events": "p:", "members": None}
)
"""Prefix of staged columns that the dataset does not know; None: such columns are left out."""


def match(dataset: Dataset, sources: Sequence[FileColumn], mapping: ImportMapping) -> tuple[list[Matched], list[str]]:
    """Columns that are read, and the names of those that are not.

    The mapping decides first, then usual names (case and separators do not count), and every other column is kept under
    the dataset's prefix. Columns without a name are left out. Raises InvalidFile for a mapping that names what is
    not there, for
    required columns that are missing, and for names that cannot be kept.
    """
    _check_names(sources)
    by_source = {column.source: column for column in sources}
    _require_sources(by_source, mapping)
    known = KNOWN[dataset]
    chosen = {target: by_source[source] for target, source in mapping.columns.items()}
    free = [column for column in sources if column.source and column.source not in mapping.ignore]
    taken = {column.source for column in chosen.values()}
    chosen |= {target: FileColumn(target, CONSTANT) for target in mapping.constants}
    for target, description in known.items():
        if target not in chosen and not (target == "orderId" and mapping.orderIdFrom):
            found = _by_synonym(description, [column for column in free if column.source not in taken])
            if found is not None:
                chosen[target] = found
                taken.add(found.source)
    _require_targets(dataset, set(chosen), mapping, sources)
    matched = [
        Matched(column.source, column.position, target, target, known[target].role)
        for target, column in chosen.items()
        if target in known
    ]
    prefix = PREFIXES[dataset]
    rest = [(column, target) for target, column in chosen.items() if target not in known]
    rest += [(column, column.source) for column in free if column.source not in taken]
    if prefix is not None:
        matched += _extras(dataset, prefix, rest)
    elif foreign := sorted(set(chosen) - set(known)):
        raise InvalidFile(f"the mapping names {foreign[0]!r}, but {dataset} files have only {', '.join(known)}")
    read = {column.source for column in matched if column.position != CONSTANT}
    return matched, [column.source for column in sources if column.source not in read]


def attribute_name(name: str) -> str:
    """A column's name as the name of an attribute: letters, digits, `_`, `.` and `-`; anything else becomes `_`."""
    return re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name).strip()).strip("_")


def _extras(dataset: Dataset, prefix: str, columns: Iterable[tuple[FileColumn, str]]) -> list[Matched]:
    extras: dict[str, Matched] = {}
    for column, wanted in columns:
        name = attribute_name(wanted)
        if not name or len(name) > MAX_NAME_CHARACTERS:
            raise InvalidFile(
                f"the column {wanted[:100]!r} cannot be kept: a name has 1 to {MAX_NAME_CHARACTERS} characters, "
                "at least one of them "
                'a letter or a digit; rename it with "columns" in the mapping or list it under "ignore"'
            )
        if dataset == "customers" and is_computed(name):
            raise InvalidFile(
                f"the column {wanted!r} has the name of a feature or of a model's score; rename it with "
                f'"columns": {{"imported_{name.replace(".", "_")}": "{column.source}"}} in the mapping '
                'or list it under "ignore"'
            )
        if name in KNOWN[dataset]:
            raise InvalidFile(
                f"the column {wanted!r} has the name of the known column {name}, which another column of the file "
                "has become; "
                'list it under "ignore" in the mapping or rename it with "columns"'
            )
        if name in extras:
            raise InvalidFile(
                f"the columns {extras[name].source!r} and {column.source!r} would both be kept as {name!r}; "
                "rename one with "
                '"columns" in the mapping or list it under "ignore"'
            )
        extras[name] = Matched(column.source, column.position, name, prefix + name, None)
    return list(extras.values())


def _by_synonym(known: Known, columns: Sequence[FileColumn]) -> FileColumn | None:
    plain = {re.sub(r"[\W_]+", "", column.source).casefold(): column for column in reversed(columns)}
    return next((plain[synonym] for synonym in known.synonyms if synonym in plain), None)


def _check_names(sources: Sequence[FileColumn]) -> None:
    names = [column.source for column in sources if column.source]
    if len(names) > MAX_COLUMNS:
        raise InvalidFile(f"the file has {len(names)} columns; the limit is {MAX_COLUMNS}")
    longest = max(names, key=len, default="")
    if len(longest) > MAX_SOURCE_CHARACTERS:
        raise InvalidFile(
            f"the column {longest[:64]!r}... has a name of {len(longest)} characters; "
            f"the limit is {MAX_SOURCE_CHARACTERS}"
        )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise InvalidFile(f"the column {twice!r} occurs {names.count(twice)} times in the file; rename one")


def _require_sources(by_source: Mapping[str, FileColumn], mapping: ImportMapping) -> None:
    errors = [
        FieldError(f"columns.{target}", f"the file has no column {source!r}")
        for target, source in mapping.columns.items()
        if source not in by_source
    ]
    if errors:
        raise InvalidFile(
            "the mapping names columns that the file does not have: "
            f"{', '.join(repr(mapping.columns[e.field[8:]]) for e in errors)}; "
            f"the file has {_listed(by_source)}",
            errors,
        )


def _require_targets(
    dataset: Dataset, present: set[str], mapping: ImportMapping, sources: Sequence[FileColumn]
) -> None:
    missing = [name for name, column in KNOWN[dataset].items() if column.required and name not in present]
    if dataset == "orders":
        if mapping.orderIdFrom:
            missing.remove("orderId")
            if mapping.orderIdFrom != "row":
                missing += [part for part in mapping.orderIdFrom if part not in present and part not in missing]
        if "amount" not in present and not {"quantity", "unitPrice"} <= present:
            missing.append("amount (or quantity and unitPrice)")
    if missing:
        hint = '; for files without order ids set "orderIdFrom"' if "orderId" in missing else ""
        raise InvalidFile(
            f"the {dataset} file has no column for {', '.join(missing)}; it has "
            f"{_listed(column.source for column in sources)}; "
            f'say which column is which with "columns" in the mapping{hint}',
            [FieldError(name.split(" ")[0], "no column of the file was recognised as this") for name in missing],
        )


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name[:64]) for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
