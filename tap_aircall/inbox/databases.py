"""Opens the databases behind the store, and reduces their errors to one line.

No message quotes an event or the password in a URL.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import filelock
import sqlalchemy as sa

from tap_aircall.errors import InboxError, InputError, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX = "Setting inbox"
PATIENCE_SECONDS = 30.0
"""Time limit of the wait for other writers."""
RETRY_SECONDS = 0.01
"""Wait before a retry of the switch to WAL, which takes a few milliseconds."""
CONNECT_SECONDS = 5
"""Time-out of connecting to a database server."""
SUFFIXES = ("", "-wal", "-shm")
"""Suffixes of a SQLite store's files while it is in use; the newest events may be only in the second."""
DAMAGED = f"{PREFIX}: the store is damaged; restore it from a copy."
NO_LOCKS = f"{PREFIX}: the store cannot be used: {reason_of(OSError(errno.ENOLCK, ''))}."


def url_of_server(location: str) -> sa.URL:
    """Parse a URL.

    Raises:
        InputError: If it is not the URL of a PostgreSQL database.
    """
    scheme, _, rest = location.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise InputError(f"{PREFIX}: must be the path of a file, or begin with postgresql://.")
    try:
        return sa.make_url(f"postgresql+psycopg://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(
            f"{PREFIX}: must be the URL of a database, such as postgresql://user:password@host/name."
        ) from None


def url_of_file(path: Path, *, create: bool) -> sa.URL:
    """Return the URL of a file; create the file if `create` is true.

    Raises:
        InputError: If it does not exist or cannot be opened.
    """
    try:
        if create:  # readable only by its owner; SQLite's other files inherit that
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        else:
            path.stat()
    except (OSError, ValueError) as error:
        message = f"{PREFIX}: {path} cannot be opened: {getattr(error, 'strerror', None) or 'no path'}."
        if isinstance(error, FileNotFoundError) and not create:
            message = f"{PREFIX}: there is no file {path}; aircall-inbox serve creates it."
        elif isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            message = f"{PREFIX}: there is no folder {path.parent}."
        raise InputError(message) from None
    return sa.URL.create("sqlite", database=path.as_uri(), query={"mode": "rw", "uri": "true"})


def is_current(path: Path, info: dict[str, Any]) -> bool:
    """Return whether a connection still has the current files open; writes to a replaced file are lost."""
    try:
        real = path.resolve()  # SQLite puts its other files beside the target of a link
        opened, found = info["files"], [real.with_name(real.name + suffix).stat() for suffix in SUFFIXES]
    except OSError:
        return False
    info["files"] = found
    is_whole = found[0].st_size >= opened[0].st_size and bool(found[0].st_mode & 0o222)
    return is_whole and all(map(os.path.samestat, opened, found))


def has_locks(folder: Path) -> bool:
    """Return whether a folder's file system seems to support the locks that SQLite needs."""
    try:
        import fcntl  # noqa: PLC0415 - not on every platform

        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return True
    except OSError as error:
        return reason_of(error) not in NO_LOCKS
    return True


def sqlite_engine(url: sa.URL, path: Path, patience: float) -> sa.Engine:
    """Return an engine for a file; its connections wait up to `patience` seconds for other writers."""
    # The store begins transactions itself: Python begins them only at the first write, which may be too late.
    arguments = {"timeout": patience, "isolation_level": None}
    engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True)

    @sa.event.listens_for(engine, "do_connect")
    def _connecting(_dialect: Any, record: Any, _arguments: Any, _options: Any) -> None:
        record.info["files"] = [path.stat()]  # before opening, so that a replacement is noticed

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        _use_wal(connection, patience)
        for pragma in ("synchronous=FULL", "fullfsync=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch a file to WAL, permanently.

    SQLite's own time-out does not apply: if two processes switch a file at the same time, one fails at once as "busy".
    """
    give_up_at = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_at:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def postgres_engine(url: sa.URL, patience: float) -> sa.Engine:
    """Return an engine for a server; its statements, and a server that vanishes, may take up to `patience` seconds."""
    arguments = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": int(patience * 1000)}
    engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.execute(f"SET statement_timeout = {int(patience * 1000)}")
        connection.execute("SET synchronous_commit = on")  # or a crash could lose events for which Aircall got a 200
        connection.commit()

    return engine


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate errors of databases, files and locks into one line.

    Raises:
        InboxError: In place of SQLAlchemy's errors, which quote data, and of errors about files and damaged values.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_IOERR_LOCK":
            raise InboxError(NO_LOCKS) from None
        reason = _of_sqlite(cause) if isinstance(cause, sqlite3.Error) else _of_postgres(cause)
        raise InboxError(f"{PREFIX}: the store {reason}.") from None
    except filelock.Timeout:
        raise InboxError(
            f"{PREFIX}: another process has been registering a webhook for too long; is it stuck?"
        ) from None
    except OSError as error:
        raise InboxError(f"{PREFIX}: the store cannot be used: {reason_of(error)}.") from None
    except (OverflowError, ValueError):
        raise InboxError(DAMAGED) from None


def _of_sqlite(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    reasons = {
        "SQLITE_BUSY": "is locked by another process",
        "SQLITE_LOCKED": "is locked by another process",
        "SQLITE_FULL": "cannot grow: disk full",
        "SQLITE_READONLY": "is not writable",
        "SQLITE_PERM": "is not writable",
        "SQLITE_CANTOPEN": "cannot be opened",
        "SQLITE_CORRUPT": "is damaged",
        "SQLITE_NOTADB": "is not an SQLite file",
    }
    known = (reason for prefix, reason in reasons.items() if name.startswith(prefix))
    return next(known, f"cannot be used ({name})")


def _of_postgres(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None) or ""
    reasons = {
        "28": "rejects the user or the password",
        "3D": "has no such database",
        "42501": "does not grant this user the privileges that it needs",
        "25006": "is a read-only replica",
        "53100": "cannot grow: disk full",
        "57014": "takes too long",
        "55P03": "takes too long",
    }
    known = (reason for prefix, reason in reasons.items() if state.startswith(prefix))
    if not state:
        # If it cannot connect, psycopg gives the reason only in its message, which may name users and hosts.
        text = str(error)
        if "password" in text or "authentication" in text:
            return reasons["28"]
        return reasons["3D" if "database" in text else "28"] if "does not exist" in text else "cannot be reached"
    return next(known, f"cannot be used (SQLSTATE {state})")
