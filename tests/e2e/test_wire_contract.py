"""docs/openapi.json against the running stack: whatever is sent, the answer is one that the document describes.

Last in the alphabet on purpose: what it sends creates and deletes things at random.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from e2e.deployed import ENDED, Deployed
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text(encoding="utf-8"))
CONFORMS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
BOUNDED = settings(
    max_examples=6,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
RULE = [{"attribute": "contractTown", "operator": "eq", "value": "Gera"}]
NUMBERS = itertools.count(1)
schema = schemathesis.openapi.from_dict(DOCUMENT)
sent: dict[str, set[int]] = {}


@pytest.fixture(scope="module")
def things(stack: Deployed) -> str:
    """A customer, a segment and a job that requests can hit; returns the job's id."""
    stack.call("PUT", "/customers/contract-1", {"attributes": {"contractTown": "Gera"}})
    made = stack.created({"segmentName": "Contract", "segmentId": "contract", "criteria": RULE})
    return str(made["jobId"])


@schema.parametrize()
@BOUNDED
def test_an_answer_to_anything_is_one_that_the_document_describes(
    case: schemathesis.Case, stack: Deployed, things: str
) -> None:
    _send(case, stack)


@schema.parametrize()
@BOUNDED
def test_an_answer_about_things_that_exist_is_one_that_the_document_describes(
    case: schemathesis.Case, stack: Deployed, things: str
) -> None:
    known: dict[str, Any] = {"segmentId": "contract", "customerId": "contract-1", "jobId": things}
    if case.operation.definition.raw["operationId"] in ("delete_segment", "delete_customer"):
        known = _doomed(stack)
    case.path_parameters = {name: known[name] for name in case.path_parameters or {}}
    if isinstance(case.body, dict):
        replaced = {"criteria": RULE, "customerIds": ["contract-1"], "segmentIds": ["contract"]}
        case.body = {name: replaced.get(name, value) for name, value in case.body.items()}
    _send(case, stack)


def test_every_operation_was_sent_something_and_reads_and_writes_succeeded(stack: Deployed) -> None:
    operations = {op["operationId"] for methods in DOCUMENT["paths"].values() for op in methods.values()}
    assert sent.keys() == operations
    never = sorted(name for name, statuses in sent.items() if not any(200 <= status < 300 for status in statuses))
    assert never == []


def test_every_job_that_was_started_ends(stack: Deployed) -> None:
    def waiting() -> list[str]:
        jobs = stack.everything("/jobs", limit=500)
        return [job["jobId"] for job in jobs if job["status"] not in (*ENDED, "awaiting_upload")]

    stack.wait("all jobs to end", lambda: not waiting())


def _doomed(stack: Deployed) -> dict[str, str]:
    """A segment and a customer that nobody will miss."""
    name = f"contract-doomed-{next(NUMBERS)}"
    stack.call("PUT", f"/customers/{name}", {"attributes": {}})
    stack.call("POST", "/segments", {"segmentName": name, "segmentId": name, "kind": "manual"}, 201)
    return {"segmentId": name, "customerId": name}


def _send(case: schemathesis.Case, stack: Deployed) -> None:
    headers = {"Authorization": f"Bearer {stack.token('admin')}"}
    answer = case.call_and_validate(base_url=stack.description["apiUrl"], headers=headers, checks=CONFORMS)
    sent.setdefault(case.operation.definition.raw["operationId"], set()).add(answer.status_code)
