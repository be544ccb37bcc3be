"""The base class of all streams."""

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
from tap_aircall.streams.progress import Progress, SummaryRow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context

    from tap_aircall.auth.authenticators import Authenticator
    from tap_aircall.http.client import AircallClient
    from tap_aircall.reading.pages import Gap, Query, Reader, Record
    from tap_aircall.reading.walks import Step
    from tap_aircall.settings import Settings
    from tap_aircall.streams.run import Run

S = TypeVar("S", bound="AircallStream")

NAMED = 10
"""Records named per stream and run when set aside: ids are untrusted input. The summary counts them all."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNHANDLED = "An unhandled error occurred"
"""Start of the line that the SDK logs when a stream fails."""


class AircallStream(RESTStream[Any]):
    """One Aircall resource as a Singer stream.

    A subclass defines `path`, `envelope`, `primary_keys`, and how to read (`pages`). Walks
    (`tap_aircall.reading.walks`) are its paginators: they choose the next query. The SDK's loop takes the records from
    there, conforms each to the schema (`post_process`), then selects, maps and writes it.

    The state is the position of the walk, which the stream sets once the records up to there are written. The SDK's own
    bookmark, the highest replication key so far, is switched off: it would run ahead of a walk that trails the clock or
    reads backwards.

    Args:
        tap: The tap.
        run: State shared by the streams of a run.
        schema: JSON schema of a record; by default, the one in `tap_aircall.schemas`.
    """

    path: str
    """Path of the list or object, with its version."""
    envelope: ClassVar[str]
    """Key of the list or object in the response."""
    cost: ClassVar[str]
    """Requests per run, as text for the documentation."""
    primary_keys: Sequence[str] = ()
    replication_key: str | None = None
    is_open: ClassVar[bool] = False
    """Whether to pass on fields that the schema lacks, because Aircall does not document them all."""
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    """Secrets that Aircall sends; dropped silently."""

    state_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of its state, besides Singer's own."""
    follows_aircalls_clock: bool = False
    """Whether the times in its state come from Aircall's records rather than from a clock."""

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # post_process does it, nested values and times included

    left_out: str | None = None
    """Why this run skips the stream, or part of it."""
    _version: int | None = None
    """Version to activate once the whole table has been read; None unless the stream is a full table."""

    read_no_more_before: int | None = None
    """Later runs do not read the list before this time (UNIX seconds); None if they always read all of it."""
    began: float | None = None
    """When this run began to read the stream (monotonic seconds)."""

    def __init__(self, tap: Tap, run: Run, schema: dict[str, Any] | None = None) -> None:
        super().__init__(tap, schema=schema or schemas.of(self.name))
        self.logger.addFilter(is_worth_a_line)
        self.tap = tap
        self.run = run
        self.clock = run.clock
        self.aircall_clock = run.aircall_clock
        self.set_aside: Counter[str] = Counter()
        """How many records this run could not get or use, by reason."""
        self.misfits = Misfits(self, self.secret_fields)
        self._gaps: list[Gap] = []
        """Records that Aircall counted but did not show in this run."""

    @property
    @override
    def url_base(self) -> str:
        return self.settings.api_url

    @property
    @override
    def authenticator(self) -> Authenticator:
        """The authenticator for the setting `auth_scheme`."""
        return self.run.authenticator

    @property
    def settings(self) -> Settings:
        """The settings of this run."""
        return self.run.settings

    @cached_property
    def client(self) -> AircallClient:
        """The run's HTTP client, counting this stream's requests separately."""
        return self.run.client.counting_apart()

    @cached_property
    def progress(self) -> Progress:
        """Progress of this stream, as shown to the user."""
        return Progress(self.name, self.client, self.clock, self.logger)

    @property
    def began_at(self) -> int:
        """Lower bound of Aircall's time when this run began to read the stream (UNIX seconds)."""
        return self.aircall_clock.reached(self.began)

    @property
    def is_full_table(self) -> bool:
        """Whether every run reads everything."""
        return self.replication_method == REPLICATION_FULL_TABLE

    @abstractmethod
    def pages(self) -> Generator[list[Record]]:
        """Read the records from Aircall in the order to emit them, usually page by page.

        The generator resumes once the records it yielded are written, so it may move the state after a `yield`.
        """

    def sample(self) -> list[Record]:
        """Read a few records to test the stream: at most one request, which several streams may share."""
        return next(self.pages(), [])

    def try_out(self) -> None:
        """Read one record and pass it through the schema and the stream maps.

        Raises:
            AircallError: If that fails.
        """
        for record in self.sample()[:1]:
            if (processed := self.post_process(dict(record))) is not None:
                for stream_map in self.stream_maps:
                    stream_map.transform(processed)

    def row(self) -> SummaryRow:
        """Return this stream's row in the summary of the run."""
        notes = [
            self.left_out or "",
            self.misfits.note,
            *(f"{count:,} {what}" for what, count in self.set_aside.items()),
        ]
        seconds = self.progress.seconds or 0.0
        return SummaryRow(
            self.name, self.progress.records, self.client.requests_sent, seconds, "; ".join(filter(None, notes))
        )

    @property
    def given_state(self) -> Mapping[str, Any]:
        """The stream's part of the tap's state. Unlike `stream_state`, it adds no empty entry."""
        state: Mapping[str, Any] = self.tap.state.get("bookmarks", {}).get(self.name, {})
        return state

    def prepare(self) -> None:
        """Check requirements of a selected stream before any stream is read."""

    def check_state(self) -> None:
        """Reject a state that this stream cannot have written.

        Raises:
            InputError: Naming the stream.
        """
        state = self.given_state
        if not state:
            return
        states.check_keys(self.name, state, (*self.state_keys, later.GAPS))
        try:
            later.parse_gaps(state.get(later.GAPS, ()))
            self.parse_state(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"State of stream '{self.name}': {states.NOT_OURS}") from error

    def upgrade_state(self) -> None:
        """Convert the state of an earlier version; called if there is a state."""

    def check_times(self) -> None:
        """Reject a state written by a wrong clock; called once Aircall's time is known.

        Raises:
            InputError: Naming the stream.
        """
        state = self.given_state
        if state and not self.follows_aircalls_clock:
            states.check_times(self.name, state, self.aircall_clock.horizon())

    def parse_state(self, state: Mapping[str, Any]) -> Any:
        """Parse a non-empty state for `pages`; an error that `check_state` catches rejects it."""

    # What the SDK calls

    @override
    def request_records(self, context: Context | None) -> Iterator[Record]:
        progress, self.began = self.progress, self.clock.monotonic()
        try:
            # Closed explicitly: an error that ends the run must not surface in the garbage collector.
            with closing(self.pages()) as pages:
                for records in pages:
                    progress.add(len(records))
                    yield from records
            self.complete()
            self.settle_gaps()
        except StreamUnavailableError as reason:
            self.note_left_out(reason)  # the target keeps its rows
        except AircallError as error:
            if self.ABORT_AT_RECORD_COUNT is not None:
                raise  # the SDK's connection test fails only by an exception
            self.run.note_failure(self.name, error)
            self.logger.info("Stream '%s' failed. The run reads the other streams, then fails.", self.name)
        finally:
            self.misfits.finish()
            progress.close()

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        """Conform a record to the schema; return None, with a warning, if it lacks its key."""
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
        return value  # start_date limits only calls, and may be in any format

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        return None

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # The tap reports a failed stream itself, and logs a summary instead of the SDK's lines.
        if not message.startswith(UNHANDLED):
            super().log(message, *args, level=logging.DEBUG if level == logging.INFO else level, **kwargs)

    # The private parts of the SDK (docs/architecture.md)

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        pass  # the SDK would derive a bookmark from each record; the state is the position of the walk

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        # The SDK calls this before the first record: the target would drop all rows, and lose them if the run fails.
        self._version = full_table_version

    # For subclasses

    def sibling(self, kind: type[S]) -> S:
        """Return the stream of a class."""
        return next(stream for stream in self.tap.streams.values() if isinstance(stream, kind))

    def read_page(self, path: str, query: Query) -> Page:
        """Read one page of a list; accept a short page that stays short after retries."""
        try:
            return self.client.get(path, self.get_url_params(None, query), partial(self.parse_page, query))
        except ShortPageError as error:
            return error.page

    def read_whole(self, read: Reader) -> Iterator[Step]:
        """Read a whole list (`walks.whole_list`), and note gaps and unusable records."""
        return self.with_notes(walks.whole_list(read, self.item_key))

    def with_notes(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Pass on the steps of a walk, and note gaps and unusable records."""
        for step in steps:
            self.note_gap(step.gap)
            self.note_odd(step.odd)
            yield step

    def note_gap(self, gap: Gap | None) -> None:
        """Note records that Aircall counts but does not show."""
        if gap is not None:
            self._gaps.append(gap)
            self.set_aside["hidden by Aircall"] += gap.missing
            self.logger.warning("Stream '%s': %s", self.name, gap.describe(self.name))

    def note_odd(self, records: Sequence[Record], reason: str = "It has no usable id or time.") -> None:
        """Note records that cannot be emitted, or not be placed in their list; name them by id."""
        for record in records:
            self.set_aside["set aside (unusable)"] += 1
            if self.set_aside.total() <= NAMED:
                identity = record.get(self.item_key, record.get("id"))
                # Anything else may be personal data.
                shown = identity if type(identity) is int or _UUID.fullmatch(str(identity)) else "without an id"
                self.logger.warning("Stream '%s': a record (%s) is set aside: %s", self.name, shown, reason)

    def settle_gaps(self) -> None:
        """Keep gaps in the state; the run that first sees one fails."""
        before = later.parse_gaps(self.given_state.get(later.GAPS, ()))
        if not before and not self._gaps:
            return
        gaps = later.merged_gaps(before, self._gaps, self.read_no_more_before)
        self.write_state({later.GAPS: later.gaps_to_state(gaps) or None})
        if news := [gap for gap in self._gaps if not later.is_known(gap, before)]:
            missing = sum(gap.missing for gap in news)
            message = f"Aircall counts {missing:,} records that it does not show; all others were read."
            self.run.note_failure(self.name, GapError(message))

    def read_pages(self, queries: Iterable[Query]) -> Iterator[Page]:
        """Read pages of the list concurrently: the `Reader` for walks."""
        return self.client.in_flight(partial(self.read_page, self.path), queries)

    @override
    def get_url_params(self, context: Context | None, next_page_token: Query | None) -> Query:
        """Return query parameters; a subclass adds those that it always sends.

        Args:
            context: Unused; no stream has partitions.
            next_page_token: The query of the walk.
        """
        return dict(next_page_token or {})

    @cached_property
    def first_page(self) -> list[Record]:
        """The first page of the list in any order, requested once for all streams that need it."""
        (page,) = self.read_pages([{"page": "1", "per_page": str(PAGE_SIZE)}])
        return page.records

    def read_one(self, envelope: str, params: Query, identity: int) -> Record | None:
        """Read one object by its id; return None if this account has or sees no such object.

        Raises:
            AircallError: If it cannot be read, or Aircall no longer accepts the credentials.
        """

        def parse(payload: Any) -> Record:
            found = payload.get(envelope) if isinstance(payload, dict) else None
            if isinstance(found, dict) and found.get("id") == identity:
                return found
            raise ResponseError(f"Aircall responded without the requested {envelope}.")

        try:
            return self.client.get(path_of(f"{self.path}/{{}}", identity), params, parse)
        except NotFoundError:
            return None
        except ForbiddenError:
            self.client.ping()  # the credentials may be rejected, rather than this object
            return None

    def parse_page(self, query: Query, payload: Any) -> Page:
        """Parse and check the page in a decoded response.

        Raises:
            ResponseError: If there is none, or it contradicts itself or the query.
        """
        time = query.get("order_by", type(self).replication_key)  # a catalog may name another key, not another order
        return Page.parse(payload, self.envelope).checked(query, time, self.item_key)

    @property
    def item_key(self) -> str:
        """The field that identifies a record in its list."""
        return type(self).primary_keys[0]  # a catalog may name another

    @staticmethod
    def to_time(value: Any) -> str:
        """Convert a time, in the format of the stream's source, to RFC 3339 in UTC.

        Raises:
            ValueError: If it is not a time.
        """
        return to_rfc3339(value)

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Update the state of the stream and emit it; None removes a key."""
        kept = {key: value for key, value in state.items() if value is not None}
        for key in {*(state.keys() - kept.keys()), "starting_replication_value"}:  # the SDK's, which nothing here reads
            self.stream_state.pop(key, None)
        self.stream_state.update(kept)  # at once: a signal finds all of it or nothing
        self.tap.state_writer.write_state(self.tap.state)

    def note_left_out(self, reason: StreamUnavailableError) -> None:
        """Log why this run skips the stream, or part of it."""
        reason.stream, self.left_out = self.name, str(reason).removeprefix("is ")
        self.logger.log(logging.INFO if reason.is_expected else logging.WARNING, "%s", reason.line)

    def complete(self) -> None:
        """Activate the new version of a full table, now that all of it is written: targets drop older rows.

        Not while Aircall hides some records: their rows must stay.
        """
        if self._version is not None and not self.set_aside:
            super()._write_activate_version_message(self._version)
