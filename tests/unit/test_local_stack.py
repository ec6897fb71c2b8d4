"""The local stack's folder and port: what a developer may ask for, and what is refused in a sentence."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev import emulator, gaps, stack
from dev.local import REPOSITORY, Local, LocalStackError


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STACK_DIR", raising=False)
    monkeypatch.delenv("PORT", raising=False)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_empty_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK_DIR", "")
    monkeypatch.setenv("PORT", "")
    assert Local.from_environment().directory == REPOSITORY / ".local"


def test_a_stack_keeps_the_port_it_was_started_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STACK_DIR", str(tmp_path))
    assert Local.from_environment().port == 4566
    (tmp_path / "port").write_text("4599\n")
    assert Local.from_environment().endpoint == "http://127.0.0.1:4599"


@pytest.mark.parametrize("folder", [".", "..", "/"])
def test_a_folder_that_holds_the_repository_is_refused(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("STACK_DIR", folder)
    with pytest.raises(LocalStackError, match="holds the repository"):
        Local.from_environment()


@pytest.mark.parametrize("port", ["80", "70000", "http", "-1"])
def test_what_is_no_port_is_refused_with_its_value(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("PORT", port)
    with pytest.raises(LocalStackError, match=f"PORT={port} "):
        Local.from_environment()


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(LocalStackError, match=f"Port {taken_port} is taken"):
        emulator.start(Local(tmp_path, taken_port))
    assert list(tmp_path.iterdir()) == []


def test_a_pid_that_another_program_has_since_is_not_taken_for_the_emulator(tmp_path: Path) -> None:
    (tmp_path / "ministack.pid").write_text(str(os.getpid()))
    local = Local(tmp_path, 4566)
    assert emulator.running(local) is None
    assert emulator.was_killed(local)
    assert emulator.stop(local) is False
    assert not emulator.was_killed(local)


def test_reset_forgets_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    (folder / "state").mkdir(parents=True)
    stack.reset(Local(folder, 4566))
    assert not folder.exists()
    assert tmp_path.exists()


def test_routes_lead_to_the_functions_that_the_processed_template_names() -> None:
    client = RecordedGateway()
    uri = {"Fn::Sub": "arn:aws:apigateway:x:lambda:path/functions/${GetSegment.Arn}/invocations"}
    integration = {"x-amazon-apigateway-integration": {"uri": uri}}
    paths = {
        "/segments/{segmentId}": {"get": {**integration, "security": [{"Jwt": []}]}},
        "/health": {"get": integration},
    }
    outputs = {"ApiId": "a1", "Issuer": "https://issuer.example", "ClientId": "c", "MachineClientId": "m"}
    gaps.create_routes(client, outputs, paths, {"GetSegment": "segmentation-GetSegment-1"})
    protected, opened = client.calls["create_route"]
    assert protected["RouteKey"] == "GET /segments/{segmentId}"
    assert (protected["AuthorizationType"], protected["AuthorizerId"]) == ("JWT", "jwt")
    assert "AuthorizationType" not in opened
    assert client.calls["create_integration"][0]["IntegrationUri"].endswith(":function:segmentation-GetSegment-1")
    assert client.calls["delete_route"] == [{"ApiId": "a1", "RouteId": "old"}]


class RecordedGateway:
    """The calls that an API Gateway client received; one route was there before."""

    def __init__(self) -> None:
        self.calls: dict[str, list[dict[str, object]]] = {}

    def __getattr__(self, name: str) -> object:
        answers: dict[str, object] = {"AuthorizerId": "jwt", "IntegrationId": "i", "Items": []}
        if name == "get_routes":
            answers["Items"] = [{"RouteId": "old"}]

        def call(**arguments: object) -> dict[str, object]:
            self.calls.setdefault(name, []).append(arguments)
            return answers

        return call
