"""The HTTP client: rate limit, authentication, retries and decoding for all requests of a run.

It retries 5xx, 408, broken connections, truncated or undecodable bodies and responses of an unexpected shape, with
exponential back-off, for about four minutes; before the first response for seconds only, since a typo in `api_url` is
then likelier than an outage. A 429 stops all threads until the time that Aircall names, or for a minute.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
import requests

from tap_aircall.errors import (
    BlockedError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    RejectedRequestError,
    ResponseError,
    TransientError,
    UnavailableError,
)
from tap_aircall.http import decoding
from tap_aircall.http.addresses import is_loopback
from tap_aircall.http.downloads import Downloader
from tap_aircall.http.session import Session
from tap_aircall.reading.clock import result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_aircall.auth.authenticators import Authenticator
    from tap_aircall.http.limiter import RateLimiter
    from tap_aircall.reading.clock import AircallClock, Clock

T = TypeVar("T")
S = TypeVar("S")

LARGEST_RESPONSE = 64 * 2**20
"""Bytes of a response after decompression. A page of 50 calls has less than one million."""
ATTEMPTS = 11
ATTEMPTS_BEFORE_FIRST_RESPONSE = 4
REFUSALS = 20
"""Number of 429 responses to one request that ends the run."""
BLOCK_SECONDS = 60.0
"""How long Aircall blocks a company that exceeds the limit, if a response does not state it (facts: Rate limit)."""
LONGEST_BLOCK_SECONDS = 120.0
RESET_IN_MILLISECONDS_FROM = 1e12
"""A reset time above this is in milliseconds: as seconds, it would be the year 33658."""

PING = "/v1/ping"
"""The cheapest request that needs credentials (facts: Addresses and errors)."""
REJECTED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
ACCEPTED = {HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT}

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request:
    """A request, and its failures so far."""

    method: str
    path: str
    params: Mapping[str, str]
    body: Mapping[str, Any] | None = None
    """JSON to send; may hold secrets."""
    attempts: int = ATTEMPTS
    """Maximum number of attempts."""
    failures: int = 0
    refusals: int = 0
    """Number of 429 responses so far."""
    renewed: bool = False
    """Whether the credentials were renewed since it was rejected."""


class Response(NamedTuple):
    """A complete response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    credentials: str | None = None
    """The `Authorization` header of the request."""


class AircallClient:
    """Sends requests to Aircall, whose clock each response sets. Thread-safe.

    `api_url` has no version. The timeout is in seconds, for a connection and for each next part of a response. Requests
    are unsigned without an authenticator.
    """

    def __init__(
        self,
        *,
        api_url: str,
        authenticator: Authenticator | None,
        limiter: RateLimiter,
        clock: Clock,
        user_agent: str,
        timeout: float,
        max_concurrent_requests: int,
        aircall_clock: AircallClock,
    ) -> None:
        self.limiter = limiter
        self.requests_sent = 0
        self.most_requests = math.inf
        """Limit of requests in all."""
        self.most_attempts = ATTEMPTS
        """Upper limit of attempts for any request."""
        self.authenticator = authenticator
        make_session = partial(Session, user_agent=user_agent, timeout=timeout, at_once=max_concurrent_requests)
        self.session = make_session()
        """Shared by all threads; does no rate limiting or authentication itself."""
        self.on_response: Callable[[str, str, Mapping[str, str], Response | None, float], None] | None = None
        """Called after each request with method, path, parameters, the response if any, and seconds."""
        self._whole: AircallClient | None = None
        self._root = api_url.rstrip("/")
        self._clock = clock
        self._aircall_clock = aircall_clock
        self._width = max_concurrent_requests
        self._pool = ThreadPoolExecutor(max_concurrent_requests, thread_name_prefix="aircall")
        self._count_lock = threading.Lock()
        self._has_response = False
        this_machine = is_loopback(urlsplit(self._root).hostname or "")
        self.downloader = Downloader(make_session, limiter, this_machine=this_machine)
        """Fetches files from presigned URLs, which do not count as requests to Aircall."""

    def counting_apart(self) -> AircallClient:
        """Return this client with its own request count; its requests count here as well."""
        part = copy.copy(self)
        part.requests_sent, part._whole = 0, self  # noqa: SLF001 - of the same class
        return part

    def get(self, path: str, params: Mapping[str, str], parse: Callable[[Any], T]) -> T:
        """Send a GET request until there is a usable response.

        `parse` converts the decoded JSON to the result. If it raises a `ResponseError`, the request is retried as often
        as the error allows.

        Raises:
            AircallError: If retrying would not help or did not.
        """
        return self._ask(_Request("GET", path, params), parse)

    def post(self, path: str, body: Mapping[str, Any], parse: Callable[[Any], T], *, attempts: int = ATTEMPTS) -> T:
        """Send a POST request, as `get` does; once if Aircall must not act twice when a response is lost."""
        return self._ask(_Request("POST", path, {}, body, attempts), parse)

    def put(self, path: str, body: Mapping[str, Any], parse: Callable[[Any], T]) -> T:
        """Send a PUT request, as `post` does; Aircall may receive it more than once."""
        return self._ask(_Request("PUT", path, {}, body), parse)

    def delete(self, path: str) -> None:
        """Send a DELETE request until there is a response.

        Raises:
            NotFoundError: If there is no such object; perhaps a request whose response was lost deleted it.
            AircallError: If retrying would not help or did not.
        """
        self._receive(_Request("DELETE", path, {}))

    def ping(self, attempts: int = ATTEMPTS) -> None:
        """Check that Aircall accepts the credentials.

        Raises:
            AircallError: If it does not, or cannot be reached.
        """
        self._ask(_Request("GET", PING, {}, attempts=attempts), lambda payload: payload)

    def in_flight(self, function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        """Apply a function that sends requests to each item, several concurrently.

        At most `max_concurrent_requests` items are ahead of the consumer. Closing the iterator cancels those not
        started.

        Yields:
            The results in the order of the items.
        """
        ahead: deque[Future[T]] = deque()
        try:
            for item in items:
                ahead.append(self._pool.submit(function, item))
                if len(ahead) >= self._width:
                    yield result_of(ahead.popleft())
            while ahead:
                yield result_of(ahead.popleft())
        finally:
            for future in ahead:
                future.cancel()

    def close(self) -> None:
        """End all waits and send nothing more."""
        self.limiter.close()
        if self.authenticator is not None:
            self.authenticator.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.session.close()
        self.downloader.close()

    def _ask(self, request: _Request, parse: Callable[[Any], T]) -> T:
        """Send a request until its response is usable."""
        while True:
            body = self._receive(request)
            try:
                return parse(decoding.decode(body))
            except (msgspec.DecodeError, RecursionError):
                self._failed(request, TransientError(f"Aircall responded to {request.path} without usable JSON."))
            except (TransientError, ResponseError) as error:
                self._failed(request, error)

    def _receive(self, request: _Request) -> bytes:
        """Send a request until it is accepted; return the body of the response."""
        while True:
            try:
                self.limiter.acquire()
                response = self._send(request)
                if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                    self._pause(response.headers, request)
                elif response.status in REJECTED and not request.renewed and self._renew(response, request):
                    request.renewed = True
                else:
                    self._raise_for_status(response.status, request.path)
                    return response.body
            except TransientError as error:
                self._failed(request, error)

    def _failed(self, request: _Request, error: TransientError | ResponseError) -> None:
        """Wait before the next attempt.

        Raises:
            AircallError: If there are no more attempts.
        """
        request.failures += 1
        attempts = min(request.attempts, self.most_attempts)
        if not self._has_response:
            attempts = min(attempts, ATTEMPTS_BEFORE_FIRST_RESPONSE)
        if isinstance(error, ResponseError) and error.attempts is not None:
            attempts = min(attempts, error.attempts)
        self.limiter.wait_after(error, failures=request.failures, attempts=attempts)

    def _renew(self, response: Response, request: _Request) -> bool:
        """Renew the credentials if a request was rejected because of them; return whether that worked."""
        if self.authenticator is None or not self.authenticator.renewable or response.credentials is None:
            return False
        if response.status == HTTPStatus.FORBIDDEN and request.path != PING:
            # The credentials may be valid, but not allow this resource. Everyone may ping.
            self.limiter.acquire()
            status = self._send(_Request("GET", PING, {}), response.credentials).status
            if status == HTTPStatus.OK:
                return False
            if status not in REJECTED:
                raise TransientError(f"Aircall responded to {PING} with status {status}.")
        return self.authenticator.renew(response.credentials)

    def _send(self, request: _Request, credentials: str | None = None) -> Response:
        """Send one request and read the response; sign it unless it gets the `Authorization` header of another one.

        Raises:
            ResponseError: If the response is too large.
            AircallError: From `Session.open` or the authenticator.
        """

        def sign(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            if credentials is not None:
                prepared.headers["Authorization"] = credentials
            elif self.authenticator is not None:
                self.authenticator(prepared)
            self._count()  # a request that cannot be signed is not sent
            return prepared

        path = request.path
        to_send = requests.Request(request.method, f"{self._root}{path}", params=request.params, auth=sign)
        if request.body is not None:
            to_send.headers = {"Content-Type": "application/json"}
            to_send.data = msgspec.json.encode(request.body)
        began, response = self._clock.monotonic(), None
        try:
            with self.session.open(
                to_send, name=f"Aircall's response to {path}", place=f"{self._root} (setting api_url)", shown=path
            ) as incoming:
                body = b"".join(incoming.pieces(LARGEST_RESPONSE))
            response = Response(incoming.status, incoming.headers, body, incoming.credentials)
        finally:
            if self.on_response is not None:
                self.on_response(request.method, path, request.params, response, self._clock.monotonic() - began)
        self._has_response = True
        self._aircall_clock.note(response.headers.get("Date"))
        return response

    def _count(self) -> None:
        """Count one request.

        Raises:
            UnavailableError: If the limit is used up.
        """
        with self._count_lock:
            if (self._whole or self).requests_sent >= self.most_requests:
                raise UnavailableError(f"All of {self.most_requests:,} requests are used up.")
            self.requests_sent += 1
            if self._whole is not None:
                self._whole.requests_sent += 1

    def _pause(self, headers: Mapping[str, str], request: _Request) -> None:
        request.refusals += 1
        if request.refusals >= REFUSALS:
            raise BlockedError(
                f"Aircall refused {request.path} {request.refusals} times for too many requests: lower "
                "requests_per_minute, since other integrations share the company's limit."
            )
        seconds = block_seconds(headers, self._clock.time())
        logger.info("Aircall asks to slow down; no request for %.0f s.", seconds)
        self.limiter.pause(seconds)

    def _raise_for_status(self, status: int, path: str) -> None:
        """Raise the error for a status, unless it is one of `ACCEPTED`."""
        if status in ACCEPTED:
            return
        if status in REJECTED:
            advice = self.authenticator.advice if self.authenticator else "check the credentials."
            raise (ForbiddenError if status == HTTPStatus.FORBIDDEN else CredentialsError)(
                f"Aircall rejects the credentials for {path} (status {status}): {advice}"
            )
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"Aircall has no {path} (status 404): check the setting api_url.")
        if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(f"Aircall responded to {path} with status {status}.")
        raise RejectedRequestError(f"Aircall refuses {path} with status {status}; check the setting api_url.", status)


def block_seconds(headers: Mapping[str, str], now: float) -> float:
    """Return how many seconds to pause after a 429: one more than Aircall says, or a minute if it does not.

    Args:
        headers: Headers of the response: `X-AircallApi-Reset` (UNIX seconds or milliseconds; facts: Rate limit), or
            else `Retry-After` (seconds).
        now: UNIX seconds.
    """
    candidates = []
    for name, origin in (("X-AircallApi-Reset", now), ("Retry-After", 0.0)):
        try:
            value = float(headers.get(name, ""))
        except ValueError:
            continue
        if value > RESET_IN_MILLISECONDS_FROM:
            value /= 1000
        candidates.append(value - origin)
    useful = (seconds for seconds in candidates if 0 < seconds <= LONGEST_BLOCK_SECONDS)
    return next(useful, BLOCK_SECONDS) + 1
