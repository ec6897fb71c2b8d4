"""Populations of more customers than one process is to hold, on moto: models are what a fit on everybody finds, and the
same over any number of partitions, whatever is delivered twice or goes missing.
"""

import functools
from typing import Any

import numpy as np
import pytest

from segmentation import evaluation, fitting, job_reads, modelling, partitions, recipes, runs, scoring
from segmentation.engine.frame import NumberColumn, StringColumn
from segmentation.engine.modelling.kinds import score
from segmentation.engine.sketches import sample
from segmentation.errors import NotFound, TooBusy
from segmentation.models.jobs import StartRun
from segmentation.models.models import Model
from segmentation.store import jobs, keys, models
from support import shoppers
from support.germans import put
from support.service import Service, running, worker_items

CUSTOMERS, SAMPLE = 3_000, 2_000
KINDS: dict[str, dict[str, Any]] = {
    "rfm": shoppers.RFM,
    "cluster": {**shoppers.CLUSTER, "parameters": {"k": 3, "restarts": 5, "bootstraps": 2}},
    "lifetime": shoppers.LIFETIME,
    "churn": shoppers.CHURN,
}


def fitted(service: Service) -> dict[str, Model]:
    return {name: shoppers.create(service, name, asked) for name, asked in KINDS.items()}


@pytest.fixture(scope="module")
def together() -> dict[str, Model]:
    """Models of everybody, fitted in one process."""
    with running(1) as service:
        return fitted(shoppers.fill(service, CUSTOMERS))


@pytest.fixture(scope="module")
def apart() -> dict[int, dict[str, Model]]:
    """Models of the same shop over one, four and sixteen partitions, by a sample and what partitions say of all."""
    return {number: models_of[0] for number, models_of in _apart().items()}


@pytest.fixture(scope="module")
def scored() -> dict[str, dict[str, int]]:
    """Sizes of the groups over four partitions when everybody is scored."""
    return _apart()[4][1]


@functools.cache
def _apart() -> dict[int, tuple[dict[str, Model], dict[str, dict[str, int]]]]:
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "SAMPLE", SAMPLE)
        for number in (1, 4, 16):
            with running(number) as service:
                models_of = fitted(shoppers.fill(service, CUSTOMERS))
                found[number] = models_of, {name: counted(service, model) for name, model in models_of.items()}
    return found


def counted(service: Service, model: Model) -> dict[str, int]:
    """Sizes of the model's groups when every customer is scored by it."""
    document = models.read_file(service.store.files, model.modelId, 1)
    value = scoring.fitted(model.kind, document["model"])
    known = set(recipes.read_by(modelling.get(service.store, model.modelId, None)))
    sizes: dict[str, int] = {group.groupId: 0 for group in model.groups}
    for partition in range(service.store.partitions):
        events = {"order": {"amount"}} if model.kind == "lifetime" else {}
        frame = partitions.load(service.store, partition, service.now, attributes=known, events=events)
        scores = score(value, frame, evaluation.instant(service.now), model.modelId)
        for group in model.groups:
            condition = group.criteria[0]
            column = scores[condition["attribute"]]
            if isinstance(column, StringColumn):
                wanted = column.values.index(group.groupId)
                sizes[group.groupId] += int(np.count_nonzero(column.codes == wanted))
                continue
            assert isinstance(column, NumberColumn)
            limits = {each["operator"]: each.get("value") for each in group.criteria}
            inside = ~np.isnan(column.values)
            inside &= column.values >= limits.get("gte", -np.inf)
            inside &= column.values < limits.get("lt", np.inf)
            sizes[group.groupId] += int(np.count_nonzero(inside))
    return sizes


@pytest.mark.parametrize("kind", KINDS)
def test_models_are_the_same_over_any_number_of_partitions(kind: str, apart: dict[int, dict[str, Model]]) -> None:
    one, four, sixteen = (apart[number][kind] for number in (1, 4, 16))
    assert one.status == "fitted"
    assert one.report is not None
    assert one.report == four.report == sixteen.report
    assert one.groups == four.groups == sixteen.groups


def test_rfm_of_a_large_population_is_that_of_one_process(
    apart: dict[int, dict[str, Model]], together: dict[str, Model]
) -> None:
    assert apart[16]["rfm"].report == together["rfm"].report
    assert apart[16]["rfm"].groups == together["rfm"].groups


def test_forecasts_of_a_large_population_are_those_of_one_process(
    apart: dict[int, dict[str, Model]], together: dict[str, Model]
) -> None:
    many, one = apart[16]["lifetime"].report, together["lifetime"].report
    assert many is not None
    assert one is not None
    assert many["fitted"]["bgnbd"] == one["fitted"]["bgnbd"]
    for name in ("p", "q", "v"):
        assert many["fitted"]["gammaGamma"][name] == pytest.approx(one["fitted"]["gammaGamma"][name], rel=1e-9)
    for name in ("totalClv", "expectedOrders", "meanPAlive"):
        assert many[name] == pytest.approx(one[name], rel=1e-9)
    assert [group.size for group in apart[16]["lifetime"].groups] == [g.size for g in together["lifetime"].groups]
    assert many["fittedOn"] == many["customers"] == one["customers"]
    assert many["backTest"]["customers"] < one["backTest"]["customers"]


def test_clusters_of_a_large_population_are_as_good_as_those_of_one_process(
    apart: dict[int, dict[str, Model]], together: dict[str, Model]
) -> None:
    many, one = apart[16]["cluster"].report, together["cluster"].report
    assert many is not None
    assert one is not None
    # What a sample of so few costs; `test_pooled_models` says what one of more does.
    assert many["quality"]["inertia"] == pytest.approx(one["quality"]["inertia"], rel=5e-3)
    assert many["quality"]["explained"] == pytest.approx(one["quality"]["explained"], rel=5e-3)
    assert many["preparation"] == one["preparation"]
    assert many["fittedOn"] <= SAMPLE
    assert many["customers"] == one["customers"] == one["fittedOn"]


def test_risk_of_a_large_population_is_learnt_from_a_sample_and_counted_in_all(
    apart: dict[int, dict[str, Model]], together: dict[str, Model]
) -> None:
    many, one = apart[16]["churn"].report, together["churn"].report
    assert many is not None
    assert one is not None
    assert (many["customers"], many["churned"]) == (one["customers"], one["churned"])
    assert many["fittedOn"] == SAMPLE
    assert many["evaluation"]["auc"] == pytest.approx(one["evaluation"]["auc"], abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_groups_are_counts_of_everybody(
    kind: str, apart: dict[int, dict[str, Model]], scored: dict[str, dict[str, int]]
) -> None:
    sizes = {group.groupId: group.size for group in apart[4][kind].groups}
    assert sizes == scored[kind]
    assert sum(sizes.values()) > SAMPLE


# ------------------------------------------------------------------------- faults


@pytest.fixture
def shop(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """More customers than the sample holds, over three partitions."""
    monkeypatch.setattr(fitting, "SAMPLE", 60)
    return shoppers.fill(service, 200)


def begin(service: Service, model_id: str, asked: Any = shoppers.CLUSTER) -> dict[str, Any]:
    model = modelling.create(service.store, shoppers.request(model_id, asked), service.now)
    _, payload = service.workflows.started.pop(str(model.jobId))
    return runs.plan(service.store, {"request": payload, "execution": str(model.jobId)}, service.now)


def fit(service: Service, planned: dict[str, Any]) -> bool:
    return bool(service.fit_models({"jobId": planned["jobId"], "failures": []})["again"])


def measure(service: Service, planned: dict[str, Any], *, times: int = 1) -> None:
    for item in worker_items(planned, "measures") * times:
        service.measure_partition(item)


def describe(service: Service, planned: dict[str, Any], *, times: int = 1) -> None:
    for item in worker_items(planned, "describes") * times:
        service.measure_partition(item)


def test_steps_of_both_rounds_that_come_twice_change_nothing(shop: Service) -> None:
    once = shoppers.create(shop, "once", shoppers.CLUSTER)
    planned = begin(shop, "twice")
    measure(shop, planned, times=2)
    assert fit(shop, planned)
    assert fit(shop, planned)
    describe(shop, planned, times=2)
    assert not fit(shop, planned)
    assert not fit(shop, planned)
    twice = shoppers.get(shop, "twice")
    assert twice.report == once.report
    assert [group.size for group in twice.groups] == [group.size for group in once.groups]
    assert not list(shop.store.files.list(keys.measures(planned["jobId"], "twice")))


def test_a_model_is_fitted_only_when_all_customers_are_counted(shop: Service) -> None:
    planned = begin(shop, "cluster")
    measure(shop, planned)
    assert fit(shop, planned)
    assert shoppers.get(shop, "cluster").status == "fitting"
    assert jobs.item(shop.store.table, planned["jobId"])["details"]["round"] == "describe"
    describe(shop, planned)
    assert not fit(shop, planned)
    assert shoppers.get(shop, "cluster").status == "fitted"
    done = job_reads.get(shop.store, planned["jobId"])
    assert done.counts["customers"] == 200


def test_a_partition_measured_late_describes_and_the_round_is_asked_for_again(shop: Service) -> None:
    planned = begin(shop, "cluster")
    measure(shop, planned)
    assert fit(shop, planned)
    shop.measure_partition(worker_items(planned, "measures")[0])
    assert fit(shop, planned)
    describe(shop, planned)
    assert not fit(shop, planned)
    assert shoppers.get(shop, "cluster").status == "fitted"


def test_a_description_that_went_missing_fails_the_version_with_the_count(shop: Service) -> None:
    planned = begin(shop, "cluster")
    measure(shop, planned)
    fit(shop, planned)
    describe(shop, planned)
    shop.store.files.delete([keys.description(planned["jobId"], "cluster", 1)])
    assert not fit(shop, planned)
    model = shoppers.get(shop, "cluster")
    assert (model.status, model.statusReason) == ("failed", "2 of 3 partitions described their customers")
    assert list(shop.store.files.list(keys.measures(planned["jobId"], "cluster")))


def test_a_partition_that_cannot_be_described_fails_the_version_with_the_reason(shop: Service) -> None:
    planned = begin(shop, "cluster")
    measure(shop, planned)
    fit(shop, planned)
    failures = [{"partition": 2, "error": "TooBusy", "cause": "throttled"}]
    answer = shop.fit_models({"jobId": planned["jobId"], "failures": failures})
    assert answer["again"] is False
    assert shoppers.get(shop, "cluster").statusReason == "partition 2 failed: TooBusy: throttled"


def test_a_model_that_is_deleted_between_the_rounds_leaves_nothing(shop: Service) -> None:
    planned = begin(shop, "cluster")
    measure(shop, planned)
    assert fit(shop, planned)
    modelling.delete(shop.store, "cluster", False, shop.now)
    describe(shop, planned)
    assert not fit(shop, planned)
    assert not list(shop.store.files.list(keys.measures(planned["jobId"], "cluster")))


def test_a_refit_of_a_large_population_takes_over_once_it_is_complete(shop: Service) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    shoppers.publish(shop, "cluster")
    shoppers.refit(shop, "cluster")
    model = shoppers.get(shop, "cluster")
    assert (model.publishedVersion, model.status) == (2, "fitted")


def test_a_run_that_failed_in_the_second_round_is_resumed_with_what_is_missing(
    shop: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoppers.create(shop, "cluster", shoppers.CLUSTER)
    describe_one, described = fitting._describe, list[int]()

    def failing(*arguments: Any) -> None:
        if arguments[-1] == 1:
            raise TooBusy("the table is throttled")
        describe_one(*arguments)

    def noting(*arguments: Any) -> None:
        described.append(arguments[-1])
        describe_one(*arguments)

    monkeypatch.setattr(fitting, "_describe", failing)
    job = shoppers.refit(shop, "cluster")
    assert job_reads.get(shop.store, job.jobId).status == "failed"
    assert shoppers.get(shop, "cluster", 2).statusReason == "partition 1 failed: the table is throttled"
    monkeypatch.setattr(fitting, "_describe", noting)
    monkeypatch.setattr(fitting, "_measure", lambda *_: pytest.fail("it was measured again"))
    runs.start(shop.store, StartRun(resumeRunId=job.jobId), shop.now)
    shop.settle()
    assert described == [1]
    assert shoppers.get(shop, "cluster", 2).status == "fitted"
    assert job_reads.get(shop.store, job.jobId).status == "succeeded"


def test_a_partition_whose_snapshot_is_missing_says_so_and_brings_nothing(shop: Service) -> None:
    planned = begin(shop, "cluster")
    item = worker_items(planned, "measures")[0]
    shop.store.files.delete(shop.store.files.list(f"snapshot/part={item['partition']:04d}/"))
    with pytest.raises(NotFound, match=r"snapshot/part=0000/.*does not exist"):
        shop.measure_partition(item)
    assert not list(shop.store.files.list(keys.measures(planned["jobId"], "cluster")))


def test_a_feature_that_only_one_partition_knows_is_missing_in_the_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "SAMPLE", 8)
    monkeypatch.setattr(sample, "_SPARE", 4)
    service.follows_stream = False
    for number in range(60):
        name = f"c{number}"
        size = {"size": float(number)} if keys.partition_of(name, 3) == 0 else {}
        put(service, name, age=20 + number, **size)
    asked = {**shoppers.CLUSTER, "features": ["age", "size"], "parameters": {"k": 2, "bootstraps": 2}}
    model = shoppers.create(service, "cluster", asked)
    assert model.status == "fitted"
    assert model.report is not None
    assert (model.report["customers"], model.report["fittedOn"]) == (60, 8)
    assert sum(group.size for group in model.groups) == 60


def test_empty_partitions_and_one_of_a_single_customer_count_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "SAMPLE", 4)
    with running(16) as service:
        service.follows_stream = False
        for number in range(7):
            put(service, f"c{number}", age=20 + number * number)
        held = [keys.partition_of(f"c{number}", 16) for number in range(7)]
        assert 1 in [held.count(number) for number in range(16)]
        assert 0 in [held.count(number) for number in range(16)]
        asked = {**shoppers.CLUSTER, "features": ["age"], "parameters": {"k": 2, "bootstraps": 2}}
        model = shoppers.create(service, "cluster", asked)
        assert model.report is not None
        assert (model.report["customers"], model.report["fittedOn"]) == (7, 4)
        assert sum(group.size for group in model.groups) == 7
