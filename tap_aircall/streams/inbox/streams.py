"""Streams from the inbox: what only webhooks report (facts: Only in webhooks).

Each resumes from its position in the inbox, which only moves past events whose records have been emitted.

Deliveries come in any order, and repeatedly (facts: Deliveries). So the events about an object are sorted by when they
happened, and each updates its record: fields that it omits stay, and null empties a field. An old event that comes late
never overrides a newer one.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.reading.conform import to_id, without
from tap_aircall.reading.times import event_milliseconds, from_milliseconds, to_milliseconds
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from tap_aircall.inbox.source import EventSource
    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Record

SECRET_FIELDS = frozenset({"token"})
TWIN_MILLISECONDS = 10_000
"""Largest time between twins: the same event in its deprecated and its current version."""
TWIN_POSITIONS = 1_000
"""Largest distance between twins in the inbox."""
Moment: TypeAlias = tuple[int, int, int, int, str]
"""Sort key of an event; no two events share one."""
STAGES = (
    ("sent", "received", "created", "started"),
    ("escalated",),
    ("ended",),
    ("status_updated", "updated", "result_updated", "summary"),
)
"""Order of an object's events with equal times."""
STATUSES = ("pending", "queued", "sent", "received", "delivered", "read")
"""Order of a message's statuses with equal times; a failure comes last."""
DEPTH = 3
"""Levels of nested objects to merge; deeper objects are replaced."""


class InboxStream(AircallStream):
    """Events of the inbox, in order of position."""

    selected_by_default = False
    replication_key = "position"
    state_keys = (MARK,)
    cost = "none"
    kinds: ClassVar[tuple[str, ...]] = ()
    """Patterns of its events; empty for all."""

    _start = 0
    """Position after which this run begins."""
    _forgotten = 0
    """Position up to which forgotten events are no loss to this stream, or were reported."""

    @property
    @override
    def replication_method(self) -> str:
        return REPLICATION_INCREMENTAL  # the inbox may have forgotten what the target still has

    @override
    def prepare(self) -> None:
        mark = Mark.parse(self.stream_state)
        self._start = self.source.resume(mark, self.name)
        self._forgotten = self.source.forgotten if mark is None else self._start

    @override
    def sample(self) -> list[Record]:
        self.prepare()
        return super().sample()

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Mark | None:
        return Mark.parse(state)

    @property
    def source(self) -> EventSource:
        """The events of the inbox; see `Run.require_events`."""
        return self.run.require_events(self.name)

    def _warn_of_forgotten(self, after: int) -> None:
        """Warn if the inbox forgot events after a position, which this stream has not read."""
        if (forgotten := self.source.forgotten) > max(after, self._forgotten):
            self._forgotten = forgotten
            self.logger.warning("Stream '%s': the inbox forgot events that this stream had not read yet.", self.name)

    @override
    def pages(self) -> Generator[list[Record]]:
        start = self._start
        for events in self.source.events(start, self.kinds):
            self._warn_of_forgotten(start)
            yield [_whole(record) for record in self.records_of(events)]
            start = events[-1].position
            self._advance(start)
        self._warn_of_forgotten(start)
        self._advance(self.source.through)

    def _advance(self, position: int) -> None:
        """Note that the events up to a position have been emitted."""
        mark = self.source.mark(position)
        if mark and mark[MARK] != self.stream_state.get(MARK):
            self.write_state({"replication_key": self.replication_key, "replication_key_value": position} | mark)

    @staticmethod
    @override
    def to_time(value: Any) -> str:
        return from_milliseconds(to_milliseconds(value))

    @abstractmethod
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        """Turn consecutive events into records."""


class WebhookEvents(InboxStream):
    """Every delivered event, unchanged except for secrets."""

    name = "webhook_events"
    primary_keys = ("event_id",)

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        for event in events:
            told = {name: getattr(event, name) for name in ("company", "object_type", "object_id")}
            body = without(SECRET_FIELDS, event.body)
            yield _envelope(event) | told | {"resource": body.get("resource"), "body": body}


class CallEvents(InboxStream):
    """Events of calls: ringing, declined, held, transferred, tagged and so on."""

    name = "call_events"
    primary_keys = ("event_id",)
    kinds = ("call.*",)

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        for event in events:
            data = event.data
            user = data.get("user")
            ids = {"call_id": _number(event.object_id), "user_id": user.get("id") if isinstance(user, dict) else None}
            yield _as_documented(_without_id(data)) | ids | _envelope(event)


class UserEvents(InboxStream):
    """Events of users: login, logout, availability, wrap-up time."""

    name = "user_events"
    primary_keys = ("event_id",)
    kinds = ("user.*",)

    _known: list[_Form] | None = None
    """Recent events that may have twins among the next; None before any are read."""

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        first = events[0].position - TWIN_POSITIONS
        known = self._forms_between(first, events[0].position) if self._known is None else self._known
        forms = [_Form.of(event) for event in events]
        self._known = [form for form in known if form.position > first] + forms
        twins = _twins(self._known)
        for form, event in zip(forms, events, strict=True):
            twin = twins.get(form)
            if twin is None or form.is_second:
                # An earlier run may have emitted the first form; the second replaces it by the same key.
                earliest = min(form, twin or form)
                ids = {"event_id": earliest.event_id, "user_id": _number(event.object_id)}
                yield _without_id(event.data) | _envelope(event) | ids

    def _forms_between(self, after: int, until: int) -> list[_Form]:
        """Read the events just before the first event of this run."""
        pages = self.source.events(max(0, after), self.kinds)
        events = itertools.takewhile(lambda event: event.position < until, itertools.chain.from_iterable(pages))
        return [_Form.of(event) for event in events]


class _Form(NamedTuple):
    """A user event in one of its two forms."""

    position: int
    event_id: str
    what: tuple[str, str | None]
    """Its name in the first form, and the user."""
    is_second: bool
    happened_at: int
    """UNIX milliseconds."""

    @classmethod
    def of(cls, event: Event) -> _Form:
        name = event.event.removesuffix(".v2")
        return cls(event.position, event.event_id, (name, event.object_id), name != event.event, event.happened_at)


def _twins(forms: Iterable[_Form]) -> dict[_Form, _Form]:
    """Map each event that has a twin to its twin: the nearest event in the other form that has none yet."""
    twins: dict[_Form, _Form] = {}
    alone: dict[tuple[str, str | None], list[_Form]] = defaultdict(list)
    for form in forms:
        others = alone[form.what]
        distances = [(abs(other.happened_at - form.happened_at), other) for other in others]
        near = [each for each in distances if each[0] <= TWIN_MILLISECONDS and each[1].is_second != form.is_second]
        if near:
            _, twin = min(near)
            others.remove(twin)
            twins[form], twins[twin] = twin, form
        else:
            others.append(form)
    return twins


class MergedStream(InboxStream):
    """Objects with several events each, merged into one record."""

    object_type: ClassVar[str]

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        ids = {event.object_id for event in events if event.object_id is not None}
        # An object with later events comes with those, once a run.
        until = events[-1].position
        for history in self.source.histories(self.object_type, ids, self.kinds, until) if ids else ():
            latest = max(history, key=moment_of)
            known = {"position": history[-1].position, "happened_at": from_milliseconds(latest.happened_at)}
            yield _as_documented(merged(history)) | {self.primary_keys[0]: latest.object_id} | known


class Messages(MergedStream):
    """SMS, MMS and WhatsApp messages in their latest state."""

    name = "messages"
    primary_keys = ("id",)
    kinds = ("message.*",)
    object_type = "message"


class GroupMessages(MergedStream):
    """Messages of group conversations in their latest state."""

    name = "group_messages"
    primary_keys = ("id",)
    kinds = ("group_message.*",)
    object_type = "group_message"


class AiVoiceAgentSessions(MergedStream):
    """Sessions of AI voice agents in calls: times, outcome, and extracted data."""

    name = "ai_voice_agent_sessions"
    primary_keys = ("ai_voice_agent_session_id",)
    kinds = ("ai_voice_agent.*",)
    object_type = "ai_voice_agent_session"


class DeletedObjects(InboxStream):
    """Deleted users, numbers, contacts and integrations."""

    name = "deleted_objects"
    primary_keys = ("object_type", "object_id")
    kinds = ("*.deleted", "*.deleted.v2")

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        ids = defaultdict(set)
        for event in events:
            if event.object_type is not None and event.object_id is not None:
                ids[event.object_type].add(event.object_id)
        for object_type, some in ids.items():
            for deletions in self.source.histories(object_type, some, self.kinds, events[-1].position):
                told = _envelope(min(deletions, key=moment_of))  # repeated deliveries add nothing
                deleted_at = told.pop("happened_at")
                yield told | {
                    "object_type": object_type,
                    "object_id": deletions[-1].object_id,
                    "deleted_at": deleted_at,
                    "position": deletions[-1].position,
                }


def _envelope(event: Event) -> Record:
    """Return the fields that every event has."""
    return {
        "event_id": event.event_id,
        "position": event.position,
        "event": event.event,
        "happened_at": from_milliseconds(event.happened_at),
        "received_at": from_milliseconds(event.received_at),
    }


def _as_documented(record: Record) -> Record:
    """Return a record with deliveries' fields under their documented names (facts: Payloads of deliveries)."""
    changed: Record = {}
    if isinstance(tags := record.get("tags"), list):
        changed["tags"] = [
            {"created_at": tag["tagged_at"]} | {name: value for name, value in tag.items() if name != "tagged_at"}
            if isinstance(tag, dict) and "tagged_at" in tag
            else tag
            for tag in tags
        ]
    if links := record.get("media_url"):
        changed["media_url"] = links = links if isinstance(links, list) else [links]
        if not record.get("media_details"):
            changed["media_details"] = [each if isinstance(each, dict) else {"presigned_url": each} for each in links]
    return record | changed


def _whole(record: Record) -> Record:
    """Return a record with null for empty objects, which carry no information in deliveries."""
    return {name: None if value == {} else value for name, value in record.items()}


def _number(identity: str | None) -> int | str | None:
    """Return an id as a number if it is one."""
    return to_id(identity) or identity


def _without_id(data: Record) -> Record:
    """Return an event's data without the `id`, which the record has under another name."""
    return {name: value for name, value in data.items() if name != "id"}


def moment_of(event: Event) -> Moment:
    """Return the sort key of an event among those of its object.

    The envelope's time is in whole seconds. Within one, the object's `updated_at` decides, then the stage; the event id
    makes the order unique.
    """
    updated_at = event_milliseconds(event.data.get("updated_at")) or 0
    name, status = event.event.partition(".")[2], str(event.data.get("status"))
    stage = next((place for place, names in enumerate(STAGES) if name in names), 0)
    progress = STATUSES.index(status) if status in STATUSES else len(STATUSES)
    return event.happened_at, updated_at, stage, progress, event.event_id


def merged(events: Iterable[Event]) -> Record:
    """Return the merged record of all events about one object, which may be unordered and repeated."""
    record: Record = {}
    for event in sorted(events, key=moment_of):
        record = _laid_over(record, event.data, DEPTH)
    return record


def _laid_over(known: Record, said: Record, depth: int) -> Record:
    """Return a record updated by another, merging nested objects down to `depth` levels."""
    result = dict(known)
    for name, value in said.items():
        before = result.get(name)
        if value == {}:
            continue  # no information (facts: Payloads of deliveries)
        if depth and isinstance(value, dict) and isinstance(before, dict) and _are_one(before, value):
            result[name] = _laid_over(before, value, depth - 1)
        else:
            result[name] = value
    return result


def _are_one(known: Record, said: Record) -> bool:
    """Return whether two objects may be the same: a message whose contact changed must not mix both contacts."""
    ids: list[Any] = [each.get("id") for each in (known, said)]
    return None in ids or str(ids[0]) == str(ids[1])
