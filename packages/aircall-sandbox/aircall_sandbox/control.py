"""Lets other processes control the sandbox, over HTTP below `/_sandbox` and without credentials.

| request | effect |
|---|---|
| `GET /_sandbox/requests` | `{"count": n, "requests": [...]}`; `?since=n` skips the first n |
| `DELETE /_sandbox/requests` | forget them |
| `POST /_sandbox/clock` | `{"advance": seconds}`, or `{"set": UNIX seconds}` |
| `POST /_sandbox/faults` | add a fault: any fields of `Fault` except `mutate` |
| `POST /_sandbox/oauth` | `{"uninstall": true}` the app, or `{"end_access": true}` to end all access tokens |
| `POST /_sandbox/analytics` | change how reports are made: attributes of `Analytics`, such as `{"plan": false}` |
| `GET /_sandbox/deliveries` | `{"waiting": n, "deliveries": [...]}`: what was sent to webhooks |
| `POST /_sandbox/deliveries` | send what is due; `{"waiting": n, "deliveries": [...]}` of these |
| `POST /_sandbox/messages`, `POST /_sandbox/group_messages` | send or receive a message: arguments of `Texts.add` |
| `PATCH /_sandbox/messages/<id>` | edit a message, such as its status |
| `POST /_sandbox/events` | `{"event": "call.hold", "call_id": 1, "fields": {...}}`, or any `event` with its `data` |
| `POST /_sandbox/<kind>` | add a call, contact, user, team, number, tag or webhook |
| `PATCH /_sandbox/<kind>/<id>`, `DELETE /_sandbox/<kind>/<id>` | edit or delete it |

An unknown kind or record gets 404, and an invalid request 400, both with `{"error": "..."}`.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from aircall_sandbox.events import call_data
from aircall_sandbox.faults import Fault
from aircall_sandbox.templates import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import RLock

    from starlette.requests import Request

    from aircall_sandbox.analytics import Analytics
    from aircall_sandbox.messages import RequestLog
    from aircall_sandbox.oauth import OAuth
    from aircall_sandbox.texts import Texts
    from aircall_sandbox.webhooks import WebhookService
    from aircall_sandbox.world import World

    Handler = Callable[[Request, Any], Any]

ANALYTICS = {"plan", "seconds", "slow", "failing", "zipped", "kept_seconds", "rows"}


class Controlled(Protocol):
    """The parts of a sandbox that can be inspected and changed."""

    world: World
    oauth: OAuth
    analytics: Analytics
    webhooks: WebhookService
    texts: Texts
    requests: list[RequestLog]
    faults: list[Fault]
    lock: RLock
    clock_offset: float

    def now(self) -> float:
        """Return the sandbox's time in UNIX seconds."""


class _UnknownError(Exception):
    """There is no such kind or record."""


def routes(sandbox: Controlled) -> list[Route]:
    """Return the routes that control a sandbox."""
    control = _Control(sandbox)

    def route(path: str, handler: Handler, *methods: str, locks: bool = True) -> Route:
        def locked(request: Request, body: Any) -> Any:
            with sandbox.lock if locks else nullcontext():
                return handler(request, body)

        async def respond(request: Request) -> Response:
            try:
                body = json.loads(await request.body() or "{}")
                return _json(await run_in_threadpool(locked, request, body))
            except _UnknownError as error:
                return _json({"error": str(error)}, 404)
            except (KeyError, TypeError, ValueError) as error:
                return _json({"error": f"{type(error).__name__}: {error}"}, 400)

        return Route(f"/_sandbox/{path}", respond, methods=methods)

    return [
        route("requests", control.requests, "GET", "DELETE"),
        route("clock", control.clock, "POST"),
        route("faults", control.faults, "POST"),
        route("oauth", control.oauth, "POST"),
        route("analytics", control.analytics, "POST"),
        route("deliveries", control.deliveries, "GET", "POST", locks=False),  # a receiver may call the sandbox
        route("messages", lambda _, body: sandbox.texts.add(**body), "POST"),
        route("group_messages", lambda _, body: sandbox.texts.add_to_group(**body), "POST"),
        route("messages/{key}", control.edit_message, "PATCH"),
        route("events", control.events, "POST"),
        route("{kind}", control.records, "POST"),
        route("{kind}/{key}", control.records, "PATCH", "DELETE"),
    ]


class _Control:
    """Handlers of the routes: each takes the request and its decoded body, and returns the payload of the response."""

    def __init__(self, sandbox: Controlled) -> None:
        self._sandbox = sandbox

    def requests(self, request: Request, _body: Any) -> Any:
        logs = self._sandbox.requests
        if request.method == "DELETE":
            logs.clear()
            return {}
        since = int(request.query_params.get("since", 0))
        listed = [
            {"method": log.method, "path": log.path, "query": log.query, "status": log.status, "at": log.at}
            for log in logs[since:]
        ]
        return {"count": len(logs), "requests": listed}

    def clock(self, _request: Request, body: Any) -> Any:
        now = self._sandbox.now
        self._sandbox.clock_offset += body["set"] - now() if "set" in body else body["advance"]
        return {"now": now()}

    def faults(self, _request: Request, body: Any) -> Any:
        if "body" in body:
            body["body"] = body["body"].encode()
        self._sandbox.faults.append(Fault(**body))
        return {}

    def oauth(self, _request: Request, body: Any) -> Any:
        if body.get("uninstall"):
            self._sandbox.oauth.uninstall()
        if body.get("end_access"):
            self._sandbox.oauth.end_access()
        return {}

    def analytics(self, _request: Request, body: Any) -> Any:
        if unknown := body.keys() - ANALYTICS:
            raise KeyError(*sorted(unknown))
        for name, value in body.items():
            setattr(self._sandbox.analytics, name, value)
        return {}

    def deliveries(self, request: Request, _body: Any) -> Any:
        webhooks = self._sandbox.webhooks
        attempts = webhooks.deliver() if request.method == "POST" else webhooks.log
        return {"waiting": webhooks.waiting, "deliveries": [asdict(attempt) for attempt in attempts]}

    def edit_message(self, request: Request, body: Any) -> Any:
        self._sandbox.texts.edit(request.path_params["key"], **body)
        return {}

    def events(self, _request: Request, body: Any) -> Any:
        calls, call_id = self._sandbox.world.calls, body.get("call_id")
        data = body["data"] if call_id is None else call_data(calls[call_id]) | body.get("fields", {})
        self._sandbox.webhooks.emit(body["event"], data)
        return {}

    def records(self, request: Request, body: Any) -> Any:
        kind, key = request.path_params["kind"], request.path_params.get("key")
        known, add, edit, delete = _operations(self._sandbox.world, kind)
        self._sandbox.world.move_on(self._sandbox.now())
        if key is None:
            return add(**body)
        identity = key if kind == "webhooks" else int(key)
        if identity not in known:
            message = f"no such record: {kind} {key}"
            raise _UnknownError(message)
        if request.method == "DELETE":
            delete(identity)
        else:
            edit(identity, **body)
        return {}


def _operations(
    world: World, kind: str
) -> tuple[Mapping[Any, Any], Callable[..., Any], Callable[..., None], Callable[[Any], None]]:
    """Return the records of a kind, and the functions that add, edit and delete one."""
    if kind == "calls":
        return world.calls, world.add_call, world.edit_call, world.delete_call
    if kind == "contacts":
        return world.contacts, world.add_contact, world.edit_contact, world.delete_contact
    for known in KINDS:
        if kind == known:
            return (
                world.kinds[known],
                partial(world.add, known),
                partial(world.edit, known),
                partial(world.delete, known),
            )
    message = f"no such kind: {kind}"
    raise _UnknownError(message)


def _json(payload: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(payload), status, media_type="application/json")
