"""The company in the sandbox: its data, and how it changes with time."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from aircall_sandbox.call_life import OPTIONS, CallLife
from aircall_sandbox.index import TimeIndex
from aircall_sandbox.intelligence import Intelligence
from aircall_sandbox.optional import OptionalResources
from aircall_sandbox.recordings import Recordings
from aircall_sandbox.templates import KINDS, MESSAGES, NEW, Kind, Record, new_call, uuid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aircall_sandbox.conversations import Subject
    from aircall_sandbox.presence import Presence

FIRST_CALL_ID = 4_200_000_001
"""More than 32 bits, as in Aircall (facts: Times, ids and texts)."""
CALL_USER_FIELDS = (
    *("id", "name", "email", "available", "availability_status", "created_at", "time_zone", "language"),
    *("state", "wrap_up_time", "extension"),
)
AUTHOR_FIELDS = CALL_USER_FIELDS[:6]
MEMBER_FIELDS = (
    *("id", "name", "email", "availability_status", "default_number_id"),
    *("created_at", "time_zone", "language", "wrap_up_time"),
)
INTEGRATION_USER_FIELDS = (*CALL_USER_FIELDS[:8], "substatus", "wrap_up_time")


class World:
    """All data of one made-up company. Not thread-safe: hold the sandbox's lock."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.is_moving = False
        """Whether `move_on` is applying a scheduled change, which happens at `now` rather than at the clock's time."""
        self.company_name = "Acme"
        self.company_id = 77
        self.changed: Callable[[str, Record | None, Record | None], None] = _ignore
        """Takes each change: kind of object, object before (None if new), and object after (None if deleted)."""
        self.calls: dict[int, Record] = {}
        self.subjects: dict[int, Subject] = {}
        """Subjects of calls by id; the subject of other calls follows from the id."""
        self.contacts: dict[int, Record] = {}
        self.kinds: dict[Kind, dict[Any, Record]] = {kind: {} for kind in KINDS}
        self.user_numbers: dict[int, list[int]] = {}
        self.presence: dict[int, list[Presence]] = {}
        """What users did in the last days, by id: how they were at first, and each change."""
        self.optional = OptionalResources()
        self.intelligence = Intelligence(self)
        self.recordings = Recordings()
        self.calls_by_start = TimeIndex()
        self.contacts_by_creation = TimeIndex()
        self.contacts_by_change = TimeIndex()
        self._hidden_calls: set[int] = set()
        self._ids = itertools.count(1_001)
        self._call_ids = itertools.count(FIRST_CALL_ID)
        self._agenda: list[tuple[float, int, int, Record]] = []
        self._order = itertools.count()

    def move_on(self, now: float) -> None:
        """Advance the time and apply the changes due by then: calls begin, are answered, end, and are recalculated.

        Args:
            now: UNIX time in seconds; an earlier one than before has no effect.
        """
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

    def add_call(self, *, started_at: int, **details: Any) -> Record:
        """Add a call, which changes as the sandbox's clock advances.

        Args:
            started_at: UNIX second; may be in the future.
            **details: Attributes of `CallLife`, and fields of the call, which then never change.

        Returns:
            The call as it is now, including the parts that need a `fetch_*` flag.
        """
        life = CallLife(started_at=started_at, **{name: details.pop(name) for name in OPTIONS & details.keys()})
        identity = details.pop("id", None) or next(self._call_ids)
        call = new_call(identity, started_at, details.get("number"))
        self.calls[identity] = call
        self._hidden_calls.add(identity)
        for at, changes in life.stages(identity):
            if at <= self.now:
                call.update(changes)
            else:
                self._plan(at, identity, {name: value for name, value in changes.items() if name not in details})
        call.update(details)
        if life.appears_at <= self.now:
            self._show(identity)
        else:
            self._plan(life.appears_at, identity, {})
        return call

    def shown_call(self, identity: int) -> Record | None:
        """Return a call; None if there is none, or the API does not show it yet."""
        return None if identity in self._hidden_calls else self.calls.get(identity)

    def edit_call(self, identity: int, **changes: Any) -> None:
        """Change fields of a call. As in Aircall, a call has no time of its last change."""
        call = self.calls[identity]
        before = dict(call)
        if changes.get("started_at", call["started_at"]) != call["started_at"] and identity not in self._hidden_calls:
            self.calls_by_start.remove(call["started_at"], identity)
            self.calls_by_start.add(changes["started_at"], identity)
        call.update(changes)
        if identity not in self._hidden_calls:
            self.changed("calls", before, call)

    def delete_call(self, identity: int) -> None:
        """Delete a call without a trace."""
        call = self.calls.pop(identity)
        self.subjects.pop(identity, None)
        if identity in self._hidden_calls:
            self._hidden_calls.remove(identity)
        else:
            self.calls_by_start.remove(call["started_at"], identity)

    def _plan(self, at: float, identity: int, changes: Record) -> None:
        """Schedule a call to appear and change."""
        heapq.heappush(self._agenda, (at, next(self._order), identity, changes))

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
        """Edit a contact, now or at a given UNIX second, which becomes its `updated_at`."""
        contact = self.contacts[identity]
        before = dict(contact)
        self.contacts_by_change.remove(contact["updated_at"], identity)
        contact.update(changes, updated_at=int(self.now if at is None else at))
        self.contacts_by_change.add(contact["updated_at"], identity)
        self.changed("contacts", before, contact)

    def delete_contact(self, identity: int) -> None:
        """Delete a contact without a trace."""
        contact = self.contacts.pop(identity)
        self.contacts_by_creation.remove(contact["created_at"], identity)
        self.contacts_by_change.remove(contact["updated_at"], identity)
        self.changed("contacts", contact, None)

    # Users, teams, numbers, tags, webhooks

    def add(self, kind: Kind, **fields: Any) -> Record:
        """Add a user, team, number, tag or webhook, with defaults for missing fields."""
        key = "webhook_id" if kind == "webhooks" else "id"
        record = NEW[kind](next(self._ids), self.now) | fields
        self.kinds[kind][record[key]] = record
        if kind == "users":
            self.user_numbers.setdefault(record["id"], [])
        self.changed(kind, None, record)
        return record

    def edit(self, kind: Kind, identity: Any, **changes: Any) -> None:
        """Change fields of a user, team, number, tag or webhook."""
        record = self.kinds[kind][identity]
        before = dict(record)
        record.update(changes)
        self.changed(kind, before, record)

    def delete(self, kind: Kind, identity: Any) -> None:
        """Delete a user, team, number, tag or webhook; a tag also from past calls (facts: Changes after the call)."""
        record = self.kinds[kind].pop(identity)
        self.changed(kind, record, None)
        if kind == "users":
            self.user_numbers.pop(identity, None)
            self.presence.pop(identity, None)
        if kind == "tags":
            for call in self.calls.values():
                call["tags"] = [tag for tag in call["tags"] if tag["id"] != identity]

    def record_outcome(self, campaign_id: str, call_id: int, outcome: Record) -> Record:
        """Record the outcome of a call in an outbound campaign: one of `optional.campaign_outcomes`."""
        outcomes: list[Record] = self.optional.campaigns[campaign_id]["call_outcomes"]
        number = self.calls[call_id]["number"]
        record = {
            "id": uuid_of("outcome", campaign_id, call_id, len(outcomes)),
            "company_id": self.company_id,
            "call_id": call_id,
            "number_id": number["id"] if number else None,
            "campaign_id": campaign_id,
            "attempt_id": uuid_of("attempt", campaign_id, call_id, len(outcomes)),
            "outcome_id": outcome["id"],
            "outcome_label": outcome["label"],
            "attempt_number": 1,
            "max_attempts": 3,
        }
        outcomes.append(record)
        self.changed("outcomes", None, record)
        return record

    # Parts of calls

    def call_user(self, identity: int) -> Record:
        """Return a user as calls show them."""
        return _with_link(self.kinds["users"][identity], CALL_USER_FIELDS, "users")

    def integration_user(self, identity: int) -> Record:
        """Return a user as the integration shows them."""
        return _with_link(self.kinds["users"][identity], INTEGRATION_USER_FIELDS, "users")

    def author(self, identity: int) -> Record:
        """Return a user as comments and tags show them."""
        return _with_link(self.kinds["users"][identity], AUTHOR_FIELDS, "users")

    def member(self, identity: int) -> Record:
        """Return a user as teams show them."""
        return _with_link(self.kinds["users"][identity], MEMBER_FIELDS, "users")

    def call_number(self, identity: int) -> Record:
        """Return a number as calls show it: with defaults for missing messages, and without a priority."""
        number = self.kinds["numbers"][identity]
        messages = {name: number["messages"][name] or f"https://example.com/{name}.mp3" for name in MESSAGES}
        return number | {"messages": messages, "priority": None, "flow_editor_enabled": True}


def _ignore(_kind: str, _before: Record | None, _after: Record | None) -> None:
    """Ignore a change."""


def _with_link(record: Record, fields: Iterable[str], path: str) -> Record:
    link = f"https://api.aircall.io/v1/{path}/{record['id']}"
    return {field: record[field] for field in fields} | {"direct_link": link}
