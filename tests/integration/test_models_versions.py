"""Models over time, on moto: refits that publish themselves, earlier versions, deletion, and what hangs on a model."""

import json

import pytest

from segmentation import authoring, customers, job_reads, modelling, runs, segments
from segmentation.errors import Conflict, InvalidInput, NotFound
from segmentation.models.customers import PutCustomer
from segmentation.models.jobs import StartRun
from segmentation.models.models import PublishModel
from segmentation.models.segments import SegmentPatch
from segmentation.store import keys, memberships
from support import shoppers
from support.germans import ids, put
from support.service import Service

ON_CLUSTER = [{"attribute": "cluster.cluster", "operator": "eq", "value": "c1"}]


@pytest.fixture
def shop(service: Service) -> Service:
    """Forty customers, and clusters of them, published."""
    shoppers.fill(service, 40)
    shoppers.create(service, "cluster", shoppers.CLUSTER)
    shoppers.publish(service, "cluster", names={"c1": "Regulars"})
    return service


def clusters(service: Service) -> dict[str, set[str]]:
    return {group.groupId: ids(service, group.segmentId) for group in shoppers.get(service, "cluster").groups}


def ask_for(service: Service, k: int) -> None:
    """Have the next fit find another number of clusters, as a model whose k is chosen may."""
    parameters = {**shoppers.CLUSTER["parameters"], "k": k}
    service.store.table.update(keys.model("cluster"), set={"parameters": json.dumps(parameters)})


def test_a_refit_is_published_by_itself_and_keeps_the_names_of_its_clusters(shop: Service) -> None:
    before = clusters(shop)
    shoppers.fill(shop, 30, seed=3, first=100)
    job = shoppers.refit(shop, "cluster")
    model = shoppers.get(shop, "cluster")
    assert (model.latestVersion, model.publishedVersion, model.version, model.status) == (2, 2, 2, "fitted")
    after = clusters(shop)
    assert after.keys() == before.keys()
    for group, members in before.items():
        assert len(members & after[group]) > len(members) / 2
    assert sum(map(len, after.values())) == 70
    assert segments.get(shop.store, "cluster-c1", shop.now).segmentName == "Regulars"
    found = job_reads.get(shop.store, job.jobId)
    assert (found.kind, found.status, found.counts["customers"]) == ("run", "succeeded", 70)
    assert found.details["models"] == {"cluster": {"version": 2, "status": "fitted", "reason": None}}


def test_an_earlier_version_can_be_published_again_and_holds_until_somebody_goes_on(shop: Service) -> None:
    first = clusters(shop)
    shoppers.fill(shop, 30, seed=3, first=100)
    shoppers.refit(shop, "cluster")
    shoppers.publish(shop, "cluster", 1)
    model = shoppers.get(shop, "cluster")
    assert (model.latestVersion, model.publishedVersion, model.version) == (2, 1, 1)
    back = clusters(shop)
    assert {group: {name for name in members if name < "s100"} for group, members in back.items()} == first
    shoppers.refit(shop, "cluster")
    held = shoppers.get(shop, "cluster")
    assert (held.latestVersion, held.publishedVersion) == (3, 1)
    assert "held at version 1" in str(held.versions[-1].statusReason)
    shoppers.publish(shop, "cluster", 3)
    assert shoppers.get(shop, "cluster").publishedVersion == 3


def test_groups_that_a_version_has_no_more_stay_inactive_until_they_come_back(shop: Service) -> None:
    before = clusters(shop)
    ask_for(shop, k=2)
    shoppers.refit(shop, "cluster")
    after = clusters(shop)
    assert after.keys() < before.keys()
    (gone,) = before.keys() - after.keys()
    closed = segments.get(shop.store, f"cluster-{gone}", shop.now)
    assert (closed.status, closed.customerCount, ids(shop, f"cluster-{gone}")) == ("inactive", 0, set())
    ask_for(shop, k=3)
    shoppers.refit(shop, "cluster")
    assert clusters(shop).keys() == {*after, "c4"}
    shoppers.publish(shop, "cluster", 1)
    assert clusters(shop) == before
    assert segments.get(shop.store, "cluster-c4", shop.now).status == "inactive"


def test_a_segment_that_people_made_inactive_stays_so_after_a_refit(shop: Service) -> None:
    authoring.update(shop.store, "cluster-c2", SegmentPatch(active=False), None, shop.now)
    shop.settle()
    shoppers.refit(shop, "cluster")
    assert segments.get(shop.store, "cluster-c2", shop.now).status == "inactive"
    assert ids(shop, "cluster-c2") == set()
    assert ids(shop, "cluster-c1")


def test_a_run_of_some_segments_that_refits_a_model_evaluates_the_models_segments_too(shop: Service) -> None:
    shoppers.segment(shop, "first", ON_CLUSTER)
    shoppers.refit(shop, "cluster", segment_ids=["first"])
    for segment_id in ("first", "cluster-c1", "cluster-c2", "cluster-c3"):
        assert segments.get(shop.store, segment_id, shop.now).status == "active"
    assert ids(shop, "first") == ids(shop, "cluster-c1")


def test_the_schedule_refits_the_models_that_ask_for_it(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.create(service, "cluster", shoppers.CLUSTER, refit="on_schedule")
    shoppers.create(service, "rfm", shoppers.RFM)
    service.resegment({}, "nightly")
    assert shoppers.get(service, "cluster").latestVersion == 2
    assert shoppers.get(service, "rfm").latestVersion == 1
    assert shoppers.get(service, "cluster").publishedVersion is None


def test_a_published_model_is_deleted_by_force_only_and_takes_segments_and_scores_along(shop: Service) -> None:
    shoppers.segment(shop, "first", ON_CLUSTER)
    with pytest.raises(Conflict, match=r"its 3 segments and its scores, used by first, would go .* force=true"):
        modelling.delete(shop.store, "cluster", False, shop.now)
    assert ids(shop, "cluster-c1")
    gone = modelling.delete(shop.store, "cluster", True, shop.now)
    assert gone.segments == ["cluster-c1", "cluster-c2", "cluster-c3"]
    paused = segments.get(shop.store, "first", shop.now)
    assert (paused.status, paused.statusReason) == ("paused", "it uses the model 'cluster', which was deleted")
    shop.settle()
    with pytest.raises(NotFound):
        ids(shop, "cluster-c1")
    assert not list(memberships.of_partition(shop.store.table, "cluster-c1", 0, shop.now))
    with pytest.raises(NotFound):
        shoppers.get(shop, "cluster")
    assert not list(shop.store.files.list(keys.model_files("cluster")))
    runs.begin(shop.store, shop.now)
    shop.settle()
    still = segments.get(shop.store, "first", shop.now)
    assert still.status == "paused"
    assert "cluster.cluster" in str(still.statusReason)
    assert "cluster.cluster" not in customers.get(shop.store, "s001", shop.now).features
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    shoppers.publish(shop, "cluster")
    assert segments.get(shop.store, "first", shop.now).status == "active"
    assert ids(shop, "first") == ids(shop, "cluster-c1")


def test_a_model_that_is_not_published_is_deleted_without_force(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.create(service, "cluster", shoppers.CLUSTER)
    gone = modelling.delete(service.store, "cluster", False, service.now)
    assert (gone.segments, gone.jobId) == ([], None)
    with pytest.raises(NotFound, match="there is no model 'cluster'"):
        modelling.delete(service.store, "cluster", False, service.now)


def test_a_deletion_that_died_half_way_can_be_repeated(shop: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise RuntimeError("the function was stopped")

    with monkeypatch.context() as patch:
        patch.setattr(modelling.models, "remove", dies)
        with pytest.raises(RuntimeError):
            modelling.delete(shop.store, "cluster", True, shop.now)
    modelling.delete(shop.store, "cluster", True, shop.now)
    runs.begin(shop.store, shop.now)
    shop.settle()
    assert not [s for s in segments.list_segments(shop.store, None, 10, None, shop.now).items if s.model]


def test_a_segment_whose_model_is_gone_can_be_deleted_like_any_other(shop: Service) -> None:
    model, versions = modelling.models.get(shop.store.table, "cluster")
    modelling.models.remove(shop.store.table, model, versions)
    assert segments.delete(shop.store, "cluster-c1", None, False, shop.now).segmentId == "cluster-c1"


def test_two_models_cannot_give_the_same_scores(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.create(service, "rfm", shoppers.RFM)
    shoppers.create(service, "other", shoppers.RFM)
    shoppers.publish(service, "rfm")
    with pytest.raises(Conflict, match=r"rfm\.segment.* come from the model 'rfm'; delete that one first"):
        modelling.publish(service.store, "other", PublishModel(), service.now)
    listed = segments.list_segments(service.store, None, 100, None, service.now).items
    assert not [segment for segment in listed if segment.segmentId.startswith("other-")]


def test_a_segment_of_somebody_else_is_never_taken_over(service: Service) -> None:
    shoppers.fill(service, 40)
    shoppers.segment(service, "cluster-c2", [{"attribute": "country", "operator": "eq", "value": "DE"}])
    shoppers.create(service, "cluster", shoppers.CLUSTER)
    with pytest.raises(Conflict, match="the segments cluster-c2 exist and are not of the model 'cluster'"):
        modelling.publish(service.store, "cluster", PublishModel(), service.now)
    assert shoppers.get(service, "cluster").publishedVersion is None


def test_a_refit_whose_groups_cannot_become_segments_is_fitted_and_says_why_it_is_not_published(shop: Service) -> None:
    shoppers.segment(shop, "cluster-c4", [{"attribute": "country", "operator": "eq", "value": "DE"}])
    ask_for(shop, k=4)
    job = shoppers.refit(shop, "cluster")
    model = shoppers.get(shop, "cluster")
    assert (model.status, model.latestVersion, model.publishedVersion) == ("fitted", 2, 1)
    outcome = job_reads.get(shop.store, job.jobId).details["models"]["cluster"]
    assert outcome["status"] == "fitted"
    assert outcome["reason"] == (
        "it was not published: the segments cluster-c4 exist and are not of the model 'cluster'"
    )


def test_a_model_that_is_being_fitted_is_not_fitted_a_second_time(service: Service) -> None:
    shoppers.fill(service, 40)
    modelling.create(service.store, shoppers.request("cluster", shoppers.CLUSTER), service.now)
    with pytest.raises(Conflict, match="the models cluster are being fitted"):
        runs.start(service.store, StartRun(refitModels=["cluster"]), service.now)
    with pytest.raises(Conflict, match="no fitted version; the latest is fitting"):
        modelling.publish(service.store, "cluster", PublishModel(), service.now)


def test_a_fit_whose_job_vanished_is_given_up_after_half_a_day(service: Service) -> None:
    shoppers.fill(service, 40)
    modelling.create(service.store, shoppers.request("cluster", shoppers.CLUSTER), service.now)
    service.workflows.started.popitem()
    service.wait(14)
    shoppers.refit(service, "cluster")
    model = shoppers.get(service, "cluster")
    assert [(version.status, version.statusReason) for version in model.versions] == [
        ("failed", "its job never came to an end"),
        ("fitted", None),
    ]


def test_scores_follow_a_profile_that_the_api_writes_at_once(shop: Service) -> None:
    put(shop, "new", country="DE")
    found = customers.get(shop.store, "new", shop.now)
    group = found.features["cluster.cluster"]
    assert {segment.segmentId for segment in found.segments} == {f"cluster-{group}"}
    assert "new" in ids(shop, f"cluster-{group}")


def test_a_customer_cannot_bring_a_score_along(service: Service) -> None:
    with pytest.raises(InvalidInput, match=r"'rfm\.segment' is computed, from orders or by a model, and cannot be set"):
        customers.put(service.store, "c1", PutCustomer(attributes={"rfm.segment": "champions"}), service.now)
    service.drop("imports/customers/c.csv", "customerId,country,cluster.mine\nc1,DE,c1\n")
    service.settle()
    (job,) = job_reads.list_jobs(service.store, 10, None).items
    assert job.status == "failed"
    assert "cluster.mine" in str(job.error)
