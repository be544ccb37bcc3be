"""Reads the calls that webhooks named since the last run, with as few requests as possible.

One request returns a call by its id, or a page of up to 50 consecutive calls. So a page is requested where it may hold
several named calls; the total never exceeds one request per named call.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tap_aircall.reading.pages import PAGE_SIZE, TOLERANCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_aircall.inbox.store import Event
    from tap_aircall.reading.pages import Page, Query, Record

EVENTS = ("call.*", "outbound_campaign.*")
"""Events that report a change of a call."""


class NamedCalls:
    """Named calls that are still to be read.

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

        Args:
            query: The query of the page.
            page: The page.
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
