"""Models of every kind on moto, from the request to segments and scores that everything else can read."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from segmentation import (
    assignment,
    attributes,
    authoring,
    customers,
    evaluation,
    exports,
    job_reads,
    modelling,
    partitions,
    segments,
)
from segmentation.engine.frame import Column, DateColumn, NumberColumn, StringColumn
from segmentation.errors import Conflict, InvalidInput
from segmentation.models.exports import CreateExport
from segmentation.models.models import PublishModel
from segmentation.models.segments import PreviewSegment, SegmentPatch
from segmentation.store import keys, memberships
from support import shoppers
from support.service import Service, running

VALUABLE = [{"attribute": "lifetime.clv", "operator": "gte", "value": 100}]
SCORES = {
    "rfm.segment",
    "rfm.score",
    "rfm.recency",
    "rfm.frequency",
    "rfm.monetary",
    "lifetime.pAlive",
    "lifetime.expectedOrders",
    "lifetime.clv",
    "lifetime.nextOrderAt",
    "churn.risk",
    "cluster.cluster",
}


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    """A published model of every kind, and a segment that a rule on a score defines. Tests only read it."""
    with running(3) as service:
        shoppers.fill(service)
        for kind, asked in shoppers.KINDS.items():
            shoppers.create(service, kind, asked)
        for kind in shoppers.KINDS:
            modelling.publish(service.store, kind, PublishModel(), service.now)
        shoppers.segment(service, "valuable", VALUABLE)
        yield service


def members_of(service: Service, segment_id: str) -> set[str]:
    parts = range(service.store.partitions)
    found = [memberships.of_partition(service.store.table, segment_id, part, service.now) for part in parts]
    return {member.customer_id for part in found for member in part}


def scores_of(service: Service, columns: set[str]) -> dict[str, dict[str, Any]]:
    """Every customer's scores as a run sees them, partition by partition."""
    result: dict[str, dict[str, Any]] = {}
    for part in range(service.store.partitions):
        frame = partitions.load(service.store, part, service.now, attributes=columns, events={})
        result |= {name: {c: cell(frame.columns[c], row) for c in columns} for row, name in enumerate(frame.ids)}
    return result


def cell(column: Column, row: int) -> Any:
    """One value, to the last bit."""
    match column:
        case StringColumn():
            return column.values[column.codes[row]] if column.codes[row] >= 0 else None
        case NumberColumn():
            return float(column.values[row]).hex()
        case DateColumn():
            return str(column.values[row])
    raise TypeError(type(column).__name__)


@pytest.mark.parametrize("kind", shoppers.KINDS)
def test_a_model_of_every_kind_is_fitted_reported_and_published(shop: Service, kind: str) -> None:
    model = shoppers.get(shop, kind)
    assert (model.status, model.statusReason, model.publishedVersion, model.version) == ("fitted", None, 1, 1)
    assert model.report is not None
    assert model.report["customers"] > 100
    assert model.report["fitted"]
    json.dumps(model.report, allow_nan=False)
    assert sum(group.share for group in model.groups) == pytest.approx(1, abs=1e-5)
    job = job_reads.get(shop.store, str(model.jobId))
    assert (job.kind, job.status, job.error) == ("model", "succeeded", None)
    assert job.progress is not None
    assert job.progress.done == job.progress.total


@pytest.mark.parametrize("kind", shoppers.KINDS)
def test_every_group_becomes_a_segment_of_the_size_that_the_fit_counted(shop: Service, kind: str) -> None:
    model = shoppers.get(shop, kind)
    seen: set[str] = set()
    for group in model.groups:
        segment = segments.get(shop.store, group.segmentId, shop.now)
        assert (segment.status, segment.segmentName) == ("active", group.name)
        assert segment.model is not None
        assert (segment.model.modelId, segment.model.groupId) == (kind, group.groupId)
        found = members_of(shop, group.segmentId)
        assert len(found) == group.size
        assert not found & seen
        seen |= found


def test_the_scores_of_one_customer_are_those_of_the_run_to_the_last_bit(shop: Service) -> None:
    batch = scores_of(shop, SCORES)
    assert len(batch) == 160
    for name in sorted(batch)[::7]:
        frame = partitions.load_customers(shop.store, [name])(evaluation.instant(shop.now))
        assert {column: cell(frame.columns[column], 0) for column in SCORES} == batch[name]


def test_a_rule_on_a_score_takes_exactly_the_customers_who_have_it(shop: Service) -> None:
    batch = scores_of(shop, {"lifetime.clv"})
    wanted = {name for name, row in batch.items() if float.fromhex(row["lifetime.clv"]) >= 100}
    assert 0 < len(wanted) < 120
    assert members_of(shop, "valuable") == wanted
    preview = authoring.preview(shop.store, PreviewSegment(criteria=VALUABLE), shop.now)
    assert (preview.customerCount, preview.totalCustomers) == (len(wanted), 160)


def test_a_rule_on_a_score_explains_itself_with_the_customers_value(shop: Service) -> None:
    name = sorted(members_of(shop, "valuable"))[0]
    why = assignment.explain(shop.store, "valuable", name, None, shop.now)
    assert (why.member, why.matches) == (True, True)
    clv = customers.get(shop.store, name, shop.now).features["lifetime.clv"]
    assert str(int(clv)) in json.dumps(why.model_dump(mode="json"))


def test_a_profile_shows_scores_beside_features_and_none_of_purchases_that_never_were(shop: Service) -> None:
    buyer, other = (customers.get(shop.store, name, shop.now) for name in ("s001", "s000"))
    assert buyer.features.keys() >= SCORES - {"lifetime.nextOrderAt"}
    assert not buyer.attributes.keys() & SCORES
    assert other.features["rfm.segment"] == "prospects"
    assert not {name for name in other.features if name.startswith("lifetime.")}
    assert {item.segmentId for item in other.segments} >= {"rfm-prospects"}


def test_attributes_list_the_scores_with_what_the_run_measured(shop: Service) -> None:
    listed = {item.name: item for item in attributes.list_attributes(shop.store).items if item.source == "score"}
    assert listed.keys() == SCORES
    assert listed["rfm.segment"].kind == "string"
    assert listed["lifetime.clv"].coverage == pytest.approx(120 / 160)
    assert listed["churn.risk"].statistics


def test_an_export_carries_scores_as_columns(shop: Service) -> None:
    columns = ["customerId", "lifetime.clv", "rfm.segment", "country"]
    job = exports.create_export(
        shop.store, CreateExport(segmentId="valuable", columns=columns, format="jsonl"), shop.now
    )
    done = exports.write_export(shop.store, shop.event(keys.export_request(job.jobId)), shop.now)
    assert done["status"] == "succeeded"
    text = shop.store.files.get(keys.export_file(job.jobId, "valuable.jsonl")).decode()
    rows = [json.loads(line) for line in text.splitlines()]
    assert {row["customerId"] for row in rows} == members_of(shop, "valuable")
    assert all(row["lifetime.clv"] >= 100 and row["rfm.segment"] and row["country"] for row in rows)


def test_models_are_listed_by_kind(shop: Service) -> None:
    assert [model.modelId for model in modelling.list_models(shop.store, None, 10, None).items] == [
        "churn",
        "cluster",
        "lifetime",
        "rfm",
    ]
    assert [model.modelId for model in modelling.list_models(shop.store, "churn", 10, None).items] == ["churn"]


def test_publishing_the_published_version_again_is_a_conflict(shop: Service) -> None:
    with pytest.raises(Conflict, match="version 1 of the model 'rfm' is published already"):
        modelling.publish(shop.store, "rfm", PublishModel(), shop.now)


def test_a_name_for_a_group_that_there_is_not_is_refused_with_those_that_there_are(shop: Service) -> None:
    shoppers.create(shop, "unpublished", shoppers.CLUSTER)
    with pytest.raises(InvalidInput, match=r"no groups \['c9'\]; it has \['c1', 'c2', 'c3'\]"):
        modelling.publish(shop.store, "unpublished", PublishModel(names={"c9": "Nobody"}), shop.now)
    modelling.delete(shop.store, "unpublished", False, shop.now)


def test_the_rule_of_a_models_segment_is_the_models_and_its_name_the_shops(shop: Service) -> None:
    with pytest.raises(Conflict, match="group of the model 'rfm'"):
        authoring.update(shop.store, "rfm-champions", SegmentPatch(criteria=VALUABLE), None, shop.now)
    with pytest.raises(Conflict, match="delete the model"):
        segments.delete(shop.store, "rfm-champions", None, True, shop.now)
    before = segments.get(shop.store, "churn-b1", shop.now)
    patched = authoring.update(shop.store, "churn-b1", SegmentPatch(segmentName="Faithful"), None, shop.now)
    assert (patched.segmentName, patched.status, patched.criteria) == ("Faithful", "active", before.criteria)
    authoring.update(shop.store, "churn-b1", SegmentPatch(segmentName=before.segmentName), None, shop.now)


def test_the_next_order_is_due_after_today(shop: Service) -> None:
    batch = scores_of(shop, {"lifetime.nextOrderAt", "lifetime.pAlive"})
    due = [row["lifetime.nextOrderAt"] for row in batch.values() if row["lifetime.nextOrderAt"] != "NaT"]
    assert due
    assert all(datetime.fromisoformat(text).replace(tzinfo=UTC) >= shop.now.replace(hour=0) for text in due)
