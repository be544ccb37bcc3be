"""Fetches files from presigned addresses, which are not Aircall's API (facts, section 4.7).

Such an address is itself the right to read the file: no credentials go along, and it is named in no log and no error.
"""

from __future__ import annotations

import logging
import random
import tempfile
import zlib
from http import HTTPStatus
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import urllib3

from tap_aircall.api.addresses import is_loopback
from tap_aircall.errors import ExpiredError, RejectedRequestError, ResponseError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ATTEMPTS = 6
IN_MEMORY = 8 * 2**20
"""A file longer than this, in bytes, goes to the disk while it arrives."""
PIECE = 2**16
HEADERS = {"Accept-Encoding": "gzip"}
CODINGS = {"gzip", "x-gzip", "deflate"}
"""What is understood, since storage servers send a file as it was put there, whatever is asked for."""
AUTOMATIC = zlib.MAX_WBITS | 32
"""Lets zlib see for itself whether it has gzip or deflate."""

EXPIRED = {
    HTTPStatus.BAD_REQUEST,  # how storage answers when the token within an address has ended
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.GONE,
}
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}

logger = logging.getLogger(__name__)


class _PassingError(Exception):
    """This attempt failed, the next one may not."""


class Downloader:
    """Fetches files. Safe to use from several threads.

    Args:
        session: Sends the requests; must not have credentials of its own.
        wait: Waits so many seconds, or less when the run ends.
        timeout: Seconds to wait for a connection, and for each next part of a file.
        plain_http: Whether this machine may be asked without encryption, as it may be for a sandbox.
    """

    def __init__(
        self, *, session: requests.Session, wait: Callable[[float], None], timeout: float, plain_http: bool
    ) -> None:
        self._session = session
        self._wait = wait
        self._timeout = timeout
        self._plain_http = plain_http
        self._random = random.SystemRandom()

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
        """
        host = self._host(url)
        attempt = 0
        while True:
            file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - handed to the caller
            try:
                self._fetch_into(file, url, host, largest)
            except _PassingError as error:
                file.close()
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise UnavailableError(str(error)) from error
                seconds = 2.0 ** (attempt - 1) * self._random.uniform(0.5, 1)
                logger.info("%s Trying again in %.0f s.", error, seconds)
                self._wait(seconds)
            except BaseException:
                file.close()
                raise
            else:
                file.seek(0)
                return file

    def _fetch_into(self, file: IO[bytes], url: str, host: str, largest: int) -> None:
        try:
            with self._session.get(
                url, headers=HEADERS, timeout=self._timeout, allow_redirects=False, stream=True
            ) as response:
                self._raise_for_status(response.status_code, host)
                size = 0
                sent = response.raw.stream(PIECE, decode_content=False)
                for piece in decoded(sent, response.headers.get("Content-Encoding", "")):
                    size += len(piece)
                    if size > largest:
                        message = f"The file from {host} has more than {largest:,} bytes."
                        raise ResponseError(message)
                    file.write(piece)
        except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
            message = f"No secure connection to {host}."
            raise UnavailableError(message) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            message = f"The connection to {host} failed or broke."
            raise _PassingError(message) from error
        except zlib.error as error:
            message = f"The file from {host} arrived damaged."
            raise _PassingError(message) from error

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
            raise _PassingError(message)
        raise RejectedRequestError(message, status)


def decoded(sent: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """Undo the coding of a body, which has to end where the coding says: urllib3 takes what has come so far for all.

    Args:
        sent: The body as it was sent.
        coding: Its `Content-Encoding`.

    Yields:
        Pieces of at most `PIECE` bytes, however much there is in what was sent.

    Raises:
        zlib.error: If it is damaged, or not whole. "Deflate" without its checksum counts as damaged.
        ResponseError: If it is in a coding that was not asked for.
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        yield from sent
        return
    if coding not in CODINGS:
        message = "The file comes in a coding that the tap does not ask for."
        raise ResponseError(message)
    decoder = zlib.decompressobj(AUTOMATIC)
    for piece in sent:
        rest = piece
        while rest:
            if decoder.eof:  # gzip may come in several parts
                decoder = zlib.decompressobj(AUTOMATIC)
            yield decoder.decompress(rest, PIECE)
            rest = decoder.unconsumed_tail or decoder.unused_data
    yield decoder.flush()
    if not decoder.eof:
        message = "the end is missing"
        raise zlib.error(message)
