"""The company that the sandbox tells of: its data, and what happens to it as time goes by."""

from __future__ import annotations

import heapq
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from tap_aircall.sandbox.index import TimeIndex

if TYPE_CHECKING:
    from collections.abc import Iterable

Record: TypeAlias = dict[str, Any]
Kind: TypeAlias = Literal["users", "teams", "numbers", "tags", "webhooks"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FIRST_CALL_ID = 4_200_000_001
"""Beyond 32 bits, as Aircall's are (facts, section 6.7)."""
CALL_USER_FIELDS = (
    "id",
    "name",
    "email",
    "available",
    "availability_status",
    "created_at",
    "time_zone",
    "language",
    "state",
    "wrap_up_time",
    "extension",
)
AUTHOR_FIELDS = CALL_USER_FIELDS[:6]
MEMBER_FIELDS = (
    "id",
    "name",
    "email",
    "availability_status",
    "default_number_id",
    "created_at",
    "time_zone",
    "language",
    "wrap_up_time",
)
MESSAGES = (
    "welcome",
    "waiting",
    "ivr",
    "voicemail",
    "closed",
    "callback_later",
    "unanswered_call",
    "after_hours",
    "ringing_tone",
)
STANDING_MESSAGES = {"waiting", "closed", "callback_later", "unanswered_call"}


def iso(seconds: float) -> str:
    """Write UNIX seconds as Aircall writes times of users, teams, numbers and webhooks."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class World:
    """All data of one made-up company. Not safe to use from several threads without the sandbox's lock.

    Args:
        now: UNIX time in seconds up to which things have happened; the sandbox moves it on with its clock.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.company_name = "Acme"
        self.calls: dict[int, Record] = {}
        self.contacts: dict[int, Record] = {}
        self.kinds: dict[Kind, dict[Any, Record]] = {kind: {} for kind in KINDS}
        self.user_numbers: dict[int, list[int]] = {}
        self.calls_by_start = TimeIndex()
        self.contacts_by_creation = TimeIndex()
        self.contacts_by_change = TimeIndex()
        self._hidden_calls: set[int] = set()
        self._ids = itertools.count(1_001)
        self._call_ids = itertools.count(FIRST_CALL_ID)
        self._agenda: list[tuple[float, int, int, Record]] = []
        self._order = itertools.count()

    @classmethod
    def generate(cls, *, seed: int = 1, now: float, **size: int) -> World:
        """Make up a company; see `tap_aircall.sandbox.generate.generate_company` for its size."""
        from tap_aircall.sandbox.generate import generate_company  # noqa: PLC0415 - Faker takes a while to load

        world = cls(now)
        generate_company(world, seed=seed, **size)
        return world

    def move_on(self, now: float) -> None:
        """Let happen what is due by a time: calls begin, are answered, end, and are rewritten after their end."""
        self.now = max(self.now, now)
        while self._agenda and self._agenda[0][0] <= self.now:
            _, _, call_id, changes = heapq.heappop(self._agenda)
            if call_id in self.calls:
                self._show(call_id)
                self.edit_call(call_id, **changes)

    # Calls

    def add_call(
        self,
        *,
        started_at: int,
        ring_seconds: int = 5,
        talk_seconds: int | None = 55,
        visible_at: float | None = None,
        recalculated_after: int | None = 300,
        moves_start: bool = False,
        **fields: Any,
    ) -> Record:
        """Add a call, which goes through its life as the clock of the sandbox moves.

        Args:
            started_at: UNIX second; may lie ahead.
            ring_seconds: How long it rings.
            talk_seconds: How long it is talked; None for a missed call.
            visible_at: When the API begins to show it, if not as soon as it began.
            recalculated_after: So many seconds after its end, cost and pricing are filled in; None for never.
            moves_start: Whether that moves `started_at` by a second as well.
            **fields: Fields as they are from the beginning, whatever happens.

        Returns:
            The call as it is now, with all parts that cost a `fetch_*` flag.
        """
        identity = fields.pop("id", None) or next(self._call_ids)
        answered = talk_seconds is not None
        ended_at = started_at + ring_seconds + (talk_seconds or 0)
        call = _new_call(identity, started_at, fields.get("number"))
        appears = max(started_at, visible_at or 0)
        self.calls[identity] = call
        self._hidden_calls.add(identity)
        stages: list[tuple[float, Record]] = [(appears, {})]
        if answered:
            stages.append(
                (
                    max(appears, started_at + ring_seconds),
                    {"status": "answered", "answered_at": started_at + ring_seconds},
                )
            )
        end = {"status": "done", "ended_at": ended_at, "duration": ended_at - started_at}
        if answered:
            end |= {
                "recording": f"https://recordings.example.com/signed/{identity}.mp3",
                "recording_short_url": f"https://short.example.com/r/{identity}",
                "asset": f"https://assets.aircall.io/calls/{identity}/recording",
            }
        stages.append((max(appears, ended_at), end))
        if recalculated_after is not None:
            rewritten: Record = {"cost": "3.0" if answered else "0.0", "pricing_type": "in_bundle"}
            if moves_start:
                rewritten |= {"started_at": started_at + 1, "duration": ended_at - started_at - 1}
            stages.append((max(appears, ended_at + recalculated_after), rewritten))
        for at, changes in stages:
            kept = {name: value for name, value in changes.items() if name not in fields}
            if at <= self.now:
                self._show(identity)
                self.edit_call(identity, **kept)
            else:
                heapq.heappush(self._agenda, (at, next(self._order), identity, kept))
        self.edit_call(identity, **fields)
        return call

    def edit_call(self, identity: int, **changes: Any) -> None:
        """Change fields of a call; nothing tells when, as in Aircall."""
        call = self.calls[identity]
        if changes.get("started_at", call["started_at"]) != call["started_at"] and identity not in self._hidden_calls:
            self.calls_by_start.remove(call["started_at"], identity)
            self.calls_by_start.add(changes["started_at"], identity)
        call.update(changes)

    def delete_call(self, identity: int) -> None:
        """Make a call disappear without a trace."""
        call = self.calls.pop(identity)
        if identity in self._hidden_calls:
            self._hidden_calls.remove(identity)
        else:
            self.calls_by_start.remove(call["started_at"], identity)

    def _show(self, identity: int) -> None:
        if identity in self._hidden_calls:
            self._hidden_calls.remove(identity)
            self.calls_by_start.add(self.calls[identity]["started_at"], identity)

    # Contacts

    def add_contact(self, *, created_at: int, updated_at: int | None = None, **fields: Any) -> Record:
        """Add a shared contact; times in UNIX seconds."""
        identity = fields.pop("id", None) or next(self._ids)
        contact: Record = {
            "id": identity,
            "created_at": created_at,
            "updated_at": created_at if updated_at is None else updated_at,
            "first_name": "Ada",
            "last_name": f"Contact {identity}",
            "information": None,
            "company_name": None,
            "is_shared": True,
            "direct_link": f"https://api.aircall.io/v1/contacts/{identity}",
            "phone_numbers": [{"id": 2**31 + identity, "value": f"+3319900{identity:06d}", "label": "Work"}],
            "emails": [],
        } | fields
        self.contacts[identity] = contact
        self.contacts_by_creation.add(contact["created_at"], identity)
        self.contacts_by_change.add(contact["updated_at"], identity)
        return contact

    def edit_contact(self, identity: int, *, at: float | None = None, **changes: Any) -> None:
        """Edit a contact, now or at a time; that is its new `updated_at`."""
        contact = self.contacts[identity]
        self.contacts_by_change.remove(contact["updated_at"], identity)
        contact.update(changes, updated_at=int(self.now if at is None else at))
        self.contacts_by_change.add(contact["updated_at"], identity)

    def delete_contact(self, identity: int) -> None:
        """Delete a contact; no tombstone stays."""
        contact = self.contacts.pop(identity)
        self.contacts_by_creation.remove(contact["created_at"], identity)
        self.contacts_by_change.remove(contact["updated_at"], identity)

    # Users, teams, numbers, tags, webhooks

    def add(self, kind: Kind, **fields: Any) -> Record:
        """Add a user, team, number, tag or webhook with everything that it needs."""
        key = "webhook_id" if kind == "webhooks" else "id"
        record = _NEW[kind](next(self._ids), self.now) | fields
        self.kinds[kind][record[key]] = record
        if kind == "users":
            self.user_numbers.setdefault(record["id"], [])
        return record

    def edit(self, kind: Kind, identity: Any, **changes: Any) -> None:
        """Change fields of one of them."""
        self.kinds[kind][identity].update(changes)

    def delete(self, kind: Kind, identity: Any) -> None:
        """Delete one of them; a deleted tag also leaves past calls (facts, section 6.3)."""
        del self.kinds[kind][identity]
        if kind == "tags":
            for call in self.calls.values():
                call["tags"] = [tag for tag in call["tags"] if tag["id"] != identity]

    # Parts of calls

    def call_user(self, identity: int) -> Record:
        """Return a user as calls show them."""
        return _with_link(self.kinds["users"][identity], CALL_USER_FIELDS, "users")

    def author(self, identity: int) -> Record:
        """Return a user as comments and tags show them."""
        return _with_link(self.kinds["users"][identity], AUTHOR_FIELDS, "users")

    def member(self, identity: int) -> Record:
        """Return a user as teams show them."""
        return _with_link(self.kinds["users"][identity], MEMBER_FIELDS, "users")

    def call_number(self, identity: int) -> Record:
        """Return a number as calls show it: with defaults in place of missing messages, and no priority."""
        number = self.kinds["numbers"][identity]
        messages = {name: number["messages"][name] or f"https://example.com/{name}.mp3" for name in MESSAGES}
        return number | {"messages": messages, "priority": None, "flow_editor_enabled": True}


def _with_link(record: Record, fields: Iterable[str], path: str) -> Record:
    link = f"https://api.aircall.io/v1/{path}/{record['id']}"
    return {field: record[field] for field in fields} | {"direct_link": link}


def _new_call(identity: int, started_at: int, number: Record | None) -> Record:
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


_NEW = {"users": _new_user, "teams": _new_team, "numbers": _new_number, "tags": _new_tag, "webhooks": _new_webhook}
