"""What time it is: by this machine's clock, which tests replace by one of their own, and by Aircall's."""

from __future__ import annotations

import email.utils
import logging
import math
import threading
import time
from concurrent.futures import wait
from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

T = TypeVar("T")

LONGEST_WAIT_SECONDS = 0.5
"""No single wait may be longer: if a signal comes just before a wait for another thread, Python sees it only when the
wait is over."""

TRAIL_SECONDS = 60
"""Aircall may show a record this many seconds late, and a run cannot tell: no state comes closer to the present.

This only makes the next run repeat what began within this time. It covers the seconds that copies of a database lag
behind each other, and the second or two by which the time in an answer may be off."""
ABSURD_SECONDS = 86_400
"""If Aircall's clock and this machine's are further apart (seconds), one of them is plainly wrong."""

logger = logging.getLogger(__name__)


class Clock:
    """The clock of this machine; tests have others."""

    def time(self) -> float:
        """Return the time of day in seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back; only differences mean something."""
        return time.monotonic()

    def wait(self, seconds: float, interrupt: threading.Event) -> None:
        """Return after so many seconds, or as soon as the event is set."""
        for timeout in timeouts(seconds):
            if interrupt.wait(timeout):
                return


class AircallClock:
    """Aircall's time of day, as the `Date` header of its answers tells it.

    What this machine's clock says does not matter as long as answers have that header, and neither does when it jumps:
    between two answers, time is measured by the monotonic clock. Answers may still contradict each other. A header
    counts whole seconds and travels for a while, and a proxy may hand out an old answer. So the earliest time that
    fits all answers counts: too early a time makes a later run repeat something, too late a time would lose it.

    Args:
        clock: The clock of this machine, which counts as long as no answer has a usable `Date`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._machine = clock.time() - clock.monotonic()
        # By how many seconds Aircall's clock is ahead of the monotonic one: at least, and at most.
        self._earliest, self._latest = math.inf, -math.inf
        self._warned = False

    def note(self, date: str | None) -> None:
        """Take over the `Date` header of an answer that has just come; None or nonsense says nothing.

        A time more than a day from this machine's is reported once. The earlier of the two counts then.
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
        """Return a second (UNIX) that Aircall's clock had certainly passed at a moment, as far as is known by now.

        Args:
            moment: Monotonic seconds of this run; None for now.
        """
        with self._lock:
            # This machine's clock may jump, too: the earliest counts.
            self._machine = min(self._machine, self._clock.time() - self._clock.monotonic())
            ahead = self._machine if math.isinf(self._earliest) else self._earliest
        return int(ahead + (self._clock.monotonic() if moment is None else moment)) - 1

    def ahead(self) -> float | None:
        """Return by how many seconds Aircall's clock is ahead of this machine's; None if no answer has said so."""
        with self._lock:
            if math.isinf(self._latest):
                return None
            return self._latest + self._clock.monotonic() - self._clock.time()

    def horizon(self) -> int:
        """Return the last second (UNIX) that may be over by now, whichever clock is right: how far to read."""
        with self._lock:
            aircall = self._latest + self._clock.monotonic()
        return int(max(aircall, self._clock.time())) - 1

    def _warn(self, *, ahead: float) -> None:
        if self._warned:
            return
        self._warned = True
        logger.warning(
            "This machine's clock is %.0f days %s Aircall's (header Date): set it right. Until then, runs read "
            "everything since the earlier of the two again.",
            abs(ahead) / ABSURD_SECONDS,
            "behind" if ahead > 0 else "ahead of",
        )


def seconds_of(date: str | None) -> float | None:
    """Return the UNIX seconds of a time as HTTP writes it; None if it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def timeouts(seconds: float = math.inf) -> Iterator[float]:
    """Divide a long wait into waits that are short enough for signals to be seen between them.

    Yields:
        The time to wait next, in seconds, until so many have passed.
    """
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        yield min(left, LONGEST_WAIT_SECONDS)


def result_of(future: Future[T]) -> T:
    """Wait for the result of another thread; signals are seen meanwhile."""
    for timeout in timeouts():
        if wait([future], timeout).done:
            break
    return future.result()
