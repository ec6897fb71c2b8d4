"""The template deploys what the code declares, lets each function do only its part, and loses nothing on the way."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonata
import pytest
import yaml

import segmentation
from segmentation import errors, runs
from support import functions
from support.service import template

ROOT = Path(__file__).parents[2]
TEMPLATE = template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
FUNCTIONS = {
    resource["Properties"]["CodeUri"].removeprefix("functions/"): resource["Properties"]
    for resource in RESOURCES.values()
    if resource["Type"] == "AWS::Serverless::Function"
}
MACHINES = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::StateMachine"
}
DEFINITIONS = {
    name: yaml.safe_load((ROOT / machine["DefinitionUri"]).read_text()) for name, machine in MACHINES.items()
}
POLICY_TEMPLATES = {
    "DynamoDBReadPolicy": "TableName",
    "DynamoDBCrudPolicy": "TableName",
    "StepFunctionsExecutionPolicy": "StateMachineName",
    "LambdaInvokePolicy": "FunctionName",
}
COMPUTING = {
    *(
        "create_segment",
        "update_segment",
        "preview_segment",
        "assign_customers",
        "unassign_customers",
        "explain_member",
    ),
    *("put_customer", "get_customer", "delete_customer", "plan_import", "import_chunk", "evaluate_partition"),
    *("get_migration", "list_moves"),
    "list_members",
    *("finish_import", "finish_run", "write_export", "measure_partition", "fit_models"),
}
"""Functions that read or write Parquet; all others start without Arrow."""

WORTH_ANOTHER_TRY = {errors.Conflict, errors.StaleVersion, errors.TooBusy}
"""Domain errors that may be gone a moment later; the same input raises any other one again."""


# ------------------------------------------------------------------ functions


def test_folders_are_exactly_the_deployed_functions() -> None:
    assert sorted(FUNCTIONS) == functions.NAMES


def test_every_function_has_one_event_and_every_event_a_function() -> None:
    assert sorted(file.stem for file in (ROOT / "events").glob("*.json")) == sorted(FUNCTIONS)


def test_every_function_has_a_heading_in_the_reference() -> None:
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert {heading for heading in headings if "_" in heading} == set(FUNCTIONS)


@pytest.mark.parametrize("operation", FUNCTIONS)
def test_the_logical_id_is_the_folder_in_pascal_case(operation: str) -> None:
    logical_id = "".join(word.capitalize() for word in operation.split("_"))
    assert RESOURCES[logical_id]["Properties"]["CodeUri"] == f"functions/{operation}"


def test_only_functions_that_compute_carry_the_data_layer() -> None:
    carrying = {name for name, properties in FUNCTIONS.items() if {"Ref": "DataLayer"} in properties.get("Layers", [])}
    assert carrying == COMPUTING


@pytest.mark.parametrize("operation", FUNCTIONS)
def test_route_and_method_are_those_that_the_code_declares(operation: str) -> None:
    routes = {
        (event["Properties"]["Method"], _declared(event["Properties"]["Path"]))
        for event in FUNCTIONS[operation].get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }
    api = getattr(functions.load(operation), "api", None)
    assert routes == ({(api.method, _declared(api.path))} if api else set())


def _declared(path: str) -> str:
    """A path without what the template does for ids with slashes: greedy parts, and further parts of the id."""
    path = re.sub(r"/\{p\d\}", "", path).replace("+}", "}")
    return path.removesuffix("/explanation")


def test_routes_with_a_customer_take_ids_with_slashes() -> None:
    for function in FUNCTIONS.values():
        events = [event["Properties"] for event in function.get("Events", {}).values() if event["Type"] == "HttpApi"]
        paths = [event["Path"] for event in events if "{customerId" in event["Path"]]
        assert not paths or paths[0].endswith("{customerId+}") or len(paths) == 5


def test_every_route_but_health_is_behind_the_authorizer() -> None:
    assert RESOURCES["Api"]["Properties"]["Auth"]["DefaultAuthorizer"] == "Jwt"
    opened = [
        name
        for name, properties in FUNCTIONS.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "HttpApi" and "Auth" in event["Properties"]
    ]
    assert opened == ["get_health"]


def test_a_function_ends_before_the_api_stops_waiting_for_it() -> None:
    default = TEMPLATE["Globals"]["Function"]["Timeout"]
    assert all(FUNCTIONS[name].get("Timeout", default) < 30 for name in _routes())


# ---------------------------------------------------------------- permissions


@pytest.mark.parametrize("name", [*FUNCTIONS, *MACHINES])
def test_policies_name_actions_and_resources(name: str) -> None:
    for policy in _properties(name).get("Policies", []):
        for statement in policy.get("Statement", []):
            assert statement["Effect"] == "Allow"
            assert all(re.fullmatch(r"[a-z0-9]+:[A-Za-z]+", action) for action in _listed(statement["Action"]))
            assert all(_is_narrow(resource) for resource in _listed(statement["Resource"])), statement
        if "Statement" not in policy:
            ((kind, arguments),) = policy.items()
            assert list(arguments) == [POLICY_TEMPLATES[kind]]


@pytest.mark.parametrize("operation", FUNCTIONS)
def test_listing_the_bucket_is_allowed_below_named_prefixes_only(operation: str) -> None:
    for statement in _statements(operation):
        if any("ListBucket" in action for action in _listed(statement["Action"])):
            prefixes = _listed(statement["Condition"]["StringLike"]["s3:prefix"])
            assert prefixes
            assert all(re.fullmatch(r"[a-z]+/([a-z]+/)?\*", prefix) for prefix in prefixes)


@pytest.mark.parametrize("operation", FUNCTIONS)
def test_a_function_may_start_exactly_the_state_machines_that_it_knows(operation: str) -> None:
    properties = FUNCTIONS[operation]
    variables = properties.get("Environment", {}).get("Variables", {})
    known = {value["Ref"] for name, value in variables.items() if name.endswith("STATE_MACHINE_ARN")}
    allowed = {
        policy["StepFunctionsExecutionPolicy"]["StateMachineName"]["Fn::GetAtt"][0]
        for policy in properties.get("Policies", [])
        if "StepFunctionsExecutionPolicy" in policy
    }
    assert known == allowed


def test_functions_that_only_read_cannot_write_the_table() -> None:
    reading = {name for name, policies in _policy_kinds().items() if "DynamoDBReadPolicy" in policies}
    getting = {name for name, event in _methods().items() if event == "GET"}
    assert getting - {"get_health"} <= reading
    assert reading - getting == {"preview_segment"}


# --------------------------------------------------------------- what arrives


def test_what_cannot_be_delivered_ends_in_the_dead_letter_queue() -> None:
    queue = {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    kinds = set()
    for resource in RESOURCES.values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            properties = event["Properties"]
            if event["Type"] in ("EventBridgeRule", "ScheduleV2"):
                assert properties["DeadLetterConfig"]["Arn"] == queue
                assert properties["RetryPolicy"]["MaximumRetryAttempts"] >= 5
            elif event["Type"] == "DynamoDB":
                assert properties["DestinationConfig"]["OnFailure"]["Destination"] == queue
                assert properties["BisectBatchOnFunctionError"] is True
            kinds.add(event["Type"])
    assert kinds == {"HttpApi", "EventBridgeRule", "ScheduleV2", "DynamoDB"}
    assert FUNCTIONS["write_export"]["DeadLetterQueue"]["TargetArn"] == queue


def test_alarms_exist_only_with_a_topic_and_notify_it() -> None:
    alarms = [resource for resource in RESOURCES.values() if resource["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms) >= 15
    assert {alarm["Condition"] for alarm in alarms} == {"HasAlarms", "ExpectsRuns"}
    assert TEMPLATE["Conditions"]["ExpectsRuns"]["Fn::And"][0] == {"Condition": "HasAlarms"}
    assert all(alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmTopic"}] for alarm in alarms)


def test_table_and_bucket_are_protected_and_outlive_the_stack() -> None:
    table, bucket = RESOURCES["Table"], RESOURCES["Bucket"]
    assert {table["DeletionPolicy"], bucket["DeletionPolicy"], RESOURCES["UserPool"]["DeletionPolicy"]} == {"Retain"}
    assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["Properties"]["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    assert bucket["Properties"]["VersioningConfiguration"]["Status"] == "Enabled"
    (statement,) = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_access_log_does_not_name_customers() -> None:
    assert "$context.path" not in RESOURCES["Api"]["Properties"]["AccessLogSettings"]["Format"]


# -------------------------------------------------------------- state machines


@pytest.mark.parametrize("name", MACHINES)
def test_a_state_machine_calls_the_functions_that_it_may_call(name: str) -> None:
    properties, text = MACHINES[name], (ROOT / MACHINES[name]["DefinitionUri"]).read_text()
    placeholders = set(re.findall(r"\$\{(\w+)\}", text))
    assert placeholders == set(properties["DefinitionSubstitutions"])
    invoked = {
        policy["LambdaInvokePolicy"]["FunctionName"]["Ref"]
        for policy in properties["Policies"]
        if "LambdaInvokePolicy" in policy
    }
    assert invoked == placeholders - {"MapConcurrency"}


@pytest.mark.parametrize("name", MACHINES)
def test_every_step_has_a_time_limit_and_is_retried_with_growing_pauses(name: str) -> None:
    tasks = {label: state for label, state in _states(DEFINITIONS[name]) if state["Type"] == "Task"}
    assert len(tasks) >= 3
    for task in tasks.values():
        function = RESOURCES[task["Resource"].strip("${}")]["Properties"]
        assert task["TimeoutSeconds"] > function["Timeout"]
        never, rest = task["Retry"]
        assert never["MaxAttempts"] == 0
        assert rest["ErrorEquals"] == ["States.ALL"]
        assert rest["MaxAttempts"] >= 3
        assert rest["BackoffRate"] > 1
        assert rest["JitterStrategy"] == "FULL"


@pytest.mark.parametrize("name", MACHINES)
def test_an_error_that_stays_the_same_is_not_retried(name: str) -> None:
    kinds = {kind for kind in _subclasses(errors.SegmentationError) if kind not in WORTH_ANOTHER_TRY}
    for _, state in _states(DEFINITIONS[name]):
        if state["Type"] == "Task":
            assert set(state["Retry"][0]["ErrorEquals"]) == {kind.__name__ for kind in kinds}


@pytest.mark.parametrize(("name", "last"), [("ImportFile", "FinishImport"), ("Resegment", "FinishRun")])
def test_whatever_fails_the_last_step_is_told(name: str, last: str) -> None:
    assert DEFINITIONS[name]["TimeoutSeconds"] > 0
    for label, state in DEFINITIONS[name]["States"].items():
        if label == "FitModels":
            # Models that cannot be fitted keep no segment from its evaluation; the last step still hears of it.
            (catch,) = state["Catch"]
            assert catch == {
                "ErrorEquals": ["States.ALL"],
                "ResultPath": "$.fitError",
                "Next": DEFINITIONS[name]["States"][state["Next"]]["Default"],
            }
        elif state["Type"] in ("Task", "Map") and label != "Close":
            (catch,) = state["Catch"]
            following = "Close" if label == last else last
            assert catch == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": following}


@pytest.mark.parametrize(
    ("name", "part"), [("ImportFile", "chunk"), ("ImportFile", "partition"), ("Resegment", "partition")]
)
def test_a_part_that_failed_is_reported_with_its_number_and_reason(name: str, part: str) -> None:
    machine = DEFINITIONS[name]["States"]
    mapped = machine["ImportChunks" if part == "chunk" else "EvaluatePartitions"]
    report = mapped["ItemProcessor"]["States"]["Report"]["Output"]
    succeeded = _evaluate(report, {part: 1, "result": {"rows": 5}, "room": 1000})
    caught = _evaluate(report, {part: 2, "error": {"Error": "Sandbox.Timedout", "Cause": "x" * 5000}, "room": 1000})
    other = {"failure": {part: 3, "error": "InvalidFile", "cause": "no rows"}}
    assert succeeded == {}
    assert caught == {"failure": {part: 2, "error": "Sandbox.Timedout", "cause": "x" * 1000}}
    if name == "ImportFile":
        assert _evaluate(report, {part: 3, "result": other}) == other
    gather = machine["GatherChunks" if part == "chunk" else "GatherPartitions"]["Output"]
    gathered = _evaluate(gather, {"jobId": "j", f"{part}s": [succeeded, caught, other]})
    assert gathered == {"jobId": "j", f"{part}s": {"failures": [caught["failure"], other["failure"]]}}
    assert _evaluate(gather, {f"{part}s": [{}, {}]}) == {f"{part}s": {"failures": []}}


def test_the_schedule_is_read_in_its_time_zone_as_the_parameters_say() -> None:
    (schedule,) = [e["Properties"] for e in MACHINES["Resegment"]["Events"].values() if e["Type"] == "ScheduleV2"]
    assert schedule["ScheduleExpression"] == {"Ref": "Schedule"}
    assert schedule["ScheduleExpressionTimezone"] == {"Ref": "ScheduleTimezone"}
    assert schedule["State"] == {"Ref": "ScheduleState"}
    assert json.loads(schedule["Input"]) == {}
    defaults = {name: TEMPLATE["Parameters"][name]["Default"] for name in ("Schedule", "ScheduleTimezone")}
    assert defaults == {"Schedule": "cron(0 3 * * ? *)", "ScheduleTimezone": "UTC"}


def test_workers_of_a_run_get_their_partition_and_nothing_long() -> None:
    states = DEFINITIONS["Resegment"]["States"]
    for name, path in (("MeasurePartitions", "$.plan.measures"), ("EvaluatePartitions", "$.plan.partitions")):
        assert states[name]["ItemsPath"] == path
        selected = {"jobId.$": "$.plan.jobId", "kind.$": "$.plan.kind", "partition.$": "$$.Map.Item.Value"}
        assert states[name]["ItemSelector"] == {**selected, "room.$": "$.plan.room"}


def test_failures_of_all_partitions_fit_into_a_state() -> None:
    for name in ("MeasurePartitions", "EvaluatePartitions"):
        report = DEFINITIONS["Resegment"]["States"][name]["ItemProcessor"]["States"]["Report"]["Output"]
        failed = {"partition": 3000, "error": {"Error": "Sandbox.Timedout", "Cause": "x" * 5000}}
        assert _evaluate(report, {**failed, "room": 0}) == {"failure": {"partition": 3000}}
        for partitions in (1, 16, 100, 512, 3000):
            found = _evaluate(report, {**failed, "room": runs.room_of(partitions)})
            assert partitions * len(json.dumps(found)) < 120_000


def test_a_second_round_measures_the_partitions_that_the_plan_has_for_it() -> None:
    states = DEFINITIONS["Resegment"]["States"]
    (again,) = states["IsAnotherRoundNeeded"]["Choices"]
    assert {rule["Variable"] for rule in again["And"]} == {"$.fitted.again"}
    assert states[again["Next"]]["Next"] == "MeasurePartitions"
    for described in ([0, 1, 2], [1], []):
        before = {"plan": {"jobId": "j", "measures": [2], "describes": described}, "fitted": {"again": True}}
        after = _evaluate(states["NextRound"]["Output"], before)
        assert after == {**before, "plan": {"jobId": "j", "measures": described, "describes": described}}


def test_a_run_that_waits_for_its_turn_asks_again_until_its_time_is_over() -> None:
    states = DEFINITIONS["Resegment"]["States"]
    waits = [c["Next"] for c in states["IsThereWork"]["Choices"] if "$.plan.wait" in json.dumps(c)]
    assert waits == ["WaitForTurn"]
    assert (states["WaitForTurn"]["Type"], states["WaitForTurn"]["Next"]) == ("Wait", "PlanRun")
    assert DEFINITIONS["Resegment"]["TimeoutSeconds"] >= 100 * states["WaitForTurn"]["Seconds"]


# --------------------------------------------------------------------- helpers


def _routes() -> dict[str, str]:
    return {
        name: event["Properties"]["Path"]
        for name, properties in FUNCTIONS.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }


def _methods() -> dict[str, str]:
    return {
        name: event["Properties"]["Method"]
        for name, properties in FUNCTIONS.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "HttpApi"
    }


def _properties(name: str) -> dict[str, Any]:
    return FUNCTIONS.get(name) or MACHINES[name]


def _statements(operation: str) -> Iterator[dict[str, Any]]:
    for policy in FUNCTIONS[operation].get("Policies", []):
        yield from policy.get("Statement", [])


def _policy_kinds() -> dict[str, set[str]]:
    return {
        name: {kind for policy in properties.get("Policies", []) for kind in policy}
        for name, properties in FUNCTIONS.items()
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_narrow(resource: Any) -> bool:
    """One resource, or what lies below a named prefix of the bucket or under a named state machine."""
    if "Fn::GetAtt" in resource:
        return True
    arn = resource["Fn::Sub"]
    return "*" not in arn or bool(re.fullmatch(r"\$\{Bucket\.Arn\}/[a-z/-]+/\*|arn:.*:execution:[^*]+[:/]\*", arn))


def _states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for label, state in definition["States"].items():
        yield label, state
        if state["Type"] == "Map":
            yield from _states(state["ItemProcessor"])


def _subclasses(kind: type) -> set[type]:
    for module in pkgutil.walk_packages(segmentation.__path__, "segmentation."):
        if module.name == "segmentation.errors" or module.name.endswith("errors"):
            importlib.import_module(module.name)
    return {found for below in kind.__subclasses__() for found in {below, *_subclasses(below)}}


def _evaluate(expression: str, state: dict[str, Any]) -> Any:
    """What Step Functions makes of a JSONata expression with this input."""
    program = jsonata.Jsonata(expression.strip().removeprefix("{%").removesuffix("%}"))
    program.assign("states", {"input": state})
    return json.loads(json.dumps(program.evaluate(None)))
