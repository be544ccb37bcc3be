"""Calls that webhooks named since the last run, and the cheapest way to read exactly these again.

One request gives a call by its id, or a page of up to 50 calls that began one after the other. So where several named
calls may be on one page, that page is asked for: it never takes more requests than there are named calls.
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
"""What says that a call is another than before."""


class NamedCalls:
    """Calls that are still to be read again.

    Args:
        events: What named them.
        first: First second of calls to extract (UNIX); None for no limit.
        last: Last second of calls to extract (UNIX); None for no limit.
    """

    def __init__(self, events: Iterable[Event], *, first: int | None, last: int | None) -> None:
        self._first = first
        self._last = last
        self._span = float("inf")
        """Over how many seconds the calls of the last full page were spread."""
        self._starts: dict[int, int | None] = {}
        for event in events:
            if event.object_type == "call" and (call_id := event.number) is not None:
                start = event.second("started_at")
                if start is None or self.is_wanted(start):
                    self._starts[call_id] = self._starts.get(call_id) if start is None else start

    def is_wanted(self, start: int) -> bool:
        """Say whether calls that began at a UNIX second are extracted at all."""
        return (self._first is None or start >= self._first) and (self._last is None or start <= self._last)

    def take(self, calls: Iterable[Record]) -> list[Record]:
        """Return those of some calls that were still to be read, which they are now."""
        taken = [call for call in calls if call["id"] in self._starts]
        for call in taken:
            self._starts.pop(call["id"], None)
        return taken

    @property
    def left(self) -> list[int]:
        """The ids of those that are still to be read."""
        return list(self._starts)

    def next_page(self) -> Query | None:
        """Return what to ask for to get several of them at once; None if each has to be asked for by its id."""
        known = sorted(start for start in self._starts.values() if start is not None)
        for start, following in itertools.pairwise(known):
            if following - start < self._span:
                after, until = start - TOLERANCE_SECONDS - 1, known[-1] + TOLERANCE_SECONDS
                return {"order": "asc", "from": str(after), "to": str(until), "page": "1", "per_page": str(PAGE_SIZE)}
        return None

    def settle(self, query: Query, page: Page) -> None:
        """Note what a page said, after the named calls on it were taken.

        What should be on it and is not is gone, or no call that Aircall lists. Where that cannot be told, since there
        were too many calls within a moment, the calls of that moment are left to be asked for by their ids.

        Args:
            query: What was asked for.
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
