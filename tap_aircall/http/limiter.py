"""One limiter for all requests of a run, and for all runs that share a file.

Aircall counts requests per company and minute, and blocks everyone for 60 seconds when they are too many (facts: Rate
limit).
"""

from __future__ import annotations

import logging
import math
import random
import threading
from bisect import bisect_left
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock, Timeout
from typing_extensions import override

from tap_aircall.errors import InputError, RunEndedError, TransientError, UnavailableError, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from tap_aircall.errors import AircallError
    from tap_aircall.reading.clock import Clock

WINDOW_SECONDS = 60.0

# Requests take a moment to reach Aircall, and not always the same moment. The window is this much longer, so that 60
# requests sent within our minute never arrive within less than one of Aircall's.
SAFETY = 1.01

LONGEST_PAUSE = 600_000
"""In milliseconds."""
DRIFT = 10_000
"""In milliseconds: the clocks of those who share a file may be this far apart. An entry further in the future dates
from before a clock was set back."""
OTHERS_WINDOW = 600_000
"""For how many milliseconds more than its own window a sharer keeps requests: others may have longer windows, since a
budget of 0.1 requests a minute has one of ten minutes."""
LONGEST_WAIT_SECONDS = 60.0
"""Before a retry."""
LOG_INTERVAL_SECONDS = 30.0
NOTICEABLE_SECONDS = 10.0
"""Waiting for less than this, within the time between two lines, is not worth a line."""
SETTING = "Setting rate_limit_store"
LOCK_INTERVAL_SECONDS = 0.05
"""How often to try to get the lock while another process has it, which is usually for some milliseconds."""
SILENCE_SECONDS = 5.0
"""How long to wait for the lock before saying so."""
PATIENCE_SECONDS = 300.0
"""How long to wait for the lock at all: a process that keeps it that long is stuck."""

logger = logging.getLogger(__name__)


class Count(msgspec.Struct, forbid_unknown_fields=True):
    """What has been sent; all times are in milliseconds."""

    requests: list[int] = []
    """When each request was sent, the oldest first."""
    paused_until: int = 0


class Memory:
    """Counts the requests of this process alone.

    Args:
        clock: Where time comes from.
    """

    keeps = 0
    """For how many milliseconds more than its own window a limiter leaves requests here."""

    def __init__(self, clock: Clock) -> None:
        self._count = Count()
        self._clock = clock

    def now(self) -> float:
        """Return seconds on a clock that all who count here see alike."""
        return self._clock.monotonic()

    @contextmanager
    def opened(self, closed: Event) -> Iterator[Count]:  # noqa: ARG002 - for those who wait
        """Lend the count, which nobody else uses until the context ends; what is changed by then stays.

        Args:
            closed: Is set when the run ends: nobody waits any longer.

        Raises:
            InputError: If it cannot be used, or another process does not let go of it.
            RunEndedError: If the run ends while another process keeps it.
        """
        yield self._count


class SharedFile(Memory):
    """Counts in a file, for all processes of this machine; it holds times and nothing else.

    Args:
        path: The file, made when it is not there; locked by a second file beside it.
        clock: Where time comes from.

    Raises:
        InputError: If there can be no such file.
    """

    keeps = OTHERS_WINDOW

    def __init__(self, path: str, clock: Clock) -> None:
        if "://" in path:
            raise InputError(
                f"{SETTING}: must be the path of a file, which the taps of one machine share; there is no limit that "
                "machines share."
            )
        super().__init__(clock)
        self._path = Path(path).absolute()
        self._mutex = FileLock(f"{self._path}.lock")
        # The lock would be made nevertheless.
        if not self._path.parent.is_dir():
            raise InputError(f"{SETTING}: there is no folder {self._path.parent}.")
        if self._path.is_dir():
            raise InputError(f"{SETTING}: {self._path} is a folder; name a file in it.")

    @override
    def now(self) -> float:
        return self._clock.time()

    @override
    @contextmanager
    def opened(self, closed: Event) -> Iterator[Count]:
        try:
            self._lock(closed)
            try:
                before = self._path.read_bytes() if self._path.exists() else b""
                # A machine that lost power may leave an empty one.
                count = msgspec.json.decode(before or b"{}", type=Count)
                count.requests.sort()
                yield count
                if (after := msgspec.json.encode(count)) != before:
                    new = self._path.with_name(f"{self._path.name}.new")
                    try:
                        new.write_bytes(after)
                        new.replace(self._path)  # nobody ever sees half of it
                    except OSError:
                        new.unlink(missing_ok=True)
                        raise
            finally:
                self._mutex.release()
        except OSError as error:
            raise InputError(f"{SETTING}: the file {self._path} cannot be used: {reason_of(error)}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{SETTING}: the file {self._path} has something else in it than times of requests; delete it, or name "
                "another one."
            ) from error

    def _lock(self, closed: Event) -> None:
        began = self._clock.monotonic()
        silent = True
        while True:
            with suppress(Timeout):
                self._mutex.acquire(blocking=False)
                return
            if closed.is_set():
                raise RunEndedError
            seconds = self._clock.monotonic() - began
            if seconds >= PATIENCE_SECONDS:
                raise InputError(
                    f"{SETTING}: another process has kept {self._mutex.lock_file} for {seconds:.0f} s; end the one "
                    "that hangs, or name another place."
                )
            if silent and seconds >= SILENCE_SECONDS:
                silent = False
                line = "Waiting for another process to let go of %s (setting rate_limit_store), for %.0f s at most."
                logger.warning(line, self._mutex.lock_file, PATIENCE_SECONDS)
            self._clock.wait(LOCK_INTERVAL_SECONDS, closed)


class RateLimiter:
    """Hands out the right to send one request. Safe to use from several threads.

    The window slides: a run with fewer requests than a minute's budget never waits, a longer one never has more than
    the budget in any minute. Those who share a file count the requests of all, each towards its own budget: with
    different budgets, the smaller one yields.

    Args:
        requests_per_minute: The budget, above 0; fractions are kept (0.5 is one request in two minutes).
        clock: Where time comes from.
        path: The file to share; empty to count the requests of this process alone.

    Raises:
        InputError: If the file cannot be used; from `acquire` and `pause` too.
    """

    def __init__(self, requests_per_minute: float, clock: Clock, path: str = "") -> None:
        self.requests_per_minute = requests_per_minute
        self._clock = clock
        self._store = SharedFile(path, clock) if path else Memory(clock)
        self._most = math.ceil(requests_per_minute)
        self._window = math.ceil(WINDOW_SECONDS * SAFETY * self._most / requests_per_minute * 1000)
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._waited = 0.0
        self._waited_since = self._next_line = -math.inf
        with self._store.opened(self._closed):
            pass  # find out now that it cannot be used

    def acquire(self) -> None:
        """Return when one request may be sent.

        Raises:
            RunEndedError: If the limiter is closed meanwhile.
        """
        with self._turn:  # one thread waits for the next place, the others for their turn
            while milliseconds := self._to_wait():
                self._say(milliseconds / 1000)
                self._clock.wait(milliseconds / 1000, self._closed)

    def pause(self, seconds: float) -> None:
        """Let no request pass for so many seconds, ten minutes at most; a longer pause that is under way stays."""
        if self._closed.is_set():
            return
        self._next_line = self._clock.monotonic() + LOG_INTERVAL_SECONDS  # whoever paused has logged it
        with self._lock, self._store.opened(self._closed) as count:
            now = self._milliseconds(count)
            count.paused_until = max(count.paused_until, now + min(math.ceil(seconds * 1000), LONGEST_PAUSE))

    def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until the limiter is closed."""
        self._clock.wait(seconds, self._closed)

    def wait_after(self, error: AircallError, *, failures: int, attempts: int) -> None:
        """Wait before a retry: a second at most, then twice as long each time, up to a minute.

        Args:
            error: What went wrong this time.
            failures: How often it has gone wrong, this time included.
            attempts: How often to try at most.

        Raises:
            UnavailableError: If a `TransientError` leaves no attempt.
            AircallError: The error itself, if it is of another kind and leaves no attempt.
        """
        if failures >= attempts:
            raise UnavailableError(str(error)) if isinstance(error, TransientError) else error
        seconds = min(LONGEST_WAIT_SECONDS, 2.0 ** (failures - 1)) * random.SystemRandom().uniform(0.5, 1)
        logger.info("%s Trying again in %.0f s.", error, seconds)
        self.wait(seconds)

    def close(self) -> None:
        """End all waiting; whoever waits gets a `RunEndedError`."""
        self._closed.set()

    def _to_wait(self) -> int:
        """Take a place in the window if there is one and return 0; otherwise return for how many milliseconds not."""
        with self._lock, self._store.opened(self._closed) as count:
            if self._closed.is_set():
                raise RunEndedError
            now, requests = self._milliseconds(count), count.requests
            if count.paused_until > now:
                return count.paused_until - now
            if len(requests) >= self._most and (free := requests[-self._most] + self._window + 1) > now:
                return free - now
            del requests[: bisect_left(requests, now - self._window - self._store.keeps)]
            # Never earlier than another's, since the oldest come first.
            requests.append(max(now, requests[-1]) if requests else now)
            return 0

    def _milliseconds(self, count: Count) -> int:
        """Return the time; forget what is later than it can be, since a clock was set back."""
        now = int(self._store.now() * 1000)
        if count.requests and count.requests[-1] > now + DRIFT:
            count.requests.clear()
        if count.paused_until > now + LONGEST_PAUSE:
            count.paused_until = 0
        return now

    def _say(self, seconds: float) -> None:
        """Log that the run waits: a long wait, or many short ones."""
        now = self._clock.monotonic()
        if now >= self._waited_since + LOG_INTERVAL_SECONDS:
            self._waited_since, self._waited = now, 0.0
        self._waited += seconds
        if self._waited >= NOTICEABLE_SECONDS and now >= self._next_line:
            self._next_line = now + LOG_INTERVAL_SECONDS
            logger.info("Waiting for the rate limit, %.0f s.", self._waited)
