"""Two clocks: this machine's, which tests replace, and Aircall's."""

from __future__ import annotations

import email.utils
import logging
import math
import threading
import time
from concurrent.futures import wait
from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

from tap_aircall.reading.times import DAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

T = TypeVar("T")

LONGEST_WAIT_SECONDS = 0.5
"""The longest single wait: Python handles a signal that arrives just before a wait only after it."""

TRAIL_SECONDS = 60
"""A state stays this far behind the present, since Aircall may list a record late without a sign.

It covers replication lag at Aircall and a second or two of error in the clock. The next run reads this time again."""
ABSURD_SECONDS = DAY_SECONDS
"""If the two clocks differ by more, one of them is plainly wrong."""

logger = logging.getLogger(__name__)


class Clock:
    """This machine's clock."""

    def time(self) -> float:
        """Return the time in UNIX seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back; only differences are meaningful."""
        return time.monotonic()

    def wait(self, seconds: float, interrupt: threading.Event) -> None:
        """Wait this many seconds, or until the event is set."""
        for timeout in timeouts(seconds):
            if interrupt.wait(timeout):
                return


class AircallClock:
    """Aircall's clock, according to the `Date` header of its responses.

    Between responses, the monotonic clock measures time, so this machine's clock may be wrong or jump. Responses may
    contradict each other: `Date` has whole seconds, takes a while to arrive, and a proxy may serve an old one. The
    earliest time that fits all of them counts, since a time that is too early only repeats reading, and one that is too
    late loses records.

    Args:
        clock: This machine's clock, used until a response has a valid `Date`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._machine = clock.time() - clock.monotonic()
        # Bounds of Aircall's time minus the monotonic time, in seconds.
        self._earliest, self._latest = math.inf, -math.inf
        self._warned = False

    def note(self, date: str | None) -> None:
        """Learn from the `Date` header of a response that has just arrived; ignore None and anything invalid.

        If it is more than a day from this machine's time, warn once and use the earlier of the two.
        """
        said = seconds_of(date)
        if said is None:
            return
        with self._lock:
            monotonic, here = self._clock.monotonic(), self._clock.time()
            self._latest = max(self._latest, said - monotonic)
            if abs(said - here) > ABSURD_SECONDS:
                self._warn(ahead=said - here)
                said = min(said, here)
            self._earliest = min(self._earliest, said - monotonic)

    def reached(self, moment: float | None = None) -> int:
        """Return a lower bound of Aircall's time, in UNIX seconds.

        Args:
            moment: When, in monotonic seconds; None for now.
        """
        with self._lock:
            # This machine's clock may jump; the earliest counts.
            self._machine = min(self._machine, self._clock.time() - self._clock.monotonic())
            ahead = self._machine if math.isinf(self._earliest) else self._earliest
        return int(ahead + (self._clock.monotonic() if moment is None else moment)) - 1

    def ahead(self) -> float | None:
        """Return how many seconds Aircall's clock is ahead of this machine's; None before a response had a `Date`."""
        with self._lock:
            if math.isinf(self._latest):
                return None
            return self._latest + self._clock.monotonic() - self._clock.time()

    def horizon(self) -> int:
        """Return an upper bound of the present, in UNIX seconds, by whichever clock is later: how far to read."""
        with self._lock:
            aircall = self._latest + self._clock.monotonic()
        return int(max(aircall, self._clock.time())) - 1

    def _warn(self, *, ahead: float) -> None:
        if self._warned:
            return
        self._warned = True
        logger.warning(
            "This machine's clock is %.0f days %s Aircall's (header Date): correct it. Until then, each run "
            "rereads everything since the earlier of the two times.",
            abs(ahead) / ABSURD_SECONDS,
            "behind" if ahead > 0 else "ahead of",
        )


def seconds_of(date: str | None) -> float | None:
    """Parse an HTTP date into UNIX seconds; return None if it is not one."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def timeouts(seconds: float = math.inf) -> Iterator[float]:
    """Split a long wait into short ones, so that signals are handled in between.

    Yields:
        Seconds to wait next.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        yield min(left, LONGEST_WAIT_SECONDS)


def result_of(future: Future[T]) -> T:
    """Wait for another thread's result, and handle signals while waiting."""
    for timeout in timeouts():
        if wait([future], timeout).done:
            break
    return future.result()
