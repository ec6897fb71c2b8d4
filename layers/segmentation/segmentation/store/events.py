"""The event bus on which others hear of changes: entries out, ten a request. It knows nothing of what they say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segmentation.errors import TooBusy

SOURCE = "segmentation"
_BATCH = 10
_ATTEMPTS = 4


@dataclass(frozen=True)
class Event:
    """What happened: `kind` is the detail type, `detail` has an `eventId` by which a second delivery is known."""

    kind: str
    detail: Mapping[str, Any]


class Events:
    """One EventBridge bus."""

    def __init__(self, client: Any, bus: str) -> None:
        self._client = client
        self._bus = bus

    def put(self, events: Sequence[Event]) -> None:
        """Send events, in order. Raises TooBusy if some are refused again and again; those before may have gone out."""
        for begin in range(0, len(events), _BATCH):
            self._send(
                [
                    {
                        "EventBusName": self._bus,
                        "Source": SOURCE,
                        "DetailType": event.kind,
                        "Detail": json.dumps(event.detail, ensure_ascii=False),
                    }
                    for event in events[begin : begin + _BATCH]
                ]
            )

    def _send(self, entries: list[dict[str, str]]) -> None:
        for _ in range(_ATTEMPTS):
            answer = self._client.put_events(Entries=entries)
            if not answer["FailedEntryCount"]:
                return
            entries = [entry for entry, sent in zip(entries, answer["Entries"], strict=True) if sent.get("ErrorCode")]
        raise TooBusy(f"the event bus refused {len(entries)} events; the batch is delivered again")
