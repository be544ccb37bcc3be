"""One limiter for all requests of a run.

Aircall counts requests per company and minute, and blocks everyone for 60 seconds when they are too many (facts,
section 2). The count itself is kept by a bucket of pyrate-limiter; what is ours is the waiting, which has to end at
once when the run ends, and the pause that a 429 imposes on all threads alike.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from pyrate_limiter import InMemoryBucket, Rate, RateItem

from tap_aircall.errors import RunEndedError

if TYPE_CHECKING:
    from tap_aircall.clock import Clock

WINDOW_SECONDS = 60.0

# A request reaches Aircall a little later than it was sent, and not always by the same little: the window is made this
# much longer, so that 60 requests sent within our minute never arrive within a shorter one of theirs.
SAFETY = 1.01


class RateLimiter:
    """Hands out the right to send one request.

    The window slides: a run with fewer requests than a minute's budget never waits, a longer one never has more than
    the budget in any minute.

    Args:
        requests_per_minute: The budget, above 0; fractions are kept (0.5 is one request in two minutes).
        clock: Where time comes from.
    """

    def __init__(self, requests_per_minute: float, clock: Clock) -> None:
        self.requests_per_minute = requests_per_minute
        self._clock = clock
        whole = math.ceil(requests_per_minute)
        seconds = WINDOW_SECONDS * SAFETY * whole / requests_per_minute
        self._bucket = InMemoryBucket([Rate(whole, math.ceil(seconds * 1000))])
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._blocked_until = -math.inf

    def acquire(self) -> None:
        """Return when one request may be sent.

        Raises:
            RunEndedError: If the limiter is closed meanwhile.
        """
        while True:
            if self._closed.is_set():
                message = "The run was ended."
                raise RunEndedError(message)
            seconds = self._seconds_to_wait()
            if seconds <= 0:
                return
            self._clock.wait(seconds, self._closed)

    def pause(self, seconds: float) -> None:
        """Let no request pass for so many seconds; a longer pause that is under way stays."""
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._clock.monotonic() + seconds)

    def wait(self, seconds: float) -> None:
        """Wait so many seconds before a retry, or until the limiter is closed."""
        self._clock.wait(seconds, self._closed)

    def close(self) -> None:
        """Let nobody wait any longer: all who do get a `RunEndedError`."""
        self._closed.set()

    def _seconds_to_wait(self) -> float:
        """Take a place in the window if there is one; otherwise say for how long there is none."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._blocked_until:
                return self._blocked_until - now
            item = RateItem("aircall", int(now * 1000))
            self._bucket.leak(item.timestamp)
            if self._bucket.put(item):
                return 0.0
            milliseconds = self._bucket.waiting(item)
            assert isinstance(milliseconds, int)  # noqa: S101 - only buckets that await something else give a promise
            return max(1, milliseconds) / 1000
