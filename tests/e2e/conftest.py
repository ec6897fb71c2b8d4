"""One local stack for all end-to-end tests: the real template on the emulator, in a folder and on a port of its own."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.deployed import Deployed

from dev import emulator
from dev import stack as dev_stack
from dev.local import Local

LOG_CHARACTERS = 6000
_LOCAL = pytest.StashKey[Local]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder needs the stack."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Deployed]:
    """The deployed template, with IAM enforcement on."""
    with tempfile.TemporaryDirectory(prefix="segmentation-e2e-", ignore_cleanup_errors=True) as folder:
        local = Local(Path(folder).resolve(), _free_port())
        request.config.stash[_LOCAL] = local
        try:
            dev_stack.up(local)
            yield Deployed(local, local.describe())
        finally:
            emulator.stop(local)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the end of the emulator's log beside a failure."""
    report: pytest.TestReport = yield
    local = item.config.stash.get(_LOCAL, None)
    if report.failed and local and (log := local.directory / "ministack.log").exists():
        report.sections.append(("the end of the emulator's log", log.read_text(errors="replace")[-LOG_CHARACTERS:]))
    return report


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
