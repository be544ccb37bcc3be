"""Fetches files from presigned addresses, which are not Aircall's API (facts: Reports).

Whoever has such an address can read the file. So no credentials go along, and no log or error shows the address.
Whoever can write such an address into an answer must not be able to send the tap elsewhere: it goes over TLS, and never
to an address of a private network, whatever a name is looked up to, and wherever a server redirects it.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from tap_aircall.errors import (
    ExpiredError,
    InputError,
    RejectedRequestError,
    ResponseError,
    TransientError,
    reason_of,
)
from tap_aircall.http.addresses import check_addresses, is_address, is_loopback, is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_aircall.http.limiter import RateLimiter
    from tap_aircall.http.session import Incoming, Session

T = TypeVar("T")

ATTEMPTS = 6
IN_MEMORY = 8 * 2**20
"""A file longer than this, in bytes, goes to the disk while it arrives."""

EXPIRED = {
    HTTPStatus.BAD_REQUEST,  # how storage answers when the token within an address has ended
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}
REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Downloader:
    """Fetches files. Safe to use from several threads.

    Args:
        make_session: Makes a session that leads only where `allowed` says.
        limiter: Waits before another attempt, and no longer when the run ends.
        this_machine: Whether this machine may be asked, also without encryption, as it may be for a sandbox.
    """

    def __init__(self, make_session: Callable[..., Session], limiter: RateLimiter, *, this_machine: bool) -> None:
        self._session = make_session(allowed=self._may_connect)
        self._limiter = limiter
        self._this_machine = this_machine

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def fetch(self, url: str, largest: int) -> IO[bytes]:
        """Fetch a file.

        Args:
            url: Where it is.
            largest: How many bytes it may have.

        Returns:
            A temporary file, at its beginning, that is gone when it is closed.

        Raises:
            InputError: If this machine has no place for it.
            AircallError: As from `receive`.
        """
        return self.receive(url, lambda incoming: _spooled(incoming.pieces(largest)))

    def receive(self, url: str, take: Callable[[Incoming], T], *, redirects: int = 0) -> T:
        """Have a file come in.

        Args:
            url: Where it is.
            take: Given the file while it comes in, makes of it what the caller wants; once for each attempt. It need
                not read it to the end.
            redirects: How often the server may send the tap to another address, which must be as safe.

        Returns:
            What `take` made of it.

        Raises:
            ExpiredError: If the address has ended.
            ResponseError: If it is no address to go to, or the file is too large.
            RejectedRequestError: If the server refuses the request for another reason, or redirects it too often.
            UnavailableError: If the file could not be fetched in some attempts, for about half a minute.
            AircallError: What `take` raises; a `TransientError` is reason to try again.
        """
        failures = 0
        while True:
            try:
                return self._receive(url, take, redirects)
            except TransientError as error:
                failures += 1
                self._limiter.wait_after(error, failures=failures, attempts=ATTEMPTS)

    def _receive(self, url: str, take: Callable[[Incoming], T], redirects: int) -> T:
        for left in range(redirects, -1, -1):
            host = self._host(url)
            request = requests.Request("GET", url)
            with self._session.open(request, name=f"The file from {host}", place=host, shown=host) as incoming:
                location = incoming.headers.get("Location")
                if not (left and incoming.status in REDIRECTS and location):
                    self._raise_for_status(incoming.status, host)
                    if not incoming.shows_its_end:
                        raise TransientError(
                            f"The file from {host} came without its length, so that nobody could tell whether it is "
                            "whole."
                        )
                    return take(incoming)
            with suppress(ValueError):  # of brackets that do not close, which are refused next
                location = urljoin(url, location)
            url = location
        raise AssertionError  # without redirects left, a status is an answer

    def _host(self, url: str) -> str:
        """Return the host of an address, if it is one to go to."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            host.encode("idna")  # what looks it up, here or in a proxy, would fail over a label of 64 characters
        except ValueError:
            parts, host = urlsplit(""), ""
        secure = parts.scheme == "https" or (parts.scheme == "http" and self._this_machine and is_loopback(host))
        if not host or not secure or parts.username is not None:
            raise ResponseError("Aircall gave an address for the file that does not begin with https:// and a host.")
        if is_address(host):  # a proxy would go there
            check_addresses(host, [host], self._may_connect)
        return host

    def _may_connect(self, host: str, address: str) -> bool:
        """Say whether to connect to a host at one of its IP addresses."""
        return is_public(address) or (self._this_machine and is_loopback(host) and is_loopback(address))

    @staticmethod
    def _raise_for_status(status: int, host: str) -> None:
        if status == HTTPStatus.OK:
            return
        message = f"The server {host} answered with status {status}."
        if status in EXPIRED:
            raise ExpiredError(message, status)
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(message)
        raise RejectedRequestError(message, status)


def _spooled(pieces: Iterator[bytes]) -> IO[bytes]:
    """Return a temporary file with these bytes, at its beginning."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - handed to the caller
    try:
        for piece in pieces:
            with _explained():
                file.write(piece)
        with _explained():
            file.seek(0)
    except BaseException:  # a signal, too: a file that nobody was given would warn when it is collected
        with suppress(OSError):  # of what a full disk did not take
            file.close()
        raise
    return file


@contextmanager
def _explained() -> Iterator[None]:
    """Say that it is this machine that cannot keep a file."""
    try:
        yield
    except OSError as error:
        reason = reason_of(error) if error.errno else "it cannot be written to"
        raise InputError(
            f"Variable TMPDIR: no file can be kept in {tempfile.tempdir or 'any temporary folder'}: {reason}."
        ) from error
