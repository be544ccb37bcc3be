"""Text messages and AI voice agents, which reach clients only through webhooks.

See the facts: Messages and Payloads of deliveries. Times alternate between three formats, since sources disagree.
"""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from aircall_sandbox.templates import Record
    from aircall_sandbox.webhooks import WebhookService
    from aircall_sandbox.world import World

NUMBER_FIELDS = ("availability_status", "country", "digits", "id", "name", "time_zone")


class Texts:
    """The text messages of a company."""

    def __init__(self, world: World, webhooks: WebhookService, now: Callable[[], float]) -> None:
        self.messages: dict[str, Record] = {}
        """Messages and group messages in their latest state, by id."""
        self._world = world
        self._webhooks = webhooks
        self._now = now
        self._count = itertools.count(1)
        self._forms = itertools.cycle([self._iso, self._seconds, self._milliseconds])

    def add(self, *, direction: str = "inbound", **fields: Any) -> Record:
        """Receive or send a message.

        Args:
            direction: `inbound` or `outbound`.
            **fields: Fields of the message, such as `body`, `external_number`, `media_details` and `channel`.

        Returns:
            The message as delivered to webhooks.
        """
        is_received = direction == "inbound"
        identity = f"{int(self._now() * 1000)}m{next(self._count):08d}"
        message: Record = {
            "id": identity,
            "direct_link": f"https://api.aircall.io/v1/messages/{identity}",
            "direction": direction,
            "external_number": "+33199000000",
            "raw_digits": "+33 1 99 00 00 00",
            "body": "Hello",
            "status": "received" if is_received else "sent",
            "origin": "native",
            "channel": None,
            "media_details": [],
            "number": self._number(),
            "contact": None,
            "created_at": self._time(),
            "updated_at": self._time(),
        } | fields
        if not is_received:
            message["sent_at"] = self._time()
        return self._keep("message", "received" if is_received else "sent", message)

    def add_to_group(self, *, direction: str = "inbound", **fields: Any) -> Record:
        """Receive or send a group message; arguments and result as for `add`."""
        is_received = direction == "inbound"
        number = next(self._count)
        message: Record = {
            "id": str(uuid.UUID(int=number)),
            "group_conversation_id": str(uuid.UUID(int=2**64 + number)),
            "participants": ["33199000000", "33199000001"],
            "direction": direction,
            "body": "Hello to all",
            "status": "received" if is_received else "sent",
            "created_at": self._time(),
        } | fields
        return self._keep("group_message", "received" if is_received else "sent", message)

    def edit(self, identity: str, **changes: Any) -> None:
        """Edit a message. The event contains only its id, the changes and the time."""
        message = self.messages[identity]
        message.update(changes)
        family = "group_message" if "group_conversation_id" in message else "message"
        self._webhooks.emit(f"{family}.status_updated", {"id": identity, "updated_at": self._time()} | changes)

    def voice_agent(self, call_id: int, event: str, **fields: Any) -> None:
        """Emit an event of an AI voice agent in a call: `started`, `ended`, `escalated` or `summary`."""
        call = self._world.calls[call_id]
        data: Record = {
            "id": call_id,
            "call_id": call_id,
            "call_uuid": call["sid"],
            "ai_voice_agent_id": "agent-1",
            "ai_voice_agent_name": "Reception",
            "ai_voice_agent_session_id": f"session-{call_id}",
            "number_id": (call["number"] or {}).get("id"),
            "created_at": self._time(),
        }
        self._webhooks.emit(f"ai_voice_agent.{event}", data | fields)

    def _keep(self, family: str, event: str, message: Record) -> Record:
        self.messages[message["id"]] = message
        self._webhooks.emit(f"{family}.{event}", message)
        return dict(message)

    def _number(self) -> Record | None:
        number = next(iter(self._world.kinds["numbers"].values()), None)
        return number and {name: number[name] for name in NUMBER_FIELDS}

    def _time(self) -> Any:
        return next(self._forms)()

    def _iso(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def _seconds(self) -> int:
        return int(self._now())

    def _milliseconds(self) -> int:
        return int(self._now() * 1000)
