"""What Aircall posts to a webhook: whose it is, which event it tells of, and what that is about.

Little is asked of a delivery, so that events and fields that Aircall adds later are kept too: it is a JSON object with
a token and the name of an event. Facts: Webhooks and Messages.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any, NamedTuple, TypeGuard

from tap_aircall.http.decoding import DEEPEST, is_deep
from tap_aircall.reading.times import told_milliseconds

DELIVERIES = "/aircall"
"""Where webhooks deliver that are registered without a path; the receiver takes deliveries at any."""
WEBHOOK = "webhook"
"""Kind of a token: that of a webhook."""
MESSAGES = "messages"
"""Kind of a token: that of a number in proxy mode, which posts its messages (facts: Messages)."""
_NAME = {WEBHOOK: "event", MESSAGES: "event_name"}

LARGEST_BODY = 2**20
"""Bytes of a body. A call with all its parts has some ten thousand."""
MOST_VALUES = 100_000
"""Values in a body, counted as what separates them: a transcript of hours has some ten thousand. Empty objects could
take a hundred times the memory of what they are written in."""
LONGEST_NAME = 200
"""Characters of the name of an event, or of an id."""

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
"""By family of events: the type of the object that they are about, and the fields of `data` that may hold its id."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
"""Makes ASCII, so that even NUL and halves of surrogate pairs are text that every database can store."""
_SIGNED = re.compile(r'"(https?://[^"?#\\]*)[?#][^"\\]*(?:\\.[^"\\]*)*"')
"""A link in an encoded body. What follows its path may be a signature, another one in each delivery of the event."""


class NoEventError(ValueError):
    """A body is no event; the message says why, without quoting it."""


class Row(NamedTuple):
    """What the store keeps of a delivery, less the position; see `store.Event`."""

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

    Args:
        body: The body, supposed to be a JSON object.

    Raises:
        NoEventError: If it is none, has the same name twice in one object, too many values or levels, or numbers or
            bytes that nothing could use.
    """

    def __init__(self, body: bytes) -> None:
        self._inexact: list[str] = []
        """Numbers as they were written, where a float is written in another way."""
        if sum(map(body.count, (b",", b"{", b"["))) > MOST_VALUES:
            message = "too many values"
            raise NoEventError(message)
        try:
            payload = json.loads(
                body.decode(),
                object_pairs_hook=_object,
                parse_float=self._float,
                parse_constant=_no_number,
            )
        except UnicodeDecodeError:
            message = "not text in UTF-8"
        except json.JSONDecodeError:
            message = "not JSON"
        except RecursionError:
            message = "nested too deeply"
        except NoEventError:
            raise
        except ValueError:
            message = "a number with thousands of digits"  # so many Python does not read
        else:
            message = "" if isinstance(payload, dict) else "not an object"
            # To count is faster than to look: most deliveries cannot be so deep.
            if not message and body.count(b"{") + body.count(b"[") > DEEPEST and is_deep(payload):
                message = "nested too deeply"
        if message:
            raise NoEventError(message)
        token = payload.pop("token", None)
        self.fingerprint = fingerprint(token) if isinstance(token, str) else None
        """That of the token; None if there is none."""
        self._payload: dict[str, Any] = payload

    @property
    def is_knock(self) -> bool:
        """Whether it says nothing but its token, which asks whether this is the right place."""
        return not self._payload

    def row(self, company: str, kind: str, received_at: int) -> Row:
        """Make sense of the event.

        Args:
            company: Whose it is, which the token tells.
            kind: Kind of the token: `WEBHOOK` or `MESSAGES`.
            received_at: When it came, in UNIX milliseconds.

        Raises:
            NoEventError: If it has no name.
        """
        payload = self._payload
        event = payload.get(_NAME[kind])
        if not _is_name(event):
            message = f"no {_NAME[kind]}"
            raise NoEventError(message)
        body = _ENCODER.encode(payload)
        digest = hashlib.sha256(json.dumps([company, self._inexact]).encode())
        digest.update(_SIGNED.sub(r'"\1"', body).encode())
        resource = payload.get("resource")
        object_type, object_id = about(event, payload.get("data"))
        return Row(
            event_id=digest.hexdigest()[:32],
            company=company,
            event=event,
            resource=resource if _is_name(resource) else None,
            object_type=object_type,
            object_id=object_id,
            happened_at=received_at if (told := told_milliseconds(payload.get("timestamp"))) is None else told,
            received_at=received_at,
            body=body,
        )

    def _float(self, text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            _no_number(text)
        if repr(number) != text:
            self._inexact.append(text)
        return number


def fingerprint(token: str) -> str:
    """Return what may be stored of a token: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def about(event: str, data: Any) -> tuple[str | None, str | None]:
    """Return the type and the id of the object that an event is about; None twice where that cannot be told."""
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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, in which one value must not hide another: two events that differ in that would be one."""
    made = dict(pairs)
    if len(made) < len(pairs):
        message = "the same name twice in one object"
        raise NoEventError(message)
    return made


def _no_number(_text: str) -> float:
    message = "a number that is not finite"
    raise NoEventError(message)


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()
