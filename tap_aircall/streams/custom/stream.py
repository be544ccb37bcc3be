"""Streams that users define in the setting `custom_streams`, and those of the tap that are no more than a definition.

Nothing is known of their fields, and a Singer schema must name those that a target is to make columns of: most targets
drop all others. So all that Aircall sent passes through, and stands once more in one field, an open object. The keys
are in the schema, as text, since ids may be numbers or not.
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
from tap_aircall.reading.pages import Page, is_too_odd
from tap_aircall.reading.times import to_seconds
from tap_aircall.reading.walks import AscendingWalk
from tap_aircall.schemas import notation as schemas
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.custom.definitions import PLACE, RECORD, SECRETS, Definition, Replication
from tap_aircall.streams.kinds import OptionalOwnedStream, ReferenceStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap

    from tap_aircall.reading.pages import Query, Reader, Record
    from tap_aircall.reading.walks import Step
    from tap_aircall.streams.run import Run

MARK = "custom"
"""Key in the state that says that a stream was a user's own, so that it may be gone from the settings."""
BEGINNING = -(2**62)

ID, TIME = "id", "time"
"""What the walks know of a record."""


def schema_of(definition: Definition) -> dict[str, Any]:
    """Build the JSON schema of a stream's records."""
    keys = filter(None, [*definition.primary_keys, definition.parent_key])
    fields = dict.fromkeys(keys, schemas.key(schemas.text("Part of the key, as text.")))
    if definition.replication_key:
        fields[definition.replication_key] = schemas.time("Time that the list is ordered by.")
    fields[RECORD] = schemas.open_object("The record as Aircall sent it, without secrets.")
    return schemas.completed(fields)


def stream_of(definition: Definition) -> type[CustomStream]:
    """Make the class of a stream out of its definition."""
    kind: type[CustomStream] = ChangingList
    if definition.replication is Replication.FULL_TABLE:
        kind = ChildList if definition.parent else WholeList
    return with_definition(kind, definition)


def with_definition(kind: type[CustomStream], definition: Definition) -> type[CustomStream]:
    """Give a kind of streams the name, the place and the keys of a definition."""
    fields = {
        "name": definition.name,
        "path": definition.path.replace(PLACE, "{}"),
        "envelope": definition.records_key,
        "primary_keys": definition.primary_keys,
        "replication_key": definition.replication_key,
        "owner_key": definition.parent_key or "",
        "definition": definition,
        "selected_by_default": not definition.is_built_in,
        "cost": f"one per record of `{definition.parent}`, once a day" if definition.parent else "one per 50",
        "__doc__": kind.__doc__,
        "__module__": __name__,
    }
    return type(definition.name, (kind,), fields)


class CustomStream(AircallStream):
    """One list or object, as a definition says: what is common to the ways of reading it."""

    definition: ClassVar[Definition]
    is_open = True
    state_keys: ClassVar[tuple[str, ...]] = (MARK,)

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run, schema_of(self.definition))

    @override
    def prepare(self) -> None:
        super().prepare()
        self.stream_state[MARK] = True

    @override
    def read_pages(self, path: str, queries: Iterable[Query]) -> Iterator[Page]:
        try:
            yield from super().read_pages(path, queries)
        except NotFoundError as error:
            problem = f"Aircall knows no {path} (status 404)"
            if self.definition.is_built_in:
                raise StreamUnavailableError(f"is left out: {problem}.") from error
            raise NotFoundError(f"{problem}: check its path in custom_streams.") from error
        except ForbiddenError as error:
            raise StreamUnavailableError(
                f"is left out: Aircall keeps {path} from this account (status 403)."
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
            return page.checked(query, self.name, TIME, self.item_key)
        except MisorderedError as error:
            raise UnreadableError(
                f"Aircall does not list it in the order of '{self.replication_key}', or ignores 'from' and 'to': use "
                "the replication full_table."
            ) from error

    def _parse(self, payload: Any) -> Page:
        """Take the list, or the one object, out of an answer."""
        key = self.envelope
        found = payload.get(key) if isinstance(payload, dict) else None
        if isinstance(found, dict):
            return Page([found], 1, linked=False)
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise self._unlike(f"Aircall's answer has no list and no object '{key}'", "its records_key")
        return Page.parse(payload, key)

    def _unlike(self, problem: str, doubt: str) -> UnreadableError:
        """Return the error for an answer that is not as the definition says."""
        advice = f"check {doubt} in custom_streams."
        if self.definition.is_built_in:
            advice = f"nobody has shown this project such an answer yet; define '{self.name}' in custom_streams."
        return UnreadableError(f"{problem}: {advice}")

    def _item(self, record: Record) -> Record:
        """Pack a record together with what a walk has to know of it: nothing, if it has no usable key."""
        keys = {key: str(record.get(key)) for key in self.definition.sent_keys}
        whole = without(SECRETS, record)
        item: Record = {RECORD: {**whole, **keys, RECORD: whole}}
        if not self._problem_of(record):
            item[ID] = tuple(keys.values())
            if self.replication_key is not None:
                item[TIME] = to_seconds(record[self.replication_key])
        return item

    def _problem_of(self, record: Record) -> str:
        """Say what is wrong with a record that lacks a usable key or time; empty for others."""
        for key in self.definition.sent_keys:
            if not isinstance(record.get(key), str | int) or isinstance(record[key], bool):
                return f"a record whose '{key}' is not text or a number"
        try:
            to_seconds(0 if self.replication_key is None else record.get(self.replication_key))
        except ValueError:
            return f"a record whose '{self.replication_key}' is not a time"
        return ""


def unpacked(items: Iterable[Record]) -> list[Record]:
    """Return the records that `CustomStream` has packed for the walks."""
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
    """What each record of another list has: one request for each of them, or more where that is a long list."""

    state_keys = (*CustomStream.state_keys, *OptionalOwnedStream.state_keys)

    @override
    def is_owned_by(self, stream: ReferenceStream) -> bool:
        return stream.name == self.definition.parent

    @override
    def read_each(self, owners: Sequence[Any]) -> Iterator[list[Record]]:
        self._unknown: list[Any] = []
        yield from super().read_each(owners)
        if self._unknown and len(self._unknown) == len(owners):
            what = f"Aircall knows no {self.definition.path} of any of the {len(owners)} {self.definition.parent}"
            raise StreamUnavailableError(f"is left out: {what} (status 404).")

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
    """A list of which only what is new, or what changed, is read."""

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run)
        self.follows_aircalls_clock = self.definition.replication is Replication.NEWEST_FIRST
        self._began: float | None = None

    @override
    def pages(self) -> Generator[list[Record]]:
        for items in self._read():
            yield unpacked(items)

    @override
    def parse_state(self, state: Mapping[str, Any]) -> int | None:
        """Return the bookmark in UNIX seconds; None if there is none for this replication key, or of the future."""
        if state.get("replication_key") != self.replication_key:
            return None
        bookmark = to_seconds(state["replication_key_value"])
        return walks.newest_of([bookmark], self.aircall_clock.horizon()) if self.follows_aircalls_clock else bookmark

    def _read(self) -> Iterator[list[Record]]:
        """Read what is to be read, and move the state on."""
        self._began = self.clock.monotonic()
        bookmark = None if self.is_full_table else self.parse_state(self.stream_state)
        reader = self.reader()
        if self.follows_aircalls_clock:
            yield from self._changed_since(reader, BEGINNING if bookmark is None else bookmark)
            return
        # `from` may exclude its own second or not: the walk drops what it did not want.
        walk = AscendingWalk(reader, TIME, from_is_exclusive=True, params={}, name=self.name)
        after = None if bookmark is None else bookmark - 1
        for number, step in enumerate(self.noted(walk.steps(after, self.aircall_clock.horizon())), start=1):
            yield step.records
            if number % states.PAGES_PER_STATE == 0 and step.records:
                self._move_to(step.through)
            elif not step.records:
                self._move_to(step.last)

    def _changed_since(self, reader: Reader, bookmark: int) -> Iterator[list[Record]]:
        newest: int | None = None
        through: int | None = None
        params = {"order_by": str(self.replication_key)}
        for step in self.noted(walks.newest_first(reader, TIME, bookmark, params, self.name)):
            newest = newest or walks.newest_of((item[TIME] for item in step.records), self.aircall_clock.horizon())
            through = step.through
            yield step.records
        if through is None:
            raise UnreadableError(
                f"Aircall lists more than 10,000 changes of '{self.name}', and does not let anyone read the rest; use "
                "the replication from_to if the list can do that."
            )
        self._move_to(newest)

    def _move_to(self, second: int | None) -> None:
        """Set the bookmark (UNIX seconds), but never within `TRAIL_SECONDS` of Aircall's clock."""
        if second is None or self.is_full_table:
            return
        second = min(second, self.aircall_clock.reached(self._began) - TRAIL_SECONDS)
        before = self.parse_state(self.stream_state)
        self.write_state(states.bookmark(self.replication_key, second, before))
