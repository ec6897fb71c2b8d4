"""What cannot be a model, on moto: every bad request is refused with its reason, every bad fit ends with one."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from segmentation import customers, modelling
from segmentation.errors import Conflict, InvalidInput, NotFound
from segmentation.models.models import PublishModel
from support import shoppers
from support.germans import put
from support.service import Service, running

CLUSTER = shoppers.CLUSTER


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    """Sixty customers; tests add models under names of their own."""
    with running(3) as service:
        yield shoppers.fill(service, 60)


def refused(service: Service, asked: Any, **more: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        modelling.create(service.store, shoppers.request("refused", {**asked, **more}), service.now)
    with pytest.raises(NotFound):
        shoppers.get(service, "refused")
    return caught.value


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({**CLUSTER, "features": ["recencyDays", "shoeSize"]}, "features", "'shoeSize' is no attribute"),
        ({**CLUSTER, "features": ["recencyDays", "recencyDays"]}, "features", "'recencyDays' is named 2 times"),
        ({**CLUSTER, "features": ["lastOrderAt"]}, "features", "a date"),
        (
            {**CLUSTER, "features": ["age", "country"]},
            "features",
            "'country' is text; give it an encoding (oneHot or ordinal)",
        ),
        (
            {**CLUSTER, "features": [{"attribute": "age", "encoding": {"oneHot": {}}}]},
            "features.age.encoding",
            "'age'",
        ),
        (
            {**CLUSTER, "features": [{**shoppers.COUNTRY, "log1p": True}]},
            "features.country.log1p",
            "'country': a logarithm is for numbers, this is text",
        ),
        ({**CLUSTER, "features": ["cluster.refused"]}, "features", "'cluster.refused' is no attribute"),
        (
            {**shoppers.RFM, "features": ["recencyDays", "orderCount"]},
            "features",
            "2 features; an rfm model takes three",
        ),
        (
            {**shoppers.RFM, "features": ["recencyDays", "orderCount", "country"]},
            "features",
            "'country' is a string; an rfm model takes numbers",
        ),
        (
            {**shoppers.CHURN, "parameters": {"label": "leaving"}},
            "parameters.label",
            "'leaving' is no attribute",
        ),
        (
            {**shoppers.CHURN, "features": ["age"], "parameters": {"label": "country"}},
            "parameters.churnedValue",
            "say with churnedValue which value means churned",
        ),
        (
            {**shoppers.CHURN, "parameters": {"label": "lastOrderAt"}},
            "parameters.label",
            "the label 'lastOrderAt' is a date",
        ),
        (
            {**shoppers.CHURN, "features": ["accountClosed", "age"]},
            "features",
            "'accountClosed' is the label; a model that reads it learns nothing",
        ),
    ],
)
def test_a_request_that_cannot_be_fitted_is_refused_with_field_and_value(
    shop: Service, asked: Any, field: str, words: str
) -> None:
    error = refused(shop, asked)
    assert words in error.message
    assert [problem.field for problem in error.errors] == [field]


def test_everything_that_is_wrong_is_named_at_once(shop: Service) -> None:
    error = refused(shop, {**CLUSTER, "features": ["shoeSize", "hatSize", "recencyDays"]})
    assert len(error.errors) == 2


def test_a_grid_with_overlaps_and_gaps_is_refused_with_the_cells(shop: Service) -> None:
    cells = {"recency": [1, 3], "frequency": [1, 2]}
    grid = [
        {"groupId": "a", "name": "A", "cells": [cells]},
        {"groupId": "b", "name": "B", "cells": [{"recency": [3, 3], "frequency": [2, 2]}]},
    ]
    error = refused(shop, {"kind": "rfm", "parameters": {"bins": 3, "grid": grid}})
    said = [problem.message for problem in error.errors]
    assert "cell recency 3, frequency 2 belongs to 'A' and 'B'" in said
    assert [message for message in said if "recency 1, frequency 3" in message]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"binning": "thresholds"}, "come together"),
        (
            {
                "binning": "quantiles",
                "thresholds": {"recency": [10, 20], "frequency": [1, 2], "monetary": [10, 20]},
            },
            "come together",
        ),
    ],
)
def test_thresholds_and_their_binning_come_together(shop: Service, parameters: Any, words: str) -> None:
    assert words in refused(shop, {"kind": "rfm", "parameters": parameters}).message


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("cluster", {"k": 0}, "greater than or equal to 1"),
        ("cluster", {"kRange": [5, 3]}, "3 is not above 5"),
        ("rfm", {"bins": 2}, "greater than or equal to 3"),
        ("lifetime", {"tiers": [{"name": "A", "share": 0.7}, {"name": "B", "share": 0.3}]}, "tiers hold 1 of"),
        ("lifetime", {"tiers": [{"name": "A", "share": 0.2}, {"name": "a", "share": 0.3}]}, "two tiers are called 'a'"),
        ("churn", {"label": "accountClosed", "riskLimits": [0.7, 0.3]}, "0.3 is not above 0.7"),
    ],
)
def test_parameters_out_of_range_are_refused_at_once(kind: str, parameters: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        shoppers.request("refused", {**shoppers.KINDS[kind], "parameters": parameters})


def test_a_population_that_there_is_not_and_an_id_that_is_taken_are_refused(shop: Service) -> None:
    asked = shoppers.request("nobody", CLUSTER, population={"segmentId": "martians"})
    with pytest.raises(NotFound, match="martians"):
        modelling.create(shop.store, asked, shop.now)
    shoppers.create(shop, "taken", CLUSTER)
    with pytest.raises(Conflict, match="the modelId 'taken' is taken"):
        modelling.create(shop.store, shoppers.request("taken", shoppers.RFM), shop.now)


def ended(service: Service, model_id: str, asked: Any, **more: Any) -> tuple[str, str]:
    """How the fit ended. A model that did not succeed cannot be published, and the reason is said again."""
    model = shoppers.create(service, model_id, asked, **more)
    assert (model.groups, model.report) == ([], None)
    with pytest.raises(Conflict, match="no fitted version") as caught:
        modelling.publish(service.store, model_id, PublishModel(), service.now)
    assert str(model.statusReason) in caught.value.message
    return model.status, str(model.statusReason)


def test_more_clusters_than_customers_fail_with_both_numbers(shop: Service) -> None:
    status, reason = ended(shop, "many", {**CLUSTER, "parameters": {"k": 61, "bootstraps": 2}})
    assert status == "failed"
    assert "61" in reason
    assert "60" in reason or "46" in reason


def test_a_feature_that_nobody_has_gives_no_model(shop: Service) -> None:
    put(shop, "x1", mood="good")
    customers.erase(shop.store, "x1", shop.now)
    shop.settle()
    asked = {**CLUSTER, "features": ["recencyDays", {"attribute": "mood", "encoding": {"oneHot": {}}}]}
    assert ended(shop, "moody", asked) == ("insufficient_data", "'mood' has no value for any of the 45 customers")


def test_a_population_without_members_gives_no_model(shop: Service) -> None:
    shoppers.segment(shop, "nowhere", [{"attribute": "country", "operator": "eq", "value": "XX"}])
    population = {"segmentId": "nowhere"}
    for kind, asked in shoppers.KINDS.items():
        status, reason = ended(shop, f"empty-{kind}", asked, population=population)
        assert (status, reason) == ("insufficient_data", "the population has no customers")


def test_too_few_customers_for_a_forecast_give_no_model(shop: Service) -> None:
    status, reason = ended(shop, "forecast", shoppers.LIFETIME)
    assert status == "insufficient_data"
    assert "customers" in reason


def test_a_label_that_says_nothing_gives_no_model(shop: Service) -> None:
    asked = {**shoppers.CHURN, "features": ["age"], "parameters": {"label": "country", "churnedValue": "MARS"}}
    assert ended(shop, "martian", asked)[0] == "insufficient_data"
    asked = {**shoppers.CHURN, "features": [shoppers.COUNTRY], "parameters": {"label": "age"}}
    status, reason = ended(shop, "aged", asked)
    assert status == "failed"
    assert "a number that labels churn is 0 or 1" in reason
