"""The emulator's process: start it on loopback, wait until it answers, end it by its pid. It deploys nothing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from dev.local import REGION, ROOT_KEYS, Local, LocalStackError

START_SECONDS = 60
STOP_SECONDS = 30


def running(local: Local) -> int | None:
    """The pid of this stack's emulator, or None. A pid file that outlived its process counts as not running."""
    file = _pid_file(local)
    if not file.exists():
        return None
    pid = int(file.read_text())
    return pid if _alive(pid) and _is_emulator(pid) else None


def was_killed(local: Local) -> bool:
    """Whether the last emulator ended without `stop`, so that its state was not written."""
    return _pid_file(local).exists() and running(local) is None


def start(local: Local) -> None:
    """Start the emulator and wait until it answers; raises if the port is taken or it does not come up."""
    if running(local):
        return
    if _taken(local.port):
        raise LocalStackError(
            f"Port {local.port} is taken by another program: stop that one, or choose a port with PORT=4577."
        )
    shutil.rmtree(local.directory / "tmp", ignore_errors=True)
    for folder in ("state", "s3", "tmp"):
        (local.directory / folder).mkdir(parents=True, exist_ok=True)
    with (local.directory / "ministack.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=_environment(local),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Its own session: Ctrl-C reaches only the command that waits, which then ends it in order.
            start_new_session=True,
        )
    _pid_file(local).write_text(str(process.pid))
    (local.directory / "port").write_text(str(local.port))
    deadline = time.monotonic() + START_SECONDS
    while not _ready(local):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise LocalStackError(f"The emulator did not start: read {local.directory / 'ministack.log'}.")
        time.sleep(0.1)


def stop(local: Local) -> bool:
    """End the emulator, which writes its state while ending. False if it was not running."""
    pid = running(local)
    if pid is None:
        _pid_file(local).unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _alive(pid):
        if time.monotonic() > deadline:
            # Its state is written first; what it then waits for is work that was under way and has no result any more.
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    _pid_file(local).unlink(missing_ok=True)
    return True


def _environment(local: Local) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}
    settings = {
        "GATEWAY_PORT": str(local.port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(local.directory / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(local.directory / "s3"),
        # Functions unpack their layers under TMPDIR, once per process; every start begins with an empty one.
        "TMPDIR": str(local.directory / "tmp"),
        # Idle processes beyond the first of a function go after a minute: each holds memory and a copy of layers.
        "LAMBDA_WARM_TTL_SECONDS": "60",
        # Retries of a state machine wait a fiftieth of what they wait on AWS.
        "SFN_WAIT_SCALE": "0.02",
        # Listeners on fixed ports that the project does not use and a second stack could not open.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # The layers bring byte code along; a function's one file is not worth writing it.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return kept | ROOT_KEYS | settings


def _ready(local: Local) -> bool:
    try:
        with urllib.request.urlopen(f"{local.endpoint}/_ministack/ready", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _alive(pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG) == (pid, 0):
            return False
    except ChildProcessError:
        pass  # Started by another command: only its pid can be asked.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is_emulator(pid: int) -> bool:
    """False if another program has the pid since a crash; where there is no /proc, the pid file is believed."""
    command = Path(f"/proc/{pid}/cmdline")
    return not command.exists() or b"ministack" in command.read_bytes()


def _taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _pid_file(local: Local) -> Path:
    return local.directory / "ministack.pid"
