"""Models over partitions, on moto: however customers are spread, the model is one. Partitions may be empty, customers
bare.
"""

from typing import Any

import pytest

from segmentation import assignment, authoring, customers, segments
from segmentation.errors import InvalidCriteria
from segmentation.models.segments import AssignCustomers, SegmentPatch
from segmentation.store import keys
from support import shoppers
from support.germans import create, ids, put
from support.service import Service, running

GERMANS = [{"attribute": "country", "operator": "eq", "value": "DE"}]


@pytest.fixture(scope="module")
def reports() -> dict[int, dict[str, Any]]:
    """What models of every kind find in the same shop over one, three and seven partitions."""
    found: dict[int, dict[str, Any]] = {}
    for partitions in (1, 3, 7):
        with running(partitions) as service:
            shoppers.fill(service)
            models = {kind: shoppers.create(service, kind, asked) for kind, asked in shoppers.KINDS.items()}
            found[partitions] = {kind: (model.report, model.groups) for kind, model in models.items()}
    return found


def test_rfm_is_the_same_over_any_number_of_partitions(reports: dict[int, dict[str, Any]]) -> None:
    assert reports[1]["rfm"] == reports[3]["rfm"] == reports[7]["rfm"]


@pytest.mark.parametrize("partitions", [3, 7])
def test_forecasts_are_the_same_over_any_number_of_partitions(
    reports: dict[int, dict[str, Any]], partitions: int
) -> None:
    (one, groups), (many, others) = (reports[number]["lifetime"] for number in (1, partitions))
    for name in ("r", "alpha", "a", "b", "logLikelihood"):
        assert many["fitted"]["bgnbd"][name] == pytest.approx(one["fitted"]["bgnbd"][name], rel=1e-9)
    for name in ("p", "q", "v"):
        assert many["fitted"]["gammaGamma"][name] == pytest.approx(one["fitted"]["gammaGamma"][name], rel=1e-7)
    assert many["totalClv"] == pytest.approx(one["totalClv"], rel=1e-7)
    assert (many["customers"], many["repeatCustomers"]) == (one["customers"], one["repeatCustomers"])
    assert [(group.groupId, group.size) for group in groups] == [(group.groupId, group.size) for group in others]


@pytest.mark.parametrize("partitions", [3, 7])
def test_clusters_are_as_good_over_any_number_of_partitions(
    reports: dict[int, dict[str, Any]], partitions: int
) -> None:
    (one, _), (many, _) = (reports[number]["cluster"] for number in (1, partitions))
    assert many["customers"] == one["customers"] == 120 + 40
    assert many["preparation"] == one["preparation"]
    assert many["quality"]["inertia"] == pytest.approx(one["quality"]["inertia"], rel=1e-3)


@pytest.mark.parametrize("partitions", [3, 7])
def test_the_risk_of_churn_is_the_same_over_any_number_of_partitions(
    reports: dict[int, dict[str, Any]], partitions: int
) -> None:
    (one, _), (many, _) = (reports[number]["churn"] for number in (1, partitions))
    assert (many["customers"], many["churned"]) == (one["customers"], one["churned"])
    effects = {effect["name"]: effect["coefficient"] for effect in one["effects"]}
    assert {effect["name"]: effect["coefficient"] for effect in many["effects"]} == pytest.approx(effects, rel=1e-6)


def test_partitions_without_customers_bring_nothing_and_hinder_nobody() -> None:
    with running(16) as service:
        service.follows_stream = False
        for number in range(5):
            put(service, f"c{number}", age=20 + number, points=float(number % 2))
        held = {keys.partition_of(f"c{number}", 16) for number in range(5)}
        assert len(held) < 16
        shoppers.create(service, "cluster", {**shoppers.CLUSTER, "features": ["age", "points"], "parameters": {"k": 2}})
        shoppers.publish(service, "cluster")
        assert ids(service, "cluster-c1") | ids(service, "cluster-c2") == {f"c{number}" for number in range(5)}


def test_customers_without_any_feature_have_no_cluster_and_no_risk(service: Service) -> None:
    shoppers.fill(service, 100)
    put(service, "bare", likesHats=True)
    model = shoppers.create(service, "cluster", {**shoppers.CLUSTER, "features": ["age", shoppers.COUNTRY]})
    assert model.report is not None
    assert (model.report["customers"], model.report["withoutFeatures"]) == (100, 1)
    shoppers.publish(service, "cluster")
    shoppers.create(service, "churn", {**shoppers.CHURN, "features": ["age", shoppers.COUNTRY]})
    shoppers.publish(service, "churn")
    found = customers.get(service.store, "bare", service.now)
    assert not {"cluster.cluster", "churn.risk"} & found.features.keys()
    assert found.segments == []


def test_a_customer_who_lacks_some_features_is_scored_like_the_fit_did(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.create(service, "cluster", {**shoppers.CLUSTER, "features": ["age", shoppers.COUNTRY]})
    shoppers.publish(service, "cluster")
    put(service, "ageless", country="DE")
    put(service, "stateless", age=30)
    for name in ("ageless", "stateless"):
        found = customers.get(service.store, name, service.now)
        group = found.features["cluster.cluster"]
        assert name in ids(service, f"cluster-{group}")


def test_an_attribute_that_one_partition_does_not_know_is_missing_there(service: Service) -> None:
    service.follows_stream = False
    names = [f"c{number}" for number in range(12)]
    for number, name in enumerate(names):
        size = {"size": float(number)} if keys.partition_of(name, 3) == 0 else {}
        put(service, name, age=20 + number, **size)
    asked = {**shoppers.CLUSTER, "features": ["age", "size"], "parameters": {"k": 2, "bootstraps": 2}}
    model = shoppers.create(service, "cluster", asked)
    assert model.status == "fitted"
    assert model.report is not None
    assert model.report["customers"] == 12
    shoppers.publish(service, "cluster")
    assert len(ids(service, "cluster-c1") | ids(service, "cluster-c2")) == 12


@pytest.mark.parametrize("kind", ["rule", "manual"])
def test_a_population_is_the_members_of_a_segment(service: Service, kind: str) -> None:
    shoppers.fill(service, 40)
    if kind == "rule":
        shoppers.segment(service, "people", GERMANS)
        out, joined = sorted(ids(service, "people"))[0], "s001"
        chosen = AssignCustomers(customerIds=[joined], override=True)
        assignment.assign(service.store, "people", chosen, service.now)
        assignment.unassign(service.store, "people", AssignCustomers(customerIds=[out]), service.now)
    else:
        create(service, "people", [], kind="manual")
        service.settle()
        chosen = AssignCustomers(customerIds=[f"s{number:03d}" for number in range(10)])
        assignment.assign(service.store, "people", chosen, service.now)
    people = ids(service, "people")
    assert 5 < len(people) < 40
    model = shoppers.create(service, "cluster", shoppers.CLUSTER, population={"segmentId": "people"})
    assert model.report is not None
    assert (model.status, model.report["customers"]) == ("fitted", len(people))
    shoppers.publish(service, "cluster")
    for group in model.groups:
        found = ids(service, group.segmentId)
        assert len(found) == group.size and found <= people
    assert segments.get(service.store, "people", service.now).status == "active"


def test_a_population_cannot_be_made_of_the_segments_of_its_model(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.segment(service, "people", GERMANS)
    shoppers.create(service, "cluster", shoppers.CLUSTER, population={"segmentId": "people"})
    shoppers.publish(service, "cluster")
    circle = [{"segment": "cluster-c1", "operator": "member"}]
    with pytest.raises(InvalidCriteria, match="people"):
        authoring.update(service.store, "people", SegmentPatch(criteria=circle), None, service.now)
