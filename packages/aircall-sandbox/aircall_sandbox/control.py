"""Lets other processes control the sandbox, over HTTP below `/_sandbox` and without credentials.

| request | effect |
|---|---|
| `GET /_sandbox/requests` | `{"count": n, "requests": [...]}`; `?since=n` leaves out the first n |
| `DELETE /_sandbox/requests` | forget them |
| `POST /_sandbox/clock` | `{"advance": seconds}`, or `{"set": UNIX seconds}` |
| `POST /_sandbox/faults` | a fault: any fields of `Fault` except `mutate` |
| `POST /_sandbox/oauth` | `{"uninstall": true}` the app, or `{"end_access": true}` for all access tokens |
| `POST /_sandbox/analytics` | how reports are made: attributes of `Analytics`, such as `{"plan": false}` |
| `GET /_sandbox/deliveries` | `{"waiting": n, "deliveries": [...]}`: what was sent to webhooks |
| `POST /_sandbox/deliveries` | send what is due by now; `{"deliveries": [...]}` |
| `PATCH /_sandbox/deliveries` | how they are sent: attributes of `Webhooks`, such as `{"forwards": {public: local}}` |
| `POST /_sandbox/messages`, `POST /_sandbox/group_messages` | let a message come or go: the arguments of `Texts.add` |
| `PATCH /_sandbox/messages/<id>` | change one, such as its status |
| `POST /_sandbox/events` | `{"event": "call.hold", "call_id": 1, "fields": {...}}`, or any `event` with its `data` |
| `POST /_sandbox/<kind>` | add a call, contact, user, team, number, tag or webhook |
| `PATCH /_sandbox/<kind>/<id>`, `DELETE /_sandbox/<kind>/<id>` | edit or delete it |

An unknown kind or record gets 404, a request that makes no sense 400, both with `{"error": "..."}`.
"""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from aircall_sandbox.events import call_data
from aircall_sandbox.faults import Fault
from aircall_sandbox.templates import KINDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from threading import RLock

    from starlette.requests import Request

    from aircall_sandbox.analytics import Analytics
    from aircall_sandbox.messages import RequestLog
    from aircall_sandbox.oauth import OAuth
    from aircall_sandbox.texts import Texts
    from aircall_sandbox.webhooks import Webhooks
    from aircall_sandbox.world import World

    Handler = Callable[[Request], Awaitable[Response]]

ANALYTICS = {"plan", "seconds", "slow", "failing", "zipped", "address_seconds", "kept_seconds", "rows"}
DELIVERIES = {
    "delay",
    "repeated",
    "repeated_within",
    "attempts",
    "retry_seconds",
    "failures_until_off",
    "kept_seconds",
    "timeout",
    "forwards",
    "trusted",
}


class Controlled(Protocol):
    """The parts of a sandbox that can be inspected and changed."""

    world: World
    oauth: OAuth
    analytics: Analytics
    webhooks: Webhooks
    texts: Texts
    requests: list[RequestLog]
    faults: list[Fault]
    lock: RLock
    clock_offset: float

    def now(self) -> float:
        """Return the time of day in the sandbox, in UNIX seconds."""


def routes(sandbox: Controlled) -> list[Route]:
    """Return the routes that control a sandbox."""

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            with sandbox.lock:
                sandbox.requests.clear()
            return _json({})
        since = int(request.query_params.get("since", 0))
        listed = [
            {"method": log.method, "path": log.path, "query": log.query, "status": log.status, "at": log.at}
            for log in sandbox.requests[since:]
        ]
        return _json({"count": len(sandbox.requests), "requests": listed})

    async def clock(request: Request) -> Response:
        wish = await request.json()
        sandbox.clock_offset += wish["set"] - sandbox.now() if "set" in wish else wish["advance"]
        return _json({"now": sandbox.now()})

    async def faults(request: Request) -> Response:
        fault = await request.json()
        if "body" in fault:
            fault["body"] = fault["body"].encode()
        sandbox.faults.append(Fault(**fault))
        return _json({})

    async def records(request: Request) -> Response:
        kind, key = request.path_params["kind"], request.path_params.get("key")
        if kind not in _add(sandbox.world):
            return _json({"error": f"no such kind: {kind}"}, 404)
        fields = await request.json() if request.method != "DELETE" else {}
        identity: Any = int(key) if key and kind != "webhooks" else key
        with sandbox.lock:
            sandbox.world.move_on(sandbox.now())
            if key is not None and identity not in _records(sandbox.world, kind):
                return _json({"error": f"no such record: {kind} {key}"}, 404)
            return _json(_apply(sandbox.world, request.method, kind, identity, fields))

    return [
        Route("/_sandbox/requests", _explained(requests), methods=["GET", "DELETE"]),
        Route("/_sandbox/clock", _explained(clock), methods=["POST"]),
        Route("/_sandbox/faults", _explained(faults), methods=["POST"]),
        Route("/_sandbox/oauth", _explained(_wish(sandbox, _end)), methods=["POST"]),
        Route("/_sandbox/analytics", _explained(_wish(sandbox, _change_reports)), methods=["POST"]),
        *_routes_of_webhooks(sandbox),
        Route("/_sandbox/{kind}", _explained(records), methods=["POST"]),
        Route("/_sandbox/{kind}/{key}", _explained(records), methods=["PATCH", "DELETE"]),
    ]


def _routes_of_webhooks(sandbox: Controlled) -> list[Route]:
    """Return the routes for what webhooks tell of."""

    async def deliveries(request: Request) -> Response:
        webhooks = sandbox.webhooks
        if request.method == "PATCH":
            return _json(_change(sandbox, webhooks, DELIVERIES, await request.json()))
        made = await run_in_threadpool(webhooks.deliver) if request.method == "POST" else webhooks.log
        return _json({"waiting": webhooks.waiting, "deliveries": [asdict(attempt) for attempt in made]})

    async def messages(request: Request) -> Response:
        fields = await request.json()
        with sandbox.lock:
            if request.method == "PATCH":
                sandbox.texts.edit(request.path_params["key"], **fields)
                return _json({})
            is_group = request.url.path.endswith("group_messages")
            return _json((sandbox.texts.add_to_group if is_group else sandbox.texts.add)(**fields))

    return [
        Route("/_sandbox/deliveries", _explained(deliveries), methods=["GET", "POST", "PATCH"]),
        Route("/_sandbox/messages", _explained(messages), methods=["POST"]),
        Route("/_sandbox/messages/{key}", _explained(messages), methods=["PATCH"]),
        Route("/_sandbox/group_messages", _explained(messages), methods=["POST"]),
        Route("/_sandbox/events", _explained(_wish(sandbox, _tell)), methods=["POST"]),
    ]


def _wish(sandbox: Controlled, change: Callable[[Controlled, Any], dict[str, Any]]) -> Handler:
    """Turn a function that takes the body of a request into a handler."""

    async def handle(request: Request) -> Response:
        return _json(change(sandbox, await request.json()))

    return handle


def _end(sandbox: Controlled, wish: Mapping[str, bool]) -> dict[str, Any]:
    with sandbox.lock:
        if wish.get("uninstall"):
            sandbox.oauth.uninstall()
        if wish.get("end_access"):
            sandbox.oauth.end_access()
    return {}


def _change_reports(sandbox: Controlled, wish: Mapping[str, Any]) -> dict[str, Any]:
    return _change(sandbox, sandbox.analytics, ANALYTICS, wish)


def _change(sandbox: Controlled, thing: object, known: set[str], wish: Mapping[str, Any]) -> dict[str, Any]:
    """Set attributes of a part of the sandbox."""
    if unknown := wish.keys() - known:
        raise KeyError(*sorted(unknown))
    with sandbox.lock:
        for name, value in wish.items():
            setattr(thing, name, value)
    return {}


def _tell(sandbox: Controlled, wish: Mapping[str, Any]) -> dict[str, Any]:
    with sandbox.lock:
        call_id = wish.get("call_id")
        data = wish["data"] if call_id is None else call_data(sandbox.world.calls[call_id]) | wish.get("fields", {})
        sandbox.webhooks.tell(wish["event"], data)
    return {}


def _explained(handler: Handler) -> Handler:
    """Answer a bad request with what is wrong with it."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except (KeyError, TypeError, ValueError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    return handle


def _records(world: World, kind: str) -> Mapping[Any, Any]:
    kinds: dict[str, Mapping[Any, Any]] = {str(name): records for name, records in world.kinds.items()}
    return kinds.get(kind) or {"calls": world.calls, "contacts": world.contacts}.get(kind, {})


def _apply(world: World, method: str, kind: str, identity: Any, fields: dict[str, Any]) -> Any:
    if method == "POST":
        return _add(world)[kind](**fields)
    change = {
        "calls": (world.edit_call, world.delete_call),
        "contacts": (world.edit_contact, world.delete_contact),
    }.get(kind)
    if change is not None:
        edit, delete = change
        delete(identity) if method == "DELETE" else edit(identity, **fields)
    elif method == "DELETE":
        world.delete(kind, identity)  # type: ignore[arg-type]
    else:
        world.edit(kind, identity, **fields)  # type: ignore[arg-type]
    return {}


def _add(world: World) -> dict[str, Callable[..., Any]]:
    others = {str(kind): functools.partial(world.add, kind) for kind in KINDS}
    return {"calls": world.add_call, "contacts": world.add_contact, **others}


def _json(payload: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(payload), status, media_type="application/json")
