"""The cloud of the benchmark of runs: a table, a bucket and workers, and the state machine driven step by step."""

import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import fake_cloud, shop
from benchmarks.fake_cloud import TableClient
from benchmarks.run_workers import Place, Step, Taken, carried_out, filled
from segmentation import finishing, fitting, modelling, partition_runs, runs
from segmentation.models.jobs import StartRun
from segmentation.models.models import CreateModel, PublishModel
from segmentation.models.segments import Segment
from segmentation.store import catalogue, jobs, segments

NOW = shop.NOW
FEATURES = ("recencyDays", "orderCount", "totalSpent", "averageOrderValue", "tenureDays")
MODELS: tuple[dict[str, Any], ...] = (
    {"kind": "rfm", "modelId": "rfm", "modelName": "RFM"},
    {
        "kind": "cluster",
        "modelId": "kinds",
        "modelName": "Kinds of shoppers",
        "features": [{"attribute": name, "log1p": True, "scaling": "standard"} for name in FEATURES],
    },
    {"kind": "lifetime", "modelId": "value", "modelName": "Lifetime value"},
)


class Cloud:
    """Table, bucket and workers of one benchmark."""

    def __init__(self, folder: Path, customers: int, partitions: int, streamed: int = 0) -> None:
        self.place = Place(str(folder / "table"), folder / "bucket", partitions)
        self.customers = customers
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["benchmarks.run_workers", "segmentation.fitting", "segmentation.finishing", "pyarrow.dataset"]
        )
        from support.service import template

        declared = template()["Resources"]["Table"]["Properties"]
        wanted = ("BillingMode", "KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes")
        properties = {name: declared[name] for name in wanted}
        self._server = context.Process(target=fake_cloud.serve, args=(self.place.address, properties, streamed))
        self._server.start()
        while not Path(self.place.address).exists():
            time.sleep(0.1)
        self._pool = ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1)
        self.store, self.table, _, self.workflows = fake_cloud.store(*self._place())

    def _place(self) -> tuple[str, Path, int]:
        return self.place.address, self.place.folder, self.place.partitions

    def close(self) -> None:
        self._pool.shutdown()
        TableClient(self.place.address).stop()
        self._server.join(10)

    def elsewhere(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Something that does not count, in a process of its own."""
        return self._pool.submit(work, self.place, *arguments).result()

    def worker(self, step: Step, work: Callable[..., Any], *arguments: Any) -> Any:
        taken: Taken = self._pool.submit(carried_out, self.place, work, arguments).result()
        step.add(taken)
        answer, started = taken.answer
        self.workflows.started += started
        return answer

    def run(self, payload: Mapping[str, Any], at: datetime) -> dict[str, Step]:
        """The state machine Resegment, step by step; what each step took."""
        steps: dict[str, Step] = defaultdict(Step)
        name = f"benchmark-{payload['jobId']}"
        asked = {"request": dict(payload), "execution": name, "executionId": name}
        plan = self.worker(steps["plan"], runs.plan, asked, at)
        state: dict[str, Any] = {**payload, "execution": {"name": name}, "plan": plan}
        measured, is_another = "measures", plan["fits"]
        while is_another:
            self._map(steps[measured.removesuffix("s")], fitting.measure, plan, measured, at)
            fit = {"jobId": plan["jobId"], "failures": []}
            state["fitted"] = self.worker(steps["fit"], fitting.fit, fit, at)
            measured, is_another = "describes", state["fitted"]["again"]
        if plan["evaluates"]:
            self._map(steps["evaluate"], partition_runs.work, plan, "partitions", at)
            state["partitions"] = {"failures": []}
        result = self.worker(steps["finish"], finishing.finish_run, state, at)
        if result["status"] != "succeeded":
            raise SystemExit(f"the run failed: {self.table.get_item(**self._job(plan['jobId']))}")
        for name, usage in jobs.item(self.store.table, plan["jobId"])["usage"].items():
            steps[name].usage = usage
        return steps

    def _map(self, step: Step, work: Callable[..., Any], plan: Mapping[str, Any], of: str, at: datetime) -> None:
        for number in plan[of]:
            self.worker(step, work, {"jobId": plan["jobId"], "kind": plan["kind"], "partition": number}, at)

    def _job(self, job_id: str) -> dict[str, Any]:
        return {"TableName": fake_cloud.NAME, "Key": {"PK": {"S": f"JOB#{job_id}"}, "SK": {"S": "META"}}}


def prepared(cloud: Cloud) -> None:
    """Fill the shop, define segments and models, fit these for the first time and publish them."""
    for partition, ids in enumerate(shop.ids_of(cloud.customers, cloud.place.partitions)):
        cloud.elsewhere(filled, partition, ids)
    table, at = cloud.store.table, NOW - timedelta(days=1)
    catalogue.add_attributes(table, shop.KINDS)
    for segment_id, criteria in shop.segments().items():
        segments.create(table, _segment(segment_id, criteria, at))
    for model in MODELS:
        modelling.create(cloud.store, CreateModel.model_validate(model), at)
    for payload in [*cloud.workflows.started]:
        cloud.run(payload, at)
    for model in MODELS:
        modelling.publish(cloud.store, model["modelId"], PublishModel(), at)
    # The runs that fill the groups' segments: the run that is measured fills them.
    cloud.workflows.started.clear()


def _segment(segment_id: str, criteria: list[shop.Condition], at: datetime) -> Segment:
    return Segment(
        segmentId=segment_id,
        segmentName=segment_id,
        customerCount=0,
        status="evaluating",
        kind="rule",
        criteria=criteria,
        version=1,
        createdAt=at,
        updatedAt=at,
    )


def full_run(cloud: Cloud, at: datetime, refits: bool) -> dict[str, Step]:
    """What `start_run` starts, with all models fitted again or as they are; rules look from `NOW`."""
    names = [model["modelId"] for model in MODELS] if refits else None
    runs.start(cloud.store, StartRun(refitModels=names, now=NOW), at)
    return cloud.run(cloud.workflows.started.pop(), at)
