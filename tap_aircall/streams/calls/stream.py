"""Calls: all of them, once, in order; then again when they have changed."""

from __future__ import annotations

import itertools
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_aircall.errors import AircallError
from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.reading import states
from tap_aircall.reading.cursors import BEGINNING, FIRST_RUN, NEW, POSITIONS, Cursors, Window
from tap_aircall.reading.pages import PAGE_SIZE, stamp
from tap_aircall.reading.times import to_seconds
from tap_aircall.reading.walks import AscendingWalk
from tap_aircall.streams.base import AircallStream
from tap_aircall.streams.calls.followers import CallFollower, Reading
from tap_aircall.streams.calls.named import EVENTS, NamedCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from singer_sdk.singerlib import MetadataMapping

    from tap_aircall.reading.pages import Query, Record

FETCH_FLAGS = {
    "contact": "fetch_contact",
    "recording_short_url": "fetch_short_urls",
    "voicemail_short_url": "fetch_short_urls",
    "ivr_options_selected": "fetch_call_timeline",
    "ai_voice_agents": "fetch_aiva_conv",
}
"""Fields that Aircall fills only when asked to, and what to ask (facts: Calls). No further request is needed."""
OPTED_INTO = tuple(field for field in FETCH_FLAGS if field != "contact")
"""Those that few people need. `contact` is not among them, since calls join contacts by it."""


class Calls(AircallStream):
    """Calls of the company, apart from internal ones, which Aircall's API does not have."""

    name = "calls"
    cost = "one per 50 calls read, and at least one for each age"
    primary_keys = ("id",)
    replication_key = "started_at"
    path = "/v1/calls"
    envelope = "calls"
    state_keys = (FIRST_RUN, POSITIONS, MARK)

    was_read = False
    """Whether this run has read calls, for itself or for the streams that follow them."""
    _has_warned = False
    """Whether the user was told that this run takes long."""
    _is_held = False
    """Whether the state stays where it is, since a stream that follows failed."""
    _began: float | None = None
    """When it began to (monotonic seconds)."""

    @property
    @override
    def metadata(self) -> MetadataMapping:
        metadata = super().metadata
        if self.tap.input_catalog is None:
            for field in OPTED_INTO:
                metadata["properties", field].selected_by_default = False
        return metadata

    @override
    def prepare(self) -> None:
        _ = self.tap.events  # refuses settings of the inbox before anything is read

    @override
    def extract(self) -> Iterator[list[Record]]:
        self._began = self.clock.monotonic()
        cursors = self.parse_state({} if self.is_full_table else self.stream_state)
        reading = Reading.of(cursors, self._now)
        self.was_read = True
        streams = self.tap.streams.values()
        followers = [stream for stream in streams if isinstance(stream, CallFollower) and stream.selected]
        named = self._named(cursors)
        for follower in followers:
            follower.begin(reading)
        able = list(followers)
        for window in cursors.windows():
            for calls in self._read(window, cursors, able, reading):
                named.take(calls)
                yield calls
        for calls in self._read_named(named):
            yield from self._emit(calls, able, reading)
        if not self.is_full_table:
            self._for_each(able, lambda follower: self._catch_up(follower, cursors, reading))
            self._for_each(able, methodcaller("follow_events"))
        for follower in followers:
            follower.finish()
            if follower in able and not self.is_full_table:
                follower.note(Reading.of(cursors, reading.now))
        if self.tap.events is not None and not self.is_full_table and not self._is_held:
            self.write_state(self.tap.events.mark())

    @override
    def sample(self) -> list[Record]:
        return self.first_page

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        Mark.parse(state)
        settings = self.tap.settings
        return Cursors(
            state,
            state.get("replication_key_value"),
            ages=settings.reread_after_seconds,
            now=self._now,
            start=settings.start,
            end=settings.end,
            horizon=self.aircall_clock.horizon(),
        )

    @property
    def _now(self) -> int:
        """What Aircall's clock had reached when calls began to be read (UNIX second), as far as it is known by now."""
        return self.aircall_clock.reached(self._began)

    def _named(self, cursors: Cursors) -> NamedCalls:
        """Find out which calls webhooks named since the last run."""
        source, settings = self.tap.events, self.tap.settings
        if source is None or self.is_full_table:
            return NamedCalls((), first=None, last=None)
        news = source.news(self.stream_state, cursors.read_through, EVENTS)
        return NamedCalls(news, first=settings.start, last=settings.end)

    def _read_named(self, named: NamedCalls) -> Iterator[list[Record]]:
        """Read the calls that this run has not read otherwise."""
        flags = self.flags()
        while (query := named.next_page()) is not None:
            page = self.read_page(self.path, flags | query)
            yield named.take(page.records)
            named.settle(query, page)
        found = self.client.in_flight(partial(self.read_one, "call", flags), named.left)
        calls = (call for call in found if call and named.is_wanted(stamp(call, "started_at", self.name)))
        while some := list(itertools.islice(calls, PAGE_SIZE)):
            yield some

    def _emit(self, calls: list[Record], followers: list[CallFollower], reading: Reading) -> Iterator[list[Record]]:
        """Hand over calls, and then let the streams that follow read what belongs to them."""
        self.progress.add(len(calls))
        # Taken before the records are brought into their shape; what follows calls is written after them.
        ripe = reading.ripe(calls) if followers else []
        yield calls
        self._for_each(followers, methodcaller("follow", ripe, reading))

    def _read(
        self, window: Window, cursors: Cursors, followers: list[CallFollower], reading: Reading
    ) -> Iterator[list[Record]]:
        for number, step in enumerate(self._walk(self.flags()).steps(*window), start=1):
            if number == 1 and followers and not self._has_warned:
                asking = sum(follower.asks_for_each for follower in followers)
                self._has_warned = self.warn_of_cost(step.remaining or len(step.records), asking)
            self.note_gap(step.gap)
            self.note_odd(step.odd)
            self.progress.expect(step.remaining or 0)
            yield from self._emit(step.records, followers, reading)
            if step.through is not None:
                cursors.advance(step.through, self._now)
            if self.is_full_table or self._is_held:
                continue
            # After each page if there are followers, since each of its calls costs further requests.
            if followers or number % states.PAGES_PER_STATE == 0 or not step.records:
                for follower in followers:
                    follower.note(Reading.of(cursors, reading.now))
                self.write_state(self._state(cursors, step.last))

    def _catch_up(self, follower: CallFollower, cursors: Cursors, reading: Reading) -> None:
        """Read calls once more for a stream that was left out when they were read."""
        everything = reading._replace(settled_through=BEGINNING)
        after = follower.lacks_after
        for window in cursors.divided(after, cursors.position_at(NEW)) if after is not None else ():
            for step in self._walk({}).steps(*window):
                follower.catch_up(reading.ripe(step.records), everything, step.through)
                follower.note(Reading.of(cursors, reading.now))
                self.write_state({})
                if follower.lacks_after is None:
                    return

    def _walk(self, params: Query) -> AscendingWalk:
        return AscendingWalk(self.reader(), "started_at", from_is_exclusive=True, params=params, name=self.name)

    def _for_each(self, followers: list[CallFollower], act: Callable[[CallFollower], None]) -> None:
        """Have each of the streams that follow do something.

        One that fails is taken off the list. The others go on, and so do the calls, but the state stays where it is: it
        says of all of them that they are done.

        Raises:
            AircallError: If the failure is not about one stream alone.
        """
        for follower in list(followers):
            try:
                act(follower)
            except AircallError as error:
                self.tap.note_failure(follower.name, error)
                followers.remove(follower)
                self._is_held = True

    def _state(self, cursors: Cursors, last: int | None) -> dict[str, Any]:
        """Build the state: the cursors, and the latest `started_at` emitted as the bookmark that Singer knows."""
        state = cursors.to_state()
        if last is not None:
            before = self.stream_state.get("replication_key_value")
            state |= states.bookmark(self.replication_key, last, None if before is None else to_seconds(before))
        return state

    def flags(self) -> Query:
        """Return what asks for those parts of a call that are selected, and that Aircall fills only when asked to."""
        fields = self.effective_schema["properties"]
        return {
            flag: "true" for field, flag in FETCH_FLAGS.items() if field in fields and self.mask["properties", field]
        }
