"""Who may do what: tokens, groups, and the functions' own permissions, which the emulator enforces."""

import json
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError
from e2e.deployed import Deployed

from dev.local import REGION


def test_health_needs_no_token(stack: Deployed) -> None:
    assert stack.call("GET", "/health", token=None) == {"status": "ok"}


@pytest.mark.parametrize("token", [None, "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."])
def test_without_a_valid_token_nothing_is_answered(stack: Deployed, token: str | None) -> None:
    for method, path in (("GET", "/segments"), ("PUT", "/customers/c1"), ("POST", "/runs")):
        assert stack.send(method, path, token=token).status == 401, (method, path)


def test_a_token_whose_signature_was_changed_is_refused(stack: Deployed) -> None:
    head, claims, signature = stack.token("analyst").split(".")
    forged = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
    assert stack.send("GET", "/segments", token=f"{head}.{claims}.{forged}").status == 401


def test_a_storefront_reads_a_shopper_and_nothing_else(stack: Deployed) -> None:
    token = stack.token("storefront")
    assert stack.call("GET", "/customers/nobody/segments", token=token)["items"] == []
    for method, path, body in (
        ("GET", "/segments", None),
        ("GET", "/customers/nobody", None),
        ("POST", "/segments", {"segmentName": "x", "criteria": []}),
        ("DELETE", "/customers/nobody", None),
    ):
        answer = stack.send(method, path, body, token=token)
        assert (answer.status, answer.body["title"]) == (403, "Forbidden"), (method, path)


def test_an_analyst_reads_and_does_not_write(stack: Deployed) -> None:
    token = stack.token("analyst")
    assert stack.send("GET", "/segments", token=token).status == 200
    answer = stack.send("PUT", "/customers/c1", {"attributes": {}}, token=token)
    assert answer.status == 403
    assert "segments.write" in answer.body["detail"]


def test_a_marketer_writes_and_does_not_erase(stack: Deployed) -> None:
    token = stack.token("marketer")
    assert stack.send("PUT", "/customers/marketed", {"attributes": {}}, token=token).status == 200
    assert stack.send("DELETE", "/customers/marketed", token=token).status == 403


def test_what_does_not_exist_is_not_found(stack: Deployed) -> None:
    for method, path in (
        ("GET", "/segments/none"),
        ("GET", "/segments/none/members"),
        ("GET", "/segments/none/analysis"),
        ("GET", "/jobs/none"),
        ("GET", f"/customers/{quote('not there', safe='')}"),
        ("DELETE", "/segments/none"),
    ):
        answer = stack.send(method, path)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json"), (method, path)
        assert "none" in answer.body["detail"] or "not there" in answer.body["detail"], answer.body


def test_input_that_cannot_be_accepted_is_refused_by_field(stack: Deployed) -> None:
    answer = stack.send("POST", "/segments", {"segmentName": "x", "criteria": [], "colour": "red"})
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["field"] for error in answer.body["errors"]] == ["colour"]
    assert stack.send("POST", "/segments", b"{").status == 400
    assert stack.send("GET", "/segments", limit=0).status == 422
    assert stack.send("GET", "/segments", nextToken="made-up").status == 422


def test_a_stale_version_is_refused_and_changes_nothing(stack: Deployed) -> None:
    manual = {"segmentName": "Versions", "segmentId": "versions", "kind": "manual"}
    made = stack.call("POST", "/segments", manual, 201)
    path, newest = "/segments/versions", {"If-Match": f'"{made["version"]}"'}
    changed = stack.call("PATCH", path, {"description": "first"}, headers=newest)
    assert changed["version"] == made["version"] + 1
    answer = stack.send("PATCH", path, {"description": "second"}, headers=newest)
    assert (answer.status, answer.body["title"]) == (412, "Stale version")
    assert stack.get(path)["description"] == "first"
    assert stack.get(path, version=made["version"])["description"] is None


def test_a_repeated_post_with_its_key_is_answered_once(stack: Deployed) -> None:
    body = {"segmentName": "Once", "kind": "manual"}
    first = stack.send("POST", "/segments", body, headers={"Idempotency-Key": "e2e-once"})
    again = stack.send("POST", "/segments", body, headers={"Idempotency-Key": "e2e-once"})
    assert (first.status, again.status) == (201, 201)
    assert first.body["segmentId"] == again.body["segmentId"]
    assert again.headers["idempotent-replay"] == "true"


def test_a_key_that_cannot_be_is_refused_where_it_counts_and_ignored_elsewhere(stack: Deployed) -> None:
    headers = {"Idempotency-Key": "two words"}
    refused = stack.send("POST", "/segments", {"segmentName": "Never", "kind": "manual"}, headers=headers)
    assert (refused.status, [error["field"] for error in refused.body["errors"]]) == (422, ["Idempotency-Key"])
    rule = [{"attribute": "orderCount", "operator": "gte", "value": 1}]
    assert stack.send("POST", "/segments/preview", {"criteria": rule}, headers=headers).status == 200


def test_a_function_can_do_what_its_policies_say_and_no_more(stack: Deployed) -> None:
    """The role of GetSegment may read the table: it can neither write it nor read the bucket."""
    role = _role_of(stack, "GetSegment")
    credentials = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
    dynamodb, s3 = (_client(stack, name, credentials) for name in ("dynamodb", "s3"))
    table, key = stack.description["table"], {"PK": {"S": "SEGMENT#versions"}, "SK": {"S": "META"}}
    assert dynamodb.get_item(TableName=table, Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.put_item(TableName=table, Item=key)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=stack.bucket)


def test_a_function_without_its_policy_fails(stack: Deployed) -> None:
    """Taking a policy away breaks the function that needs it: the policies are enforced, not decoration."""
    iam, role = stack.client("iam"), _role_of(stack, "ListAttributes").rsplit("/", 1)[1]
    assert stack.send("GET", "/attributes").status == 200
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    taken = [(name, iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]) for name in names]
    assert taken
    try:
        for name, _ in taken:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        answer = stack.send("GET", "/attributes")
        assert (answer.status, answer.body["title"]) == (500, "Internal error")
    finally:
        for name, document in taken:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    assert stack.send("GET", "/attributes").status == 200


def _role_of(stack: Deployed, logical_id: str) -> str:
    resources = stack.client("cloudformation").describe_stack_resources(StackName="segmentation")["StackResources"]
    name = next(r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"] == logical_id)
    role: str = stack.client("lambda").get_function_configuration(FunctionName=name)["Role"]
    return role


def _client(stack: Deployed, service: str, credentials: dict[str, str]) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=stack.local.endpoint,
        region_name=REGION,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
