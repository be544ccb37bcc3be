"""The company that the sandbox tells of: its data, and what happens to it as time goes by."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from tap_aircall.sandbox.index import TimeIndex
from tap_aircall.sandbox.intelligence import Intelligence
from tap_aircall.sandbox.optional import OptionalResources
from tap_aircall.sandbox.templates import KINDS, MESSAGES, NEW, Kind, Record, new_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_aircall.sandbox.conversations import Subject

FIRST_CALL_ID = 4_200_000_001
"""Beyond 32 bits, as Aircall's are (facts: Times, ids and texts)."""
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
NUMBER_USER_FIELDS = (*CALL_USER_FIELDS[:8], "substatus", "wrap_up_time")


class World:
    """All data of one made-up company. Not safe to use from several threads without the sandbox's lock.

    Args:
        now: UNIX time in seconds up to which things have happened; the sandbox moves it on with its clock.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.is_moving = False
        """Whether what happens happens at `now`, while time moves on; otherwise it happens whenever somebody asks."""
        self.company_name = "Acme"
        self.company_id = 77
        self.changed: Callable[[str, Record | None, Record | None], None] = _nobody
        """Told of each change: the kind of object, how it was (None if it is new), how it is (None if it is gone)."""
        self.calls: dict[int, Record] = {}
        self.subjects: dict[int, Subject] = {}
        """What calls are about, where it was decided."""
        self.contacts: dict[int, Record] = {}
        self.kinds: dict[Kind, dict[Any, Record]] = {kind: {} for kind in KINDS}
        self.user_numbers: dict[int, list[int]] = {}
        self.optional = OptionalResources()
        self.intelligence = Intelligence(self)
        self.calls_by_start = TimeIndex()
        self.contacts_by_creation = TimeIndex()
        self.contacts_by_change = TimeIndex()
        self._hidden_calls: set[int] = set()
        self._ids = itertools.count(1_001)
        self._call_ids = itertools.count(FIRST_CALL_ID)
        self._agenda: list[tuple[float, int, int, Record]] = []
        self._order = itertools.count()

    def move_on(self, now: float) -> None:
        """Let happen what is due by a time: calls begin, are answered, end, and are rewritten after their end."""
        self.is_moving = True
        while self._agenda and self._agenda[0][0] <= now:
            at, _, call_id, changes = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            if call_id in self.calls:
                self._show(call_id)
                self.edit_call(call_id, **changes)
        self.is_moving = False
        self.now = max(self.now, now)

    # Calls

    def add_call(
        self,
        *,
        started_at: int,
        ring_seconds: int = 5,
        talk_seconds: int | None = 55,
        visible_at: float | None = None,
        recalculated_after: int | None = 300,
        duration_excess: int = 0,
        moves_start: bool = False,
        missed_call_reason: str | None = None,
        leaves_voicemail: bool = False,
        **fields: Any,
    ) -> Record:
        """Add a call, which goes through its life as the clock of the sandbox moves.

        Args:
            started_at: UNIX second; may lie ahead.
            ring_seconds: How long it rings.
            talk_seconds: How long it is talked; None for a missed call.
            visible_at: When the API begins to show it, if not as soon as it began.
            recalculated_after: So many seconds after its end, cost and pricing are filled in; None for never.
            duration_excess: So many seconds too many are in `duration` from its end until then.
            moves_start: Whether that moves `started_at` by a second as well.
            missed_call_reason: Why nobody took it, told when it ends.
            leaves_voicemail: Whether there is a voicemail when it ends.
            **fields: Fields as they are from the beginning, whatever happens.

        Returns:
            The call as it is now, with all parts that cost a `fetch_*` flag.
        """
        identity = fields.pop("id", None) or next(self._call_ids)
        answered = talk_seconds is not None
        ended_at = started_at + ring_seconds + (talk_seconds or 0)
        call = new_call(identity, started_at, fields.get("number"))
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
        end = {
            "status": "done",
            "ended_at": ended_at,
            "duration": ended_at - started_at + duration_excess,
        }
        if missed_call_reason is not None:
            end["missed_call_reason"] = missed_call_reason
        if answered:
            end |= {
                "recording": f"https://recordings.example.com/signed/{identity}.mp3",
                "recording_short_url": f"https://short.example.com/r/{identity}",
                "asset": f"https://assets.aircall.io/calls/{identity}/recording",
            }
        if leaves_voicemail:
            end |= {
                "voicemail": f"https://voicemails.example.com/signed/{identity}.mp3",
                "voicemail_short_url": f"https://short.example.com/v/{identity}",
                "asset": f"https://assets.aircall.io/calls/{identity}/voicemail",
            }
        stages.append((max(appears, ended_at), end))
        if recalculated_after is not None:
            rewritten: Record = {"cost": "3.0" if answered else "0.0", "pricing_type": "in_bundle"}
            if duration_excess or moves_start:
                begin = started_at + moves_start
                rewritten |= {"started_at": begin, "duration": ended_at - begin}
            stages.append((max(appears, ended_at + recalculated_after), rewritten))
        for at, changes in stages:
            if at <= self.now:
                call.update(changes)
            else:
                kept = {name: value for name, value in changes.items() if name not in fields}
                heapq.heappush(self._agenda, (at, next(self._order), identity, kept))
        call.update(fields)
        if appears <= self.now:
            self._show(identity)
        return call

    def shown_call(self, identity: int) -> Record | None:
        """Return a call, or None when there is none or the API does not show it yet."""
        return None if identity in self._hidden_calls else self.calls.get(identity)

    def edit_call(self, identity: int, **changes: Any) -> None:
        """Change fields of a call; nothing tells when, as in Aircall."""
        call = self.calls[identity]
        before = dict(call)
        if changes.get("started_at", call["started_at"]) != call["started_at"] and identity not in self._hidden_calls:
            self.calls_by_start.remove(call["started_at"], identity)
            self.calls_by_start.add(changes["started_at"], identity)
        call.update(changes)
        if identity not in self._hidden_calls:
            self.changed("calls", before, call)

    def delete_call(self, identity: int) -> None:
        """Make a call disappear without a trace."""
        call = self.calls.pop(identity)
        self.subjects.pop(identity, None)
        if identity in self._hidden_calls:
            self._hidden_calls.remove(identity)
        else:
            self.calls_by_start.remove(call["started_at"], identity)

    def _show(self, identity: int) -> None:
        if identity in self._hidden_calls:
            self._hidden_calls.remove(identity)
            self.calls_by_start.add(self.calls[identity]["started_at"], identity)
            self.changed("calls", None, self.calls[identity])

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
        self.changed("contacts", None, contact)
        return contact

    def edit_contact(self, identity: int, *, at: float | None = None, **changes: Any) -> None:
        """Edit a contact, now or at a time; that is its new `updated_at`."""
        contact = self.contacts[identity]
        before = dict(contact)
        self.contacts_by_change.remove(contact["updated_at"], identity)
        contact.update(changes, updated_at=int(self.now if at is None else at))
        self.contacts_by_change.add(contact["updated_at"], identity)
        self.changed("contacts", before, contact)

    def delete_contact(self, identity: int) -> None:
        """Delete a contact; no tombstone stays."""
        contact = self.contacts.pop(identity)
        self.contacts_by_creation.remove(contact["created_at"], identity)
        self.contacts_by_change.remove(contact["updated_at"], identity)
        self.changed("contacts", contact, None)

    # Users, teams, numbers, tags, webhooks

    def add(self, kind: Kind, **fields: Any) -> Record:
        """Add a user, team, number, tag or webhook with everything that it needs."""
        key = "webhook_id" if kind == "webhooks" else "id"
        record = NEW[kind](next(self._ids), self.now) | fields
        self.kinds[kind][record[key]] = record
        if kind == "users":
            self.user_numbers.setdefault(record["id"], [])
        self.changed(kind, None, record)
        return record

    def edit(self, kind: Kind, identity: Any, **changes: Any) -> None:
        """Change fields of one of them."""
        record = self.kinds[kind][identity]
        before = dict(record)
        record.update(changes)
        self.changed(kind, before, record)

    def delete(self, kind: Kind, identity: Any) -> None:
        """Delete one of them; a deleted tag also leaves past calls (facts: Changes after the call)."""
        record = self.kinds[kind].pop(identity)
        self.changed(kind, record, None)
        if kind == "users":
            self.user_numbers.pop(identity, None)
        if kind == "tags":
            for call in self.calls.values():
                call["tags"] = [tag for tag in call["tags"] if tag["id"] != identity]

    # Parts of calls

    def call_user(self, identity: int) -> Record:
        """Return a user as calls show them."""
        return _with_link(self.kinds["users"][identity], CALL_USER_FIELDS, "users")

    def number_user(self, identity: int) -> Record:
        """Return a user as a single number shows them."""
        return _with_link(self.kinds["users"][identity], NUMBER_USER_FIELDS, "users")

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


def _nobody(_kind: str, _before: Record | None, _after: Record | None) -> None:
    """Listen to what changes where nobody does."""


def _with_link(record: Record, fields: Iterable[str], path: str) -> Record:
    link = f"https://api.aircall.io/v1/{path}/{record['id']}"
    return {field: record[field] for field in fields} | {"direct_link": link}
