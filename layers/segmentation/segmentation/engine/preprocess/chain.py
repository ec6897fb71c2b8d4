"""From columns of customers to the points that models compute on: fitted once, applied to any customers afterwards.

The fitted chain is part of a model: it is shown as it is run. It must not know which model comes after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from segmentation.engine.catalogue import Kind
from segmentation.engine.frame import (
    KINDS,
    BooleanColumn,
    Column,
    Floats,
    NumberColumn,
    StringColumn,
)
from segmentation.engine.preprocess.categories import category_columns, category_steps, normal, ranked
from segmentation.engine.preprocess.parts import part_of
from segmentation.engine.preprocess.recipe import Feature, OneHot, Ordinal, problems
from segmentation.engine.preprocess.steps import Categories, Flagged, Step, flagged, number_steps
from segmentation.engine.preprocess.values import Counted, Values
from segmentation.errors import FieldError, InsufficientData, InvalidInput

MOST_COLUMNS = 100
"""Columns of one chain: 0.8 GB for a million customers."""

_CHUNK = 8_192
_SHOWN = 10


@dataclass(frozen=True)
class Chain:
    """What was done with each feature, fitted on `rows` customers.

    `kinds` are the features' kinds then, `names` the columns that `apply` gives, `steps` what was learnt, in the order
    in which it runs.
    """

    features: tuple[Feature, ...]
    kinds: tuple[Kind, ...]
    steps: tuple[Step, ...]
    names: tuple[str, ...]
    rows: int


def fit(columns: Mapping[str, Column], features: Sequence[Feature], pooled: Mapping[str, Counted] = {}) -> Chain:
    """The chain for `features`, learnt from all rows of `columns`. Memory: a few copies of one column at a time.

    Where the rows are a sample, `pooled` has the values of all customers for some of the features, which are learnt
    from these.

    InvalidInput, with every problem at once, if a feature is unknown, named twice or cannot be treated as asked;
    InsufficientData if there are no customers, or if a feature has no value for any of them.
    """
    _check(columns, features)
    rows = _rows(columns, [feature.name for feature in features])
    if rows == 0:
        raise InsufficientData("there are no customers to learn from")
    steps: list[Step] = []
    names: list[str] = []
    for feature in features:
        fitted = _fitted(feature, columns[feature.name], pooled.get(feature.name))
        steps += fitted
        names += _outputs(feature.name, fitted)
    _check_names(names)
    kinds = tuple(KINDS[type(columns[feature.name])] for feature in features)
    return Chain(tuple(features), kinds, tuple(steps), tuple(names), rows)


def keep(chain: Chain, kept: Sequence[int]) -> Chain:
    """The same chain that gives only the columns at these positions of `names`. All steps stay on view."""
    return replace(chain, names=tuple(chain.names[position] for position in kept))


def needed(chain: Chain) -> tuple[str, ...]:
    """The features that the columns of the chain are made of: `apply` needs no other columns."""
    wanted = set(chain.names)
    return tuple(
        feature.name
        for feature in chain.features
        if not wanted.isdisjoint(_outputs(feature.name, _steps_of(chain, feature.name)))
    )


def apply(chain: Chain, columns: Mapping[str, Column]) -> Floats:
    """The points `(n, d)` of the customers in `columns`, one column per name of the chain; every value is finite.

    A row depends on its own values only, to the last bit. Beside the result, memory is a chunk and one entry per
    distinct text. InvalidInput if a column is absent or of another kind than when the chain was fitted.
    """
    wanted = needed(chain)
    _check_columns(chain, columns, wanted)
    rows = _rows(columns, wanted)
    points = np.empty((rows, len(chain.names)))
    positions = {name: position for position, name in enumerate(chain.names)}
    parts = [part_of(name, _steps_of(chain, name), columns[name], positions) for name in wanted]
    for begin in range(0, rows, _CHUNK):
        block = points[begin : begin + _CHUNK]
        for part in parts:
            part.write(block, begin)
    return points


def _fitted(feature: Feature, column: Column, pooled: Counted | None) -> list[Step]:
    """The steps of one feature, learnt from its column, or from the values of all customers."""
    if pooled is not None:
        return _of_number(feature, pooled)
    if bool(column.missing().all()):
        rows = len(column.missing())
        raise InsufficientData(f"{feature.name!r} has no value for any of the {rows} customers")
    if isinstance(column, StringColumn) and isinstance(feature.encoding, OneHot):
        return category_steps(feature, column, feature.encoding)
    steps: list[Step] = []
    if isinstance(column, StringColumn):
        ranks, values = ranked(feature, column, cast(Ordinal, feature.encoding))
        steps.append(ranks)
        if feature.missing == "constant":
            feature = replace(feature, constant=ranks.order.index(normal(str(feature.constant))))
    elif isinstance(column, BooleanColumn):
        values = np.where(column.values >= 0, column.values, np.nan)
    else:
        values = cast(NumberColumn, column).values
    return [*steps, *_of_number(feature, Values(values))]


def _of_number(feature: Feature, values: Values) -> list[Step]:
    known = values.known().rows
    if not known:
        raise InsufficientData(f"{feature.name!r} has no value for any of the {values.rows} customers")
    return [*flagged(feature, (values.rows - known) / values.rows), *number_steps(feature, values)]


def _steps_of(chain: Chain, name: str) -> list[Step]:
    return [step for step in chain.steps if step.feature == name]


def _outputs(name: str, steps: Sequence[Step]) -> list[str]:
    """Names of the columns that a feature becomes."""
    names = [name]
    for step in steps:
        if isinstance(step, Categories):
            names = category_columns(name, step.categories)
    return names + [step.column for step in steps if isinstance(step, Flagged)]


def _rows(columns: Mapping[str, Column], names: Sequence[str]) -> int:
    """Rows of the columns named. ValueError if they differ: such columns are no customers."""
    sizes = {len(columns[name].missing()) for name in names}
    if len(sizes) > 1:
        raise ValueError(f"columns of {sorted(sizes)} rows")
    return sizes.pop() if sizes else 0


def _check(columns: Mapping[str, Column], features: Sequence[Feature]) -> None:
    if not 1 <= len(features) <= MOST_COLUMNS:
        message = f"{len(features)} features; a model takes 1 to {MOST_COLUMNS}"
        raise InvalidInput(message, [FieldError("features", message)])
    errors = []
    seen = set()
    for feature in features:
        if feature.name in seen:
            errors.append(FieldError("features", f"{feature.name[:64]!r} is named twice"))
        elif feature.name not in columns:
            known = ", ".join(sorted(columns)[:_SHOWN])
            errors.append(FieldError("features", f"{feature.name[:64]!r} is no attribute; known are {known}"))
        else:
            errors += problems(feature, KINDS[type(columns[feature.name])])
        seen.add(feature.name)
    if errors:
        raise InvalidInput(errors[0].message, errors)


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        message = (
            f"the features make {len(names)} columns, at most {MOST_COLUMNS} are possible: fewer categories or features"
        )
        raise InvalidInput(message, [FieldError("features", message)])
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        message = f"two columns would be called {twice!r}; leave out one of their features"
        raise InvalidInput(message, [FieldError("features", message)])


def _check_columns(chain: Chain, columns: Mapping[str, Column], wanted: Sequence[str]) -> None:
    errors = []
    for feature, kind in zip(chain.features, chain.kinds, strict=True):
        if feature.name in wanted and feature.name not in columns:
            errors.append(
                FieldError("features", f"{feature.name!r}, which the model was fitted on, is no attribute now")
            )
        elif feature.name in wanted and KINDS[type(columns[feature.name])] is not kind:
            now = KINDS[type(columns[feature.name])]
            errors.append(FieldError("features", f"{feature.name!r} was of type {kind} when fitted and is {now} now"))
    if errors:
        raise InvalidInput(errors[0].message, errors)
