"""The kinds of streams that most resources are: a list, one object, or something that each user or number has.

A stream of one of these kinds is a class that says where the resource is and what identifies a record. Not every user,
number or account has every resource. If one is missing (404), or the account may not see it (403), that is normal: it
costs one line in the log at most, and the run goes on.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall.errors import AircallError, ForbiddenError, NotFoundError, ResponseError, StreamUnavailableError
from tap_aircall.http.addresses import path_of
from tap_aircall.reading import states, walks
from tap_aircall.reading.conform import without
from tap_aircall.reading.pages import Page
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.reading.walks import Step
from tap_aircall.streams.access import Access
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from tap_aircall.reading.pages import Query, Record


ASKED_AT = "asked_at"
"""Key of the state of a list that is not read at every run."""


class ReferenceStream(AircallStream):
    """A list that is read whole: once a run, however many streams need it."""

    cost = "one per 50"
    primary_keys: Sequence[str] = ("id",)
    _is_announced = False

    @override
    def pages(self) -> Generator[list[Record]]:
        for step in [Step(self.listed, remaining=len(self.listed))] if self._owned else self.steps():
            self.progress.expect(step.remaining or 0)
            yield step.records

    def steps(self) -> Iterator[Step]:
        """Read the list, page by page."""
        return self.read_whole(self.reader(), self.item_key)

    @override
    def sample(self) -> list[Record]:
        return self.first_page if self._owned else super().sample()

    @property
    def listed(self) -> list[Record]:
        """All records, for this stream and those that its records own; asked for once, also when that fails.

        Raises:
            AircallError: The same for each of them.
        """
        if isinstance(self._listed, AircallError):
            raise self._listed
        return self._listed

    def announce(self) -> None:
        """Announce once what streams cost that take a request for each of these records."""
        if not self._is_announced:
            self._is_announced = True
            self.warn_of_cost(len(self.listed), len(self._owned))

    @property
    def _owned(self) -> list[OwnedStream]:
        """The streams of this run that take a request for each of these records."""
        streams = [each for each in self.tap.streams.values() if isinstance(each, OwnedStream) and each.selected]
        return [each for each in streams if each.is_owned_by(self)]

    @cached_property
    def _listed(self) -> list[Record] | AircallError:
        try:
            return [record for step in self.steps() for record in step.records]
        except AircallError as error:
            return error


class OptionalList(ReferenceStream):
    """A list that not every account may see."""

    selected_by_default = False

    @override
    def steps(self) -> Iterator[Step]:
        try:
            yield from super().steps()
        except (ForbiddenError, NotFoundError) as error:
            raise _left_out() from error


class SingleObject(AircallStream):
    """A resource that is one object: one record."""

    @override
    def pages(self) -> Generator[list[Record]]:
        yield [self.client.get(self.path, {}, self._parse)]

    def _parse(self, payload: Any) -> Record:
        return _object(payload.get(self.envelope) if isinstance(payload, dict) else None, self.envelope)


class OwnedStream(AircallStream):
    """What each user or number has: one request for each of them, or more where that is a long list.

    It is read whole, but not at every run: only when the last reading is as old as `owned_lists_every_hours` says. The
    state says when that began, and only after the target was told that all of it is there. A run in between tells the
    target nothing at all of the stream, so that what the target has stays.
    """

    owners: ClassVar[type[ReferenceStream]]
    """The stream of those who have it. `path` has a place for their id."""
    owner_key: ClassVar[str]
    """The field that holds the owner's id, added to each record."""
    state_keys: ClassVar[tuple[str, ...]] = (ASKED_AT,)

    @property
    @override
    def goes_on_from_state(self) -> bool:
        return True

    def is_owned_by(self, stream: ReferenceStream) -> bool:
        """Say whether it takes a request for each record of a stream."""
        return isinstance(stream, self.owners)

    @cached_property
    def owner_stream(self) -> ReferenceStream:
        """The stream of those who have it.

        Raises:
            StreamUnavailableError: If there is none.
        """
        streams = (each for each in self.tap.streams.values() if isinstance(each, ReferenceStream))
        if (found := next(filter(self.is_owned_by, streams), None)) is None:
            raise StreamUnavailableError("is left out: the stream that it belongs to is not one that is read whole.")
        return found

    @cached_property
    def is_due(self) -> bool:
        """Whether this run reads it."""
        last = self.parse_state(self.tap.state.get("bookmarks", {}).get(self.name, {}))
        return states.is_due(last, self.settings.owned_lists_every_seconds, self._began)

    @override
    def prepare(self) -> None:
        if not self.is_due:
            last = to_seconds(self.stream_state[ASKED_AT])
            until = to_rfc3339(int(last + self.settings.owned_lists_every_seconds))
            reason = f"it was read at {to_rfc3339(last)} (setting owned_lists_every_hours)"
            self.note_left_out(StreamUnavailableError(f"is left out until {until}: {reason}.", is_expected=True))
            self.selected = False  # not even its schema: a target that overwrites tables would begin an empty one

    @override
    def pages(self) -> Generator[list[Record]]:
        owners = self.owner_stream
        ids = [owner["id"] for owner in owners.listed]
        owners.announce()
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
        """Return when it was last asked for (UNIX seconds); None for never."""
        return to_seconds(state[ASKED_AT]) if ASKED_AT in state else None

    @cached_property
    def _began(self) -> int:
        """When this run comes to the stream, by Aircall's clock (UNIX seconds)."""
        return self.aircall_clock.reached()

    def _note(self) -> None:
        """Put into the state that it was asked for, whether it was given or refused."""
        self.write_state({ASKED_AT: to_rfc3339(self._began)})

    @override
    def sample(self) -> list[Record]:
        owners = self.owner_stream.sample()
        return next(iter(self.read_each([owner["id"] for owner in owners[:1]])), [])

    def read_each(self, owners: Sequence[int]) -> Iterator[list[Record]]:
        """Read what each has, in their order, several at once."""
        return self.client.in_flight(self.read_of, owners)

    def read_of(self, owner: int) -> list[Record]:
        """Read what one has: nothing, if Aircall knows nothing of it (404)."""
        try:
            return [{**record, self.owner_key: owner} for record in self.ask(path_of(self.path, owner))]
        except NotFoundError:
            return []

    def ask(self, path: str) -> list[Record]:
        """Read a list with pages; a subclass whose resource is something else has its own way."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            return (self.read_page(path, query) for query in queries)

        return [record for step in self.read_whole(read, self.item_key) for record in step.records]

    @property
    @override
    def item_key(self) -> str:
        """The field that identifies a record among those of one owner."""
        return next(key for key in self.primary_keys if key != self.owner_key)


class OptionalOwnedStream(OwnedStream):
    """What some users or numbers have."""

    selected_by_default = False

    @override
    def read_each(self, owners: Sequence[int]) -> Iterator[list[Record]]:
        access, refused = Access(self.client), 0
        for _, answer in access.ask(self.read_of, owners):
            if isinstance(answer, ForbiddenError):
                refused += 1
            else:
                yield answer
        if access.refusals and not access.is_granted:
            raise _left_out()
        if refused:
            count = f"{refused} of {len(owners)}"
            raise StreamUnavailableError(
                f"is not complete: Aircall keeps {count} from this account (status 403); the rest was read."
            )


class OwnedObject(OptionalOwnedStream):
    """One object of each, in an envelope or as it is: sources differ (facts: What not every account has)."""

    @override
    def ask(self, path: str) -> list[Record]:
        return [self.client.get(path, {}, self._parse)]

    def _parse(self, payload: Any) -> Record:
        return _object(_unwrapped(payload, self.envelope), self.envelope)


class OwnedOpenObject(OptionalOwnedStream):
    """One object of each, of which not all fields are known: it also goes out whole, in the field `record`."""

    is_open = True

    @override
    def ask(self, path: str) -> list[Record]:
        found = without(self.secret_fields, self.client.get(path, {}, lambda payload: payload))
        record = _unwrapped(found, self.envelope)
        if not isinstance(record, dict):
            record = {self.envelope: record}
        return [{**record, "record": record}]


class OwnedTokenList(OptionalOwnedStream):
    """A list of each, with pages behind a token rather than a number."""

    @override
    def ask(self, path: str) -> list[Record]:
        def ask(query: Query) -> Any:
            return self.client.get(path, query, checked)

        def checked(payload: Any) -> Any:
            Page.parse(payload, self.envelope)
            return payload

        steps = walks.behind_tokens(ask, self.envelope, self.item_key, self.name)
        return [record for step in self.noted(steps) for record in step.records]


def _left_out() -> StreamUnavailableError:
    return StreamUnavailableError(
        "is left out: this account may not see it, or its plan lacks it (Aircall refuses it)."
    )


def _object(found: Any, name: str) -> Record:
    """Return what was found in an answer.

    Raises:
        ResponseError: If that is no object.
    """
    if not isinstance(found, dict):
        raise ResponseError(f"Aircall answered without the object '{name}'.")
    return found


def _unwrapped(payload: Any, envelope: str) -> Any:
    """Take an object out of its envelope, if it is in one."""
    wrapped = payload.get(envelope) if isinstance(payload, dict) else None
    return payload if wrapped is None else wrapped
