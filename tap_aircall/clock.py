"""The clock that everything in the tap reads, so that tests can hold it in their hands."""

from __future__ import annotations

import math
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Protocol, TypeVar

from typing_extensions import override

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from concurrent.futures import Future

T = TypeVar("T")

LONGEST_WAIT_SECONDS = 0.5
"""Python sees a signal that comes just before a wait on another thread only after the wait, so none may be longer."""


class Clock(Protocol):
    """What the tap asks of a clock."""

    def time(self) -> float:
        """Return the time of day in seconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back; only differences mean something."""

    def wait(self, seconds: float, interrupt: threading.Event) -> None:
        """Return after so many seconds, or as soon as the event is set."""


class SystemClock(Clock):
    """The clock of this machine."""

    @override
    def time(self) -> float:
        return time.time()

    @override
    def monotonic(self) -> float:
        return time.monotonic()

    @override
    def wait(self, seconds: float, interrupt: threading.Event) -> None:
        for timeout in timeouts(seconds):
            if interrupt.wait(timeout):
                return


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
