"""Data that models cannot be fitted on, or only in part, on moto; and models whose features are gone."""

from datetime import timedelta

import pytest

from segmentation import customers, modelling, partitions, runs, segments
from segmentation.errors import Conflict, InvalidInput
from segmentation.models.models import PublishModel
from support import shoppers
from support.germans import ids
from support.service import NOW, Service

Line = tuple[str, float, float]
"""Customer, days before now, amount."""


def orders(service: Service, lines: list[Line]) -> Service:
    rows = [
        f"o{number},{name},{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ},{amount}"
        for number, (name, days, amount) in enumerate(lines)
    ]
    service.follows_stream = False
    service.drop("imports/orders/o.csv", "\n".join(["orderId,customerId,orderedAt,amount", *rows]) + "\n")
    service.settle()
    return service


def test_a_shop_without_customers_gives_no_model_and_no_error(service: Service) -> None:
    for kind in ("rfm", "lifetime", "cluster"):
        model = shoppers.create(service, kind, shoppers.KINDS[kind])
        assert (model.status, model.statusReason) == ("insufficient_data", "the population has no customers")


def test_one_time_buyers_alone_give_no_forecast(service: Service) -> None:
    orders(service, [(f"c{number}", 1 + number % 300, 10) for number in range(120)])
    model = shoppers.create(service, "lifetime", shoppers.LIFETIME)
    assert model.status == "insufficient_data"
    assert "0 of 120 customers ordered again" in str(model.statusReason)


def test_customers_of_the_last_day_alone_give_no_forecast(service: Service) -> None:
    orders(service, [(f"c{number}", 0.1, 10) for number in range(120)])
    model = shoppers.create(service, "lifetime", shoppers.LIFETIME)
    assert model.status == "insufficient_data"
    assert "120 of age 0" in str(model.statusReason)


def test_customers_of_the_last_day_are_scored_by_a_model_that_others_made(service: Service) -> None:
    shoppers.fill(service, 160)
    shoppers.create(service, "lifetime", shoppers.LIFETIME)
    shoppers.publish(service, "lifetime")
    orders(service, [("today", 0.1, 30)])
    found = customers.get(service.store, "today", service.now)
    assert found.features["lifetime.pAlive"] == 1
    assert found.features["lifetime.clv"] > 0
    assert [item.segmentId for item in found.segments]


def test_orders_of_the_future_do_not_count(service: Service) -> None:
    # An import takes a day or two of them: clocks differ.
    shoppers.fill(service, 160)
    shoppers.create(service, "before", shoppers.LIFETIME)
    shoppers.create(service, "rfm-before", shoppers.RFM)
    orders(service, [*((f"s{number:03d}", -1, 9_999) for number in range(0, 160, 3)), ("later", -1, 5)])
    shoppers.create(service, "after", shoppers.LIFETIME)
    shoppers.create(service, "rfm-after", shoppers.RFM)
    before, after = (shoppers.get(service, name) for name in ("before", "after"))
    assert after.report == before.report
    rfm_before, rfm_after = (shoppers.get(service, name).report or {} for name in ("rfm-before", "rfm-after"))
    assert rfm_after["fitted"] == rfm_before["fitted"]
    assert rfm_after["withoutScores"] == rfm_before["withoutScores"] + 1


def test_a_model_can_look_from_an_instant_of_its_own(service: Service) -> None:
    shoppers.fill(service, 160)
    earlier = NOW - timedelta(days=90)
    shoppers.create(service, "now", shoppers.RFM)
    shoppers.create(service, "then", shoppers.RFM, now=earlier.isoformat())
    now, then = (shoppers.get(service, name).report or {} for name in ("now", "then"))
    assert then["customers"] < now["customers"]
    shoppers.publish(service, "then")
    model = shoppers.get(service, "then")
    for group in model.groups:
        assert segments.get(service.store, group.segmentId, service.now).now == earlier
        assert len(ids(service, group.segmentId)) == group.size


def test_money_that_came_back_makes_no_forecast_of_value_and_the_model_says_so(service: Service) -> None:
    shoppers.fill(service, 160)
    orders(service, [(f"s{number:03d}", 5 + number % 40, -5_000) for number in range(160)])
    model = shoppers.create(service, "lifetime", shoppers.LIFETIME)
    assert model.status == "fitted"
    assert model.report is not None
    assert model.report["value"]["status"] == "fitted"
    rfm = shoppers.create(service, "rfm", shoppers.RFM)
    assert rfm.status == "fitted"
    assert rfm.report is not None
    assert rfm.report["fitted"]["rfm"]["monetary"]["cuts"][0] < 0


def test_value_that_cannot_be_modelled_leaves_a_forecast_of_orders_with_the_reason(service: Service) -> None:
    shoppers.fill(service, 160, amount=10)
    model = shoppers.create(service, "lifetime", shoppers.LIFETIME)
    assert model.status == "fitted"
    assert model.report is not None
    assert model.report["value"]["status"] == "unreliable"
    assert model.report["value"]["reason"]
    assert model.report["totalClv"] is None
    assert {condition["attribute"] for group in model.groups for condition in group.criteria} == {
        "lifetime.expectedOrders"
    }
    shoppers.publish(service, "lifetime")
    found = customers.get(service.store, "s001", service.now)
    assert found.features["lifetime.expectedOrders"] > 0
    assert "lifetime.clv" not in found.features


def test_a_forecast_that_runs_to_a_bound_is_unreliable_and_gives_no_scores(service: Service) -> None:
    lines = [(f"c{number}", 300 - number % 90 - 60 * time) for number in range(200) for time in range(2 + number % 3)]
    orders(service, [(name, days, 20.0) for name, days in lines])
    model = shoppers.create(service, "lifetime", shoppers.LIFETIME)
    assert model.status == "unreliable"
    assert "ran to a bound" in str(model.statusReason)
    with pytest.raises(Conflict, match="ran to a bound"):
        modelling.publish(service.store, "lifetime", PublishModel(), service.now)


def test_a_model_whose_feature_is_gone_pauses_its_rules_and_says_why(service: Service) -> None:
    shoppers.fill(service, 160)
    shoppers.create(service, "lifetime", shoppers.LIFETIME)
    shoppers.publish(service, "lifetime")
    asked = {**shoppers.CLUSTER, "features": ["lifetime.clv", "recencyDays"]}
    shoppers.create(service, "cluster", asked)
    shoppers.publish(service, "cluster")
    members = ids(service, "cluster-c1")
    assert members
    assert shoppers.get(service, "cluster").pausedReason is None
    with pytest.raises(Conflict, match="its 3 segments and its scores, used by cluster, would go"):
        modelling.delete(service.store, "lifetime", False, service.now)
    modelling.delete(service.store, "lifetime", True, service.now)
    service.settle()
    runs.begin(service.store, service.now)
    service.settle()
    reason = shoppers.get(service, "cluster").pausedReason
    assert reason == "it reads 'lifetime.clv', which nobody knows any more; fit it on other features"
    paused = segments.get(service.store, "cluster-c1", service.now)
    assert paused.status == "paused"
    assert "cluster.cluster" in str(paused.statusReason)
    assert ids(service, "cluster-c1") == members
    assert "cluster.cluster" not in customers.get(service.store, "s001", service.now).features
    shoppers.refit(service, "cluster")
    model = shoppers.get(service, "cluster", 2)
    assert (model.status, model.publishedVersion) == ("failed", 1)
    assert "'lifetime.clv' is no attribute" in str(model.statusReason)


def test_a_score_that_comes_later_cannot_be_a_feature(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.create(service, "first", shoppers.CLUSTER)
    shoppers.publish(service, "first")
    for asked in (
        {**shoppers.CLUSTER, "features": ["cluster.first", "age"]},
        {**shoppers.RFM, "features": ["recencyDays", "orderCount", "cluster.first"]},
        {**shoppers.CHURN, "features": ["cluster.first"]},
    ):
        with pytest.raises(InvalidInput, match=f"a score that comes after a {asked['kind']} model's"):
            modelling.create(service.store, shoppers.request("later", asked), service.now)


def test_a_score_of_an_earlier_kind_is_a_feature_like_any_other(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.create(service, "rfm", shoppers.RFM)
    shoppers.publish(service, "rfm")
    shoppers.create(
        service,
        "cluster",
        {**shoppers.CLUSTER, "features": [{"attribute": "rfm.segment", "encoding": {"oneHot": {}}}, "rfm.monetary"]},
    )
    shoppers.publish(service, "cluster")
    found = customers.get(service.store, "s001", service.now)
    assert found.features.keys() >= {"rfm.segment", "cluster.cluster"}
    frame = partitions.load(service.store, 0, service.now, attributes={"cluster.cluster"}, events={})
    assert frame.columns["cluster.cluster"].missing().sum() == 0
