"""What all streams of the tap have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import closing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_aircall.errors import (
    AircallError,
    ForbiddenError,
    InputError,
    NotFoundError,
    ResponseError,
    StreamUnavailableError,
    one_line,
)
from tap_aircall.http.addresses import path_of
from tap_aircall.reading import states, walks
from tap_aircall.reading.pages import PAGE_SIZE, Page, ShortPageError
from tap_aircall.reading.times import to_rfc3339
from tap_aircall.schemas import resources as schemas
from tap_aircall.sdk import UNHANDLED, SdkStream, SdkTap
from tap_aircall.streams.output import Output
from tap_aircall.streams.progress import Progress, Row, forecast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk.helpers.types import Context

    from tap_aircall.http.client import AircallClient
    from tap_aircall.inbox.source import EventSource
    from tap_aircall.reading.clock import AircallClock, Clock
    from tap_aircall.reading.pages import Gap, Query, Reader, Record
    from tap_aircall.settings import Settings


T = TypeVar("T")


class AircallTap(SdkTap):
    """What a stream asks of its tap, beyond what every tap of the SDK has."""

    clock: Clock

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """The settings of this run."""

    @property
    @abstractmethod
    def client(self) -> AircallClient:
        """The one HTTP client of this run, with its limiter and authenticator."""

    aircall_clock: AircallClock
    """What Aircall's own clock says."""

    @property
    @abstractmethod
    def events(self) -> EventSource | None:
        """What the inbox holds, the same all through the run; None without the setting `inbox`.

        Raises:
            InputError: If the inbox cannot be used.
            InboxError: If it cannot be read at the moment.
        """

    def require_events(self, stream: str) -> EventSource:
        """Return what the inbox holds, for a stream that needs it.

        Raises:
            InputError: If there is none, or it cannot be used.
            InboxError: If it cannot be read at the moment.
        """
        if self.events is None:
            message = f"Stream '{stream}': needs the setting inbox, where the receiver of webhooks keeps events."
            raise InputError(message)
        return self.events

    @abstractmethod
    def note_failure(self, stream: str, error: AircallError) -> None:
        """Note that a stream failed, so that the run fails when all others were read.

        Raises:
            AircallError: The error itself, if it is not about this stream alone.
        """


class AircallStream(SdkStream):
    """One resource of Aircall as a Singer stream.

    A subclass says where it is (`path`, `envelope`), what identifies a record, and how it is read (`extract`). What it
    emits goes through the compiled schema; what the state says is the position of its walk, set by the stream itself
    after the records up to there were written. The SDK's own bookkeeping, which derives a bookmark from each record, is
    switched off: it cannot express a walk that trails the clock, and it would run ahead of one that goes backwards.
    """

    path: ClassVar[str]
    """Path of the list or object, with its version."""
    envelope: ClassVar[str]
    """Key of the list or object in the answer."""
    cost: ClassVar[str]
    """How many requests a run takes for it, in the words of the documents."""
    primary_keys: Sequence[str] = ()
    replication_key: str | None = None
    is_open: ClassVar[bool] = False
    """Whether fields that the schema lacks are passed on, since Aircall does not document them all."""
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    """Secrets that Aircall sends: dropped without a word."""

    state_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of its state, besides Singer's own."""
    follows_aircalls_clock: bool = False
    """Whether the times in its state come from Aircall's records rather than from a clock."""

    turn: ClassVar[int] = 0
    """Streams with a lower number are read first."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # Output does it

    left_out: str | None = None
    """Why this run does not read it, or not all of it; None if there is nothing to say."""

    is_whole = True
    """Whether this run was shown all that Aircall counts, and could use all of it."""

    def __init__(self, tap: AircallTap, schema: dict[str, Any] | None = None) -> None:
        super().__init__(tap, schema=schema or schemas.of(self.name))
        self.tap = tap
        self.output = Output(
            self, tap, secret_fields=self.secret_fields, is_open=self.is_open, extracted_at=self._time()
        )

    @cached_property
    def client(self) -> AircallClient:
        """The HTTP client of the tap, with a count of the requests for this stream."""
        return self.tap.client.counting_apart()

    @cached_property
    def progress(self) -> Progress:
        """Where this stream is, for the user to see."""
        return Progress(self.name, self.client, self.clock, self.logger)

    @property
    def clock(self) -> Clock:
        """The clock of the tap."""
        return self.tap.clock

    @property
    def aircall_clock(self) -> AircallClock:
        """Aircall's clock: what a state says of times goes by it."""
        return self.tap.aircall_clock

    @property
    def is_full_table(self) -> bool:
        """Whether the catalog or the stream asks for everything at every run."""
        return self.replication_method == REPLICATION_FULL_TABLE

    @property
    def goes_on_from_state(self) -> bool:
        """Whether a run reads what its state says of this stream."""
        return not self.is_full_table

    @abstractmethod
    def extract(self) -> Iterable[list[Record]]:
        """Read the records from Aircall, in the order to emit them; as a rule, a page at a time.

        A generator runs on only after what it yielded was written, so that it may move the state after a `yield`.
        """

    def sample(self) -> list[Record]:
        """Read a few records for a test, with one request, or one that several streams share."""
        return next(iter(self.extract()), [])

    def try_out(self) -> None:
        """See whether a record of this stream can be read, and brought into its shape.

        Raises:
            AircallError: If not.
        """
        self.progress = Progress(self.name, self.client, self.clock, self.logger, terminal=False)
        self.write_records([dict(record) for record in self.sample()[:1]])

    def row(self) -> Row:
        """Return what the summary of the run says of this stream."""
        note = (self.left_out or "").removeprefix(f"Stream '{self.name}'").removeprefix(" is ").removeprefix(": ")
        if not self.selected:
            note = "read for other streams"
        written = self.progress.records if self.selected else 0
        return Row(self.name, written, self.client.requests_sent, self.progress.seconds or 0.0, note)

    def prepare(self) -> None:
        """Begin what Aircall needs time for; called when the stream is selected, before any stream is read."""

    def check_state(self) -> None:
        """Refuse a state that cannot be this stream's.

        Raises:
            InputError: Naming the stream.
        """
        state = self.tap.state.get("bookmarks", {}).get(self.name)
        if not state or not self.goes_on_from_state:
            return
        states.check_keys(self.name, state, self.state_keys)
        try:
            self.parse_state(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            message = f"State of stream '{self.name}': not as tap-aircall writes it; restore it, or start without."
            raise InputError(message) from error

    def check_times(self) -> None:
        """Refuse a state that was written by a wrong clock; called when Aircall has said what time it is.

        Raises:
            InputError: Naming the stream.
        """
        state = self.tap.state.get("bookmarks", {}).get(self.name)
        if state and self.goes_on_from_state and not self.follows_aircalls_clock:
            states.check_times(self.name, state, self.aircall_clock.horizon())

    def parse_state(self, state: Mapping[str, Any]) -> Any:
        """Turn a non-empty state into what `extract` needs; raise any of the usual errors if it cannot be read."""

    # What the SDK calls

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        with closing(self._extracted()) as pages:
            for records in pages:
                yield from records

    @property
    @override
    def effective_schema(self) -> dict[str, Any]:
        schema = super().effective_schema
        return schema if schema.get("properties") else self.schema

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        # The SDK sends them before the first record, so that a target drops all rows, and has lost them if the run
        # fails.
        return False  # see complete

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        return None

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # The SDK says so before the tap says which. The rest is of no interest to most: the tap has a summary.
        if not message.startswith(UNHANDLED):
            super().log(message, *args, level=logging.DEBUG if level == logging.INFO else level, **kwargs)

    @override
    def sync_pages(self) -> None:
        left = self.ABORT_AT_RECORD_COUNT  # a number in a dry run
        try:
            # Closed here: an error that ends the run must not come up while the garbage collector closes it.
            with self.get_record_counter() as counter, self.get_sync_timer(), closing(self._extracted()) as pages:
                for page in pages:
                    records = page[:left]
                    self.write_records(records)
                    counter.increment(len(records))
                    if len(records) < len(page):
                        return
                    left = left if left is None else left - len(records)
        except AircallError as error:
            if self.ABORT_AT_RECORD_COUNT is not None:
                raise
            self.tap.note_failure(self.name, error)

    # For subclasses

    def reader(self, path: str | None = None) -> Reader:
        """Return a function that reads pages of the list, several at once."""

        def read(queries: Iterable[Query]) -> Iterator[Page]:
            for page in self.read_pages(path or self.path, queries):
                self.note_extraction()
                yield page

        return read

    def note_extraction(self) -> None:
        """Note that the records to write next are read now."""
        self.output.extracted_at = self._time()

    def read_page(self, path: str, query: Query) -> Page:
        """Read one page of a list; one that stays short however often it is asked for is read as it is."""
        try:
            return self.client.get(path, query, partial(self.parse_page, query))
        except ShortPageError as error:
            return error.page

    def read_whole(self, read: Reader, key: str, size: int = PAGE_SIZE) -> Iterator[Page]:
        """Read a list whole, as `walks.whole_list` does, and note what it hides."""
        pages = walks.whole_list(read, key, self.name, size)
        gap = yield from self.noting_odd(pages)
        self.note_gap(gap)

    def noting_odd(self, pages: Generator[Page, None, T]) -> Generator[Page, None, T]:
        """Pass pages on, and note what was set aside on them."""
        while True:
            try:
                page = next(pages)
            except StopIteration as end:
                return cast("T", end.value)
            self.note_odd(page.odd)
            yield page

    def note_gap(self, gap: Gap | None) -> None:
        """Note what Aircall counts and does not show, if there is something."""
        if gap is not None:
            self.is_whole = False
            self.logger.warning("%s", gap.describe(self.name))

    def note_odd(self, odd: Sequence[Record]) -> None:
        """Note records that cannot be placed in the list."""
        if odd:
            self.is_whole = False
            ids = ", ".join(one_line(str(record.get(self.item_key))) for record in odd)
            self.logger.warning("%s: records set aside, without a usable id or time (%d): %s", self.name, len(odd), ids)

    @cached_property
    def first_page(self) -> list[Record]:
        """The first page of the list, whatever order it is in; asked for once, however many streams need it."""
        return self.read_page(self.path, {"page": "1", "per_page": str(PAGE_SIZE)}).records

    def read_one(self, envelope: str, params: Query, identity: int) -> Record | None:
        """Read one object of the list by its id; None if there is none that this account may see."""

        def parse(payload: Any) -> Record:
            found = payload.get(envelope) if isinstance(payload, dict) else None
            if isinstance(found, dict) and found.get("id") == identity:
                return found
            message = f"Aircall answered without the {envelope} that was asked for."
            raise ResponseError(message)

        try:
            return self.client.get(path_of(f"{self.path}/{{}}", identity), params, parse)
        except (NotFoundError, ForbiddenError):
            return None

    def read_pages(self, path: str, queries: Iterable[Query]) -> Iterator[Page]:
        """Read pages of a list, several at once."""
        return self.client.in_flight(partial(self.read_page, path), queries)

    def parse_page(self, query: Query, payload: Any) -> Page:
        """Take a page out of the decoded answer to a query.

        Raises:
            ResponseError: If there is none, or it contradicts itself or what was asked for.
        """
        time = query.get("order_by", type(self).replication_key)  # a catalog may name another key, not another order
        return Page.parse(payload, self.envelope).checked(query, self.name, time, self.item_key)

    @property
    def item_key(self) -> str:
        """The field that identifies a record in its list."""
        return type(self).primary_keys[0]  # a catalog may name another

    def write_records(self, records: list[Record]) -> None:
        """Bring records into their shape, and hand them to the target.

        Raises:
            ResponseError: If one of them is not what the schema says; names the stream and the field.
        """
        self.output.write(records)

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Make this the state of the stream, and tell the target."""
        # One assignment for each key: a signal between two of them finds each alone safe to start from.
        self.stream_state.update(state)
        self.tap.state_writer.write_state(self.tap.state)

    def warn_of_cost(self, count: int, streams: int) -> bool:
        """Say what a run will cost, before it does, if it is much; return whether it is.

        Args:
            count: How many records this stream has to read.
            streams: How many selected streams take a request for each of them.
        """
        line = forecast(self.name, count, streams, self.client.limiter.requests_per_minute)
        if line is not None:
            self.logger.warning("%s", line)
        return line is not None

    def complete(self) -> None:
        """Note that all was read and written: a target may drop the rows of older versions of a full table.

        Rows that Aircall only hides at the moment stay.
        """
        if self.is_whole:
            self.output.activate_version()

    # Inner workings

    def _time(self) -> str:
        return to_rfc3339(int(self.clock.time()))

    def _extracted(self) -> Generator[list[Record]]:
        """Read the whole stream, and show its progress."""
        progress = self.progress  # which begins to count the time
        try:
            yield from self.extract()
        except StreamUnavailableError as reason:
            self.left_out = str(reason)
            self.logger.log(logging.INFO if reason.is_expected else logging.WARNING, "%s", reason)
            return  # what a target has of it stays
        finally:
            progress.close()
        self.complete()
