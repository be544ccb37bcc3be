"""A long read uses the whole budget, whatever the latency; only the walk and the limiter move the clock."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import pytest

from tap_aircall.http.limiter import RateLimiter
from tap_aircall.reading import walks
from tap_aircall.reading.pages import PAGE_SIZE, Page
from tests.clock import NOW, FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_aircall.reading.pages import Query, Record

LATENCY = 0.5
LIMIT = 50
"""Requests a second."""


class Line:
    """Reads pages as `in_flight` does: several at once, given out in order. Two calls begin each second."""

    def __init__(self, calls: int, width: int, *, totals: bool = True) -> None:
        self.calls = calls
        self.requests = 0
        self.clock = FakeClock()
        self._limiter = RateLimiter(60 * LIMIT, self.clock)
        self._width = width
        self._totals = totals

    def read(self, queries: Iterable[Query]) -> Iterator[Page]:
        ahead: deque[tuple[float, Page]] = deque()
        for query in queries:
            self._limiter.acquire()
            self.requests += 1
            ahead.append((self.clock.now + LATENCY, self._page(query)))
            if len(ahead) >= self._width:
                yield self._first(ahead)
        while ahead:
            yield self._first(ahead)

    def _first(self, ahead: deque[tuple[float, Page]]) -> Page:
        answered, page = ahead.popleft()
        self.clock.now = max(self.clock.now, answered)
        return page

    def _page(self, query: Query) -> Page:
        skipped = 2 * (int(query.get("from", -1)) + 1)
        begin = skipped + (int(query["page"]) - 1) * PAGE_SIZE
        end = min(begin + PAGE_SIZE, self.calls)
        records: list[Record] = [{"id": n, "started_at": n // 2} for n in range(begin, end)]
        page = Page(records, self.calls - skipped if self._totals else None, linked=end < self.calls)
        return page.checked(query, "started_at")


def share_used(line: Line) -> float:
    """Read all calls; return the share of the allowed rate that was used."""
    ids = [record["id"] for step in walks.oldest_first(line.read, None, 10**9) for record in step.records]
    assert ids == list(range(line.calls))
    return line.requests / (line.clock.now - NOW) / LIMIT


@pytest.mark.parametrize(
    ("width", "share"),
    [
        *((1, 0.04), (8, 0.3), (32, 0.95)),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((4, 0.155), (16, 0.56), (25, 0.87), (64, 0.95))),
    ],
)
def test_a_long_read_uses_the_allowed_rate(width: int, share: float) -> None:
    line = Line(100_000 if width < 20 else 300_000, width)  # the limit applies after 150,000, a minute's

    assert share <= share_used(line) < share + 0.05
    assert line.requests <= 1.01 * math.ceil(line.calls / PAGE_SIZE)


def test_without_totals_no_missing_page_is_asked_for() -> None:
    line = Line(20_001, 32, totals=False)
    share_used(line)

    assert line.requests == 401
