"""The local stack's command line, for make and the end-to-end tests: `python -m dev.stack up|run|stop|reset`."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType

from dev import deploy, emulator
from dev.local import REPOSITORY, Local, LocalStackError


def up(local: Local) -> None:
    """Bring the stack up with what the sources say now: start, build and deploy, each only if needed."""
    local.directory.mkdir(parents=True, exist_ok=True)
    if emulator.running(local) is None:
        if emulator.was_killed(local):
            _say("The emulator was killed the last time and could not write its state: starting afresh.")
            deploy.forget_unfinished(local)
        _timed(f"starting the emulator on port {local.port}", lambda: emulator.start(local))
    version = deploy.fingerprint()
    _timed("building", lambda: deploy.build(version))
    _timed("deploying", lambda: deploy.deploy(local, version))


def run(local: Local, detach: bool) -> None:
    """Bring the stack up, do the main job on it, and stay until Ctrl-C unless `detach`."""
    up(local)
    environment = os.environ | {"STACK_DIR": str(local.directory), "PORT": str(local.port)}
    job = subprocess.run([sys.executable, "-m", "dev.main_job"], cwd=REPOSITORY, env=environment)
    if job.returncode:
        stop(local)
        raise LocalStackError(
            f"The main job ended with code {job.returncode}; the stack is stopped and its state kept."
        )
    if detach:
        _say("The stack stays up; `make stop` ends it.")
        return
    _say("Press Ctrl-C to stop.")
    while emulator.running(local):
        time.sleep(1)
    raise LocalStackError(f"The emulator ended by itself: read {local.directory / 'ministack.log'}.")


def stop(local: Local) -> None:
    """End the emulator and keep its state."""
    _timed("stopping the emulator and writing its state", lambda: emulator.stop(local))


def reset(local: Local) -> None:
    """End the emulator and forget everything the stack ever held."""
    stop(local)
    shutil.rmtree(local.directory, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.stack", description=__doc__)
    parser.add_argument("command", choices=["up", "run", "stop", "reset"])
    parser.add_argument("--detach", action="store_true", help="run: return once the main job is done")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        local = Local.from_environment()
        if arguments.command == "run":
            try:
                run(local, arguments.detach)
            except KeyboardInterrupt:
                print()
                stop(local)
        else:
            {"up": up, "stop": stop, "reset": reset}[arguments.command](local)
    except LocalStackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _timed(what: str, step: Callable[[], object]) -> None:
    started = time.monotonic()
    step()
    _say(f"{what}: {time.monotonic() - started:.1f} s")


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
