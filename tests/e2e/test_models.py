"""Models on the deployed template: fitted as a job, published, ruled on, fitted again, deleted; each function with its
own permissions.
"""

from typing import Any

import pytest
from e2e.deployed import Deployed

from dev.main_job_models import MODELS

MODEL = {
    "modelId": "e2e",
    "modelName": "End to end",
    "kind": "cluster",
    "features": ["orderCount", {"attribute": "averageOrderValue", "log1p": True}, "priceSensitivity"],
    "parameters": {"k": 3, "bootstraps": 2, "restarts": 2},
    "population": {"segmentId": "e2e-buyers"},
}
BUYERS = {
    "segmentName": "Buyers",
    "segmentId": "e2e-buyers",
    "criteria": [{"attribute": "orderCount", "operator": "gte", "value": 1}],
}
RULE = [
    {"attribute": "cluster.e2e", "operator": "in", "value": ["c1", "c2"]},
    {"attribute": "rfm.recency", "operator": "gte", "value": 3},
]


@pytest.fixture(scope="module")
def fitted(stack: Deployed, printed: str) -> Any:
    """A cluster model of the shop's buyers, not published yet, asked for by somebody who may only read."""
    stack.created(BUYERS)
    made = stack.call("POST", "/models", MODEL, 202, token=stack.token("analyst"))
    assert made["status"] == "fitting"
    job = stack.succeeded(made["jobId"])
    assert job["details"]["models"]["e2e"]["status"] == "fitted", job
    return stack.get("/models/e2e")


def test_the_main_jobs_models_are_published_and_told(stack: Deployed, printed: str) -> None:
    found = {model["modelId"]: model for model in stack.everything("/models")}
    for wanted in MODELS:
        model = found[wanted["modelId"]]
        assert (model["status"], model["publishedVersion"]) == ("fitted", 1), model
        assert f"\n{model['modelName']}: " in printed
    groups = stack.get("/models/rfm")["groups"]
    assert all(f"{group['name']:<17} {group['size']:>6,}" in printed for group in groups)


def test_the_groups_of_a_published_model_part_the_customers_among_them(stack: Deployed, printed: str) -> None:
    for model_id in ("rfm", "shoppers", "value", "churn"):
        groups = stack.get(f"/models/{model_id}")["groups"]
        members = [stack.members(group["segmentId"]) for group in groups]
        assert sum(map(len, members)) == len(set().union(*members)) > 0, model_id
        segment = stack.get(f"/segments/{groups[0]['segmentId']}")
        assert (segment["status"], segment["model"]["modelId"]) == ("active", model_id)


def test_a_model_tells_what_it_found_and_changes_nothing_before_it_is_published(stack: Deployed, fitted: Any) -> None:
    report = fitted["report"]
    assert (report["k"], report["customers"]) == (3, len(stack.members("e2e-buyers")))
    assert sum(group["size"] for group in fitted["groups"]) == report["customers"]
    assert len({group["name"] for group in fitted["groups"]}) == 3
    assert [verdict["question"] for verdict in report["verdicts"]] == ["coherent", "distinct", "largeEnough", "stable"]
    refused = stack.send("POST", "/segments/preview", {"criteria": RULE})
    assert (refused.status, "cluster.e2e" in refused.body["detail"]) == (422, True)
    assert stack.send("GET", "/segments/e2e-c1").status == 404


def test_what_cannot_be_fitted_is_refused_by_field(stack: Deployed, fitted: Any) -> None:
    for change, status, field in (
        ({"parameters": {"k": 0}}, 422, "parameters.k"),
        ({"features": ["orderCount", "location"]}, 422, "features"),
        ({"features": ["nonsense"]}, 422, "features"),
        ({"population": {"segmentId": "nobody"}}, 404, None),
        ({}, 409, None),
    ):
        refused = stack.send("POST", "/models", {**MODEL, **change})
        assert refused.status == status, (change, refused.body)
        assert field in [None, *(error["field"] for error in refused.body["errors"])]


def test_a_published_model_scores_everybody_and_rules_use_the_scores(stack: Deployed, fitted: Any) -> None:
    assert stack.send("POST", "/models/e2e/publish", {}, token=stack.token("analyst")).status == 403
    asked = {"names": {"c1": "The most of them"}}
    published = stack.call("POST", "/models/e2e/publish", asked, 202)
    assert published["segments"] == ["e2e-c1", "e2e-c2", "e2e-c3"]
    stack.succeeded(published["jobId"])
    assert stack.send("POST", "/models/e2e/publish", {}).status == 409
    members = {name: stack.members(name) for name in published["segments"]}
    assert set().union(*members.values()) >= stack.members("e2e-buyers")
    assert stack.get("/segments/e2e-c1")["segmentName"] == "The most of them"
    who = min(members["e2e-c2"])
    assert stack.get(f"/customers/{who}")["features"]["cluster.e2e"] == "c2"
    assert "e2e-c2" in {each["segmentId"] for each in stack.get(f"/customers/{who}/segments")["items"]}
    scores = {each["name"]: each for each in stack.get("/attributes")["items"] if each["source"] == "score"}
    assert scores["cluster.e2e"]["coverage"] > 0
    (made,) = stack.created({"segmentName": "Recent ones", "segmentId": "e2e-recent", "criteria": RULE})
    found = stack.members("e2e-recent")
    assert len(found) == made["customerCount"] > 0
    assert found <= members["e2e-c1"] | members["e2e-c2"]
    explained = stack.get(f"/segments/e2e-recent/members/{min(found)}/explanation")["explanation"]
    assert all(child["matched"] for child in explained["children"])


def test_a_model_that_is_fitted_again_takes_over_with_the_same_groups(stack: Deployed, fitted: Any) -> None:
    before = {group["groupId"] for group in fitted["groups"]}
    asked = {"segmentIds": ["e2e-buyers"], "refitModels": ["e2e"]}
    run = stack.succeeded(stack.call("POST", "/runs", asked, 202)["jobId"])
    assert run["details"]["models"]["e2e"] == {"version": 2, "status": "fitted", "reason": None}
    model = stack.get("/models/e2e")
    assert (model["version"], model["publishedVersion"], len(model["versions"])) == (2, 2, 2)
    assert {group["groupId"] for group in model["groups"]} == before
    assert stack.get("/segments/e2e-c1")["status"] == "active"


def test_a_deleted_model_takes_scores_and_segments_along_and_pauses_rules(stack: Deployed, fitted: Any) -> None:
    refused = stack.send("DELETE", "/models/e2e")
    assert (refused.status, "e2e-recent" in refused.body["detail"]) == (409, True)
    deleted = stack.call("DELETE", "/models/e2e", status=202, force="true")
    assert sorted(deleted["segments"]) == ["e2e-c1", "e2e-c2", "e2e-c3"]
    assert stack.send("GET", "/models/e2e").status == 404
    stack.succeeded(deleted["jobId"])
    assert stack.send("GET", "/segments/e2e-c1").status == 404
    paused = stack.get("/segments/e2e-recent")
    assert (paused["status"], "'e2e'" in paused["statusReason"]) == ("paused", True)
    assert "cluster.e2e" not in {each["name"] for each in stack.get("/attributes")["items"]}
    left = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix="models/e2e/")
    assert left["KeyCount"] == 0
