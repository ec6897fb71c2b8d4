"""Step Functions executions: start one by name. It knows nothing of what they do."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError


class Workflows:
    """The state machines of this deployment, by short name (`import`, `resegment`)."""

    def __init__(self, client: Any, arns: Mapping[str, str]) -> None:
        self._client = client
        self._arns = arns

    def start(self, machine: str, execution: str, payload: Mapping[str, Any]) -> None:
        """Start an execution; one of the same name that runs or ran is left as it is, so a repeated call starts
        nothing.
        """
        try:
            self._client.start_execution(
                stateMachineArn=self._arns[machine], name=execution[:80], input=json.dumps(payload)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise

    def is_running(self, execution: str) -> bool:
        """Whether the execution of this ARN is under way; False for one that ended or that nobody knows."""
        try:
            found = self._client.describe_execution(executionArn=execution)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return False
        return bool(found["status"] == "RUNNING")
