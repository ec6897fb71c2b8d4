"""A shop whose customers order as lifetime models expect, and what tests of models in the service do over and over."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from segmentation import authoring, modelling, runs
from segmentation.models.jobs import Job, StartRun
from segmentation.models.models import CreateModel, Model, Published, PublishModel
from segmentation.models.segments import CreateSegment
from support.service import NOW, Service

THREE = ["recencyDays", "orderCount", "totalSpent"]

COUNTRY = {"attribute": "country", "encoding": {"oneHot": {}}}

RFM: dict[str, Any] = {"kind": "rfm", "parameters": {"bins": 3}}
CLUSTER: dict[str, Any] = {
    "kind": "cluster",
    "features": [{"attribute": name, "log1p": True} for name in THREE],
    "parameters": {"k": 3, "restarts": 3, "bootstraps": 2},
}
LIFETIME: dict[str, Any] = {"kind": "lifetime"}
CHURN: dict[str, Any] = {
    "kind": "churn",
    "features": ["recencyDays", "age", COUNTRY],
    "parameters": {"label": "accountClosed", "folds": 2},
}
KINDS: Mapping[str, dict[str, Any]] = {"rfm": RFM, "cluster": CLUSTER, "lifetime": LIFETIME, "churn": CHURN}
"""A small request of every kind; the model is called like its kind."""


def fill(
    service: Service, customers: int = 160, *, seed: int = 7, first: int = 0, amount: float | None = None
) -> Service:
    """Customers `s000` and so on; three of four have bought, and drop out as BG/NBD says. Files are imported.

    They spend as Gamma-Gamma says, or all of them the same `amount` at every purchase.
    """
    service.follows_stream = False
    random = np.random.default_rng(seed)
    people = ["customerId,country,age,accountClosed"]
    lines = ["orderId,customerId,orderedAt,amount"]
    for number in range(first, first + customers):
        name, spend = f"s{number:03d}", float(random.gamma(6, 10))
        closed, age = random.random() < 0.3, "" if number % 9 == 0 else str(random.integers(18, 80))
        people.append(f"{name},{('DE', 'FR', 'US')[random.integers(3)]},{age},{str(closed).lower()}")
        if number % 4 == 0:
            continue
        rate, leaving = random.gamma(0.9, 1 / 5), random.beta(0.9, 2.5)
        at = NOW - timedelta(days=float(random.uniform(1, 420)))
        while at < NOW:
            spent = amount or max(spend * float(random.gamma(4, 0.25)), 1.0)
            lines.append(f"o{len(lines)}-{first},{name},{at:%Y-%m-%dT%H:%M:%SZ},{spent:.2f}")
            at += timedelta(weeks=float(random.exponential(1 / rate)), hours=30)
            if random.random() < leaving:
                break
    service.drop(f"imports/customers/people{first}.csv", "\n".join(people) + "\n")
    service.drop(f"imports/orders/orders{first}.csv", "\n".join(lines) + "\n")
    service.settle()
    return service


def request(model_id: str, asked: Mapping[str, Any], **more: Any) -> CreateModel:
    return CreateModel.model_validate({"modelId": model_id, "modelName": model_id.title(), **asked, **more})


def create(service: Service, model_id: str, asked: Mapping[str, Any], **more: Any) -> Model:
    """The model after its job."""
    modelling.create(service.store, request(model_id, asked, **more), service.now)
    service.settle()
    return get(service, model_id)


def get(service: Service, model_id: str, version: int | None = None) -> Model:
    return modelling.get(service.store, model_id, version)


def publish(service: Service, model_id: str, version: int | None = None, names: Mapping[str, str] = {}) -> Published:
    """Publish, and let the run fill the segments."""
    asked = PublishModel(version=version, names=dict(names))
    done = modelling.publish(service.store, model_id, asked, service.now)
    service.settle()
    return done


def refit(service: Service, *model_ids: str, segment_ids: Sequence[str] | None = None) -> Job:
    """Run all segments, after these models were fitted again."""
    asked = StartRun(refitModels=list(model_ids), segmentIds=list(segment_ids) if segment_ids else None)
    job = runs.start(service.store, asked, service.now)
    service.settle()
    return job


def segment(service: Service, segment_id: str, criteria: Any, *, now: datetime | None = None) -> None:
    """A segment with its members."""
    asked = CreateSegment(segmentName=segment_id.title(), segmentId=segment_id, criteria=criteria, now=now)
    authoring.create(service.store, asked, service.now)
    service.settle()
