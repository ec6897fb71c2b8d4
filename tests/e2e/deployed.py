"""The stack that the end-to-end tests talk to, as any client would: HTTP with a token, and the bucket.

It knows no use case.
"""

import http.client
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dev.local import Local

PATIENCE_SECONDS = 120
ENDED = ("succeeded", "failed")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer with its body parsed where it is JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class Deployed:
    """A deployed stack, and the tokens of people that were made for the tests."""

    local: Local
    description: dict[str, Any]
    patience: float = PATIENCE_SECONDS
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def client(self, service: str) -> Any:
        """A client of the account's root."""
        if service not in self._clients:
            self._clients[service] = self.local.client(service)
        return self._clients[service]

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def bucket(self) -> str:
        return str(self.description["bucket"])

    def token(self, group: str) -> str:
        """An access token of a person in this group."""
        if group not in self._tokens:
            pool, name, password = self.description["userPoolId"], f"person-{group}", f"Aa1-of-{group}-for-tests"
            cognito = self.client("cognito-idp")
            cognito.admin_create_user(UserPoolId=pool, Username=name, MessageAction="SUPPRESS")
            cognito.admin_set_user_password(UserPoolId=pool, Username=name, Password=password, Permanent=True)
            cognito.admin_add_user_to_group(UserPoolId=pool, Username=name, GroupName=group)
            answer = cognito.initiate_auth(
                AuthFlow="USER_PASSWORD_AUTH",
                ClientId=self.description["clientId"],
                AuthParameters={"USERNAME": name, "PASSWORD": password},
            )
            self._tokens[group] = str(answer["AuthenticationResult"]["AccessToken"])
        return self._tokens[group]

    # ------------------------------------------------------------------ HTTP

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = "",
        **query: Any,
    ) -> Answer:
        """One request, its path sent as it is. The token is an admin's unless one is given; None sends none."""
        base = urllib.parse.urlsplit(self.description["apiUrl"])
        target = f"{base.path}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token('admin')}"
        connection = http.client.HTTPConnection(base.netloc, timeout=60)
        try:
            content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, target, content, {**sent, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        is_json = "json" in found.get("content-type", "")
        return Answer(answer.status, json.loads(text) if is_json and text else text.decode(), found)

    def call(self, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """The body of an answer that must have this status."""
        answer = self.send(method, path, body, **options)
        assert answer.status == status, f"{method} {path} answered {answer.status}: {answer.body}"
        return answer.body

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query)

    def everything(self, path: str, **query: Any) -> Iterator[Any]:
        """All items of a list, page by page."""
        token: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **token)
            yield from page["items"]
            if not page["nextToken"]:
                return
            token = {"nextToken": page["nextToken"]}

    # ----------------------------------------------------------------- files

    def drop(self, key: str, body: bytes | str, mapping: Mapping[str, Any] | None = None) -> None:
        """Put a file into the bucket, its mapping first."""
        if mapping is not None:
            self.s3.put_object(Bucket=self.bucket, Key=f"{key}.mapping.json", Body=json.dumps(mapping).encode())
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode() if isinstance(body, str) else body)

    def download(self, link: str) -> bytes:
        """What anybody gets by a link, without a token."""
        with urllib.request.urlopen(link, timeout=60) as answer:
            content: bytes = answer.read()
        return content

    # ------------------------------------------------------------------ jobs

    def jobs_of(self, key: str) -> list[dict[str, Any]]:
        """Jobs of a dropped file, newest first."""
        return [
            job
            for job in self.everything("/jobs", limit=200)
            if key in (job["details"].get("key"), job["details"].get("request"))
        ]

    def imported(self, key: str, body: bytes | str, mapping: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Drop a file and wait for the end of its import, whatever it is."""
        before = len(self.jobs_of(key))
        self.drop(key, body, mapping)
        found = self.wait(f"a job of {key}", lambda: self.jobs_of(key)[: -before or None])
        return self.ended(found[0]["jobId"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended, well or not."""

        def end() -> dict[str, Any] | None:
            job = self.get(f"/jobs/{job_id}")
            return job if job["status"] in ENDED else None

        return self.wait(f"the end of {job_id}", end)

    def succeeded(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended well."""
        job = self.ended(job_id)
        assert job["status"] == "succeeded", job
        return job

    def created(self, *segments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answers to create_segment, in this order, once all runs have ended well."""
        made = [self.call("POST", "/segments", segment, 201) for segment in segments]
        for answer in made:
            self.succeeded(answer["jobId"])
        return made

    def members(self, segment_id: str) -> set[str]:
        return {member["customerId"] for member in self.everything(f"/segments/{segment_id}/members", limit=1000)}

    def wait[T](self, what: str, check: Callable[[], T], seconds: float | None = None) -> T:
        """The first true answer of a check that is made again and again."""
        seconds = self.patience if seconds is None else seconds
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
            time.sleep(0.2)
        return found
