"""docs/openapi.json is what the code says, and says all that a client has to know."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dev import openapi
from segmentation import runtime
from support import functions
from support.service import template

CONTENT = openapi.document()
OPERATIONS = [
    (path, method, operation) for path, methods in CONTENT["paths"].items() for method, operation in methods.items()
]
BY_NAME = {operation["operationId"]: (path, method, operation) for path, method, operation in OPERATIONS}
HTTP = [name for name in functions.NAMES if hasattr(functions.load(name), "api")]


def test_the_kept_document_is_what_the_code_says() -> None:
    kept = openapi.DOCUMENT.read_text(encoding="utf-8")
    assert kept == openapi.rendered(CONTENT), "docs/openapi.json is out of date: run `make openapi`"


def test_every_function_with_a_route_is_an_operation_and_no_other() -> None:
    assert sorted(BY_NAME) == HTTP


def test_every_operation_is_reached_by_routes_of_its_own_whatever_the_id_of_the_customer() -> None:
    deployed: dict[str, list[tuple[str, str]]] = {}
    for resource in template()["Resources"].values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "HttpApi":
                pattern = re.sub(r"\{\w+\}", "[^/]+", re.sub(r"\{\w+\+\}", ".+", event["Properties"]["Path"]))
                name = resource["Properties"]["CodeUri"].rpartition("/")[2]
                deployed.setdefault(name, []).append((event["Properties"]["Method"].lower(), pattern))
    assert deployed.keys() == BY_NAME.keys()
    for name, (path, method, _) in BY_NAME.items():
        assert {deployed_method for deployed_method, _ in deployed[name]} == {method}, name
        for customer in ("c1", "a/b", "a/b/c/d/e"):
            sent = re.sub(r"\{\w+\}", "x", path.replace("{customerId}", customer))
            assert any(re.fullmatch(pattern, sent) for _, pattern in deployed[name]), sent


@pytest.mark.parametrize("name", HTTP)
def test_an_operation_shows_the_permission_that_its_function_checks(name: str) -> None:
    _, _, operation = BY_NAME[name]
    permission = functions.load(name).api.permission
    assert operation.get("x-permission") == permission
    assert operation["security"] == ([{"token": [permission]}] if permission else [])
    assert permission is None or f"`{permission}`" in operation["description"]
    assert permission is None or permission in runtime.PERMISSIONS


@pytest.mark.parametrize("name", HTTP)
def test_an_operation_has_a_summary_of_one_sentence_and_a_result(name: str) -> None:
    _, _, operation = BY_NAME[name]
    assert re.fullmatch(r"[A-Z][^\n]+\.", operation["summary"])
    succeeded = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    assert len(succeeded) == 1
    assert succeeded[0]["content"]["application/json"]["schema"]["$ref"].startswith("#/components/schemas/")


@pytest.mark.parametrize("name", HTTP)
def test_an_operation_declares_every_parameter_of_its_path(name: str) -> None:
    path, _, operation = BY_NAME[name]
    declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path" and p["required"]}
    assert declared == set(re.findall(r"\{(\w+)\}", path))


def test_only_health_is_open_and_it_promises_no_errors() -> None:
    assert [name for name, (_, _, operation) in BY_NAME.items() if not operation["security"]] == ["get_health"]
    assert list(BY_NAME["get_health"][2]["responses"]) == ["200"]


def test_statuses_follow_from_what_an_operation_takes() -> None:
    for name, (path, method, operation) in BY_NAME.items():
        if name == "get_health":
            continue
        responses = set(operation["responses"])
        headers = {p["name"] for p in operation.get("parameters", []) if p["in"] == "header"}
        assert {"401", "403", "422", "429"} <= responses, name
        assert ("400" in responses) == ("requestBody" in operation), name
        assert ("412" in responses) == ("If-Match" in headers), name
        assert ("Idempotency-Key" in headers) == (method == "post" and name != "preview_segment"), name
        assert "404" in responses or ("{" not in path and "requestBody" not in operation), name


def test_every_list_takes_a_limit_and_a_token_and_returns_the_next() -> None:
    lists = [name for name in HTTP if name.startswith("list_") and name != "list_attributes"]
    assert len(lists) >= 4
    for name in lists:
        _, _, operation = BY_NAME[name]
        assert {"limit", "nextToken"} <= {p["name"] for p in operation["parameters"]}, name
        reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        schema = CONTENT["components"]["schemas"][reference.rsplit("/", 1)[1]]
        assert {"items", "nextToken"} <= set(schema["properties"]), name


def test_every_reference_leads_somewhere_and_every_schema_is_valid_and_used() -> None:
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(CONTENT)))
    assert references == set(CONTENT["components"]["schemas"])
    for schema in CONTENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_two_models_of_one_name_are_refused_and_one_model_twice_is_not() -> None:
    schemas: dict[str, Any] = {}
    openapi.add_schema(schemas, "Segment", {"type": "object"})
    openapi.add_schema(schemas, "Segment", {"type": "object"})
    with pytest.raises(openapi.SchemaClash, match="Segment"):
        openapi.add_schema(schemas, "Segment", {"type": "string"})


def test_a_problem_document_of_the_code_matches_its_schema() -> None:
    problem = functions.request("create_segment", claims={}).body
    assert problem["status"] == 403
    Draft202012Validator(CONTENT["components"]["schemas"]["Problem"]).validate(problem)
