"""The dashboard and the alarms show what the code really tells, of functions that really exist."""

import json
import re
from typing import Any

import pytest

from segmentation import runtime, telemetry
from support.service import template

TEMPLATE = template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]
OWN = {"Fn::Sub": "Segmentation/${AWS::StackName}"}
ALARMS = {
    name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"
}
OF_SERVICES = {
    "AWS/Lambda": {"Errors", "Throttles", "Duration", "IteratorAge"},
    "AWS/ApiGateway": {"Count", "4xx", "5xx", "Latency"},
    "AWS/DynamoDB": {
        *("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits", "ReadThrottleEvents", "WriteThrottleEvents"),
    },
    "AWS/States": {"ExecutionsFailed", "ExecutionsTimedOut"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
}
"""Names that CloudWatch's documentation has of the services' own metrics; HTTP APIs have other names than REST APIs."""


def body() -> str:
    text: str = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    return text


def metrics() -> list[list[Any]]:
    """Every metric of the dashboard: namespace, name, dimensions, and how it is drawn."""
    return [metric for widget in json.loads(body())["widgets"] for metric in widget["properties"]["metrics"]]


def test_the_dashboard_shows_every_figure_that_the_code_tells_and_no_other() -> None:
    shown = {metric[1] for metric in metrics() if metric[0] == OWN["Fn::Sub"]}
    assert shown == set(telemetry.UNITS)


def test_the_dashboard_asks_services_for_metrics_that_they_have() -> None:
    for namespace, name, *_ in metrics():
        assert namespace == OWN["Fn::Sub"] or name in OF_SERVICES[namespace]


def test_the_dashboard_names_things_that_exist() -> None:
    named = {name.split(".")[0] for name in re.findall(r"\$\{([\w.:]+)\}", body())}
    assert named - {"AWS::StackName", "AWS::Region"} <= RESOURCES.keys()
    for metric in metrics():
        dimensions = dict(zip(metric[2:-1:2], metric[3:-1:2], strict=True))
        if "FunctionName" in dimensions:
            resource = RESOURCES[dimensions["FunctionName"].strip("${}")]
            assert resource["Type"] == "AWS::Serverless::Function"
        if "StateMachineArn" in dimensions:
            resource = RESOURCES[dimensions["StateMachineArn"].strip("${}")]
            assert resource["Type"] == "AWS::Serverless::StateMachine"


def test_the_dashboard_watches_everything_that_can_hold_up_the_service() -> None:
    shown = {(metric[0], metric[1]) for metric in metrics()}
    assert {(namespace, name) for namespace, names in OF_SERVICES.items() for name in names} <= shown


def test_the_dashboard_has_no_more_metrics_than_a_free_one_may_have() -> None:
    assert len(metrics()) <= 50


def test_widgets_of_the_dashboard_do_not_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in json.loads(body())["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not cells & taken
        assert widget["x"] + widget["width"] <= 24
        taken |= cells


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_a_metric_that_exists(name: str) -> None:
    alarm = ALARMS[name]
    if alarm["Namespace"] == OWN:
        assert alarm["MetricName"] in telemetry.UNITS
        assert alarm["Dimensions"] == [{"Name": "service", "Value": _variables()["POWERTOOLS_SERVICE_NAME"]}]
    else:
        assert alarm["MetricName"] in OF_SERVICES[alarm["Namespace"]]
    for dimension in alarm.get("Dimensions", []):
        if isinstance(dimension["Value"], dict):
            ((_, target),) = dimension["Value"].items()
            assert (target[0] if isinstance(target, list) else target) in RESOURCES


def test_no_two_alarms_watch_the_same() -> None:
    watched = [
        json.dumps([alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions")]) for alarm in ALARMS.values()
    ]
    assert len(set(watched)) == len(watched)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_looks_back_no_further_than_cloudwatch_allows(name: str) -> None:
    alarm = ALARMS[name]
    periods = alarm["EvaluationPeriods"]
    if isinstance(periods, dict):
        periods = TEMPLATE["Parameters"][periods["Ref"]]["MaxValue"]
    assert periods * alarm["Period"] <= (7 * 86400 if alarm["Period"] >= 3600 else 86400)
    assert alarm.get("DatapointsToAlarm", 1) <= periods


def test_runs_that_stopped_coming_are_an_alarm_while_the_schedule_is_on() -> None:
    alarm = RESOURCES["RunMissingAlarm"]
    assert alarm["Properties"]["TreatMissingData"] == "breaching"
    assert alarm["Properties"]["EvaluationPeriods"] == {"Ref": "StaleHours"}
    assert TEMPLATE["Conditions"]["ExpectsRuns"]["Fn::And"] == [
        {"Condition": "HasAlarms"},
        {"Fn::Equals": [{"Ref": "ScheduleState"}, "ENABLED"]},
    ]
    assert ALARMS["StaleSegmentsAlarm"]["TreatMissingData"] == "ignore"


def test_metrics_go_to_the_namespace_that_dashboard_and_alarms_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _variables()["POWERTOOLS_METRICS_NAMESPACE"] == OWN
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Segmentation/shop")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", _variables()["POWERTOOLS_SERVICE_NAME"])
    runtime.emit({"Entered": 3, "RunDuration": 1.5}, telemetry.UNITS)
    told = json.loads(capsys.readouterr().out)
    (declared,) = told["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Segmentation/shop"
    assert declared["Dimensions"] == [["service"]]
    assert declared["Metrics"] == [{"Name": "Entered", "Unit": "Count"}, {"Name": "RunDuration", "Unit": "Seconds"}]
    assert (told["Entered"], told["RunDuration"], told["service"]) == ([3.0], [1.5], "segmentation")


def test_nothing_to_tell_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    runtime.emit({}, telemetry.UNITS)
    assert capsys.readouterr().out == ""


def test_a_figure_that_nobody_declared_is_refused() -> None:
    with pytest.raises(KeyError):
        runtime.emit({"Invented": 1}, telemetry.UNITS)


def test_hours_until_a_segment_is_stale_come_from_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _variables()["STALE_HOURS"] == {"Ref": "StaleHours"}
    monkeypatch.setenv("STALE_HOURS", "30")
    assert runtime.stale_after().total_seconds() == 30 * 3600


def _variables() -> dict[str, Any]:
    variables: dict[str, Any] = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    return variables
