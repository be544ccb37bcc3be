"""The receiver's HTTP server: accepts deliveries, and responds with 200 once they are stored durably.

It trusts nothing: it limits the size and duration of bodies, and keeps nothing of a delivery without a valid token. It
never logs bodies or tokens. Floods of connections are for the proxy in front of it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tap_aircall.errors import InboxError, InputError
from tap_aircall.http.logs import be_discreet
from tap_aircall.inbox.deliveries import LARGEST_BODY, Delivery, NoEventError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.requests import Request

    from tap_aircall.inbox.deliveries import EventRow
    from tap_aircall.inbox.store import Inbox, Webhook
    from tap_aircall.reading.clock import Clock

T = TypeVar("T")

HEALTH = "/health"

LARGEST_REFUSED = 8 * LARGEST_BODY
"""Bytes to read of a body that is too large, since a client that is still sending does not see the response."""
MOST_DELIVERIES = 1_000
"""Deliveries being read or waiting to be stored. More could not be stored in time, and would delay the others."""
MOST_IN_HAND = 128 * LARGEST_BODY
"""Total bytes of their bodies."""
LARGEST_SHARE = 8 * LARGEST_BODY
"""Bytes of one company's bodies waiting to be stored; a commit of that many takes a fraction of a second."""
SMALLEST_SHARE = LARGEST_SHARE // (MOST_DELIVERIES // 2)
"""Bytes that a body counts for at least, so that one company never has all deliveries."""
QUICK_BODY = 16_384
"""Bytes of a body that takes milliseconds to parse, such as a complete call. Larger ones may take tenths of a second,
so a thread parses them, one after another."""
GIB = 2**30
STORE_SECONDS = 3.5
"""Time limit for storing an event. Aircall waits 5 s for the response (facts: Deliveries)."""
BODY_SECONDS = 10.0
"""Time limit for reading a body. Aircall gives up after half of it."""
IDLE_SECONDS = 150
"""Time limit of an idle connection: longer than that of proxies, which could otherwise reuse it just as it closes."""
CACHE_SECONDS = 1.0
"""How long to cache the tokens and sizes in the store; other processes may change them."""
GATHERING_SECONDS = 0.005
"""Wait for more events before a commit, whose cost hardly depends on their number."""
REFUSALS_LOG_SECONDS = 60.0
"""Interval between log lines about refused deliveries."""
SHUTDOWN_SECONDS = 15
"""Time limit for finishing accepted deliveries on shutdown."""

logger = logging.getLogger(__name__)


class RefusedDeliveryError(Exception):
    """A delivery is refused, with this status and this reason in the response."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class WebhookTokens:
    """The tokens that authenticate deliveries; each company may store `largest` bytes of events."""

    def __init__(self, inbox: Inbox, largest: float, monotonic: Callable[[], float]) -> None:
        self._inbox = inbox
        self._largest = largest
        self._monotonic = monotonic
        self._known: dict[str, Webhook] = {}
        self._full: set[str] = set()
        """Companies at their limit."""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def webhook(self, fingerprint: str | None) -> Webhook:
        """Return the webhook of a token.

        Raises:
            RefusedDeliveryError: If the token is unknown, or its company has reached its limit in the store.
            InboxError: If the tokens cannot be read from the store.
        """
        async with self._reading:
            await self._refresh()
        webhook = self._known.get(fingerprint or "")
        if webhook is None:
            raise RefusedDeliveryError(HTTPStatus.UNAUTHORIZED, "Unknown token.")
        if webhook.company in self._full:
            raise RefusedDeliveryError(HTTPStatus.SERVICE_UNAVAILABLE, "This company's inbox is full; try again later.")
        return webhook

    async def _refresh(self) -> None:
        if self._monotonic() - self._read_at < CACHE_SECONDS:
            return
        self._known = {each.fingerprint: each for each in await asyncio.to_thread(self._inbox.webhooks)}
        sizes = await asyncio.to_thread(self._inbox.sizes)
        full = {company for company, size in sizes.items() if size >= self._largest}
        for company in full - self._full:
            line = "%s has %.1f GiB in the inbox: deliveries are refused until aircall-inbox forget makes room."
            logger.error(line, company, sizes[company] / GIB)
        self._full = full
        self._read_at = self._monotonic()


class Intake:
    """Queues events for group commit: those that arrive during a commit, which waits for the disk, share the next one.

    Args:
        append: Stores events durably, or raises an `InboxError`. Called in another thread.
    """

    def __init__(self, append: Callable[[Sequence[EventRow]], None]) -> None:
        self._append = append
        self._waiting: asyncio.Queue[tuple[EventRow, asyncio.Future[None]]] = asyncio.Queue()
        self._is_failing = False

    async def keep(self, row: EventRow) -> None:
        """Store an event; return once it is durable. If cancelled, drop it unless its commit has begun.

        Raises:
            InboxError: If it could not be stored.
        """
        stored = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((row, stored))
        await stored

    async def run(self) -> None:
        """Store queued events until the task is cancelled."""
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(GATHERING_SECONDS)
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            rows = [row for row, stored in batch if not stored.done()]  # the others were cancelled
            failure = await asyncio.to_thread(self._store, rows) if rows else None
            for _, stored in batch:
                if stored.done():
                    continue
                if failure is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(failure)

    def _store(self, rows: Sequence[EventRow]) -> InboxError | None:
        """Store events, and log when the store starts to fail and when it recovers."""
        try:
            self._append(rows)
        except InboxError as error:
            if not self._is_failing:
                line = "%s Deliveries are refused until it works again; Aircall sends them again later."
                logger.error(line, error)  # noqa: TRY400 - the reason is in the line
            self._is_failing = True
            return error
        except Exception as error:
            logger.exception("Unexpected %s while storing events.", type(error).__name__)
            return InboxError("The store failed.")
        if self._is_failing:
            logger.info("The store works again.")
        self._is_failing = False
        return None


class Receiver:
    """The ASGI app; each company may store about `largest` bytes of events."""

    def __init__(self, inbox: Inbox, clock: Clock, largest: float = math.inf) -> None:
        self._inbox = inbox
        self._clock = clock
        self._tokens = WebhookTokens(inbox, largest, clock.monotonic)
        self._intake = Intake(inbox.append)
        self._deliveries = 0
        self._in_hand = 0
        self._large = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._shares: Counter[str] = Counter()
        """Bytes of bodies waiting to be stored, by company."""
        self._refused: dict[int, int] = {}
        self._told_at = float("-inf")
        # Any path, since a proxy may rewrite it; the token identifies the webhook.
        routes = [
            Route(HEALTH, self._say_health, methods=["GET"]),
            Route("/{path:path}", self._deliver, methods=["POST"]),
        ]
        self.app = Starlette(
            routes=routes, lifespan=self._live, exception_handlers={HTTPException: self._refuse_method}
        )
        self.app.router.redirect_slashes = False

    @asynccontextmanager
    async def _live(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the intake while the app runs."""
        storing = asyncio.create_task(self._intake.run())
        try:
            yield
        finally:
            self._large.shutdown(wait=False, cancel_futures=True)
            storing.cancel()
            with suppress(asyncio.CancelledError):
                await storing

    async def _refuse_method(self, _request: Request, error: Exception) -> Response:
        """Respond to a request that is not a delivery, such as one that a proxy redirected."""
        status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else HTTPStatus.METHOD_NOT_ALLOWED)
        return self._refusal(status, "Send deliveries by POST.")

    async def _deliver(self, request: Request) -> Response:
        try:
            return await self._take(request)
        except RefusedDeliveryError as refused:
            return self._refusal(refused.status, str(refused))
        except ClientDisconnect:
            return self._refusal(HTTPStatus.BAD_REQUEST, "The body ended early.")
        except NoEventError as reason:
            return self._refusal(HTTPStatus.BAD_REQUEST, f"Not an event: {reason}.")
        except (InboxError, TimeoutError):
            return self._refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The event cannot be stored right now; try again.")

    async def _take(self, request: Request) -> Response:
        """Return the response once a delivery is stored durably.

        Raises:
            RefusedDeliveryError, NoEventError: If it is refused.
            ClientDisconnect: If the client has disconnected.
            InboxError, TimeoutError: If it could not be stored in time.
        """
        if self._deliveries >= MOST_DELIVERIES:
            raise RefusedDeliveryError(HTTPStatus.SERVICE_UNAVAILABLE, "The receiver is overloaded; try again.")
        body = bytearray()
        self._deliveries += 1
        try:
            await self._read(request, body)
            async with asyncio.timeout(STORE_SECONDS):
                return await self._understand(bytes(body))
        finally:
            self._deliveries -= 1
            self._in_hand -= len(body)

    async def _read(self, request: Request, body: bytearray) -> None:
        """Append what arrives to a body.

        Raises:
            RefusedDeliveryError: If it is too large or too slow, or too many bytes are in hand.
        """
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in request.stream():
                    size += len(piece)
                    if size > LARGEST_REFUSED:
                        break
                    if size > LARGEST_BODY:
                        continue
                    if self._in_hand + len(piece) > MOST_IN_HAND:
                        raise RefusedDeliveryError(
                            HTTPStatus.SERVICE_UNAVAILABLE, "The receiver is overloaded; try again."
                        )
                    self._in_hand += len(piece)
                    body += piece
        except TimeoutError:
            raise RefusedDeliveryError(HTTPStatus.REQUEST_TIMEOUT, "The body took too long.") from None
        if size > LARGEST_BODY:
            raise RefusedDeliveryError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")

    async def _understand(self, body: bytes) -> Response:
        """Return the response once the event in a body is stored durably."""

        async def parse(work: Callable[[], T]) -> T:
            if len(body) <= QUICK_BODY:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._large, work)

        delivery = await parse(partial(Delivery, body))
        webhook = await self._tokens.webhook(delivery.fingerprint)
        if delivery.is_knock:
            return JSONResponse({"inbox": await asyncio.to_thread(lambda: self._inbox.inbox_id)})
        now = int(self._clock.time() * 1000)
        row = await parse(partial(delivery.row, webhook.company, webhook.kind, now))
        share = max(len(row.body), SMALLEST_SHARE)
        if self._shares[webhook.company] + share > LARGEST_SHARE:
            raise RefusedDeliveryError(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many deliveries for this company; try again."
            )
        self._shares[webhook.company] += share
        try:
            await self._intake.keep(row)
        finally:
            self._shares[webhook.company] -= share
        return Response()

    def _refusal(self, status: HTTPStatus, reason: str) -> Response:
        """Return the response to a refused delivery; log the number of refusals from time to time."""
        self._refused[status] = self._refused.get(status, 0) + 1
        now = self._clock.monotonic()
        if now - self._told_at >= REFUSALS_LOG_SECONDS:
            counts = ", ".join(f"{count:,} with {each}" for each, count in sorted(self._refused.items()))
            logger.warning("Deliveries refused: %s.", counts)
            self._refused.clear()
            self._told_at = now
        headers = {"Retry-After": "60"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
            headers["Connection"] = "close"  # the rest of the body may still arrive
        return JSONResponse({"error": reason}, status, headers)

    async def _say_health(self, _request: Request) -> Response:
        """Respond whether the store is writable."""
        try:
            await asyncio.to_thread(self._inbox.check)
        except InboxError:
            return JSONResponse({"status": "the store is not writable"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ok"})


class Server(uvicorn.Server):
    """Serves a receiver until a signal arrives; over HTTPS if there is a certificate, which may hold its own key.

    Raises:
        InputError: If the server cannot listen on the port, or the certificate is unusable.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: str | None = None,
        key: str | None = None,
    ) -> None:
        config = uvicorn.Config(
            receiver.app,
            http="h11",
            ws="none",
            proxy_headers=False,  # client addresses are not used
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        be_discreet()
        for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(logging.ERROR)  # the receiver logs the same itself
        try:
            config.load()
        except OSError as error:
            raise InputError(
                f"Options --certificate and --key: cannot be used: {error.strerror or type(error).__name__}."
            ) from None
        super().__init__(config)
        self.listener = _listen(host, port)
        scheme = "https" if certificate else "http"
        name = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{name}:{self.listener.getsockname()[1]}"

    def serve_until_signal(self) -> None:
        """Log the URL and serve; when a signal arrives, finish the accepted deliveries and return."""
        # Handle signals from now on; uvicorn does so only once it listens, and raises the signal again at the end.
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            logger.info("Receiving at %s.", self.url)
            self.run(sockets=[self.listener])
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _listen(host: str, port: int) -> socket.socket:
    """Listen on a port.

    Raises:
        InputError: If the host or port cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as stack:
            # Without the protocol, asyncio would not set TCP_NODELAY, and responses would take 40 ms longer.
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()
            stack.pop_all()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "invalid host or port"
        raise InputError(f"Options --host and --port: cannot listen on {host}, port {port}: {reason}.") from None
    return listener
