"""Streams from the setting `custom_streams`, and built-in ones that are only a definition.

Their fields are unknown, and most targets drop fields that the schema lacks. So a record passes through as it is, and
once more as an object in the field `record`. The schema has the keys, as text, since ids may be numbers or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_aircall.errors import (
    ForbiddenError,
    MisorderedError,
    NotFoundError,
    StreamUnavailableError,
    UnreadableError,
)
from tap_aircall.http.addresses import path_of
from tap_aircall.reading import states, walks
from tap_aircall.reading.clock import TRAIL_SECONDS
from tap_aircall.reading.conform import without
from tap_aircall.reading.cursors import BEGINNING
from tap_aircall.reading.pages import Page, is_too_odd
from tap_aircall.reading.times import to_seconds
from tap_aircall.schemas import notation as schemas
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.custom.definitions import PLACE, RECORD, SECRETS, Definition, Replication
from tap_aircall.streams.kinds import OptionalOwnedStream, ReferenceStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap

    from tap_aircall.reading.pages import Query, Record
    from tap_aircall.reading.walks import Step
    from tap_aircall.streams.run import Run

CUSTOM = "custom"
"""State key of a custom stream, which may be gone from the settings later."""
ID, TIME = "id", "time"
"""Fields of a packed record that walks read."""


def schema_of(definition: Definition) -> dict[str, Any]:
    """Return the JSON schema of a stream's records."""
    keys = filter(None, [*definition.primary_keys, definition.parent_key])
    fields = dict.fromkeys(keys, schemas.key(schemas.text("Part of the key, as text.")))
    if definition.replication_key:
        fields[definition.replication_key] = schemas.time("Time that the list is ordered by.")
    fields[RECORD] = schemas.open_object("The record as Aircall sent it, without secrets.")
    return schemas.completed(fields)


def stream_of(definition: Definition, kind: type[CustomStream] | None = None) -> type[CustomStream]:
    """Return the stream class for a definition; `kind` is its base, by default according to the replication."""
    if kind is None and definition.replication is Replication.FULL_TABLE:
        kind = ChildList if definition.parent else WholeList
    kind = kind or ChangingList
    fields = {
        "name": definition.name,
        "path": definition.path.replace(PLACE, "{}"),
        "envelope": definition.records_key,
        "primary_keys": definition.primary_keys,
        "replication_key": definition.replication_key,
        "owner": definition.parent or "",
        "owner_key": definition.parent_key or "",
        "definition": definition,
        "follows_aircalls_clock": definition.replication is Replication.NEWEST_FIRST,
        "selected_by_default": not definition.is_built_in,
        "cost": f"one per record of `{definition.parent}`, once a day" if definition.parent else "one per 50",
        "__doc__": kind.__doc__,
        "__module__": __name__,
    }
    return type(definition.name, (kind,), fields)


class CustomStream(AircallStream):
    """A list or object that a definition describes; each replication is a subclass."""

    definition: ClassVar[Definition]
    is_open = True
    state_keys: ClassVar[tuple[str, ...]] = (CUSTOM,)

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run, schema_of(self.definition))

    @override
    def prepare(self) -> None:
        super().prepare()
        self.stream_state[CUSTOM] = True

    @override
    def read_pages(self, queries: Iterable[Query]) -> Iterator[Page]:
        try:
            yield from super().read_pages(queries)
        except NotFoundError as error:
            problem = f"Aircall does not know {self.path} (status 404)"
            if self.definition.is_built_in:
                raise StreamUnavailableError(f"is left out: {problem}.") from error
            raise NotFoundError(f"{problem}: check its path in custom_streams.") from error
        except ForbiddenError as error:
            raise StreamUnavailableError(
                f"is left out: Aircall refuses {self.path} to this account (status 403)."
            ) from error

    @property
    @override
    def item_key(self) -> str:
        return ID

    @override
    def parse_page(self, query: Query, payload: Any) -> Page:
        page = self._parse(payload)
        items, problems = [*map(self._item, page.records)], [*filter(None, map(self._problem_of, page.records))]
        if problems and (len(problems) == len(items) or is_too_odd(len(problems), len(items))):
            raise self._unlike(f"Aircall sent {problems[0]}", "the keys")
        page = page._replace(records=items)
        try:
            return page.checked(query, TIME, self.item_key)
        except MisorderedError as error:
            raise UnreadableError(
                f"Aircall does not sort it by '{self.replication_key}', or ignores 'from' and 'to': use the "
                "replication full_table."
            ) from error

    def _parse(self, payload: Any) -> Page:
        """Parse the list or the one object in a response."""
        key = self.envelope
        found = payload.get(key) if isinstance(payload, dict) else None
        if isinstance(found, dict):
            return Page([found], 1, linked=False, name=key)
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise self._unlike(f"Aircall's response has no list and no object '{key}'", "its records_key")
        return Page.parse(payload, key)

    def _unlike(self, problem: str, doubt: str) -> UnreadableError:
        """Return the error for a response that does not match the definition."""
        advice = f"check {doubt} in custom_streams."
        if self.definition.is_built_in:
            advice = f"the tap does not know this format; define '{self.name}' in custom_streams."
        return UnreadableError(f"{problem}: {advice}")

    def _item(self, record: Record) -> Record:
        """Pack a record with its id and time for the walks; an unusable record gets neither."""
        keys = {key: str(record.get(key)) for key in self.definition.sent_keys}
        whole = without(SECRETS, record)
        item: Record = {RECORD: {**whole, **keys, RECORD: whole}}
        if not self._problem_of(record):
            item[ID] = tuple(keys.values())
            if self.replication_key is not None:
                item[TIME] = to_seconds(record[self.replication_key])
        return item

    def _problem_of(self, record: Record) -> str:
        """Return why a record has no usable key or time; empty if it has."""
        for key in self.definition.sent_keys:
            if not isinstance(record.get(key), str | int) or isinstance(record[key], bool):
                return f"a record whose '{key}' is not text or a number"
        try:
            to_seconds(0 if self.replication_key is None else record.get(self.replication_key))
        except ValueError:
            return f"a record whose '{self.replication_key}' is not a time"
        return ""


def unpacked(items: Iterable[Record]) -> list[Record]:
    """Return the records that `CustomStream` packed for the walks."""
    return [item[RECORD] for item in items]


class WholeList(CustomStream, ReferenceStream):
    """A list that is read whole, or a single object."""

    @override
    def steps(self) -> Iterator[Step]:
        return (step._replace(records=unpacked(step.records)) for step in super().steps())

    @override
    def sample(self) -> list[Record]:
        return unpacked(super().sample()) if self._owned else super().sample()


class ChildList(CustomStream, OptionalOwnedStream):
    """A list for each record of another list."""

    state_keys = (*CustomStream.state_keys, *OptionalOwnedStream.state_keys)

    @override
    def read_each(self, owners: Sequence[Any]) -> Iterator[list[Record]]:
        self._unknown: list[Any] = []
        yield from super().read_each(owners)
        if self._unknown and len(self._unknown) == len(owners):
            what = f"{self.definition.path} for any of the {len(owners)} {self.definition.parent}"
            raise StreamUnavailableError(f"is left out: Aircall does not know {what} (status 404).")

    @override
    def read_of(self, owner: Any) -> list[Record]:
        try:
            records = self.ask(path_of(self.path, owner))
        except NotFoundError:
            self._unknown.append(owner)
            return []
        return [{**record, self.owner_key: str(owner)} for record in records]

    @override
    def ask(self, path: str) -> list[Record]:
        return unpacked(super().ask(path))


class ChangingList(CustomStream):
    """A list of which only new or changed records are read."""

    @override
    def parse_state(self, state: Mapping[str, Any]) -> int | None:
        """Return the bookmark (UNIX seconds); None if it is in the future, or not for this replication key."""
        if state.get("replication_key") != self.replication_key:
            return None
        bookmark = to_seconds(state["replication_key_value"])
        return walks.newest_of([bookmark], self.aircall_clock.horizon()) if self.follows_aircalls_clock else bookmark

    @override
    def pages(self) -> Generator[list[Record]]:
        bookmark = None if self.is_full_table else self.parse_state(self.stream_state)
        if self.follows_aircalls_clock:
            yield from self._changed_since(BEGINNING if bookmark is None else bookmark)
            return
        # `from` may be inclusive or exclusive: the walk drops what lies outside.
        after = None if bookmark is None else bookmark - 1
        steps = walks.oldest_first(self.read_pages, after, self.aircall_clock.horizon())
        for number, step in enumerate(self.with_notes(steps), start=1):
            yield unpacked(step.records)
            if number % states.PAGES_PER_STATE == 0 and step.records:
                self._move_to(step.through)
            elif not step.records:
                self._move_to(step.last)

    def _changed_since(self, bookmark: int) -> Iterator[list[Record]]:
        newest: int | None = None
        through: int | None = None
        for step in self.with_notes(walks.newest_first(self.read_pages, str(self.replication_key), bookmark)):
            newest = newest or walks.newest_of((item[TIME] for item in step.records), self.aircall_clock.horizon())
            through = step.through
            yield unpacked(step.records)
        if through is None:
            raise UnreadableError(
                f"Aircall lists more than 10,000 changes of '{self.name}' and cannot show the rest; use the "
                "replication from_to if the list supports it."
            )
        self._move_to(newest)

    def _move_to(self, second: int | None) -> None:
        """Set the bookmark (UNIX seconds), at least `TRAIL_SECONDS` behind Aircall's clock."""
        if second is None or self.is_full_table:
            return
        second = min(second, self.began_at - TRAIL_SECONDS)
        before = self.parse_state(self.stream_state)
        self.write_state(states.bookmark(self.replication_key, second, before))
