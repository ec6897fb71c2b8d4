"""A client of one deployed stack: signs in, calls the API, puts files into the bucket. It knows nothing of a shop."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dev.local import Local, LocalStackError

Json = dict[str, Any]
TIMEOUT_SECONDS = 60
BUSY = (429, 502, 503, 504)
ATTEMPTS = 6


class ApiError(LocalStackError):
    """The API refused a request: `status`, and the problem document's sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Client:
    """What `stack.json` describes, and the token of its user."""

    local: Local
    description: Json
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, local: Local) -> "Client":
        """Raises LocalStackError where no stack was ever deployed."""
        description = local.describe()
        if not description:
            raise LocalStackError(f"There is no stack in {local.directory.name}/ yet: `make run` makes one.")
        return cls(local, description)

    def sign_in(self) -> str:
        """A fresh access token by name and password."""
        try:
            answer = self.local.client("cognito-idp").initiate_auth(
                AuthFlow="USER_PASSWORD_AUTH",
                ClientId=self.description["clientId"],
                AuthParameters={"USERNAME": self.description["username"], "PASSWORD": self.description["password"]},
            )
        except (BotoCoreError, ClientError) as error:
            raise LocalStackError(f"Signing in at {self.description['endpointUrl']} failed: {error}.") from error
        self.token = str(answer["AuthenticationResult"]["AccessToken"])
        return self.token

    def get(self, path: str, **query: str | int) -> Json:
        """Raises ApiError."""
        return self.call("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)

    def find(self, path: str) -> Json | None:
        """Like `get`, with None where there is nothing."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def post(self, path: str, body: Json) -> Json:
        """Raises ApiError."""
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request, repeated while the service is busy, and once with a fresh token when the old one has run out."""
        renewed = False
        for attempt in range(ATTEMPTS):
            if not self.token:
                self.sign_in()
            try:
                return self._send(method, path, body)
            except ApiError as error:
                if error.status == 401 and not renewed:
                    self.token, renewed = "", True
                elif error.status not in BUSY or attempt + 1 == ATTEMPTS:
                    raise
                else:
                    time.sleep(0.3 * 2**attempt)
        raise LocalStackError(f"{method} {path} was refused {ATTEMPTS} times.")

    def upload(self, path: Path, key: str) -> None:
        """Put a file into the bucket."""
        try:
            self.local.client("s3").upload_file(str(path), self.description["bucket"], key)
        except (BotoCoreError, ClientError, OSError) as error:
            raise LocalStackError(f"Dropping {path.name} into the bucket failed: {error}.") from error

    def _send(self, method: str, path: str, body: Json | None) -> Json:
        request = urllib.request.Request(
            self.description["apiUrl"] + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                content: Json = json.loads(answer.read() or b"{}")
                return content
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, f"{method} {path} answered {error.code}: {_sentence(error.read())}") from error
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise LocalStackError(f"Nothing answers at {self.description['apiUrl']}: {error}.") from error


def _sentence(body: bytes) -> str:
    """What a problem document says, or the beginning of whatever came instead."""
    try:
        problem = json.loads(body)
        details = "; ".join(f"{error['field']}: {error['message']}" for error in problem.get("errors") or [])
        return details or str(problem.get("detail") or problem.get("message") or problem)
    except (ValueError, AttributeError, KeyError, TypeError):
        return body[:300].decode(errors="replace")
