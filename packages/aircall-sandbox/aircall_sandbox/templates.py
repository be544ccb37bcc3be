"""New records in Aircall's format, with a plausible value in every field (facts: Fields)."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

Record: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["users", "teams", "numbers", "tags", "webhooks"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MESSAGES = (
    *("welcome", "waiting", "ivr", "voicemail", "closed"),
    *("callback_later", "unanswered_call", "after_hours", "ringing_tone"),
)
STANDING_MESSAGES = {"waiting", "closed", "callback_later", "unanswered_call"}


def without(record: Record, *names: str) -> Record:
    """Return a copy of a record without some fields."""
    return {name: value for name, value in record.items() if name not in names}


def iso(seconds: float) -> str:
    """Format UNIX seconds like the times of users, teams, numbers and webhooks."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def uuid_of(*parts: object) -> str:
    """Return a UUID in the form of version 7; the same parts give the same UUID."""
    text = str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, parts))))
    return f"{text[:14]}7{text[15:]}"


def new_call(identity: int, started_at: int, number: Record | None) -> Record:
    """Return a call that has just begun, including the parts that need a `fetch_*` flag."""
    return {
        "id": identity,
        "sid": f"CA{identity:032x}",
        "direct_link": f"https://api.aircall.io/v1/calls/{identity}",
        "direction": "inbound",
        "status": "initial",
        "missed_call_reason": None,
        "started_at": started_at,
        "answered_at": None,
        "ended_at": None,
        "duration": 0,
        "archived": False,
        "cost": "0.0",
        "voicemail": None,
        "recording": None,
        "asset": None,
        "raw_digits": "+1 800-123-4567",
        "user": None,
        "contact": None,
        "assigned_to": None,
        "transferred_by": None,
        "transferred_to": None,
        "comments": [],
        "number": number,
        "teams": [],
        "tags": [],
        "recording_short_url": None,
        "voicemail_short_url": None,
        "country_code_a2": "US",
        "pricing_type": None,
        "ivr_options_selected": [],
        "ai_voice_agents": [],
    }


def _new_user(identity: int, now: float) -> Record:
    return {
        "id": identity,
        "name": f"User {identity}",
        "email": f"user{identity}@example.com",
        "direct_link": f"https://api.aircall.io/v2/users/{identity}",
        "language": "en-US",
        "created_at": iso(now),
        "time_zone": "Etc/UTC",
        "state": "always_opened",
        "wrap_up_time": 0,
        "extension": "001",
        "availability_status": "available",
        "available": True,
        "default_number_id": None,
        "substatus": "always_opened",
        "availability": "available",
    }


def _new_team(identity: int, now: float) -> Record:
    link = f"https://api.aircall.io/v1/teams/{identity}"
    return {"id": identity, "name": f"Team {identity}", "direct_link": link, "created_at": iso(now), "users": []}


def _new_number(identity: int, now: float) -> Record:
    return {
        "id": identity,
        "digits": "+33 1 99 00 00 00",
        "direct_link": f"https://api.aircall.io/v1/numbers/{identity}",
        "name": f"Number {identity}",
        "country": "FR",
        "time_zone": "Europe/Paris",
        "availability_status": "open",
        "is_ivr": False,
        "live_recording_activated": True,
        "priority": 0,
        "messages": {
            name: f"https://example.com/{name}.mp3" if name in STANDING_MESSAGES else None for name in MESSAGES
        },
        "created_at": iso(now),
        "open": True,
    }


def _new_tag(identity: int, _now: float) -> Record:
    return {"id": identity, "name": f"Tag {identity}", "color": "#29C8FF", "description": None}


def _new_webhook(identity: int, now: float) -> Record:
    uuid = f"c2501111-8a69-4342-bb34-{identity:012x}"
    return {
        "id": identity,
        "direct_link": f"https://api.aircall.io/v1/webhooks/{uuid}",
        "url": "https://example.com/webhook",
        "active": True,
        "events": ["call.created", "contact.updated"],
        "token": f"secret-of-webhook-{identity}",
        "created_at": iso(now),
        "webhook_id": uuid,
    }


NEW: dict[Kind, Callable[[int, float], Record]] = {
    "users": _new_user,
    "teams": _new_team,
    "numbers": _new_number,
    "tags": _new_tag,
    "webhooks": _new_webhook,
}
"""Factories of records by kind; they take an id and the UNIX second of the creation."""
