"""OAuth tokens, and the file that keeps them between runs.

Aircall's access tokens do not expire today, and refresh tokens have never been seen (facts: OAuth). The tap supports
both nevertheless.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import filelock
import msgspec
import platformdirs
from msgspec.structs import replace
from typing_extensions import override

from tap_aircall.errors import InputError, ResponseError, UnavailableError, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARGIN_SECONDS = 120.0
"""Time before expiry at which tokens are renewed."""
SHORTEST_LIFETIME_SECONDS = 600.0
"""Tokens with a shorter lifetime are renewed only when Aircall rejects them: the margin would be too large a part of
it."""
ANCESTORS = 64
"""Number of fingerprints of earlier tokens to keep, to recognize those in the config."""
LOCK_SECONDS = 600.0
"""Time limit of the wait for another tap that renews the same tokens; longer than its retries."""
ROOM_BYTES = 16_384
"""Free space required before new tokens are requested; more than an entry takes."""
LONGEST_LIFETIME_SECONDS = 1e9
"""Thirty years; a longer lifetime counts as unlimited."""
ADVICE = "name another file, or remove this one and log in again"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as Aircall granted them, and as an entry in the file. Their `repr` shows no secret."""

    access_token: str | None
    """None if only a refresh token was given."""
    refresh_token: str | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """When the access token expires; None if Aircall did not say."""
    company: str | None = None
    """Name of the company, for people who read the file."""
    ancestors: tuple[str, ...] = ()
    """Fingerprints of the tokens that these replaced, newest last."""

    @override
    def __repr__(self) -> str:
        return "Tokens()"

    def granted(self, payload: Any, now: float) -> Tokens:
        """Return the tokens in a response of the token endpoint.

        Without a refresh token in the response, the previous one stays. `expires_in` may be missing, a number or text.
        `now` is in UNIX seconds.

        Raises:
            ResponseError: If it has no access token.
            UnavailableError: If a token in it can never be used. A retry would not help, and may use up the refresh
                token.
        """
        response = payload if isinstance(payload, dict) else {}
        try:
            access, refresh = _token(response.get("access_token")), _token(response.get("refresh_token"))
        except ValueError as error:
            raise UnavailableError(
                f"Aircall granted a token that cannot be used: it has {error}. Please log in again."
            ) from error
        if access is None:
            raise ResponseError("Aircall responded to the request for a token without one.")
        lifetime = _seconds(response.get("expires_in"))
        return Tokens(
            access_token=access,
            refresh_token=refresh or self.refresh_token,
            expires_at=None if lifetime is None else datetime.fromtimestamp(int(now + lifetime), UTC),
        )

    def is_due(self, now: float) -> bool:
        """Return whether these should be renewed at `now` (UNIX seconds)."""
        if self.access_token is None:
            return True
        if self.refresh_token is None or self.expires_at is None:
            return False
        return now >= self.expires_at.timestamp() - MARGIN_SECONDS

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """One-way hashes, to recognize these tokens by."""
        given = (self.access_token, self.refresh_token)
        return tuple(hashlib.sha256(token.encode()).hexdigest()[:32] for token in given if token)

    def succeeded_by(self, tokens: Tokens, given: Tokens) -> Tokens:
        """Return new tokens with these, and those in the config, as their ancestors.

        Args:
            tokens: The new tokens.
            given: The tokens in the config, which are remembered for as long as they are in it.
        """
        earlier = (*self.ancestors, *self.fingerprints)[-ANCESTORS:]
        return replace(tokens, company=self.company, ancestors=tuple(dict.fromkeys((*given.fingerprints, *earlier))))

    def descends_from(self, given: Tokens) -> bool:
        """Return whether these are, or descend from, the tokens in the config; true if it has none."""
        return set(given.fingerprints) <= {*self.ancestors, *self.fingerprints}


NO_TOKENS = Tokens(access_token=None)


class TokenStore(Protocol):
    """Storage of tokens between runs."""

    @property
    def place(self) -> str:
        """Its name in messages, without secrets."""

    def load(self) -> Tokens | None:
        """Return the saved tokens, if there are any.

        Raises:
            InputError: If something else is saved there.
            UnavailableError: If they cannot be read at the moment.
        """

    def save(self, tokens: Tokens) -> None:
        """Replace the saved tokens. Requires the lock.

        Raises:
            InputError: If they cannot be written.
            UnavailableError: If they cannot be written at the moment.
        """

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other taps from renewing the same tokens, and check that new ones can be saved.

        Raises:
            InputError: If they cannot be saved there.
            UnavailableError: If another tap holds the lock for too long, or they cannot be saved at the moment.
        """


class TokenFile(TokenStore):
    """A JSON file with an entry for each app and API root, readable only by its owner.

    The file and its folder are created when needed. Each save replaces the file atomically, so that a crash leaves
    either the old or the new one. The operating system releases the lock when a process dies.

    Raises:
        InputError: If the path cannot be that of a file.
    """

    def __init__(self, path: Path, api_url: str, client_id: str) -> None:
        try:
            self.path = path.expanduser().resolve()  # follow links, since the file is replaced
            self._draft, self._lock_path = (self.path.with_name(self.path.name + end) for end in (".new", ".lock"))
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown home, NUL, the root
            raise InputError(
                "Setting oauth_settings_location: must be the path of a file, such as tokens.json."
            ) from error
        self._key = f"{api_url} {client_id}"

    @property
    @override
    def place(self) -> str:
        return str(self.path)

    @override
    def load(self) -> Tokens | None:
        with self._translated_errors():
            content = self._read().get(self._key)
            return None if content is None else decode_entry(content)

    @override
    def save(self, tokens: Tokens) -> None:
        with self._translated_errors():
            self._write(_formatted(self._read() | {self._key: msgspec.Raw(msgspec.json.encode(tokens))}))
            self._draft.replace(self.path)
            _flush(self.path.parent)

    @contextlib.contextmanager
    @override
    def locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with self._translated_errors():
                self._read()  # refuses a device before a lock is left beside it
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock_path.touch(mode=0o600)  # a file that cannot be created looks locked to filelock
                # A new one each time: a lock of filelock belongs to the thread that created it.
                stack.enter_context(filelock.FileLock(self._lock_path, timeout=LOCK_SECONDS, mode=0o600))
                stack.callback(self._draft.unlink, missing_ok=True)
                self._write(_formatted(self._read()) + bytes(ROOM_BYTES))
            yield

    def _read(self) -> dict[str, msgspec.Raw]:
        """Return the entries; those of other apps stay undecoded."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file; name another one")
        content = self.path.read_bytes()
        entries = msgspec.json.decode(content.decode(json.detect_encoding(content)), type=dict[str, msgspec.Raw])
        if status.st_mode & 0o077:
            with contextlib.suppress(OSError):  # another user's file, or a read-only mount
                self.path.chmod(0o600)
        return entries

    def _write(self, content: bytes) -> None:
        self._draft.unlink(missing_ok=True)
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - the only way to set the mode
            file.write(content)
            file.flush()
            os.fsync(descriptor)

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Translate errors of the file into one line."""
        try:
            yield
        except filelock.Timeout as error:
            raise UnavailableError(
                f"Another tap has locked {self.path} (oauth_settings_location); is one stuck?"
            ) from error
        except OSError as error:
            reason = reason_of(error)
        except (ValueError, RecursionError):
            reason = f"it has no tokens from tap-aircall; {ADVICE}"
        else:
            return
        raise InputError(f"Tokens cannot be stored in {self.path} (setting oauth_settings_location): {reason}.")


def default_location() -> Path:
    """Return the path of the token file in the platform's state folder, such as `~/.local/state` on Linux."""
    return platformdirs.user_state_path("tap-aircall", appauthor=False) / "tokens.json"


def decode_entry(content: bytes | msgspec.Raw) -> Tokens:
    """Decode an entry.

    Raises:
        ValueError, RecursionError: If it has no tokens, or unusable ones.
    """
    entry = msgspec.json.decode(content, type=Tokens)
    return replace(entry, access_token=_token(entry.access_token), refresh_token=_token(entry.refresh_token))


def _formatted(entries: dict[str, msgspec.Raw]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(entries), indent=2)


def _flush(folder: Path) -> None:
    """Flush a folder, so that a renamed file keeps its new name after a power failure."""
    with contextlib.suppress(OSError):  # not every platform can
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _token(value: Any) -> str | None:
    """Return a token without white space around it; None if there is none.

    Raises:
        ValidationError: If no header can carry it. Tokens are printable ASCII (RFC 6749, appendix A).
    """
    token = value.strip() if isinstance(value, str) else ""
    if not (token.isascii() and token.isprintable()):
        raise msgspec.ValidationError("invalid characters")
    return token or None


def _seconds(value: Any) -> float | None:
    """Return a lifetime in seconds; None if it is unusable, or too short to renew ahead of time."""
    try:
        seconds = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if SHORTEST_LIFETIME_SECONDS <= seconds < LONGEST_LIFETIME_SECONDS else None
