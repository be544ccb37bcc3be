"""A way into the sandbox for other processes, over HTTP below `/_sandbox`, without credentials.

| request | effect |
|---|---|
| `GET /_sandbox/requests` | `{"count": n, "requests": [...]}`; `?since=n` leaves out the first n |
| `POST /_sandbox/clock` | `{"advance": seconds}`, or `{"set": UNIX seconds}` |
| `POST /_sandbox/faults` | a fault: the fields of `Fault` but for `mutate` |
| `POST /_sandbox/<kind>` | add a call, contact, user, team, number, tag or webhook |
| `PATCH /_sandbox/<kind>/<id>`, `DELETE /_sandbox/<kind>/<id>` | edit or delete it |
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from tap_aircall.sandbox.faults import Fault
from tap_aircall.sandbox.world import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from tap_aircall.sandbox.server import Sandbox
    from tap_aircall.sandbox.world import World


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes that control a sandbox."""

    async def requests(request: Request) -> Response:
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
        with sandbox.lock:
            sandbox.world.move_on(sandbox.now())
            return _json(_apply(sandbox.world, request.method, kind, key, fields))

    return [
        Route("/_sandbox/requests", requests, methods=["GET"]),
        Route("/_sandbox/clock", clock, methods=["POST"]),
        Route("/_sandbox/faults", faults, methods=["POST"]),
        Route("/_sandbox/{kind}", records, methods=["POST"]),
        Route("/_sandbox/{kind}/{key}", records, methods=["PATCH", "DELETE"]),
    ]


def _apply(world: World, method: str, kind: str, key: str | None, fields: dict[str, Any]) -> Any:
    if method == "POST":
        return _add(world)[kind](**fields)
    identity: Any = key if kind == "webhooks" else int(key or 0)
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
