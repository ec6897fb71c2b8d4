"""Build the template and deploy it to the emulator if something changed, with the SAM client as anybody would."""

import hashlib
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dev import gaps
from dev.local import REGION, REPOSITORY, ROOT_KEYS, STACK_NAME, Local, LocalStackError

ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
# Two cores serve everything: few partitions, and as many workers at a time as there are cores.
PARAMETERS = {
    "Architecture": ARCHITECTURE,
    "Partitions": os.environ.get("PARTITIONS") or "4",
    "MapConcurrency": "2",
    "ScheduleState": "DISABLED",
}
# Not where `sam build` puts its own: what is built here links its layers and must never be deployed to AWS.
BUILD = REPOSITORY / ".aws-sam" / "local"
SOURCES = ("template.yaml", "functions", "layers", "statemachines")
USERNAME = "admin"


def fingerprint() -> str:
    """A hash over the name and content of every source file that reaches the deployment, and over its parameters."""
    digest = hashlib.sha256(json.dumps(PARAMETERS, sort_keys=True).encode())
    for name in SOURCES:
        root = REPOSITORY / name
        for file in [root] if root.is_file() else sorted(root.rglob("*")):
            inside = file.relative_to(REPOSITORY)
            if file.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside.parts):
                digest.update(f"{inside}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def build(version: str) -> None:
    """Run `sam build`, unless what is built is this version already."""
    stamp = BUILD.parent / "built"
    if stamp.exists() and stamp.read_text() == version:
        return
    stamp.unlink(missing_ok=True)
    _sam(
        *("build", "--cached", "--parallel", "--build-dir", str(BUILD)),
        *("--parameter-overrides", f"Architecture={ARCHITECTURE}"),
    )
    for layer in ("LibrariesLayer", "DataLayer"):
        gaps.link_layer(BUILD / layer, BUILD.parent / "layers")
    stamp.write_text(version)


def deploy(local: Local, version: str) -> None:
    """Deploy this version, close the emulator's gaps, and write `stack.json`; nothing if it is deployed already."""
    stamp = local.directory / "deployed"
    if stamp.exists() and stamp.read_text() == version and _exists(local):
        return
    stamp.unlink(missing_ok=True)
    local.client("s3").create_bucket(Bucket=f"{STACK_NAME}-artifacts")
    _sam(
        *("deploy", "--config-file", str(REPOSITORY / "samconfig.toml"), "--config-env", "local"),
        *("--template-file", str(BUILD / "template.yaml"), "--parameter-overrides"),
        *(f"{name}={value}" for name, value in PARAMETERS.items()),
        environment={"AWS_ENDPOINT_URL": local.endpoint},
    )
    outputs = _outputs(local)
    gaps.close(local, outputs)
    _write_description(local, outputs)
    stamp.write_text(version)


def _sam(*arguments: str, environment: dict[str, str] | None = None) -> None:
    tools = Path(sys.executable).parent
    result = subprocess.run(
        [tools / "sam", *arguments],
        cwd=REPOSITORY,
        env=os.environ
        | ROOT_KEYS
        | {
            # `sam build` looks for python3.13 on the path, and the layers' Makefile for the architecture.
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "ARCHITECTURE": ARCHITECTURE,
            "SAM_CLI_TELEMETRY": "0",
        }
        | (environment or {}),
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise LocalStackError(f"sam {arguments[0]} failed:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")


def _exists(local: Local) -> bool:
    stacks = local.client("cloudformation").list_stacks()["StackSummaries"]
    return any(
        stack["StackName"] == STACK_NAME and stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        for stack in stacks
    )


def _outputs(local: Local) -> dict[str, str]:
    stack = local.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _write_description(local: Local, outputs: dict[str, str]) -> None:
    description = {
        "apiUrl": f"{local.endpoint}/_aws/execute-api/{outputs['ApiId']}/$default",
        "endpointUrl": local.endpoint,
        "region": REGION,
        "bucket": outputs["BucketName"],
        "table": outputs["TableName"],
        "issuer": outputs["Issuer"],
        "clientId": outputs["ClientId"],
        "username": USERNAME,
        "password": _password(local, outputs["UserPoolId"]),
        "userPoolId": outputs["UserPoolId"],
        "machineClientId": outputs["MachineClientId"],
        "eventBus": outputs["EventBusName"],
        "deadLetterQueueUrl": outputs["DeadLetterQueueUrl"],
        "importStateMachineArn": outputs["ImportStateMachineArn"],
        "resegmentStateMachineArn": outputs["ResegmentStateMachineArn"],
    }
    local.description.touch(mode=0o600)
    local.description.write_text(json.dumps(description, indent=2) + "\n")


def _password(local: Local, pool: str) -> str:
    """The password of the user in group admin, created with a random one the first time."""
    known = local.describe()
    if known.get("userPoolId") == pool:
        return str(known["password"])
    client: Any = local.client("cognito-idp")
    password = f"Aa1{secrets.token_urlsafe(18)}"
    client.admin_create_user(UserPoolId=pool, Username=USERNAME, MessageAction="SUPPRESS")
    client.admin_set_user_password(UserPoolId=pool, Username=USERNAME, Password=password, Permanent=True)
    client.admin_add_user_to_group(UserPoolId=pool, Username=USERNAME, GroupName="admin")
    return password


def forget_unfinished(local: Local) -> None:
    """Remove the state of an emulator that was killed before it had written all of it: half is worse than none."""
    for name in ("state", "s3", "tmp", "deployed", "stack.json"):
        path = local.directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
