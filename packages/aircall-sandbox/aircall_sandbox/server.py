"""The sandbox's HTTP server: credentials, rate limit and faults."""

from __future__ import annotations

import asyncio
import base64
import email.utils
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from aircall_sandbox.analytics import EXPORT_PATH, FILE_PATH, Analytics
from aircall_sandbox.api import OAUTH_ONLY, Api
from aircall_sandbox.messages import FORBIDDEN, NO_SUCH_PATH, UNAUTHORIZED, ApiResponse, RequestLog
from aircall_sandbox.oauth import OAuth
from aircall_sandbox.recordings import RECORDING_PATH
from aircall_sandbox.texts import Texts
from aircall_sandbox.webhooks import WebhookService

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from aircall_sandbox.faults import Fault
    from aircall_sandbox.oauth import Mode
    from aircall_sandbox.world import World

WINDOW_SECONDS = 60.0
BLOCK_SECONDS = 60.0
STALL_SECONDS = 2.0
"""How long a stalled connection stays open; a client should give up earlier."""
WEBHOOKS_PATH = "/v1/webhooks"
TOKEN_PATH = "/v1/oauth/token"  # noqa: S105 - no secret
ResetUnit = Literal["seconds", "milliseconds", "none"]


class Sandbox:
    """A local Aircall on the loopback interface. Use it as a context manager, or `serve` it.

    Args:
        world: The company to serve.
        clock: Returns the time in UNIX seconds.
        requests_per_minute: Rate limit; None for no limit.
        reset_unit: Unit of the `X-AircallApi-Reset` header of a 429; `none` for no such header.
        latency: Real seconds before each response.
        port: Port to listen on; 0 for any free port.
        oauth: Kind of OAuth tokens; see `aircall_sandbox.oauth.OAuth`.
        seed: Seed of the random delays and repeats of webhook deliveries.
    """

    def __init__(
        self,
        world: World,
        *,
        clock: Callable[[], float] = time.time,
        requests_per_minute: float | None = None,
        reset_unit: ResetUnit = "seconds",
        latency: float = 0.0,
        port: int = 0,
        oauth: Mode = "permanent",
        seed: int = 0,
    ) -> None:
        self.world = world
        self.clock_offset = 0.0
        self.api_id = "sandbox-id"
        self.api_token = "sandbox-token"  # noqa: S105 - of the sandbox
        self.requests: list[RequestLog] = []
        self.faults: list[Fault] = []
        self.on_request: Callable[[RequestLog], None] | None = None
        self.date: Callable[[float], str | None] = lambda now: email.utils.formatdate(now, usegmt=True)
        """Returns the `Date` header for a time of the sandbox; None for no header."""
        self.lock = threading.RLock()
        self.latency = latency
        self.oauth = OAuth(world, self.now, self.lock, mode=oauth)
        self.analytics = Analytics(world, lambda: self.url)
        self.webhooks = WebhookService(world, self.now, self.lock, seed=seed)
        self.texts = Texts(world, self.webhooks, self.now)
        world.recordings.root = lambda: self.url
        self._clock = clock
        self._api = Api(world)
        self._limit = requests_per_minute
        self._reset_unit = reset_unit
        self._recent: deque[float] = deque()
        self._blocked_until = float("-inf")
        self._port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        everything = Route("/{path:path}", self._handle, methods=["GET", "POST", "PUT", "DELETE"])
        routes = [*self.oauth.routes(), everything]
        self._app = _dated(Starlette(routes=routes), lambda: self.date(self.now()))

    def now(self) -> float:
        """Return the sandbox's time in UNIX seconds."""
        return self._clock() + self.clock_offset

    @property
    def url(self) -> str:
        """Root of the API.

        Raises:
            RuntimeError: The sandbox does not listen yet.
        """
        if self._socket is None:
            message = "The sandbox is not running."
            raise RuntimeError(message)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def listen(self) -> None:
        """Bind the port.

        Raises:
            OSError: The port is in use.
        """
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=256)

    def serve(self) -> None:
        """Serve in this thread until a signal or the end of the context."""
        if self._socket is None:
            self.listen()
        config = uvicorn.Config(
            self._app,
            http=_TrackedProtocol,
            log_level="critical",
            access_log=False,
            date_header=False,  # it would show the machine's time
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,  # does not wait for a delayed response
        )
        self._server = uvicorn.Server(config)
        self._server.run(sockets=[self._socket] if self._socket else None)

    def __enter__(self) -> Self:
        """Serve in a background thread."""
        self.listen()
        threading.Thread(target=self.serve, name="sandbox", daemon=True).start()
        while not (self._server and self._server.started):
            time.sleep(0.002)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Make the server stop within a fifth of a second; do not wait for it."""
        if self._server is not None:
            self._server.should_exit = self._server.force_exit = True

    # One request

    async def _handle(self, request: Request) -> Response:
        headers = dict(request.headers)
        path, query = request.url.path, dict(request.query_params)
        received = await request.body()
        with self.lock:
            now = self.now()
            log = RequestLog(request.method, path, query, now, headers)
            if self.on_request is not None:
                self.on_request(log)
            self.world.move_on(self.now())
            fault = next((fault for fault in self.faults if fault.hits(path, query)), None)
            if fault is not None and fault.status is not None:
                response, extra = ApiResponse(fault.status, msgspec.Raw(fault.body)), dict(fault.headers)
            else:
                response, extra = self._respond(request, received, now)
            if fault is not None and fault.mutate is not None:
                payload = msgspec.json.decode(msgspec.json.encode(response.payload))
                response = ApiResponse(response.status, fault.mutate(payload))
            body = response.payload if isinstance(response.payload, bytes) else msgspec.json.encode(response.payload)
            self.requests.append(replace(log, status=response.status))
        if self.latency or (fault and fault.delay):
            await asyncio.sleep(self.latency + (fault.delay if fault else 0))
        if fault is not None and fault.failure is not None:
            return _failed(fault.failure, body)
        return Response(body, response.status, extra, "application/json")

    def _respond(self, request: Request, body: bytes, now: float) -> tuple[ApiResponse, dict[str, str]]:
        """Respond like Aircall's edge: rate limit and credentials first."""
        if request.url.path.startswith(FILE_PATH):  # storage: no rate limit, no credentials
            return self.analytics.file(request.url.path, request.headers.get("authorization"), now), {}
        if request.url.path.startswith(RECORDING_PATH):  # likewise
            return self.world.recordings.file(str(request.url), request.headers.get("authorization"), now)
        refused = self._count(now)
        if refused is not None:
            return ApiResponse(429, {"error": "Too Many Requests"}), refused
        authorization = request.headers.get("authorization")
        path = request.url.path
        payload = _json(body, request.headers.get("content-type", ""))
        if path == TOKEN_PATH and request.method == "POST":
            return self.oauth.respond(payload), {}
        known = request.method == "GET"
        response = self._api.respond(path, dict(request.query_params)) if known else NO_SUCH_PATH
        if path.startswith(EXPORT_PATH):
            response = self.analytics.respond(request.method, path, payload, now)
        if path == WEBHOOKS_PATH or path.startswith(f"{WEBHOOKS_PATH}/"):
            response = self._response_of_webhooks(request, payload) or response
        if response.payload == {"message": "Not Found"} or authorization is None:
            return (response if authorization is not None else UNAUTHORIZED), {}
        return self._rejection(authorization, path) or response, {}

    def _response_of_webhooks(self, request: Request, payload: Any) -> ApiResponse | None:
        """Change webhooks, if the credentials are valid; None for a request that reads them."""
        authorization, path = request.headers.get("authorization"), request.url.path
        if authorization is None or self._rejection(authorization, path):
            return FORBIDDEN
        return self.webhooks.respond(request.method, path, payload)

    def _rejection(self, authorization: str, path: str) -> ApiResponse | None:
        """Return the response to invalid credentials; None for valid ones."""
        scheme, _, credentials = authorization.partition(" ")
        if scheme == "Bearer":
            if self.oauth.accepts(credentials):
                return None
            return UNAUTHORIZED if self.oauth.dead_token_status == UNAUTHORIZED.status else FORBIDDEN
        expected = base64.b64encode(f"{self.api_id}:{self.api_token}".encode()).decode()
        if (scheme, credentials) != ("Basic", expected):
            return FORBIDDEN
        return FORBIDDEN if path.startswith(OAUTH_ONLY) else None

    def _count(self, now: float) -> dict[str, str] | None:
        """Count a request; return the headers of a 429 if the limit is exceeded, else None."""
        if not self._limit:
            return None
        if now >= self._blocked_until:
            while self._recent and self._recent[0] <= now - WINDOW_SECONDS:
                self._recent.popleft()
            if len(self._recent) < self._limit:
                self._recent.append(now)
                return None
            self._blocked_until = now + BLOCK_SECONDS
        headers = {"X-AircallApi-Limit": f"{self._limit:g}", "X-AircallApi-Remaining": "0"}
        if self._reset_unit != "none":
            scale = 1000 if self._reset_unit == "milliseconds" else 1
            headers["X-AircallApi-Reset"] = str(int(self._blocked_until * scale))
        return headers


def _dated(app: ASGIApp, date: Callable[[], str | None]) -> ASGIApp:
    """Add a `Date` header to all responses of an app."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start" and (text := date()) is not None:
                message["headers"] = [*message["headers"], (b"date", text.encode())]
            await send(message)

        await app(scope, receive, send_dated)

    return respond


class _TrackedProtocol(H11Protocol):
    """Gives faults access to the connection of a request."""

    transports: dict[Any, asyncio.Transport] = {}  # noqa: RUF012 - shared; a pair of ports identifies a connection

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does this for its own sockets only. Without it each response waits 40 ms for an acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transports[self.client, self.server] = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.transports.pop((self.client, self.server), None)


class _Broken(Response):
    """Sends part of a body, or nothing, and drops the connection."""

    def __init__(self, body: bytes, sent: int, *, reset: bool, seconds: float = 0.0) -> None:
        super().__init__(body, media_type="application/json")
        self._seconds = seconds
        self._sent = sent
        self._reset = reset

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _TrackedProtocol.transports[scope["client"], scope["server"]]
        if self._reset:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body)[: self._sent], "more_body": True})
        if self._seconds:
            await asyncio.sleep(self._seconds)
        transport.close()


def _json(body: bytes, content_type: str) -> Any:
    """Decode a JSON body; None for invalid JSON and other content types."""
    try:
        return msgspec.json.decode(body) if content_type.startswith("application/json") else None
    except msgspec.DecodeError:
        return None


def _failed(failure: str, body: bytes) -> Response:
    match failure:
        case "reset":
            return _Broken(body, 0, reset=True)
        case "cut":
            return _Broken(body, len(body) // 2, reset=False)
        case "stall":
            return _Broken(body, len(body) // 2, reset=False, seconds=STALL_SECONDS)
        case "cut_json":
            return Response(body[: len(body) // 2], media_type="application/json")
        case "html":
            return Response("<html><body>Back in a minute</body></html>", media_type="text/html")
    return Response(b"", media_type="application/json")
