"""Number of calls per day in Aircall, to check that a warehouse has them all.

A UTC day is counted when it is over, and again at each of `AGES` after its end, with the same cursors as calls: Aircall
may show a call late. A count is the `total` of a list of that day's calls, at one request. A day of 10,000 calls or
more, whose total is unreliable (facts: The cap), is counted in parts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_aircall.errors import ResponseError
from tap_aircall.reading import states
from tap_aircall.reading.cursors import FIRST_RUN, POSITIONS, Cursors, Window
from tap_aircall.reading.pages import Page
from tap_aircall.reading.times import DAY_SECONDS, to_rfc3339
from tap_aircall.reading.walks import CAP, crowded
from tap_aircall.streams.base import AircallStream

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from tap_aircall.reading.pages import Query, Record

AGES = (DAY_SECONDS, 7 * DAY_SECONDS, 30 * DAY_SECONDS)
"""Seconds after a day's end when it is counted again."""
SURELY_SERVED = 175 * DAY_SECONDS
"""Seconds for which Aircall certainly serves calls; the exact limit is unknown (facts: Calls)."""


class CallCounts(AircallStream):
    """Number of calls in Aircall per UTC day."""

    name = "call_counts"
    cost = "four a day; at first, one for each day of six months"
    primary_keys = ("date",)
    replication_key = "date"
    path = "/v1/calls"
    envelope = "calls"
    state_keys = (FIRST_RUN, POSITIONS)
    selected_by_default = False

    @override
    def pages(self) -> Generator[list[Record]]:
        cursors = self.parse_state({} if self.is_full_table else self.stream_state)
        date = None
        for window in cursors.windows():
            days = self._days_of(window)
            counts = zip(days, self.client.in_flight(self._counted, days), strict=True)
            for number, (day, record) in enumerate(counts, start=1):
                self.progress.expect(len(days) - number)
                date = record["date"]
                yield [record]
                cursors.advance(_last_second_of(day), self.began_at)
                if number % states.PAGES_PER_STATE == 0:
                    self._note(cursors, date)
            cursors.advance(window.until, self.began_at)
            self._note(cursors, date)

    @override
    def sample(self) -> list[Record]:
        return [self._counted(self.began_at // DAY_SECONDS - 1)]

    @override
    def parse_state(self, state: Mapping[str, Any]) -> Cursors:
        settings = self.settings
        # Whole days only: the time of a day is its last second.
        return Cursors(
            state,
            state.get("replication_key_value"),
            ages=AGES,
            now=self.began_at,
            start=None if settings.start is None else -(-settings.start // DAY_SECONDS) * DAY_SECONDS,
            end=None if settings.end is None else (settings.end + 1) // DAY_SECONDS * DAY_SECONDS - 1,
            horizon=self.began_at,
        )

    @override
    def parse_page(self, query: Query, payload: Any) -> Page:
        page = Page.parse(payload, self.envelope).checked(query, "started_at")
        if page.total is None or page.total < len(page.records):
            raise ResponseError("Aircall gives no total for its list of calls.")
        return page

    def _days_of(self, window: Window) -> range:
        """Return the days (since 1970) that end within a window and that Aircall serves whole."""
        begin = None if window.after is None else (window.after + 1) // DAY_SECONDS
        end = (window.until + 1) // DAY_SECONDS
        if begin is None or begin * DAY_SECONDS < self.began_at - SURELY_SERVED:
            first = self._first_day()
            begin = end if first is None else max(begin or first, first)
        return range(begin, end)

    def _first_day(self) -> int | None:
        """Request the oldest call; return the first day that is certainly complete, or None without calls."""
        page = self.read_page(self.path, {"page": "1", "per_page": "1", "order": "asc"})
        if not page.places:
            return None
        if not page.records:
            raise ResponseError("Aircall counts calls but does not show the oldest.")
        oldest = page.times[0]
        is_cut = oldest < self.began_at - SURELY_SERVED
        return oldest // DAY_SECONDS + is_cut

    def _counted(self, day: int) -> Record:
        """Count the calls of a day (since 1970)."""
        return {
            "date": datetime.fromtimestamp(day * DAY_SECONDS, UTC).date().isoformat(),
            "calls": self._total(day * DAY_SECONDS - 1, _last_second_of(day)),
            "counted_at": to_rfc3339(self.aircall_clock.reached()),
        }

    def _total(self, after: int, until: int) -> int:
        """Request the number of calls with `after < started_at <= until` (UNIX seconds).

        Raises:
            UnreadableError: If 10,000 or more share one second.
        """
        query = {"page": "1", "per_page": "1", "order": "asc", "from": str(after), "to": str(until)}
        total = self.read_page(self.path, query).total or 0
        if total < CAP:
            return total
        if until - after == 1:
            raise crowded(self.envelope)
        middle = (after + until) // 2
        return self._total(after, middle) + self._total(middle, until)

    def _note(self, cursors: Cursors, date: str | None) -> None:
        """Write the state; the bookmark is the latest day ever counted, `date` the last one of this run."""
        if self.is_full_table:
            return
        latest = max(filter(None, (date, self.stream_state.get("replication_key_value"))), default=None)
        bookmark = {"replication_key": self.replication_key, "replication_key_value": latest} if latest else {}
        self.write_state(cursors.to_state() | bookmark)


def _last_second_of(day: int) -> int:
    return (day + 1) * DAY_SECONDS - 1
