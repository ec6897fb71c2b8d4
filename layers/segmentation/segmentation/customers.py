"""Customers one at a time: write a profile, read it, erase the person. What the API writes counts at once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from segmentation import evaluation, partitions, runs
from segmentation.attributes import kind_of, stored_value
from segmentation.engine.catalogue import Catalogue, Kind, is_computed
from segmentation.engine.frame import (
    BooleanColumn,
    Column,
    DateColumn,
    Frame,
    GeoColumn,
    ListColumn,
    NumberColumn,
    StringColumn,
)
from segmentation.errors import FieldError, InvalidInput, NotFound
from segmentation.members import customer_segment
from segmentation.models.common import iso
from segmentation.models.customers import Customer, Erased, PutCustomer
from segmentation.store import catalogue, customers, history, jobs, keys, memberships, segments
from segmentation.store.held import held
from segmentation.store.memberships import Change, State
from segmentation.store.reading.datasets import attribute_name
from segmentation.store.store import Store


def put(store: Store, customer_id: str, request: PutCustomer, at: datetime) -> Customer:
    """Replace a customer's attributes and bring the customer's segments up to date. Raises InvalidInput."""
    known = catalogue.load(store.table)
    attributes, new = _checked(request.attributes, known.attributes)
    if new:
        catalogue.add_attributes(store.table, new)
        # Somebody else may have been faster, with another kind.
        known = catalogue.load(store.table)
        attributes, _ = _checked(request.attributes, known.attributes)
    customers.put(store.table, customer_id, attributes, at, store.partitions)
    frame_at = partitions.load_customers(store, [customer_id])
    _refresh(store, customer_id, frame_at, known, at)
    return _customer(store, frame_at(evaluation.instant(at)), at)


def get(store: Store, customer_id: str, at: datetime) -> Customer:
    """A customer with attributes, features and current segments. Raises NotFound."""
    frame = partitions.load_customers(store, [customer_id])(evaluation.instant(at))
    if not frame.size:
        raise NotFound(f"there is no customer {customer_id!r}")
    return _customer(store, frame, at)


def erase(store: Store, customer_id: str, at: datetime) -> Erased:
    """Remove a person from the table, the history and, by the run that this starts, the files. Raises NotFound."""
    frame = partitions.load_customers(store, [customer_id], partitions.Columns((), {}))(evaluation.instant(at))
    states = memberships.states_of_customer(store.table, customer_id)
    if not frame.size and not states:
        raise NotFound(f"there is no customer {customer_id!r}")
    job_id = jobs.new_id("erasure")
    customers.put(store.table, customer_id, None, at, store.partitions)
    memberships.forget_customer(store.table, customer_id, at, store.partitions, job_id)
    history.forget(store.table, customer_id)
    partition = keys.partition_of(customer_id, store.partitions)
    runs.begin(store, at, partitions=[partition], kind="erasure", job_id=job_id)
    return Erased(customerId=customer_id, jobId=job_id)


def _refresh(store: Store, customer_id: str, frame_at: evaluation.FrameAt, known: Catalogue, at: datetime) -> None:
    """Evaluate every segment for one customer and write what changed."""
    everything = {segment.segmentId: segment for segment in segments.all_segments(store.table, at)}
    names = Catalogue(known.attributes, known.events, everything.keys())
    definitions = evaluation.define(everything.values(), names, at)
    states = memberships.states_of_customer(store.table, customer_id)
    found = evaluation.members(definitions, frame_at, lambda segment_id: states.get(segment_id, State()))
    changes: dict[str, list[Change]] = {}
    for segment_id, definition in definitions.items():
        frame, state = frame_at(definition.now), states.get(segment_id, State())
        why = evaluation.why(definition, "profile")
        changes[segment_id], _ = evaluation.changes(
            definition, frame, found[segment_id], state, held(state, frame), why
        )
    found_all: list[Change] = []
    for ids in evaluation.together(definitions.values()):
        for of_segment in evaluation.with_moves({name: changes[name] for name in ids}).values():
            found_all += of_segment
    memberships.write_outside(store.table, found_all, at, store.partitions)


def _checked(given: Mapping[str, Any], known: Mapping[str, Kind]) -> tuple[dict[str, Any], dict[str, Kind]]:
    """Attributes as they are stored, and the kinds of those that nobody knew.

    Raises InvalidInput that names every bad one.
    """
    stored: dict[str, Any] = {}
    new: dict[str, Kind] = {}
    errors: list[FieldError] = []
    for name, value in given.items():
        if value is None:
            continue
        try:
            if is_computed(name):
                raise ValueError(f"{name!r} is computed, from orders or by a model, and cannot be set")
            if attribute_name(name) != name:
                raise ValueError(f"{name!r} is not a name; use {attribute_name(name)!r}")
            kind = known.get(name) or kind_of(value)
            stored[name] = stored_value(value, kind)
        except ValueError as error:
            errors.append(FieldError(f"attributes.{name}", str(error)))
            continue
        if name not in known:
            new[name] = kind
    if errors:
        raise InvalidInput("; ".join(error.message for error in errors)[:2000], errors)
    return stored, new


def _customer(store: Store, frame: Frame, at: datetime) -> Customer:
    values = {name: value_of(column) for name, column in frame.columns.items()}
    present = {name: value for name, value in values.items() if value is not None}
    found, _ = memberships.page_of_customer(store.table, frame.ids[0], 1000, None, at)
    return Customer(
        customerId=frame.ids[0],
        attributes={name: value for name, value in present.items() if not is_computed(name)},
        features={name: value for name, value in present.items() if is_computed(name)},
        segments=[customer_segment(membership) for membership in found],
    )


def value_of(column: Column, row: int = 0) -> Any:
    """One cell as JSON shows it; None for missing."""
    if column.missing()[row]:
        return None
    match column:
        case StringColumn():
            return column.values[column.codes[row]]
        case NumberColumn():
            value = float(column.values[row])
            return int(value) if value.is_integer() and abs(value) < 2**53 else round(value, 6)
        case DateColumn():
            return iso(column.values[row].astype("datetime64[us]").item().replace(tzinfo=UTC))
        case BooleanColumn():
            return bool(column.values[row])
        case ListColumn():
            return [column.values[code] for code in column.codes[column.offsets[row] : column.offsets[row + 1]]]
        case GeoColumn():
            return {"latitude": float(column.latitude[row]), "longitude": float(column.longitude[row])}
