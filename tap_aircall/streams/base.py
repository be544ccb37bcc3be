"""What all streams of the tap have in common."""

from __future__ import annotations

import logging
import re
from abc import abstractmethod
from collections import Counter
from contextlib import closing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from singer_sdk import RESTStream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_aircall import schemas
from tap_aircall.errors import (
    AircallError,
    ForbiddenError,
    GapError,
    InputError,
    NotFoundError,
    ResponseError,
    StreamUnavailableError,
)
from tap_aircall.http.addresses import path_of
from tap_aircall.http.logs import is_worth_a_line
from tap_aircall.reading import later, states, walks
from tap_aircall.reading.conform import conform
from tap_aircall.reading.pages import PAGE_SIZE, Page, ShortPageError
from tap_aircall.reading.times import to_rfc3339
from tap_aircall.streams.misfits import Misfits
from tap_aircall.streams.progress import Progress, Row, forecast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_aircall.auth.authenticators import Authenticator
    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.clock import AircallClock, Clock
    from tap_aircall.reading.pages import Gap, Query, Reader, Record
    from tap_aircall.reading.walks import Step
    from tap_aircall.settings import Settings
    from tap_aircall.streams.run import Run

S = TypeVar("S", bound="AircallStream")

NAMED = 10
"""How many of those that are set aside are named in a run, since ids come from outside; the summary counts them all."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNHANDLED = "An unhandled error occurred"
"""How the line begins that the SDK logs when a stream fails."""


class AircallStream(RESTStream[Any]):
    """One resource of Aircall as a Singer stream.

    A subclass says where it is (`path`, `envelope`), what identifies a record, and how it is read (`pages`): by one of
    the walks of `tap_aircall.reading.walks`, which decides, as a paginator does, which query comes next. The SDK's loop
    takes the records from there, has `post_process` bring each into the form of its schema, selects, maps and writes
    it. What the state says is the position of the walk, set by the stream itself after the records up to there were
    written. The SDK's own bookkeeping, which derives a bookmark from each record, is switched off: it cannot express a
    walk that trails the clock, and it would run ahead of one that goes backwards.

    Args:
        tap: The tap.
        run: What the streams of a run share.
        schema: JSON schema of a record, if it is not the one that `tap_aircall.schemas` has for the name.
    """

    path: str
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

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # post_process does it, nested values and times included

    left_out: str | None = None
    """Why this run does not read it, or not all of it; None if there is nothing to say."""
    _version: int | None = None
    """The version of a full table that is to be activated when all of it was read; None for other streams."""

    is_whole = True
    """Whether this run was shown all that Aircall counts, and could use all of it."""

    def __init__(self, tap: Tap, run: Run, schema: dict[str, Any] | None = None) -> None:
        super().__init__(tap, schema=schema or schemas.of(self.name))
        self.logger.addFilter(is_worth_a_line)
        self.tap = tap
        self.run = run
        self.set_aside: Counter[str] = Counter()
        """How much could not be had or used in this run, by what is to be said of it."""
        self.misfits = Misfits(self, self.secret_fields)
        self._gaps: list[Gap] = []
        """What this run was not shown."""

    @property
    @override
    def url_base(self) -> str:
        return self.settings.api_url

    @property
    @override
    def authenticator(self) -> Authenticator:
        """The authenticator that the setting `auth_scheme` chooses."""
        return self.run.authenticator

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self.run.settings

    @cached_property
    def client(self) -> AircallClient:
        """The HTTP client of the run, with a count of the requests for this stream."""
        return self.run.client.counting_apart()

    @cached_property
    def progress(self) -> Progress:
        """Where this stream is, for the user to see."""
        return Progress(self.name, self.client, self.clock, self.logger)

    @property
    def clock(self) -> Clock:
        """The clock of this machine."""
        return self.run.clock

    @property
    def aircall_clock(self) -> AircallClock:
        """Aircall's clock: what a state says of times goes by it."""
        return self.run.aircall_clock

    @property
    def is_full_table(self) -> bool:
        """Whether the catalog or the stream asks for everything at every run."""
        return self.replication_method == REPLICATION_FULL_TABLE

    @property
    def goes_on_from_state(self) -> bool:
        """Whether a run reads what its state says of this stream."""
        return not self.is_full_table

    @abstractmethod
    def pages(self) -> Generator[list[Record]]:
        """Read the records from Aircall, in the order to emit them; as a rule, a page at a time.

        A generator runs on only after what it yielded was written, so that it may move the state after a `yield`.
        """

    def sample(self) -> list[Record]:
        """Read a few records for a test, with one request, or one that several streams share."""
        return next(self.pages(), [])

    def try_out(self) -> None:
        """See whether a record of this stream can be read, and brought through its schema and its maps.

        Raises:
            AircallError: If not.
        """
        for record in self.sample()[:1]:
            processed = self.post_process(dict(record))
            for stream_map in self.stream_maps if processed else ():
                stream_map.transform(processed or {})

    def row(self) -> Row:
        """Return what the summary of the run says of this stream."""
        notes = [
            self.left_out or "",
            self.misfits.note,
            *(f"{count:,} {what}" for what, count in self.set_aside.items()),
        ]
        seconds = self.progress.seconds or 0.0
        return Row(self.name, self.progress.records, self.client.requests_sent, seconds, "; ".join(filter(None, notes)))

    def prepare(self) -> None:
        """Check or begin what cannot wait until the stream's turn; called when it is selected, before any is read."""

    def check_state(self) -> None:
        """Refuse a state that cannot be this stream's.

        Raises:
            InputError: Naming the stream.
        """
        state = self.tap.state.get("bookmarks", {}).get(self.name)
        if not state or (not self.goes_on_from_state and later.GAPS not in state):
            return
        states.check_keys(self.name, state, (*self.state_keys, later.GAPS))
        try:
            later.parse_gaps(state.get(later.GAPS, ()))
            self.parse_state(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"State of stream '{self.name}': {states.NOT_OURS}") from error

    def upgrade_state(self) -> None:
        """Bring the state of an earlier version into the form of this one; called if there is a state."""

    def check_times(self) -> None:
        """Refuse a state that was written by a wrong clock; called when Aircall has said what time it is.

        Raises:
            InputError: Naming the stream.
        """
        state = self.tap.state.get("bookmarks", {}).get(self.name)
        if state and self.goes_on_from_state and not self.follows_aircalls_clock:
            states.check_times(self.name, state, self.aircall_clock.horizon())

    def parse_state(self, state: Mapping[str, Any]) -> Any:
        """Turn a non-empty state into what `pages` needs; raise any of the usual errors if it cannot be read."""

    # What the SDK calls

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        progress = self.progress  # which begins to count the time
        try:
            # Closed here: an error that ends the run must not come up while the garbage collector closes it.
            with closing(self.pages()) as pages:
                for records in pages:
                    progress.add(len(records))
                    yield from records
            self.complete()
            self.settle_gaps(self.read_no_more_before)
        except StreamUnavailableError as reason:
            self.note_left_out(reason)  # what a target has of it stays
        except AircallError as error:
            if self.ABORT_AT_RECORD_COUNT is not None:
                raise
            self.run.note_failure(self.name, error)
            self.logger.info("Stream '%s' failed; the other streams are read, then the run fails.", self.name)
        finally:
            self.misfits.finish()
            progress.close()

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        """Bring a record into the form of the schema; None, with a warning, if it lacks its key."""
        try:
            return conform(
                row,
                self.effective_schema,
                self.misfits.report,
                to_time=self.to_time,
                is_open=self.is_open,
                is_selected=self.misfits.is_selected,
            )
        except ResponseError as error:
            self.note_odd([row], str(error))
            return None

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        raise NotImplementedError  # the client decodes answers, and `parse_page` takes them apart

    @property
    @override
    def effective_schema(self) -> dict[str, Any]:
        schema = super().effective_schema
        return schema if schema.get("properties") else self.schema

    @property
    @override
    def emit_activate_version_messages(self) -> bool:
        return True

    @override
    def compare_start_date(self, value: str, start_date_value: str) -> str:
        return value  # start_date is about calls alone, and may have any form

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        return None

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # The SDK says so before the tap says which. The rest is of no interest to most: the tap has a summary.
        if not message.startswith(UNHANDLED):
            super().log(message, *args, level=logging.DEBUG if level == logging.INFO else level, **kwargs)

    # The private parts of the SDK (docs/architecture.md)

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        pass  # the SDK would take a bookmark from each record; the position of a walk is another thing

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        # The SDK calls it before the first record: a target would drop all rows, and have lost them if the run fails.
        self._version = full_table_version

    # For subclasses

    def sibling(self, kind: type[S]) -> S:
        """Return the stream of another class."""
        return next(stream for stream in self.tap.streams.values() if isinstance(stream, kind))

    def reader(self, path: str | None = None) -> Reader:
        """Return a function that reads pages of the list, several at once."""
        return partial(self.read_pages, path or self.path)

    def read_page(self, path: str, query: Query) -> Page:
        """Read one page of a list; one that stays short however often it is asked for is read as it is."""
        try:
            return self.client.get(path, self.get_url_params(None, query), partial(self.parse_page, query))
        except ShortPageError as error:
            return error.page

    def read_whole(self, read: Reader, key: str) -> Iterator[Step]:
        """Read a list whole, as `walks.whole_list` does, and note what it hides."""
        return self.noted(walks.whole_list(read, key, self.name))

    def noted(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Pass on what a walk brings, and note what it hides and what was set aside on the way."""
        for step in steps:
            self.note_gap(step.gap)
            self.note_odd(step.odd)
            yield step

    def note_gap(self, gap: Gap | None) -> None:
        """Note what Aircall counts and does not show, if there is something."""
        if gap is not None:
            self.is_whole = False
            self._gaps.append(gap)
            self.set_aside["hidden by Aircall"] += gap.missing
            self.logger.warning("Stream '%s': %s", self.name, gap.describe(self.name))

    def note_odd(self, records: Sequence[Record], reason: str = "It has no usable id or time.") -> None:
        """Note records that cannot be emitted, or not be placed in their list: named by their ids, as far as known."""
        for record in records:
            self.is_whole = False
            self.set_aside["set aside (unusable)"] += 1
            if self.set_aside.total() <= NAMED:
                identity = record.get(self.item_key, record.get("id"))
                # Anything else in its place may be about somebody.
                shown = identity if type(identity) is int or _UUID.fullmatch(str(identity)) else "without an id"
                self.logger.warning("Stream '%s': a record (%s) is set aside: %s", self.name, shown, reason)

    def usable(self, odd: Sequence[Record]) -> list[Record]:
        """Return those of some records that have an id, though no place in the list; note the others."""
        usable = [record for record in odd if isinstance(record.get(self.item_key), int | str)]
        self.note_odd([record for record in odd if record not in usable])
        return usable

    def settle_gaps(self, forgotten_before: int | None = None) -> None:
        """Put what the list hides into the state, and fail the run that sees something of it for the first time.

        Args:
            forgotten_before: As for `later.merged_gaps`.
        """
        before = later.parse_gaps(self.tap.state.get("bookmarks", {}).get(self.name, {}).get(later.GAPS, ()))
        if not before and not self._gaps:
            return
        news = [gap for gap in self._gaps if not later.is_known(gap, before)]
        if gaps := later.merged_gaps(before, self._gaps, forgotten_before):
            self.write_state({later.GAPS: later.gaps_to_state(gaps)})
        else:
            del self.stream_state[later.GAPS]
            self.write_state({})
        if news:
            missing = sum(gap.missing for gap in news)
            message = f"Aircall counts {missing:,} records that it does not show; all others were read."
            self.run.note_failure(self.name, GapError(message))

    def read_pages(self, path: str, queries: Iterable[Query]) -> Iterator[Page]:
        """Read pages of a list, several at once."""
        return self.client.in_flight(partial(self.read_page, path), queries)

    @override
    def get_url_params(self, context: Context | None, next_page_token: Query | None) -> Query:
        """Return the parameters of a query; a subclass adds those that it always sends.

        Args:
            context: Not used; no stream has partitions.
            next_page_token: What the walk asks for.
        """
        return dict(next_page_token or {})

    @cached_property
    def first_page(self) -> list[Record]:
        """The first page of the list, whatever order it is in; asked for once, however many streams need it."""
        (page,) = self.read_pages(self.path, [{"page": "1", "per_page": str(PAGE_SIZE)}])
        return page.records

    def read_one(self, envelope: str, params: Query, identity: int) -> Record | None:
        """Read one object of the list by its id; None if there is none that this account may see."""

        def parse(payload: Any) -> Record:
            found = payload.get(envelope) if isinstance(payload, dict) else None
            if isinstance(found, dict) and found.get("id") == identity:
                return found
            raise ResponseError(f"Aircall answered without the {envelope} that was asked for.")

        try:
            return self.client.get(path_of(f"{self.path}/{{}}", identity), params, parse)
        except (NotFoundError, ForbiddenError):
            return None

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

    @staticmethod
    def to_time(value: Any) -> str:
        """Turn a time, in whatever form the stream's source has it, into RFC 3339 in UTC.

        Raises:
            ValueError: If it is not a time.
        """
        return to_rfc3339(value)

    @property
    def read_no_more_before(self) -> int | None:
        """Up to where later runs do not read the list again (UNIX seconds); None for one that is always read whole."""
        return None

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Make this the state of the stream, and tell the target."""
        # One assignment for each key: a signal between two of them finds each alone safe to start from.
        self.stream_state.update(state)
        self.stream_state.pop("starting_replication_value", None)  # the SDK's, which nothing here reads
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

    def note_left_out(self, reason: StreamUnavailableError) -> None:
        """Say once why this run does not read the stream, or not all of it."""
        reason.stream, self.left_out = self.name, str(reason).removeprefix("is ")
        self.logger.log(logging.INFO if reason.is_expected else logging.WARNING, "%s", reason.line)

    def complete(self) -> None:
        """Note that all was read and written: a target may drop the rows of older versions of a full table.

        Rows that Aircall only hides at the moment stay.
        """
        if self._version is not None and self.is_whole:
            super()._write_activate_version_message(self._version)
