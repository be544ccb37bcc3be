"""The streams that come from the inbox: what only webhooks tell (facts: What only webhooks tell).

Each goes on from its position in the inbox, which moves only past events whose records were emitted.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.reading.conform import without
from tap_aircall.reading.times import from_milliseconds, to_milliseconds
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.inbox.merging import data_of, merged, moment_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Record

SECRETS = frozenset({"token"})
TWIN_MILLISECONDS = 10_000
"""Two events are twins, one of them in the deprecated form, when they happened no further apart."""
_WHOLE = re.compile(r"[0-9]{1,18}")
TWIN_POSITIONS = 1_000
"""How far apart in the inbox twins are looked for."""


class InboxStream(AircallStream):
    """Events of the inbox, in the order of their positions."""

    selected_by_default = False
    replication_key = "position"
    state_keys = (MARK,)
    cost = "none"
    kinds: ClassVar[tuple[str, ...]] = ()
    """Patterns of the events that it is made from; all, if there are none."""

    _has_warned = False
    """Whether the user was told of forgotten events."""

    @property
    @override
    def replication_method(self) -> str:
        return REPLICATION_INCREMENTAL  # the inbox may have forgotten what the target still has

    @override
    def prepare(self) -> None:
        self._begin()

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Mark | None:
        return Mark.parse(state)

    def _begin(self) -> int:
        """Return the position after which this run begins; refuse settings and states before anything is read."""
        source, mark = self.run.require_events(self.name), self.parse_state(self.stream_state)
        start = source.resume(mark, self.name)
        if mark is not None and start < source.forgotten and not self._has_warned:
            self._has_warned = True
            self.logger.warning("Stream '%s': the inbox forgot events that this stream had not read yet.", self.name)
        return start

    @override
    def pages(self) -> Generator[list[Record]]:
        start, source = self._begin(), self.run.require_events(self.name)
        for events in source.events(start, self.kinds):
            yield [_whole(record) for record in self.records_of(events)]
            self._advance(events[-1].position)
        self._advance(source.through)

    def _advance(self, position: int) -> None:
        """Note that what came up to a position was emitted."""
        mark = self.run.require_events(self.name).mark(position)
        if mark and mark[MARK] != self.stream_state.get(MARK):
            self.write_state({"replication_key": self.replication_key, "replication_key_value": position} | mark)

    @staticmethod
    @override
    def to_time(value: Any) -> str:
        return from_milliseconds(to_milliseconds(value))

    @abstractmethod
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        """Make records of some events that follow each other."""


class WebhookEvents(InboxStream):
    """Every event that webhooks delivered, as it came."""

    name = "webhook_events"
    primary_keys = ("event_id",)

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        for event in events:
            names = ("company", "object_type", "object_id")
            told = {name: getattr(event, name) for name in names}
            body = without(SECRETS, event.body)
            yield _envelope(event) | told | {"resource": body.get("resource"), "body": body}


class CallEvents(InboxStream):
    """What happened in and to calls: whom they rang for, who declined, held, transferred or tagged them, and when."""

    name = "call_events"
    primary_keys = ("event_id",)
    kinds = ("call.*",)

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        for event in events:
            data = data_of(event)
            user = data.get("user")
            ids = {"call_id": _number(event.object_id), "user_id": user.get("id") if isinstance(user, dict) else None}
            yield _without_id(data) | ids | _envelope(event)


class UserEvents(InboxStream):
    """When users logged in and out, became available or not, and took their time after a call."""

    name = "user_events"
    primary_keys = ("event_id",)
    kinds = ("user.*",)

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        old = [event for event in events if not event.event.endswith(".v2")]
        successors = self._successors(old[0].position, old[-1].position) if old else {}
        for event in events:
            times = successors.get((event.event, event.object_id), ())
            if not any(abs(event.happened_at - other) <= TWIN_MILLISECONDS for other in times):
                yield _without_id(data_of(event)) | {"user_id": _number(event.object_id)} | _envelope(event)

    def _successors(self, first: int, last: int) -> dict[tuple[str, str | None], list[int]]:
        """Find the events around some positions that say the same as a deprecated one.

        Returns:
            When they happened (UNIX milliseconds), by the deprecated name and the user.
        """
        found = defaultdict(list)
        after = max(0, first - TWIN_POSITIONS)
        for events in self.run.require_events(self.name).events(after, ("user.*.v2",)):
            if events[0].position > last + TWIN_POSITIONS:
                break
            for event in events:
                found[event.event.removesuffix(".v2"), event.object_id].append(event.happened_at)
        return found


class MergedStream(InboxStream):
    """Things that several events tell of: one record each, with all that is known so far."""

    object_type: ClassVar[str]

    @override
    def records_of(self, events: Sequence[Event]) -> Iterable[Record]:
        ids = {event.object_id for event in events if event.object_id is not None}
        histories = self._histories(self.object_type, ids)
        for identity, history in self._complete(histories, events[-1].position):
            latest = max(history, key=moment_of)
            known = {"position": history[-1].position, "happened_at": from_milliseconds(latest.happened_at)}
            yield merged(history) | {self.primary_keys[0]: identity} | known

    def _histories(self, object_type: str, ids: set[str]) -> dict[str, list[Event]]:
        """Read all that the inbox holds about some objects."""
        histories = defaultdict(list)
        for event in self.run.require_events(self.name).events_of(object_type, ids) if ids else ():
            if event.object_id is not None:
                histories[event.object_id].append(event)
        return histories

    @staticmethod
    def _complete(histories: Mapping[str, list[Event]], through: int) -> Iterator[tuple[str, list[Event]]]:
        """Yield those that have nothing after a position: the others come with what they have there, once a run."""
        for identity, history in histories.items():
            if history[-1].position <= through:
                yield identity, history


class Messages(MergedStream):
    """Text messages: SMS, MMS and WhatsApp, each in its latest state."""

    name = "messages"
    primary_keys = ("id",)
    kinds = ("message.*",)
    object_type = "message"


class GroupMessages(MergedStream):
    """Text messages of group conversations, each in its latest state."""

    name = "group_messages"
    primary_keys = ("id",)
    kinds = ("group_message.*",)
    object_type = "group_message"


class AiVoiceAgentSessions(MergedStream):
    """What AI voice agents did in calls: when, how it ended, and what they found out."""

    name = "ai_voice_agent_sessions"
    primary_keys = ("ai_voice_agent_session_id",)
    kinds = ("ai_voice_agent.*",)
    object_type = "ai_voice_agent_session"


class DeletedObjects(MergedStream):
    """Users, numbers, contacts and integrations that were deleted, and when."""

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
            for identity, history in self._histories(object_type, some).items():
                deletions = [event for event in history if ".deleted" in event.event]
                if deletions and deletions[-1].position <= events[-1].position:
                    told = _envelope(min(deletions, key=moment_of))  # what comes again says nothing new
                    deleted_at = told.pop("happened_at")
                    yield told | {
                        "object_type": object_type,
                        "object_id": identity,
                        "deleted_at": deleted_at,
                        "position": deletions[-1].position,
                    }


def _envelope(event: Event) -> Record:
    """Return what every event has."""
    return {
        "event_id": event.event_id,
        "position": event.position,
        "event": event.event,
        "happened_at": from_milliseconds(event.happened_at),
        "received_at": from_milliseconds(event.received_at),
    }


def _whole(record: Record) -> Record:
    """Return a record with null for empty objects, which stand for nothing in deliveries."""
    return {name: None if value == {} else value for name, value in record.items()}


def _number(identity: str | None) -> int | str | None:
    """Return an id as the number that it is, as a rule."""
    return int(identity) if identity is not None and _WHOLE.fullmatch(identity) else identity


def _without_id(data: Record) -> Record:
    """Return what an event says of its object, whose `id` goes by another name."""
    return {name: value for name, value in data.items() if name != "id"}
