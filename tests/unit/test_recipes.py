"""What clients ask of a model, in the engine's words."""

from datetime import UTC, datetime
from typing import Any

import pytest

from segmentation import recipes
from segmentation.engine.catalogue import FEATURES, Kind
from segmentation.engine.preprocess.recipe import Feature, MadClip, OneHot, Ordinal, Winsorise, default_feature
from segmentation.errors import InvalidInput
from segmentation.models.models import CreateModel, ModelSummary
from segmentation.store.scorers import ORDER, Scorer, needed, usable

KNOWN = {**FEATURES, "age": Kind.NUMBER, "country": Kind.STRING, "closed": Kind.BOOLEAN, "hobbies": Kind.LIST}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def model(kind: str, features: list[Any], **parameters: Any) -> ModelSummary:
    asked = {"kind": kind, "modelName": "M", "modelId": "m", "features": features, "parameters": parameters}
    request = CreateModel.model_validate(asked).root
    return ModelSummary(
        **request.model_dump(exclude={"modelId", "parameters", "features"}),
        modelId="m",
        features=request.features,
        parameters=request.parameters.model_dump(mode="json", exclude_none=True),
        status="fitting",
        latestVersion=1,
        scores=[],
        createdAt=NOW,
    )


def feature(asked: Any) -> Feature:
    (found,) = recipes.features_of(model("cluster", [asked]), KNOWN)
    return found


@pytest.mark.parametrize("name", ["age", "closed"])
def test_a_name_alone_stands_for_the_defaults_of_its_kind(name: str) -> None:
    assert feature(name) == feature({"attribute": name}) == default_feature(name, KNOWN[name])


def test_what_is_said_replaces_the_default_and_nothing_else() -> None:
    default = default_feature("age", Kind.NUMBER)
    asked = feature({"attribute": "age", "log1p": True, "outliers": {"winsorise": {"lower": 0.05}}})
    assert asked == Feature(
        name="age",
        missing=default.missing,
        outliers=Winsorise(0.05, 0.99),
        log1p=True,
        scaling=default.scaling,
        encoding=None,
    )
    assert feature({"attribute": "age", "outliers": {"mad": {"limit": 3}}}).outliers == MadClip(3)
    assert feature({"attribute": "age", "missing": "constant", "constant": 7, "indicator": True}).constant == 7
    assert feature({"attribute": "age", "scaling": "none"}).scaling is None
    assert feature({"attribute": "age", "scaling": "robust"}).scaling == "robust"


def test_texts_get_columns_or_ranks() -> None:
    asked = feature({"attribute": "country", "encoding": {"oneHot": {"minShare": 0.1, "maxValues": 3}}})
    assert asked.encoding == OneHot(0.1, 3)
    asked = feature({"attribute": "country", "encoding": {"ordinal": {"order": ["US", "DE"]}}})
    assert (asked.encoding, asked.missing) == (Ordinal(("US", "DE")), "median")


def test_a_model_reads_its_features_and_a_churn_model_its_label_for_the_fit_alone() -> None:
    churn = model("churn", ["age", {"attribute": "country"}], label="closed")
    assert recipes.read_by(churn) == ("age", "country", "closed")
    assert recipes.scored_from(churn) == ("age", "country")
    assert recipes.read_by(model("lifetime", [])) == recipes.scored_from(model("lifetime", [])) == ()
    assert recipes.read_by(model("rfm", [])) == ("recencyDays", "orderCount", "totalSpent")
    assert recipes.scored_from(model("rfm", ["age", "orderCount", "grossSpent"])) == ("age", "orderCount", "grossSpent")


@pytest.mark.parametrize("kind", ["cluster", "churn"])
@pytest.mark.parametrize("name", ["hobbies", "lastOrderAt"])
def test_what_is_no_number_and_no_text_is_no_feature(kind: str, name: str) -> None:
    parameters = {"label": "closed"} if kind == "churn" else {}
    with pytest.raises(InvalidInput, match=name):
        recipes.check(model(kind, [name], **parameters), KNOWN)


@pytest.mark.parametrize("label", ["hobbies", "lastOrderAt"])
def test_what_is_no_boolean_number_or_text_is_no_label(label: str) -> None:
    with pytest.raises(InvalidInput, match=f"the label '{label}' is a"):
        recipes.check(model("churn", ["age"], label=label), KNOWN)


@pytest.mark.parametrize(
    ("kind", "score", "allowed"),
    [
        ("cluster", "rfm.score", True),
        ("cluster", "lifetime.clv", True),
        ("cluster", "churn.risk", True),
        ("cluster", "cluster.other", False),
        ("churn", "rfm.score", True),
        ("churn", "lifetime.pAlive", True),
        ("churn", "churn.risk", False),
        ("churn", "cluster.other", False),
    ],
)
def test_a_model_reads_scores_of_earlier_kinds_only(kind: str, score: str, allowed: bool) -> None:
    known = {**KNOWN, score: Kind.STRING if score.startswith("cluster") else Kind.NUMBER}
    asked = model(kind, [score], **({"label": "closed"} if kind == "churn" else {}))
    if allowed:
        recipes.check(asked, known)
    else:
        with pytest.raises(InvalidInput, match=f"a score that comes after a {kind} model's"):
            recipes.check(asked, known)


def test_an_attribute_with_a_dot_in_its_name_is_no_score() -> None:
    recipes.check(model("cluster", ["shop.visits"]), {**KNOWN, "shop.visits": Kind.NUMBER})


def test_scorers_whose_names_nobody_knows_drop_out_with_those_that_read_theirs() -> None:
    rfm = Scorer("rfm", "r", "rfm", 1, ("recencyDays", "orderCount", "totalSpent"))
    churn = Scorer("churn", "c", "churn", 1, ("shoeSize",))
    reader = Scorer("cluster.k", "k", "cluster", 1, ("churn.risk",))
    other = Scorer("cluster.a", "a", "cluster", 2, ("rfm.score", "age"))
    items = [_item(scorer) for scorer in (reader, other, churn, rfm)]
    assert [scorer.model_id for scorer in usable(items, {*KNOWN})] == ["r", "a"]
    assert [scorer.model_id for scorer in usable(items, {*KNOWN, "shoeSize"})] == ["r", "c", "a", "k"]


def test_only_the_models_behind_the_names_are_needed_in_the_order_in_which_they_score() -> None:
    rfm = Scorer("rfm", "r", "rfm", 1, ("recencyDays",))
    lifetime = Scorer("lifetime", "l", "lifetime", 1, (), needs_orders=True)
    cluster = Scorer("cluster.k", "k", "cluster", 1, ("rfm.score", "age"))
    assert [kind for kind in ORDER if kind in {"rfm", "cluster"}] == ["rfm", "cluster"]
    assert needed([rfm, lifetime, cluster], {"cluster.k"}) == [rfm, cluster]
    assert needed([rfm, lifetime, cluster], {"lifetime.clv"}) == [lifetime]
    assert needed([rfm, lifetime, cluster], {"age"}) == []


def _item(scorer: Scorer) -> dict[str, Any]:
    return {
        "slot": scorer.slot,
        "modelId": scorer.model_id,
        "kind": scorer.kind,
        "version": scorer.version,
        "attributes": list(scorer.attributes),
        "needsOrders": scorer.needs_orders,
    }
