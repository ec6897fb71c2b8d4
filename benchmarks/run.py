"""A whole run at scale: fifty segments and three models that are fitted again, over a million customers.

`python -m benchmarks.run [--customers N] [--growth N,N]` drives the real use cases in the order of the state machine,
every worker in a fresh process, over a folder for a bucket and a table that counts (`benchmarks.fake_cloud`).
"""

import argparse
import math
import multiprocessing
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import fake_cloud, shop
from benchmarks.fake_cloud import TableClient
from benchmarks.machine import describe
from benchmarks.run_workers import Place, Step, Taken, brought, carried_out, filled
from segmentation import finishing, fitting, modelling, partition_runs, runs
from segmentation.models.jobs import StartRun
from segmentation.models.models import CreateModel, PublishModel
from segmentation.models.segments import Segment
from segmentation.store import catalogue, segments

PARTITION_CUSTOMERS = 62_500
"""A million customers in sixteen partitions; other sizes get as many partitions of this size as they need."""

NOW = shop.NOW
LATER = NOW + timedelta(hours=20)
FEATURES = ("recencyDays", "orderCount", "totalSpent", "averageOrderValue", "tenureDays")
MODELS: tuple[dict[str, Any], ...] = (
    {"kind": "rfm", "modelId": "rfm", "modelName": "RFM"},
    {
        "kind": "cluster",
        "modelId": "kinds",
        "modelName": "Kinds of shoppers",
        "features": [{"attribute": name, "log1p": True, "scaling": "standard"} for name in FEATURES],
        "now": None,
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
            ["benchmarks.run_workers", "segmentation.partition_runs", "segmentation.fitting", "segmentation.finishing"]
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
        return steps

    def _map(self, step: Step, work: Callable[..., Any], plan: Mapping[str, Any], of: str, at: datetime) -> None:
        for number in plan[of]:
            self.worker(step, work, {"jobId": plan["jobId"], "kind": plan["kind"], "partition": number}, at)

    def _job(self, job_id: str) -> dict[str, Any]:
        return {"TableName": fake_cloud.NAME, "Key": {"PK": {"S": f"JOB#{job_id}"}, "SK": {"S": "META"}}}


def prepared(cloud: Cloud) -> dict[str, Step]:
    """Fill the shop, define segments and models, fit these for the first time and publish them."""
    for partition, ids in enumerate(shop.ids_of(cloud.customers, cloud.place.partitions)):
        cloud.elsewhere(filled, partition, ids)
    table, at = cloud.store.table, NOW - timedelta(days=1)
    catalogue.add_attributes(table, shop.KINDS)
    for segment_id, criteria in shop.segments().items():
        segments.create(table, _segment(segment_id, criteria, at))
    for model in MODELS:
        modelling.create(cloud.store, CreateModel.model_validate(model), at)
    steps: dict[str, Step] = defaultdict(Step)
    for payload in cloud.workflows.started:
        for name, step in cloud.run(payload, at).items():
            steps[name] = step
    cloud.workflows.started.clear()
    for model in MODELS:
        modelling.publish(cloud.store, model["modelId"], PublishModel(), at)
    cloud.workflows.started.clear()
    return steps


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


def full_run(cloud: Cloud, at: datetime) -> dict[str, Step]:
    """What `start_run` starts when it is asked to fit all models again; data and rules are looked at from `NOW`."""
    request = StartRun(refitModels=[model["modelId"] for model in MODELS], now=NOW)
    runs.start(cloud.store, request, at)
    return cloud.run(cloud.workflows.started.pop(), at)


def shown(steps: Mapping[str, Step]) -> str:
    lines = ["| step | workers | core seconds | the longest | peak MiB |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {step.workers} | {step.seconds:.1f} | {step.longest:.2f} | {step.peak_mib:.0f} |"
        for name, step in steps.items()
    ]
    total = sum(step.seconds for step in steps.values())
    return "\n".join([*lines, f"| **all** | | **{total:.1f}** | | {max(s.peak_mib for s in steps.values()):.0f} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--partition", type=int, default=PARTITION_CUSTOMERS)
    options = parser.parse_args()
    partitions = math.ceil(options.customers / options.partition)
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        cloud = Cloud(Path(name), options.customers, partitions)
        try:
            print("\nfirst fit\n" + shown(prepared(cloud)), flush=True)
            first = full_run(cloud, NOW)
            print("\nfull run\n" + shown(first), flush=True)
            print({name: dict(step.requests) for name, step in first.items()})
            for partition in range(partitions):
                cloud.elsewhere(brought, partition)
            second = full_run(cloud, LATER)
            print("\nsecond run\n" + shown(second), flush=True)
            print({name: dict(step.requests) for name, step in second.items()})
        finally:
            cloud.close()


if __name__ == "__main__":
    main()
