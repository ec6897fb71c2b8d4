"""docs/openapi.json against the running stack: whatever is sent, the answer is one that the document describes.

After the journeys on purpose: what it sends creates and deletes things at random.
"""

import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import schemathesis
from e2e.deployed import ENDED, Deployed
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from segmentation.models.common import iso

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
CONFORMS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
RULE = [{"attribute": "contractTown", "operator": "eq", "value": "Gera"}]
# What no generator can guess: values that mean something here.
KNOWN = {
    "criteria": RULE,
    "kind": "rule",
    "customerIds": ["contract-1"],
    "segmentIds": ["contract"],
    "columns": ["customerId", "contractTown"],
    "mapping": {"columns": {"contractTown": "Town"}},
    "metrics": "size,share",
    "now": "2026-01-01T00:00:00Z",
    "timeZone": "Europe/Berlin",
    "version": 1,
    "refitModels": ["contract"],
    "names": {},
}
MODEL = {"modelName": "Contract", "kind": "cluster", "features": ["contractScore"], "parameters": {"k": 2}}
MOVE = {"fromSegment": "contract", "toSegment": "contract"}
LEFT_OUT = ("nextToken", "If-Match", "Idempotency-Key")
NUMBERS = itertools.count(1)
anything = schemathesis.openapi.from_dict(DOCUMENT)
valid = schemathesis.openapi.from_dict(DOCUMENT)
valid.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
sent: dict[str, set[int]] = {}


def bounded(examples: int) -> settings:
    """The same few requests every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def things(stack: Deployed) -> str:
    """Customers, a segment, a model and a job that requests can hit; returns the job's id."""
    for number in (1, 2, 3):
        attributes = {"contractTown": "Gera", "contractScore": number}
        stack.call("PUT", f"/customers/contract-{number}", {"attributes": attributes})
    (made,) = stack.created({"segmentName": "Contract", "segmentId": "contract", "criteria": RULE})
    stack.succeeded(stack.call("POST", "/models", {**MODEL, "modelId": "contract"}, 202)["jobId"])
    assert stack.get("/models/contract")["status"] == "fitted"
    return str(made["jobId"])


@anything.parametrize()
@bounded(5)
def test_an_answer_to_anything_is_one_that_the_document_describes(
    case: schemathesis.Case, stack: Deployed, things: str
) -> None:
    _send(case, stack)


@valid.parametrize()
@bounded(2)
def test_an_answer_about_things_that_exist_is_one_that_the_document_describes(
    case: schemathesis.Case, stack: Deployed, things: str
) -> None:
    operation = case.operation.definition.raw["operationId"]
    names = {"segmentId": "contract", "customerId": "contract-1", "modelId": "contract", "jobId": things}
    if operation in ("delete_segment", "delete_customer", "delete_model"):
        names = _doomed(stack)
    case.path_parameters = {name: names[name] for name in case.path_parameters or {}}
    known = {**KNOWN, "kind": "cluster"} if operation == "list_models" else KNOWN
    case.query = {name: known.get(name, value) for name, value in (case.query or {}).items() if name not in LEFT_OUT}
    if operation in ("get_migration", "list_moves"):
        case.query = _past() | ({"segments": "contract"} if operation == "get_migration" else MOVE)
    for name in LEFT_OUT:
        case.headers.pop(name, None)
    if operation == "create_model":
        case.body = MODEL
    elif operation == "preview_segment":
        case.body = {"criteria": RULE, "segmentId": "contract"}
    elif operation == "create_export":
        case.body = {"segmentId": "contract"}
    elif isinstance(case.body, dict):
        # A new segment has an id of its own; all others ask for one that exists.
        known = KNOWN if operation == "create_segment" else {**KNOWN, "segmentId": "contract"}
        case.body = {name: known.get(name, value) for name, value in case.body.items()}
        if operation == "create_segment":
            case.body["criteria"] = RULE
    _send(case, stack)


def test_every_operation_was_sent_something_and_succeeded(stack: Deployed) -> None:
    operations = {op["operationId"] for methods in DOCUMENT["paths"].values() for op in methods.values()}
    assert sent.keys() == operations
    never = sorted(name for name, statuses in sent.items() if not any(200 <= status < 300 for status in statuses))
    assert never == []


def test_every_job_that_was_started_ends(stack: Deployed) -> None:
    def waiting() -> list[str]:
        jobs = stack.everything("/jobs", limit=500)
        return [job["jobId"] for job in jobs if job["status"] not in (*ENDED, "awaiting_upload")]

    stack.wait("all jobs to end", lambda: not waiting())


def _past() -> dict[str, str]:
    """Two instants at which the segment was there."""
    now = datetime.now(UTC)
    return {"from": iso(now - timedelta(seconds=2)), "to": iso(now - timedelta(seconds=1))}


def _doomed(stack: Deployed) -> dict[str, str]:
    """A segment, a model and a customer that nobody will miss."""
    name = f"contract-doomed-{next(NUMBERS)}"
    stack.call("PUT", f"/customers/{name}", {"attributes": {}})
    stack.call("POST", "/segments", {"segmentName": name, "segmentId": name, "kind": "manual"}, 201)
    stack.call("POST", "/models", {**MODEL, "modelId": name}, 202)
    return {"segmentId": name, "customerId": name, "modelId": name}


def _send(case: schemathesis.Case, stack: Deployed) -> None:
    headers = {"Authorization": f"Bearer {stack.token('admin')}"}
    answer = case.call_and_validate(base_url=stack.description["apiUrl"], headers=headers, checks=CONFORMS)
    sent.setdefault(case.operation.definition.raw["operationId"], set()).add(answer.status_code)
