"""What sets each cluster apart from everyone, and a name made of it.

It must not know how the clusters were found: any attribute may describe them, also one that they were not made of.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segmentation.engine.clustering.traits import Trait, clipped, numbers_of, traits_of
from segmentation.engine.frame import Codes, Column, DateColumn, Floats, NumberColumn
from segmentation.errors import FieldError, InvalidInput

_ALIKE, _COMPARED = 0.9, 10_000
"""Correlation from which on one attribute says what another said, and rows that it is measured on."""
_VERY = 1.5
_PARTS, _LONGEST = 2, 40
"""Traits in a name unless it takes more to tell two clusters apart, and characters of one word."""


@dataclass(frozen=True)
class Profile:
    """A cluster in words: a `name` that no other cluster of the model has, the strongest `traits` first."""

    name: str
    size: int
    share: float
    traits: tuple[Trait, ...]


def describe(
    columns: Mapping[str, Column], labels: Codes, k: int, *, top: int = 5, named_by: Collection[str] = ()
) -> tuple[Profile, ...]:
    """Profiles of the clusters 0 to k - 1 of `labels` (n,), each with at most `top` traits, one per attribute.

    Names are made of the attributes `named_by` first, the features that the clusters were found by, and of others only
    where these do not tell clusters apart.
    Everyone is whoever is in a cluster (label >= 0). Numbers, booleans and dates are compared by means, texts and lists
    by the share of each of their 1,000 most frequent values; geographic points by nothing. A trait needs 10 customers
    and half of the cluster with a value (of a text: 10 with this value, and 5% of the cluster's holders), a strength of
    0.2 and three standard errors of a mean. Memory: a few arrays of n, and k times 1,000 counts. InvalidInput if labels
    or columns do not fit each other.
    """
    _check(columns, labels, k, top)
    inside = labels >= 0
    sizes = np.bincount(labels[inside], minlength=k)
    found: list[list[Trait]] = [[] for _ in range(k)]
    for attribute, column in columns.items():
        for cluster, trait in traits_of(attribute, column, labels, k):
            found[cluster].append(trait)
    ranked = [sorted(each, key=lambda trait: (-trait.strength, trait.attribute)) for each in found]
    traits = [tuple(each[:top]) for each in ranked]
    first = [[trait for trait in each if trait.attribute in named_by] for each in ranked]
    naming = [tuple(dict.fromkeys([*own, *shown])) for own, shown in zip(first, traits, strict=True)]
    names = distinct_names(naming, redundant(columns, {trait.attribute for each in naming for trait in each}))
    share = sizes / max(int(sizes.sum()), 1)
    return tuple(Profile(names[n], int(sizes[n]), float(share[n]), traits[n]) for n in range(k))


def _check(columns: Mapping[str, Column], labels: Codes, k: int, top: int) -> None:
    if k < 1 or top < 0:
        message = f"k={k} and top={top}: at least 1 cluster, and no negative number of traits"
        raise InvalidInput(message, [FieldError("k", message)])
    if labels.ndim != 1 or int(labels.max(initial=-1)) >= k:
        message = f"labels must be a list of numbers below k={k}"
        raise InvalidInput(message, [FieldError("labels", message)])
    for attribute, column in columns.items():
        if len(column.missing()) != len(labels):
            message = f"'{attribute}' has {len(column.missing())} rows, the labels {len(labels)}"
            raise InvalidInput(message, [FieldError("features", message)])


# -------------------------------------------------------------------------------- names

Pairs = frozenset[tuple[str, str]]


def redundant(columns: Mapping[str, Column], attributes: Iterable[str]) -> Pairs:
    """Pairs of numbers and dates of which one says nearly all that the other does, on at most about 10,000 rows.

    They are correlated by more than 0.9, with either sign; where a value is missing it counts as the mean.
    """
    compared: dict[str, Floats] = {}
    for name in attributes:
        column = columns[name]
        if isinstance(column, NumberColumn | DateColumn):
            rows = np.arange(0, len(column.values), max(len(column.values) // _COMPARED, 1))
            compared[name] = _normalised(numbers_of(column.take(rows)))
    return frozenset(
        (one, other)
        for one in compared
        for other in compared
        if one != other and abs(float(compared[one] @ compared[other])) > _ALIKE
    )


def _normalised(values: Floats) -> Floats:
    """Values about their mean, clipped as those of traits are, as a vector of length 1; zeros if nothing varies."""
    known = np.isfinite(values)
    centred = np.zeros(len(values))
    if known.any():
        inner = clipped(values[known])
        with np.errstate(over="ignore", invalid="ignore"):
            centred[known] = inner - inner.mean()
            length = float(np.linalg.norm(centred))
        if 0 < length < np.inf:
            return centred / length
    return np.zeros(len(values))


def distinct_names(traits: Sequence[tuple[Trait, ...]], alike: Pairs = frozenset()) -> tuple[str, ...]:
    """A name for each cluster, of the two strongest traits that say different things, "Like everyone" without any.

    Clusters that share a name, in whatever order of its parts, take a third trait, and so on; those that cannot be told
    apart are numbered.
    """
    told = [_telling(each, alike) for each in traits]
    chosen = [each[:_PARTS] for each in told]
    for parts in range(_PARTS + 1, max(map(len, told), default=0) + 1):
        said = [frozenset(map(_words, each)) for each in chosen]
        chosen = [told[n][:parts] if said.count(said[n]) > 1 else each for n, each in enumerate(chosen)]
    names = [_name(each) for each in chosen]
    taken: list[str] = []
    for name in names:
        number, own = 1, name
        while own in taken:
            number += 1
            own = f"{name} ({number})"
        taken.append(own)
    return tuple(taken)


def _telling(traits: tuple[Trait, ...], alike: Pairs) -> list[Trait]:
    """The traits that do not repeat a stronger one."""
    told: list[Trait] = []
    for trait in traits:
        if not any((trait.attribute, other.attribute) in alike for other in told):
            told.append(trait)
    return told


def _name(traits: Sequence[Trait]) -> str:
    if not traits:
        return "Like everyone"
    first, *others = [_words(trait) for trait in traits]
    # An attribute keeps its spelling, also at the start.
    if traits[0].measure == "difference" and traits[0].value != "true":
        first = first[0].upper() + first[1:]
    return ", ".join([first, *others])


def _words(trait: Trait) -> str:
    attribute = _short(trait.attribute)
    if trait.measure == "lift":
        return f"{attribute} {_short(trait.value)}"
    if trait.value in ("true", "false"):
        return attribute if trait.value == "true" else f"no {attribute}"
    return f"{'very ' if trait.strength >= _VERY else ''}{trait.value} {attribute}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
