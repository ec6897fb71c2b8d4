"""One local stack for all end-to-end tests: the real template on the emulator, in a folder and on a port of its own."""

import contextlib
import functools
import io
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e import shop_files
from e2e.deployed import Deployed

from dev import emulator, main_job, shop
from dev import stack as dev_stack
from dev.client import Client
from dev.local import Local

LOG_CHARACTERS = 6000
LARGEST = tuple(Path(__file__).with_name(name) for name in ("test_scale.py", "test_retail.py"))
_LOCAL = pytest.StashKey[Local]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder needs the stack. What imports most comes last: it makes all evaluations slower."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    items.sort(key=lambda item: LARGEST.index(item.path) + 1 if item.path in LARGEST else 0)


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
            if pid := emulator.running(local):
                # In good order it would write its state first, which nobody will read.
                os.kill(pid, signal.SIGKILL)
            emulator.stop(local)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> shop_files.Files:
    """The files that the main job drops."""
    return shop_files.generated(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def do_main_job(stack: Deployed) -> Callable[[], str]:
    """The main job of `make run` on a small shop, as often as one likes; returns what it prints."""

    def do() -> str:
        small = functools.partial(shop.generate, customers=shop_files.CUSTOMERS, end=shop_files.END)
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
            patch.setattr(shop, "generate", small)
            main_job.main_job(Client.of(stack.local))
        return output.getvalue()

    return do


@pytest.fixture(scope="session")
def printed(do_main_job: Callable[[], str]) -> str:
    """What the main job printed the first time: the shop is imported, and its segments are evaluated."""
    return do_main_job()


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
