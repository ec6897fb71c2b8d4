"""Every function with its own real event, and what all HTTP operations have in common: permissions, errors,
idempotency.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from segmentation import authoring, customers, runs, runtime
from segmentation.models.customers import PutCustomer
from segmentation.models.segments import CreateSegment
from segmentation.store import jobs
from support import functions
from support.service import Service, running, worker_items

RUN = "run-00000000000000000001"
HTTP = [name for name in functions.NAMES if hasattr(functions.load(name), "api")]
MODEL_JOB = "model-00000000000000000001"
ACCEPTED = (
    *("create_export", "create_import", "create_model", "delete_customer", "delete_model", "delete_segment"),
    *("publish_model", "start_run"),
)
WORKERS = [name for name in functions.NAMES if name not in HTTP]
OVERLAP = [
    {"groupId": "a", "name": "A", "cells": [{"recency": [1, 3], "frequency": [1, 2]}]},
    {"groupId": "b", "name": "B", "cells": [{"recency": [1, 3], "frequency": [2, 3]}]},
]
"""A grid of 3 x 3 whose middle row has two names."""


@contextmanager
def deployment() -> Iterator[Service]:
    """A service that the functions find as the deployed one, with some customers and the segment that the events
    name.
    """
    with running() as service, pytest.MonkeyPatch.context() as patch:
        for name in functions.NAMES:
            module = functions.load(name)
            if hasattr(module, "store"):
                patch.setattr(module, "store", lambda: service.store)
            if hasattr(module, "now"):
                patch.setattr(module, "now", lambda: service.now)
        patch.setattr(runtime, "store", lambda: service.store)
        for number in range(8):
            profile = PutCustomer(attributes={"country": "DE" if number < 3 else "US", "age": 18 + number})
            customers.put(service.store, f"c{number}", profile, service.now)
        rule = [{"attribute": "country", "operator": "eq", "value": "DE"}]
        authoring.create(
            service.store, CreateSegment(segmentName="Germans", segmentId="germans", criteria=rule), service.now
        )
        service.settle()
        jobs.create(service.store.table, RUN, "run", service.now)
        yield service


@pytest.fixture(scope="module")
def deployed() -> Iterator[Service]:
    """One deployment for tests that leave the segment and its customers as they are."""
    with deployment() as service:
        yield service


@pytest.fixture
def fresh() -> Iterator[Service]:
    """A deployment for one test that changes what others rely on."""
    with deployment() as service:
        yield service


def buy(service: Service) -> None:
    """An order of every customer, so that a model can be fitted."""
    rows = "".join(f"o{number},c{number},2026-02-{number + 1:02},1,{number + 5}\n" for number in range(8))
    service.drop("imports/orders/orders.csv", "orderId,customerId,orderedAt,quantity,unitPrice\n" + rows)
    service.settle()


def test_every_operation_serves_its_own_event(fresh: Service) -> None:
    buy(fresh)
    # Some ask about the day that has passed since.
    fresh.wait(24)
    for name in sorted(HTTP, key=lambda name: (name.startswith("delete"), name)):
        if name == "publish_model":
            fresh.settle()
        answer = functions.call(name)
        expected = {"create_segment": 201, **dict.fromkeys(ACCEPTED, 202)}.get(name, 200)
        assert (name, answer.status) == (name, expected), answer.body
        assert answer.headers["Content-Type"] == "application/json"


def test_every_operation_refuses_a_token_without_its_permission(fresh: Service) -> None:
    for name in (name for name in HTTP if name != "get_health"):
        needed = functions.load(name).api.permission
        for permission in runtime.PERMISSIONS:
            answer = functions.request(name, claims={"sub": "x", "scope": f"openid segmentation/{permission}"})
            assert (answer.status == 403) == (permission != needed), (name, permission, answer.body)
        for group, permissions in runtime.GROUPS.items():
            answer = functions.request(name, claims={"sub": "x", "cognito:groups": f"[other {group}]"})
            assert (answer.status == 403) == (needed not in permissions), (name, group, answer.body)
        assert functions.request(name, claims={}).status == 403


def test_an_import_goes_through_its_functions_step_by_step(fresh: Service) -> None:
    event = functions.event_of("plan_import")
    key = event["event"]["detail"]["object"]["key"]
    fresh.store.files.put(key, b"customerId,country,age\nn1,DE,44\nn2,US,45\n,DE,46\n")
    planned = functions.load("plan_import").handler(event, functions.Context())
    assert planned["skip"] is False
    for item in planned["chunks"]:
        assert functions.load("import_chunk").handler(item, functions.Context()) == {
            "rows": 3,
            "accepted": 2,
            "rejected": 1,
        }
    for item in planned["partitions"]:
        functions.load("evaluate_partition").handler(item, functions.Context())
    state = {**event["event"], "plan": planned, "chunks": {"failures": []}, "partitions": {"failures": []}}
    assert functions.load("finish_import").handler(state, functions.Context())["status"] == "succeeded"
    found = functions.request("get_job", jobId=planned["jobId"])
    assert found.body["counts"]["accepted"] == 2
    assert "rejects" in found.body["links"]


def test_a_model_goes_through_its_functions_step_by_step(fresh: Service) -> None:
    buy(fresh)
    assert functions.call("create_model").status == 202
    fresh.settle()
    runs.begin(fresh.store, fresh.now, kind="model", job_id=MODEL_JOB, fits={"rfm": 2})
    asked = {"request": {"jobId": MODEL_JOB, "kind": "model"}, "execution": MODEL_JOB}
    planned = functions.load("plan_run").handler(asked, functions.Context())
    assert (planned["fits"], planned["evaluates"]) == (True, False)
    measured = [
        functions.load("measure_partition").handler(item, functions.Context()) for item in worker_items(planned)
    ]
    assert sum(found["customers"] for found in measured) == 8
    functions.load("measure_partition").handler(functions.event_of("measure_partition"), functions.Context())
    fitted = functions.load("fit_models").handler(functions.event_of("fit_models"), functions.Context())
    assert fitted == {"jobId": MODEL_JOB, "models": 1, "again": False}
    assert [version["status"] for version in functions.call("get_model").body["versions"]] == [
        "fitted",
        "fitted",
    ]


def test_a_run_is_started_joined_refused_and_read(fresh: Service) -> None:
    fresh.wait(1)
    first = functions.request("start_run", body={})
    assert (first.status, first.body["joined"]) == (202, False)
    job_id = first.body["jobId"]
    again = functions.request("start_run", body={"segmentIds": ["germans"]})
    assert (again.status, again.body["jobId"], again.body["joined"]) == (202, job_id, True)
    other = functions.request("start_run", body={"dryRun": True})
    assert (other.status, job_id in other.body["detail"]) == (409, True)
    assert functions.request("start_run", body={"resumeRunId": job_id, "dryRun": True}).status == 422
    assert functions.request("start_run", body={"resumeRunId": "run-nobody"}).status == 404
    fresh.settle()
    assert functions.request("start_run", body={"resumeRunId": job_id}).status == 409
    assert functions.request("get_run", jobId=job_id).body["status"] == "succeeded"
    assert functions.request("get_run", jobId="run-nobody").status == 404
    listed = functions.request("list_runs", query={"limit": "1"}).body
    assert [run["jobId"] for run in listed["items"]] == [job_id]


def test_a_run_goes_through_its_functions_step_by_step(deployed: Service) -> None:
    planned = functions.load("plan_run").handler(functions.event_of("plan_run"), functions.Context())
    for item in worker_items(planned):
        functions.load("evaluate_partition").handler(item, functions.Context())
    functions.load("evaluate_partition").handler(functions.event_of("evaluate_partition"), functions.Context())
    ended = functions.load("finish_run").handler(functions.event_of("finish_run"), functions.Context())
    assert ended == {"jobId": RUN, "status": "succeeded"}


def test_an_export_request_that_somebody_dropped_is_written(deployed: Service) -> None:
    event = functions.event_of("write_export")
    body = {"segmentId": "germans", "columns": ["customerId", "country"], "format": "csv"}
    deployed.store.files.put(event["detail"]["object"]["key"], json.dumps(body).encode())
    result = functions.load("write_export").handler(event, functions.Context())
    assert (result["status"], result["rows"]) == ("succeeded", 3)


def test_stream_records_become_history_and_counters(deployed: Service) -> None:
    result = functions.load("record_changes").handler(functions.event_of("record_changes"), functions.Context())
    assert result == {"changes": 2}
    history = list(deployed.store.table.query("CUSTOMER#c0", "HISTORY#"))
    assert [item["change"] for item in history if item["jobId"] == RUN] == ["entered", "exited"]


def test_every_worker_has_been_called_by_a_test_above() -> None:
    assert WORKERS == [
        "evaluate_partition",
        "finish_import",
        "finish_run",
        "fit_models",
        "import_chunk",
        "measure_partition",
        "plan_import",
        "plan_run",
        "record_changes",
        "write_export",
    ]


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        ("{", 400, "not JSON"),
        ('{"segmentName": NaN}', 400, "NaN"),
        ("[]", 422, "body"),
        ("", 422, "required"),
        ('{"segmentName": "x", "criteria": [], "colour": 1}', 422, "colour"),
        ('{"segmentName": 5, "criteria": []}', 422, "segmentName"),
        ('{"segmentName": "x", "criteria": [{"attribute": "nope", "operator": "eq", "value": 1}]}', 422, "nope"),
        ('{"segmentName": "x", "criteria": []}', 422, "criteria"),
        ('{"segmentName": "x", "segmentId": "a b", "criteria": []}', 422, "a b"),
        ('{"segmentName": "x", "criteria": ' + '{"not":' * 30 + "{}" + "}" * 30 + "}", 422, "deeper"),
        ('{"segmentName": "x", "criteria": ' + "[" * 20000 + "]" * 20000 + "}", 400, "deep"),
    ],
)
def test_a_bad_body_is_a_problem_document_that_says_what_was_wrong(
    deployed: Service, raw: str, status: int, words: str
) -> None:
    answer = functions.request("create_segment", raw=raw)
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["status"] == status
    assert words in json.dumps(answer.body)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "kind", "required"),
        ({"kind": "tree"}, "kind", "'rfm', 'cluster', 'lifetime', 'churn', not"),
        ({"kind": "cluster"}, "features", "required"),
        ({"kind": "cluster", "features": []}, "features", "at least 1"),
        ({"kind": "cluster", "features": ["nope"]}, "features", "'nope'"),
        ({"kind": "cluster", "features": ["age", 5]}, "features.1", "not 5"),
        ({"kind": "cluster", "features": [{"attribute": "age", "log": True}]}, "features.0.log", "not permitted"),
        ({"kind": "cluster", "features": [{"attribute": "age", "encoding": {}}]}, "features.0.encoding", "oneHot or"),
        ({"kind": "cluster", "features": ["age"], "parameters": {"k": 0}}, "parameters.k", "not 0"),
        ({"kind": "cluster", "features": ["age"], "parameters": {"kRange": [9, 2]}}, "parameters.kRange", "above 9"),
        ({"kind": "lifetime", "features": ["age"]}, "features", "at most 0"),
        ({"kind": "churn", "features": ["age"]}, "parameters", "required"),
        ({"kind": "churn", "features": ["age"], "parameters": {"label": "gone"}}, "parameters.label", "'gone'"),
        ({"kind": "rfm", "parameters": {"bins": 3, "grid": OVERLAP}}, "parameters.grid", "'A' and 'B'"),
        ({"kind": "rfm", "parameters": {"binning": "thresholds"}}, "parameters.thresholds", "together"),
    ],
)
def test_a_model_that_cannot_be_is_refused_by_the_field_that_the_client_sent(
    deployed: Service, body: dict[str, object], field: str, words: str
) -> None:
    answer = functions.request("create_model", body={"modelName": "x", **body})
    assert answer.status == 422, answer.body
    assert field in [error["field"] for error in answer.body["errors"]], answer.body
    assert words in json.dumps(answer.body)


def test_a_cursor_that_was_tampered_with_is_refused(deployed: Service) -> None:
    first = functions.request("list_members", query={"limit": "1"})
    token = first.body["nextToken"]
    assert functions.request("list_members", query={"limit": "1", "nextToken": token}).status == 200
    changed = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    for bad in (changed, "x", "%%%", token * 3):
        answer = functions.request("list_members", query={"limit": "1", "nextToken": bad})
        assert answer.status == 422, bad
        assert answer.body["errors"][0]["field"] == "nextToken"


def test_an_unknown_metric_is_refused_with_the_known_ones(deployed: Service) -> None:
    answer = functions.request("analyze_segment", query={"metrics": "size,magic"})
    assert answer.status == 422
    assert "magic" in answer.body["detail"]
    assert "revenueShare" in answer.body["detail"]


def test_a_stale_if_match_is_412_and_nonsense_is_422(deployed: Service) -> None:
    assert functions.request("update_segment", headers={"if-match": '"7"'}).status == 412
    assert functions.request("update_segment", headers={"if-match": "newest"}).status == 422


def test_a_repeated_post_with_the_same_idempotency_key_is_answered_from_memory(deployed: Service) -> None:
    body = {"segmentName": "x", "criteria": [{"attribute": "age", "operator": "gt", "value": "20"}]}
    first = functions.request("create_segment", body=body, headers={"idempotency-key": "k1"})
    again = functions.request("create_segment", body=body, headers={"idempotency-key": "k1"})
    assert first.status == again.status == 201
    assert first.body == again.body
    assert again.headers["Idempotent-Replay"] == "true"
    other = functions.request("create_segment", body={**body, "segmentName": "y"}, headers={"idempotency-key": "k1"})
    assert other.status == 409


def test_an_export_asked_for_twice_with_one_key_is_one_job(deployed: Service) -> None:
    asked = [functions.request("create_export", headers={"idempotency-key": "k3"}) for _ in range(2)]
    assert [answer.status for answer in asked] == [202, 202]
    assert asked[0].body["jobId"] == asked[1].body["jobId"]


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "ä"])
def test_a_key_that_cannot_be_is_refused(deployed: Service, key: str) -> None:
    answer = functions.request("create_segment", headers={"idempotency-key": key})
    assert answer.status == 422
    assert answer.body["errors"][0]["field"] == "Idempotency-Key"


def test_a_post_that_failed_may_be_repeated_with_its_key(deployed: Service) -> None:
    bad = functions.request("create_segment", body={"segmentName": ""}, headers={"idempotency-key": "k2"})
    assert bad.status == 422
    body = {"segmentName": "x", "criteria": [{"attribute": "age", "operator": "gt", "value": "20"}]}
    assert functions.request("create_segment", body=body, headers={"idempotency-key": "k2"}).status == 201


@pytest.mark.parametrize("customer_id", ["a#b", "a/b", "🛒 cart", "per%cent", "ä" * 100, "..", "x y"])
def test_a_customer_id_with_signs_works_in_paths_and_bodies(deployed: Service, customer_id: str) -> None:
    written = functions.request("put_customer", body={"attributes": {"country": "DE"}}, customerId=customer_id)
    assert written.status == 200, written.body
    assert written.body["customerId"] == customer_id
    assert [
        s["segmentId"] for s in functions.request("list_customer_segments", customerId=customer_id).body["items"]
    ] == ["germans"]
    assert functions.request("explain_member", customerId=customer_id).body["member"] is True
    taken = functions.request("unassign_customers", body={"customerIds": [customer_id]})
    assert taken.body == {"successCount": 1, "failedCount": 0, "errors": []}


@pytest.mark.parametrize("customer_id", ["x" * 2048, "a\tb", " ", "\u0000"])
def test_a_customer_id_that_cannot_be_is_refused(deployed: Service, customer_id: str) -> None:
    assert functions.request("get_customer", customerId=customer_id).status == 422


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"age": "old"}, "age"),
        ({"orderCount": 3}, "computed"),
        ({"a b": 1}, "a_b"),
        ({"x": {"deep": 1}}, "no attribute value"),
        ({"x": [1, 2]}, "list"),
        ({"x": "y" * 5000}, "4096"),
        ({"home": {"latitude": 100, "longitude": 0}}, "place"),
    ],
)
def test_an_attribute_that_cannot_be_stored_is_refused_by_name(
    deployed: Service, attributes: dict[str, object], words: str
) -> None:
    answer = functions.request("put_customer", body={"attributes": attributes})
    assert answer.status == 422
    assert words in json.dumps(answer.body)
