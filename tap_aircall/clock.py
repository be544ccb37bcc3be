"""The clock that everything in the tap reads, so that tests can hold it in their hands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    import threading


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
        interrupt.wait(seconds)
