"""What clients ask of a model, in the engine's words; and whether the catalogue has what it asks for.

Light: a request is checked before anything that computes is loaded.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import cast

from segmentation.engine.catalogue import Kind, scores_of
from segmentation.engine.preprocess import recipe
from segmentation.engine.preprocess.recipe import Feature, default_feature, problems
from segmentation.errors import FieldError, InvalidInput
from segmentation.models.models import Encoding, FeatureRecipe, ModelSummary, Outliers
from segmentation.store.scorers import ORDER

RFM_ATTRIBUTES = ("recencyDays", "orderCount", "totalSpent")


def check(model: ModelSummary, known: Mapping[str, Kind]) -> None:
    """Raises InvalidInput that names every attribute the model cannot be fitted on, and why."""
    errors = [error for name in read_by(model) for error in _unknown(model, name, known)] + _repeated(model)
    if not errors and model.kind == "rfm":
        errors = _rfm_problems(model, known)
    elif not errors:
        errors = [error for feature in features_of(model, known) for error in problems(feature, known[feature.name])]
        errors += _label_problems(model, known)
    if errors:
        raise InvalidInput("; ".join(error.message for error in errors)[:2000], errors)


def read_by(model: ModelSummary) -> tuple[str, ...]:
    """Attributes that the model is fitted on, its label included."""
    if model.kind == "rfm":
        return rfm_attributes(model)
    names = [_name(feature) for feature in model.features]
    if model.kind == "churn":
        names.append(str(model.parameters["label"]))
    return tuple(dict.fromkeys(names))


def scored_from(model: ModelSummary) -> tuple[str, ...]:
    """Attributes that scoring reads: a label is needed for the fit alone."""
    if model.kind == "rfm":
        return rfm_attributes(model)
    return tuple(dict.fromkeys(_name(feature) for feature in model.features))


def unknown_inputs(model: ModelSummary, known: Collection[str]) -> str | None:
    """Why the published version computes nothing at present: a name that it reads is gone."""
    missing = [name for name in scored_from(model) if name not in known]
    if model.publishedVersion is None or not missing:
        return None
    return f"it reads {', '.join(map(repr, missing))}, which nobody knows any more; fit it on other features"


def rfm_attributes(model: ModelSummary) -> tuple[str, str, str]:
    """Recency, frequency and monetary value, the default's or those that the model names."""
    names = tuple(_name(feature) for feature in model.features) or RFM_ATTRIBUTES
    return cast(tuple[str, str, str], names)


def features_of(model: ModelSummary, known: Mapping[str, Kind]) -> tuple[Feature, ...]:
    """The features as the engine prepares them; what is not said is the default of the attribute's kind.

    Raises InvalidInput for kinds that are no features.
    """
    recipes = {_name(feature): feature for feature in model.features}
    return tuple(_feature(recipe_, known[name]) for name, recipe_ in recipes.items())


def _feature(given: str | FeatureRecipe, kind: Kind) -> Feature:
    # Whoever means categories says so: a text of many values is seldom meant as a feature.
    if isinstance(given, str):
        return replace(default_feature(given, kind), encoding=None)
    default = default_feature(given.attribute, kind)
    scaling = default.scaling if given.scaling is None else given.scaling
    return Feature(
        name=given.attribute,
        missing=given.missing or ("median" if given.encoding and given.encoding.ordinal else default.missing),
        constant=given.constant,
        indicator=given.indicator,
        outliers=_outliers(given.outliers),
        log1p=given.log1p,
        scaling=None if scaling == "none" else scaling,
        encoding=_encoding(given.encoding),
    )


def _outliers(given: Outliers | None) -> recipe.Winsorise | recipe.MadClip | None:
    if given is None:
        return None
    if given.winsorise:
        return recipe.Winsorise(given.winsorise.lower, given.winsorise.upper)
    return recipe.MadClip(given.mad.limit) if given.mad else None


def _encoding(given: Encoding | None) -> recipe.OneHot | recipe.Ordinal | None:
    if given is None:
        return None
    if given.oneHot:
        return recipe.OneHot(given.oneHot.minShare, given.oneHot.maxValues)
    return recipe.Ordinal(tuple(given.ordinal.order)) if given.ordinal else None


def _unknown(model: ModelSummary, name: str, known: Mapping[str, Kind]) -> Iterable[FieldError]:
    field = "parameters.label" if name == model.parameters.get("label") else "features"
    if name not in known:
        yield FieldError(field, f"{name!r} is no attribute; GET /attributes lists those that there are")
    elif name in scores_of(model.kind, model.modelId) or _kind_of_score(name) in ORDER[ORDER.index(model.kind) :]:
        yield FieldError(field, f"{name!r} is a score that comes after a {model.kind} model's; it cannot be a feature")


def _repeated(model: ModelSummary) -> list[FieldError]:
    names = [_name(feature) for feature in model.features]
    errors = [
        FieldError("features", f"{name!r} is named {count} times")
        for name, count in Counter(names).items()
        if count > 1
    ]
    label = model.parameters.get("label")
    if label in names:
        errors.append(FieldError("features", f"{label!r} is the label; a model that reads it learns nothing"))
    return errors


def _label_problems(model: ModelSummary, known: Mapping[str, Kind]) -> list[FieldError]:
    label = model.parameters.get("label")
    if label is None:
        return []
    if known[label] is Kind.STRING and model.parameters.get("churnedValue") is None:
        message = f"the label {label!r} is text; say with churnedValue which value means churned"
        return [FieldError("parameters.churnedValue", message)]
    if known[label] not in (Kind.STRING, Kind.NUMBER, Kind.BOOLEAN):
        message = f"the label {label!r} is a {known[label].value}; a boolean, a text or a number can be one"
        return [FieldError("parameters.label", message)]
    return []


def _kind_of_score(name: str) -> str | None:
    """The kind whose model computes this score, if it is one. The risk of churn can be a lifetime model's."""
    prefix = name.split(".", 1)[0]
    return prefix if prefix in ORDER and "." in name else None


def _rfm_problems(model: ModelSummary, known: Mapping[str, Kind]) -> list[FieldError]:
    names = rfm_attributes(model)
    if len(names) != 3:
        message = f"{len(names)} features; an rfm model takes three: recency in days, frequency, monetary value"
        return [FieldError("features", message)]
    return [
        FieldError("features", f"{name!r} is a {known[name].value}; an rfm model takes numbers")
        for name in names
        if known[name] is not Kind.NUMBER
    ]


def _name(feature: str | FeatureRecipe) -> str:
    return feature if isinstance(feature, str) else feature.attribute
