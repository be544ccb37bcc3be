"""The rate limit of a run, or of all runs that share a file.

Aircall limits requests per company and minute, and blocks the company for 60 seconds above that (facts: Rate limit).
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

from tap_aircall.errors import InputError, RunEndedError, TransientError, UnavailableError, one_line, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from tap_aircall.errors import AircallError
    from tap_aircall.reading.clock import Clock

WINDOW_SECONDS = 60.0

SAFETY = 1.01
"""Factor for the window, since latency varies: requests sent within a minute may arrive within less."""

LONGEST_PAUSE = 600_000
"""Milliseconds."""
DRIFT = 10_000
"""Milliseconds by which clocks of processes that share a file may differ. A later entry is from before a clock was set
back."""
OTHERS_WINDOW = 600_000
"""Milliseconds to keep requests beyond this limiter's window, for others with a smaller budget. With 0.1 requests a
minute, the window is ten minutes."""
LONGEST_BACKOFF_SECONDS = 60.0
"""Longest back-off before a retry."""
WAITING_LOG_SECONDS = 30.0
NOTICEABLE_SECONDS = 10.0
"""Waits that add up to less than this between two log lines are not logged."""
PREFIX = "Setting rate_limit_store"
LOCK_INTERVAL_SECONDS = 0.05
"""Interval between attempts to get the lock, which others usually hold for some milliseconds."""
FILE_LOCK_WARNING_SECONDS = 5.0
"""Wait for the lock after which a warning is logged."""
FILE_LOCK_SECONDS = 300.0
"""Time limit of the wait for the lock; a process that holds it for longer is stuck."""

logger = logging.getLogger(__name__)


class Count(msgspec.Struct, forbid_unknown_fields=True):
    """Requests sent; all times are in milliseconds."""

    requests: list[int] = []
    """When each was sent, in order."""
    paused_until: int = 0


class Memory:
    """Counts the requests of this process."""

    def __init__(self, clock: Clock) -> None:
        self._count = Count()
        self._clock = clock

    def now(self) -> float:
        """Return the time in seconds, by a clock that all processes share."""
        return self._clock.monotonic()

    @contextmanager
    def opened(self, closed: Event) -> Iterator[Count]:  # noqa: ARG002 - nothing to wait for
        """Lock the count for a context, and save changes at its end.

        Args:
            closed: Ends the wait for the lock when set.

        Raises:
            InputError: If the count is unusable, or another process does not release the lock.
            RunEndedError: If `closed` is set while waiting.
        """
        yield self._count


class SharedFile(Memory):
    """Counts the requests of all processes of this machine in a file, which holds only times.

    The file is created if missing; a second one next to it is its lock.

    Raises:
        InputError: If there can be no such file.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        if "://" in path:
            raise InputError(
                f"{PREFIX}: must be the path of a file, for taps on one machine; machines cannot share a limit."
            )
        super().__init__(clock)
        try:
            self._path = Path(path).resolve()  # follow links, since the file is replaced
            if not self._path.parent.is_dir():  # FileLock would create folders
                raise InputError(f"{PREFIX}: there is no folder {self._path.parent}.")
            if self._path.exists() and not self._path.is_file():
                raise InputError(f"{PREFIX}: {self._path} is not a regular file; name another one.")
        except (OSError, RuntimeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "it is a symlink loop"
            raise InputError(f"{PREFIX}: {one_line(path)} cannot be used: {reason}.") from error
        self._mutex = FileLock(f"{self._path}.lock")

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
                # It may be empty after a power failure.
                count = msgspec.json.decode(before or b"{}", type=Count)
                count.requests.sort()
                yield count
                if (after := msgspec.json.encode(count)) != before:
                    new = self._path.with_name(f"{self._path.name}.new")
                    try:
                        new.write_bytes(after)
                        new.replace(self._path)  # atomically
                    except OSError:
                        new.unlink(missing_ok=True)
                        raise
            finally:
                self._mutex.release()
        except OSError as error:
            raise InputError(f"{PREFIX}: the file {self._path} cannot be used: {reason_of(error)}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{PREFIX}: {self._path} is not a file of request times; delete it, or name another one."
            ) from error

    def _lock(self, closed: Event) -> None:
        began = self._clock.monotonic()
        silent = True
        while True:
            with suppress(Timeout):
                self._mutex.acquire(blocking=False)
                return
            Path(self._mutex.lock_file).stat()  # a file that cannot be created looks locked to filelock
            if closed.is_set():
                raise RunEndedError
            seconds = self._clock.monotonic() - began
            if seconds >= FILE_LOCK_SECONDS:
                raise InputError(
                    f"{PREFIX}: another process has held {self._mutex.lock_file} for {seconds:.0f} s; end the process "
                    "that hangs, or name another file."
                )
            if silent and seconds >= FILE_LOCK_WARNING_SECONDS:
                silent = False
                line = "Waiting for another process to release %s (setting rate_limit_store), for at most %.0f s."
                logger.warning(line, self._mutex.lock_file, FILE_LOCK_SECONDS)
            self._clock.wait(LOCK_INTERVAL_SECONDS, closed)


class RateLimiter:
    """A rate limiter with a sliding window. Thread-safe.

    A run with fewer requests than the budget of a minute never waits; no minute has more requests than the budget. Taps
    that share a file count the requests of all, each towards its own budget: the smaller budget yields.

    Args:
        requests_per_minute: The budget, above 0; may be a fraction (0.5 is one request in two minutes).
        clock: This machine's clock.
        path: The file to share; empty to count only the requests of this process.

    Raises:
        InputError: If the file is unusable; also from `acquire` and `pause`.
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
            pass  # fail early if it is unusable

    def acquire(self) -> None:
        """Wait until one request may be sent.

        Raises:
            RunEndedError: If the limiter is closed in the meantime.
        """
        with self._turn:  # one thread waits for the window, the others for their turn
            while milliseconds := self._to_wait():
                self._say(milliseconds / 1000)
                self._clock.wait(milliseconds / 1000, self._closed)

    def pause(self, seconds: float) -> None:
        """Block requests for this many seconds, at most ten minutes; never shortens a pause."""
        if self._closed.is_set():
            return
        self._next_line = self._clock.monotonic() + WAITING_LOG_SECONDS  # the caller has logged it
        with self._lock, self._store.opened(self._closed) as count:
            now = self._milliseconds(count)
            count.paused_until = max(count.paused_until, now + min(math.ceil(seconds * 1000), LONGEST_PAUSE))

    def wait(self, seconds: float) -> None:
        """Wait this many seconds, or until the limiter is closed."""
        self._clock.wait(seconds, self._closed)

    def wait_after(self, error: AircallError, *, failures: int, attempts: int) -> None:
        """Wait before a retry, with exponential back-off and jitter: up to a second at first, later a minute.

        Args:
            error: The latest failure.
            failures: Failures so far, including this one.
            attempts: Maximum number of attempts.

        Raises:
            UnavailableError: If no attempt is left after a `TransientError`.
            AircallError: The error itself, if no attempt is left after another error.
        """
        if failures >= attempts:
            raise UnavailableError(str(error)) if isinstance(error, TransientError) else error
        seconds = min(LONGEST_BACKOFF_SECONDS, 2.0 ** (failures - 1)) * random.SystemRandom().uniform(0.5, 1)
        logger.info("%s Trying again in %.0f s.", error, seconds)
        self.wait(seconds)

    def close(self) -> None:
        """End all waits; `acquire` raises `RunEndedError`."""
        self._closed.set()

    def _to_wait(self) -> int:
        """Record a request and return 0, or return how many milliseconds to wait before one is allowed."""
        with self._lock, self._store.opened(self._closed) as count:
            if self._closed.is_set():
                raise RunEndedError
            now, requests = self._milliseconds(count), count.requests
            if count.paused_until > now:
                return count.paused_until - now
            if len(requests) >= self._most and (free := requests[-self._most] + self._window + 1) > now:
                return free - now
            del requests[: bisect_left(requests, now - self._window - OTHERS_WINDOW)]
            # The list stays in order even if clocks differ.
            requests.append(max(now, requests[-1]) if requests else now)
            return 0

    def _milliseconds(self, count: Count) -> int:
        """Return the time in milliseconds; drop entries from before a clock was set back."""
        now = int(self._store.now() * 1000)
        if count.requests and count.requests[-1] > now + DRIFT:
            count.requests.clear()
        if count.paused_until > now + LONGEST_PAUSE:
            count.paused_until = 0
        return now

    def _say(self, seconds: float) -> None:
        """Log a long wait, or many short ones."""
        now = self._clock.monotonic()
        if now >= self._waited_since + WAITING_LOG_SECONDS:
            self._waited_since, self._waited = now, 0.0
        self._waited += seconds
        if self._waited >= NOTICEABLE_SECONDS and now >= self._next_line:
            self._next_line = now + WAITING_LOG_SECONDS
            logger.info("Waiting for the rate limit, %.0f s.", self._waited)
