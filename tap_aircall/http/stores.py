"""Where a limiter counts requests: in this process, in a file for all processes of a machine, or in a Redis server.

The counting is pyrate-limiter's, by one of its buckets for each kind of store. Ours are one time and one lock for all
who share a store, and one line for each way in which a store can fail.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from pyrate_limiter import InMemoryBucket, RedisBucket, SQLiteBucket
from typing_extensions import override

from tap_aircall.errors import InputError, RunEndedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrate_limiter import AbstractBucket, Rate

    from tap_aircall.reading.clock import Clock

SETTING = "Setting rate_limit_store"
NO_REDIS_URL = f"{SETTING}: is not a Redis URL, such as redis://localhost:6379/0."
PORT = 6379
"""Redis's own."""
REDIS_TIMEOUT = 5.0
"""Seconds to wait for a Redis server, which is near or useless."""
LOCK_INTERVAL_SECONDS = 0.05
"""How often to try to get the lock while another process has it, which is usually for some milliseconds."""
SILENCE_SECONDS = 5.0
"""How long to wait for the lock before saying so."""
PATIENCE_SECONDS = 300.0
"""How long to wait for the lock at all: a process that keeps it that long is stuck."""
DAMAGE = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What pyrate-limiter and redis-py raise when the store holds anything but times of requests."""

logger = logging.getLogger(__name__)


class Store(ABC):
    """Keeps buckets.

    Args:
        clock: Where time comes from.
    """

    keeps: ClassVar[int] = 600_000
    """For how many milliseconds more than its own window a sharer keeps requests: others may have longer windows, since
    a budget of 0.1 requests a minute has one of ten minutes."""

    lock_name: str = ""
    """What to call the lock in a line."""

    def __init__(self, clock: Clock) -> None:
        self.closed = threading.Event()
        """To be set when the run ends: nobody waits for the lock any longer."""
        self._clock = clock

    @abstractmethod
    def bucket(self, name: str, rate: Rate) -> AbstractBucket:
        """Return the bucket of a name (letters), the same for everyone who shares the store.

        Raises:
            InputError: If the store cannot be used.
        """

    def now(self) -> float:
        """Return seconds on a clock that all who share the store see alike."""
        return self._clock.time()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everyone else from counting; explains failures, too.

        Raises:
            InputError: If the store cannot be used, or another process does not let go of it.
            RunEndedError: If the run ends while another process keeps it.
        """
        with self.explained():
            self._await_lock()
            try:
                yield
            finally:
                self._unlock()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn failures of the store into one line, without the secrets that a URL may hold.

        Raises:
            InputError: Instead of the errors of the store.
        """
        yield

    @abstractmethod
    def close(self) -> None:
        """Let go of what the store holds open."""

    @abstractmethod
    def _try_lock(self) -> bool:
        """Get the lock if nobody has it, and say whether that worked."""

    @abstractmethod
    def _unlock(self) -> None:
        """Give the lock back."""

    def _await_lock(self) -> None:
        began = self._clock.monotonic()
        silent = True
        while not self._try_lock():
            if self.closed.is_set():
                raise RunEndedError
            seconds = self._clock.monotonic() - began
            if seconds >= PATIENCE_SECONDS:
                message = (
                    f"{SETTING}: another process has kept {self.lock_name} for {seconds:.0f} s; end the one that "
                    "hangs, or name another place."
                )
                raise InputError(message)
            if silent and seconds >= SILENCE_SECONDS:
                silent = False
                line = "Waiting for another process to let go of %s (setting rate_limit_store), for %.0f s at most."
                logger.warning(line, self.lock_name, PATIENCE_SECONDS)
            self._clock.wait(LOCK_INTERVAL_SECONDS, self.closed)


class MemoryStore(Store):
    """Counts the requests of this process alone."""

    keeps = 0

    @override
    def bucket(self, name: str, rate: Rate) -> AbstractBucket:
        return InMemoryBucket([rate])

    @override
    def now(self) -> float:
        return self._clock.monotonic()

    @override
    def close(self) -> None:
        pass

    @override
    def _try_lock(self) -> bool:
        return True

    @override
    def _unlock(self) -> None:
        pass


class FileStore(Store):
    """Counts in an SQLite file, for all processes of this machine; it holds times and nothing else.

    Args:
        path: The file, made when it is not there; locked by a second file beside it.
        clock: Where time comes from.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        super().__init__(clock)
        self._path = Path(path).absolute()
        self.lock_name = f"{self._path}.lock"
        self._mutex = FileLock(self.lock_name)
        self._buckets: list[SQLiteBucket] = []

    @override
    def bucket(self, name: str, rate: Rate) -> AbstractBucket:
        # The lock would be made nevertheless.
        if not self._path.parent.is_dir():
            message = f"{SETTING}: there is no folder {self._path.parent}."
            raise InputError(message)
        if self._path.is_dir():
            message = f"{SETTING}: {self._path} is a folder; name a file in it."
            raise InputError(message)
        with self.locked():  # not by the bucket's own means, which wait for ever
            bucket = SQLiteBucket.init_from_file([rate], table=name, db_path=str(self._path))
            self._buckets.append(bucket)
            bucket.conn.execute("PRAGMA journal_mode=WAL")
            bucket.conn.execute("PRAGMA synchronous=NORMAL")
        return bucket

    @override
    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{SETTING}: the file {self._path} cannot be used: {reason}."
            raise InputError(message) from error
        except DAMAGE as error:
            message = (
                f"{SETTING}: the file {self._path} has something else in it than times of requests; delete it, or name "
                "another one."
            )
            raise InputError(message) from error

    @override
    def close(self) -> None:
        for bucket in self._buckets:
            bucket.close()  # type: ignore[no-untyped-call]

    @override
    def _try_lock(self) -> bool:
        try:
            self._mutex.acquire(blocking=False)
        except Timeout:
            return False
        return True

    @override
    def _unlock(self) -> None:
        self._mutex.release()


class RedisStore(Store):
    """Counts in a Redis server, for the processes of many machines.

    Time is the server's, since the clocks of the machines may differ: how far this one is away is measured at the
    beginning.

    Args:
        url: `redis://`, `rediss://` or `unix://`, as redis-py takes it. What follows a `#` tells companies apart that
            share a server.
        clock: Where time comes from.

    Raises:
        InputError: If the server cannot be used, or redis-py is not installed.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(clock)
        try:
            parts = urlsplit(url)
            # Never what comes before them, nor what a # in a password turns them into.
            host = parts.hostname or "localhost"
            self._place = parts.path.rpartition("@")[2] if parts.scheme == "unix" else f"{host}:{parts.port or PORT}"
        except ValueError as error:
            raise InputError(NO_REDIS_URL) from error
        self._prefix = ":".join(filter(None, ("tap-aircall", unquote(parts.fragment))))
        try:
            import redis  # noqa: PLC0415 - an extra that few need
            from redis.backoff import ExponentialBackoff  # noqa: PLC0415
            from redis.retry import Retry  # noqa: PLC0415
        except ImportError as error:
            message = f"{SETTING}: needs the package redis; install tap-aircall[redis]."
            raise InputError(message) from error
        self._failures = (redis.RedisError, OSError, *DAMAGE)
        self._expired = redis.exceptions.LockNotOwnedError
        try:
            self._redis = redis.Redis.from_url(
                url.partition("#")[0],
                socket_connect_timeout=REDIS_TIMEOUT,
                socket_timeout=REDIS_TIMEOUT,
                retry=Retry(ExponentialBackoff(cap=1, base=0.1), retries=2),
            )
            self._redis.connection_pool.make_connection()  # to nowhere yet, but with all that the URL says
        except (ValueError, TypeError) as error:
            raise InputError(NO_REDIS_URL) from error
        with self.explained():
            seconds, microseconds = self._redis.time()
            self._ahead = seconds + microseconds / 1e6 - time.time()
            name = f"{self._prefix}:lock"
            self.lock_name = f"the key {name} of the Redis server {self._place}"
            # The bucket overlooks requests that bear a later time than the one to count, such as those of a process
            # that read the time after this one and was quicker. The server ends the lock of one that is stuck.
            self._mutex = self._redis.lock(name, timeout=REDIS_TIMEOUT, blocking=False)

    @override
    def bucket(self, name: str, rate: Rate) -> AbstractBucket:
        with self.explained():
            bucket = RedisBucket.init([rate], self._redis, f"{self._prefix}:{name}")
        assert isinstance(bucket, RedisBucket)  # noqa: S101 - awaitable for other clients only
        return bucket

    @override
    def now(self) -> float:
        return self._clock.time() + self._ahead

    @override
    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            message = f"{SETTING}: the Redis server {self._place} cannot be used ({type(error).__name__})."
            raise InputError(message) from error

    @override
    def close(self) -> None:
        self._redis.close()

    @override
    def _try_lock(self) -> bool:
        got: bool = self._mutex.acquire()
        return got

    @override
    def _unlock(self) -> None:
        with contextlib.suppress(self._expired):  # what was to be counted was
            self._mutex.release()


def open_store(location: str, clock: Clock) -> Store:
    """Open what the setting `rate_limit_store` names.

    Args:
        location: File path or Redis URL; empty for no sharing.
        clock: Where time comes from.

    Raises:
        InputError: If it cannot be used.
    """
    if not location:
        return MemoryStore(clock)
    scheme, separator, _ = location.partition("://")
    if not separator:
        return FileStore(location, clock)
    if scheme.lower() not in {"redis", "rediss", "unix"}:
        message = f"{SETTING}: must be a file path or a Redis URL (redis://, rediss:// or unix://)."
        raise InputError(message)
    return RedisStore(location, clock)
