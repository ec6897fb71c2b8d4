"""Drift through the service, on moto: what whole runs find, when a refit is suggested and told, and roll backs."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from segmentation import drift, guard, job_reads, modelling, run_fits
from segmentation.engine.drift.comparing import Verdict
from segmentation.models.drift import Drift
from segmentation.models.models import Comparison, PublishModel, Version
from segmentation.store import keys, models
from support import shoppers
from support.service import Service, running

SIZE, NEW = 60, 100
RFM: dict[str, Any] = {
    "kind": "rfm",
    "parameters": {
        "bins": 3,
        "grid": [
            {"groupId": "lately", "name": "Lately", "cells": [{"recency": [2, 3], "frequency": [1, 3]}]},
            {"groupId": "long-ago", "name": "Long ago", "cells": [{"recency": [1, 1], "frequency": [1, 3]}]},
        ],
    },
}
"""Few groups: every segment costs time."""

KINDS = {**shoppers.KINDS, "rfm": RFM, "churn": {**shoppers.CHURN, "features": ["recencyDays", "age"]}}
MANY = 160
"""As many as a lifetime model needs."""


@pytest.fixture
def service() -> Iterator[Service]:
    with running(2) as fresh:
        yield fresh


@pytest.fixture
def shop(service: Service) -> Service:
    """A shop with a published RFM model."""
    shoppers.fill(service, SIZE)
    published(service, "rfm", RFM)
    return service


def published(service: Service, model_id: str, asked: dict[str, Any], **more: Any) -> None:
    shoppers.create(service, model_id, asked, **more)
    shoppers.publish(service, model_id)


def nightly(service: Service, name: str = "nightly", hours: float = 24) -> Drift | None:
    """A day later, the schedule's run; what it found of the first model."""
    service.wait(hours)
    service.resegment({}, name)
    return next(iter(drifts(service).values()), None)


def drifts(service: Service) -> dict[str, Drift | None]:
    return {m.modelId: shoppers.get(service, m.modelId).drift for m in models.everything(service.store.table)}


def told(service: Service) -> list[dict[str, Any]]:
    return [dict(event.detail) for event in service.store.events.told if event.kind == "model.refit_suggested"]  # type: ignore[attr-defined]


def newcomers(service: Service) -> None:
    """More customers than there were, who spend a hundred times as much."""
    shoppers.fill(service, NEW, seed=11, first=SIZE, amount=9_000.0)


def test_customers_as_they_were_have_not_drifted(shop: Service) -> None:
    found = nightly(shop, hours=0)
    assert found is not None
    assert (found.version, found.trainingCustomers, found.customers) == (1, SIZE, SIZE)
    assert {shift.name for shift in found.features} == {"recencyDays", "orderCount", "totalSpent"}
    assert {shift.name for shift in found.scores} == {"rfm.segment", "rfm.cells"}
    assert {shift.psi for shift in (*found.features, *found.scores)} == {0.0}
    assert (found.refitSuggested, found.reasons, found.note) == (False, [], None)
    model = shoppers.get(shop, "rfm")
    assert [(day.day, day.featurePsi, day.refitSuggested) for day in model.driftHistory] == [("2026-03-01", 0.0, False)]
    assert not model.refitSuggested
    assert told(shop) == []


def test_a_shift_is_shown_told_once_and_remembered(shop: Service) -> None:
    nightly(shop, "first")
    newcomers(shop)
    found = nightly(shop, "second")
    assert found is not None and found.refitSuggested
    assert (found.features[0].name, found.features[0].level) == ("totalSpent", "shifted")
    assert found.customers == SIZE + NEW
    assert found.reasons[0].startswith("the values of 'totalSpent' are spread otherwise than at training: PSI ")
    (event,) = told(shop)
    assert (event["modelId"], event["version"], event["refit"]) == ("rfm", 1, "manual")
    assert event["reasons"] == found.reasons
    assert event["psi"]["totalSpent"] == found.features[0].psi
    nightly(shop, "third")
    assert len(told(shop)) == 1
    model = shoppers.get(shop, "rfm")
    assert model.refitSuggested
    assert [(day.day, day.refitSuggested) for day in model.driftHistory] == [
        ("2026-03-04", True),
        ("2026-03-03", True),
        ("2026-03-02", False),
    ]
    assert modelling.list_models(shop.store, None, 10, None).items[0].refitSuggested


def test_a_last_step_that_is_repeated_tells_under_the_same_id(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    newcomers(shop)
    with monkeypatch.context() as broken:
        broken.setattr(models, "put_drift", lambda *_: False)
        nightly(shop)
    nightly(shop, hours=0)
    first, second = told(shop)
    assert first["eventId"] == second["eventId"] and len(first["eventId"]) == 32


def test_a_version_that_is_published_is_measured_from_nothing(shop: Service) -> None:
    newcomers(shop)
    nightly(shop)
    assert shoppers.get(shop, "rfm").refitSuggested
    shoppers.refit(shop, "rfm", segment_ids=["rfm-lately"])
    model = shoppers.get(shop, "rfm")
    assert (model.publishedVersion, model.refitSuggested, model.drift) == (2, False, None)
    assert [(day.version, day.refitSuggested) for day in model.driftHistory] == [(1, True)]


def test_a_model_is_fitted_by_the_schedule_when_it_drifts_and_only_then(service: Service) -> None:
    shoppers.fill(service, SIZE)
    published(service, "rfm", RFM, refit="on_drift")
    nightly(service, "first")
    assert run_fits.due(service.store, service.now) == {}
    newcomers(service)
    nightly(service, "second")
    assert run_fits.due(service.store, service.now) == {"rfm": 2}
    nightly(service, "third")
    model = shoppers.get(service, "rfm")
    assert (model.latestVersion, model.publishedVersion) == (2, 2)
    assert model.drift is not None and model.drift.version == 2
    assert (model.drift.refitSuggested, model.drift.reasons) == (False, [])
    assert run_fits.due(service.store, service.now) == {}


def test_a_suggestion_rests_while_a_refit_that_did_not_take_over_is_new(shop: Service) -> None:
    newcomers(shop)
    nightly(shop, "first")
    tried = Version(version=2, status="insufficient_data", statusReason="too few", createdAt=shop.now)
    models.add_version(shop.store.table, "rfm", tried)
    found = nightly(shop, "second")
    assert found is not None and found.reasons and not found.refitSuggested
    assert found.note == (
        "version 2 is insufficient_data on 2026-03-02 (too few) and is not published: publish it by hand; "
        "a refit is suggested again after 7 days"
    )
    found = nightly(shop, "third", hours=24 * 7)
    assert found is not None and found.refitSuggested
    assert len({event["eventId"] for event in told(shop)}) == 2


def test_going_back_to_an_earlier_version_holds_the_model_until_a_newer_one_is_published(shop: Service) -> None:
    shoppers.refit(shop, "rfm")
    assert shoppers.get(shop, "rfm").publishedVersion == 2
    shoppers.publish(shop, "rfm", 1)
    model = shoppers.get(shop, "rfm")
    assert model.held is not None
    assert (model.held.version, model.held.before, model.publishedVersion) == (1, 2, 1)
    assert model.heldReason == (
        "somebody went back from version 2 to version 1 on 2026-03-01: refits do not publish themselves until a "
        "version after 1 is published by hand"
    )
    shoppers.refit(shop, "rfm")
    model = shoppers.get(shop, "rfm")
    assert (model.latestVersion, model.publishedVersion) == (3, 1)
    assert model.versions[-1].status == "fitted"
    assert model.versions[-1].statusReason == (
        "it was not published: the model is held at version 1 since 2026-03-01; "
        "publish a newer version by hand to go on"
    )
    shoppers.publish(shop, "rfm", 3)
    model = shoppers.get(shop, "rfm")
    assert (model.held, model.heldReason, model.publishedVersion) == (None, None, 3)
    shoppers.refit(shop, "rfm")
    assert shoppers.get(shop, "rfm").publishedVersion == 4


def test_a_refit_that_is_worse_stays_unpublished_says_why_and_can_be_published_by_hand(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as worse:
        worse.setattr(guard, "compare_grids", lambda *_: Verdict(False, "it is worse", {"old": {"lately": 9}}))
        job = shoppers.refit(shop, "rfm")
    model = shoppers.get(shop, "rfm")
    assert (model.latestVersion, model.publishedVersion, model.status) == (2, 1, "fitted")
    last = model.versions[-1]
    assert last.statusReason == "it was not published: it is worse; version 1 stays"
    assert last.comparison == Comparison(against=1, publish=False, reason="it is worse", figures={"old": {"lately": 9}})
    assert job_reads.get(shop.store, job.jobId).details["models"]["rfm"]["reason"] == last.statusReason
    shoppers.publish(shop, "rfm", 2)
    assert (shoppers.get(shop, "rfm").publishedVersion, shoppers.get(shop, "rfm").held) == (2, None)


def test_a_held_model_that_drifts_is_fitted_once_a_week_and_not_every_night(service: Service) -> None:
    shoppers.fill(service, SIZE)
    published(service, "rfm", RFM, refit="on_drift")
    shoppers.refit(service, "rfm")
    shoppers.publish(service, "rfm", 1)
    newcomers(service)
    service.wait(24 * 7)
    for night in range(4):
        nightly(service, f"night {night}")
    model = shoppers.get(service, "rfm")
    assert (model.latestVersion, model.publishedVersion) == (3, 1)
    assert model.drift is not None and "publish it by hand" in (model.drift.note or "")


def test_a_version_from_before_baselines_says_that_it_has_none(shop: Service) -> None:
    document = models.read_file(shop.store.files, "rfm", 1)
    document.pop("baseline", None)
    models.put_file(shop.store.files, "rfm", 1, document)
    found = nightly(shop)
    assert found is not None
    assert (found.features, found.refitSuggested) == ([], False)
    assert found.note == "version 1 was fitted before there were baselines; fit the model again to have its drift"


def test_a_model_whose_feature_nobody_knows_any_more_says_so_and_asks_for_no_refit(service: Service) -> None:
    shoppers.fill(service, SIZE)
    published(service, "cluster", {**shoppers.CLUSTER, "features": ["age", "totalSpent"]})
    newcomers(service)
    assert nightly(service, "first") is not None
    service.store.table.delete(keys.attribute("age"))
    found = nightly(service, "second")
    assert found is not None
    assert found.note == "it is paused: it reads 'age', which nobody knows any more; fit it on other features"
    assert not shoppers.get(service, "cluster").refitSuggested


def test_a_model_of_a_segment_is_measured_on_its_members(service: Service) -> None:
    shoppers.fill(service, SIZE)
    shoppers.segment(service, "germans", [{"attribute": "country", "operator": "eq", "value": "DE"}])
    published(service, "rfm", RFM, population={"segmentId": "germans"})
    newcomers(service)
    found = nightly(service)
    assert found is not None and found.customers is not None and found.trainingCustomers is not None
    assert found.trainingCustomers < SIZE / 2
    assert found.trainingCustomers < found.customers < (SIZE + NEW) / 2


def test_models_of_every_kind_are_measured_the_same_over_any_number_of_partitions() -> None:
    seen = []
    for partitions in (1, 3):
        with running(partitions) as service:
            shoppers.fill(service, MANY)
            for kind in KINDS:
                shoppers.create(service, kind, KINDS[kind])
            shoppers.fill(service, 40, seed=5, first=MANY)
            for kind in KINDS:
                # Its own run is left out: the night's is the one that counts.
                modelling.publish(service.store, kind, PublishModel(), service.now)
            nightly(service, hours=24 * 30)
            seen.append({kind: figures(found) for kind, found in drifts(service).items()})
    one, many = seen
    assert one.keys() == many.keys() == KINDS.keys()
    assert one["rfm"] == many["rfm"]
    for kind in ("lifetime", "churn"):
        assert one[kind]["quality"]["today"] == pytest.approx(many[kind]["quality"]["today"], rel=1e-4)
        assert [shift["name"] for shift in one[kind]["scores"]] == [shift["name"] for shift in many[kind]["scores"]]
    assert one["lifetime"]["quality"]["today"]["forecastOrders"] > 0
    assert one["churn"]["quality"]["today"]["customers"] == MANY + 40 - uncertain(MANY + 40)
    assert one["cluster"]["features"] == many["cluster"]["features"]


def uncertain(customers: int) -> int:
    """Who has neither an age nor a purchase has no risk."""
    return sum(number % 9 == 0 and number % 4 == 0 for number in range(customers))


def figures(found: Drift | None) -> dict[str, Any]:
    assert found is not None and found.trainingCustomers == MANY
    return found.model_dump(exclude={"measuredAt", "jobId"})


def test_a_deleted_model_leaves_no_measurement(shop: Service) -> None:
    nightly(shop)
    modelling.delete(shop.store, "rfm", True, shop.now)
    assert not list(shop.store.table.query(keys.model_drift("rfm", "")["PK"]))


def test_a_measurement_of_some_partitions_changes_nothing(shop: Service) -> None:
    before = nightly(shop)
    drift.finish(shop.store, {"rfm": {"1": {"partitions": 1, "customers": 1}}}, shop.now + timedelta(days=1), "run-x")
    drift.finish(shop.store, {}, shop.now + timedelta(days=1), "run-x")
    assert shoppers.get(shop, "rfm").drift == before


def test_what_goes_wrong_with_one_model_is_said_and_fails_no_run(shop: Service) -> None:
    wrong = {"rfm": {"1": {"partitions": 2, "errors": {"'x' is text now": 2}}}}
    drift.finish(shop.store, wrong, shop.now, "run-x")
    found = shoppers.get(shop, "rfm").drift
    assert found is not None and found.note == "2 of 2 partitions failed: 'x' is text now"
