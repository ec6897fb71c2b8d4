"""Fits that are disturbed, on moto: steps delivered twice, workers that die, partitions that fail, models that vanish
half-way. Whatever happens, a model says how it ended, and no model is fitted on some of its customers only.
"""

from typing import Any

import pytest

from segmentation import customers, fit_parameters, fitting, job_reads, modelling, partitions, run_fits, runs, segments
from segmentation.errors import NotFound, TooBusy
from segmentation.models.jobs import StartRun
from segmentation.models.models import PublishModel
from segmentation.store import jobs, keys
from support import shoppers
from support.germans import ids
from support.service import Service, worker_items

GERMANS = [{"attribute": "country", "operator": "eq", "value": "DE"}]


class Died(Exception):
    """A function that the platform stopped."""


@pytest.fixture
def shop(service: Service) -> Service:
    return shoppers.fill(service, 40)


def begin(service: Service, model_id: str, asked: Any = shoppers.CLUSTER, **more: Any) -> dict[str, Any]:
    """Create a model and carry out the first step of its job: the plan."""
    model = modelling.create(service.store, shoppers.request(model_id, asked, **more), service.now)
    return plan(service, str(model.jobId))


def plan(service: Service, job_id: str) -> dict[str, Any]:
    _, payload = service.workflows.started.pop(job_id)
    return runs.plan(service.store, {"request": payload, "execution": job_id}, service.now)


def test_steps_that_come_twice_change_nothing(shop: Service) -> None:
    shoppers.create(shop, "once", shoppers.CLUSTER)
    planned = begin(shop, "twice")
    for item in [*worker_items(planned), *worker_items(planned)[::-1]]:
        shop.measure_partition(item)
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    once, twice = shoppers.get(shop, "once"), shoppers.get(shop, "twice")
    assert twice.report == once.report
    assert [version.status for version in twice.versions] == ["fitted"]
    assert not list(shop.store.files.list(keys.measures(planned["jobId"], "twice")))


def test_a_plan_that_comes_twice_begins_one_version(shop: Service) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER, refit="on_schedule")
    for _ in range(2):
        planned = runs.plan(shop.store, {"request": {}, "execution": "nightly"}, shop.now)
        assert planned["fits"]
    assert [version.version for version in shoppers.get(shop, "cluster").versions] == [1, 2]


def test_a_plan_that_died_before_it_began_versions_finds_what_it_noted(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER, refit="on_schedule")

    def dies(*_: Any) -> bool:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(run_fits, "_begin", dies)
        with pytest.raises(Died):
            runs.plan(shop.store, {"request": {}, "execution": "nightly"}, shop.now)
    shop.resegment({}, "nightly")
    model = shoppers.get(shop, "cluster")
    assert (model.latestVersion, model.status) == (2, "fitted")


def test_a_worker_that_died_before_it_recorded_its_part_is_repeated(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = begin(shop, "cluster")

    def dies(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "record_part", dies)
        for item in worker_items(planned):
            with pytest.raises(Died):
                shop.measure_partition(item)
    for item in worker_items(planned):
        shop.measure_partition(item)
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "record_part", dies)
        with pytest.raises(Died):
            shop.fit_models({"jobId": planned["jobId"], "failures": []})
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    model = shoppers.get(shop, "cluster")
    assert model.status == "fitted"
    assert model.report is not None
    assert model.report["customers"] == 40


def test_a_publication_that_died_half_way_is_ended_by_the_repeated_fit(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    shoppers.publish(shop, "cluster")
    job = runs.start(shop.store, StartRun(refitModels=["cluster"]), shop.now)
    planned = plan(shop, job.jobId)
    for item in worker_items(planned):
        shop.measure_partition(item)

    def dies(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(modelling.models, "publish", dies)
        with pytest.raises(Died):
            shop.fit_models({"jobId": job.jobId, "failures": []})
    assert shoppers.get(shop, "cluster").publishedVersion == 1
    shop.fit_models({"jobId": job.jobId, "failures": []})
    for item in worker_items(planned):
        shop.evaluate_partition(item)
    assert shoppers.get(shop, "cluster").publishedVersion == 2
    assert sum(len(ids(shop, f"cluster-c{number}")) for number in (1, 2, 3)) == 40


def test_a_partition_that_cannot_be_read_fails_the_fit_with_its_number_and_segments_are_evaluated_all_the_same(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    shoppers.publish(shop, "cluster")
    shoppers.segment(shop, "germans", GERMANS)
    shop.wait(1)
    load_at = partitions.load_at

    def fails(store: Any, partition: int, columns: Any) -> Any:
        if partition == 1:
            raise TooBusy("partition 1 is being changed all the time; try again")
        return load_at(store, partition, columns)

    with monkeypatch.context() as patch:
        patch.setattr(partitions, "load_at", fails)
        job = shoppers.refit(shop, "cluster")
    model = shoppers.get(shop, "cluster")
    assert (model.status, model.latestVersion, model.publishedVersion, model.version) == ("failed", 2, 1, 1)
    assert model.statusReason == "partition 1 failed: partition 1 is being changed all the time; try again"
    found = job_reads.get(shop.store, job.jobId)
    assert (found.status, found.error) == ("failed", model.statusReason)
    germans = segments.get(shop.store, "germans", shop.now)
    assert (germans.status, germans.evaluatedAt) == ("active", shop.now)


def test_a_step_that_fits_and_cannot_leaves_no_model_that_is_being_fitted_for_ever(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise TooBusy("the table asks to slow down")

    monkeypatch.setattr(fitting, "_outcome", fails)
    model = shoppers.create(shop, "cluster", shoppers.CLUSTER)
    assert (model.status, model.statusReason) == ("failed", "the table asks to slow down")
    assert job_reads.get(shop.store, str(model.jobId)).status == "failed"


def test_a_fit_without_what_a_partition_brought_fails_rather_than_leaving_customers_out(shop: Service) -> None:
    planned = begin(shop, "cluster")
    for item in worker_items(planned)[:2]:
        shop.measure_partition(item)
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    model = shoppers.get(shop, "cluster")
    assert (model.status, model.statusReason) == ("failed", "2 of 3 partitions brought their customers")


def test_a_model_that_is_deleted_during_its_fit_leaves_nothing(shop: Service) -> None:
    planned = begin(shop, "cluster")
    shop.measure_partition(worker_items(planned)[0])
    modelling.delete(shop.store, "cluster", False, shop.now)
    for item in worker_items(planned)[1:]:
        shop.measure_partition(item)
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    assert jobs.item(shop.store.table, planned["jobId"])["details"]["models"]["cluster"]["status"] == "deleted"
    assert not list(shop.store.files.list(keys.model_files("cluster")))
    assert not list(shop.store.files.list(keys.measures(planned["jobId"], "cluster")))
    with pytest.raises(NotFound):
        shoppers.get(shop, "cluster")


def test_a_model_that_is_deleted_while_it_is_computed_leaves_no_file(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_parameters.engine_cluster.fit

    def deleting(*arguments: Any) -> Any:
        modelling.delete(shop.store, "cluster", False, shop.now)
        return fit(*arguments)

    monkeypatch.setattr(fit_parameters.engine_cluster, "fit", deleting)
    planned = begin(shop, "cluster")
    for item in worker_items(planned):
        shop.measure_partition(item)
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    assert not list(shop.store.files.list(keys.model_files("cluster")))


def test_another_model_of_the_same_id_is_not_fitted_on_what_was_brought_to_the_first(shop: Service) -> None:
    planned = begin(shop, "cluster")
    for item in worker_items(planned):
        shop.measure_partition(item)
    modelling.delete(shop.store, "cluster", False, shop.now)
    other = begin(shop, "cluster", shoppers.RFM)
    shop.fit_models({"jobId": planned["jobId"], "failures": []})
    model = shoppers.get(shop, "cluster")
    assert (model.kind, model.status, model.jobId) == ("rfm", "fitting", other["jobId"])


def test_a_model_that_is_deleted_between_plan_and_evaluation_stops_no_segment(shop: Service) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    shoppers.publish(shop, "cluster")
    shoppers.segment(shop, "germans", GERMANS)
    job = runs.begin(shop.store, shop.now)
    planned = plan(shop, job.jobId)
    modelling.delete(shop.store, "cluster", True, shop.now)
    for item in worker_items(planned):
        shop.evaluate_partition(item)
    assert ids(shop, "germans")


def test_a_reader_that_meets_a_model_in_its_deletion_is_told_to_try_again(shop: Service) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    shoppers.publish(shop, "cluster")
    shop.store.files.delete([keys.model_file("cluster", 1)])
    with pytest.raises(TooBusy, match="'cluster' was deleted a moment ago; try again"):
        customers.get(shop.store, "s001", shop.now)


def test_an_evaluation_that_comes_twice_moves_nobody_a_second_time(shop: Service) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    modelling.publish(shop.store, "cluster", PublishModel(), shop.now)
    (job_id,) = [name for name in shop.workflows.started if name.startswith("run-")]
    planned = plan(shop, job_id)
    first = [shop.evaluate_partition(item) for item in worker_items(planned)]
    again = [shop.evaluate_partition(item) for item in worker_items(planned)]
    assert sum(counts["entered"] for counts in first) == 40
    assert [(counts["entered"], counts["left"]) for counts in again] == [(0, 0)] * 3


def test_a_population_that_was_deleted_fails_its_model_and_no_other_of_the_run(shop: Service) -> None:
    shoppers.segment(shop, "germans", GERMANS)
    shoppers.create(shop, "mine", shoppers.CLUSTER, population={"segmentId": "germans"})
    shoppers.create(shop, "all", shoppers.CLUSTER)
    segments.delete(shop.store, "germans", None, False, shop.now)
    shop.settle()
    shoppers.refit(shop, "mine", "all")
    mine, everyone = shoppers.get(shop, "mine", 2), shoppers.get(shop, "all", 2)
    assert (mine.status, mine.statusReason) == ("failed", "the population's segment 'germans' was deleted")
    assert everyone.status == "fitted"
