"""Responses to POSTs that carried an Idempotency-Key, kept for a day so that a repeated request is answered, not
repeated.
"""

import hashlib
import re
import time
from dataclasses import dataclass

from segmentation.errors import Conflict, FieldError, InvalidInput
from segmentation.store import keys
from segmentation.store.table import ABSENT, ConditionFailed, Table

KEEP_SECONDS = 24 * 3600
_WORKING_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """A response as it was sent: status and body text."""

    status: int
    body: str


@dataclass(frozen=True)
class Request:
    """Who asked what under which key; `fingerprint` is a hash of the body."""

    operation: str
    caller: str
    token: str
    fingerprint: str


def request(operation: str, caller: str, token: str, body: str) -> Request:
    """What was asked. Raises InvalidInput for a key that is empty, too long, or not printable ASCII."""
    if not re.fullmatch(r"[!-~]{1,200}", token):
        message = f"{token[:40]!r} is no Idempotency-Key; send 1 to 200 printable ASCII characters, such as a UUID"
        raise InvalidInput(message, [FieldError("Idempotency-Key", message)])
    return Request(operation, caller, token, hashlib.sha256(body.encode()).hexdigest())


def begin(table: Table, request: Request, now: float | None = None) -> Answer | None:
    """Claim the key, or return the stored answer.

    Raises Conflict for another body, or while the first request still runs.
    """
    now = time.time() if now is None else now
    key = keys.idempotency(request.operation, request.caller, request.token)
    claim = {**key, "fingerprint": request.fingerprint, "claimedAt": now, "expiresAt": int(now + KEEP_SECONDS)}
    try:
        table.put(claim, ABSENT)
    except ConditionFailed:
        item = table.get(key, consistent=True)
        if item is None:
            # The first request failed this very moment and gave the key back.
            return begin(table, request, now)
        if item.get("fingerprint") != request.fingerprint:
            raise Conflict(f"the Idempotency-Key {request.token!r} was already used with another body") from None
        if "status" in item:
            return Answer(item["status"], item["body"])
        if now - item["claimedAt"] < _WORKING_SECONDS:
            raise Conflict(f"a request with the Idempotency-Key {request.token!r} is still being served") from None
        table.put(claim)
    return None


def finish(table: Table, request: Request, answer: Answer) -> None:
    """Keep the answer for whoever asks again."""
    key = keys.idempotency(request.operation, request.caller, request.token)
    table.update(key, set={"status": answer.status, "body": answer.body})


def abandon(table: Table, request: Request) -> None:
    """Forget a claim whose request failed, so that the client can try again at once."""
    table.delete(keys.idempotency(request.operation, request.caller, request.token))
