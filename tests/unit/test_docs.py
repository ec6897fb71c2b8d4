"""What the documents promise: every operation is described, every example runs as shown, every link leads somewhere."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from dev import openapi
from segmentation import authoring, modelling, runs, runtime
from segmentation.models.models import CreateModel
from segmentation.models.segments import CreateSegment
from support import functions
from support.service import Service, running, template

ROOT = Path(__file__).parents[2]
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
HTTP = [name for name in functions.NAMES if hasattr(functions.load(name), "api")]
WORKERS = [name for name in functions.NAMES if name not in HTTP]
OPENAPI = openapi.document()
JOB, RUN = "import-0a1b2c3d4e5f60718293", "run-00000000000000000001"
CUSTOMERS = """customerId,country,city,age,newsletter,interests,birthday
c1001,DE,Berlin,34,true,coffee|bikes,1991-03-14
c1002,DE,Hamburg,51,false,travel,1974-11-02
c1003,DE,Berlin,27,true,coffee,1998-07-21
c1004,AT,Vienna,45,true,bikes|travel,1980-05-30
c1005,US,Boston,38,false,coffee,1987-12-09
c1006,FR,Lyon,62,true,,1963-08-17
"""
ORDERS = """orderId,customerId,orderedAt,quantity,unitPrice,sku,category,channel
o1,c1001,2026-01-15T10:00:00Z,2,24.50,mug,kitchen,web
o1,c1001,2026-01-15T10:00:00Z,1,8.00,filter,kitchen,web
o2,c1002,2026-02-20T09:30:00Z,1,149.00,bag,travel,shop
o3,c1003,2025-06-01T18:45:00Z,1,39.90,lock,bikes,web
o4,c1005,2026-02-11T20:15:00Z,3,12.00,beans,coffee,web
o5,c1001,2026-02-27T07:05:00Z,1,59.00,grinder,kitchen,app
o6,,2026-02-28T08:00:00Z,1,12.00,beans,coffee,web
"""


@dataclass(frozen=True)
class Example:
    """A request in the reference and the answer shown below it."""

    section: str
    method: str
    target: str
    headers: dict[str, str]
    body: Any
    status: int
    answer: Any

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def message(text: str) -> tuple[str, dict[str, str], Any]:
    """First line, headers and JSON body of an HTTP message."""
    head, _, body = text.strip().partition("\n\n")
    first, *lines = head.split("\n")
    return first, dict(line.split(": ", 1) for line in lines), json.loads(body) if body else None


@cache
def examples() -> list[Example]:
    found = []
    for section, text in sections(API).items():
        blocks = re.findall(r"```http\n(.*?)```", text, re.DOTALL)
        for request, answer in zip(blocks[::2], blocks[1::2], strict=True):
            first, headers, body = message(request)
            status, _, content = message(answer)
            method, target = first.split(" ")
            found.append(Example(section, method, target, headers, body, int(status.split(" ")[1]), content))
    return found


def send(example: Example) -> functions.Answer:
    """Call the function whose route the example's request takes, as API Gateway would."""
    path, _, query = example.target.partition("?")
    for name in HTTP:
        api = functions.load(name).api
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", api.path), path)
        if found and api.method == example.method and not (found.groupdict() and path == "/segments/preview"):
            event = {**functions.event_of(name), "body": None if example.body is None else json.dumps(example.body)}
            event["headers"] = {"content-type": "application/json", **example.headers}
            event["queryStringParameters"] = dict(parse_qsl(query, keep_blank_values=True))
            # The gateway decodes what the client encoded, all but the percent sign itself.
            event["rawPath"] = unquote(path.replace("%25", "%2525"))
            return functions.call(name, event)
    raise AssertionError(f"no operation has the route of {example}")


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    """A small shop whose customers and orders came in as files."""
    with running() as service, pytest.MonkeyPatch.context() as patch:
        for name in functions.NAMES:
            module = functions.load(name)
            for part in {"store", "now"} & vars(module).keys():
                patch.setattr(module, part, {"store": lambda: service.store, "now": lambda: service.now}[part])
        patch.setattr(runtime, "store", lambda: service.store)
        service.drop("imports/customers/customers.csv", CUSTOMERS, {"types": {"interests": "list"}})
        service.drop(f"imports/orders/job={JOB}/orders.csv", ORDERS)
        service.settle()
        rule = [{"attribute": "age", "operator": "gt", "value": 30}]
        authoring.create(
            service.store, CreateSegment(segmentName="Trial", segmentId="trial", criteria=rule), service.now
        )
        trial = {"modelId": "trial", "modelName": "Trial", "kind": "rfm", "parameters": {"bins": 3}}
        modelling.create(service.store, CreateModel.model_validate(trial), service.now)
        service.settle()
        service.resegment({}, "2026-03-01")
        yield service


@pytest.fixture(scope="module")
def answers(shop: Service) -> dict[int, functions.Answer]:
    """The answers to all examples, sent in the order of the document, each a minute after what the last one started."""
    found = {}
    for number, example in enumerate(examples()):
        found[number] = send(example)
        shop.settle()
        shop.wait(1 / 60)
    return found


def difference(shown: Any, real: Any, place: str = "body") -> str | None:
    """Where a documented value has other fields or types than the real one; `…` stands for what is left out."""
    if isinstance(shown, dict) and isinstance(real, dict):
        names = shown.keys() - {"…"}
        if not names <= real.keys() or ("…" not in shown and names != real.keys()):
            return f"{place} has {sorted(real)}, not {sorted(shown)}"
        return next(filter(None, (difference(shown[name], real[name], f"{place}.{name}") for name in names)), None)
    if isinstance(shown, list) and isinstance(real, list):
        items = [item for item in shown if item != "…"]
        if len(items) > len(real) or (items == shown and len(items) != len(real)):
            return f"{place} has {len(real)} items, not {len(shown)}"
        pairs = enumerate(zip(items, real, strict=False))
        return next(filter(None, (difference(a, b, f"{place}[{number}]") for number, (a, b) in pairs)), None)
    kinds = [float if type(value) is int else type(value) for value in (shown, real)]
    return None if kinds[0] is kinds[1] else f"{place} is {real!r}, not {shown!r}"


@pytest.mark.parametrize("number", range(len(examples())), ids=lambda number: str(examples()[number]))
def test_an_example_is_answered_as_shown(answers: dict[int, functions.Answer], number: int) -> None:
    example, answer = examples()[number], answers[number]
    assert answer.status == example.status, answer.body
    assert difference(example.answer, answer.body) is None


def test_the_comparison_of_examples_notices_every_difference() -> None:
    assert difference({"a": 1}, {"a": 2}) is None
    assert difference({"a": 1}, {"a": 2, "b": 3}) == "body has ['a', 'b'], not ['a']"
    assert difference({"a": 1, "…": "…"}, {"a": 2, "b": 3}) is None
    assert difference({"a": [1]}, {"a": []}) == "body.a has 0 items, not 1"
    assert difference({"a": "1"}, {"a": 1}) == "body.a is 1, not '1'"
    assert difference(None, {"a": 1}) == "body is {'a': 1}, not None"


def test_every_function_has_its_heading_and_every_http_operation_an_example() -> None:
    assert set(functions.NAMES) <= sections(API).keys()
    assert {example.section for example in examples()} >= set(HTTP)


@pytest.mark.parametrize("name", HTTP)
def test_an_operation_says_its_route_permission_and_status(name: str) -> None:
    api = functions.load(name).api
    permission = f"permission `{api.permission}`" if api.permission else "no token"
    operation = OPENAPI["paths"][api.path][api.method.lower()]
    status = next(status for status in operation["responses"] if status.startswith("2"))
    line = f"`{api.method} {api.path}` · {permission} · {status}"
    assert line in sections(API)[name].split("\n")


@pytest.mark.parametrize("name", HTTP)
def test_an_operation_explains_every_parameter_and_every_field_of_its_body(name: str) -> None:
    api = functions.load(name).api
    operation = OPENAPI["paths"][api.path][api.method.lower()]
    names = [parameter["name"] for parameter in operation.get("parameters", [])]
    if "requestBody" in operation:
        names += fields(operation["requestBody"]["content"]["application/json"]["schema"])
    rows = "\n".join(line.split("|")[1] for line in sections(API)[name].split("\n") if line.startswith("| `"))
    assert [name for name in names if f"`{name}`" not in rows and name != "Idempotency-Key"] == []


def fields(schema: Any) -> list[str]:
    """Fields of a body, those of all its forms if it has several, and of its parameters."""
    if "$ref" in schema:
        schema = OPENAPI["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    forms = [name for form in schema.get("oneOf", []) for name in fields(form)]
    properties = schema.get("properties", {})
    return [*properties, *forms, *(fields(properties["parameters"]) if "parameters" in properties else [])]


def test_the_groups_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ((?:`[a-z.]+` ?)+)\|$", sections(API)["Authentication"], re.MULTILINE)
    assert {group: set(re.findall(r"[a-z.]+", names)) for group, names in rows} == runtime.GROUPS


@pytest.fixture(scope="module")
def results(answers: dict[int, functions.Answer], shop: Service) -> dict[str, Any]:
    """What the functions that nobody calls by hand answer to the inputs shown, in the order of the document."""
    shop.store.files.put(shown("plan_import", "input")["event"]["detail"]["object"]["key"], CUSTOMERS.encode())
    request = {"segmentId": "german-buyers", "format": "jsonl"}
    shop.store.files.put(shown("write_export", "input")["detail"]["object"]["key"], json.dumps(request).encode())
    runs.begin(shop.store, shop.now, segment_ids=["german-buyers"], job_id=RUN, fits={"buyers": 3})
    named = [name for name in sections(API) if name in WORKERS]
    return {name: functions.load(name).handler(shown(name, "input"), functions.Context()) for name in named}


def shown(name: str, part: str) -> Any:
    """The `input` or `result` of a worker in the document."""
    found = re.search(rf"```json {part}\n(.*?)```", sections(API)[name], re.DOTALL)
    assert found, f"docs/api.md shows no {part} of {name}"
    return json.loads(found[1])


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_answers_as_shown(results: dict[str, Any], name: str) -> None:
    assert difference(shown(name, "result"), results[name], name) is None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_resolves(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            name, _, anchor = target.partition("#")
            linked = (document.parent / name) if name else document
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


def anchors(document: Path) -> set[str]:
    """Anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_path_of_the_machine_it_was_written_on(document: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:work|root|opt|home|tmp)/\S*", document.read_text(encoding="utf-8")) == []


def test_operations_md_names_every_parameter_and_every_environment_variable() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    parsed = template()
    blocks = [parsed["Globals"]["Function"], *(r["Properties"] for r in parsed["Resources"].values())]
    variables = {name for block in blocks for name in block.get("Environment", {}).get("Variables", {})}
    assert [name for name in sorted({*parsed["Parameters"], *variables}) if f"`{name}`" not in text] == []
