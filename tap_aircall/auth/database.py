"""OAuth tokens in a PostgreSQL database, to share them between machines; needs the extra `postgres`."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
import psycopg
from typing_extensions import override

from tap_aircall.auth.tokens import ADVICE, LOCK_SECONDS, TokenStore, decode_entry
from tap_aircall.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_aircall.auth.tokens import Tokens

PREFIX = "Setting oauth_settings_location"
SCHEMES = ("postgresql", "postgres")
CONNECTION: dict[str, Any] = {"autocommit": True, "connect_timeout": 10, "tcp_user_timeout": 60_000}
SAVE_ATTEMPTS = 30
"""Attempts to save new tokens, since Aircall does not grant them twice."""
SAVE_PAUSE_SECONDS = 2.0

TABLE = """CREATE TABLE IF NOT EXISTS tap_aircall_tokens (
    customer text, app text, entry text NOT NULL, PRIMARY KEY (customer, app)
)"""
UPSERT = """INSERT INTO tap_aircall_tokens VALUES (%s, %s, %s)
    ON CONFLICT (customer, app) DO UPDATE SET entry = excluded.entry"""
SELECT = "SELECT entry FROM tap_aircall_tokens WHERE customer = %s AND app = %s"


class TokenDatabase(TokenStore):
    """The tokens of one customer, with a row for each app and API root.

    An advisory lock lets one tap at a time renew them; the database releases it when the connection ends. New tokens
    are committed before their first use.

    Raises:
        InputError: If the location is not the URL of a database, with the customer's name after a `#`.
    """

    def __init__(self, location: str, api_url: str, client_id: str) -> None:
        self._address, _, name = location.partition("#")
        if self._address.partition("://")[0] not in SCHEMES:
            raise InputError(
                f"{PREFIX}: must be the path of a file, or the URL of a database, postgresql://...#customer."
            )
        if not name:
            raise InputError(f"{PREFIX}: the URL must end with # and the name of the customer whose tokens these are.")
        self._key = (unquote(name), f"{api_url} {client_id}")

    @property
    @override
    def place(self) -> str:
        # Without the URL, which may hold a password.
        return f"the database of oauth_settings_location, for {self._key[0]}"

    @override
    def load(self) -> Tokens | None:
        with self._translated_errors(), self._connected() as connection:
            try:
                row = connection.execute(SELECT, self._key).fetchone()
            except psycopg.errors.UndefinedTable:
                return None
        try:
            return None if row is None else decode_entry(row[0].encode())
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{PREFIX}: the row of {self._key[0]} has no tokens from tap-aircall; {ADVICE}."
            ) from error

    @override
    def save(self, tokens: Tokens) -> None:
        # Even if the lock's connection has broken: the previous refresh token is used up.
        entry = (*self._key, msgspec.json.encode(tokens).decode())
        with self._translated_errors():
            for attempt in range(1, SAVE_ATTEMPTS + 1):
                try:
                    with self._connected() as connection:
                        connection.execute(UPSERT, entry)
                except psycopg.OperationalError:
                    if attempt == SAVE_ATTEMPTS:
                        raise
                    time.sleep(SAVE_PAUSE_SECONDS)
                else:
                    return

    @contextlib.contextmanager
    @override
    def locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with self._translated_errors():
                connection = stack.enter_context(self._connected())
                connection.execute(f"SET lock_timeout = '{LOCK_SECONDS:.0f}s'")
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (" ".join(self._key),))
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('tap_aircall_tokens', 0))")
                    connection.execute(TABLE)
                with connection.transaction(force_rollback=True):
                    connection.execute(UPSERT, (*self._key, "{}"))
            yield

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        with contextlib.closing(psycopg.connect(self._address, **CONNECTION)) as connection:
            # With asynchronous commit, a crash of the database could lose the only valid tokens.
            connection.execute("SET synchronous_commit = on")
            yield connection

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Translate errors of the database into one line, without its URL."""
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise UnavailableError(
                f"Another tap has locked the tokens of {self._key[0]} (oauth_settings_location); is one stuck?"
            ) from error
        except psycopg.OperationalError as error:
            raise UnavailableError(
                f"{PREFIX}: the database cannot be reached; check the URL, and whether the server is running."
            ) from error
        except psycopg.Error as error:
            raise InputError(
                f"{PREFIX}: the database refuses ({type(error).__name__}); may its user create and write tables?"
            ) from error
