"""Write docs/openapi.json from the functions that routes reach: `python -m dev.openapi`. It knows no store, no stack.

What the code of one function cannot know is added here: the token, the permission in words, `Idempotency-Key`, and what
API Gateway answers by itself. Responses that an operation cannot give are left out.
"""

import importlib.util
import json
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

from dev.local import REPOSITORY

Json = dict[str, Any]
DOCUMENT = REPOSITORY / "docs" / "openapi.json"
FUNCTIONS = REPOSITORY / "functions"
OPENAPI = "3.1.0"
FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ResponseValidationError", "ValidationError")
"""Schemas that the framework adds for its own error bodies, which the service never sends."""

PROBLEM: Json = {
    "description": "A problem document (RFC 9457)",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "description": "The kind of problem, the same words every time"},
        "status": {"type": "integer", "description": "The HTTP status"},
        "detail": {"type": "string", "description": "This problem in a sentence, with the values that caused it"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string", "description": "Path of the field in what was sent"},
                    "message": {"type": "string", "description": "What is wrong with it, with its value"},
                },
                "required": ["field", "message"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["type", "title", "status", "detail", "errors"],
    "additionalProperties": False,
}
GATEWAY_MESSAGE: Json = {
    "description": "What API Gateway answers before a function is reached",
    "type": "object",
    "properties": {"message": {"type": "string"}},
    "required": ["message"],
}
GATEWAY_RESPONSES = {"401": "No token, or one that is not valid", "429": "More requests than the stage allows"}
IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeated request with the same key is answered with the first one's answer for a day",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}


class SchemaClash(Exception):
    """Two different models have one name, so the document could describe only one of them."""


def document() -> Json:
    """The OpenAPI document of all operations. Raises SchemaClash."""
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {"Problem": PROBLEM, "GatewayMessage": GATEWAY_MESSAGE}
    for api in apis():
        found = api.resolver.get_openapi_schema(title=api.operation, version="1", openapi_version=OPENAPI)
        part = _tidy(found.model_dump(by_alias=True, exclude_none=True, mode="json"))
        for name, schema in part.get("components", {}).get("schemas", {}).items():
            if name not in FRAMEWORK_SCHEMAS:
                add_schema(schemas, _schema_name(name), schema)
        for path, methods in part["paths"].items():
            for method, operation in methods.items():
                paths.setdefault(path, {})[method] = _complete(operation, path, method, api)
    return {
        "openapi": OPENAPI,
        "info": _info(),
        "servers": [{"url": "https://{apiId}.execute-api.{region}.amazonaws.com", "variables": _SERVER_VARIABLES}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "An access token of the issuer; docs/api.md says how to get one",
                }
            },
        },
    }


def rendered(content: Json) -> str:
    """The document as it is kept: the same text for the same content."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def apis() -> Iterator[Any]:
    """The `Api` of every function that has one, in order of name."""
    # Functions find our layer as Lambda mounts it: on the path.
    sys.path.append(str(REPOSITORY / "layers" / "segmentation"))
    try:
        for file in sorted(FUNCTIONS.glob("*/app.py")):
            spec = importlib.util.spec_from_file_location(f"openapi_{file.parent.name}", file)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            if hasattr(module, "api"):
                yield module.api
    finally:
        sys.path.pop()


def add_schema(schemas: dict[str, Json], name: str, schema: Json) -> None:
    """Add a schema. Raises SchemaClash if another one has its name."""
    if schemas.setdefault(name, schema) != schema:
        raise SchemaClash(f"two different models are called {name}: give one of them another name")


_SERVER_VARIABLES: Json = {
    "apiId": {"default": "api", "description": "Output ApiId of the stack"},
    "region": {"default": "eu-central-1", "description": "Region of the stack"},
}


def _info() -> Json:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "title": "Customer segmentation",
        "version": project["version"],
        "description": project["description"],
        "license": {"name": "Apache License 2.0", "identifier": project["license"]},
    }


def _complete(operation: Json, path: str, method: str, api: Any) -> Json:
    """The operation with its permission, the headers that all of its kind take, and the responses that it can give."""
    permission: str | None = api.permission
    complete = {**operation, "tags": [path.split("/")[1]]}
    parameters = [_parameter(parameter) for parameter in operation.get("parameters", [])]
    possible = _possible(operation, path, method, permission)
    responses = {status: answer for status, answer in operation["responses"].items() if status in possible}
    if permission:
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/GatewayMessage"}}}
        responses |= {status: {"description": text, "content": content} for status, text in GATEWAY_RESPONSES.items()}
        complete["description"] = f"{operation['description']}\n\nNeeds the permission `{permission}`."
        complete["x-permission"] = permission
    complete["security"] = [{"token": [permission]}] if permission else []
    complete["responses"] = responses
    if api.is_repeatable:
        parameters.append(IDEMPOTENCY_KEY)
    if parameters:
        complete["parameters"] = parameters
    return complete


def _parameter(parameter: Json) -> Json:
    """A parameter that may be left out, but has no way to say null; a header is spelled as headers are."""
    schema = dict(parameter["schema"])
    schema.pop("description", None)
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    name = parameter["name"].title() if parameter["in"] == "header" else parameter["name"]
    return {**parameter, "name": name, "schema": schema | (choices[0] if choices else {})}


def _possible(operation: Json, path: str, method: str, permission: str | None) -> set[str]:
    """Statuses that the function itself can answer."""
    succeeded = {status for status in operation["responses"] if status.startswith("2")}
    if permission is None:
        return succeeded
    body = "requestBody" in operation
    names = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
    return succeeded.union(
        {"403", "422", "503"},
        {"400", "415"} if body else (),
        {"404"} if body or "{" in path else (),
        {"409"} if method != "get" else (),
        {"412"} if "if-match" in names else (),
    )


def _schema_name(name: str) -> str:
    """A model that differs between what is sent and what is returned: the returned one has the plain name."""
    return name.removesuffix("-Output").replace("-Input", "Input")


def _tidy(node: Any) -> Any:
    """Without the titles that are made of field names, with whole numbers as such, and with plain names of schemas."""
    match node:
        case {"$ref": str(reference)}:
            return {**node, "$ref": _schema_name(reference)}
        case dict():
            kept = {name: value for name, value in node.items() if name != "title" or isinstance(value, dict)}
            return {name: _tidy(value) for name, value in kept.items()}
        case list():
            return [_tidy(item) for item in node]
        case float() if node.is_integer():
            return int(node)
    return node


def main() -> int:
    content = document()
    DOCUMENT.write_text(rendered(content), encoding="utf-8")
    operations = sum(len(methods) for methods in content["paths"].values())
    print(f"{DOCUMENT.relative_to(REPOSITORY)}: {operations} operations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
