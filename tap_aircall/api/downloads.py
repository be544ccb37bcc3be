"""Fetches files from presigned addresses, which are not Aircall's API (facts: Reports).

Whoever has such an address can read the file. So no credentials go along, and no log or error shows the address.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from tap_aircall.api.addresses import is_loopback
from tap_aircall.api.transport import Transport
from tap_aircall.errors import ExpiredError, InputError, RejectedRequestError, ResponseError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_aircall.api.patience import Patience
    from tap_aircall.api.transport import Connections

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
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Downloader:
    """Fetches files. Safe to use from several threads.

    Args:
        connections: Those to all hosts.
        patience: Decides how often to try.
        plain_http: Whether this machine may be asked without encryption, as it may be for a sandbox.
    """

    def __init__(self, connections: Connections, patience: Patience, *, plain_http: bool) -> None:
        self._connections = connections
        self._patience = patience
        self._plain_http = plain_http

    def fetch(self, url: str, largest: int) -> IO[bytes]:
        """Fetch a file.

        Args:
            url: Where it is.
            largest: How many bytes it may have.

        Returns:
            A temporary file, at its beginning, that is gone when it is closed.

        Raises:
            ExpiredError: If the address has ended.
            ResponseError: If it is no address to go to, or the file is too large.
            RejectedRequestError: If the server refuses the request for another reason, or redirects it.
            UnavailableError: If the file could not be fetched in some attempts, for about half a minute.
            InputError: If this machine has no place for it.
        """
        transport = Transport(self._connections, url, host := self._host(url))
        failures = 0
        while True:
            file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - handed to the caller
            try:
                self._fetch_into(file, transport, host, largest)
            except BaseException as error:
                with suppress(OSError):  # of what a full disk did not take
                    file.close()
                if not isinstance(error, TransientError):
                    raise
                failures += 1
                self._patience.failed(error, failures=failures, attempts=ATTEMPTS)
            else:
                return file

    def _fetch_into(self, file: IO[bytes], transport: Transport, host: str, largest: int) -> None:
        with transport.open(f"The file from {host}") as incoming:
            self._raise_for_status(incoming.status, host)
            if not incoming.shows_its_end:
                message = (
                    f"The file from {host} came without its length, so that nobody could tell whether it is whole."
                )
                raise TransientError(message)
            for piece in incoming.pieces(largest):
                with _explained():
                    file.write(piece)
        with _explained():
            file.seek(0)

    def _host(self, url: str) -> str:
        """Return the host of an address, if it is one to go to."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
        except ValueError:
            parts, host = urlsplit(""), ""
        secure = parts.scheme == "https" or (parts.scheme == "http" and self._plain_http and is_loopback(host))
        if not host or not secure or parts.username is not None:
            message = "Aircall gave an address for the file that does not begin with https://."
            raise ResponseError(message)
        return host

    @staticmethod
    def _raise_for_status(status: int, host: str) -> None:
        if status == HTTPStatus.OK:
            return
        message = f"The server {host} answered with status {status}."
        if status in EXPIRED:
            raise ExpiredError(message)
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(message)
        raise RejectedRequestError(message, status)


@contextmanager
def _explained() -> Iterator[None]:
    """Say that it is this machine that cannot keep a file."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be written to"
        message = f"Variable TMPDIR: no file can be kept in {tempfile.tempdir or 'any temporary folder'}: {reason}."
        raise InputError(message) from error
