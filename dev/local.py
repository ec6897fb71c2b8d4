"""Where a local stack lives: its folder, its port and the names that all of `dev` agree on. It starts nothing."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

REPOSITORY = Path(__file__).resolve().parent.parent
STACK_NAME = "segmentation"
REGION = "us-east-1"
# The emulator's root keys: with IAM enforcement on, the deploying client has to be its root.
ROOT_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class LocalStackError(Exception):
    """Something that a developer has to mend; the message is one sentence that says how."""


@dataclass(frozen=True)
class Local:
    """One local stack. Several live side by side, each with its own folder and port."""

    directory: Path
    port: int

    @classmethod
    def from_environment(cls) -> "Local":
        """The stack that STACK_DIR (default `.local`) and PORT (default 4566, or the port it was started with) name."""
        # `make` passes both on, empty where they were not given.
        directory = (REPOSITORY / (os.environ.get("STACK_DIR") or ".local")).resolve()
        if REPOSITORY.is_relative_to(directory):
            raise LocalStackError(
                f"STACK_DIR={directory} holds the repository: name a folder for the stack's state alone."
            )
        port = os.environ.get("PORT") or _started_port(directory) or "4566"
        if not port.isdigit() or not 1024 <= int(port) <= 65535:
            raise LocalStackError(f"PORT={port} is not a port: give a number from 1024 to 65535.")
        return cls(directory, int(port))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def description(self) -> Path:
        """The file that any client can drive the stack with."""
        return self.directory / "stack.json"

    def describe(self) -> dict[str, Any]:
        """What `stack.json` says, empty before the first deployment."""
        if not self.description.exists():
            return {}
        content: dict[str, Any] = json.loads(self.description.read_text())
        return content

    def client(self, service: str) -> Any:
        """A client of the emulator's root, which IAM enforcement lets do everything."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ROOT_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ROOT_KEYS["AWS_SECRET_ACCESS_KEY"],
        )


def _started_port(directory: Path) -> str | None:
    file = directory / "port"
    return file.read_text().strip() if file.exists() else None
