"""Calls: all of them in order, then again at the ages of `reread_after_hours`, and when webhooks name them."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_aircall.inbox.source import MARK, Mark
from tap_aircall.reading import states, walks
from tap_aircall.reading.cursors import FIRST_RUN, POSITIONS, Cursors, Window
from tap_aircall.reading.pages import PAGE_SIZE, TOLERANCE_SECONDS, second_of
from tap_aircall.reading.times import to_seconds
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Context
    from singer_sdk.singerlib import MetadataMapping

    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Page, Query, Record

FETCH_FLAGS = {
    "contact": "fetch_contact",
    "recording_short_url": "fetch_short_urls",
    "voicemail_short_url": "fetch_short_urls",
    "ivr_options_selected": "fetch_call_timeline",
    "ai_voice_agents": "fetch_aiva_conv",
}
"""Fields that Aircall fills only with a query parameter (facts: Calls), at no extra request."""
OPTED_INTO = tuple(field for field in FETCH_FLAGS if field != "contact")
"""Fields deselected by default; not `contact`, by which calls join contacts."""
NAMED_BY = ("call.*", "outbound_campaign.*")
"""Events that report a change of a call."""


class Calls(AircallStream):
    """Calls of the company, except internal ones, which Aircall's API lacks."""

    name = "calls"
    cost = "one per 50 calls read, and at least one for each age"
    primary_keys = ("id",)
    replication_key = "started_at"
    path = "/v1/calls"
    envelope = "calls"
    state_keys = (FIRST_RUN, POSITIONS, MARK)

    @property
    @override
    def metadata(self) -> MetadataMapping:
        metadata = super().metadata
        if self.tap.input_catalog is None:
            for field in OPTED_INTO:
                metadata["properties", field].selected_by_default = False
        return metadata

    @override
    def pages(self) -> Generator[list[Record]]:
        cursors = self.parse_state({} if self.is_full_table else self.stream_state)
        named = self._named(cursors)
        for window in cursors.windows():
            for calls in self._read(window, cursors):
                named.take(calls)
                yield calls
        if not self.is_full_table:
            self.read_no_more_before = cursors.read_for_good
        yield from self._read_named(named)
        if self.run.events is not None and not self.is_full_table:
            self.write_state(self.run.events.mark())

    @override
    def sample(self) -> list[Record]:
        return self.first_page

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        Mark.parse(state)
        settings = self.settings
        return Cursors(
            state,
            state.get("replication_key_value"),
            ages=settings.reread_after_seconds,
            now=self.began_at,
            start=settings.start,
            end=settings.end,
            horizon=self.aircall_clock.horizon(),
        )

    def _named(self, cursors: Cursors) -> NamedCalls:
        """Return the calls that webhooks named since the last run."""
        source, settings = self.run.events, self.settings
        if source is None or self.is_full_table:
            return NamedCalls((), first=None, last=None)
        news = source.news(self.stream_state, cursors.read_through, NAMED_BY)
        return NamedCalls(news, first=settings.start, last=settings.end)

    def _read_named(self, named: NamedCalls) -> Iterator[list[Record]]:
        """Read the named calls that this run has not read yet."""
        while (query := named.next_page()) is not None:
            page = self.read_page(self.path, query)
            yield named.take(page.records)
            named.settle(query, page)
        found = self.client.in_flight(partial(self.read_one, "call", self.get_url_params(None, None)), named.left)
        calls = (call for call in found if call and named.is_wanted(second_of(call, "started_at")))
        while some := list(itertools.islice(calls, PAGE_SIZE)):
            yield some

    def _read(self, window: Window, cursors: Cursors) -> Iterator[list[Record]]:
        steps = self.with_notes(walks.oldest_first(self.read_pages, *window))
        for number, step in enumerate(steps, start=1):
            self.progress.expect(step.remaining or 0)
            yield step.records
            if step.through is not None:
                cursors.advance(step.through, self.began_at)
            if not self.is_full_table and (number % states.PAGES_PER_STATE == 0 or not step.records):
                self.write_state(self._state(cursors, step.last))

    def _state(self, cursors: Cursors, last: int | None) -> dict[str, Any]:
        """Return the state: the cursors, and the latest `started_at` emitted as Singer's bookmark."""
        state = cursors.to_state()
        if last is not None:
            before = self.stream_state.get("replication_key_value")
            state |= states.bookmark(self.replication_key, last, None if before is None else to_seconds(before))
        return state

    @override
    def get_url_params(self, context: Context | None, next_page_token: Query | None) -> Query:
        """Add the parameters for selected fields that Aircall fills only on request."""
        fields = self.effective_schema["properties"]
        selected = {
            flag: "true" for field, flag in FETCH_FLAGS.items() if field in fields and self.mask["properties", field]
        }
        return selected | super().get_url_params(context, next_page_token)


class NamedCalls:
    """Calls that webhooks named since the last run and that are still to be read, with as few requests as possible.

    One request returns a call by its id, or a page of up to 50 consecutive calls. So a page is requested where it may
    hold several named calls; the total never exceeds one request per named call.

    Args:
        events: The events that named them.
        first: Earliest start of calls to extract (UNIX seconds); None for no limit.
        last: Latest start of calls to extract (UNIX seconds); None for no limit.
    """

    def __init__(self, events: Iterable[Event], *, first: int | None, last: int | None) -> None:
        self._first = first
        self._last = last
        self._span = float("inf")
        """Seconds between the first and last call of the last full page."""
        self._starts: dict[int, int | None] = {}
        for event in events:
            if event.object_type == "call" and (call_id := event.number) is not None:
                start = event.second("started_at")
                if self.is_wanted(start):
                    self._starts[call_id] = self._starts.get(call_id) if start is None else start

    def is_wanted(self, start: int | None) -> bool:
        """Return whether to extract calls that began at this time (UNIX seconds); None means unknown, and wanted."""
        if start is None:
            return True
        return (self._first is None or start >= self._first) and (self._last is None or start <= self._last)

    def take(self, calls: Iterable[Record]) -> list[Record]:
        """Take the calls that were still to be read off the list, and return them."""
        taken = [call for call in calls if call["id"] in self._starts]
        for call in taken:
            self._starts.pop(call["id"], None)
        return taken

    @property
    def left(self) -> list[int]:
        """Ids of the calls still to be read."""
        return list(self._starts)

    def next_page(self) -> Query | None:
        """Return the query for a page that may hold several of them; None if only requests by id are left."""
        known = sorted(start for start in self._starts.values() if start is not None)
        for start, following in itertools.pairwise(known):
            if following - start < self._span:
                after, until = start - TOLERANCE_SECONDS - 1, known[-1] + TOLERANCE_SECONDS
                return {"order": "asc", "from": str(after), "to": str(until), "page": "1", "per_page": str(PAGE_SIZE)}
        return None

    def settle(self, query: Query, page: Page) -> None:
        """Drop calls that belong on a page but are not there; call this after `take`.

        Aircall does not list them. If the page was too short for all the calls of one moment, the named calls of that
        moment remain, to be requested by id.
        """
        begin, end = int(query["from"]) + TOLERANCE_SECONDS + 1, int(query["to"])
        if page.times and not page.is_last(len(page.records)):
            self._span = page.times[-1] - page.times[0]
            end = page.times[-1] - TOLERANCE_SECONDS - 1
        for call_id, start in list(self._starts.items()):
            if start is not None and begin <= start <= end:
                del self._starts[call_id]
            elif start == begin:
                self._starts[call_id] = None
