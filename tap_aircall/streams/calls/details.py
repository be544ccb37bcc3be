"""Details of calls that have no list of their own: AI results and recordings.

Such a stream has its own cursors over the list of calls, one request per 50 calls, and requests the details of each
call that can have some: an answered one, or a voicemail. It works without the stream `calls`.

Its first cursor reads calls that are half an hour old, since Aircall recalculates a call for some minutes after its end
(facts: Changes after the call); a second one follows a day later, for calls that Aircall showed late. A call is set
aside and requested again (`reading.later`) if it has not settled, has nothing yet, is refused, or has an unusable
response.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.errors import InputError, ResponseError
from tap_aircall.inbox.source import MARK
from tap_aircall.reading import later, states, walks
from tap_aircall.reading.cursors import FIRST_RUN, LATE, NEW, POSITIONS, Cursors
from tap_aircall.reading.later import Later, Reason
from tap_aircall.reading.pages import PAGE_SIZE, ShortPageError
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.streams.base import NAMED, AircallStream
from tap_aircall.streams.calls.stream import Calls

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap

    from tap_aircall.reading.pages import Page, Query, Record
    from tap_aircall.streams.run import Run

SETTLE_SECONDS = 20 * 60
"""After a call's end; Aircall recalculates it until then."""
DELAY_SECONDS = 30 * 60
"""After a call's start; most calls have settled by then, and the others wait for the next run."""
NEEDED = ("id", "started_at", "ended_at", "answered_at", "status", "duration", "recording", "voicemail")
"""Fields of a call that these streams use."""
PAGES_SHARED = 64
"""Pages of the list that streams share in a run, with only `NEEDED`; more would take too much memory."""
MOST_UNUSABLE = 0.1
"""Maximum share of unusable responses; a higher one means that the API has changed."""
FEW = 10
"""Unusable responses to tolerate, even if their share is higher."""


class CallDetails(AircallStream):
    """Details of calls. A subclass chooses the calls (`wanted`), and requests their details (`details_of`)."""

    selected_by_default = False
    state_keys: ClassVar[tuple[str, ...]] = (FIRST_RUN, POSITIONS, later.KEY, MARK)
    rereads: ClassVar[bool] = False
    """Whether calls are read again at the ages of `reread_after_hours`."""

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run)
        self._now = 0
        """Lower bound of Aircall's time in this run (UNIX seconds)."""
        self._later = Later({}, ())
        self._asked = self._unusable = 0

    @property
    @override
    def replication_method(self) -> str:
        return REPLICATION_INCREMENTAL  # Aircall serves calls for six months only

    @abstractmethod
    def wanted(self, calls: Sequence[Record]) -> list[Record]:
        """Return the calls, among settled ones, whose details to request."""

    @abstractmethod
    def details_of(self, calls: Sequence[Record]) -> Iterator[list[Record]]:
        """Request the details of calls, and set aside calls without usable ones.

        Raises:
            StreamUnavailableError: If Aircall refuses the whole kind. The state stays unchanged.
            AircallError: If details exist but cannot be read.
        """

    @abstractmethod
    def details_again(self, calls: Sequence[int]) -> Generator[list[Record], None, bool]:
        """Request the details of calls again that were set aside; return whether all of them were requested.

        Raises:
            AircallError: As `details_of` does.
        """

    @override
    def pages(self) -> Generator[list[Record]]:
        cursors = self.begin()
        read = partial(self.client.in_flight, self._read_calls)
        for window in cursors.windows():
            for step in self.with_notes(walks.oldest_first(read, *window)):
                self.progress.expect(step.remaining or 0)
                yield from self.details_of(self.wanted(self._settled(step.records)))
                if step.through is not None:
                    cursors.advance(step.through, self._now - DELAY_SECONDS)
                self.note(cursors)
        self.read_no_more_before = cursors.read_for_good
        yield from self.finish(cursors)

    @override
    def prepare(self) -> None:
        # A state without cursors would count as one of an earlier version; see `upgrade_followed`.
        if POSITIONS not in self.stream_state:
            self.stream_state.update(self.parse_state(self.stream_state).to_state())

    def begin(self) -> Cursors:
        """Load the state; return the cursors."""
        self._now = self.run.now
        self._later = Later(self.stream_state.get(later.KEY, {}), self.settings.reread_after_seconds)
        return self.parse_state(self.stream_state)

    def finish(self, cursors: Cursors) -> Iterator[list[Record]]:
        """Request again what was set aside and is due."""
        is_done = True
        due = self._later.due(self._now)
        for first in range(0, len(due), PAGE_SIZE):
            is_done = is_done and (yield from self.details_again(due[first : first + PAGE_SIZE]))
            self.note(cursors)
        if is_done:
            over = list(self._later.tried(self._now).values())
            for reason in (Reason.REFUSED, Reason.UNUSABLE):  # a call without details is no loss
                if count := over.count(reason):
                    message = "Stream '%s': giving up on %d calls that were set aside a week ago (%s)."
                    self.logger.warning(message, self.name, count, reason)
        self.note(cursors)

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        Later(state.get(later.KEY, {}), ())
        settings, now = self.settings, (self._now or self.aircall_clock.reached()) - DELAY_SECONDS
        ages = [age - DELAY_SECONDS for age in settings.reread_after_seconds if age > DELAY_SECONDS]
        return Cursors(
            state,
            None,
            ages=ages if self.rereads else [LATE][: len(ages)],
            now=now,
            start=settings.start,
            end=settings.end,
            horizon=now,
        )

    def set_aside_call(self, call_id: int, reason: Reason, line: str = "") -> None:
        """Set a call aside to request it again; log the line the first time.

        Raises:
            ResponseError: If too many responses are unusable.
        """
        is_news = self._later.add(call_id, reason, self._now)
        if reason is Reason.UNUSABLE:
            self._unusable += 1
            if self._unusable > max(FEW, MOST_UNUSABLE * self._asked):
                raise ResponseError(line)
        if line and is_news:
            self.set_aside[f"set aside ({reason})"] += 1
            if self.set_aside.total() <= NAMED:
                self.logger.warning("Stream '%s': call %d is set aside: %s", self.name, call_id, line)

    def note(self, cursors: Cursors) -> None:
        """Write the state."""
        self.write_state(self.to_state(cursors))

    def to_state(self, cursors: Cursors) -> dict[str, Any]:
        """Return the state, as `write_state` takes it."""
        return {**cursors.to_state(), later.KEY: self._later.to_state() or None}

    def _settled(self, calls: Sequence[Record]) -> list[Record]:
        """Return the settled calls that can have details; set aside those that may have some later."""
        ready = self._ready(calls, self._now)
        ids = {call["id"] for call in ready}
        for call in calls:
            may_come = call.get("status") != "done" or _has_something(call)  # still going on, or just ended
            if call["id"] not in ids and may_come and type(call["id"]) is int:
                self._later.add(call["id"], Reason.EARLY, self._now)
        return ready

    @staticmethod
    def _ready(calls: Iterable[Record], now: int) -> list[Record]:
        """Return the calls that can have details, and have settled by `now` (UNIX seconds)."""
        return [call for call in calls if _has_something(call) and _ended_at(call) + SETTLE_SECONDS <= now]

    def _read_calls(self, query: Query) -> Page:
        """Read a page of the list of calls, or reuse the one that another stream has read in this run."""
        shared, key = self.run.call_pages, (*query, *query.values())
        if key in shared:
            return shared[key]
        calls = self.sibling(Calls)
        try:
            page = self.client.get(Calls.path, query, partial(calls.parse_page, query))
        except ShortPageError as error:
            page = error.page
        page = page._replace(records=[{name: call.get(name) for name in NEEDED} for call in page.records])
        if len(shared) < PAGES_SHARED:
            shared[key] = page
        return page


def _has_something(call: Record) -> bool:
    return call.get("status") == "done" and bool(call.get("answered_at") or call.get("voicemail"))


def _ended_at(call: Record) -> int:
    """Return when a call ended, or else when it began (UNIX seconds)."""
    for name in ("ended_at", "started_at"):
        try:
            return to_seconds(call.get(name))
        except ValueError:
            continue
    return 0


def is_followed(tap_state: Mapping[str, Any], name: str) -> bool:
    """Return whether the state of `calls` holds a stream's position, as before version 0.3."""
    bookmarks = tap_state.get("bookmarks", {})
    return POSITIONS in bookmarks.get(Calls.name, {}) and name in bookmarks and POSITIONS not in bookmarks[name]


def upgrade_followed(tap_state: Mapping[str, Any], name: str, *, back: int, after: int | None = None) -> None:
    """Give a stream its own cursors in a state where `calls` holds its position (before version 0.3).

    Args:
        tap_state: The state of the tap; the stream's part is changed.
        name: The stream.
        back: Seconds of calls to read again, for late details.
        after: The stream lacks calls after this time (UNIX seconds); None if it lacks none.

    Raises:
        InputError: If the state of `calls` cannot be read.
    """
    bookmarks = tap_state["bookmarks"]
    state, calls = bookmarks[name], bookmarks[Calls.name]
    try:
        known = {int(age): to_seconds(position) for age, position in calls[POSITIONS].items()}
        _ = to_seconds(calls[FIRST_RUN])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"State of stream '{Calls.name}': {states.NOT_OURS}") from error
    positions = {age - DELAY_SECONDS: position for age, position in known.items() if age > DELAY_SECONDS}
    settled = [position for age, position in known.items() if age >= SETTLE_SECONDS] or list(known.values())
    if settled:
        positions[NEW] = min(max(settled) - back, max(settled) if after is None else after)
        state |= {
            FIRST_RUN: calls[FIRST_RUN],
            POSITIONS: {str(age): to_rfc3339(position) for age, position in sorted(positions.items())},
        }
