"""Fetches files from presigned URLs, which are not part of Aircall's API (facts: Reports).

Anyone with such a URL can read the file, so no log or error shows it, and no credentials are sent. To prevent SSRF, the
tap requires TLS and never connects to a private network, even if a name resolves or a server redirects to one.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.models import REDIRECT_STATI

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

DOWNLOAD_ATTEMPTS = 6
IN_MEMORY = 8 * 2**20
"""Bytes of a file kept in memory; a larger one is written to disk as it arrives."""

EXPIRED = {
    HTTPStatus.BAD_REQUEST,  # storage says so when the token in a URL has expired
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Downloader:
    """Fetches files; from loopback addresses, also without TLS, only if `this_machine` allows it. Thread-safe."""

    def __init__(self, make_session: Callable[..., Session], limiter: RateLimiter, *, this_machine: bool) -> None:
        self._session = make_session(allowed=self._may_connect)
        self._limiter = limiter
        self._this_machine = this_machine

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def fetch(self, url: str, largest: int) -> IO[bytes]:
        """Download a file of at most `largest` bytes to a temporary one, which closing deletes.

        Raises:
            InputError: If it cannot be stored on this machine.
            AircallError: As from `receive`.
        """
        return self.receive(url, lambda incoming: _spooled(incoming.pieces(largest)))

    def receive(self, url: str, take: Callable[[Incoming], T], *, redirects: int = 0) -> T:
        """Pass a file to a function while it is downloaded.

        Args:
            url: Its URL.
            take: Converts the incoming file to the result; called once for each attempt. It need not read to the end.
            redirects: Maximum number of redirects to follow; each URL must be as safe.

        Returns:
            The result of `take`.

        Raises:
            ExpiredError: If the URL has expired.
            ResponseError: If the URL is not safe, or the file is too large.
            RejectedRequestError: If the server refuses the request for another reason, or redirects too often.
            UnavailableError: If all attempts failed, over about half a minute.
            AircallError: From `take`; after a `TransientError`, the download is retried.
        """
        failures = 0
        while True:
            try:
                return self._receive(url, take, redirects)
            except TransientError as error:
                failures += 1
                self._limiter.wait_after(error, failures=failures, attempts=DOWNLOAD_ATTEMPTS)

    def _receive(self, url: str, take: Callable[[Incoming], T], redirects: int) -> T:
        for left in range(redirects, -1, -1):
            host = self._host(url)
            request = requests.Request("GET", url)
            with self._session.open(request, name=f"The file from {host}", place=host, shown=host) as incoming:
                location = incoming.headers.get("Location")
                if not (left and incoming.status in REDIRECT_STATI and location):
                    self._raise_for_status(incoming.status, host)
                    if not incoming.shows_its_end:
                        raise TransientError(
                            f"The file from {host} came without its length, so a truncated file would go unnoticed."
                        )
                    return take(incoming)
            with suppress(ValueError):  # unbalanced brackets, which are refused next
                location = urljoin(url, location)
            url = location
        raise AssertionError  # the last response is never a redirect to follow

    def _host(self, url: str) -> str:
        """Return the host of a URL if the URL is safe."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            host.encode("idna")  # resolving it would fail if a label had 64 characters
        except ValueError:
            parts, host = urlsplit(""), ""
        secure = parts.scheme == "https" or (parts.scheme == "http" and self._this_machine and is_loopback(host))
        if not host or not secure or parts.username is not None:
            raise ResponseError("Aircall gave a URL for the file that does not begin with https:// and a host.")
        if is_address(host):  # a proxy would connect to it
            check_addresses(host, [host], self._may_connect)
        return host

    def _may_connect(self, host: str, address: str) -> bool:
        """Return whether to connect to a host at one of its IP addresses."""
        return is_public(address) or (self._this_machine and is_loopback(host) and is_loopback(address))

    @staticmethod
    def _raise_for_status(status: int, host: str) -> None:
        if status == HTTPStatus.OK:
            return
        message = f"The server {host} responded with status {status}."
        if status in EXPIRED:
            raise ExpiredError(message, status)
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(message)
        raise RejectedRequestError(message, status)


def _spooled(pieces: Iterator[bytes]) -> IO[bytes]:
    """Write bytes to a temporary file, and return it at its beginning."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - handed to the caller
    try:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
    except BaseException as error:  # signals too: an unclosed file would warn when collected
        with suppress(OSError):  # the disk may be full
            file.close()
        if isinstance(error, OSError):
            folder, reason = tempfile.tempdir or "any temporary folder", reason_of(error)
            raise InputError(f"Variable TMPDIR: cannot store files in {folder}: {reason}.") from error
        raise
    return file
