"""One limiter for all requests of a run, and for all runs that share a store.

Aircall counts requests per company and minute, and blocks everyone for 60 seconds when they are too many (facts: Rate
limit). A bucket of pyrate-limiter keeps the count. Ours are the waiting, which has to end at once when the run ends,
and the pause that a 429 imposes on everyone.
"""

from __future__ import annotations

import logging
import math
import threading
from typing import TYPE_CHECKING

from pyrate_limiter import Rate, RateItem

from tap_aircall.errors import RunEndedError
from tap_aircall.http.stores import MemoryStore

if TYPE_CHECKING:
    from pyrate_limiter import AbstractBucket

    from tap_aircall.http.stores import Store
    from tap_aircall.reading.clock import Clock

WINDOW_SECONDS = 60.0

# Requests take a moment to reach Aircall, and not always the same moment. The window is this much longer, so that 60
# requests sent within our minute never arrive within less than one of Aircall's.
SAFETY = 1.01

LONGEST_PAUSE = 600_000
"""In milliseconds."""
DRIFT = 10_000
"""In milliseconds: the clocks of those who share a store may be this far apart. An entry further in the future dates
from before a clock was set back."""
LOG_INTERVAL_SECONDS = 30.0
NOTICEABLE_SECONDS = 10.0
"""Waiting for less than this, within the time between two lines, is not worth a line."""
CLOSING_SECONDS = 2.0
"""How long the end of a run waits for a thread that uses the store."""

logger = logging.getLogger(__name__)


class RateLimiter:
    """Hands out the right to send one request.

    The window slides: a run with fewer requests than a minute's budget never waits, a longer one never has more than
    the budget in any minute. Those who share a store count the requests of all, each towards its own budget: with
    different budgets, the smaller one yields.

    Args:
        requests_per_minute: The budget, above 0; fractions are kept (0.5 is one request in two minutes).
        clock: Where time comes from.
        store: Where requests are counted; by default, in this process alone.

    Raises:
        InputError: If the store cannot be used; from `acquire` and `pause` too.
    """

    def __init__(self, requests_per_minute: float, clock: Clock, store: Store | None = None) -> None:
        self.requests_per_minute = requests_per_minute
        self._clock = clock
        self._store = store or MemoryStore(clock)
        whole = math.ceil(requests_per_minute)
        self._window = math.ceil(WINDOW_SECONDS * SAFETY * whole / requests_per_minute * 1000)
        self._requests = self._store.bucket("requests", Rate(whole, self._window))
        # The newest time in it says when the last pause ends. How many there are does not matter.
        self._pauses = self._store.bucket("pauses", Rate(10**6, LONGEST_PAUSE))
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._closed = self._store.closed
        self._waited = 0.0
        self._waited_since = self._next_line = -math.inf

    def acquire(self) -> None:
        """Return when one request may be sent.

        Raises:
            RunEndedError: If the limiter is closed meanwhile.
        """
        with self._turn:  # one thread waits for the next place, the others for their turn
            while seconds := self._seconds_to_wait():
                self._say(seconds)
                self._clock.wait(seconds, self._closed)

    def pause(self, seconds: float) -> None:
        """Let no request pass for so many seconds, ten minutes at most; a longer pause that is under way stays."""
        with self._lock:
            if self._closed.is_set():
                return
            self._next_line = self._clock.monotonic() + LOG_INTERVAL_SECONDS  # whoever paused has logged it
            with self._store.locked():
                now = self._milliseconds()
                if seconds * 1000 > self._paused(now):
                    self._pauses.leak(now)
                    self._pauses.put(RateItem("pause", now + math.ceil(min(seconds * 1000, LONGEST_PAUSE))))

    def wait(self, seconds: float) -> None:
        """Wait so many seconds before a retry, or until the limiter is closed."""
        self._clock.wait(seconds, self._closed)

    def close(self) -> None:
        """End all waiting; whoever waits gets a `RunEndedError`."""
        self._closed.set()
        # A thread that hangs in the store keeps its connections, until the process ends.
        if self._lock.acquire(timeout=CLOSING_SECONDS):
            try:
                self._store.close()
            finally:
                self._lock.release()

    def _seconds_to_wait(self) -> float:
        """Take a place in the window if there is one and return 0; otherwise say for how long there is none."""
        with self._lock, self._store.locked():
            if self._closed.is_set():
                raise RunEndedError
            now = self._milliseconds()
            if paused := self._paused(now):
                return paused / 1000
            self._requests.leak(now - self._store.keeps)
            # Never earlier than another request's, or the count would miss that one.
            item = RateItem("aircall", max(now, _newest(self._requests, now + DRIFT)))
            if self._requests.put(item):
                return 0.0
            milliseconds = self._requests.waiting(item)
            assert isinstance(milliseconds, int)  # noqa: S101 - only buckets that await something else give a promise
            return max(1, milliseconds) / 1000

    def _say(self, seconds: float) -> None:
        """Log that the run waits: a long wait, or many short ones."""
        now = self._clock.monotonic()
        if now >= self._waited_since + LOG_INTERVAL_SECONDS:
            self._waited_since, self._waited = now, 0.0
        self._waited += seconds
        if self._waited >= NOTICEABLE_SECONDS and now >= self._next_line:
            self._next_line = now + LOG_INTERVAL_SECONDS
            logger.info("Waiting for the rate limit, %.0f s.", self._waited)

    def _paused(self, now: int) -> int:
        """Return the milliseconds for which there is a pause."""
        return max(0, _newest(self._pauses, now + LONGEST_PAUSE) - now)

    def _milliseconds(self) -> int:
        return int(self._store.now() * 1000)


def _newest(bucket: AbstractBucket, latest: int) -> int:
    """Return the newest time in a bucket, 0 for none; forget everything if it is later than it can be.

    Raises:
        TypeError: If it is no number. A file sorts text behind all numbers, so that there is none elsewhere either.
    """
    item = bucket.peek(0)
    if item is None:
        return 0
    assert isinstance(item, RateItem)  # noqa: S101 - as above
    if type(item.timestamp) is not int:
        raise TypeError
    if item.timestamp <= latest:
        return item.timestamp
    bucket.flush()
    return 0
