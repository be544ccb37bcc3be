"""Inboxes with deliveries of tests, and the streams that read them."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tap_aircall.inbox.deliveries import WEBHOOK, Delivery
from tap_aircall.inbox.store import Inbox
from tap_aircall.streams.inbox.streams import InboxStream
from tap_aircall.streams.registry import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPANY = "Acme"
FROM_INBOX = [name for name, stream in STREAMS.items() if issubclass(stream, InboxStream)]
"""Streams that read the inbox."""
FROM_API = [name for name in STREAMS if name not in FROM_INBOX]
"""Streams that read the API."""


def fill(location: str, bodies: Iterable[dict[str, Any]], *, now: float = 0, kind: str = WEBHOOK) -> None:
    """Put deliveries into the inbox at a location; create it if it is missing."""
    with closing(Inbox.open(location, create=True)) as inbox:
        if rows := [Delivery(json.dumps(body).encode()).row(COMPANY, kind, int(now * 1000)) for body in bodies]:
            inbox.append(rows)


def one_of_each(at: int, words: str = "Hello", **call: Any) -> list[dict[str, Any]]:
    """Return deliveries that give each stream of the inbox one record, and `webhook_events` all of them.

    Args:
        at: Time of the events in UNIX seconds.
        words: Personal data to put in.
        **call: Fields of the call.
    """
    events: dict[str, dict[str, Any]] = {
        "message.received": {"id": "m1", "body": words, "external_number": words, "contact": {"first_name": words}},
        "message.status_updated": {"id": "m1", "status": "read"},
        "group_message.sent": {"id": "g1", "body": words, "participants": [words]},
        "ai_voice_agent.ended": {"ai_voice_agent_session_id": "s1", "extracted_data": {"name": words}},
        "call.hold": {"id": 1, "user": {"id": 2, "name": words}, "raw_digits": words, "archived": False, **call},
        "user.opened.v2": {"id": 2, "name": words},
        "contact.deleted": {"id": 3},
    }
    return [
        {"resource": "x", "event": event, "timestamp": at, "token": "planted-token", "data": data}
        for event, data in events.items()
    ]


COUNTS = {**dict.fromkeys(FROM_INBOX, 1), "webhook_events": 7}
"""Number of records per stream from `one_of_each`."""
