"""Composition root: the only code that reads the environment, builds clients, and knows Lambda and HTTP.

An operation declares `api = Api()`, one route, and `handler = api.handler`. Workers that no route reaches are decorated
with `worker`. Clients are built on first use, never at import.
"""

import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestUnsupportedContentType,
    RequestValidationError,
)
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from botocore.config import Config

from segmentation.errors import (
    Conflict,
    FieldError,
    Forbidden,
    InvalidInput,
    NotFound,
    SegmentationError,
    StaleVersion,
    TooBusy,
)
from segmentation.store import idempotency
from segmentation.store.events import Events
from segmentation.store.files import Files
from segmentation.store.store import Store
from segmentation.store.table import Table
from segmentation.store.workflows import Workflows

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

READ, WRITE, ADMIN, STOREFRONT = "segments.read", "segments.write", "segments.admin", "storefront.read"
PERMISSIONS = (READ, WRITE, ADMIN, STOREFRONT)

GROUPS: Mapping[str, frozenset[str]] = {
    "admin": frozenset(PERMISSIONS),
    "marketer": frozenset({READ, WRITE, STOREFRONT}),
    "analyst": frozenset({READ, STOREFRONT}),
    "storefront": frozenset({STOREFRONT}),
}
"""What people may do by the group they are in; machine clients carry permissions as scopes."""

STATUS: Mapping[type[SegmentationError], HTTPStatus] = {
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    StaleVersion: HTTPStatus.PRECONDITION_FAILED,
    TooBusy: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""What HTTP makes of the domain's errors; a subclass has its base's status."""

PROBLEM = "application/problem+json"
_LOGGED_FIELDS = ("jobId", "partition", "chunk")

logger = Logger()


@functools.cache
def store() -> Store:
    """The deployment's store, from the environment that the template sets."""
    config = Config(parameter_validation=False, retries={"mode": "standard", "max_attempts": 6}, connect_timeout=3)
    return Store(
        table=Table(boto3.client("dynamodb", config=config), os.environ["TABLE_NAME"]),
        files=_LazyFiles(os.environ["BUCKET_NAME"]),
        workflows=_LazyWorkflows(),
        events=_LazyEvents(),
        partitions=int(os.environ["PARTITIONS"]),
    )


def now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


def stale_after() -> timedelta:
    """How old the evaluation of a segment may become before the segment is stale."""
    return timedelta(hours=int(os.environ.get("STALE_HOURS", "48")))


def emit(figures: Mapping[str, float], units: Mapping[str, str]) -> None:
    """Print figures as CloudWatch's embedded metric format, in the deployment's namespace; nothing for no figures.

    Raises KeyError for a figure without a unit.
    """
    provider = AmazonCloudWatchEMFProvider(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Segmentation"))
    for name, value in figures.items():
        provider.add_metric(name, units[name], value)
    if figures:
        provider.flush_metrics()


class _LazyFiles(Files):
    """The bucket whose client is built when a file is first touched: most operations never do."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @functools.cached_property
    def _client(self) -> Any:
        # Path-style addresses exist on every S3 endpoint; links must carry a version 4 signature.
        config = Config(signature_version="s3v4", s3={"addressing_style": "auto"}, max_pool_connections=32)
        return boto3.client("s3", config=config)


class _LazyWorkflows(Workflows):
    """The state machines, whose client is built when one is started."""

    def __init__(self) -> None:
        self._arns = {
            "import": os.environ.get("IMPORT_STATE_MACHINE_ARN", ""),
            "resegment": os.environ.get("RESEGMENT_STATE_MACHINE_ARN", ""),
        }

    @functools.cached_property
    def _client(self) -> Any:
        return boto3.client("stepfunctions")


class _LazyEvents(Events):
    """The event bus, whose client is built when something is to be told."""

    def __init__(self) -> None:
        self._bus = os.environ.get("EVENT_BUS_NAME", "")

    @functools.cached_property
    def _client(self) -> Any:
        return boto3.client("events")


class Api:
    """One HTTP operation: its route, the permission it needs, and the handler that Lambda calls.

    Attributes
    ----------
    method, path : as in the template, `GET` and `/customers/{customerId}`.
    permission : what the token must carry, or None where no token is asked for.
    is_repeatable : whether a repetition with the same `Idempotency-Key` is answered from memory: a POST that changes
        something, by its permission or because it starts a job.
    """

    def __init__(self) -> None:
        self.resolver = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=_strict_json)
        self.resolver.exception_handler(SegmentationError)(_domain_problem)
        self.resolver.exception_handler(RequestValidationError)(self._validation_problem)
        self.resolver.exception_handler(RequestUnsupportedContentType)(_content_type_problem)
        self.resolver.exception_handler(NotFoundError)(_route_problem)
        self.method = self.path = self.operation = ""
        self.permission: str | None = None
        self.is_repeatable = False

    def get(self, path: str, permission: str | None = READ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a GET."""
        return self._route("GET", path, permission, 200)

    def post(
        self, path: str, permission: str = WRITE, status: int = 200
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a POST; one that changes something honours `Idempotency-Key`."""
        return self._route("POST", path, permission, status)

    def put(self, path: str, permission: str = WRITE) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a PUT."""
        return self._route("PUT", path, permission, 200)

    def patch(self, path: str, permission: str = WRITE) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a PATCH."""
        return self._route("PATCH", path, permission, 200)

    def delete(
        self, path: str, permission: str = WRITE, status: int = 200
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a DELETE."""
        return self._route("DELETE", path, permission, status)

    def handler(self, event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
        """What Lambda calls: check the permission, answer a repeated POST from memory, else serve."""
        logger.set_correlation_id(event.get("requestContext", {}).get("requestId"))
        claims = _claims(event)
        if self.permission and self.permission not in _granted(claims):
            return _sent(_domain_problem(Forbidden(f"{self.operation} needs the permission {self.permission}")))
        token = _header(event, "idempotency-key") if self.is_repeatable else None
        try:
            event = _with_encoded_path(event, self.path)
            if token is None:
                return self.resolver.resolve(event, context)
            return self._once(event, context, idempotency.request(self.operation, _caller(claims), token, _text(event)))
        except SegmentationError as error:
            return _sent(_domain_problem(error))
        except Exception:
            # The platform would answer 500 with an empty body and no trace of the request.
            logger.exception("unexpected error", extra={"operation": self.operation})
            return _sent(_problem(500, "Internal error", "The request failed unexpectedly; it was logged.", []))

    def _validation_problem(self, error: RequestValidationError) -> Response[str]:
        return _validation_problem(error, self.resolver.current_event.decoded_body)

    def _once(self, event: dict[str, Any], context: "LambdaContext", request: idempotency.Request) -> dict[str, Any]:
        table = store().table
        earlier = idempotency.begin(table, request)
        if earlier:
            headers = {"Content-Type": "application/json", "Idempotent-Replay": "true"}
            return {"statusCode": earlier.status, "headers": headers, "body": earlier.body, "isBase64Encoded": False}
        try:
            answer = self.resolver.resolve(event, context)
        except Exception:
            idempotency.abandon(table, request)
            raise
        if answer["statusCode"] < 400:
            idempotency.finish(table, request, idempotency.Answer(answer["statusCode"], answer["body"]))
        else:
            idempotency.abandon(table, request)
        return answer

    def _route(
        self, method: str, path: str, permission: str | None, status: int
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        self.method, self.path, self.permission = method, path, permission
        self.is_repeatable = method == "POST" and (permission != READ or status == HTTPStatus.ACCEPTED)
        rule = path.replace("{", "<").replace("}", ">")

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self.operation = function.__name__
            description = (function.__doc__ or "").strip()
            register = getattr(self.resolver, method.lower())
            register(
                rule,
                status_code=status,
                operation_id=function.__name__,
                summary=description.split("\n")[0],
                description=description,
                response_description="The result",
                responses=_responses(status),
            )(function)
            return function

        return declare


def worker(function: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any], Any], Any]:
    """A function that a stream, a rule or a state machine calls: logs what it works on, and its errors with their
    values.
    """

    @functools.wraps(function)
    def handle(event: dict[str, Any], context: Any) -> Any:
        logger.set_correlation_id(getattr(context, "aws_request_id", None))
        subject = {name: event[name] for name in _LOGGED_FIELDS if name in event}
        logger.info("begin", extra={"operation": function.__name__, **subject})
        try:
            result = function(event)
        except SegmentationError as error:
            logger.warning("refused", extra={"operation": function.__name__, "reason": error.message, **subject})
            raise
        logger.info("end", extra={"operation": function.__name__, **subject})
        return result

    return handle


# ------------------------------------------------------------------ requests


def _claims(event: Mapping[str, Any]) -> Mapping[str, Any]:
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    return (authorizer.get("jwt") or {}).get("claims") or {}


def _granted(claims: Mapping[str, Any]) -> frozenset[str]:
    """Permissions from scopes (`segmentation/segments.read`) and from groups, which API Gateway renders as `[a b]`."""
    scopes = {scope.rsplit("/", 1)[-1] for scope in str(claims.get("scope", "")).split()}
    groups = claims.get("cognito:groups", claims.get("groups", ""))
    names = groups if isinstance(groups, list) else str(groups).strip("[]").replace(",", " ").split()
    return frozenset(scopes.intersection(PERMISSIONS)).union(*(GROUPS.get(name, frozenset()) for name in names))


def _caller(claims: Mapping[str, Any]) -> str:
    return str(claims.get("sub") or claims.get("client_id") or "anonymous")


def _header(event: Mapping[str, Any], name: str) -> str | None:
    for key, value in (event.get("headers") or {}).items():
        if key.lower() == name:
            return str(value)
    return None


def _text(event: Mapping[str, Any]) -> str:
    return f"{event.get('rawPath')}?{event.get('rawQueryString')}\n{event.get('body')}"


def _with_encoded_path(event: dict[str, Any], path: str) -> dict[str, Any]:
    """The event with its path as the resolver needs it: every parameter percent-encoded.

    The gateway decodes the path, all but `%25`, before it looks for a route; a customer id may then hold slashes.
    """
    context = event.get("requestContext", {})
    found = _pattern(path).fullmatch(event["rawPath"].removeprefix(f"/{context.get('stage')}"))
    raw = path
    for name, value in (found.groupdict() if found else {}).items():
        raw = raw.replace(f"{{{name}}}", quote(unquote(value), safe=""))
    http = {**context.get("http", {}), "path": raw}
    return {**event, "rawPath": raw, "requestContext": {**context, "stage": "$default", "http": http}}


@functools.cache
def _pattern(path: str) -> re.Pattern[str]:
    """What a decoded path of the route looks like."""
    named = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return re.compile(named.replace("(?P<customerId>[^/]+)", "(?P<customerId>.+)"), re.DOTALL)


def _strict_json(text: str) -> Any:
    """JSON without NaN and infinities, which Python would take."""

    def refuse(constant: str) -> NoReturn:
        raise json.JSONDecodeError(f"{constant} is not JSON", text, max(text.find(constant), 0))

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", text, 0) from error


# ----------------------------------------------------------------- responses


def _problem(status: int, title: str, detail: str, errors: list[FieldError]) -> Response[str]:
    """A problem document (RFC 9457)."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body["errors"] = [{"field": error.field, "message": error.message} for error in errors]
    return Response(status, PROBLEM, json.dumps(body))


def status_of(error: SegmentationError) -> int:
    """HTTP status of a domain error."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind].value
    return HTTPStatus.INTERNAL_SERVER_ERROR.value


def _domain_problem(error: SegmentationError) -> Response[str]:
    return _problem(status_of(error), error.title, error.message, list(error.errors))


def _validation_problem(error: RequestValidationError, text: str | None) -> Response[str]:
    unreadable = any(detail["type"] == "json_invalid" for detail in error.errors())
    body = _strict_json(text) if text and not unreadable else None
    errors = [_field_error(detail, body) for detail in error.errors()]
    status, title = (400, "Invalid JSON") if unreadable else (422, InvalidInput.title)
    return _problem(status, title, "; ".join(f"{e.field}: {e.message}" for e in errors)[:2000], errors)


def _field_error(detail: Mapping[str, Any], body: Any) -> FieldError:
    if detail["type"] == "json_invalid":
        return FieldError("body", f"the body is not JSON: {detail.get('ctx', {}).get('error', detail['msg'])}")
    source, *path = detail["loc"]
    steps = _sent_steps(path, body, detail["type"] == "missing") if source == "body" else path
    said, value = detail["msg"].removeprefix("Value error, "), detail.get("input")
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        # Which of several kinds of object was meant: the field that says so is at fault, not the whole of it.
        name, tags = detail["ctx"]["discriminator"].strip("'"), detail["ctx"].get("expected_tags")
        steps, value = [*steps, name], detail["ctx"].get("tag")
        said = f"Input should be one of {tags}" if tags else "Field required"
    shown = "" if value is None or detail["type"] == "missing" else f", not {json.dumps(value, default=str)[:200]}"
    return FieldError(".".join(map(str, steps)) or str(source), f"{said}{shown}")


def _sent_steps(path: list[Any], body: Any, is_missing: bool) -> list[Any]:
    """The path as the client knows it: without the names of our types that a choice between several puts into it."""
    steps: list[Any] = []
    here = body
    for number, step in enumerate(path):
        is_field = isinstance(here, dict) and step in here
        is_item = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if is_field or is_item:
            steps, here = [*steps, step], here[step]
        elif is_missing and number == len(path) - 1:
            steps = [*steps, step]
    return steps


def _content_type_problem(error: RequestUnsupportedContentType) -> Response[str]:
    return _problem(415, "Unsupported content type", f"{error}; send application/json", [])


def _route_problem(error: NotFoundError) -> Response[str]:
    return _problem(
        404, "No such route", str(error.msg or "There is nothing here; see docs/api.md for the routes."), []
    )


def _sent(response: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "headers": {"Content-Type": PROBLEM},
        "body": response.body,
        "isBase64Encoded": False,
    }


def _responses(status: int) -> dict[int, Any]:
    """Responses that every operation can give, for the OpenAPI document."""
    described = {
        400: "The body is not JSON",
        401: "No token, or one that is not valid",
        403: "The token lacks the permission",
        404: "There is no such thing",
        409: "The state of the thing forbids it",
        412: "The version in If-Match is not the current one",
        415: "The body is not application/json",
        422: "The input cannot be accepted; errors names every field",
        503: "Try again later",
    }
    problem = {"content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return {
        status: {"description": "The result"},
        **{code: {"description": text, **problem} for code, text in described.items()},
    }
