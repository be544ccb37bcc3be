"""Clocks that tests control."""

from __future__ import annotations

import threading
import time as real
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_aircall.reading.clock import Clock

if TYPE_CHECKING:
    from threading import Event

NOW = 1_795_438_800.0
"""2026-11-23T13:00:00Z, a Monday."""
SPEED = 60


class FakeClock(Clock):
    """A stopped clock, which a wait advances at once."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.waits: list[float] = []
        self._lock = threading.Lock()

    @override
    def time(self) -> float:
        return self.now

    @override
    def monotonic(self) -> float:
        return self.now

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        with self._lock:
            self.waits.append(seconds)
            self.now += seconds


class WatchedClock(Clock):
    """A real clock that signals a wait."""

    def __init__(self) -> None:
        self.is_waited_on = threading.Event()

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        self.is_waited_on.set()
        super().wait(seconds, interrupt)


class FastClock(Clock):
    """A clock on which a minute takes a second; processes with the same `began` read the same time.

    Args:
        began: Real UNIX time in seconds at which the clock shows `NOW`.
    """

    def __init__(self, began: float) -> None:
        self.began = began

    @override
    def time(self) -> float:
        return NOW + (real.time() - self.began) * SPEED

    @override
    def monotonic(self) -> float:
        return self.time()

    @override
    def wait(self, seconds: float, interrupt: Event) -> None:
        interrupt.wait(seconds / SPEED)
