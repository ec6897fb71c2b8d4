"""Migrations that nightly runs cause, and those between the groups of a model, on moto."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from segmentation import authoring, migrations
from segmentation.errors import InvalidInput
from segmentation.models.migrations import Migration, Moves
from segmentation.models.models import Group, ModelSummary, Population, Version
from segmentation.models.segments import CreateSegment
from segmentation.store import models
from support.service import NOW, Service

LAST_ORDERS = {"c0": 0, "c1": 1, "c2": 2, "c3": 3, "c4": 9}
"""Days before the first run."""


def at(day: int) -> datetime:
    return NOW + timedelta(days=day, hours=1)


def create(service: Service, segment_id: str, operator: str) -> None:
    rule = [{"attribute": "recencyDays", "operator": operator, "value": 2.5}]
    asked = CreateSegment(segmentName=segment_id.title(), segmentId=segment_id, criteria=rule)
    authoring.create(service.store, asked, service.now)


def asked(service: Service, **changes: Any) -> Migration:
    question = {
        "start": at(0),
        "end": at(3),
        "segment_ids": ["recent", "lapsed"],
        "model_id": None,
        "period": "day",
        "periods": 1,
        "ordered": False,
        "at": service.now,
        **changes,
    }
    return migrations.get(service.store, **question)


def model(**changes: Any) -> ModelSummary:
    described = {
        "modelId": "ages",
        "modelName": "Ages",
        "kind": "rfm",
        "population": Population(),
        "features": [],
        "parameters": {},
        "refit": "never",
        "status": "fitted",
        "latestVersion": 1,
        "publishedVersion": 1,
        "scores": [],
        "createdAt": NOW,
        **changes,
    }
    return ModelSummary.model_validate(described)


def version(*segment_ids: str) -> Version:
    groups = [Group(groupId=name, name=name, size=0, share=0, criteria=[], segmentId=name) for name in segment_ids]
    return Version(version=1, status="fitted", createdAt=NOW, groups=groups)


@pytest.fixture
def shop(service: Service) -> Service:
    """Four nights: nobody orders, and so one customer after the other lapses."""
    rows = "".join(f"o-{c},{c},{NOW - timedelta(days=d):%Y-%m-%dT%H:%M:%SZ},1,5\n" for c, d in LAST_ORDERS.items())
    service.drop("imports/orders/orders.csv", "orderId,customerId,orderedAt,quantity,unitPrice\n" + rows)
    service.settle()
    create(service, "recent", "lt")
    create(service, "lapsed", "gt")
    service.settle()
    for night in range(1, 4):
        service.wait(24)
        service.resegment({}, execution=f"night-{night}")
        service.settle()
    service.wait(1)
    return service


def test_nightly_runs_move_customers_and_the_migration_follows_them(shop: Service) -> None:
    found = asked(shop)
    assert [period.sizes for period in found.periods] == [[3, 2, 0], [2, 3, 0], [1, 4, 0]]
    assert found.matrix == [[0, 3, 0], [0, 2, 0], [0, 0, 0]]
    assert [(path.states, path.customers, path.medianPeriods) for path in found.paths.items] == [
        (["recent", "lapsed"], 3, [2.0])
    ]
    recent = found.retention[0]
    assert [(age.age, age.atRisk, age.left) for age in recent.ages] == [(1, 3, 1), (2, 2, 1), (3, 1, 1)]
    assert recent.medianPeriods == 2
    assert found.forecast is not None and found.forecast.periods[0].expected[1] > 4.5
    moves = Moves.model_validate({"from": at(0), "to": at(1), "fromSegment": "recent", "toSegment": "lapsed"})
    listed = migrations.list_moves(shop.store, moves, 10, None, shop.now)
    assert [item.customerId for item in listed.items] == ["c2"]


def test_the_groups_of_a_published_model_are_compared(shop: Service) -> None:
    models.create(shop.store.table, model(), version("recent", "lapsed"))
    by_model = asked(shop, segment_ids=None, model_id="ages")
    assert by_model == asked(shop)
    question = {"from": at(0), "to": at(3), "fromSegment": "none", "toSegment": "none", "model": "ages"}
    assert migrations.list_moves(shop.store, Moves.model_validate(question), 10, None, shop.now).items == []


def test_a_model_without_a_published_version_or_with_too_many_groups_is_refused(shop: Service) -> None:
    models.create(shop.store.table, model(modelId="unpublished", publishedVersion=None), version("recent"))
    models.create(shop.store.table, model(modelId="many"), version(*(f"g{number}" for number in range(21))))
    for model_id, said in (("unpublished", "no published version"), ("many", "21 segments")):
        with pytest.raises(InvalidInput, match=said) as caught:
            asked(shop, segment_ids=None, model_id=model_id)
        assert [error.field for error in caught.value.errors] == ["model"]
