"""Tokens by which a list is read on: opaque to clients, bound to the list they came from."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from segmentation.errors import FieldError, InvalidInput


def encode(scope: str, position: Mapping[str, Any] | None) -> str | None:
    """The token for a position in the list `scope`; None where the list ends."""
    if position is None:
        return None
    body = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_seal(scope, body) + body).decode().rstrip("=")


def decode(scope: str, token: str | None) -> dict[str, Any] | None:
    """The position in a token of the list `scope`.

    Raises InvalidInput for a token that was changed or is of another list.
    """
    if token is None:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    body = raw[8:]
    if not body or raw[:8] != _seal(scope, body):
        raise refused(token)
    position: dict[str, Any] = json.loads(body)
    return position


def refused(token: str | None) -> InvalidInput:
    """The error for a token that is none of this list."""
    message = f"{(token or '')[:40]!r} is not a nextToken of this list; start again without it"
    return InvalidInput(message, [FieldError("nextToken", message)])


def _seal(scope: str, body: bytes) -> bytes:
    """Detects damage and mix-ups. It is no signature: a token grants nothing that its list does not."""
    return hashlib.sha256(scope.encode() + b"\0" + body).digest()[:8]
