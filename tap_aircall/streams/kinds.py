"""Base classes for most resources: a list, a single object, or a list or object for each user or number.

A stream of one of these kinds only declares its path and its keys. Not every user, number or account has every
resource: a missing one (404) or a forbidden one (403) is normal, and gets at most one line in the log.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall.errors import AircallError, ForbiddenError, NotFoundError, ResponseError, StreamUnavailableError
from tap_aircall.http.addresses import path_of
from tap_aircall.reading import states
from tap_aircall.reading.conform import without
from tap_aircall.reading.states import ASKED_AT
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.reading.walks import Step
from tap_aircall.streams.access import Access
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from tap_aircall.reading.pages import Page, Query, Record


class ReferenceStream(AircallStream):
    """A list that is read whole, once a run, shared by the streams that need it."""

    cost = "one per 50"
    primary_keys: Sequence[str] = ("id",)

    @override
    def pages(self) -> Generator[list[Record]]:
        for step in [Step(self.listed, remaining=len(self.listed))] if self._owned else self.steps():
            self.progress.expect(step.remaining or 0)
            yield step.records

    def steps(self) -> Iterator[Step]:
        """Read the list page by page."""
        return self.read_whole(self.read_pages)

    @override
    def sample(self) -> list[Record]:
        return self.first_page if self._owned else super().sample()

    @property
    def listed(self) -> list[Record]:
        """All records, requested once for this stream and its owned streams.

        Raises:
            AircallError: The same error for each of them.
        """
        if isinstance(self._listed, AircallError):
            raise self._listed
        return self._listed

    @property
    def _owned(self) -> list[OwnedStream]:
        """The selected streams that take a request for each of these records."""
        streams = [each for each in self.tap.streams.values() if isinstance(each, OwnedStream)]
        return [each for each in streams if each.selected and each.owner == self.name]

    @cached_property
    def _listed(self) -> list[Record] | AircallError:
        try:
            return [record for step in self.steps() for record in step.records]
        except AircallError as error:
            return error


class SingleObject(AircallStream):
    """A single object as one record."""

    @override
    def pages(self) -> Generator[list[Record]]:
        yield [self.client.get(self.path, {}, self._parse)]

    def _parse(self, payload: Any) -> Record:
        return _object(payload.get(self.envelope) if isinstance(payload, dict) else None, self.envelope)


class OwnedStream(AircallStream):
    """A list or object of each user or number, at a request each, or more for a long list.

    It is read whole, but only once the last reading is `owned_lists_every_hours` old. The state records when that
    reading began, after the target has all of it. A run in between sends the target nothing of the stream, not even
    the schema, so the target keeps its rows.
    """

    owner: ClassVar[str]
    """Name of the owners' stream; `path` has a placeholder for their id."""
    owner_key: ClassVar[str]
    """Field for the owner's id, added to each record."""
    state_keys: ClassVar[tuple[str, ...]] = (ASKED_AT,)

    @cached_property
    def owner_stream(self) -> ReferenceStream:
        """The owners' stream.

        Raises:
            StreamUnavailableError: If there is none, or it is not read whole.
        """
        stream = self.tap.streams.get(self.owner)
        if not isinstance(stream, ReferenceStream):
            raise StreamUnavailableError("is left out: its parent stream is not read whole.")
        return stream

    @cached_property
    def is_due(self) -> bool:
        """Whether this run reads the stream."""
        last = self.parse_state(self.given_state)
        return states.is_due(last, self.settings.owned_lists_every_seconds, self.began_at)

    @override
    def prepare(self) -> None:
        if not self.is_due:
            last = to_seconds(self.stream_state[ASKED_AT])
            until = to_rfc3339(int(last + self.settings.owned_lists_every_seconds))
            reason = f"it was read at {to_rfc3339(last)} (setting owned_lists_every_hours)"
            self.note_left_out(StreamUnavailableError(f"is left out until {until}: {reason}.", is_expected=True))
            self.selected = False  # not even a schema: a target that overwrites tables would start an empty one

    @override
    def pages(self) -> Generator[list[Record]]:
        ids = [owner["id"] for owner in self.owner_stream.listed]
        try:
            for done, records in enumerate(self.read_each(ids), start=1):
                self.progress.expect(len(ids) - done)
                yield records
        except StreamUnavailableError:
            self._note()
            raise

    @override
    def complete(self) -> None:
        super().complete()
        self._note()

    @override
    def parse_state(self, state: Mapping[str, Any]) -> int | None:
        """Return when it was last read (UNIX seconds); None for never."""
        return to_seconds(state[ASKED_AT]) if ASKED_AT in state else None

    def _note(self) -> None:
        """Record in the state that the stream was read, or refused."""
        self.write_state({ASKED_AT: to_rfc3339(self.began_at)})

    @override
    def sample(self) -> list[Record]:
        owners = self.owner_stream.sample()
        return next(iter(self.read_each([owner["id"] for owner in owners[:1]])), [])

    def read_each(self, owners: Sequence[int]) -> Iterator[list[Record]]:
        """Read the lists or objects of all owners concurrently, in the order of the owners."""
        return self.client.in_flight(self.read_of, owners)

    def read_of(self, owner: int) -> list[Record]:
        """Read the list or object of one owner; nothing if Aircall responds with 404."""
        try:
            return [{**record, self.owner_key: owner} for record in self.ask(path_of(self.path, owner))]
        except NotFoundError:
            return []

    def ask(self, path: str) -> list[Record]:
        """Read a list with pages; subclasses override this for other resources."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            return (self.read_page(path, query) for query in queries)

        return [record for step in self.read_whole(read) for record in step.records]

    @property
    @override
    def item_key(self) -> str:
        """Field that identifies a record of one owner."""
        return next(key for key in self.primary_keys if key != self.owner_key)


class OptionalOwnedStream(OwnedStream):
    """An owned stream that some owners, or the whole account, may lack."""

    selected_by_default = False

    @override
    def read_each(self, owners: Sequence[int]) -> Iterator[list[Record]]:
        access, refused = Access(self.client), 0
        for _, result in access.ask(self.read_of, owners):
            if isinstance(result, ForbiddenError):
                refused += 1
            else:
                yield result
        if access.is_undecided:
            raise not_granted()
        if refused:
            count = f"{refused} of {len(owners)}"
            raise StreamUnavailableError(f"is incomplete: Aircall refuses {count} (status 403); the rest was read.")


class OwnedObject(OptionalOwnedStream):
    """One object per owner, with or without an envelope: sources differ (facts: Optional features)."""

    @override
    def ask(self, path: str) -> list[Record]:
        return [self.client.get(path, {}, self._parse)]

    def _parse(self, payload: Any) -> Record:
        return _object(_unwrapped(payload, self.envelope), self.envelope)


class OwnedOpenObject(OptionalOwnedStream):
    """One object per owner with partly unknown fields; it is also emitted whole, in the field `record`."""

    is_open = True

    @override
    def ask(self, path: str) -> list[Record]:
        found = without(self.secret_fields, self.client.get(path, {}, lambda payload: payload))
        record = _unwrapped(found, self.envelope)
        if not isinstance(record, dict):
            record = {self.envelope: record}
        return [{**record, "record": record}]


def not_granted() -> StreamUnavailableError:
    """Return the error for a stream that Aircall refuses."""
    return StreamUnavailableError("is left out: Aircall refuses it to this account; its plan may lack it.")


def _object(found: Any, name: str) -> Record:
    """Return what was found in a response, or raise a `ResponseError` if it is not an object."""
    if not isinstance(found, dict):
        raise ResponseError(f"Aircall responded without the object '{name}'.")
    return found


def _unwrapped(payload: Any, envelope: str) -> Any:
    """Return the content of the envelope, or the payload if it has no envelope."""
    wrapped = payload.get(envelope) if isinstance(payload, dict) else None
    return payload if wrapped is None else wrapped
