"""Parses deliveries, the requests that Aircall sends to a webhook (facts: Webhooks and Messages).

A delivery is any JSON object with a token and the name of an event, so that events and fields that Aircall adds later
are kept too.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple, TypeGuard

from tap_aircall.http.decoding import finite, is_deep
from tap_aircall.reading.times import event_milliseconds

DELIVERIES = "/aircall"
"""Default path of webhooks; the receiver accepts any."""
WEBHOOK = "webhook"
"""Kind of a webhook's token."""
MESSAGES = "messages"
"""Kind of the token of a number in proxy mode, which posts its messages (facts: Messages)."""
_NAME = {WEBHOOK: "event", MESSAGES: "event_name"}

LARGEST_BODY = 2**20
"""Maximum size of a body in bytes. A complete call has some ten thousand."""
MOST_VALUES = 100_000
"""Maximum number of values in a body, counted by their separators. A transcript of hours has some ten thousand; empty
objects can take a hundred times the memory of their JSON."""
LONGEST_NAME = 200
"""Maximum number of characters in the name of an event, or in an id."""

_OBJECTS = {
    "call": ("call", ("id",)),
    "user": ("user", ("id",)),
    "number": ("number", ("id",)),
    "contact": ("contact", ("id",)),
    "message": ("message", ("id",)),
    "group_message": ("group_message", ("id", "group_message_id")),
    "integration": ("integration", ("integration_id",)),
    "ai_voice_agent": ("ai_voice_agent_session", ("ai_voice_agent_session_id",)),
    "transcription": ("call", ("call_id",)),
    "summary": ("call", ("call_id",)),
    "topics": ("call", ("call_id",)),
    "sentiment": ("call", ("call_id",)),
    "action_item": ("call", ("call_id",)),
    "playbook_result": ("call", ("call_id",)),
    "custom_summary": ("call", ("call_id",)),
    "call_evaluation": ("call", ("call_id",)),
    "outbound_campaign": ("call", ("call_id",)),
    "realtime_transcription": ("call", ("call_id", "call.id")),
}
"""Type of the object, and fields of `data` that may hold its id, by family of events."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
"""Writes ASCII, so that every database can store even NUL and lone surrogates."""
_SIGNED = re.compile(r'(?<!\\)"(https?://[^"?#\\]*(?:\\.[^"?#\\]*)*)[?#][^"\\]*(?:\\.[^"\\]*)*"')
"""A URL with a query in an encoded body. The query may be a signature that differs with each delivery of an event. A
quote within a text follows a backslash."""


class NoEventError(ValueError):
    """A body is not an event. The message is the reason, and does not quote the body."""


class EventRow(NamedTuple):
    """A delivery in the form in which it is stored, without its position; see `store.Event`."""

    event_id: str
    company: str
    event: str
    resource: str | None
    object_type: str | None
    object_id: str | None
    happened_at: int
    received_at: int
    body: str


class Delivery:
    """The body of one request.

    Raises:
        NoEventError: If it is not a JSON object in UTF-8, or has too many values or levels.
    """

    def __init__(self, body: bytes) -> None:
        if sum(map(body.count, (b",", b"{", b"["))) > MOST_VALUES:
            raise NoEventError("too many values")
        try:
            payload = json.loads(body.decode(), parse_float=finite, parse_constant=finite)
        except RecursionError:
            raise NoEventError("nested too deeply") from None
        except ValueError:
            raise NoEventError("not JSON in UTF-8") from None
        if not isinstance(payload, dict):
            raise NoEventError("not an object")
        if is_deep(payload):
            raise NoEventError("nested too deeply")
        token = payload.pop("token", None)
        self.fingerprint = fingerprint(token) if isinstance(token, str) else None
        """Fingerprint of the token; None if there is none."""
        self._payload: dict[str, Any] = payload

    @property
    def is_knock(self) -> bool:
        """Whether it has only a token: a check that it arrives at the right receiver."""
        return not self._payload

    def row(self, company: str, kind: str, received_at: int) -> EventRow:
        """Return the event in the form in which it is stored, with the company and the kind of its token.

        Raises:
            NoEventError: If it has no name.
        """
        payload = self._payload
        event = payload.get(_NAME[kind])
        if not _is_name(event):
            raise NoEventError(f"no {_NAME[kind]}")
        body = _ENCODER.encode(payload)
        digest = hashlib.sha256(json.dumps([company, []]).encode())  # as ever, so that stored events keep their ids
        digest.update(_SIGNED.sub(r'"\1"', body).encode())
        resource = payload.get("resource")
        object_type, object_id = about(event, payload.get("data"))
        return EventRow(
            event_id=digest.hexdigest()[:32],
            company=company,
            event=event,
            resource=resource if _is_name(resource) else None,
            object_type=object_type,
            object_id=object_id,
            happened_at=received_at if (told := event_milliseconds(payload.get("timestamp"))) is None else told,
            received_at=received_at,
            body=body,
        )


def fingerprint(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal; it is stored in place of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def about(event: str, data: Any) -> tuple[str | None, str | None]:
    """Return the type and id of the object that an event is about; None for both if unknown."""
    object_type, fields = _OBJECTS.get(event.partition(".")[0], (None, ()))
    for field in fields:
        value = data
        for name in field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if _is_name(value):
            return object_type, value
    return None, None


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()
