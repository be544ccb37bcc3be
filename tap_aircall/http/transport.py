"""Sends requests, reads what is answered, and says in one line what went wrong: for the API and for files alike.

How to reach an address (its proxy, its certificates, its pool of connections) is what `requests` knows; it is asked
once for each address, since asking costs more than sending. The rest is urllib3 and `http.client`. What they leave open
is closed here:

- a time-out applies to each piece of an answer, so one that drips never ends: the whole answer has a limit as well;
- an answer may have any size, and a few packed bytes become gigabytes: there is a limit, and memory stays small;
- a packed body that was cut off looks whole: its end is checked;
- their log lines and errors quote addresses, headers and credentials: only our own lines leave this module.
"""

from __future__ import annotations

import functools
import io
import logging
import math
import os
import re
import socket
import ssl
import time
import zlib
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from typing_extensions import override
from urllib3 import HTTPConnectionPool, Retry, Timeout
from urllib3 import exceptions as urllib3
from urllib3.util.ssl_match_hostname import CertificateError

from tap_aircall.errors import AircallError, InputError, ResponseError, TransientError, UnavailableError
from tap_aircall.http.logs import be_discreet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed import WriteableBuffer
    from urllib3 import BaseHTTPResponse

ONCE = Retry(total=False, redirect=False)
"""No retry and no redirect."""
LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer of the API, unpacked. A page of 50 calls has less than one million."""
ANSWER_TIMEOUTS = 3
"""A whole answer may take this many times the `request_timeout` ..."""
SLOWEST = 16 * 2**10
"""... and one more second for each of so many bytes of its body."""
LARGEST_HEAD = 2**20
"""Bytes of all that comes before a body."""
PIECE = 2**16
"""Bytes of a body to have in hand at once, before and after unpacking."""
UNPACKED = {"gzip", "x-gzip", "deflate"}
AUTOMATIC = zlib.MAX_WBITS | 32
"""Lets zlib see whether it has gzip or deflate. Both have a checksum; without one, a damaged body would look whole."""
PACKINGS = {*UNPACKED, "br", "zstd", "compress"}
"""What a `Content-Encoding` may name; some servers write other things there, such as `utf-8`, which mean nothing."""
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
"""What `http.client` says of a proxy that refuses."""
_LENGTH = re.compile(r"[0-9]{1,18}")
_HEADER = re.compile(r"[\x20-\x7e\x80-\xff]*")
"""What the value of a header may be made of."""

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections(HTTPAdapter):
    """The connections to all hosts. Safe to use from several threads.

    Args:
        user_agent: Value of the `User-Agent` header.
        timeout: Seconds to wait for a connection, and for each next part of an answer.
        at_once: How many connections to a host are kept.
        allowed: Says of a host and one of its IP addresses whether it may be connected to; None for all. A proxy, which
            the user chose, looks up hosts itself.

    Raises:
        InputError: If the user agent cannot be sent.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        timeout: float,
        at_once: int,
        allowed: Callable[[str, str], bool] | None = None,
    ) -> None:
        super().__init__(pool_maxsize=at_once)
        self._allowed = allowed
        _check_header("Setting user_agent", user_agent)
        self.headers_of_all = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"}
        self.timeout = Timeout(timeout)
        self.seconds = timeout
        be_discreet()

    def way_to(self, url: str) -> tuple[HTTPConnectionPool, str]:
        """Find the way to an address, by the proxies and certificates of the environment.

        Returns:
            The connections, and what to ask for: path and query, or the whole address for a plain proxy.

        Raises:
            InputError: If the environment's certificates cannot be used.
            requests.exceptions.RequestException, urllib3.exceptions.HTTPError: If it is no address.
        """
        request = requests.Request("GET", url).prepare()
        proxies = get_environ_proxies(url)
        verify = _certificates() if url.startswith("https:") else True
        pool = self.get_connection_with_tls_context(request, verify, proxies)
        assert isinstance(pool, HTTPConnectionPool)  # noqa: S101 - what every adapter has, with or without TLS
        self.cert_verify(pool, url, verify, None)  # type: ignore[no-untyped-call]
        allowed = None if select_proxy(url, proxies) else self._allowed
        pool.ConnectionCls = _watching(type(pool).ConnectionCls, allowed)
        return pool, self.request_url(request, proxies)


class Transport:
    """Sends requests to one address. Safe to use from several threads.

    Args:
        connections: Those to all hosts.
        url: The address, to which paths are added.
        place: What to call it in errors.
    """

    def __init__(self, connections: Connections, url: str, place: str) -> None:
        self._connections = connections
        self._url = url
        self._place = place

    def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Send one request to Aircall's API, and read the answer.

        Args:
            method: Such as `GET`.
            path: Path below the address.
            params: Query parameters.
            headers: Those of this request alone.
            body: What to send as JSON, if anything.

        Raises:
            ResponseError: If the answer is too large.
            AircallError: As from `open`.
        """
        target = path
        if params:
            target += ("&" if "?" in path else "?") + urlencode(params)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        sent = None if body is None else msgspec.json.encode(body)
        with self.open(f"Aircall's answer to {path}", method, target, headers, sent) as incoming:
            return Answer(incoming.status, incoming.headers, b"".join(incoming.pieces(LARGEST_ANSWER)))

    @contextmanager
    def open(
        self,
        name: str,
        method: str = "GET",
        target: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Iterator[Incoming]:
        """Send one request, and yield the answer as it comes in.

        Args:
            name: What to call the answer in errors.
            method: Such as `GET`.
            target: Path and query below the address.
            headers: Those of this request alone.
            body: What to send, if anything.

        Yields:
            The answer, while it comes in; errors of the connection until the end of the context count.

        Raises:
            TransientError: If it failed in a way that the next attempt may not.
            UnavailableError: If no attempt can do better.
            InputError: If the environment's certificates cannot be used, or a header cannot be sent.
        """
        headers = headers or {}
        for value in headers.values():
            _check_header("The credentials", value)
        began = time.monotonic()
        response: BaseHTTPResponse | None = None
        try:
            pool, prefix = self._way
            response = pool.urlopen(
                method,
                f"{prefix.rstrip('/')}{target}" if target else prefix,
                body=body,
                headers={**self._connections.headers_of_all, **headers},
                retries=ONCE,
                redirect=False,
                assert_same_host=False,
                timeout=self._connections.timeout,
                preload_content=False,
                decode_content=False,
            )
            incoming = Incoming(response, name)
            yield incoming
        except (requests.exceptions.RequestException, urllib3.HTTPError) as error:
            raise self._explained(error, name, has_begun=response is not None) from error
        finally:
            if response is not None:
                response.close()  # and its connection, unless the answer is whole
                response.release_conn()
        shown, seconds = target.partition("?")[0] or self._place, time.monotonic() - began
        logger.debug("%s %s: status %d, %d bytes, %.2f s", method, shown, incoming.status, incoming.size, seconds)

    @cached_property
    def _way(self) -> tuple[HTTPConnectionPool, str]:
        return self._connections.way_to(self._url)

    def _explained(self, error: Exception, name: str, *, has_begun: bool) -> AircallError:
        """Say what went wrong, and whether the next attempt may do better.

        Args:
            error: What `requests` or urllib3 raised; its text may hold secrets, and is not used.
            name: What to call the answer.
            has_begun: Whether the answer has begun to come in.
        """
        place, seconds = self._place, self._connections.seconds
        causes = list(_causes(error))
        if select_proxy(self._url, get_environ_proxies(self._url)):
            place += " through a proxy (variable HTTPS_PROXY)"
        if refusal := _refused_certificate(causes):
            return UnavailableError(f"The connection to {place} failed: its certificate is not accepted ({refusal}).")
        if isinstance(error, requests.exceptions.RequestException | urllib3.LocationValueError):
            return UnavailableError(f"No request to {place} is possible: the address, or its proxy's, is not valid.")
        if any(isinstance(cause, _TooSlowError) for cause in causes):
            line = f"{name} took longer than {ANSWER_TIMEOUTS * seconds:g} s"
            line += f" ({ANSWER_TIMEOUTS} times the setting request_timeout)."
        elif isinstance(error, urllib3.TimeoutError) and not isinstance(error, urllib3.NewConnectionError):
            line = f"{name} did not come within {seconds:g} s (setting request_timeout)."
        elif has_begun:
            line = f"{name} is broken or was cut short."
        elif reason := _broken_connection(causes):
            line = f"The connection to {place} failed: {reason}."
        else:
            line = f"{name} is not valid HTTP."
        return TransientError(line)


class Incoming:
    """An answer whose head is there, and whose body is still to come.

    Args:
        response: The answer.
        name: What to call it in errors.
    """

    def __init__(self, response: BaseHTTPResponse, name: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.size = 0
        """Bytes of the body so far, unpacked."""
        self._response = response
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
        pieces = iter(functools.partial(self._response.read1, PIECE), b"")
        if self._packings:
            pieces = self._unpacked(pieces, self._packings)
        for piece in pieces:
            self.size += len(piece)
            if self.size > largest:
                message = f"{self._name} has more than {largest:,} bytes."
                raise ResponseError(message)
            yield piece

    def _unpacked(self, pieces: Iterable[bytes], packings: list[str]) -> Iterator[bytes]:
        """Unpack a body, or several that follow each other, to the end."""
        if len(packings) > 1 or packings[0] not in UNPACKED:
            message = f"{self._name} is packed in a way that the tap did not ask for."
            raise TransientError(message)
        unpack = None
        try:
            for piece in pieces:
                rest = piece
                while rest:
                    if unpack is None or unpack.eof:
                        unpack = zlib.decompressobj(AUTOMATIC)
                    yield unpack.decompress(rest, PIECE)
                    rest = unpack.unconsumed_tail or unpack.unused_data
            if unpack is not None:
                yield unpack.flush()
        except zlib.error as error:
            raise self._broken() from error
        is_empty = unpack is None and self.status != HTTPStatus.OK
        if not is_empty and not (unpack and unpack.eof):
            raise self._broken()

    def _broken(self) -> TransientError:
        return TransientError(f"{self._name} is broken or was cut short.")


class _TooSlowError(HTTPException):
    """An answer took longer than a whole one may."""


class _Watch(io.RawIOBase):
    """What comes over a connection for one answer, for as long as that may take.

    Args:
        connection: What to read from.
        seconds: How long it may take.
    """

    def __init__(self, connection: io.RawIOBase, seconds: float) -> None:
        self._connection = connection
        self.until = time.monotonic() + seconds
        """When it must be over; the machine's time, as that of time-outs is."""
        self.room: float = LARGEST_HEAD
        """How many bytes may still come; without limit as soon as the head is there."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if time.monotonic() > self.until:
            raise _TooSlowError
        size = self._connection.readinto(buffer)
        if not size and self.room < math.inf:  # http.client would take half a head for one
            raise ConnectionResetError
        self.room -= size or 0
        if self.room < 0:
            raise HTTPException
        return size

    @override
    def close(self) -> None:
        self._connection.close()
        super().close()


class _WatchedResponse(HTTPResponse):
    """An answer that must be over in time, and whose head must be clear."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        self._watch = _Watch(self.fp.detach(), math.inf if timeout is None else ANSWER_TIMEOUTS * timeout)
        self.fp = io.BufferedReader(self._watch)

    @override
    def begin(self) -> None:
        super().begin()
        self._watch.room = math.inf
        lengths, transfers = (self.headers.get_all(name, []) for name in ("Content-Length", "Transfer-Encoding"))
        # Where these are odd, http.client reads to the end of the connection, or too little; and what follows an answer
        # such as 103 would be taken for the answer to the next request.
        if (
            len(lengths) + len(transfers) > 1
            or not all(map(_LENGTH.fullmatch, lengths))
            or not all(transfer.lower() == "chunked" for transfer in transfers)
            or self.status < HTTPStatus.OK
        ):
            raise HTTPException

    @override
    def read1(self, n: int = -1) -> bytes:
        piece = super().read1(n)
        self._watch.until += len(piece) / SLOWEST
        return piece


@functools.lru_cache(maxsize=16)
def _watching(connection: type, allowed: Callable[[str, str], bool] | None) -> type:
    """Derive a class of connections whose answers are watched, and which lead to allowed addresses only."""
    parts: dict[str, Any] = {"response_class": _WatchedResponse}
    if allowed is not None:

        def connect(self: Any) -> socket.socket:
            # Looked up before, so that nothing at all is sent elsewhere, and looked at after, since the name may lead
            # elsewhere the next moment.
            host = self.host.strip("[]")
            check_addresses(host, (found[4][0] for found in _look_up(host, self.port)), allowed)
            sock: socket.socket = connection._new_conn(self)  # type: ignore[attr-defined]  # noqa: SLF001
            try:
                check_addresses(host, [sock.getpeername()[0]], allowed)
            except ResponseError:
                sock.close()
                raise
            return sock

        parts["_new_conn"] = connect
    return type(connection.__name__, (connection,), parts)


def _look_up(host: str, port: int) -> list[Any]:
    """Look up the addresses of a host; none if that fails, which the connection then says itself."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []


def check_addresses(host: str, addresses: Iterable[Any], allowed: Callable[[str, str], bool]) -> None:
    """Refuse a host one of whose addresses is not allowed.

    Raises:
        ResponseError: If there is such an address.
    """
    if not all(allowed(host, str(address)) for address in addresses):
        message = "Aircall gave an address for the file that leads into a private network, where the tap does not go."
        raise ResponseError(message)


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


def _certificates() -> str | bool:
    """Return the file or folder with the certificates that the environment names; True for the usual ones.

    Raises:
        InputError: If they cannot be used.
    """
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
        message = f"Variable {name}: the certificates in {path} cannot be used: {reason}."
        raise InputError(message) from error
    return path


def _check_header(what: str, value: str) -> None:
    """Refuse what no header can carry.

    Raises:
        InputError: Saying what it is, without the value.
    """
    if not _HEADER.fullmatch(value):
        message = f"{what}: has a line break, or a character that no HTTP header can carry."
        raise InputError(message)
