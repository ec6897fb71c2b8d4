"""Where the emulator differs from AWS: it creates no routes, reads no state machine in YAML, and has no TLS.
This runs after every deployment and knows nothing of our functions but what the template says."""

import json
import re
from typing import Any

import yaml

from dev.local import REGION, STACK_NAME, Local

ACCOUNT = "000000000000"
_FUNCTION = re.compile(r"\$\{(\w+)\.Arn\}")


def close(local: Local, outputs: dict[str, str]) -> None:
    """Create authorizer, integrations and routes anew, give every state machine its definition as JSON, and lift the
    bucket's demand for TLS, which nothing on loopback could meet."""
    resources = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in local.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    }
    template = local.client("cloudformation").get_template(StackName=STACK_NAME, TemplateStage="Processed")
    body = template["TemplateBody"]["Resources"]["Api"]["Properties"]["Body"]
    _create_routes(local.client("apigatewayv2"), outputs, body["paths"], resources)
    _rewrite_definitions(local.client("stepfunctions"), outputs)
    local.client("s3").delete_bucket_policy(Bucket=outputs["BucketName"])


def _create_routes(
    client: Any, outputs: dict[str, str], paths: dict[str, dict[str, Any]], resources: dict[str, str]
) -> None:
    api = outputs["ApiId"]
    for route in client.get_routes(ApiId=api)["Items"]:
        client.delete_route(ApiId=api, RouteId=route["RouteId"])
    for integration in client.get_integrations(ApiId=api)["Items"]:
        client.delete_integration(ApiId=api, IntegrationId=integration["IntegrationId"])
    for authorizer in client.get_authorizers(ApiId=api)["Items"]:
        client.delete_authorizer(ApiId=api, AuthorizerId=authorizer["AuthorizerId"])
    jwt = client.create_authorizer(
        ApiId=api,
        Name="Jwt",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": outputs["Issuer"], "Audience": [outputs["ClientId"], outputs["MachineClientId"]]},
    )["AuthorizerId"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            logical_id = _FUNCTION.findall(uri)[0]
            integration = client.create_integration(
                ApiId=api,
                IntegrationType="AWS_PROXY",
                IntegrationUri=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{resources[logical_id]}",
                PayloadFormatVersion="2.0",
            )["IntegrationId"]
            protected = {"Jwt": []} in operation.get("security", [])
            authorization = {"AuthorizationType": "JWT", "AuthorizerId": jwt} if protected else {}
            client.create_route(
                ApiId=api,
                RouteKey=f"{method.upper()} {path}",
                Target=f"integrations/{integration}",
                **authorization,
            )


def _rewrite_definitions(client: Any, outputs: dict[str, str]) -> None:
    for output in ("ImportStateMachineArn", "ResegmentStateMachineArn"):
        arn = outputs[output]
        # What was deployed has its substitutions already, so a number that came from a parameter is a number here.
        definition = yaml.safe_load(client.describe_state_machine(stateMachineArn=arn)["definition"])
        client.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
