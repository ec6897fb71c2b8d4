"""The deployed functions as modules, and calls to them with the events that API Gateway would send."""

import functools
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
NAMES = sorted(folder.name for folder in (ROOT / "functions").iterdir() if (folder / "app.py").exists())


@dataclass(frozen=True)
class Context:
    """What a handler reads of Lambda's context."""

    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    function_name: str = "segmentation"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:segmentation"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer with its body parsed."""

    status: int
    body: Any
    headers: Mapping[str, str]


@functools.cache
def load(name: str) -> ModuleType:
    """The module of one function."""
    spec = importlib.util.spec_from_file_location(f"functions_{name}", ROOT / "functions" / name / "app.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event_of(name: str) -> dict[str, Any]:
    """The real event kept for the function."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def call(name: str, event: Mapping[str, Any] | None = None) -> Answer:
    """Call an HTTP function, with its own event unless another is given."""
    answer = load(name).handler(dict(event or event_of(name)), Context())
    return Answer(answer["statusCode"], json.loads(answer["body"]), answer["headers"])


def request(
    name: str,
    *,
    body: Any = None,
    raw: str | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    claims: Mapping[str, Any] | None = None,
    **path: str,
) -> Answer:
    """Call an HTTP function with another body, query, headers, claims or path parameters than its event has."""
    event = event_of(name)
    if body is not None or raw is not None:
        event["body"] = raw if raw is not None else json.dumps(body)
    if query is not None:
        event["queryStringParameters"] = dict(query)
    event["headers"] = {**event["headers"], **(headers or {})}
    if path:
        event["pathParameters"] = {**event.get("pathParameters", {}), **path}
        event["rawPath"] = event["routeKey"].split(" ")[1]
        for parameter, value in event["pathParameters"].items():
            # The gateway decodes what the client encoded, all but the percent sign itself.
            event["rawPath"] = event["rawPath"].replace(f"{{{parameter}}}", value.replace("%", "%25"))
    if claims is not None:
        event["requestContext"]["authorizer"] = {"jwt": {"claims": dict(claims), "scopes": None}}
    return call(name, event)
