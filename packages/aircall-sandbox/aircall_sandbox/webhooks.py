"""Webhooks and their deliveries (facts: Webhooks).

Deliveries follow the sandbox's clock: `deliver` sends what is due, one delivery after another, so that the same seed
and history give the same deliveries in the same order. Nothing leaves this machine: a webhook has a public address, as
Aircall demands, and `forwards` plays the reverse proxy behind it. Webhooks without a forward get nothing.
"""

from __future__ import annotations

import heapq
import ipaddress
import itertools
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import requests

from aircall_sandbox.events import EVENTS, of_change
from aircall_sandbox.messages import NO_SUCH_PATH, UNKNOWN_OBJECT, ApiResponse
from aircall_sandbox.templates import without

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from aircall_sandbox.templates import Record
    from aircall_sandbox.world import World

MOST_WEBHOOKS = 100
REPEATED_WITHIN_SECONDS = 3_600.0
RETRY_SECONDS = 60.0
"""The longest wait before a retry."""
TIMEOUT_SECONDS = 5.0
"""Real seconds to wait for a response."""
NO_RESPONSE = 0
"""Status of a delivery without a response."""
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "axios/1.7.2",
    "aircall-origin": "webhooks",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def _is_loopback(host: str) -> bool:
    """Return whether a URL's host, without brackets and port, is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Delivery(NamedTuple):
    webhook_id: str
    body: bytes


class WebhookService:
    """The webhooks of a company, and pending deliveries.

    Args:
        world: The company; its `changed` is set, to learn of changes.
        now: Returns the sandbox's time in UNIX seconds.
        lock: Guards the company; released while a delivery is sent.
        seed: Seed of the random delays and repeats.
    """

    def __init__(self, world: World, now: Callable[[], float], lock: threading.RLock, *, seed: int) -> None:
        self.delay = 2.0
        """Longest delay of a delivery, in seconds; delays are random, so deliveries overtake each other."""
        self.repeated = 0.0
        """Share of deliveries that are sent twice, from 0 to 1."""
        self.forwards: dict[str, str] = {}
        """Loopback base URLs by the public base URL that they stand for."""
        self._world = world
        self._now = now
        self._lock = lock
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._queue: list[tuple[float, int, _Delivery]] = []
        self._order = itertools.count()
        world.changed = self._changed

    # API

    def respond(self, method: str, path: str, body: Any) -> ApiResponse | None:
        """Respond to a request below `/v1/webhooks`.

        Returns:
            The response; None for requests that the API handles like those for other objects.
        """
        fields = body if isinstance(body, dict) else {}
        _, _, *rest = path.strip("/").split("/")
        if method == "GET":
            return None
        if method == "POST" and not rest:
            return self._refused(fields, is_new=True) or self._create(fields)
        if rest and rest[0] in self._webhooks:
            return self._delete(rest[0]) if method == "DELETE" else self._update(rest[0], fields)
        return UNKNOWN_OBJECT if rest else NO_SUCH_PATH

    def _delete(self, key: str) -> ApiResponse:
        del self._webhooks[key]
        return ApiResponse(204, b"")

    @property
    def _webhooks(self) -> dict[Any, Record]:
        return self._world.kinds["webhooks"]

    def _refused(self, fields: Mapping[str, Any], *, is_new: bool) -> ApiResponse | None:
        url, events = fields.get("url"), fields.get("events") or []
        if is_new and not url:
            return _bad("url is missing")
        if url is not None and (
            not isinstance(url, str) or not url.startswith("https://") or not urlsplit(url).hostname
        ):
            return _bad("url must be https")
        if not isinstance(events, list) or not set(events) <= set(EVENTS):
            return _bad("unknown events")
        if is_new and len(self._webhooks) >= MOST_WEBHOOKS:
            return _bad("too many webhooks")
        return None

    def _create(self, fields: Mapping[str, Any]) -> ApiResponse:
        events = list(fields.get("events") or EVENTS)
        webhook = self._world.add("webhooks", url=fields["url"], events=events)
        return ApiResponse(201, {"webhook": without(webhook, "id")})

    def _update(self, key: str, fields: Mapping[str, Any]) -> ApiResponse:
        if refusal := self._refused(fields, is_new=False):
            return refusal
        webhook = self._webhooks[key]
        webhook.update(active=True, events=list(fields.get("events") or EVENTS), url=fields.get("url", webhook["url"]))
        return ApiResponse(200, {"webhook": without(webhook, "id")})

    # Events

    def _changed(self, kind: str, before: Record | None, after: Record | None) -> None:
        if not self._receivers():
            return
        for event in of_change(kind, before, after):
            self.emit(event.name, event.data, after=event.after)
        if kind == "calls" and after and after["ended_at"] and not (before and before["ended_at"]):
            for result in self._world.intelligence.results_of(after["id"]):
                self._changed("results", None, result)

    def retell(self) -> None:
        """Queue the events of what users did in the last days, as if the webhooks had existed."""
        for identity, presence in self._world.presence.items():
            user = self._world.kinds["users"][identity]
            for before, after in pairwise(presence):
                for event in of_change("users", user | before.fields, user | after.fields):
                    self.emit(event.name, event.data, at=after.at)

    def emit(self, event: str, data: Record, *, at: float | None = None, after: float = 0.0) -> None:
        """Queue deliveries of an event to the webhooks that subscribe to it.

        Args:
            event: Name of the event.
            data: Payload of the event.
            at: When it happens, in UNIX seconds; None for now.
            after: Seconds from then until Aircall sends it.
        """
        now = self._world.now if self._world.is_moving else self._now()
        made_at = (now if at is None else at) + after
        if event.startswith("call."):
            data = data | self._world.recordings.links(data, made_at)
        for webhook in self._receivers():
            if event in webhook["events"]:
                envelope = {"resource": event.split(".", maxsplit=1)[0], "event": event, "timestamp": int(made_at)}
                body = msgspec.json.encode(envelope | {"token": webhook["token"], "data": data})
                self._push(made_at + self.delay * self._random.random(), _Delivery(webhook["webhook_id"], body))

    def _receivers(self) -> list[Record]:
        """Return the webhooks that get deliveries."""
        return [each for each in self._webhooks.values() if self._target(each["url"])]

    def _target(self, url: str) -> str | None:
        """Return the loopback address that stands for a public one; None if there is no forward."""
        for public, target in self.forwards.items():
            if url == public or url.startswith(public.rstrip("/") + "/"):
                return target.rstrip("/") + url.removeprefix(public.rstrip("/"))
        return None

    # Deliveries

    def deliver(self) -> list[int]:
        """Send due deliveries, and return the statuses of the responses; 0 for none in time.

        Raises:
            ValueError: A forward does not lead to a loopback address.
        """
        statuses: list[int] = []
        with requests.Session() as session:
            session.trust_env = False
            while True:
                with self._lock:
                    now = self._now()
                    self._world.move_on(now)
                    delivery = self._next_due(now)
                    if delivery is None:
                        return statuses
                    webhook = self._webhooks[delivery.webhook_id]
                status = self._send(session, self._target(webhook["url"]), delivery)
                statuses.append(status)
                with self._lock:
                    self._note(delivery, ok=200 <= status < 300)  # noqa: PLR2004 - what 2xx means

    def _push(self, due: float, delivery: _Delivery) -> None:
        heapq.heappush(self._queue, (due, next(self._order), delivery))

    def _next_due(self, now: float) -> _Delivery | None:
        while self._queue and self._queue[0][0] <= now:
            _, _, delivery = heapq.heappop(self._queue)
            if delivery.webhook_id in self._webhooks:
                return delivery
        return None

    def _send(self, session: requests.Session, url: str | None, delivery: _Delivery) -> int:
        if url is None:
            return NO_RESPONSE
        if not _is_loopback(urlsplit(url).hostname or ""):
            message = "the sandbox delivers to this machine only"
            raise ValueError(message)
        try:
            return session.post(
                url,
                data=delivery.body,
                headers=HEADERS,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            ).status_code
        except requests.RequestException:
            return NO_RESPONSE

    def _note(self, delivery: _Delivery, *, ok: bool) -> None:
        """Retry a failed delivery, and repeat some others."""
        if not ok:
            self._push(self._now() + RETRY_SECONDS * (1 + self._random.random()) / 2, delivery)
        elif self._random.random() < self.repeated:
            self._push(self._now() + REPEATED_WITHIN_SECONDS * self._random.random(), delivery)


def _bad(reason: str) -> ApiResponse:
    return ApiResponse(400, {"error": "Bad Request", "troubleshoot": reason})
