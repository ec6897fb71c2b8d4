"""Where the emulator differs from AWS: it creates no routes, reads no state machine in YAML, has no TLS, and unpacks
all layers anew for every process. This knows nothing of our functions but what the template says."""

import hashlib
import json
import re
import shutil
from pathlib import Path
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
    create_routes(local.client("apigatewayv2"), outputs, body["paths"], resources)
    _rewrite_definitions(local.client("stepfunctions"), outputs)
    local.client("s3").delete_bucket_policy(Bucket=outputs["BucketName"])


def link_layer(built: Path, home: Path) -> None:
    """Move what `sam build` put into a layer to a place of its own below `home`, and leave a link in the layer.

    Every process of a function has its own copy of the layers in the emulator: 170 MB to unpack at each cold start.
    With the link all of them use one copy. Python reads the link because a layer may be a site directory.
    """
    content = built / "python"
    digest = hashlib.sha256("\n".join(sorted(str(file.relative_to(content)) for file in content.rglob("*"))).encode())
    place = home / f"{built.name}-{digest.hexdigest()[:12]}"
    if not place.exists():
        home.mkdir(exist_ok=True)
        shutil.move(content, place)
    shutil.rmtree(content, ignore_errors=True)
    site = content / "lib" / "python3.13" / "site-packages"
    site.mkdir(parents=True)
    # First on the path, as the layer itself would be: the environment of the emulator has some of the same packages.
    (site / "layer.pth").write_text(f"import sys; sys.path.insert(0, {str(place)!r})\n")


def create_routes(
    client: Any, outputs: dict[str, str], paths: dict[str, dict[str, Any]], resources: dict[str, str]
) -> None:
    """Replace the API's routes by those of `paths`, an OpenAPI document's; `resources` maps logical ids to names."""
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
