"""The company in the sandbox: its data, and what happens to it as time passes."""

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
        """What a call is about; the id of a call decides if it is not here."""
        self.contacts: dict[int, Record] = {}
        self.kinds: dict[Kind, dict[Any, Record]] = {kind: {} for kind in KINDS}
        self.user_numbers: dict[int, list[int]] = {}
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
        """Let everything happen that is due: calls begin, are answered, end, and are recalculated.

        Args:
            now: UNIX time in seconds; the world never goes back.
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
        """Add a call, which goes through its life as the clock of the sandbox moves.

        Args:
            started_at: UNIX second; may be in the future.
            **details: How the call goes, by the attributes of `CallLife`. Anything else is a field of the call that
                keeps its value whatever happens.

        Returns:
            The call as it is now, with all parts that cost a `fetch_*` flag.
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
        """Return a call, or None when there is none or the API does not show it yet."""
        return None if identity in self._hidden_calls else self.calls.get(identity)

    def edit_call(self, identity: int, **changes: Any) -> None:
        """Change fields of a call. As in Aircall, nothing says when."""
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

    def _plan(self, at: float, identity: int, changes: Record) -> None:
        """Let a call be shown and changed at some time."""
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
        """Delete a contact; nothing is left of it."""
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

    def record_outcome(self, campaign_id: str, call_id: int, outcome: Record) -> Record:
        """Record how a call of an outbound campaign went (facts: Outbound Campaigns).

        Args:
            campaign_id: The campaign, one of `optional.campaigns`.
            call_id: The call.
            outcome: One of `optional.campaign_outcomes`.
        """
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
