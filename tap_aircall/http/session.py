"""A hardened `requests` session for the API and for files; its errors are one line each.

It adds what `requests` and urllib3 lack:

- a deadline for slow responses, and refusal of ambiguous framing (see `watching`);
- a limit on size after decompression, against decompression bombs, in little memory;
- proxies and certificates from the environment, but credentials from the settings alone, never from `~/.netrc`;
- neither cookies nor redirects;
- log lines and errors without URLs, headers and credentials.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import ssl
import time
from contextlib import contextmanager
from http import HTTPStatus, cookiejar
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, select_proxy
from typing_extensions import override
from urllib3 import HTTPConnectionPool, Retry
from urllib3 import exceptions as urllib3

from tap_aircall.errors import InputError, ResponseError, TransientError, UnavailableError
from tap_aircall.http.decoding import BrokenError, unpack
from tap_aircall.http.logs import be_discreet
from tap_aircall.http.watching import Watched, watched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_aircall.errors import AircallError
    from tap_aircall.http.addresses import Allowed

ONCE = Retry(total=False, redirect=False)
"""No retry and no redirect."""
PIECE = 2**16
"""Bytes of a body to hold at once, before and after decompression."""
PACKINGS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress"}
"""Values of `Content-Encoding` that are encodings; some servers send others, such as `utf-8`."""
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
INVALID = (InvalidSchema, InvalidURL, MissingSchema, urllib3.LocationValueError)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
"""The error of `http.client` when a proxy refuses."""
_HEADER = re.compile(r"[\x20-\x7e\x80-\xff]*")
"""Characters allowed in the value of a header."""

logger = logging.getLogger(__name__)


class Session(requests.Session):
    """Sends requests to Aircall or to storage, without retries.

    Threads can share it, since it does not change: no cookies, the same headers for all requests, and each request
    brings its own authentication. The pool lends each thread a connection for one response.

    Args:
        user_agent: Value of the `User-Agent` header.
        timeout: Seconds to wait for a connection, and for each next part of a response.
        at_once: Connections to keep for each server.
        allowed: Returns whether the tap may connect to a host at an IP address; None for all. Not used with a proxy,
            which the user chose and which resolves hosts itself.

    Raises:
        InputError: If the user agent is not valid in a header.
    """

    def __init__(self, *, user_agent: str, timeout: float, at_once: int, allowed: Allowed | None = None) -> None:
        super().__init__()
        be_discreet()
        _check_header("Setting user_agent", user_agent)
        self.headers = CaseInsensitiveDict({"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"})
        self.trust_env = False  # it would read `~/.netrc`, and the rest of the environment at each step
        self.cookies.set_policy(cookiejar.DefaultCookiePolicy(netscape=False))
        self.seconds = timeout
        adapter = Adapter(at_once, allowed)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    @override
    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        _check_header("The credentials", request.headers.get("Authorization", ""))
        proxies = get_environ_proxies(request.url or "")
        ours = {"timeout": self.seconds, "proxies": proxies, "verify": self._certificates}
        return super().send(request, **kwargs | ours)

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None

    @contextmanager
    def open(self, request: requests.Request, *, name: str, place: str, shown: str) -> Iterator[Incoming]:
        """Send a request and read the response in a context, which also translates errors while reading.

        Args:
            request: The request, with its authentication.
            name: Name of the response, for errors.
            place: Name of the server, for errors.
            shown: Name of the request, for the log.

        Yields:
            The response; its body is not read yet.

        Raises:
            TransientError: If a retry may succeed.
            UnavailableError: If no retry can.
            InputError: If the environment's certificates are unusable, or a header is not valid.
        """
        began = time.monotonic()
        response = None
        try:
            response = self.send(self.prepare_request(request), stream=True)
            incoming = Incoming(response, name)
            yield incoming
        except (requests.RequestException, urllib3.HTTPError) as error:
            if select_proxy(request.url, get_environ_proxies(request.url)):
                place += " through a proxy (variable HTTPS_PROXY)"
            raise _explained(error, name, place, self.seconds, has_begun=response is not None) from error
        finally:
            if response is not None:
                response.close()  # and the connection, unless the response is complete
        seconds = time.monotonic() - began
        logger.debug(
            "%s %s: status %d, %d bytes, %.2f s", request.method, shown, incoming.status, incoming.size, seconds
        )

    @functools.cached_property
    def _certificates(self) -> str | bool:
        """The certificate file or folder that the environment names; True for the default."""
        name = next((name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), None)
        if name is None:
            return True
        path = os.environ[name]
        try:
            kind = "capath" if os.path.isdir(path) else "cafile"  # noqa: PTH112 - it may not be a valid path
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: path})
        except (OSError, ValueError) as error:
            known = isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno
            reason = os.strerror(known) if known else "it holds no certificates"
            raise InputError(f"Variable {name}: the certificates in {path} cannot be used: {reason}.") from error
        return path


class Adapter(HTTPAdapter):
    """Watches responses, and connects to allowed addresses only; see `Session` for the arguments."""

    def __init__(self, at_once: int, allowed: Allowed | None) -> None:
        super().__init__(pool_maxsize=at_once, max_retries=ONCE)
        self._allowed = allowed

    @override
    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        assert isinstance(pool, HTTPConnectionPool)  # noqa: S101 - with and without TLS
        allowed = None if select_proxy(request.url or "", proxies) else self._allowed
        if not issubclass(pool.ConnectionCls, Watched):
            pool.ConnectionCls = watched(pool.ConnectionCls, allowed)
        return pool


class Incoming:
    """A response whose body is not read yet. Errors call it by its name."""

    def __init__(self, response: requests.Response, name: str) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.credentials: str | None = response.request.headers.get("Authorization")
        """The `Authorization` header of the request."""
        self.size = 0
        """Bytes of the body read so far, decompressed."""
        self._raw = response.raw
        self._name = name
        named = self.headers.get("Content-Encoding", "").lower().replace(",", " ").split()
        self._packings = [name for name in named if name in PACKINGS]

    @property
    def length(self) -> int | None:
        """Bytes of the body according to the head; None if not stated or compressed."""
        named = self.headers.get("Content-Length")
        return None if named is None or self._packings else int(named)

    @property
    def shows_its_end(self) -> bool:
        """Whether truncation would be noticed."""
        return any(name in self.headers for name in ("Content-Length", "Transfer-Encoding")) or bool(self._packings)

    def pieces(self, largest: int) -> Iterator[bytes]:
        """Read and decompress the body.

        Args:
            largest: Limit of bytes.

        Raises:
            ResponseError: If it is larger.
            TransientError: If it is damaged or truncated.
            urllib3.exceptions.HTTPError: If the connection breaks.
        """
        pieces = iter(functools.partial(self._raw.read1, PIECE), b"")
        if self._packings:
            pieces = self._unpacked(pieces)
        for piece in pieces:
            self.size += len(piece)
            if self.size > largest:
                raise ResponseError(f"{self._name} has more than {largest:,} bytes.")
            yield piece

    def _unpacked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        if not set(self._packings) <= {"gzip", "x-gzip", "deflate"} or len(self._packings) > 1:
            raise TransientError(f"{self._name} has a compression that the tap did not request.")
        try:
            yield from unpack(pieces, PIECE, may_be_empty=self.status != HTTPStatus.OK)
        except BrokenError as error:
            raise TransientError(f"{self._name} is damaged or truncated.") from error


def _explained(error: Exception, name: str, place: str, seconds: float, *, has_begun: bool) -> AircallError:
    """Translate an error of `requests` or urllib3 without its message, which may contain secrets."""
    causes = list(_causes(error))
    if refusal := _refused_certificate(causes):
        return UnavailableError(f"The connection to {place} failed: its certificate is not accepted ({refusal}).")
    first = next((cause for cause in causes if isinstance(cause, urllib3.HTTPError)), error)
    if isinstance(first, INVALID):
        return UnavailableError(f"Cannot send requests to {place}: its URL, or its proxy's, is invalid.")
    if isinstance(first, urllib3.TimeoutError) and not isinstance(first, urllib3.NewConnectionError):
        line = f"{name} did not come within {seconds:g} s (setting request_timeout)."
    elif has_begun:
        line = f"{name} is damaged or truncated."
    elif reason := _broken_connection(causes):
        line = f"The connection to {place} failed: {reason}."
    else:
        line = f"{name} is not valid HTTP."
    return TransientError(line)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its chain of causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused_certificate(causes: Iterable[BaseException]) -> str:
    """Return why a certificate was refused; empty if none was."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message.rstrip(".")  # one of OpenSSL's texts, with the host at most
    return ""


def _broken_connection(causes: Iterable[BaseException]) -> str:
    """Return why the connection failed; empty if it did not."""
    for cause in causes:
        match cause:
            case requests.RequestException():  # also an OSError, but its cause says more
                continue
            case urllib3.NameResolutionError():
                return "its name cannot be resolved"
            case ssl.SSLError():
                return "TLS, which secures it, broke off"
            case TimeoutError():
                return "it did not respond in time"
            case OSError() if tunnel := _TUNNEL.match(str(cause)):
                return f"it responded with status {tunnel[1]}"
            case OSError():
                return os.strerror(cause.errno).lower() if cause.errno else "it was closed"
    return ""


def _check_header(what: str, value: str) -> None:
    """Refuse a value that is not valid in a header.

    Raises:
        InputError: If it is not; the message does not quote it.
    """
    if not _HEADER.fullmatch(value):
        raise InputError(f"{what}: contains a line break, or a character that an HTTP header cannot carry.")
