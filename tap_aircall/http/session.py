"""Sends requests through one `requests` session, and says in one line what went wrong: for the API and for files alike.

What `requests` and urllib3 leave open is closed here, in the adapter that the session mounts:

- an answer may drip for ever, or contradict itself about its length: it is watched (see `watching`);
- an answer may have any size, and a few packed bytes become gigabytes: there is a limit, and memory stays small;
- each request would look through the environment and `~/.netrc`: proxies and certificates are looked up once for each
  server, and credentials come from the settings alone;
- cookies are kept and redirects followed: not here;
- their log lines and errors quote addresses, headers and credentials: only our own lines leave this module.
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
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies, select_proxy
from typing_extensions import override
from urllib3 import HTTPConnectionPool, Retry
from urllib3 import exceptions as urllib3
from urllib3.util.ssl_match_hostname import CertificateError

from tap_aircall.errors import InputError, ResponseError, TransientError, UnavailableError
from tap_aircall.http.decoding import BrokenError, unpack
from tap_aircall.http.logs import be_discreet
from tap_aircall.http.watching import ANSWER_TIMEOUTS, TooSlowError, Watched, watched

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_aircall.errors import AircallError
    from tap_aircall.http.addresses import Allowed

ONCE = Retry(total=False, redirect=False)
"""No retry and no redirect."""
PIECE = 2**16
"""Bytes of a body to have in hand at once, before and after unpacking."""
PACKINGS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress"}
"""What a `Content-Encoding` may name; some servers write other things there, such as `utf-8`, which mean nothing."""
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
INVALID = (InvalidSchema, InvalidURL, MissingSchema, urllib3.LocationValueError)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
"""What `http.client` says of a proxy that refuses."""
_HEADER = re.compile(r"[\x20-\x7e\x80-\xff]*")
"""What the value of a header may be made of."""

logger = logging.getLogger(__name__)


class Session(requests.Session):
    """Sends requests to Aircall or to storage, each once.

    Threads share it: a session is safe to share as long as nobody changes it, and nothing here changes after it is
    made. There are no cookies, its headers are those of all requests, and what signs a request goes along with that
    request. The pool behind it lends each thread a connection of its own, for one answer.

    Args:
        user_agent: Value of the `User-Agent` header.
        timeout: Seconds to wait for a connection, and for each next part of an answer.
        at_once: How many connections to a server are kept.
        allowed: Says of a host and one of its IP addresses whether it may be connected to; None for all. A proxy, which
            the user chose, looks up hosts itself.

    Raises:
        InputError: If the user agent cannot be sent.
    """

    def __init__(self, *, user_agent: str, timeout: float, at_once: int, allowed: Allowed | None = None) -> None:
        super().__init__()
        be_discreet()
        _check_header("Setting user_agent", user_agent)
        self.headers = CaseInsensitiveDict({"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"})
        self.trust_env = False  # the adapter knows what counts of it
        self.cookies.set_policy(cookiejar.DefaultCookiePolicy(netscape=False))
        self.seconds = timeout
        self._adapter = Adapter(timeout, at_once, allowed)
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None

    @contextmanager
    def open(self, request: requests.Request, *, name: str, place: str, shown: str) -> Iterator[Incoming]:
        """Send one request, and yield the answer as it comes in.

        Args:
            request: The request, with what signs it.
            name: What to call the answer in errors.
            place: What to call the server in errors.
            shown: What to call the request in the log.

        Yields:
            The answer, while it comes in; errors of the connection until the end of the context count.

        Raises:
            TransientError: If it failed in a way that the next attempt may not.
            UnavailableError: If no attempt can do better.
            InputError: If the environment's certificates cannot be used, or a header cannot be sent.
        """
        began = time.monotonic()
        response = None
        try:
            prepared = self.prepare_request(request)
            response = self.send(prepared, stream=True)
            incoming = Incoming(response, name)
            yield incoming
        except (requests.RequestException, urllib3.HTTPError) as error:
            if select_proxy(request.url, self._adapter.proxies_for(request.url)):
                place += " through a proxy (variable HTTPS_PROXY)"
            raise _explained(error, name, place, self.seconds, has_begun=response is not None) from error
        finally:
            if response is not None:
                response.close()  # and its connection, unless the answer is whole
        seconds = time.monotonic() - began
        logger.debug(
            "%s %s: status %d, %d bytes, %.2f s", request.method, shown, incoming.status, incoming.size, seconds
        )


class Adapter(HTTPAdapter):
    """The way to all servers, by the proxies and certificates of the environment; see `Session` for the arguments."""

    def __init__(self, timeout: float, at_once: int, allowed: Allowed | None) -> None:
        super().__init__(pool_maxsize=at_once, max_retries=ONCE)
        self._timeout = timeout
        self._allowed = allowed
        self._proxies: dict[tuple[str, ...], Mapping[str, str]] = {}

    def proxies_for(self, url: str) -> Mapping[str, str]:
        """Return the proxies of the environment for an address, looked up once for each server."""
        server = urlsplit(url)[:2]
        if server not in self._proxies:
            self._proxies[server] = get_environ_proxies(url)
        return self._proxies[server]

    @override
    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        url = request.url or ""
        _check_header("The credentials", request.headers.get("Authorization", ""))
        verify = self._certificates if url.startswith("https:") else True
        ours = {"timeout": self._timeout, "proxies": self.proxies_for(url), "verify": verify}
        return super().send(request, *args, **kwargs | ours)

    @override
    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        assert isinstance(pool, HTTPConnectionPool)  # noqa: S101 - what every adapter has, with or without TLS
        allowed = None if select_proxy(request.url or "", proxies) else self._allowed
        if not issubclass(pool.ConnectionCls, Watched):
            pool.ConnectionCls = watched(pool.ConnectionCls, allowed)
        return pool

    @functools.cached_property
    def _certificates(self) -> str | bool:
        """The file or folder with the certificates that the environment names; True for the usual ones."""
        name = next((name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), None)
        if name is None:
            return True
        path = os.environ[name]
        try:
            kind = "capath" if os.path.isdir(path) else "cafile"  # noqa: PTH112 - it may be no path at all
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{kind: path})
        except (OSError, ValueError) as error:
            known = isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno
            reason = os.strerror(known) if known else "it holds no certificates"
            raise InputError(f"Variable {name}: the certificates in {path} cannot be used: {reason}.") from error
        return path


class Incoming:
    """An answer whose head is there, and whose body is still to come.

    Args:
        response: The answer.
        name: What to call it in errors.
    """

    def __init__(self, response: requests.Response, name: str) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.credentials: str | None = response.request.headers.get("Authorization")
        """What the request was signed with."""
        self.size = 0
        """Bytes of the body so far, unpacked."""
        self._raw = response.raw
        self._name = name
        named = self.headers.get("Content-Encoding", "").lower().replace(",", " ").split()
        self._packings = [name for name in named if name in PACKINGS]

    @property
    def length(self) -> int | None:
        """Bytes of the body, as far as the head says; None for one that is packed."""
        named = self.headers.get("Content-Length")
        return None if named is None or self._packings else int(named)

    @property
    def shows_its_end(self) -> bool:
        """Whether a cut would be noticed."""
        return any(name in self.headers for name in ("Content-Length", "Transfer-Encoding")) or bool(self._packings)

    def pieces(self, largest: int) -> Iterator[bytes]:
        """Read the body.

        Args:
            largest: How many bytes it may have.

        Raises:
            ResponseError: If it has more.
            TransientError: If it is not whole.
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
            raise TransientError(f"{self._name} is packed in a way that the tap did not ask for.")
        try:
            yield from unpack(pieces, PIECE, may_be_empty=self.status != HTTPStatus.OK)
        except BrokenError as error:
            raise TransientError(f"{self._name} is broken or was cut short.") from error


def _explained(error: Exception, name: str, place: str, seconds: float, *, has_begun: bool) -> AircallError:
    """Say what went wrong, and whether the next attempt may do better.

    Args:
        error: What `requests` or urllib3 raised; its text may hold secrets, and is not used.
        name: What to call the answer.
        place: What to call the server.
        seconds: The time-out.
        has_begun: Whether the answer has begun to come in.
    """
    causes = list(_causes(error))
    if refusal := _refused_certificate(causes):
        return UnavailableError(f"The connection to {place} failed: its certificate is not accepted ({refusal}).")
    first = next((cause for cause in causes if isinstance(cause, urllib3.HTTPError)), error)
    if isinstance(first, INVALID):
        return UnavailableError(f"No request to {place} is possible: the address, or its proxy's, is not valid.")
    if any(isinstance(cause, TooSlowError) for cause in causes):
        line = f"{name} took longer than {ANSWER_TIMEOUTS * seconds:g} s"
        line += f" ({ANSWER_TIMEOUTS} times the setting request_timeout)."
    elif isinstance(first, urllib3.TimeoutError) and not isinstance(first, urllib3.NewConnectionError):
        line = f"{name} did not come within {seconds:g} s (setting request_timeout)."
    elif has_begun:
        line = f"{name} is broken or was cut short."
    elif reason := _broken_connection(causes):
        line = f"The connection to {place} failed: {reason}."
    else:
        line = f"{name} is not valid HTTP."
    return TransientError(line)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go from an error to what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused_certificate(causes: Iterable[BaseException]) -> str:
    """Say why a certificate was refused; nothing if none was."""
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message.rstrip(".")  # a fixed text of OpenSSL, which names no more than the host
        if isinstance(cause, CertificateError):
            return "it is for another host"
    return ""


def _broken_connection(causes: Iterable[BaseException]) -> str:
    """Say why there is no connection; nothing if that was not the fault."""
    for cause in causes:
        match cause:
            case requests.RequestException():  # each is an OSError, and none says more than what caused it
                continue
            case urllib3.NameResolutionError():
                return "its name cannot be resolved"
            case ssl.SSLError():
                return "TLS, which secures it, broke off"
            case TimeoutError():
                return "it did not answer in time"
            case OSError() if tunnel := _TUNNEL.match(str(cause)):
                return f"it answered with status {tunnel[1]}"
            case OSError():
                return os.strerror(cause.errno).lower() if cause.errno else "it was closed"
    return ""


def _check_header(what: str, value: str) -> None:
    """Refuse what no header can carry.

    Raises:
        InputError: Saying what it is, without the value.
    """
    if not _HEADER.fullmatch(value):
        raise InputError(f"{what}: has a line break, or a character that no HTTP header can carry.")
