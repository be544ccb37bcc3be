"""What belongs to single calls and is in no list of its own: AI results, recordings.

Such a stream has cursors of its own over the list of calls, which is one request per 50 calls, and asks for each call
that can have something: an answered one, or a voicemail. It knows nothing of the stream `calls`, and works without it.

Its first cursor reads calls that are half an hour old, since Aircall recalculates a call for some minutes after its end
(facts: Changes after the call); a second one reads them a day later, for calls that Aircall showed late. What cannot be
had yet is set aside and asked for again (`reading.later`): a call that has not settled, one that has nothing yet, one
that Aircall refuses, one whose answer cannot be used.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_aircall.errors import InputError, ResponseError
from tap_aircall.inbox.source import MARK
from tap_aircall.reading import later, states
from tap_aircall.reading.cursors import FIRST_RUN, LATE, NEW, POSITIONS, Cursors
from tap_aircall.reading.later import Later, Reason
from tap_aircall.reading.pages import PAGE_SIZE, ShortPageError
from tap_aircall.reading.times import to_rfc3339, to_seconds
from tap_aircall.reading.walks import AscendingWalk
from tap_aircall.streams.base import NAMED, AircallStream
from tap_aircall.streams.calls.stream import Calls

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk import Tap

    from tap_aircall.reading.pages import Page, Query, Record
    from tap_aircall.streams.run import Run

SETTLE_SECONDS = 20 * 60
"""Seconds after its end when a call has settled; Aircall recalculates it until then."""
DELAY_SECONDS = 30 * 60
"""Seconds after its start when a call is read here: most have settled by then, and the others wait for the next run."""
NEEDED = ("id", "started_at", "ended_at", "answered_at", "status", "duration", "recording", "voicemail")
"""The fields of a call that matter here."""
PAGES_SHARED = 64
"""How many pages of the list streams share in a run, with `NEEDED` alone; more would take memory in a first run."""
MOST_UNUSABLE = 0.1
"""The largest share of answers that may be unusable: more is another API than the tap knows, not some bad answers."""
FEW = 10
"""So many unusable answers are not too many, whatever their share."""


class CallDetails(AircallStream):
    """A stream of what belongs to single calls.

    A subclass says which calls it asks for (`wanted`), and how (`details_of`).
    """

    selected_by_default = False
    state_keys: ClassVar[tuple[str, ...]] = (FIRST_RUN, POSITIONS, later.KEY, MARK)
    rereads: ClassVar[bool] = False
    """Whether calls are read again at the ages of `reread_after_hours`."""
    asks_for_each: ClassVar[bool] = True
    """Whether it takes a request for each call."""

    def __init__(self, tap: Tap, run: Run) -> None:
        super().__init__(tap, run)
        self._now = 0
        """What Aircall's clock had reached when the stream's turn came (UNIX seconds)."""
        self._later = Later({}, ())
        self._asked = self._unusable = self._last_read = 0

    @property
    @override
    def replication_method(self) -> str:
        return REPLICATION_INCREMENTAL  # calls of more than six months ago are gone in Aircall

    @abstractmethod
    def wanted(self, calls: Sequence[Record]) -> list[Record]:
        """Return those of some calls that are to be asked for, all of which have settled."""

    @abstractmethod
    def details_of(self, calls: Sequence[Record]) -> Iterator[list[Record]]:
        """Ask for what belongs to some calls, and set aside what cannot be had.

        Raises:
            StreamUnavailableError: If Aircall refuses all of it. The state stays where it was.
            AircallError: If something cannot be read that is there.
        """

    @abstractmethod
    def details_again(self, calls: Sequence[int]) -> Generator[list[Record], None, bool]:
        """Ask once more for what was set aside, by the ids of its calls; return whether all of it was asked for.

        Raises:
            AircallError: As `details_of` does.
        """

    @override
    def pages(self) -> Generator[list[Record]]:
        cursors = self.begin()
        has_warned = False
        for window in cursors.windows():
            for step in self.noted(self._walk().steps(*window)):
                if not has_warned and self.asks_for_each:
                    self.warn_of_cost(step.remaining or len(step.records), 1)
                    has_warned = True
                self.progress.expect(step.remaining or 0)
                yield from self.details_of(self.wanted(self._settled(step.records)))
                if step.through is not None:
                    cursors.advance(step.through, self._now - DELAY_SECONDS)
                self.note(cursors)
        self._last_read = cursors.position_at(cursors.ages[-1])
        yield from self.finish(cursors)

    @override
    def prepare(self) -> None:
        # A state without cursors would be taken for one of an earlier version; see `upgrade_followed`.
        if POSITIONS not in self.stream_state:
            self.stream_state.update(self.parse_state(self.stream_state).to_state())

    @property
    @override
    def read_no_more_before(self) -> int | None:
        return self._last_read

    def begin(self) -> Cursors:
        """Take up the state; return the cursors."""
        self._now = self.run.now
        self._later = Later(self.stream_state.get(later.KEY, {}), self.settings.reread_after_seconds)
        return self.parse_state(self.stream_state)

    def finish(self, cursors: Cursors) -> Iterator[list[Record]]:
        """Ask again for what was set aside and is due."""
        is_done = True
        due = self._later.due(self._now)
        for first in range(0, len(due), PAGE_SIZE):
            is_done = is_done and (yield from self.details_again(due[first : first + PAGE_SIZE]))
            self.note(cursors)
        if is_done:
            over = list(self._later.tried(self._now).values())
            for reason in (Reason.REFUSED, Reason.UNUSABLE):  # that there is nothing is no loss
                if count := over.count(reason):
                    message = "Stream '%s': %d of its calls were set aside for a week (%s); they are given up."
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

    def sample_calls(self) -> list[Record]:
        """Return a few calls that can have something, to try the stream out."""
        return self._ready(self.sibling(Calls).first_page, self.aircall_clock.reached())

    def set_aside_call(self, call_id: int, reason: Reason, line: str = "") -> None:
        """Set a call aside, to be asked for again.

        Args:
            call_id: The call.
            reason: Why.
            line: What to say of it, the first time.

        Raises:
            ResponseError: If too much of what Aircall answers cannot be used.
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
        """Write how far the stream is."""
        waiting = self._later.to_state()
        if not waiting:
            self.stream_state.pop(later.KEY, None)
        self.write_state(cursors.to_state() | ({later.KEY: waiting} if waiting else {}))

    def _settled(self, calls: Sequence[Record]) -> list[Record]:
        """Return those of some calls that have settled; set those aside that may have something when they have."""
        ready = self._ready(calls, self._now)
        ids = {call["id"] for call in ready}
        for call in calls:
            may_have_something = call.get("status") != "done" or _has_something(call)  # it goes on, or has just ended
            if call["id"] not in ids and may_have_something and type(call["id"]) is int:
                self._later.add(call["id"], Reason.EARLY, self._now)
        return ready

    @staticmethod
    def _ready(calls: Iterable[Record], now: int) -> list[Record]:
        """Return those of some calls that can have something, and have settled by a UNIX second."""
        return [call for call in calls if _has_something(call) and _ended_at(call) + SETTLE_SECONDS <= now]

    def _walk(self) -> AscendingWalk:
        read = partial(self.client.in_flight, self._read_calls)
        return AscendingWalk(read, "started_at", from_is_exclusive=True, params={}, name=Calls.name)

    def _read_calls(self, query: Query) -> Page:
        """Read a page of the list of calls, or take the one that another stream read in this run."""
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
    """Return when a call ended, or else began (UNIX seconds)."""
    for name in ("ended_at", "started_at"):
        try:
            return to_seconds(call.get(name))
        except ValueError:
            continue
    return 0


def is_followed(tap_state: Mapping[str, Any], name: str) -> bool:
    """Say whether it is the state of `calls` that says how far a stream is, as it was before version 0.3."""
    bookmarks = tap_state.get("bookmarks", {})
    return POSITIONS in bookmarks.get(Calls.name, {}) and name in bookmarks and POSITIONS not in bookmarks[name]


def upgrade_followed(tap_state: Mapping[str, Any], name: str, *, back: int, after: int | None = None) -> None:
    """Give a stream its own cursors in a state in which `calls` said how far it is (before version 0.3).

    Args:
        tap_state: The state of the tap; that of the stream is changed.
        name: The stream.
        back: Of how many seconds calls are read once more, for what was not there yet.
        after: From which second on (UNIX) the stream lacks calls; None for none.

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
